//! The contents: which frame is where and which blob lies in which frames. Fixed-width little-endian records in one
//! tar member, so that 100 GB are found in a few megabytes and without a parser to speak of.
//!
//! ```text
//! header  16  "SLCONT01", frames u32, blobs u32
//! frame   44  length u32, plain length u32, SHA-256 as it stands in the file, last blob that uses it u32
//! blob    60  SHA-256, size u64, encoding u32 (0 = identity), frame u32, offset u32 in its content, length u64
//! ```
//!
//! Frames follow each other without a gap from the data offset on. Blobs stand in the order of their data. A blob of
//! this version is one extent: it starts in `frame` at `offset` and runs on through the following frames.

use super::{MAX_PLAIN_BYTES, TAR_BLOCK, frame};
use crate::{Blob, Digest, Error};

const MAGIC: &[u8; 8] = b"SLCONT01";
const HEADER_LEN: usize = 16;
const FRAME_LEN: usize = 44;
const BLOB_LEN: usize = 60;
const IDENTITY: u32 = 0;
const NAME: &str = "contents";

/// A data frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// First byte, counted from the data offset; follows from the lengths before it.
    pub offset: u64,
    /// Length as it stands in the file.
    pub length: u32,
    /// Length of its content.
    pub plain_length: u32,
    /// SHA-256 as it stands in the file.
    pub digest: Digest,
    /// Index of the last blob that uses it: what a reader may forget after it.
    pub last_blob: u32,
}

/// A blob and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The blob.
    pub blob: Blob,
    /// Index of the frame in which it starts.
    pub frame: u32,
    /// Offset in that frame's content.
    pub offset: u32,
}

/// What is where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The data frames, in order.
    pub frames: Vec<Frame>,
    /// The blobs, in order of their data.
    pub entries: Vec<Entry>,
}

/// Length of the contents of so many frames and blobs.
#[must_use]
pub const fn encoded_len(frames: u64, blobs: u64) -> u64 {
    HEADER_LEN as u64 + FRAME_LEN as u64 * frames + BLOB_LEN as u64 * blobs
}

impl Contents {
    /// The tar member's content.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if there are 2^32 or more frames or blobs.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let count = |what: &str, n: usize| {
            let limit = u64::from(u32::MAX);
            u32::try_from(n).map_err(|_| Error::TooLarge { what: what.to_owned(), size: n as u64, limit })
        };
        let mut out =
            Vec::with_capacity(HEADER_LEN + FRAME_LEN * self.frames.len() + BLOB_LEN * self.entries.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&count("the number of frames", self.frames.len())?.to_le_bytes());
        out.extend_from_slice(&count("the number of blobs", self.entries.len())?.to_le_bytes());
        for frame in &self.frames {
            out.extend_from_slice(&frame.length.to_le_bytes());
            out.extend_from_slice(&frame.plain_length.to_le_bytes());
            out.extend_from_slice(frame.digest.as_raw());
            out.extend_from_slice(&frame.last_blob.to_le_bytes());
        }
        for entry in &self.entries {
            out.extend_from_slice(entry.blob.digest.as_raw());
            out.extend_from_slice(&entry.blob.size.to_le_bytes());
            out.extend_from_slice(&IDENTITY.to_le_bytes());
            out.extend_from_slice(&entry.frame.to_le_bytes());
            out.extend_from_slice(&entry.offset.to_le_bytes());
            out.extend_from_slice(&entry.blob.size.to_le_bytes());
        }
        Ok(out)
    }

    /// Reads the contents and checks that they describe `data_bytes` bytes of frames in which every blob lies whole,
    /// behind the one before.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] with the record that is wrong; [`Error::NeedsNewer`] for an encoding of a later version.
    pub fn parse(bytes: &[u8], data_bytes: u64) -> Result<Self, Error> {
        let refuse = |why: String| Error::inconsistent(NAME, why);
        let mut input = Input(bytes);
        if input.take::<8>() != Some(*MAGIC) {
            return Err(refuse("it does not begin with its magic number".to_owned()));
        }
        let cut = || refuse("its length does not fit its counts".to_owned());
        let frame_count = input.u32().ok_or_else(cut)?;
        let blob_count = input.u32().ok_or_else(cut)?;
        // Before anything is allocated for the counts: the bytes themselves are the bound.
        if bytes.len() as u64 != encoded_len(frame_count.into(), blob_count.into()) {
            return Err(cut());
        }
        let mut contents = Self::default();
        let mut offset = 0_u64;
        for index in 0..frame_count {
            let frame = input.frame(offset).ok_or_else(cut)?;
            frame.check(blob_count).map_err(|why| refuse(format!("frame {index} {why}")))?;
            offset += u64::from(frame.length);
            contents.frames.push(frame);
        }
        if offset != data_bytes {
            return Err(refuse(format!("its frames are {offset} bytes long, the data is {data_bytes}")));
        }
        let mut place = Place::default();
        for index in 0..blob_count {
            let entry = input.entry().ok_or_else(cut)??;
            place.advance(&contents.frames, &entry).map_err(|why| refuse(format!("blob {index} {why}")))?;
            contents.entries.push(entry);
        }
        Ok(contents)
    }
}

