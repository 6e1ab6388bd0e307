//! Data frames: where each is, what it must be, and its content once it has been checked.

use std::ops::Range;

use super::{Bundle, decode};
use crate::chain::{Chain, State};
use crate::format::contents::{Encoding, Entry, Frame};
use crate::format::member;
use crate::{Blob, Check, Digest, Error, Hashed};

/// The part of a blob that lies in one frame.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) frame: u32,
    /// First byte in the frame's content, and first byte behind.
    pub(super) range: Range<u64>,
    /// Bytes of the blob that lie before it.
    pub(super) at: u64,
    entry: Entry,
}

impl Entry {
    /// The blob's parts, frame by frame; one that is empty for an empty blob.
    pub(super) fn spans<'a>(&self, frames: &'a [Frame]) -> impl Iterator<Item = Span> + use<'a> {
        let (entry, mut next, mut start, mut at) = (*self, Some(self.frame), u64::from(self.offset), 0);
        std::iter::from_fn(move || {
            let frame = next?;
            let end = (start + entry.blob.size - at).min(u64::from(frames[frame as usize].plain_length));
            let span = Span { frame, range: start..end, at, entry };
            at += end - start;
            (next, start) = ((at < entry.blob.size).then_some(frame + 1), 0);
            Some(span)
        })
    }
}

impl Span {
    /// The part of a chained blob in this frame, of whose member `at` bytes lie in the frames before it.
    pub(super) fn of_member(entry: Entry, frame: u32, at: u64, plain_length: u32) -> Self {
        let start = member::HEADER_LEN.saturating_sub(at);
        let at = at.saturating_sub(member::HEADER_LEN);
        let end = (start + entry.blob.size - at).min(plain_length.into());
        Self { frame, range: start..end, at, entry }
    }

    /// The blob.
    pub(super) fn blob(&self) -> Blob {
        self.entry.blob
    }

    /// Bytes of the blob that lie before it or in it.
    pub(super) fn end(&self) -> u64 {
        self.at + (self.range.end - self.range.start)
    }

    /// Reads the frame and checks it.
    pub(super) fn read(&self, bundle: &Bundle) -> Result<Content, Error> {
        let (task, mut slot) = (Task::of(self), Slot::default());
        task.read(bundle, &mut slot);
        task.check(bundle, &mut slot)
    }

    /// Whether this is the frame of a chained blob that it must be, byte for byte; if not, it is given back.
    fn check(&self, frames: &[Frame], bytes: Vec<u8>) -> Result<Hashed, Vec<u8>> {
        let number = self.frame as usize;
        let before = match (self.at, number.checked_sub(1)) {
            (1.., Some(previous)) => Chain::behind(self.at, State::from_raw(frames[previous].hash)),
            _ => Chain::default(),
        };
        let content = Hashed::new(bytes, self.range.clone(), before)?;
        let hash = match content.behind().state() {
            _ if self.end() == self.entry.blob.size => Some(*content.behind().clone().finish().as_raw()),
            state => state.map(State::to_raw),
        };
        let is_right =
            hash == Some(frames[number].hash) && self.is_framed(&content, frames[number].plain_length.into());
        if is_right { Ok(content) } else { Err(content.into_frame()) }
    }

    /// Whether header and padding around the content are what they must be.
    fn is_framed(&self, content: &Hashed, plain_len: u64) -> bool {
        let mut header = content.plain(0..self.range.start);
        let is_header = match header.next() {
            None => self.at > 0,
            Some(found) => {
                let blob = self.entry.blob;
                found == member::header(&blob.digest.blob_path(), blob.size) && header.next().is_none()
            }
        };
        is_header && content.plain(self.range.end..plain_len).flatten().all(|&byte| byte == 0)
    }
}

/// The content of a checked frame.
#[derive(Debug)]
pub(super) enum Content {
    /// Of a chained blob, and nothing else.
    Hashed(Box<Hashed>),
    /// Of any other frame.
    Plain(Vec<u8>),
}

impl Content {
    /// Takes a blob's part into its check.
    pub(super) fn pass(&self, span: &Span, check: &mut Check) -> Result<(), Error> {
        match self {
            Self::Hashed(content) => check.follow(content),
            Self::Plain(_) => self.pieces(span.range.clone()).try_for_each(|piece| check.update(piece)),
        }
    }

    /// The pieces of content in this range of it; none of them is empty, which a stream would take for its end.
    pub(super) fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = &[u8]> {
        let (hashed, plain) = match self {
            Self::Hashed(content) => (Some(content.plain(range)), None),
            Self::Plain(plain) => {
                let [start, end] = [range.start, range.end].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
                (None, plain.get(start..end).filter(|piece| !piece.is_empty()))
            }
        };
        hashed.into_iter().flatten().chain(plain)
    }
}

/// A frame that is to be read.
#[derive(Debug)]
pub(super) struct Task {
    frame: u32,
    chained: Option<Span>,
}

