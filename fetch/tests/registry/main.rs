//! The client against the lab's registry: what it does with answers that are right, wrong, late or cut off.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod access;
mod bench;
mod broken;
mod files;
mod lent;
mod line;
mod many;
mod named;
mod pushing;
mod referrers;
mod refused;
mod setting;
mod sink;
mod stopping;
mod tls;
