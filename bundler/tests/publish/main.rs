//! Publishing releases and moving channels, from the command line.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod channel;
mod folder;
mod registry;
#[path = "../said/mod.rs"]
mod said;
mod vendor;