impl Frame {
    fn check(&self, blob_count: u32) -> Result<(), &'static str> {
        let plain = u64::from(self.plain_length);
        if plain == 0 || plain > MAX_PLAIN_BYTES || plain % TAR_BLOCK != 0 {
            Err("has a content of a size that is not allowed")
        } else if self.length == 0 || u64::from(self.length) > frame::stored_len(plain) {
            // What does not shrink is stored, so no frame is longer than its stored form.
            Err("has a length that is not allowed")
        } else if self.last_blob >= blob_count {
            Err("names a blob that is not there")
        } else {
            Ok(())
        }
    }
}

/// The end of the last blob that was placed.
#[derive(Default)]
struct Place {
    frame: usize,
    offset: u64,
}

impl Place {
    /// Moves over one blob. Blobs may not overlap, go backward, or run out of the frames.
    fn advance(&mut self, frames: &[Frame], entry: &Entry) -> Result<(), &'static str> {
        let start = (entry.frame as usize, u64::from(entry.offset));
        if start < (self.frame, self.offset) {
            return Err("overlaps the one before");
        }
        let mut left = entry.blob.size;
        let (mut index, mut offset) = start;
        loop {
            let frame = frames.get(index).ok_or("runs out of the data")?;
            let room = u64::from(frame.plain_length).checked_sub(offset).ok_or("starts behind its frame")?;
            if left <= room {
                (self.frame, self.offset) = (index, offset + left);
                return Ok(());
            }
            left -= room;
            (index, offset) = (index + 1, 0);
        }
    }
}

/// The bytes that have not been read yet.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn frame(&mut self, offset: u64) -> Option<Frame> {
        let (length, plain_length) = (self.u32()?, self.u32()?);
        let digest = Digest::from_raw(self.take()?);
        Some(Frame { offset, length, plain_length, digest, last_blob: self.u32()? })
    }

    fn entry(&mut self) -> Option<Result<Entry, Error>> {
        let digest = Digest::from_raw(self.take()?);
        let size = self.u64()?;
        let encoding = self.u32()?;
        let entry = Entry { blob: Blob { digest, size }, frame: self.u32()?, offset: self.u32()? };
        let length = self.u64()?;
        Some(if encoding != IDENTITY {
            let feature = format!("encoding {encoding}");
            Err(Error::NeedsNewer { document: NAME.to_owned(), feature, since: "a newer version".to_owned() })
        } else if length != size {
            Err(Error::inconsistent(NAME, format!("{digest} is {size} bytes long, its extent {length}")))
        } else {
            Ok(entry)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Contents {
        let frame = |offset, length, plain_length, last_blob| Frame {
            offset,
            length,
            plain_length,
            digest: Digest::of(&[1]),
            last_blob,
        };
        let entry = |content: &[u8], size, frame, offset| Entry {
            blob: Blob { size, ..Blob::of(content) },
            frame,
            offset,
        };
        Contents {
            frames: vec![frame(0, 100, 1024, 0), frame(100, 500, 512, 1)],
            entries: vec![entry(b"a", 600, 0, 512), entry(b"b", 10, 1, 100)],
        }
    }

    #[test]
    fn contents_are_read_as_they_were_written() {
        let bytes = sample().encode().unwrap();
        assert_eq!(bytes.len() as u64, encoded_len(2, 2));
        assert_eq!(Contents::parse(&bytes, 600).unwrap(), sample());
    }

    #[test]
    fn contents_that_lie_are_refused() {
        let change = |change: fn(&mut Contents)| {
            let mut bad = sample();
            change(&mut bad);
            Contents::parse(&bad.encode().unwrap(), 600).unwrap_err().to_string()
        };
        let cases = [
            ("overlaps", change(|c| c.entries[1].offset = 80)),
            ("runs out", change(|c| c.entries[1].blob.size = 413)),
            ("runs out", change(|c| c.entries[1].blob.size = 1 << 63)),
            ("runs out", change(|c| c.entries[1].frame = 2)),
            ("starts behind", change(|c| c.entries[1].offset = 513)),
            ("not there", change(|c| c.frames[0].last_blob = 2)),
            ("not allowed", change(|c| c.frames[0].plain_length = 0)),
            ("not allowed", change(|c| c.frames[0].plain_length = 1000)),
            ("not allowed", change(|c| c.frames[0].plain_length = u32::MAX - 511)),
            ("not allowed", change(|c| c.frames[1].length = 600)),
            ("bytes long, the data is", change(|c| c.frames[1].length = 501)),
        ];
        for (expected, said) in cases {
            assert!(said.contains(expected), "{expected}: {said}");
        }
        let good = sample().encode().unwrap();
        for len in 0..good.len() {
            assert!(Contents::parse(&good[..len], 600).is_err(), "cut to {len}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400), counts in any::<[u8; 8]>()) {
            let _ = Contents::parse(&bytes, 600);
            let mut likely = sample().encode().unwrap();
            let from = 16 + usize::from(counts[0]) % 200;
            likely.splice(from..from + bytes.len().min(8), bytes.iter().take(8).copied());
            let _ = Contents::parse(&likely, 600);
        }
    }
}