/// A frame on its way, and memory that is used for one after the other.
#[derive(Debug, Default)]
pub(super) struct Slot {
    read: Option<Result<Vec<u8>, Error>>,
    /// Memory for the frame, and for what is decompressed out of it.
    memory: Vec<u8>,
    plain: Vec<u8>,
}

impl Task {
    /// The frame in which this part of a blob lies.
    pub(super) fn of(span: &Span) -> Self {
        let chained = (span.entry.encoding == Encoding::Chained).then(|| span.clone());
        Self { frame: span.frame, chained }
    }

    /// A frame in which no chained blob lies.
    pub(super) fn plain(frame: u32) -> Self {
        Self { frame, chained: None }
    }

    /// The blob, if the frame holds nothing else.
    pub(super) fn chained_blob(&self) -> Option<Digest> {
        self.chained.as_ref().map(|span| span.entry.blob.digest)
    }

    /// The most bytes of memory that the frame and its content take: those of a chained blob are one and the same.
    pub(super) fn weight(&self, bundle: &Bundle) -> u64 {
        let frame = bundle.contents.frames[self.frame as usize];
        let plain_length = if self.chained.is_some() { 0 } else { frame.plain_length };
        u64::from(frame.length) + u64::from(plain_length)
    }

    /// Reads the frame, whatever is in it.
    pub(super) fn read(&self, bundle: &Bundle, slot: &mut Slot) {
        let memory = std::mem::take(&mut slot.memory);
        if self.chained.is_some() {
            slot.plain = Vec::new();
        }
        slot.read = Some(bundle.reader().read(place(bundle, self.frame), memory));
    }

    /// Checks the frame that was read, and takes its content out.
    pub(super) fn check(&self, bundle: &Bundle, slot: &mut Slot) -> Result<Content, Error> {
        let Some(span) = &self.chained else {
            let bytes = self.settle(bundle, slot, |bytes| is_right(bundle, self.frame, bytes))?;
            let plain_length = bundle.contents.frames[self.frame as usize].plain_length;
            let memory = std::mem::take(&mut slot.plain);
            let plain = decode(&frame_name(self.frame), &bytes, plain_length.into(), memory)?;
            slot.memory = bytes;
            return Ok(Content::Plain(plain));
        };
        let content = self.settle(bundle, slot, |bytes| span.check(&bundle.contents.frames, bytes))?;
        Ok(Content::Hashed(Box::new(content)))
    }

    fn settle<T>(
        &self,
        bundle: &Bundle,
        slot: &mut Slot,
        take: impl Fn(Vec<u8>) -> Result<T, Vec<u8>>,
    ) -> Result<T, Error> {
        let place = place(bundle, self.frame);
        let read = slot.read.take().unwrap_or_else(|| bundle.reader().read(place.clone(), Vec::new()));
        bundle.reader().settle(&frame_name(self.frame), place, read, take)
    }
}

impl Slot {
    /// Keeps the memory of content that has been used.
    pub(super) fn keep(&mut self, content: Content) {
        match content {
            Content::Hashed(content) => self.memory = content.into_frame(),
            Content::Plain(plain) => self.plain = plain,
        }
    }
}

/// Reads a frame that belongs to no chained blob and checks its hash.
pub(super) fn read_raw(bundle: &Bundle, number: u32) -> Result<Vec<u8>, Error> {
    bundle.reader().taken(&frame_name(number), place(bundle, number), |bytes| is_right(bundle, number, bytes))
}

/// Gives a frame that belongs to no chained blob back as right or as wrong.
fn is_right(bundle: &Bundle, number: u32, bytes: Vec<u8>) -> Result<Vec<u8>, Vec<u8>> {
    let frame = bundle.contents.frames[number as usize];
    if *Digest::of(&bytes).as_raw() == frame.hash { Ok(bytes) } else { Err(bytes) }
}

fn frame_name(number: u32) -> String {
    format!("frame {number}")
}

