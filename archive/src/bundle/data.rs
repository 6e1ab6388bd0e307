//! Blobs out of an archive: one, or many in the order of the file.

use std::collections::BTreeSet;
use std::io::Write;

use super::Bundle;
use super::frames::{Content, Slot, Span, Task};
use crate::belt::Belt;
use crate::format::contents::{Entry, Frame};
use crate::{BlobSink, BlobWriter, Check, Digest, Error, Progress};

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
    let entries = bundle.contents.entries.iter().filter(|entry| wanted.contains(&entry.blob.digest));
    let mut writer: Option<Box<dyn BlobWriter + '_>> = None;
    Belt::reading().run(
        parts_by_frame(&bundle.contents.frames, entries),
        |(task, _), slot| task.read(bundle, slot),
        |(task, parts): (Task, Vec<Span>), slot: &mut Slot| (parts, task.check(bundle, slot)),
        |(parts, content), slot| {
            let content = content?;
            for part in parts {
                progress.go_on()?;
                let mut open = match writer.take() {
                    Some(writer) if !part.is_first() => writer,
                    _ => begin(sink, &part)?,
                };
                match &content {
                    Content::Hashed(content) => open.write_hashed(content)?,
                    Content::Plain(_) => {
                        content.pieces(part.range.clone()).try_for_each(|piece| open.write(piece))?;
                    }
                }
                progress.advance(part.len());
                if part.is_last() {
                    open.finish()?;
                } else {
                    writer = Some(open);
                }
            }
            slot.keep(content);
            Ok(())
        },
    )
}

/// Begins a blob. Sinks may keep parts of blobs between tries; from an archive a blob is copied whole.
fn begin<'a>(sink: &'a dyn BlobSink, part: &Span) -> Result<Box<dyn BlobWriter + 'a>, Error> {
    let mut writer = sink.open(part.blob())?;
    if writer.position() > 0 {
        writer.restart()?;
    }
    Ok(writer)
}

/// The frames that these blobs lie in, each once, in order, with the parts of blobs in it.
fn parts_by_frame<'a>(
    frames: &'a [Frame],
    entries: impl Iterator<Item = &'a Entry>,
) -> impl Iterator<Item = (Task, Vec<Span>)> {
    let mut parts = entries.flat_map(|entry| entry.spans(frames)).peekable();
    std::iter::from_fn(move || {
        let first = parts.next()?;
        let (task, frame) = (Task::of(&first), first.frame);
        let mut here = vec![first];
        while let Some(part) = parts.next_if(|part| part.frame == frame) {
            here.push(part);
        }
        Some((task, here))
    })
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
