//! The contents: which frame is where and which blob lies in which frames. Fixed-width little-endian records in one
//! tar member, so that 100 GB are found in a few megabytes and without a parser to speak of.
//!
//! ```text
//! header  16  "SLCONT01", frames u32, blobs u32
//! frame   44  length u32, plain length u32, hash, last blob that uses it u32
//! blob    60  SHA-256, size u64, encoding u32 (0 = identity, 1 = chained), frame u32, offset u32 in its content, length u64
//! ```
//!
//! The hash of a frame is that of its bytes as they stand in the file, or, where a chained blob lies, a link of the blob's
//! own SHA-256: see [`Encoding`].
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
    /// What it is checked against, as the [`Encoding`] of the blobs in it says.
    pub hash: [u8; 32],
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
    /// How it is kept there.
    pub encoding: Encoding,
}

/// How a blob is kept in its frames, and what these are checked against. Either way its bytes stand there as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// In frames of any form, together with others. The hash of such a frame is the SHA-256 of the frame as it stands in the
    /// file.
    Identity,
    /// In stored frames of its own. The hash of such a frame is the SHA-256 chaining state of the blob behind the content in
    /// it; that of the last one is the blob's digest.
    Chained,
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
            out.extend_from_slice(&frame.hash);
            out.extend_from_slice(&frame.last_blob.to_le_bytes());
        }
        for entry in &self.entries {
            out.extend_from_slice(entry.blob.digest.as_raw());
            out.extend_from_slice(&entry.blob.size.to_le_bytes());
            out.extend_from_slice(&entry.encoding.number().to_le_bytes());
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

impl Encoding {
    const fn number(self) -> u32 {
        match self {
            Self::Identity => 0,
            Self::Chained => 1,
        }
    }

    fn of(number: u32) -> Option<Self> {
        [Self::Identity, Self::Chained].into_iter().find(|encoding| encoding.number() == number)
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
        if self.next > end {
            return Err("runs out of the data");
        }
        match entry.encoding {
            Encoding::Identity => Ok(()),
            Encoding::Chained => self.check_chained(frames, entry),
        }
    }

    /// Refuses a chained blob that has just been moved over unless its frames hold its member alone, stored, and lead to
    /// its digest.
    fn check_chained(&self, frames: &[Frame], entry: &Entry) -> Result<(), &'static str> {
        if u64::from(entry.offset) != member::HEADER_LEN {
            return Err("is chained and does not begin with its frame");
        }
        let end = self
            .starts
            .binary_search(&self.next)
            .map_err(|_| "is chained and does not end with its frame")?;
        let own = &frames[entry.frame as usize..end];
        let is_stored =
            |frame: &Frame| u64::from(frame.length) == frame::stored_len(frame.plain_length.into());
        if !own.iter().all(is_stored) {
            return Err("is chained and not stored");
        }
        match own.last() {
            Some(last) if last.hash == *entry.blob.digest.as_raw() => Ok(()),
            _ => Err("is chained and its frames lead to another digest"),
        }
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
        Some(Frame { offset, length, plain_length, hash: self.take()?, last_blob: self.u32()? })
    }

    fn entry(&mut self) -> Option<Result<Entry, Error>> {
        let digest = Digest::from_raw(self.take()?);
        let size = self.u64()?;
        let number = self.u32()?;
        let (frame, offset, length) = (self.u32()?, self.u32()?, self.u64()?);
        let Some(encoding) = Encoding::of(number) else {
            return Some(Err(Error::needs_newer(NAME, &format!("encoding-{number}"), UNTOLD)));
        };
        Some(if length == size {
            Ok(Entry { blob: Blob { digest, size }, frame, offset, encoding })
        } else {
            Err(Error::inconsistent(NAME, format!("{digest} is {size} bytes long, its extent {length}")))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAMPLE_BYTES: u64 = 600 + CHAINED_BYTES;
    const CHAINED_BYTES: u64 = frame::stored_len(1024) + frame::stored_len(512) + frame::stored_len(512);

    /// Two members of 600 and 10 bytes, in frames of 1024, 512 and 1024; then two that are chained, of 1000 and no bytes, in
    /// frames of 1024 and 512, and of 512.
    fn sample() -> Contents {
        let mut offset = 0;
        let mut frame = |length: u64, plain_length, hash: [u8; 32], last_blob| {
            let frame =
                Frame { offset, length: u32::try_from(length).unwrap(), plain_length, hash, last_blob };
            offset += length;
            frame
        };
        let entry = |content: &[u8], size, frame, encoding| Entry {
            blob: Blob { size, ..Blob::of(content) },
            frame,
            offset: 512,
            encoding,
        };
        let (some, raw) = ([1; 32], |content: &[u8]| *Digest::of(content).as_raw());
        Contents {
            frames: vec![
                frame(100, 1024, some, 0),
                frame(200, 512, some, 0),
                frame(300, 1024, some, 1),
                frame(frame::stored_len(1024), 1024, some, 2),
                frame(frame::stored_len(512), 512, raw(b"c"), 2),
                frame(frame::stored_len(512), 512, raw(b""), 3),
            ],
            entries: vec![
                entry(b"a", 600, 0, Encoding::Identity),
                entry(b"b", 10, 2, Encoding::Identity),
                entry(b"c", 1000, 3, Encoding::Chained),
                entry(b"", 0, 5, Encoding::Chained),
            ],
        }
    }

    impl Contents {
        /// Has the two blobs of the middle lie in one stored frame; the one of this number is chained.
        fn share_a_frame(&mut self, chained: usize) {
            let length = u32::try_from(frame::stored_len(2048)).unwrap();
            self.frames.drain(3..);
            self.frames[2].length += u32::try_from(CHAINED_BYTES).unwrap() - length;
            let last = self.frames[2];
            let offset = last.offset + u64::from(last.length);
            self.frames.push(Frame { offset, length, plain_length: 2048, last_blob: 3, ..last });
            let [.., first, second] = &mut self.entries[..] else { panic!("four blobs") };
            (second.frame, second.offset) = (3, 2048);
            (first.encoding, second.encoding) = (Encoding::Identity, Encoding::Identity);
            self.entries[2 + chained].encoding = Encoding::Chained;
        }
    }

    #[test]
    fn contents_are_read_as_they_were_written() {
        let bytes = sample().encode().unwrap();
        assert_eq!(bytes.len() as u64, encoded_len(6, 4));
        assert_eq!(Contents::parse(&bytes, SAMPLE_BYTES).unwrap(), sample());
    }

    #[test]
    fn contents_that_lie_are_refused() {
        let change = |change: fn(&mut Contents)| {
            let mut bad = sample();
            change(&mut bad);
            Contents::parse(&bad.encode().unwrap(), SAMPLE_BYTES).unwrap_err().to_string()
        };
        let cases = [
            ("must be", change(|c| c.entries[1].offset = 80)),
            ("must be", change(|c| c.entries[0].offset = 0)),
            ("must be", change(|c| c.entries[1].frame = 1)),
            ("must be", change(|c| c.entries[0].blob.size = 0)),
            ("must be", change(|c| c.entries[1].blob.size = 513)),
            ("runs out", change(|c| c.entries[2].blob.size = 2000)),
            ("runs out", change(|c| c.entries[1].blob.size = 1 << 63)),
            ("runs out", change(|c| c.entries[1].blob.size = u64::MAX)),
            ("runs out", change(|c| c.entries[1].frame = 6)),
            ("must be", change(|c| c.entries[1].blob.size = 0)),
            ("hold more", change(|c| (c.frames[5].last_blob, _) = (2, c.entries.pop()))),
            ("another last blob", change(|c| c.frames[1].last_blob = 1)),
            ("not there", change(|c| c.frames[0].last_blob = 4)),
            ("not allowed", change(|c| c.frames[0].plain_length = 0)),
            ("not allowed", change(|c| c.frames[0].plain_length = 1000)),
            ("not allowed", change(|c| c.frames[0].plain_length = u32::MAX - 511)),
            ("not allowed", change(|c| c.frames[1].length = 600)),
            ("bytes long, the data is", change(|c| c.frames[1].length = 201)),
            ("chained and not stored", change(|c| c.entries[0].encoding = Encoding::Chained)),
            ("chained and not stored", change(|c| (c.frames[2].length, c.frames[3].length) = (301, 1039))),
            ("lead to another digest", change(|c| c.frames[4].hash[31] ^= 1)),
            ("lead to another digest", change(|c| c.entries[3].blob.digest = Digest::of(b"d"))),
            ("does not end with its frame", change(|c| c.share_a_frame(0))),
            ("does not begin with its frame", change(|c| c.share_a_frame(1))),
        ];
        for (expected, said) in cases {
            assert!(said.contains(expected), "{expected}: {said}");
        }
        let good = sample().encode().unwrap();
        for len in 0..good.len() {
            assert!(Contents::parse(&good[..len], SAMPLE_BYTES).is_err(), "cut to {len}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400), counts in any::<[u8; 8]>()) {
            let _ = Contents::parse(&bytes, SAMPLE_BYTES);
            let mut likely = sample().encode().unwrap();
            let from = 16 + usize::from(counts[0]) % 240;
            likely.splice(from..from + bytes.len().min(8), bytes.iter().take(8).copied());
            let _ = Contents::parse(&likely, SAMPLE_BYTES);
        }
    }
}
