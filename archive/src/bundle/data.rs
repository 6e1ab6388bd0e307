//! Blobs out of an archive: one, or many in the order of the file.
//!
//! What lies in volumes that are not at hand is passed over, and named at the end: everything else is copied first, and of a
//! blob the part in front of the gap.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::Bundle;
use super::frames::{Content, Slot, Span, Task, place};
use crate::belt::Belt;
use crate::format::contents::{Entry, Frame};
use crate::{Blob, BlobSink, BlobWriter, Check, Digest, Error, Progress, Source as _};

/// Copies blobs in the order of the file. Every frame is read at most once, from front to back; all cores check (and
/// decompress) frames, and the thread that called writes what they hold, in order.
///
/// A few frames a core are in memory, each at most 16 MiB and usually 4, and as much again where it is decompressed:
/// see [`Belt::slots`].
pub(super) fn copy_blobs(
    bundle: &Bundle,
    wanted: &BTreeSet<Digest>,
    sink: &dyn BlobSink,
    progress: &dyn Progress,
) -> Result<(), Error> {
    wanted.iter().try_for_each(|digest| bundle.entry(digest).map(drop))?;
    let mut jobs = Vec::new();
    for entry in bundle.contents.entries.iter().filter(|e| wanted.contains(&e.blob.digest)) {
        // A sink may hash what it has.
        progress.go_on()?;
        let from = sink.begun(entry.blob)?;
        if from > 0 && from == entry.blob.size {
            open(sink, entry.blob, from)?.finish()?;
        } else {
            jobs.push((*entry, from));
        }
    }
    let lost = Lost::default();
    let mut copy = Copy { sink, progress, writer: None, broken: None, missing: BTreeSet::new() };
    Belt::reading().run(
        parts_by_frame(&bundle.contents.frames, &jobs).filter(|(task, _)| !lost.has_all_of(task)),
        |(task, _)| task.weight(bundle),
        |(task, _), slot| task.read(bundle, slot),
        |(task, parts): (Task, Vec<Part>), slot: &mut Slot| {
            let content = task.check(bundle, slot);
            if matches!(content, Err(Error::VolumesMissing { .. })) {
                lost.add(&task);
            }
            (parts, content)
        },
        |(parts, content), slot| match content {
            Ok(content) => {
                parts.iter().try_for_each(|part| copy.pass(part, &content))?;
                slot.keep(content);
                Ok(())
            }
            Err(Error::VolumesMissing { numbers, .. }) => {
                copy.miss(&parts, numbers);
                Ok(())
            }
            Err(error) => Err(error),
        },
    )?;
    let Copy { missing, .. } = copy;
    match bundle.medium.parts() {
        Some(parts) if !missing.is_empty() => {
            let (archive, numbers) = (bundle.name().to_owned(), missing.into_iter().collect());
            Err(Error::VolumesMissing { archive, numbers, count: parts.count })
        }
        _ => Ok(()),
    }
}

/// How much of some content is at hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AtHand {
    /// Bytes of it that are.
    pub bytes: u64,
    /// The numbers of the volumes that have the rest.
    pub missing: BTreeSet<u32>,
}

/// Looks where blobs lie, not into them.
pub(super) fn at_hand(bundle: &Bundle, wanted: &BTreeSet<Digest>) -> AtHand {
    let mut at_hand = AtHand::default();
    let entries = bundle.contents.entries.iter().filter(|e| wanted.contains(&e.blob.digest));
    for span in entries.flat_map(|entry| entry.spans(&bundle.contents.frames)) {
        let missing = bundle.medium.absent(place(bundle, span.frame));
        if missing.is_empty() {
            at_hand.bytes += span.range.end - span.range.start;
        }
        at_hand.missing.extend(missing);
    }
    at_hand
}

/// The part of a blob in one frame, and how much of the blob the sink has already.
struct Part {
    span: Span,
    from: u64,
}

/// The frames in which something lies that the sink does not have, each once, in order, with the parts of blobs in it.
fn parts_by_frame<'a>(
    frames: &'a [Frame],
    jobs: &'a [(Entry, u64)],
) -> impl Iterator<Item = (Task, Vec<Part>)> + use<'a> {
    let parts = |&(entry, from): &'a (Entry, u64)| {
        let is_to_come = move |span: &Span| from == 0 || span.end() > from;
        entry.spans(frames).filter(is_to_come).map(move |span| Part { span, from })
    };
    let mut parts = jobs.iter().flat_map(parts).peekable();
    std::iter::from_fn(move || {
        let first = parts.next()?;
        let (task, frame) = (Task::of(&first.span), first.span.frame);
        let mut here = vec![first];
        while let Some(part) = parts.next_if(|part| part.span.frame == frame) {
            here.push(part);
        }
        Some((task, here))
    })
}

/// The chained blob in which a gap was found. Nobody waits for what is left of it, so that is not read.
#[derive(Default)]
struct Lost(Mutex<Option<Digest>>);

impl Lost {
    fn add(&self, task: &Task) {
        if let Some(blob) = task.chained_blob() {
            *self.blob() = Some(blob);
        }
    }

    fn has_all_of(&self, task: &Task) -> bool {
        task.chained_blob().is_some_and(|blob| *self.blob() == Some(blob))
    }

    fn blob(&self) -> MutexGuard<'_, Option<Digest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Blobs on their way into a sink, part by part.
struct Copy<'a> {
    sink: &'a dyn BlobSink,
    progress: &'a dyn Progress,
    /// Of the blob that has begun and not ended.
    writer: Option<Box<dyn BlobWriter + 'a>>,
    /// The blob that has a gap and may go on behind it.
    broken: Option<Digest>,
    /// Numbers of volumes that would be needed.
    missing: BTreeSet<u32>,
}

impl Copy<'_> {
    fn pass(&mut self, part: &Part, content: &Content) -> Result<(), Error> {
        let Part { span, from } = part;
        let blob = span.blob();
        if self.broken == Some(blob.digest) {
            return Ok(());
        }
        self.progress.go_on()?;
        // Not before there is something to write.
        let mut writer = self.writer.take().map_or_else(|| open(self.sink, blob, *from), Ok)?;
        // A try that was stopped may have left off in the middle of a frame.
        let skipped = from.saturating_sub(span.at);
        match content {
            Content::Hashed(content) if skipped == 0 => writer.write_hashed(content)?,
            content => content
                .pieces(span.range.start + skipped..span.range.end)
                .try_for_each(|piece| writer.write(piece))?,
        }
        self.progress.advance(span.range.end - span.range.start - skipped);
        if span.end() == blob.size {
            return writer.finish();
        }
        self.writer = Some(writer);
        Ok(())
    }

    /// Gives up the blobs in a frame that lies in one of these volumes; only the last one may go on in the next frame.
    fn miss(&mut self, parts: &[Part], numbers: Vec<u32>) {
        self.writer = None;
        self.broken = parts.last().map(|part| part.span.blob().digest);
        self.missing.extend(numbers);
    }
}

/// Begins a blob, or goes on where the sink said that it left off.
fn open<'s>(sink: &'s dyn BlobSink, blob: Blob, from: u64) -> Result<Box<dyn BlobWriter + 's>, Error> {
    let mut writer = sink.open(blob)?;
    if from == 0 && writer.position() > 0 {
        writer.restart()?;
    }
    if writer.position() != from {
        let why = format!("it was begun up to byte {from}, not {}", writer.position());
        return Err(Error::inconsistent(blob.digest.to_string(), why));
    }
    Ok(writer)
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
