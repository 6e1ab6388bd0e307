//! Looking at an archive through its parity: which pieces of which files are lost, and whether they can be made again.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::gather::pages_of;
use super::mender::{Known, Mender};
use crate::format::parity::page;
use crate::{Error, Progress};

/// How many groups people are told about that cannot be mended; JSON has all.
const MAX_GROUPS_SHOWN: usize = 5;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Survey {
    /// Lost stretches of the archive's files, by file and place.
    pub damages: Vec<LostStretch>,
    /// Lost stretches of the parity files.
    pub parity_damages: Vec<LostStretch>,
    /// Files that are longer or shorter than they should be.
    pub cut: Vec<WrongLength>,
    /// Lost pieces of the archive.
    pub pieces: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What cannot be made again.
    pub beyond: Beyond,
}

/// Adjacent pieces that are lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LostStretch {
    /// The file.
    pub file: String,
    /// Its number among the archive's files or the parity files, from 1.
    pub number: usize,
    /// First byte in it.
    pub start: u64,
    /// First byte behind it.
    pub end: u64,
    /// How many pieces it is.
    pub pieces: usize,
    /// Whether the whole file is not there.
    pub is_missing: bool,
}

/// A file of a length that it should not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WrongLength {
    /// The file.
    pub file: String,
    /// What it should have, in bytes.
    pub expected: u64,
    /// What it has.
    pub found: u64,
}

/// What is beyond the power of parity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Beyond {
    /// Groups in which more pieces are lost than recovery pieces are left, with the number of pieces that each of them lacks.
    pub groups: Vec<Lack>,
    /// How many pieces would have to be found elsewhere.
    pub pieces: u32,
    /// Bytes that are lost for good: all lost pieces of these groups.
    pub bytes: u64,
    /// The files that they are in.
    pub files: Vec<String>,
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<String> = self.files.iter().map(|file| format!("`{file}`")).collect();
        write!(f, "{} bytes of {} (", self.bytes, files.join(", "))?;
        for (number, Lack { group, lost, lacking }) in self.groups.iter().take(MAX_GROUPS_SHOWN).enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            write!(f, "{comma}group {group} lacks {lacking} of {lost} lost pieces")?;
        }
        match self.groups.len().saturating_sub(MAX_GROUPS_SHOWN) {
            0 => f.write_str(")"),
            more => write!(f, ", and {more} more groups; {} pieces in all)", self.pieces),
        }
    }
}

/// A group that cannot be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lack {
    /// The group.
    pub group: u32,
    /// Lost pieces of it.
    pub lost: u32,
    /// How many of them too many.
    pub lacking: u32,
}

impl Survey {
    /// Whether nothing at all is wrong.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damages.is_empty() && self.parity_damages.is_empty() && self.cut.is_empty()
    }

    /// Whether all of the archive can be had.
    #[must_use]
    pub fn is_repairable(&self) -> bool {
        self.beyond.groups.is_empty()
    }
}

impl Mender {
    /// How many bytes [`Mender::survey`] reads.
    #[must_use]
    pub fn survey_bytes(&self) -> u64 {
        self.index.grid.lengths().iter().sum::<u64>() + self.parity_bytes()
    }

    /// How many bytes [`Mender::survey_parity`] reads.
    #[must_use]
    pub fn parity_bytes(&self) -> u64 {
        u64::from(self.index.grid.recovery_pieces()) * self.index.grid.piece_bytes()
    }

    /// Looks at every piece and every recovery piece.
    ///
    /// # Errors
    /// [`Error::Interrupted`], or an I/O error that says nothing about the medium; damage is a finding.
    pub fn survey(&mut self, progress: &dyn Progress) -> Result<Survey, Error> {
        self.look_at_pieces((0..self.index.grid.pieces()).collect(), progress)?;
        self.look_at_recovery((0..self.index.grid.recovery_pieces()).collect(), progress)?;
        self.findings()
    }

    /// Looks at the parity files alone, and where volumes have headers, which no frame covers: for when the archive itself
    /// has just been verified.
    ///
    /// # Errors
    /// As [`Mender::survey`].
    pub fn survey_parity(&mut self, progress: &dyn Progress) -> Result<Survey, Error> {
        // What was just copied to a stick would be answered by memory.
        self.parity.iter().flatten().try_for_each(|copy| copy.forget_cached())?;
        let grid = &self.index.grid;
        let headers = if grid.header_bytes() > 0 { grid.lengths().len() } else { 0 };
        let headers = (0..headers).map(|file| grid.pieces_of_file(file).start).collect();
        self.look_at_pieces(headers, progress)?;
        self.look_at_recovery((0..self.index.grid.recovery_pieces()).collect(), progress)?;
        self.findings()
    }

