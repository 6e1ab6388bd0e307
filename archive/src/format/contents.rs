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
use super::{MAX_BLOB_BYTES, MAX_PLAIN_BYTES, TAR_BLOCK, frame, member};
use crate::{Blob, Digest, Error, Malformed};

const MAGIC: &[u8; 8] = b"SLCONT01";
const HEADER_LEN: usize = 16;
const FRAME_LEN: usize = 44;
const BLOB_LEN: usize = 60;
const NAME: &str = "contents";
const PART: &str = "the contents";

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
    /// [`Error::Malformed`] with the record that is wrong; [`Error::NeedsNewer`] for an encoding of a later version.
    pub fn parse(bytes: &[u8], data_bytes: u64) -> Result<Self, Error> {
        let mut input = Input(bytes);
        if input.take::<8>() != Some(*MAGIC) {
            return Err(Error::inconsistent(NAME, "it does not begin with its magic number"));
        }
        let found = bytes.len() as u64;
        let cut = |counted| move || Malformed::Miscounted { part: PART, counted, found };
        let frame_count = input.u32().ok_or_else(cut(HEADER_LEN as u64))?;
        let blob_count = input.u32().ok_or_else(cut(HEADER_LEN as u64))?;
        // Before anything is allocated for the counts: the bytes themselves are the bound.
        let counted = encoded_len(frame_count.into(), blob_count.into());
        if found != counted {
            return Err(cut(counted)().into());
        }
        let capacity = |count: u32| usize::try_from(count).unwrap_or(0);
        let mut contents = Self {
            frames: Vec::with_capacity(capacity(frame_count)),
            entries: Vec::with_capacity(capacity(blob_count)),
        };
        let mut offset = 0_u64;
        for index in 0..frame_count {
            let frame = input.frame(offset).ok_or_else(cut(counted))?;
            frame.check(index, blob_count)?;
            offset += u64::from(frame.length);
            contents.frames.push(frame);
        }
        if offset != data_bytes {
            let (item, why) =
                ("all frames together".to_owned(), format!("the data is {data_bytes} bytes long"));
            return Err(Malformed::FalseLength { part: PART, item, length: offset, why }.into());
        }
        let mut stream = Stream::over(&contents.frames);
        for index in 0..blob_count {
            let entry = input.entry().ok_or_else(cut(counted))??;
            stream.advance(&contents.frames, index, &entry)?;
            contents.entries.push(entry);
        }
        Malformed::place(PART, "the end of the last frame".to_owned(), stream.end(), stream.next)?;
        for (index, frame) in (0_u32..).zip(&contents.frames) {
            let begun = contents.entries.partition_point(|entry| entry.frame <= index);
            if begun != frame.last_blob as usize + 1 {
                return Err(Error::inconsistent(
                    NAME,
                    format!("frame {index} names another last blob than it has"),
                ));
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
    fn check(&self, index: u32, blob_count: u32) -> Result<(), Malformed> {
        let (length, plain) = (u64::from(self.length), u64::from(self.plain_length));
        let false_length =
            |item: String, length, why: String| Err(Malformed::FalseLength { part: PART, item, length, why });
        if plain == 0 || plain > MAX_PLAIN_BYTES || plain % TAR_BLOCK != 0 {
            let why = format!("it goes from {TAR_BLOCK} to {MAX_PLAIN_BYTES} in steps of {TAR_BLOCK}");
            false_length(format!("the content of frame {index}"), plain, why)
        } else if length == 0 || length > frame::stored_len(plain) {
            // What does not shrink is stored, so no frame is longer than its stored form.
            false_length(format!("frame {index}"), length, format!("its content is {plain} bytes long"))
        } else if self.last_blob >= blob_count {
            let why = format!("it names blob {} of {blob_count}", self.last_blob);
            Err(Malformed::Outside { part: PART, item: format!("frame {index}"), why })
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

    /// Moves over one member, whose blob must be where the members before it leave it.
    fn advance(&mut self, frames: &[Frame], index: u32, entry: &Entry) -> Result<(), Error> {
        let Blob { size, .. } = entry.blob;
        let item = || format!("blob {index}");
        let outside = |why: String| Malformed::Outside { part: PART, item: item(), why };
        if size > MAX_BLOB_BYTES {
            return Err(Error::TooLarge { what: format!("{} {PART}", item()), size, limit: MAX_BLOB_BYTES });
        }
        let frame = frames
            .get(entry.frame as usize)
            .ok_or_else(|| outside(format!("it begins in frame {} of {}", entry.frame, frames.len())))?;
        // One place has one spelling: content starts before the end of its frame, an empty one behind its header.
        let is_in_frame = if size == 0 {
            (1..=frame.plain_length).contains(&entry.offset)
        } else {
            entry.offset < frame.plain_length
        };
        if !is_in_frame {
            let why = format!("it begins at {} of the {} bytes of a frame", entry.offset, frame.plain_length);
            return Err(outside(why).into());
        }
        let start = self.starts[entry.frame as usize] + u64::from(entry.offset);
        Malformed::place(PART, item(), start, self.next + member::HEADER_LEN)?;
        self.next = start + size + member::padding(size);
        if self.next > self.end() {
            return Err(outside(format!(
                "it ends at {} of the {} bytes in all frames",
                self.next,
                self.end()
            ))
            .into());
        }
        match entry.encoding {
            Encoding::Identity => Ok(()),
            Encoding::Chained => {
                let blob = entry.blob.digest;
                let broken = |why| Malformed::BrokenChain { part: PART, blob, why }.into();
                self.check_chained(frames, entry).map_err(broken)
            }
        }
    }

    /// Refuses a chained blob that has just been moved over unless its frames hold its member alone, stored, and lead to
    /// its digest.
    fn check_chained(&self, frames: &[Frame], entry: &Entry) -> Result<(), &'static str> {
        if u64::from(entry.offset) != member::HEADER_LEN {
            return Err("it does not begin with its frame");
        }
        let end = self.starts.binary_search(&self.next).map_err(|_| "it does not end with its frame")?;
        let own = &frames[entry.frame as usize..end];
        let is_stored =
            |frame: &Frame| u64::from(frame.length) == frame::stored_len(frame.plain_length.into());
        if !own.iter().all(is_stored) {
            return Err("not all of its frames are stored");
        }
        match own.last() {
            Some(last) if last.hash == *entry.blob.digest.as_raw() => Ok(()),
            _ => Err("its frames lead to another digest"),
        }
    }

    fn end(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
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
            let why = format!("its extent has {length}");
            Err(Malformed::FalseLength { part: PART, item: digest.to_string(), length: size, why }.into())
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
            ("inside of what ends at 2048", change(|c| c.entries[1].offset = 80)),
            ("inside of what ends at 512", change(|c| c.entries[0].offset = 0)),
            ("about the bytes from 512 to 600", change(|c| c.entries[0].offset = 600)),
            ("about the bytes from 1024 to 2048", change(|c| c.entries[0].blob.size = 0)),
            ("about the bytes from 2560 to 3072", change(|c| c.entries[1].blob.size = 0)),
            ("begins at 512 of the 512 bytes", change(|c| c.entries[1].frame = 1)),
            ("inside of what ends at 3584", change(|c| c.entries[1].blob.size = 513)),
            ("ends at 5632 of the 4608", change(|c| c.entries[2].blob.size = 2400)),
            ("in frame 6 of 6", change(|c| c.entries[1].frame = 6)),
            ("the limit is", change(|c| c.entries[1].blob.size = 1 << 63)),
            ("the limit is", change(|c| c.entries[1].blob.size = u64::MAX)),
            ("nothing is said about", change(|c| (c.frames[5].last_blob, _) = (2, c.entries.pop()))),
            ("another last blob", change(|c| c.frames[1].last_blob = 1)),
            ("names blob 4 of 4", change(|c| c.frames[0].last_blob = 4)),
            ("the content of frame 0 cannot be 0", change(|c| c.frames[0].plain_length = 0)),
            ("the content of frame 0 cannot be 1000", change(|c| c.frames[0].plain_length = 1000)),
            ("in steps of 512", change(|c| c.frames[0].plain_length = u32::MAX - 511)),
            ("its content is 512 bytes long", change(|c| c.frames[1].length = 600)),
            ("all frames together cannot be", change(|c| c.frames[1].length = 201)),
            ("not all of its frames are stored", change(|c| c.entries[0].encoding = Encoding::Chained)),
            (
                "not all of its frames are stored",
                change(|c| (c.frames[2].length, c.frames[3].length) = (301, c.frames[3].length - 1)),
            ),
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
