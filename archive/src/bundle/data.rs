//! The data of an archive: frames are read in order by one thread and checked; what passed is cut into blobs by another.
//!
//! Two threads, a few frames between them: reading and hashing one frame goes on while the one before is written.
//!
//! What lies in volumes that are not at hand is passed over, and named at the end: everything else is copied first, and of a
//! blob the part in front of the gap.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::Bundle;
use super::frames::{Content, Span};
use crate::format::contents::Entry;
use crate::{BlobSink, BlobWriter, Check, Digest, Error, Progress, Source as _};

/// Frames that may wait between reading and writing, each at most 16 MiB and usually 4.
const FRAMES_AHEAD: usize = 2;

/// A frame that has been checked, or the numbers of the volumes of which one has it.
struct Arrived {
    number: u32,
    content: Result<Content, Vec<u32>>,
}

/// A blob, and how much of it the sink has.
struct Job {
    entry: Entry,
    from: u64,
}

/// Copies blobs in the order of the file; every frame is read at most once.
pub(super) fn copy_blobs(
    bundle: &Bundle,
    wanted: &BTreeSet<Digest>,
    sink: &dyn BlobSink,
    progress: &dyn Progress,
) -> Result<(), Error> {
    wanted.iter().try_for_each(|digest| bundle.entry(digest).map(drop))?;
    let entries = bundle.contents.entries.iter().filter(|e| wanted.contains(&e.blob.digest));
    let jobs = entries
        .map(|&entry| Ok(Job { entry, from: sink.begun(entry.blob)? }))
        .collect::<Result<Vec<_>, Error>>()?;
    let mut needed: Vec<Span> = jobs.iter().flat_map(|job| job.spans(bundle)).collect();
    needed.dedup_by_key(|span| span.frame);
    let (to_writer, from_reader) = sync_channel(FRAMES_AHEAD);
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || read_frames(bundle, &needed, &to_writer));
        let mut frames = Frames { from_reader, current: None };
        let mut missing = BTreeSet::new();
        let written = jobs.iter().try_for_each(|job| {
            missing.extend(job.copy(bundle, &mut frames, sink, progress)?);
            Ok(())
        });
        // Without its receiver the reader stops at the next frame.
        drop(frames);
        let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // The reader's error is the cause: the writer only noticed that nothing came any more.
        read.and(written)?;
        expect_none(bundle, missing)
    })
}

fn expect_none(bundle: &Bundle, missing: BTreeSet<u32>) -> Result<(), Error> {
    match bundle.medium.parts() {
        Some(parts) if !missing.is_empty() => {
            let (archive, numbers) = (bundle.name().to_owned(), missing.into_iter().collect());
            Err(Error::VolumesMissing { archive, numbers, count: parts.count })
        }
        _ => Ok(()),
    }
}

impl Job {
    /// The parts that the sink does not have yet, frame by frame.
    fn spans(&self, bundle: &Bundle) -> impl Iterator<Item = Span> + use<> {
        let (from, is_begun) = (self.from, self.from > 0);
        let spans: Vec<Span> = self.entry.spans(&bundle.contents.frames).collect();
        spans.into_iter().filter(move |span| !is_begun || span.end() > from)
    }

    /// Copies the blob as far as it is at hand; says which volumes are missing for the rest.
    fn copy(
        &self,
        bundle: &Bundle,
        frames: &mut Frames,
        sink: &dyn BlobSink,
        progress: &dyn Progress,
    ) -> Result<Vec<u32>, Error> {
        let mut writer: Option<Box<dyn BlobWriter + '_>> = None;
        for span in self.spans(bundle) {
            progress.go_on()?;
            let content = match frames.get(span.frame)? {
                Ok(content) => content,
                Err(missing) => return Ok(missing.clone()),
            };
            // Not before there is something to write.
            let writer = match &mut writer {
                Some(writer) => writer,
                none => none.insert(self.open(sink)?),
            };
            // A try that was stopped may have left off in the middle of a frame.
            let skipped = self.from.saturating_sub(span.at);
            match content {
                Content::Hashed(content) if skipped == 0 => writer.write_hashed(content)?,
                content => content
                    .pieces(span.range.start + skipped..span.range.end)
                    .try_for_each(|piece| writer.write(piece))?,
            }
            progress.advance(span.range.end - span.range.start - skipped);
        }
        let writer = writer.map_or_else(|| self.open(sink), Ok)?;
        writer.finish()?;
        Ok(Vec::new())
    }

    fn open<'s>(&self, sink: &'s dyn BlobSink) -> Result<Box<dyn BlobWriter + 's>, Error> {
        let mut writer = sink.open(self.entry.blob)?;
        if self.from == 0 && writer.position() > 0 {
            writer.restart()?;
        }
        if writer.position() != self.from {
            let why = format!("it was begun up to byte {}, not {}", self.from, writer.position());
            return Err(Error::inconsistent(self.entry.blob.digest.to_string(), why));
        }
        Ok(writer)
    }
}

fn read_frames(bundle: &Bundle, needed: &[Span], to_writer: &SyncSender<Arrived>) -> Result<(), Error> {
    // Nobody waits for what is left of a blob behind a gap, unless others share its frames.
    let mut lost = None;
    for span in needed {
        if lost.is_some() && lost == span.chained_blob() {
            continue;
        }
        let content = match span.read(bundle) {
            Ok(content) => Ok(content),
            Err(Error::VolumesMissing { numbers, .. }) => {
                lost = span.chained_blob();
                Err(numbers)
            }
            Err(error) => return Err(error),
        };
        if to_writer.send(Arrived { number: span.frame, content }).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Frames as they come, the current one kept as long as blobs lie in it.
struct Frames {
    from_reader: Receiver<Arrived>,
    current: Option<Arrived>,
}

impl Frames {
    fn get(&mut self, number: u32) -> Result<Result<&Content, &Vec<u32>>, Error> {
        // Frames behind a gap come too, and are passed over; one that was passed never comes again.
        while self.current.as_ref().is_none_or(|current| current.number < number) {
            // The old one goes before the next one is taken: one frame less in memory.
            self.current = None;
            // The reader sends just the needed frames in just this order, unless it failed: then its error counts.
            self.current = Some(self.from_reader.recv().map_err(|_| Error::Interrupted)?);
        }
        let current = self.current.as_ref().filter(|current| current.number == number);
        current.map(|current| current.content.as_ref()).ok_or(Error::Interrupted)
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