    /// What is known by now.
    fn findings(&self) -> Result<Survey, Error> {
        let grid = &self.index.grid;
        let mut survey = Survey::default();
        for piece in (0..grid.pieces()).filter(|&piece| self.pieces[piece as usize] == Known::Lost) {
            let place = grid.place(piece);
            survey.pieces += 1;
            survey.bytes += place.range.end - place.range.start;
            let is_missing = self.archive[place.file].is_empty();
            let name = || self.name_of(place.file);
            add(&mut survey.damages, place.file, place.range.clone(), is_missing, name);
        }
        survey.parity_damages = self.parity_damages();
        survey.parity_damages.extend(self.index_damages());
        survey.parity_damages.sort_by_key(|damage| (damage.number, damage.start));
        survey.beyond = self.beyond((0..grid.groups()).filter(|&group| self.lacks(group) > 0));
        for (copies, &expected) in self.archive.iter().zip(grid.lengths()) {
            let Some(first) = copies.first() else { continue };
            let found = first.length()?;
            if found != expected
                && !copies.iter().any(|copy| copy.length().is_ok_and(|found| found == expected))
            {
                survey.cut.push(WrongLength { file: first.name().to_owned(), expected, found });
            }
        }
        Ok(survey)
    }

    fn parity_damages(&self) -> Vec<LostStretch> {
        let grid = &self.index.grid;
        let mut damages = Vec::new();
        for (file, copies) in self.parity.iter().enumerate() {
            for row in grid.rows_of(file) {
                for group in 0..grid.groups() {
                    if self.recovery[(row * grid.groups() + group) as usize] == Known::Lost {
                        let (_, start) = grid.recovery_place(row, group);
                        let range = start..start + grid.piece_bytes();
                        let name = || match copies.first() {
                            Some(first) => first.name().to_owned(),
                            None => self.planned_parity_name(file),
                        };
                        add(&mut damages, file, range, copies.is_empty(), name);
                    }
                }
            }
        }
        damages
    }

    /// Pages of the index that are damaged, of files that are at hand.
    fn index_damages(&self) -> Vec<LostStretch> {
        let mut damages = Vec::new();
        for ((file, copies), length) in self.parity.iter().enumerate().zip(self.index.grid.parity_lengths()) {
            let number = u32::try_from(file + 1).unwrap_or(u32::MAX);
            for copy in copies {
                for (start, is_right) in pages_of(&**copy, &self.index, number, length) {
                    if !is_right {
                        let range = start..start + page::PAGE_BYTES;
                        add(&mut damages, file, range, false, || copy.name().to_owned());
                    }
                }
            }
        }
        damages
    }

    /// Tells what is lost for good if these groups cannot be mended.
    pub(super) fn beyond(&self, groups: impl Iterator<Item = u32>) -> Beyond {
        let grid = &self.index.grid;
        let mut beyond = Beyond::default();
        for group in groups {
            let mut lost = 0;
            for piece in self.lost_of(group) {
                let place = grid.place(piece);
                lost += 1;
                beyond.bytes += place.range.end - place.range.start;
                let name = self.name_of(place.file);
                if !beyond.files.contains(&name) {
                    beyond.files.push(name);
                }
            }
            let lacking = self.lacks(group);
            beyond.pieces += lacking;
            beyond.groups.push(Lack { group, lost, lacking });
        }
        beyond.files.sort();
        beyond
    }

    /// Says that this is beyond the power of parity.
    pub(super) fn beyond_parity(&self, beyond: Beyond) -> Error {
        let missing = (0..self.archive.len()).filter(|&file| self.archive[file].is_empty());
        let mut missing: Vec<String> = missing.map(|file| self.planned_name(file)).collect();
        let parity = self.parity.iter().enumerate().filter(|(_, copies)| copies.is_empty());
        missing.extend(parity.map(|(file, _)| self.planned_parity_name(file)));
        Error::BeyondParity { archive: self.stem.clone(), beyond: Box::new(beyond), missing }
    }

    /// What a file of the archive is called: as it is at hand, or as it would be.
    pub(super) fn name_of(&self, file: usize) -> String {
        match self.archive[file].first() {
            Some(first) => first.name().to_owned(),
            None => self.planned_name(file),
        }
    }

    /// `acme-1.5.0.tar.zst`, or `acme-1.5.0.002.tar.zst` of a volume.
    pub(super) fn planned_name(&self, file: usize) -> String {
        if self.index.grid.header_bytes() == 0 {
            return format!("{}.tar.zst", self.stem);
        }
        format!("{}.{:03}.tar.zst", self.stem, file + 1)
    }

    fn planned_parity_name(&self, file: usize) -> String {
        format!("{}.p{:02}.par", self.stem, file + 1)
    }
}

/// Adds a lost piece: to the stretch before it, if it follows it.
fn add(
    stretches: &mut Vec<LostStretch>,
    file: usize,
    range: Range<u64>,
    is_missing: bool,
    name: impl FnOnce() -> String,
) {
    match stretches.last_mut() {
        Some(last) if last.number == file + 1 && last.end == range.start => {
            last.end = range.end;
            last.pieces += 1;
        }
        _ => stretches.push(LostStretch {
            file: name(),
            number: file + 1,
            start: range.start,
            end: range.end,
            pieces: 1,
            is_missing,
        }),
    }
}
