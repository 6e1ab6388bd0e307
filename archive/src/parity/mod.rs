//! Parity: making lost pieces of an archive again. `FORMAT.md`, chapter 7, and [`crate::format::parity`].
//!
//! [`Plan`] makes parity files for an archive that is whole. [`Mender`] finds them beside an archive that may not be whole
//! any more, looks at all of it, and writes whole copies of its damaged files into another folder; [`Mended`] does the same
//! for whoever reads the archive, and only for what is read. Files that are there are never changed.

mod assembled;
mod code;
mod files;
mod find;
mod gather;
mod journal;
mod make;
mod mended;
mod mender;
mod pieces;
mod plan;
mod rebuild;
mod repair;
mod survey;
#[cfg(test)]
mod tests;
mod threads;

pub use crate::format::parity::Amount;
pub use files::Files;
pub use gather::index_of;
pub use mended::{Mended, open};
pub use mender::Mender;
pub use plan::{Plan, Planned};
pub use repair::{Repaired, RepairedFile, Written};
pub use survey::{Beyond, Lack, LostStretch, Survey, WrongLength};
