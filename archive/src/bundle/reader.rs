//! Reading checked stretches of an archive, and the parts in front of its data.

use std::io;
use std::ops::Range;

use super::decode;
use crate::format::head::Head;
use crate::format::packing::{Packing, Page};
use crate::format::{FRONT_ALIGN, HEAD_BYTES, MAX_FRONT_PLAIN_BYTES, PAGE_PLAIN_BYTES, frame, member};
use crate::medium::{Medium, Place};
use crate::{Digest, Error};

/// Most pages that a packing may name.
const MAX_PAGES: usize = 64;
/// How much filler is read at a time.
const FILLER_PIECE: u64 = 64 << 10;

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
        let cause = match self.read(range.clone()) {
            Ok(bytes) if is_right(&bytes) => return Ok(bytes),
            Ok(_) => None,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            // A sector that cannot be read and a volume that is not there are damage like any other, unless nobody can
            // make up for it.
            Err(error) => Some(error),
        };
        let damaged = || self.damaged(part, range.clone());
        self.repaired(range.clone(), is_right)?.ok_or_else(|| cause.unwrap_or_else(damaged))
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
        let parse = |bytes: Vec<u8>| Head::parse(self.0.name(), &bytes);
        let error = match self.read(area.clone()).and_then(parse) {
            Err(
                error @ (Error::Io(_)
                | Error::Damaged { .. }
                | Error::NotAnArchive { .. }
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
            (None, error) => Err(error),
        }
    }

    /// Reads and checks the front pages and the filler behind them: member name → content.
    pub(super) fn front(self, packing: &Packing) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let offset = check_places(packing)?;
        let mut plain = Vec::new();
        for (number, page) in packing.pages.iter().enumerate() {
            let part = format!("front page {number}");
            let range = page.offset..page.offset + page.length;
            let bytes = self.checked(&part, range, |bytes| Digest::of(bytes) == page.digest)?;
            plain.extend_from_slice(&decode(&part, &bytes, page.plain_length)?);
        }
        self.check_filler(offset, packing.data_offset)?;
        member::read_all("the front", &plain)
    }

    fn check_filler(self, start: u64, end: u64) -> Result<(), Error> {
        const PART: &str = "the filler of the front";
        let header = frame::filler_header(end - start);
        let header_end = start + frame::MIN_FILLER;
        self.checked(PART, start..header_end, |bytes| bytes == header)?;
        let mut at = header_end;
        while at < end {
            let piece_end = end.min(at + FILLER_PIECE);
            self.checked(PART, at..piece_end, |bytes| bytes.iter().all(|&b| b == 0))?;
            at = piece_end;
        }
        Ok(())
    }

    fn damaged(self, part: &str, range: Range<u64>) -> Error {
        let Place { file, range } = self.0.place(range);
        Error::Damaged { file, part: part.to_owned(), start: range.start, end: range.end }
    }
}

/// Refuses pages that are not one behind the other between head and data, or too large; says where they end.
fn check_places(packing: &Packing) -> Result<u64, Error> {
    let refuse = |why: String| Error::inconsistent("pack.json", why);
    if packing.pages.len() > MAX_PAGES {
        let (size, limit) = (packing.pages.len() as u64, MAX_PAGES as u64);
        return Err(Error::TooLarge { what: "the number of front pages".to_owned(), size, limit });
    }
    let mut end = HEAD_BYTES;
    for (number, page) in packing.pages.iter().enumerate() {
        let Page { offset, length, plain_length, .. } = *page;
        let fits = (1..=PAGE_PLAIN_BYTES).contains(&plain_length)
            && (1..=frame::stored_len(plain_length)).contains(&length)
            && offset == end;
        if !fits {
            return Err(refuse(format!("front page {number} is not where it can be")));
        }
        end += length;
    }
    let plain: u64 = packing.pages.iter().map(|p| p.plain_length).sum();
    if plain > MAX_FRONT_PLAIN_BYTES {
        let what = "the front of the archive".to_owned();
        return Err(Error::TooLarge { what, size: plain, limit: MAX_FRONT_PLAIN_BYTES });
    }
    // The filler must have room for its header, and be no longer than what the pages could have needed.
    let room = packing
        .data_offset
        .checked_sub(end)
        .ok_or_else(|| refuse("the data begins in the front".to_owned()))?;
    if !(frame::MIN_FILLER..=MAX_FRONT_PLAIN_BYTES).contains(&room)
        || packing.data_offset > packing.length
        || !packing.data_offset.is_multiple_of(FRONT_ALIGN)
    {
        return Err(refuse("the data does not begin where it can".to_owned()));
    }
    Ok(end)
}
