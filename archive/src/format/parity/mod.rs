//! Parity files: what they protect, and how they say so. `FORMAT.md`, chapter 7.
//!
//! The files of an archive (its volumes, headers and all, or the one file that is not split) are cut into *pieces*; the
//! pieces are dealt out to *groups* in turn, so that a run of lost bytes costs every group a little and none much. To each
//! group belong recovery pieces; any of them stand in for as many lost pieces of their group.
//!
//! [`Grid`] knows where every piece lies, [`Index`] has the hash of each, [`page`] keeps the index from being lost
//! itself. None of it is signed, so none of it is trusted: hashes of pieces say which bytes to use for mending, and the
//! archive's own hashes say whether what was mended is right.

mod amount;
mod grid;
mod index;
pub mod page;

pub use amount::Amount;
pub use grid::{Grid, PiecePlace};
pub use index::{Header, Index, PieceHash, PieceHasher};

use super::MAX_FILE_BYTES;

/// Smallest piece in bytes: what a disk reads, or fails to read, at a time.
pub const MIN_PIECE_BYTES: u64 = 4 << 10;
/// Most pieces of an archive, so that their hashes fit in memory: for 100 GB a piece has 1 MiB.
pub const MAX_PIECES: u32 = 1 << 17;
/// Longest piece in bytes: what the longest archive takes, and twice that because each of its files may end in a piece that
/// is not full.
pub const MAX_PIECE_BYTES: u64 = 2 * MAX_FILE_BYTES / MAX_PIECES as u64;
/// Most pieces of a group that we make. With 64 recovery pieces, which is more than the usual 10 %, they make 512, and the
/// transforms of Reed–Solomon work on powers of two. The more pieces a group has, the more evenly scattered damage falls
/// on groups; the fewer, the longer the runs that are read at a time with little memory.
pub const GROUP_PIECES: u32 = 448;
/// Most pieces of a group that a reader takes. A group has no more recovery pieces than pieces.
pub const MAX_GROUP_PIECES: u32 = 512;
/// Most files of an archive, and most parity files.
pub const MAX_FILES: u32 = 999;
