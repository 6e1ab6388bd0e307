//! The pieces that an archive is never cut in: its front, each frame, its tail. Each is checked when it is read.

use std::ops::Range;

use super::Bundle;
use super::frames::{Content, Span, read_raw};
use crate::Error;
use crate::format::contents::Encoding;
use crate::format::{frame, member};

impl Bundle {
    /// Lengths of all pieces in bytes, in the order of the archive.
    pub fn piece_lengths(&self) -> impl Iterator<Item = u64> + '_ {
        let frames = self.contents.frames.iter().map(|frame| u64::from(frame.length));
        std::iter::once(self.packing.data_offset).chain(frames).chain([tail().len() as u64])
    }

    /// Reads these pieces one after the other, as they stand in the archive.
    ///
    /// Each may be [`Error::Damaged`], [`Error::VolumesMissing`], or an I/O error.
    pub fn read_pieces(&self, range: Range<usize>) -> impl Iterator<Item = Result<Vec<u8>, Error>> + '_ {
        let mut frames = RawFrames { bundle: self, spans: Box::new(std::iter::empty()) };
        let count = self.contents.frames.len();
        range.map(move |piece| match piece.checked_sub(1) {
            None => self.front(),
            Some(number) if number < count => frames.read(u32::try_from(number).unwrap_or(u32::MAX)),
            Some(_) => Ok(tail()),
        })
    }

    /// Head and front, all that lies before the data. What has one form is made again from what was verified; the rest is
    /// read and checked.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::VolumesMissing`], or I/O.
    pub fn front(&self) -> Result<Vec<u8>, Error> {
        let mut front = self.head.encode()?;
        for (number, page) in self.packing.pages.iter().enumerate() {
            front.extend(self.reader().page(number, page)?);
        }
        // That the pages leave room for it was checked when they were verified.
        front.extend(frame::filler(self.packing.data_offset - front.len() as u64));
        Ok(front)
    }
}

/// What stands behind the data.
pub(super) fn tail() -> Vec<u8> {
    frame::stored(&[0; member::END_LEN])
}

/// Reads frames in their order. A chained one can only be checked by its place in its blob.
struct RawFrames<'a> {
    bundle: &'a Bundle,
    /// What is left of the chained blob that the last frame belonged to.
    spans: Box<dyn Iterator<Item = Span> + 'a>,
}

impl RawFrames<'_> {
    fn read(&mut self, number: u32) -> Result<Vec<u8>, Error> {
        let contents = &self.bundle.contents;
        let entry = contents.entries[contents.frames[number as usize].last_blob as usize];
        if entry.encoding != Encoding::Chained {
            return read_raw(self.bundle, number);
        }
        let mut span = self.spans.find(|span| span.frame == number);
        if span.is_none() {
            self.spans = Box::new(entry.spans(&contents.frames));
            span = self.spans.find(|span| span.frame == number);
        }
        match span.map(|span| span.read(self.bundle)).transpose()? {
            Some(Content::Hashed(content)) => Ok(content.into_frame()),
            // Then it is no chained one, and has a hash of its own.
            Some(Content::Plain(_)) | None => read_raw(self.bundle, number),
        }
    }
}
