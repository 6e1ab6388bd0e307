//! The data of an archive: frames are read in order by one thread and checked; what passed is cut into blobs by another.
//!
//! Two threads, a few frames between them: reading and hashing one frame goes on while the one before is written.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::Bundle;
use super::frames::{Content, Span};
use crate::format::contents::{Entry, Frame};
use crate::{BlobSink, Check, Digest, Error, Progress};

/// Frames that may wait between reading and writing, each at most 16 MiB and usually 4.
const FRAMES_AHEAD: usize = 2;

/// A frame that has been checked.
struct Verified {
    number: u32,
    content: Content,
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
            for span in entry.spans(&bundle.contents.frames) {
                progress.go_on()?;
                match frames.get(span.frame)? {
                    Content::Hashed(content) => writer.write_hashed(content)?,
                    content @ Content::Plain(_) => {
                        content.pieces(span.range.clone()).try_for_each(|piece| writer.write(piece))?;
                    }
                }
                progress.advance(span.range.end - span.range.start);
            }
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

fn read_frames(bundle: &Bundle, needed: &[Span], to_writer: &SyncSender<Verified>) -> Result<(), Error> {
    for span in needed {
        let content = span.read(bundle)?;
        if to_writer.send(Verified { number: span.frame, content }).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// The frames that these blobs lie in, each once, in order.
fn frames_of(frames: &[Frame], entries: &[Entry]) -> Vec<Span> {
    let mut needed: Vec<Span> = entries.iter().flat_map(|entry| entry.spans(frames)).collect();
    needed.dedup_by_key(|span| span.frame);
    needed
}

/// Frames as they come, the current one kept as long as blobs lie in it.
struct Frames {
    from_reader: Receiver<Verified>,
    current: Option<Verified>,
}

impl Frames {
    fn get(&mut self, number: u32) -> Result<&Content, Error> {
        if self.current.as_ref().is_none_or(|current| current.number != number) {
            // The old one goes before the next one is taken: one frame less in memory.
            self.current = None;
            // The reader sends just the needed frames in just this order, unless it failed: then its error counts.
            self.current = self.from_reader.recv().ok().filter(|next| next.number == number);
        }
        self.current.as_ref().map(|current| &current.content).ok_or(Error::Interrupted)
    }
}

/// Writes one blob; checks its frames, then the blob.
pub(super) fn read_blob(bundle: &Bundle, digest: &Digest, out: &mut dyn Write) -> Result<(), Error> {
    let entry = bundle.entry(digest)?;
    let mut check = Check::new(entry.blob);
    for span in entry.spans(&bundle.contents.frames) {
        let content = span.read(bundle)?;
        content.pass(&span, &mut check)?;
        content.pieces(span.range).try_for_each(|piece| out.write_all(piece))?;
    }
    check.finish()
}
