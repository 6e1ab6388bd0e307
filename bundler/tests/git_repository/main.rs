//! Repositories as sources of a release, with the real Git on both sides.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod history;
mod mirror;
mod reached;
mod refused;
mod releases;
mod source;
