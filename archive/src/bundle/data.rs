//! The data of an archive: frames are read in order by one thread and hashed; what passed is cut into blobs by another.
//!
//! Two threads, a few frames between them: reading and hashing one frame goes on while the one before is written.

use std::collections::BTreeSet;
use std::io::Write;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::{Bundle, decode};
use crate::format::contents::{Entry, Frame};
use crate::format::frame;
use crate::{BlobSink, Check, Digest, Error, Progress};

/// Frames that may wait between reading and writing, each at most 16 MiB and usually 4.
const FRAMES_AHEAD: usize = 2;

/// A frame whose hash has been checked.
struct Verified {
    number: u32,
    bytes: Vec<u8>,
}

/// Copies blobs in the order of the file; every frame is read at most once.
pub(super) fn copy_blobs(
    bundle: &Bundle,
    wanted: &BTreeSet<Digest>,
    sink: &dyn BlobSink,
    progress: &dyn Progress,
) -> Result<(), Error> {
    wanted.iter().try_for_each(|digest| bundle.entry(digest).map(drop))?;
    let entries: Vec<Entry> =
        bundle.contents.entries.iter().filter(|e| wanted.contains(&e.blob.digest)).copied().collect();
    let needed = frames_of(&bundle.contents.frames, &entries);
    let (to_writer, from_reader) = sync_channel(FRAMES_AHEAD);
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || read_frames(bundle, &needed, &to_writer));
        let mut frames = Frames { from_reader, current: None };
        let written = entries.iter().try_for_each(|entry| {
            let mut writer = sink.open(entry.blob)?;
            // Sinks may keep parts of blobs between tries; from an archive a blob is copied whole.
            if writer.position() > 0 {
                writer.restart()?;
            }
            frames.pieces_of(entry, &bundle.contents.frames, |piece| {
                progress.go_on()?;
                writer.write(piece)?;
                progress.advance(piece.len() as u64);
                Ok(())
            })?;
            writer.finish()
        });
        // Without its receiver the reader stops at the next frame.
        drop(frames);
        let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (read, written) {
            // The reader's error is the cause: the writer only noticed that nothing came any more.
            (Err(cause), _) => Err(cause),
            (Ok(()), written) => written,
        }
    })
}

fn read_frames(bundle: &Bundle, needed: &[u32], to_writer: &SyncSender<Verified>) -> Result<(), Error> {
    for &number in needed {
        let bytes = read_frame(bundle, number)?;
        if to_writer.send(Verified { number, bytes }).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Reads one frame and checks its hash.
pub(super) fn read_frame(bundle: &Bundle, number: u32) -> Result<Vec<u8>, Error> {
    let frame: Frame = bundle.contents.frames[number as usize];
    let start = bundle.packing.data_offset + frame.offset;
    let range = start..start + u64::from(frame.length);
    bundle.reader().checked(&format!("frame {number}"), range, |bytes| Digest::of(bytes) == frame.digest)
}

/// Reads one frame, checks its hash, and takes its content out.
pub(super) fn content_of(bundle: &Bundle, number: u32) -> Result<Content, Error> {
    let plain_length = bundle.contents.frames[number as usize].plain_length;
    Content::of(&format!("frame {number}"), read_frame(bundle, number)?, plain_length)
}

/// The frames that these blobs lie in, each once, in order.
fn frames_of(frames: &[Frame], entries: &[Entry]) -> Vec<u32> {
    let mut needed: Vec<u32> = Vec::new();
    for entry in entries {
        for span in entry.spans(frames) {
            if needed.last() != Some(&span.frame) {
                needed.push(span.frame);
            }
        }
    }
    needed
}

/// The part of a blob that lies in one frame.
pub(super) struct Span {
    pub(super) frame: u32,
    /// First byte in the frame's content, and first byte behind.
    pub(super) range: Range<u64>,
}

impl Entry {
    /// The blob's parts, frame by frame; one that is empty for an empty blob.
    pub(super) fn spans<'a>(&self, frames: &'a [Frame]) -> impl Iterator<Item = Span> + use<'a> {
        let (mut next, mut start, mut left) = (Some(self.frame), u64::from(self.offset), self.blob.size);
        std::iter::from_fn(move || {
            let frame = next?;
            let end = (start + left).min(u64::from(frames[frame as usize].plain_length));
            let range = start..end;
            left -= end - start;
            (next, start) = ((left > 0).then_some(frame + 1), 0);
            Some(Span { frame, range })
        })
    }
}

/// Frames as they come, the current one kept as long as blobs lie in it.
struct Frames {
    from_reader: Receiver<Verified>,
    current: Option<(u32, Content)>,
}

/// The content of a frame.
pub(super) enum Content {
    /// A stored frame: the content stands in it, in pieces.
    Stored(Vec<u8>),
    Plain(Vec<u8>),
}

impl Content {
    fn of(part: &str, bytes: Vec<u8>, plain_len: u32) -> Result<Self, Error> {
        match frame::stored_plain_len(&bytes) {
            Some(len) if len == u64::from(plain_len) && frame::stored_pieces(&bytes).is_some() => {
                Ok(Self::Stored(bytes))
            }
            _ => Ok(Self::Plain(decode(part, &bytes, plain_len.into())?)),
        }
    }

    /// The pieces of content in this range.
    pub(super) fn pieces(&self, range: &Range<u64>) -> Vec<&[u8]> {
        let pieces = match self {
            Self::Stored(bytes) => frame::stored_pieces(bytes).unwrap_or_default(),
            Self::Plain(plain) => vec![plain.as_slice()],
        };
        let mut at = 0;
        let mut wanted = Vec::new();
        for piece in pieces {
            let len = piece.len() as u64;
            let from = range.start.clamp(at, at + len) - at;
            let to = range.end.clamp(at, at + len) - at;
            if from < to {
                let index = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
                wanted.push(&piece[index(from)..index(to)]);
            }
            at += len;
        }
        wanted
    }
}

impl Frames {
    /// Passes the content of one blob on, piece by piece.
    fn pieces_of(
        &mut self,
        entry: &Entry,
        frames: &[Frame],
        mut pass: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for span in entry.spans(frames) {
            let plain_length = frames[span.frame as usize].plain_length;
            for piece in self.get(span.frame, plain_length)?.pieces(&span.range) {
                pass(piece)?;
            }
        }
        Ok(())
    }

    fn get(&mut self, number: u32, plain_length: u32) -> Result<&Content, Error> {
        let have = self.current.as_ref().is_some_and(|(current, _)| *current == number);
        if !have {
            // The old one goes before the next one is taken: one frame less in memory.
            self.current = None;
            // The reader sends just the needed frames in just this order, unless it failed: then its error counts.
            let next =
                self.from_reader.recv().ok().filter(|v| v.number == number).ok_or(Error::Interrupted)?;
            let content = Content::of(&format!("frame {number}"), next.bytes, plain_length)?;
            self.current = Some((number, content));
        }
        self.current.as_ref().map(|(_, content)| content).ok_or(Error::Interrupted)
    }
}

/// Writes one blob; checks its frames, then the blob.
pub(super) fn read_blob(bundle: &Bundle, digest: &Digest, out: &mut dyn Write) -> Result<(), Error> {
    let entry = bundle.entry(digest)?;
    let mut check = Check::new(entry.blob);
    for Span { frame: number, range } in entry.spans(&bundle.contents.frames) {
        for piece in content_of(bundle, number)?.pieces(&range) {
            check.update(piece)?;
            out.write_all(piece)?;
        }
    }
    check.finish()
}
