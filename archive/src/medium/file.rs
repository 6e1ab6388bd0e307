//! An archive that is one file.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use fs_err as fs;

use super::{Medium, forget_cached};
use crate::Error;

/// An archive that is one file.
#[derive(Debug)]
pub struct FileMedium {
    file: fs::File,
    name: String,
}

impl FileMedium {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// I/O.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { file: fs::File::open(path)?, name: path.display().to_string() })
    }

    /// Where it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

/// Reads from an offset on; an error names the file.
pub(crate) fn read_exact_at(file: &fs::File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.file().read_exact_at(buffer, offset).map_err(|error| unread(file.path(), &error))
}

/// An I/O error that names the file that could not be read.
pub(super) fn unread(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("failed to read `{}`: {error}", path.display()))
}

impl Medium for FileMedium {
    fn name(&self) -> &str {
        &self.name
    }

    fn length(&self) -> Result<u64, Error> {
        Ok(self.file.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        Ok(read_exact_at(&self.file, buffer, offset)?)
    }

    fn forget_cached(&self) -> Result<(), Error> {
        Ok(forget_cached(&self.file)?)
    }
}
