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

impl Medium for FileMedium {
    fn name(&self) -> &str {
        &self.name
    }

    fn length(&self) -> Result<u64, Error> {
        Ok(self.file.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        let named = |e: io::Error| io::Error::new(e.kind(), format!("failed to read `{}`: {e}", self.name));
        Ok(self.file.file().read_exact_at(buffer, offset).map_err(named)?)
    }

    fn forget_cached(&self) -> Result<(), Error> {
        Ok(forget_cached(&self.file)?)
    }
}
