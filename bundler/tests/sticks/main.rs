//! What travels on sticks: volumes, and parity against what sticks lose.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod parity;
#[path = "../said/mod.rs"]
mod said;
mod vendor;
mod volumes;
