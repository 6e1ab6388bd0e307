//! Looking for damage: every frame and every blob is checked, on all cores, and everything wrong is listed.
//!
//! Cores share frames, not blobs, so that one large blob keeps all of them busy. Of a squeezed frame the core that decompressed it
//! also hashes the blobs that lie in it as a whole; those that run on are hashed piece by piece by one thread, in order.

use std::ops::Range;

use serde::Serialize;

use super::Bundle;
use super::frames::{Content, Slot, Span, Task};
use crate::belt::Belt;
use crate::format::contents::{Contents, Encoding, Entry};
use crate::format::member;
use crate::{Check, Digest, Error, Malformed, Progress, Source as _};

/// What was found in an archive whose front is in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// Damaged stretches, in order of the file.
    pub damages: Vec<Damage>,
    /// Frames that were checked.
    pub frames: usize,
    /// Blobs that were checked.
    pub blobs: usize,
}

/// A damaged stretch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Damage {
    /// Number of the frame.
    pub frame: u32,
    /// First byte, from the start of the file.
    pub start: u64,
    /// First byte behind it.
    pub end: u64,
    /// The blobs that cannot be had because of it.
    pub blobs: Vec<Digest>,
}

/// Checks everything. Frames are read in order, and a few a core are in memory: see [`Belt::slots`].
pub(super) fn find(bundle: &Bundle, progress: &dyn Progress) -> Result<Findings, Error> {
    let contents = &bundle.contents;
    let mut findings =
        Findings { damages: Vec::new(), frames: contents.frames.len(), blobs: contents.entries.len() };
    let mut running_on = None;
    Belt::reading().run(
        stretches(contents),
        |stretch, slot| stretch.task(contents).read(bundle, slot),
        |stretch: Stretch, slot: &mut Slot| {
            let checked = stretch.check(bundle, slot);
            (stretch, checked)
        },
        |(stretch, checked), _| {
            progress.go_on()?;
            match checked {
                Ok(None) => {}
                Ok(Some(plain)) => stretch
                    .run_on(contents, &plain, &mut running_on)
                    .ok_or_else(|| stretch.is_false(bundle))?,
                Err(Error::Damaged { start, end, .. }) => {
                    running_on = None;
                    let blobs = stretch.blobs(contents);
                    findings.damages.push(Damage { frame: stretch.frame, start, end, blobs });
                }
                Err(error) => return Err(error),
            }
            progress.advance(contents.frames[stretch.frame as usize].length.into());
            Ok(())
        },
    )?;
    Ok(findings)
}

/// What one frame holds of the tar stream.
#[derive(Clone, Copy)]
struct Stretch {
    frame: u32,
    /// Index of the blob whose member it begins with, or in.
    first: usize,
    /// How much of that member lies in the frames before.
    at: u64,
}

/// What the frames hold, in order.
fn stretches(contents: &Contents) -> impl Iterator<Item = Stretch> {
    let (mut first, mut at) = (0, 0);
    (0..).zip(&contents.frames).map(move |(frame, record)| {
        let stretch = Stretch { frame, first, at };
        let mut left = u64::from(record.plain_length);
        while let Some(entry) = contents.entries.get(first) {
            let rest = member::len(entry.blob.size) - at;
            if rest > left {
                break;
            }
            (first, at, left) = (first + 1, 0, left - rest);
        }
        at += left;
        stretch
    })
}

impl Stretch {
    fn task(&self, contents: &Contents) -> Task {
        let plain_length = contents.frames[self.frame as usize].plain_length;
        match contents.entries.get(self.first) {
            Some(&entry) if entry.encoding == Encoding::Chained => {
                Task::of(&Span::of_member(entry, self.frame, self.at, plain_length))
            }
            _ => Task::plain(self.frame),
        }
    }

