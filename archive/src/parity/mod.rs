//! Parity
mod code;
mod files;
mod journal;
mod make;
mod pieces;
mod threads;

pub use crate::format::parity::Amount;
pub use files::Files;
pub use make::{Plan, Planned};
