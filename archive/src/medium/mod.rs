//! Where the bytes of an archive come from: one file, or what stands for it.
//!
//! Offsets are those of the archive as one file, whatever it is really kept in, so that nobody else needs to know. Bytes are
//! checked by whoever asks for them; a medium that can make lost bytes again is asked for that only once they are known
//! to be wrong.

mod afresh;
mod file;
mod remark;
mod search;
mod volumes;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io;
use std::ops::Range;

use fs_err as fs;
use rustix::fs::{Advice, fadvise};
use serde::Serialize;

use crate::Error;

pub use afresh::{Held, ReadBack, read_back};
pub use file::FileMedium;
pub(crate) use file::read_exact_at;
pub use remark::{Remark, RemarkKind};
pub(crate) use search::{ARCHIVE_ENDING, files_ending};
pub use search::{Found, find, find_set, open, open_all};
pub(crate) use volumes::split_name;
pub use volumes::{Volume, VolumeSet};

/// A place on a medium, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// First byte in it, and first byte behind.
    pub range: Range<u64>,
}

/// Which files of an archive are at hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Parts {
    /// How many volumes it has.
    pub count: u32,
    /// The numbers of those that are not at hand, rising.
    pub missing: Vec<u32>,
}

/// What a medium had to make again, because it is going bad.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Healed {
    /// Pieces.
    pub pieces: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The files that they were lost from.
    pub files: BTreeSet<String>,
}

impl Healed {
    /// Adds what another medium had to make again.
    pub fn join(&mut self, other: Self) {
        self.pieces += other.pieces;
        self.bytes += other.bytes;
        self.files.extend(other.files);
    }

    /// Adds a piece of a file.
    pub(crate) fn add(&mut self, file: &str, bytes: u64) {
        self.pieces += 1;
        self.bytes += bytes;
        if !self.files.contains(file) {
            self.files.insert(file.to_owned());
        }
    }
}

/// Something that holds the bytes of an archive.
pub trait Medium: Debug + Send + Sync {
    /// What to call it in messages: a path.
    fn name(&self) -> &str;

    /// Length of the archive in bytes, as the medium has it.
    ///
    /// # Errors
    /// I/O.
    fn length(&self) -> Result<u64, Error>;

    /// Fills the buffer from `offset` on.
    ///
    /// # Errors
    /// I/O; `UnexpectedEof` if there are fewer bytes; [`Error::VolumesMissing`].
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error>;

    /// Where this stretch of the archive really is.
    fn place(&self, range: Range<u64>) -> Place {
        Place { file: self.name().to_owned(), range }
    }

    /// Makes these bytes again, once they are known to be lost or wrong; `None` if this medium cannot.
    ///
    /// # Errors
    /// I/O.
    fn repair(&self, _range: Range<u64>) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }

    /// Its volumes; `None` if it is one file.
    fn parts(&self) -> Option<Parts> {
        None
    }

    /// The numbers of the volumes of which one has the first byte of this stretch, if that one is not at hand.
    fn absent(&self, _range: Range<u64>) -> Vec<u32> {
        Vec::new()
    }

    /// What is to be told about the files that were looked at.
    fn remarks(&self) -> Vec<Remark> {
        Vec::new()
    }

    /// What had to be made again so far.
    fn healed(&self) -> Healed {
        Healed::default()
    }

    /// Asks the system to forget what it remembers of the medium, so that the next reads come from the medium itself.
    ///
    /// # Errors
    /// I/O.
    fn forget_cached(&self) -> Result<(), Error> {
        Ok(())
    }
}

pub(crate) fn forget_cached(file: &fs::File) -> io::Result<()> {
    // Only what the medium has can be forgotten. One that cannot be written to has everything.
    let _ = file.sync_data();
    // Advice: a file system that does not keep pages, such as one in memory, has nothing to forget.
    Ok(fadvise(file.file(), 0, None, Advice::DontNeed)?)
}
