//! Reading checked stretches of an archive, and the parts in front of its data.

use std::io;
use std::ops::Range;

use super::{FRONT, PACKING, decode};
use crate::format::head::Head;
use crate::format::packing::{Packing, Page};
use crate::format::{
    FRONT_ALIGN, HEAD_BYTES, MAX_FILE_BYTES, MAX_FRONT_PLAIN_BYTES, PAGE_PLAIN_BYTES, frame, member,
};
use crate::medium::{Medium, Place};
use crate::{Digest, Error, Malformed};

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
        self.taken(part, range, |bytes| if is_right(&bytes) { Ok(bytes) } else { Err(bytes) })
    }

    /// Reads a stretch of `part` and makes something of it; `take` gives back what is wrong.
    pub(super) fn taken<T>(
        self,
        part: &str,
        range: Range<u64>,
        take: impl Fn(Vec<u8>) -> Result<T, Vec<u8>>,
    ) -> Result<T, Error> {
        let unread = match self.read(range.clone()) {
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
            (None, error) => Err(error),
        }
    }

    /// Reads and checks the front pages and the filler behind them: member name → content.
    pub(super) fn front(self, packing: &Packing) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let offset = check_places(packing)?;
        let mut plain = Vec::new();
        for (number, page) in packing.pages.iter().enumerate() {
            let bytes = self.page(number, page)?;
            plain.extend_from_slice(&decode(&page_name(number), &bytes, page.plain_length)?);
        }
        self.check_filler(offset, packing.data_offset)?;
        member::read_all(FRONT, &plain)
    }

    /// Reads a front page, as it stands in the file.
    pub(super) fn page(self, number: usize, page: &Page) -> Result<Vec<u8>, Error> {
        let range = page.offset..page.offset + page.length;
        self.checked(&page_name(number), range, |bytes| Digest::of(bytes) == page.digest)
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

fn page_name(number: usize) -> String {
    format!("front page {number}")
}

/// Refuses pages that are not one behind the other between head and data, or too large; says where they end.
fn check_places(packing: &Packing) -> Result<u64, Error> {
    if packing.length > MAX_FILE_BYTES {
        let what = "the archive, as its packing says,".to_owned();
        return Err(Error::TooLarge { what, size: packing.length, limit: MAX_FILE_BYTES });
    }
    if packing.pages.len() > MAX_PAGES {
        let (size, limit) = (packing.pages.len() as u64, MAX_PAGES as u64);
        return Err(Error::TooLarge { what: "the number of front pages".to_owned(), size, limit });
    }
    let mut end = HEAD_BYTES;
    for (number, page) in packing.pages.iter().enumerate() {
        let Page { offset, length, plain_length, .. } = *page;
        let false_length = |item: String, length, most: u64| {
            let why = format!("it goes from 1 to {most}");
            Err(Malformed::FalseLength { part: PACKING, item, length, why }.into())
        };
        if !(1..=PAGE_PLAIN_BYTES).contains(&plain_length) {
            return false_length(
                format!("the content of front page {number}"),
                plain_length,
                PAGE_PLAIN_BYTES,
            );
        }
        if !(1..=frame::stored_len(plain_length)).contains(&length) {
            return false_length(format!("front page {number}"), length, frame::stored_len(plain_length));
        }
        Malformed::place(PACKING, format!("front page {number}"), offset, end)?;
        end += length;
    }
    let plain: u64 = packing.pages.iter().map(|p| p.plain_length).sum();
    if plain > MAX_FRONT_PLAIN_BYTES {
        let what = "the front of the archive".to_owned();
        return Err(Error::TooLarge { what, size: plain, limit: MAX_FRONT_PLAIN_BYTES });
    }
    // The filler must have room for its header, and be no longer than what the pages could have needed.
    let (data, filler_end) = (packing.data_offset, end + frame::MIN_FILLER);
    if data < filler_end {
        return Err(Malformed::Overlap {
            part: PACKING,
            item: "the data".to_owned(),
            start: data,
            end: filler_end,
        }
        .into());
    }
    if data - end > MAX_FRONT_PLAIN_BYTES {
        return Err(Malformed::StrayFiller { part: FRONT.to_owned() }.into());
    }
    if data > packing.length || !data.is_multiple_of(FRONT_ALIGN) {
        let why = format!("byte {data} is no multiple of {FRONT_ALIGN}, or behind the end of the file");
        return Err(Malformed::Outside { part: PACKING, item: "the data".to_owned(), why }.into());
    }
    Ok(end)
}
