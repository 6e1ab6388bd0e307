//! Letting a release run: a journaled transaction around the store's own switch.

mod flux;

pub use flux::{Flux, Readiness};
