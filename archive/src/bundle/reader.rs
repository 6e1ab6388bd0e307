//! Reading checked stretches of an archive, and its head.

use std::io;
use std::ops::Range;

use crate::format::HEAD_BYTES;
use crate::format::head::Head;
use crate::medium::{Medium, Place};
use crate::{Error, Malformed};

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
        match self.read(range.clone()) {
            Ok(bytes) if is_right(&bytes) => return Ok(bytes),
            // A sector that cannot be read is damage like any other, unless nobody can make up for it.
            Ok(_) => {}
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(Error::Io(error)) => {
                return self.repaired(range, is_right)?.ok_or(Error::Io(error));
            }
            Err(error) => return Err(error),
        }
        self.repaired(range.clone(), is_right)?.ok_or_else(|| self.damaged(part, range))
    }

    fn repaired(self, range: Range<u64>, is_right: impl Fn(&[u8]) -> bool) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.repair(range)?.filter(|bytes| is_right(bytes)))
    }

    fn read(self, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0)];
        self.0.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes)
    }

    /// Reads the head. Only its form tells whether it is damaged.
    pub(super) fn head(self) -> Result<Head, Error> {
        let area = 0..HEAD_BYTES.min(self.0.length()?);
        let name = self.0.name();
        let read = self.read(area.clone()).and_then(|bytes| Head::parse(name, &bytes));
        match read {
            Err(
                error @ (Error::Io(_)
                | Error::Damaged { .. }
                | Error::NotAnArchive { .. }
                | Error::Malformed(Malformed::HeadTooLarge { .. })),
            ) => self.0.repair(area)?.map_or(Err(error), |bytes| Head::parse(name, &bytes)),
            read => read,
        }
    }

    fn damaged(self, part: &str, range: Range<u64>) -> Error {
        let Place { file, range } = self.0.place(range);
        Error::Damaged { file, part: part.to_owned(), start: range.start, end: range.end }
    }
}
