//! Reading pieces from files.

use std::ops::Range;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::Error;
use crate::format::parity::{PieceHash, PieceHasher};
use crate::medium::{Medium, forget_cached, read_exact_at};

/// How much of a piece is read at a time to be hashed.
pub(super) const READ_BYTES: usize = 256 << 10;

/// A file that is opened for each read and not kept open: there may be as many files as a process may have open, and a
/// stick can be taken out between two reads.
#[derive(Debug)]
pub(super) struct PlainFile {
    path: PathBuf,
    name: String,
}

impl PlainFile {
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), name: path.display().to_string() }
    }
}

impl Medium for PlainFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn length(&self) -> Result<u64, Error> {
        Ok(fs::metadata(&self.path)?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        Ok(read_exact_at(&fs::File::open(&self.path)?, buffer, offset)?)
    }

    fn forget_cached(&self) -> Result<(), Error> {
        Ok(forget_cached(&fs::File::open(&self.path)?)?)
    }
}

/// Fills the buffer with bytes of a piece, from its byte `at` on. `place` is where the piece stands in the file; what it
/// lacks to a whole piece are zeros.
pub(super) fn read(file: &dyn Medium, place: &Range<u64>, at: u64, buffer: &mut [u8]) -> Result<(), Error> {
    let from = place.end.min(place.start.saturating_add(at));
    let there = buffer.len().min(usize::try_from(place.end - from).unwrap_or(usize::MAX));
    let (bytes, zeros) = buffer.split_at_mut(there);
    zeros.fill(0);
    if bytes.is_empty() { Ok(()) } else { file.read_exact_at(bytes, from) }
}

/// Hashes a piece of this length, through a buffer of [`READ_BYTES`].
pub(super) fn hash(
    file: &dyn Medium,
    place: &Range<u64>,
    piece_bytes: u64,
    buffer: &mut Vec<u8>,
) -> Result<PieceHash, Error> {
    buffer.resize(READ_BYTES, 0);
    let mut hasher = PieceHasher::default();
    let mut at = 0;
    while at < piece_bytes {
        let len = READ_BYTES.min(usize::try_from(piece_bytes - at).unwrap_or(usize::MAX));
        read(file, place, at, &mut buffer[..len])?;
        hasher.update(&buffer[..len]);
        at += len as u64;
    }
    Ok(hasher.finish())
}
