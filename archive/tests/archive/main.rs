//! Archives are made, read, damaged, interrupted, cut into volumes and offered to the wrong people.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod file;
mod fixture;
mod parity;
mod several;
mod shelf;
mod split;
mod volumes;