    /// Checks the frame and what can be told from it alone. Gives its content away if there is more to tell.
    fn check(&self, bundle: &Bundle, slot: &mut Slot) -> Result<Option<Vec<u8>>, Error> {
        match self.task(&bundle.contents).check(bundle, slot)? {
            content @ Content::Hashed(_) => {
                slot.keep(content);
                Ok(None)
            }
            Content::Plain(plain) => {
                let mut parts = self.parts(&bundle.contents);
                if parts.by_ref().all(|part| part.is_right(&plain)) {
                    Ok(Some(plain))
                } else {
                    Err(self.is_false(bundle))
                }
            }
        }
    }

    /// Hashes what runs on from the frame before or into the next one.
    fn run_on(&self, contents: &Contents, plain: &[u8], running_on: &mut Option<Check>) -> Option<()> {
        for part in self.parts(contents).filter(|part| !part.is_whole()) {
            if part.at <= member::HEADER_LEN {
                *running_on = Some(Check::new(part.entry.blob));
            }
            // There is none if a frame ahead of this one is damaged, and the blob lost.
            let Some(check) = running_on else { continue };
            check.update(part.content(plain)?).ok()?;
            if part.is_end() {
                running_on.take()?.finish().ok()?;
            }
        }
        Some(())
    }

    /// The blobs that cannot be had without this frame.
    fn blobs(&self, contents: &Contents) -> Vec<Digest> {
        let needs_it = |part: &Part| !part.content.is_empty() || part.entry.blob.size == 0;
        self.parts(contents).filter(needs_it).map(|part| part.entry.blob.digest).collect()
    }

    fn parts<'a>(&self, contents: &'a Contents) -> impl Iterator<Item = Part> + use<'a> {
        let plain_length = u64::from(contents.frames[self.frame as usize].plain_length);
        let (mut at, mut start) = (self.at, 0);
        contents.entries[self.first..].iter().map_while(move |&entry| {
            let part = Part::new(entry, at, start..plain_length);
            (at, start) = (0, part.range.end);
            (!part.range.is_empty()).then_some(part)
        })
    }

    fn is_false(&self, bundle: &Bundle) -> Error {
        Malformed::FalseFrame { file: bundle.name().to_owned(), frame: self.frame }.into()
    }
}

/// The part of a member in one frame.
struct Part {
    entry: Entry,
    /// How much of the member lies in the frames before.
    at: u64,
    /// Where it lies in the frame's content, and where in that the blob's own bytes do.
    range: Range<u64>,
    content: Range<u64>,
}

impl Part {
    fn new(entry: Entry, at: u64, room: Range<u64>) -> Self {
        // Where in the room a place of the member would be.
        let place = |of_member: u64| room.start + of_member.saturating_sub(at).min(room.end - room.start);
        let content = place(member::HEADER_LEN)..place(member::HEADER_LEN + entry.blob.size);
        let range = room.start..place(member::len(entry.blob.size));
        Self { entry, at, range, content }
    }

    /// Whether the member ends here.
    fn is_end(&self) -> bool {
        self.at + (self.range.end - self.range.start) == member::len(self.entry.blob.size)
    }

    /// Whether all of the member is here.
    fn is_whole(&self) -> bool {
        self.at == 0 && self.is_end()
    }

    /// Whether header and padding, and the blob if it is here as a whole, are what they must be.
    fn is_right(&self, plain: &[u8]) -> bool {
        let blob = self.entry.blob;
        let header = slice(plain, self.range.start..self.content.start);
        let is_header = match header {
            Some([]) => self.at > 0,
            header => header == Some(&member::header(&blob.digest.blob_path(), blob.size)),
        };
        let padding = slice(plain, self.content.end..self.range.end);
        is_header
            && padding.is_some_and(|padding| padding.iter().all(|&byte| byte == 0))
            && (!self.is_whole()
                || self.content(plain).is_some_and(|content| Digest::of(content) == blob.digest))
    }

    fn content<'a>(&self, plain: &'a [u8]) -> Option<&'a [u8]> {
        slice(plain, self.content.clone())
    }
}

fn slice(bytes: &[u8], range: Range<u64>) -> Option<&[u8]> {
    bytes.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}
