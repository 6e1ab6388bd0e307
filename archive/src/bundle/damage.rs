//! Looking for damage: every frame and every blob is hashed, on all cores, and everything wrong is listed.

use std::collections::BTreeSet;

use rayon::prelude::*;
use serde::Serialize;

use super::Bundle;
use super::frames::{place, read_plain};
use crate::format::contents::{Encoding, Entry};
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
    /// Frames that were hashed.
    pub frames: usize,
    /// Blobs that were hashed.
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

/// Hashes everything. Blobs that share a frame are checked together, so that each frame is read once.
pub(super) fn find(bundle: &Bundle, progress: &dyn Progress) -> Result<Findings, Error> {
    let groups: Vec<Group> = groups(bundle)
        .into_par_iter()
        .map(|group| Group::check(bundle, group, progress))
        .collect::<Result<_, Error>>()?;
    let mut findings = Findings {
        frames: bundle.contents.frames.len(),
        blobs: bundle.contents.entries.len(),
        ..Findings::default()
    };
    findings.absent.volumes.extend(bundle.medium.parts().into_iter().flat_map(|parts| parts.missing));
    for group in groups {
        findings.damages.extend(group.damages);
        findings.absent.volumes.extend(group.volumes);
        findings.absent.frames += group.frames;
        findings.absent.blobs += group.blobs.len();
    }
    findings.frames -= findings.absent.frames;
    findings.blobs -= findings.absent.blobs;
    findings.damages.sort_by_key(|damage| damage.frame);
    Ok(findings)
}

/// Runs of blobs, in order, such that no frame belongs to two runs; together they name every frame.
fn groups(bundle: &Bundle) -> Vec<(Vec<Entry>, std::ops::Range<u32>)> {
    let frames = &bundle.contents.frames;
    let mut groups: Vec<(Vec<Entry>, std::ops::Range<u32>)> = Vec::new();
    for &entry in &bundle.contents.entries {
        let last = entry.spans(frames).last().map_or(entry.frame, |span| span.frame);
        // A member whose content begins with a frame has its header at the end of the one before.
        let first = entry.frame - u32::from(entry.offset == 0);
        match groups.last_mut() {
            Some((entries, range)) if first < range.end => {
                entries.push(entry);
                range.end = range.end.max(last + 1);
            }
            previous => {
                // A frame in which no blob lies (members' headers can fill one) is checked with the next.
                let start = previous.map_or(0, |(_, range)| range.end);
                groups.push((vec![entry], start..last + 1));
            }
        }
    }
    let end = u32::try_from(frames.len()).unwrap_or(u32::MAX);
    match groups.last_mut() {
        Some((_, range)) => range.end = end,
        None => groups.push((Vec::new(), 0..end)),
    }
    groups
}

/// What was found in blobs that share frames.
#[derive(Default)]
struct Group {
    damages: Vec<Damage>,
    /// Volumes that are not at hand, and the frames and blobs that lie in them.
    volumes: BTreeSet<u32>,
    frames: usize,
    blobs: BTreeSet<Digest>,
}

impl Group {
    fn check(
        bundle: &Bundle,
        (entries, range): (Vec<Entry>, std::ops::Range<u32>),
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let mut group = Self::default();
        match entries[..] {
            [entry] if entry.encoding == Encoding::Chained => group.check_chained(bundle, entry, progress)?,
            _ => group.check_members(bundle, entries, range, progress)?,
        }
        Ok(group)
    }

    fn check_members(
        &mut self,
        bundle: &Bundle,
        entries: Vec<Entry>,
        range: std::ops::Range<u32>,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let mut members = Members { entries: entries.into_iter(), current: None };
        for number in range {
            progress.go_on()?;
            let record = bundle.contents.frames[number as usize];
            match read_plain(bundle, number) {
                Ok(plain) => {
                    let false_frame =
                        || Malformed::FalseFrame { file: bundle.name().to_owned(), frame: number };
                    let passed = members.pass(record.plain_length.into(), Some(&plain), &mut Vec::new());
                    passed.ok_or_else(false_frame)?;
                }
                Err(error) => {
                    let mut blobs = Vec::new();
                    members.pass(record.plain_length.into(), None, &mut blobs);
                    self.note(bundle, number, blobs, error)?;
                }
            }
            progress.advance(u64::from(record.length));
        }
        Ok(())
    }

