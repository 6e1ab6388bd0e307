//! Where the bytes of an archive come from: one file, or what stands for it.
//!
//! Offsets are those of the archive as one file, whatever it is really kept in, so that nobody else needs to know. Bytes are
//! checked by whoever asks for them; a medium that can make lost bytes again is asked for that only once they are known
//! to be wrong.

mod file;

use std::fmt::Debug;
use std::ops::Range;

use crate::Error;

pub use file::FileMedium;

/// A place on a medium, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// First byte in it, and first byte behind.
    pub range: Range<u64>,
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
    /// I/O; `UnexpectedEof` if there are fewer bytes.
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
}
