//! Looking for damage: every frame and every blob is checked, on all cores, and everything wrong is listed.
//!
//! Cores share frames, not blobs, so that one large blob keeps all of them busy. Of a squeezed frame the core that
//! decompressed it also hashes the blobs that lie in it as a whole; those that run on are hashed piece by piece by one
//! thread, in order.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::Serialize;

use super::Bundle;
use super::frames::{Content, Slot, Span, Task, place};
use crate::belt::Belt;
use crate::format::contents::{Contents, Encoding, Entry};
use crate::format::member;
use crate::medium::Place;
use crate::{Check, Digest, Error, Malformed, Progress, Source as _};

/// What was found in an archive whose front is in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// Damaged stretches, in order of the archive.
    pub damages: Vec<Damage>,
    /// What could not be looked at, as its volumes are not at hand.
    pub absent: Absent,
    /// Frames that were checked.
    pub frames: usize,
    /// Blobs that were checked.
    pub blobs: usize,
}

impl Findings {
    /// Whether everything is here and right.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damages.is_empty() && self.absent.volumes.is_empty()
    }
}

/// What lies in volumes that are not at hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Absent {
    /// Their numbers.
    pub volumes: BTreeSet<u32>,
    /// How many frames lie in them.
    pub frames: usize,
    /// How many blobs lie in them, whole or in part.
    pub blobs: usize,
}

impl Absent {
    /// Expects that every volume was at hand.
    ///
    /// # Errors
    /// [`Error::VolumesMissing`].
    pub fn expect_none(&self, bundle: &Bundle) -> Result<(), Error> {
        if self.volumes.is_empty() {
            return Ok(());
        }
        let numbers = self.volumes.iter().copied().collect();
        let count = bundle.medium.parts().map_or(0, |parts| parts.count);
        Err(Error::VolumesMissing { archive: bundle.name().to_owned(), numbers, count })
    }
}

/// A damaged stretch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Damage {
    /// Number of the frame.
    pub frame: u32,
    /// The file: the archive, or one of its volumes.
    pub file: String,
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
    let mut survey = Survey::default();
    Belt::reading().run(
        stretches(contents),
        |stretch| stretch.task(contents).weight(bundle),
        |stretch, slot| stretch.task(contents).read(bundle, slot),
        |stretch: Stretch, slot: &mut Slot| {
            let checked = stretch.check(bundle, slot);
            (stretch, checked)
        },
        |(stretch, checked), slot| {
            progress.go_on()?;
            match checked {
                Ok(content) => {
                    survey.run_on(bundle, stretch, &content)?;
                    slot.keep(content);
                }
                Err(error) => survey.note(bundle, stretch, error)?,
            }
            progress.advance(contents.frames[stretch.frame as usize].length.into());
            Ok(())
        },
    )?;
    Ok(survey.end(bundle))
}

/// What has been found so far.
#[derive(Default)]
struct Survey {
    damages: Vec<Damage>,
    /// Volumes that are not at hand, and the frames and blobs that lie in them.
    volumes: BTreeSet<u32>,
    frames: usize,
    blobs: BTreeSet<Digest>,
    /// The blob that runs on from one frame into the next. There is none if one of its frames cannot be had.
    running_on: Option<Check>,
}

impl Survey {
    /// Hashes what runs on from the frame before or into the next one.
    fn run_on(&mut self, bundle: &Bundle, stretch: Stretch, content: &Content) -> Result<(), Error> {
        let Content::Plain(plain) = content else { return Ok(()) };
        for part in stretch.parts(&bundle.contents).filter(|part| !part.is_whole()) {
            if part.at <= member::HEADER_LEN {
                self.running_on = Some(Check::new(part.entry.blob));
            }
            let Some(check) = &mut self.running_on else { continue };
            let is_right = check.update(part.content(plain).unwrap_or_default()).is_ok()
                && (!part.is_end() || self.running_on.take().is_none_or(|check| check.finish().is_ok()));
            if !is_right {
                return Err(stretch.is_false(bundle));
            }
        }
        Ok(())
    }

    /// Notes why a frame could not be had, unless nobody can go on.
    fn note(&mut self, bundle: &Bundle, stretch: Stretch, error: Error) -> Result<(), Error> {
        let (frame, blobs) = (stretch.frame, stretch.blobs(&bundle.contents));
        let (file, start, end) = match error {
            Error::Damaged { file, start, end, .. } => (file, start, end),
            // A sector that cannot be read.
            Error::Io(_) => {
                let Place { file, range } = bundle.medium.place(place(bundle, frame));
                (file, range.start, range.end)
            }
            Error::VolumesMissing { numbers, .. } => {
                self.volumes.extend(numbers);
                self.frames += 1;
                self.blobs.extend(blobs);
                self.running_on = None;
                return Ok(());
            }
            error => return Err(error),
        };
        self.damages.push(Damage { frame, file, start, end, blobs });
        self.running_on = None;
        Ok(())
    }

    fn end(self, bundle: &Bundle) -> Findings {
        let mut absent = Absent { volumes: self.volumes, frames: self.frames, blobs: self.blobs.len() };
        absent.volumes.extend(bundle.medium.parts().into_iter().flat_map(|parts| parts.missing));
        Findings {
            damages: self.damages,
            frames: bundle.contents.frames.len() - absent.frames,
            blobs: bundle.contents.entries.len() - absent.blobs,
            absent,
        }
    }
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

    /// Checks the frame and what can be told from it alone.
    fn check(&self, bundle: &Bundle, slot: &mut Slot) -> Result<Content, Error> {
        let content = self.task(&bundle.contents).check(bundle, slot)?;
        let is_right = match &content {
            Content::Hashed(_) => true,
            Content::Plain(plain) => self.parts(&bundle.contents).all(|part| part.is_right(plain)),
        };
        if is_right { Ok(content) } else { Err(self.is_false(bundle)) }
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