    fn check_chained(&mut self, bundle: &Bundle, entry: Entry, progress: &dyn Progress) -> Result<(), Error> {
        for span in entry.spans(&bundle.contents.frames) {
            progress.go_on()?;
            if let Err(error) = span.read(bundle) {
                self.note(bundle, span.frame, vec![entry.blob.digest], error)?;
            }
            progress.advance(u64::from(bundle.contents.frames[span.frame as usize].length));
        }
        Ok(())
    }

    /// Notes why a frame could not be had, unless nobody can go on.
    fn note(&mut self, bundle: &Bundle, frame: u32, blobs: Vec<Digest>, error: Error) -> Result<(), Error> {
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
                return Ok(());
            }
            error => return Err(error),
        };
        self.damages.push(Damage { frame, file, start, end, blobs });
        Ok(())
    }
}

/// Walks over the tar members of a run of blobs: headers and padding must be ours, contents what was signed.
struct Members {
    entries: std::vec::IntoIter<Entry>,
    current: Option<Member>,
}

struct Member {
    entry: Entry,
    header: [u8; 512],
    check: Check,
    /// How much of the member has passed.
    at: u64,
    is_lost: bool,
}

impl Members {
    /// Passes `len` bytes of the stream, or notes which blobs are lost if they cannot be had. `None` if they are not what
    /// they must be.
    fn pass(&mut self, len: u64, mut bytes: Option<&[u8]>, lost: &mut Vec<Digest>) -> Option<()> {
        let mut left = len;
        while left > 0 {
            let mut member = match self.current.take() {
                Some(member) => member,
                None => Member::of(self.entries.next()?),
            };
            let part = member.part().min(left);
            let piece = match bytes {
                Some(all) => {
                    let (piece, rest) = all.split_at_checked(usize::try_from(part).ok()?)?;
                    bytes = Some(rest);
                    Some(piece)
                }
                None => None,
            };
            member.pass(part, piece, lost)?;
            left -= part;
            if member.at < member::len(member.entry.blob.size) {
                self.current = Some(member);
            } else if !member.is_lost {
                member.check.finish().ok()?;
            }
        }
        Some(())
    }
}

impl Member {
    fn of(entry: Entry) -> Self {
        let header = member::header(&entry.blob.digest.blob_path(), entry.blob.size);
        Self { entry, header, check: Check::new(entry.blob), at: 0, is_lost: false }
    }

    /// How much is left of the part that comes next: header, content or padding.
    fn part(&self) -> u64 {
        let content_end = member::HEADER_LEN + self.entry.blob.size;
        [member::HEADER_LEN, content_end, member::len(self.entry.blob.size)]
            .into_iter()
            .find(|&end| end > self.at)
            .map_or(0, |end| end - self.at)
    }

    fn pass(&mut self, len: u64, bytes: Option<&[u8]>, lost: &mut Vec<Digest>) -> Option<()> {
        let content_end = member::HEADER_LEN + self.entry.blob.size;
        let is_content = (member::HEADER_LEN..content_end).contains(&self.at);
        match bytes {
            Some(bytes) if is_content => self.check.update(bytes).ok()?,
            Some(bytes) if self.at < member::HEADER_LEN => {
                let from = usize::try_from(self.at).ok()?;
                (self.header.get(from..from + bytes.len())? == bytes).then_some(())?;
            }
            Some(bytes) => bytes.iter().all(|&b| b == 0).then_some(())?,
            None => {
                if is_content {
                    lost.push(self.entry.blob.digest);
                }
                self.is_lost |= is_content;
            }
        }
        self.at += len;
        Some(())
    }
}