/// Where a frame stands in the archive.
pub(super) fn place(bundle: &Bundle, number: u32) -> Range<u64> {
    let frame = bundle.contents.frames[number as usize];
    let start = bundle.packing.data_offset + frame.offset;
    start..start + u64::from(frame.length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::frame;

    /// A chained blob in frames of 1024 bytes and less, as they stand in a file.
    fn chained(content: &[u8]) -> (Entry, Vec<Frame>, Vec<Vec<u8>>) {
        const FRAME_BYTES: usize = 1024;
        let blob = Blob::of(content);
        let mut plain = member::header(&blob.digest.blob_path(), blob.size).to_vec();
        plain.extend_from_slice(content);
        plain.resize(usize::try_from(member::len(blob.size)).unwrap(), 0);
        let mut chain = Chain::default();
        let (mut frames, mut files) = (Vec::new(), Vec::new());
        for (number, piece) in plain.chunks(FRAME_BYTES).enumerate() {
            let end = (number * FRAME_BYTES + piece.len() - 512).min(content.len());
            chain.update(&content[usize::try_from(chain.len()).unwrap()..end]);
            let is_last = end == content.len();
            let hash = if is_last { *blob.digest.as_raw() } else { chain.state().unwrap().to_raw() };
            let file = frame::stored(piece);
            let [length, plain_length] = [file.len(), piece.len()].map(|n| u32::try_from(n).unwrap());
            frames.push(Frame { offset: 0, length, plain_length, hash, last_blob: 0 });
            files.push(file);
        }
        (Entry { blob, frame: 0, offset: 512, encoding: Encoding::Chained }, frames, files)
    }

    fn content(len: usize) -> Vec<u8> {
        (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
    }

    #[test]
    fn no_piece_is_empty() {
        let content = content(3000);
        let hashed = Hashed::new(frame::stored(&content), 0..3000, Chain::default()).unwrap();
        for frame in [Content::Hashed(Box::new(hashed)), Content::Plain(content)] {
            assert_eq!(frame.pieces(10..3000).map(<[u8]>::len).sum::<usize>(), 2990);
            for place in [0, 10, 3000] {
                assert_eq!(frame.pieces(place..place).count(), 0, "{place} of {frame:?}");
            }
        }
    }

    #[test]
    fn each_chained_frame_is_checked_by_itself() {
        for len in [0, 1, 63, 64, 512, 513, 1500, 1536, 2048, 3000] {
            let content = content(len);
            let (entry, frames, files) = chained(&content);
            let spans: Vec<Span> = entry.spans(&frames).collect();
            assert_eq!(spans.len(), files.len(), "{len}");
            let mut check = Check::new(entry.blob);
            let mut passed: Vec<u8> = Vec::new();
            for (span, file) in spans.iter().zip(&files) {
                let hashed = span.check(&frames, file.clone()).unwrap();
                check.follow(&hashed).unwrap();
                passed.extend(hashed.pieces().flatten());
            }
            check.finish().unwrap();
            assert!(passed == content, "{len}");
            // None is another one, and none stands at the place of another one.
            for (place, span) in spans.iter().enumerate() {
                for (number, file) in files.iter().enumerate() {
                    let is_right = span.check(&frames, file.clone()).is_ok();
                    assert_eq!(is_right, place == number, "{len}: frame {number} at {place}");
                }
            }
        }
    }

    #[test]
    fn no_bit_of_a_chained_frame_changes_unnoticed() {
        let (entry, frames, files) = chained(&content(1700));
        for (span, file) in entry.spans(&frames).zip(&files) {
            for position in 0..file.len() {
                let mut bad = file.clone();
                bad[position] ^= 1 << (position % 8);
                assert!(span.check(&frames, bad).is_err(), "frame {}, byte {position}", span.frame);
            }
            // Not even if the checksum is made to fit: header, content and padding.
            let plain = frame::decode_stored(file).unwrap();
            for position in 0..plain.len() {
                let mut bad = plain.clone();
                bad[position] ^= 1 << (position % 8);
                assert!(
                    span.check(&frames, frame::stored(&bad)).is_err(),
                    "frame {}, byte {position}",
                    span.frame
                );
            }
            for len in [0, 1, file.len() - 1] {
                assert!(span.check(&frames, file[..len].to_vec()).is_err(), "cut to {len}");
            }
        }
    }

    #[test]
    fn a_state_that_does_not_follow_breaks_the_chain_on_both_sides() {
        let (entry, mut frames, files) = chained(&content(2800));
        frames[1].hash[0] ^= 1;
        let spans: Vec<Span> = entry.spans(&frames).collect();
        let is_right: Vec<bool> =
            spans.iter().zip(&files).map(|(span, file)| span.check(&frames, file.clone()).is_ok()).collect();
        assert_eq!(is_right, [true, false, false, true]);
    }

    #[test]
    fn a_chain_that_was_made_for_other_content_leads_nowhere() {
        // Whoever may only pack makes up a state, so that a frame of other content leads from there to the digest's frame.
        let content = content(1700);
        let (entry, mut frames, mut files) = chained(&content);
        let mut other = frame::decode_stored(&files[1]).unwrap();
        other[5] ^= 1;
        files[1] = frame::stored(&other);
        let mut chain = Chain::behind(512, State::from_raw(frames[0].hash));
        chain.update(&other);
        frames[1].hash = chain.state().unwrap().to_raw();
        let mut check = Check::new(entry.blob);
        let followed = entry.spans(&frames).zip(files).try_for_each(|(span, file)| {
            let hashed = span.check(&frames, file).map_err(|_| span.frame)?;
            check.follow(&hashed).map_err(|_| span.frame)
        });
        assert_eq!(followed, Err(2), "the last record is the digest itself");
        // A stretch from elsewhere is hashed again where it does not fit, and the digest decides.
        let (_, frames, files) = chained(&content);
        let last = entry.spans(&frames).last().unwrap();
        let hashed = last.check(&frames, files[2].clone()).unwrap();
        let mut check = Check::new(Blob { size: hashed.len(), ..entry.blob });
        check.follow(&hashed).unwrap();
        assert!(matches!(check.finish(), Err(Error::WrongContent { .. })));
    }
}
