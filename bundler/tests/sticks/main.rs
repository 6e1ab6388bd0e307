//! What travels on sticks: volumes, and parity against what sticks lose.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod json;
mod parity;
mod vendor;
mod volumes;
