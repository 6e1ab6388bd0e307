//! The contents: which frame is where and which blob lies in which frames. Fixed-width little-endian records in one
//! tar member, so that 100 GB are found in a few megabytes and without a parser to speak of.
//!
//! ```text
//! header  16  "SLCONT01", frames u32, blobs u32
//! frame   44  length u32, plain length u32, SHA-256 as it stands in the file, last blob that uses it u32
//! blob    60  SHA-256, size u64, encoding u32 (0 = identity), frame u32, offset u32 in its content, length u64
//! ```
//!
//! Frames follow each other without a gap from the data offset on. A blob of this version is one extent: it starts in
//! `frame` at `offset` and runs on through the following frames. The frames hold the blobs' tar members, one behind the
//! other in this order, and nothing else; so every place follows from the sizes, and is checked against them.

use super::packing::UNTOLD;
use super::{MAX_PLAIN_BYTES, TAR_BLOCK, frame, member};
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
    /// Index of the last blob that starts in it or before it: with that blob, a reader may forget the frame.
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

    /// Reads the contents and checks that they describe `data_bytes` bytes of frames that hold the blobs' members and
    /// nothing else.
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
        let mut stream = Stream::over(&contents.frames);
        for index in 0..blob_count {
            let entry = input.entry().ok_or_else(cut)??;
            stream.advance(&contents.frames, &entry).map_err(|why| refuse(format!("blob {index} {why}")))?;
            contents.entries.push(entry);
        }
        if !stream.is_used_up() {
            return Err(refuse("its frames hold more than its blobs".to_owned()));
        }
        for (index, frame) in (0_u32..).zip(&contents.frames) {
            let begun = contents.entries.partition_point(|entry| entry.frame <= index);
            if begun != frame.last_blob as usize + 1 {
                return Err(refuse(format!("frame {index} names another last blob than it has")));
            }
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

/// The tar stream that the frames hold, and how much of it has found its blob.
struct Stream {
    /// Where each frame's content begins in the stream, and where the last one's ends.
    starts: Vec<u64>,
    /// Where the next member begins.
    next: u64,
}

impl Stream {
    fn over(frames: &[Frame]) -> Self {
        let mut starts = Vec::with_capacity(frames.len() + 1);
        let mut at = 0_u64;
        starts.push(at);
        for frame in frames {
            at += u64::from(frame.plain_length);
            starts.push(at);
        }
        Self { starts, next: 0 }
    }

    /// Moves over one member; says why if the blob is not where it must be.
    fn advance(&mut self, frames: &[Frame], entry: &Entry) -> Result<(), &'static str> {
        let frame = frames.get(entry.frame as usize).ok_or("runs out of the data")?;
        // One place has one spelling: content starts before the end of its frame, an empty one behind its header.
        let is_in_frame = if entry.blob.size == 0 {
            (1..=frame.plain_length).contains(&entry.offset)
        } else {
            entry.offset < frame.plain_length
        };
        let start = self.starts[entry.frame as usize] + u64::from(entry.offset);
        if !is_in_frame || start != self.next + member::HEADER_LEN {
            return Err("is not where its member must be");
        }
        let end = self.starts.last().copied().unwrap_or(0);
        // Compared before it is added: a size may be anything.
        if entry.blob.size > end - start {
            return Err("runs out of the data");
        }
        self.next = start + entry.blob.size + member::padding(entry.blob.size);
        if self.next > end { Err("runs out of the data") } else { Ok(()) }
    }

    fn is_used_up(&self) -> bool {
        self.starts.last() == Some(&self.next)
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
            Err(Error::needs_newer(NAME, &format!("encoding-{encoding}"), UNTOLD))
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

    /// Two members of 600 and 10 bytes, in frames of 1024, 512 and 1024.
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
            frames: vec![frame(0, 100, 1024, 0), frame(100, 200, 512, 0), frame(300, 300, 1024, 1)],
            entries: vec![entry(b"a", 600, 0, 512), entry(b"b", 10, 2, 512)],
        }
    }

    #[test]
    fn contents_are_read_as_they_were_written() {
        let bytes = sample().encode().unwrap();
        assert_eq!(bytes.len() as u64, encoded_len(3, 2));
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
            ("must be", change(|c| c.entries[1].offset = 80)),
            ("must be", change(|c| c.entries[0].offset = 0)),
            ("must be", change(|c| c.entries[1].frame = 1)),
            ("must be", change(|c| c.entries[0].blob.size = 0)),
            ("runs out", change(|c| c.entries[1].blob.size = 513)),
            ("runs out", change(|c| c.entries[1].blob.size = 1 << 63)),
            ("runs out", change(|c| c.entries[1].blob.size = u64::MAX)),
            ("runs out", change(|c| c.entries[1].frame = 3)),
            ("hold more", change(|c| c.entries[1].blob.size = 0)),
            ("another last blob", change(|c| c.frames[1].last_blob = 1)),
            ("not there", change(|c| c.frames[0].last_blob = 2)),
            ("not allowed", change(|c| c.frames[0].plain_length = 0)),
            ("not allowed", change(|c| c.frames[0].plain_length = 1000)),
            ("not allowed", change(|c| c.frames[0].plain_length = u32::MAX - 511)),
            ("not allowed", change(|c| c.frames[1].length = 600)),
            ("bytes long, the data is", change(|c| c.frames[1].length = 201)),
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
            let from = 16 + usize::from(counts[0]) % 240;
            likely.splice(from..from + bytes.len().min(8), bytes.iter().take(8).copied());
            let _ = Contents::parse(&likely, 600);
        }
    }
}
