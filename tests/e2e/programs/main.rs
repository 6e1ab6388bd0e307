//! The programs together, as their users run them, and all that goes wrong: registries, lines, disks, archives, people.

mod bad_hands;
mod bad_registry;
mod bad_sources;
mod complete;
mod damage;
mod determinism;
mod diff;
mod digests;
mod export;
mod interruption;
mod memory;
mod releases;
mod rotation;
mod scene;
mod second_reader;
mod signers;
mod space;
mod told;
