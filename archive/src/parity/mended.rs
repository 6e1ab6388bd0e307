//! An archive that mends itself while it is read.
//!
//! Bytes come from the files as they are. Whoever finds them wrong asks once for better ones; then the pieces under them
//! are looked at, and lost ones made again with all others of their group. What was made is kept in an unnamed file, so that
//! each group is read for it once, however much of the archive is lost.

use std::collections::HashMap;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{env, io};

use super::find::claim_of_archive;
use super::mender::{Known, Mender, is_loss};
use super::pieces;
use crate::format::parity::Grid;
use crate::medium::{self, Found, Healed, Medium, Parts, Place, Remark};
use crate::{Error, Unwatched, durable};

/// Where large files of a passing kind belong; `/tmp` is often in memory.
const SCRATCH_FOLDER: &str = "/var/tmp";
/// Room in bytes that is left there to everybody else.
const SPARED_BYTES: u64 = 16 << 20;

/// An archive, and what mends it.
#[derive(Debug)]
pub struct Mended {
    inner: Box<dyn Medium>,
    grid: Grid,
    state: Mutex<State>,
    /// Volumes that are not at hand, and for which parity cannot make up.
    missing: Option<Parts>,
}

#[derive(Debug)]
struct State {
    mender: Mender,
    scratch: Option<Scratch>,
    /// Piece → where it begins in the scratch file.
    made: HashMap<u32, u64>,
    healed: Healed,
}

/// What was made again.
#[derive(Debug)]
struct Scratch {
    file: std::fs::File,
    folder: PathBuf,
    length: u64,
}

impl Mended {
    /// Reads `inner`, which is the archive that `mender` knows; without it, the files that the mender knows.
    #[must_use]
    pub fn new(inner: Option<Box<dyn Medium>>, mender: Mender) -> Self {
        let grid = mender.index.grid.clone();
        let inner = inner.unwrap_or_else(|| mender.unmended_medium());
        let missing = inner.parts().map(|parts| {
            if mender.makes_up_for_missing() { Parts { missing: Vec::new(), ..parts } } else { parts }
        });
        let state = State { mender, scratch: None, made: HashMap::new(), healed: Healed::default() };
        Self { inner, grid, state: Mutex::new(state), missing }
    }
}

/// Opens the archive in these places, as [`medium::find`] finds it, with whatever can mend it. What is wrong with parity
/// stands in nobody's way: then it is not there.
///
/// # Errors
/// As [`medium::find`], unless parity knows better.
pub fn open(places: &[impl AsRef<Path>]) -> Result<Box<dyn Medium>, Error> {
    match look(places) {
        (Ok(found), Ok(Some(mender))) => Ok(Box::new(Mended::new(Some(found.into()), mender))),
        (Err(error @ Error::SeveralArchives { .. }), _) => Err(error),
        (Err(_), Ok(Some(mender))) if mender.has_any_file() => Ok(Box::new(Mended::new(None, mender))),
        (found, _) => found.map(Into::into),
    }
}

impl Mender {
    /// Finds what can mend the archive in these places: an archive or copies of it, some of its volumes, parity files, or
    /// folders. `None` if no parity for it is there.
    ///
    /// # Errors
    /// [`Error::BadParity`] if there is, but its index is lost; [`Error::SeveralArchives`], or I/O.
    pub fn of_archive(places: &[impl AsRef<Path>]) -> Result<Option<Self>, Error> {
        look(places).1
    }

    /// Finds what can mend the archive in these places.
    ///
    /// # Errors
    /// As [`Mender::of_archive`]; what is wrong with the places, or else [`Error::NoParity`], if there is no parity.
    pub fn required(places: &[impl AsRef<Path>]) -> Result<Self, Error> {
        let (found, mender) = look(places);
        if let Some(mender) = mender? {
            return Ok(mender);
        }
        found?;
        let places: Vec<String> = places.iter().map(|place| place.as_ref().display().to_string()).collect();
        Err(Error::NoParity { place: places.join("`, `") })
    }
}

/// What is in these places, and what mends it.
fn look(places: &[impl AsRef<Path>]) -> (Result<Found, Error>, Result<Option<Mender>, Error>) {
    let mut places: Vec<PathBuf> = places.iter().map(|place| place.as_ref().to_owned()).collect();
    let found = medium::find(&places);
    let set = match &found {
        Ok(Found::Volumes(volumes)) => Some(volumes.set()),
        Ok(Found::File(file)) => {
            // Not any parity that lies in the folder, but that of this file.
            places.insert(0, file.path().to_owned());
            claim_of_archive(file).map(|claim| claim.set)
        }
        Err(_) => None,
    };
    let mender = Mender::find(&places, set);
    (found, mender)
}

impl Medium for Mended {
    fn name(&self) -> &str {
        self.inner.name()
    }

    /// As it is when it is whole: what is cut off can be made again, what was appended does not count.
    fn length(&self) -> Result<u64, Error> {
        Ok(self.grid.archive_bytes())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        self.inner.read_exact_at(buffer, offset)
    }

    fn place(&self, range: Range<u64>) -> Place {
        self.inner.place(range)
    }

    fn repair(&self, range: Range<u64>) -> Result<Option<Vec<u8>>, Error> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        if range.end > self.grid.archive_bytes() {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(length);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (file, stretch) in self.grid.stretches(&range) {
            for piece in self.grid.pieces_under(file, &stretch) {
                let place = self.grid.place(piece).range;
                let part = stretch.start.max(place.start)..stretch.end.min(place.end);
                let start = bytes.len();
                bytes.resize(start + usize::try_from(part.end - part.start).unwrap_or(0), 0);
                if !state.fill(&mut bytes[start..], piece, part.start - place.start)? {
                    return Ok(None);
                }
            }
        }
        Ok(Some(bytes))
    }

