//! The pieces that an archive is never cut in, each checked when it is read.

use super::Bundle;
use super::data::read_frame;
use crate::Error;
use crate::format::{frame, member};

/// A piece of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Head and front: all that lies before the data.
    Front,
    /// A data frame, by its number.
    Frame(u32),
    /// What stands behind the data.
    Tail,
}

impl Bundle {
    /// All pieces in order, with their lengths in bytes.
    pub fn pieces(&self) -> impl Iterator<Item = (Piece, u64)> + '_ {
        let frames = (0..).zip(&self.contents.frames);
        let frames = frames.map(|(number, frame)| (Piece::Frame(number), u64::from(frame.length)));
        let front = (Piece::Front, self.packing.data_offset);
        let tail = (Piece::Tail, frame::stored_len(member::END_LEN as u64));
        std::iter::once(front).chain(frames).chain([tail])
    }

    /// The bytes of a piece, as they stand in the archive.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::VolumesMissing`], or I/O.
    pub fn piece(&self, piece: Piece) -> Result<Vec<u8>, Error> {
        match piece {
            Piece::Front => self.front(),
            Piece::Frame(number) => read_frame(self, number),
            Piece::Tail => Ok(frame::stored(&[0; member::END_LEN])),
        }
    }

    /// Head and front. What has one form is made again from what was verified; the rest is read and checked.
    fn front(&self) -> Result<Vec<u8>, Error> {
        let mut front = self.head.encode()?;
        for (number, page) in self.packing.pages.iter().enumerate() {
            front.extend(self.reader().page(number, page)?);
        }
        // That the pages leave room for it was checked when they were verified.
        front.extend(frame::filler(self.packing.data_offset - front.len() as u64));
        Ok(front)
    }
}
