//! Reading checked stretches of an archive, and its head.

use std::io;
use std::ops::Range;

use crate::format::HEAD_BYTES;
use crate::format::head::Head;
use crate::format::packing::Page;
use crate::medium::{Medium, Place};
use crate::{Digest, Error, Malformed};

/// Reads stretches of a medium. What is wrong is made again if the medium can do that, and checked again.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a dyn Medium);

impl Reader<'_> {
    /// Reads a stretch of `part` that is right.
    pub(super) fn checked(
        self,
        part: &str,
        range: Range<u64>,
        is_right: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>, Error> {
        self.taken(part, range, |bytes| if is_right(&bytes) { Ok(bytes) } else { Err(bytes) })
    }

    /// Reads a stretch of `part` and makes something of it; `take` gives back what is wrong.
    pub(super) fn taken<T>(
        self,
        part: &str,
        range: Range<u64>,
        take: impl Fn(Vec<u8>) -> Result<T, Vec<u8>>,
    ) -> Result<T, Error> {
        self.settle(part, range.clone(), self.read(range, Vec::new()), take)
    }

    /// Makes something of a stretch of `part` that was read before, or, if that is wrong, of what the medium has instead.
    pub(super) fn settle<T>(
        self,
        part: &str,
        range: Range<u64>,
        read: Result<Vec<u8>, Error>,
        take: impl Fn(Vec<u8>) -> Result<T, Vec<u8>>,
    ) -> Result<T, Error> {
        let unread = match read {
            Ok(bytes) => match take(bytes) {
                Ok(taken) => return Ok(taken),
                Err(_) => None,
            },
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            // A sector that cannot be read and a volume that is not there are damage like any other, unless nobody can
            // make up for it.
            Err(error) => Some(error),
        };
        let repaired = self.0.repair(range.clone())?.and_then(|bytes| take(bytes).ok());
        repaired.ok_or_else(|| unread.unwrap_or_else(|| self.damaged(part, range)))
    }

    /// Reads a stretch, into memory that may have been used before.
    pub(super) fn read(self, range: Range<u64>, mut memory: Vec<u8>) -> Result<Vec<u8>, Error> {
        memory.resize(usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0), 0);
        self.0.read_exact_at(&mut memory, range.start)?;
        Ok(memory)
    }

    /// Reads the head. Only its form tells whether it is damaged.
    pub(super) fn head(self) -> Result<Head, Error> {
        let area = 0..HEAD_BYTES.min(self.0.length()?);
        let parse = |bytes: Vec<u8>| Head::parse(self.0.name(), &bytes);
        let error = match self.read(area.clone(), Vec::new()).and_then(parse) {
            Err(
                error @ (Error::Io(_)
                | Error::Damaged { .. }
                | Error::NotAnArchive { .. }
                | Error::Malformed(Malformed::HeadTooLarge { .. })
                | Error::VolumesMissing { .. }),
            ) => error,
            read => return read,
        };
        match (self.0.repair(area.clone())?, error) {
            (Some(bytes), _) => parse(bytes),
            (None, Error::Damaged { .. }) => Err(self.damaged("the head", area)),
            // Whoever is a volume was an archive.
            (None, Error::NotAnArchive { .. }) if self.0.parts().is_some() => {
                Err(self.damaged("the head", area))
            }
            (None, Error::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.damaged("the head", area))
            }
            (None, error) => Err(error),
        }
    }

    /// Reads a front page, as it stands in the file.
    pub(super) fn page(self, number: usize, page: &Page) -> Result<Vec<u8>, Error> {
        let range = page.offset..page.offset + page.length;
        self.checked(&page_name(number), range, |bytes| Digest::of(bytes) == page.digest)
    }

    fn damaged(self, part: &str, range: Range<u64>) -> Error {
        let Place { file, range } = self.0.place(range);
        Error::Damaged { file, part: part.to_owned(), start: range.start, end: range.end }
    }
}

/// What a front page is called in messages.
pub(super) fn page_name(number: usize) -> String {
    format!("front page {number}")
}
