//! Looking for damage: every frame and every blob is hashed, on all cores, and everything wrong is listed.

use rayon::prelude::*;
use serde::Serialize;

use super::Bundle;
use super::data::{Content, read_frame};
use crate::format::contents::Entry;
use crate::{Check, Digest, Error, Progress, Source as _};

/// What was found in an archive whose front is in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// Damaged stretches, in order of the file.
    pub damages: Vec<Damage>,
    /// Frames that were hashed.
    pub frames: usize,
    /// Blobs that were hashed.
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

/// Hashes everything. Blobs that share a frame are checked together, so that each frame is read once.
pub(super) fn find(bundle: &Bundle, progress: &dyn Progress) -> Result<Findings, Error> {
    let mut damages: Vec<Damage> = groups(bundle)
        .into_par_iter()
        .map(|group| check_group(bundle, group, progress))
        .collect::<Result<Vec<_>, Error>>()?
        .concat();
    damages.sort_by_key(|damage| damage.frame);
    Ok(Findings { damages, frames: bundle.contents.frames.len(), blobs: bundle.contents.entries.len() })
}

/// Runs of blobs, in order, such that no frame belongs to two runs; together they name every frame.
fn groups(bundle: &Bundle) -> Vec<(Vec<Entry>, std::ops::Range<u32>)> {
    let frames = &bundle.contents.frames;
    let mut groups: Vec<(Vec<Entry>, std::ops::Range<u32>)> = Vec::new();
    for &entry in &bundle.contents.entries {
        let last = entry.frames(frames).last().unwrap_or(entry.frame);
        match groups.last_mut() {
            Some((entries, range)) if entry.frame < range.end => {
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

fn check_group(
    bundle: &Bundle,
    (entries, range): (Vec<Entry>, std::ops::Range<u32>),
    progress: &dyn Progress,
) -> Result<Vec<Damage>, Error> {
    let frames = &bundle.contents.frames;
    let mut damages: Vec<Damage> = Vec::new();
    let mut entries = entries.into_iter();
    let mut current = entries.next().map(|e| (e, Check::new(e.blob)));
    for number in range {
        progress.go_on()?;
        let record = frames[number as usize];
        let content = match read_frame(bundle, number) {
            Ok(bytes) => Some(Content::of(&format!("frame {number}"), bytes, record.plain_length)?),
            Err(Error::Damaged { start, end, .. }) => {
                damages.push(Damage { frame: number, start, end, blobs: Vec::new() });
                None
            }
            Err(error) => return Err(error),
        };
        progress.advance(u64::from(record.length));
        // All blobs, or parts of blobs, that lie in this frame.
        while let Some((entry, check)) = &mut current {
            if entry.frame > number {
                break;
            }
            let start = if entry.frame == number { u64::from(entry.offset) } else { 0 };
            let left = entry.blob.size - check.seen();
            let end = (start + left).min(u64::from(record.plain_length));
            if let Some(content) = &content {
                content.pieces(start, end).into_iter().try_for_each(|piece| check.update(piece))?;
            } else {
                if let Some(damage) = damages.last_mut() {
                    damage.blobs.push(entry.blob.digest);
                }
                // So that the count goes on; the digest is wrong anyway, and the blob is on the list.
                skip(check, end - start)?;
            }
            if check.seen() < entry.blob.size {
                break;
            }
            let is_lost = damages.iter().any(|d| d.blobs.contains(&entry.blob.digest));
            let (entry, check) = (*entry, check.clone());
            current = entries.next().map(|e| (e, Check::new(e.blob)));
            if !is_lost {
                // Frames are as they were packed, the blob is not what was signed: whoever packed it lied.
                check.finish().map_err(|_| {
                    Error::inconsistent(bundle.name(), format!("it does not hold {}", entry.blob.digest))
                })?;
            }
        }
    }
    Ok(damages)
}

fn skip(check: &mut Check, mut bytes: u64) -> Result<(), Error> {
    const ZEROS: [u8; 4096] = [0; 4096];
    while bytes > 0 {
        let n = bytes.min(ZEROS.len() as u64);
        check.update(&ZEROS[..usize::try_from(n).unwrap_or(0)])?;
        bytes -= n;
    }
    Ok(())
}