    fn parts(&self) -> Option<Parts> {
        self.missing.clone()
    }

    fn absent(&self, range: Range<u64>) -> Vec<u32> {
        let is_missing = self.missing.as_ref().is_some_and(|parts| !parts.missing.is_empty());
        if is_missing { self.inner.absent(range) } else { Vec::new() }
    }

    fn remarks(&self) -> Vec<Remark> {
        self.inner.remarks()
    }

    fn forget_cached(&self) -> Result<(), Error> {
        self.inner.forget_cached()
    }

    fn healed(&self) -> Healed {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).healed.clone()
    }
}

impl State {
    /// Fills the buffer with bytes of a piece from its byte `at` on, made again if they are lost. `false` if its file is not
    /// at hand and the piece cannot be made.
    fn fill(&mut self, buffer: &mut [u8], piece: u32, at: u64) -> Result<bool, Error> {
        if self.made.contains_key(&piece) {
            return self.fill_from_scratch(buffer, piece, at);
        }
        let place = self.mender.index.grid.place(piece);
        if let Known::Good(copy) = self.mender.look_at(piece)? {
            match pieces::read(&*self.mender.archive[place.file][copy], &place.range, at, buffer) {
                // It could be read a moment ago.
                Err(error) if is_loss(&error) => self.mender.pieces[piece as usize] = Known::Lost,
                read => return read.map(|()| true),
            }
        }
        let (group, _) = self.mender.index.grid.group_of(piece);
        if self.mend(group)? {
            return self.fill_from_scratch(buffer, piece, at);
        }
        // Whoever brings the missing volume needs no parity for it.
        if self.mender.archive[place.file].is_empty() {
            return Ok(false);
        }
        let beyond = self.mender.beyond(std::iter::once(group));
        Err(self.mender.beyond_parity(beyond))
    }

    /// Makes all lost pieces of a group again.
    fn mend(&mut self, group: u32) -> Result<bool, Error> {
        let scratch = match &mut self.scratch {
            Some(scratch) => scratch,
            none => none.insert(Scratch::open()?),
        };
        let piece_bytes = self.mender.index.grid.piece_bytes();
        let mut made: HashMap<u32, u64> = HashMap::new();
        let mut length = scratch.length;
        let mended = self.mender.mend(
            group,
            &mut |piece, at, bytes| {
                let start = if let Some(&start) = made.get(&piece) {
                    start
                } else {
                    // The first columns come of all pieces of the group: little is written before the last is counted.
                    let start = length;
                    length += piece_bytes;
                    scratch.expect_room(length - scratch.length)?;
                    made.insert(piece, start);
                    start
                };
                scratch.write(bytes, start + at)
            },
            &Unwatched,
        )?;
        if !mended {
            return Ok(false);
        }
        scratch.length = length;
        let grid = &self.mender.index.grid;
        for &piece in made.keys() {
            let place = grid.place(piece);
            self.healed.add(&self.mender.name_of(place.file), place.range.end - place.range.start);
        }
        self.made.extend(made);
        Ok(true)
    }

    fn fill_from_scratch(&self, buffer: &mut [u8], piece: u32, at: u64) -> Result<bool, Error> {
        let (Some(scratch), Some(start)) = (&self.scratch, self.made.get(&piece)) else { return Ok(false) };
        scratch.read(buffer, start + at).map(|()| true)
    }
}

impl Scratch {
    fn open() -> Result<Self, Error> {
        let folder = match env::var_os("TMPDIR") {
            None if Path::new(SCRATCH_FOLDER).is_dir() => PathBuf::from(SCRATCH_FOLDER),
            _ => env::temp_dir(),
        };
        let file = tempfile::tempfile_in(&folder).map_err(|error| named(&folder, &error))?;
        Ok(Self { file, folder, length: 0 })
    }

    /// Refuses to fill the disk. Where nobody knows how much room there is, whoever writes will see.
    fn expect_room(&self, bytes: u64) -> Result<(), Error> {
        let needed = bytes.saturating_add(SPARED_BYTES);
        let free = durable::free_bytes(&self.folder).unwrap_or(u64::MAX);
        if free < needed {
            return Err(Error::NoSpace { place: self.folder.display().to_string(), needed, free });
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<(), Error> {
        self.file.write_all_at(bytes, at).map_err(|error| named(&self.folder, &error))
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> Result<(), Error> {
        self.file.read_exact_at(bytes, at).map_err(|error| named(&self.folder, &error))
    }
}

fn named(folder: &Path, error: &io::Error) -> Error {
    let message = format!(
        "failed to keep what was made again in a temporary file in `{}` (set TMPDIR for another place): {error}",
        folder.display()
    );
    Error::Io(io::Error::new(error.kind(), message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_not_filled() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = |folder: PathBuf| Scratch { file: tempfile::tempfile().unwrap(), folder, length: 0 };
        let here = scratch(dir.path().to_owned());
        here.expect_room(1).unwrap();
        let free = durable::free_bytes(dir.path()).unwrap();
        for bytes in [free.saturating_mul(2), u64::MAX] {
            let refused = here.expect_room(bytes);
            assert!(
                matches!(refused, Err(Error::NoSpace { needed, .. }) if needed > bytes || bytes == u64::MAX)
            );
        }
        scratch(dir.path().join("unknown")).expect_room(1 << 50).unwrap();
    }
}
