//! The front, page by page and member by member, so that no more than a page and a member of it are in memory.

use std::iter::Enumerate;
use std::ops::Range;
use std::slice::Iter;

use super::reader::{Reader, page_name};
use super::{FRONT, PACKING, decode};
use crate::format::packing::{Packing, Page};
use crate::format::{
    FRONT_ALIGN, HEAD_BYTES, MAX_FRONT_MEMBER_BYTES, MAX_FRONT_PLAIN_BYTES, PAGE_PLAIN_BYTES, frame, member,
};
use crate::{Error, Malformed};

/// Most pages that a packing may name.
const MAX_PAGES: usize = 64;
/// How much filler is read at a time.
const FILLER_PIECE: u64 = 64 << 10;

/// The tar stream in the front pages, of which the first members have been taken.
pub(super) struct Front<'a> {
    reader: Reader<'a>,
    pages: Enumerate<Iter<'a, Page>>,
    filler: Range<u64>,
    /// The content of the current page, and how much of it has been taken.
    plain: Vec<u8>,
    at: usize,
    /// How much has been taken of all pages, for messages.
    taken: u64,
}

impl<'a> Front<'a> {
    /// Checks where the pages are; reads none yet.
    pub(super) fn open(reader: Reader<'a>, packing: &'a Packing) -> Result<Self, Error> {
        let filler = check_places(packing)?..packing.data_offset;
        let pages = packing.pages.iter().enumerate();
        Ok(Self { reader, pages, filler, plain: Vec::new(), at: 0, taken: 0 })
    }

    /// Takes the next member, which has this name and is at most `most` bytes long.
    pub(super) fn take(&mut self, name: &str, most: u64) -> Result<Vec<u8>, Error> {
        let Some((found, size)) = self.header()? else { return Err(Malformed::missing(FRONT, name)) };
        if found != name {
            return Err(Malformed::missing(FRONT, name));
        }
        if size > most.min(MAX_FRONT_MEMBER_BYTES) {
            let (item, why) = (format!("member `{name}`"), format!("{most} is the most that is announced"));
            return Err(Malformed::FalseLength { part: FRONT, item, length: size, why }.into());
        }
        let content = self.bytes(size)?;
        let padding = self.bytes(member::padding(size))?;
        if padding.iter().all(|&b| b == 0) { Ok(content) } else { Err(self.foreign(padding.len())) }
    }

    /// Makes sure that nothing is left but the filler.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        match self.header()? {
            Some((name, _)) => Err(Malformed::unexpected(FRONT, &name)),
            None => self.check_filler(),
        }
    }

    /// The header of the next member; `None` at the end.
    fn header(&mut self) -> Result<Option<(String, u64)>, Error> {
        if !self.has_more()? {
            return Ok(None);
        }
        let start = self.taken;
        let bytes = self.bytes(member::HEADER_LEN)?;
        let block = bytes.first_chunk().ok_or_else(|| self.foreign(bytes.len()))?;
        member::read_header(FRONT, block, start).map(Some)
    }

    fn bytes(&mut self, size: u64) -> Result<Vec<u8>, Error> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(size);
        while bytes.len() < size && self.has_more()? {
            let rest = &self.plain[self.at..];
            let piece = &rest[..rest.len().min(size - bytes.len())];
            bytes.extend_from_slice(piece);
            self.at += piece.len();
            self.taken += piece.len() as u64;
        }
        if bytes.len() == size { Ok(bytes) } else { Err(self.foreign(bytes.len())) }
    }

    /// Reads the next page if nothing is left of this one; `false` if there is none.
    fn has_more(&mut self) -> Result<bool, Error> {
        if self.at < self.plain.len() {
            return Ok(true);
        }
        let Some((number, page)) = self.pages.next() else { return Ok(false) };
        // Before the next page comes this one goes.
        (self.plain, self.at) = (Vec::new(), 0);
        let bytes = self.reader.page(number, page)?;
        self.plain = decode(&page_name(number), &bytes, page.plain_length, Vec::new())?;
        Ok(true)
    }

    /// The last `len` bytes that were taken are not what they must be.
    fn foreign(&self, len: usize) -> Error {
        Malformed::foreign(FRONT, self.taken - len as u64)
    }

    fn check_filler(&self) -> Result<(), Error> {
        const PART: &str = "the filler of the front";
        let Range { start, end } = self.filler;
        let header = frame::filler_header(end - start);
        let header_end = start + frame::MIN_FILLER;
        self.reader.checked(PART, start..header_end, |bytes| bytes == header)?;
        let mut at = header_end;
        while at < end {
            let piece_end = end.min(at + FILLER_PIECE);
            self.reader.checked(PART, at..piece_end, |bytes| bytes.iter().all(|&b| b == 0))?;
            at = piece_end;
        }
        Ok(())
    }
}

/// Refuses pages that are not one behind the other between head and data, or too large; says where they end.
fn check_places(packing: &Packing) -> Result<u64, Error> {
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
