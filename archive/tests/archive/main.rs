//! Archives are made, read, damaged, interrupted, cut into volumes and offered to the wrong people.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod confusion;
mod file;
mod fixture;
#[path = "../measure/mod.rs"]
mod measure;
mod once;
#[path = "../second_reader/mod.rs"]
mod other_reader;
mod parity;
mod releases;
mod second_reader;
mod several;
mod shelf;
mod split;
mod volumes;
