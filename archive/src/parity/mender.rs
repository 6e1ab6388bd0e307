//! What mends an archive: the index, the files of the archive and the parity files as far as they are at hand, and what is
//! known by now about their pieces.
//!
//! Nothing is believed of a file but pieces whose hash is right; of a file there may be several copies, each with damage
//! of its own.

use std::ops::Range;
use std::sync::Arc;

use super::code::{Part, Shape};
use super::pieces;
use super::rebuild::{Rebuilt, Sink, rebuild};
use super::threads;
use crate::format::parity::{Index, PieceHash};
use crate::medium::Medium;
use crate::{Error, Progress};

/// Copies of a file.
pub(super) type Copies = Vec<Arc<dyn Medium>>;

/// An archive with its parity.
#[derive(Debug)]
pub struct Mender {
    pub(super) index: Index,
    /// The archive's files.
    pub(super) archive: Vec<Copies>,
    /// The parity files.
    pub(super) parity: Vec<Copies>,
    /// What is known of the pieces, and of the recovery pieces in the order of the index.
    pub(super) pieces: Vec<Known>,
    pub(super) recovery: Vec<Known>,
    /// Groups that came out otherwise than their hashes say.
    hopeless: Vec<u32>,
    /// The name that the files have in common.
    pub(super) stem: String,
}

/// What is known of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing yet.
    Nothing,
    /// It is right in this copy of its file.
    Good(usize),
    /// It is wrong in every copy, or cannot be read.
    Lost,
}

impl Mender {
    pub(super) fn new(index: Index, archive: Vec<Copies>, parity: Vec<Copies>, stem: String) -> Self {
        let pieces = vec![Known::Nothing; index.pieces.len()];
        let recovery = vec![Known::Nothing; index.recovery.len()];
        Self { index, archive, parity, pieces, recovery, hopeless: Vec::new(), stem }
    }

    pub(super) fn shape(&self) -> Shape {
        let grid = &self.index.grid;
        Shape { pieces: grid.group_pieces() as usize, recovery: grid.recovery() as usize }
    }

    /// Whether a piece is right in some copy. One that was right before is looked at again: media fail as they are read.
    pub(super) fn look_at(&mut self, piece: u32) -> Result<Known, Error> {
        if self.pieces[piece as usize] != Known::Lost {
            self.pieces[piece as usize] = Known::Nothing;
            self.look_at_pieces(vec![piece], &crate::Unwatched)?;
        }
        Ok(self.pieces[piece as usize])
    }

    /// How many files the archive has.
    #[must_use]
    pub fn files(&self) -> usize {
        self.archive.len()
    }

    /// Whether any file of the archive is at hand.
    pub(super) fn has_any_file(&self) -> bool {
        self.archive.iter().any(|copies| !copies.is_empty())
    }

    /// Whether parity can stand in for all files that are not at hand, as long as everything else is right.
    pub(super) fn makes_up_for_missing(&self) -> bool {
        let grid = &self.index.grid;
        let rows = grid.rows().iter().zip(&self.parity).filter(|(_, copies)| !copies.is_empty());
        let rows: u32 = rows.map(|(rows, _)| rows).sum();
        let missing = (0..grid.lengths().len()).filter(|&file| self.archive[file].is_empty());
        // Pieces of a file are dealt out evenly: no group has more of them than this.
        let lost: u32 = missing
            .map(|file| (grid.pieces_of_file(file).len() as u64).div_ceil(grid.groups().into()))
            .map(|share| u32::try_from(share).unwrap_or(u32::MAX))
            .sum();
        lost <= rows
    }

    /// Looks at those of these pieces of which nothing is known yet.
    pub(super) fn look_at_pieces(&mut self, all: Vec<u32>, progress: &dyn Progress) -> Result<(), Error> {
        let (threads, _) = self.shape().decoding();
        let (index, archive) = (&self.index, &self.archive);
        let sought = |piece: u32| {
            let place = index.grid.place(piece);
            Sought { copies: &archive[place.file], range: place.range, hash: index.pieces[piece as usize] }
        };
        look_at_all(&mut self.pieces, all, threads, index.grid.piece_bytes(), sought, progress)
    }

    /// Looks at those of these recovery pieces (by their place in the index) of which nothing is known yet.
    pub(super) fn look_at_recovery(&mut self, all: Vec<u32>, progress: &dyn Progress) -> Result<(), Error> {
        let (threads, _) = self.shape().decoding();
        let (index, parity) = (&self.index, &self.parity);
        let (groups, piece_bytes) = (index.grid.groups(), index.grid.piece_bytes());
        let sought = |piece: u32| {
            let (file, start) = index.grid.recovery_place(piece / groups, piece % groups);
            let range = start..start + piece_bytes;
            Sought { copies: &parity[file], range, hash: index.recovery[piece as usize] }
        };
        look_at_all(&mut self.recovery, all, threads, piece_bytes, sought, progress)
    }

    /// The lost pieces of a group, as far as is known.
    pub(super) fn lost_of(&self, group: u32) -> impl Iterator<Item = u32> + '_ {
        self.index.grid.pieces_of(group).filter(|&piece| self.pieces[piece as usize] == Known::Lost)
    }

    /// The recovery pieces of a group, as they stand in the index.
    pub(super) fn recovery_of(&self, group: u32) -> impl Iterator<Item = u32> + use<> {
        let groups = self.index.grid.groups();
        (0..self.index.grid.recovery()).map(move |row| row * groups + group)
    }

    pub(super) fn good_recovery_of(&self, group: u32) -> impl Iterator<Item = (u32, usize)> + '_ {
        self.recovery_of(group).filter_map(|piece| match self.recovery[piece as usize] {
            Known::Good(copy) => Some((piece, copy)),
            _ => None,
        })
    }

    /// How many more recovery pieces a group would need, as far as is known.
    pub(super) fn lacks(&self, group: u32) -> u32 {
        let lost = self.lost_of(group).count();
        if lost > 0 && self.hopeless.contains(&group) {
            return u32::try_from(lost).unwrap_or(u32::MAX);
        }
        u32::try_from(lost.saturating_sub(self.good_recovery_of(group).count())).unwrap_or(u32::MAX)
    }

    /// Makes all lost pieces of a group again. Says whether it could; what came before it said no is void.
    pub(super) fn mend(
        &mut self,
        group: u32,
        sink: Sink<'_>,
        progress: &dyn Progress,
    ) -> Result<bool, Error> {
        // Each time around at least one more piece turns out to be lost.
        loop {
            if !self.may_be_enough(group) {
                return Ok(false);
            }
            self.look_at_pieces(self.index.grid.pieces_of(group).collect(), progress)?;
            if self.lost_of(group).next().is_none() {
                return Ok(true);
            }
            self.find_recovery(group, progress)?;
            if self.lacks(group) > 0 {
                return Ok(false);
            }
            match rebuild(self, group, sink, progress)? {
                Rebuilt::Right => return Ok(true),
                Rebuilt::Wrong => self.hopeless.push(group),
                Rebuilt::Lost(Part::Piece(piece)) => self.pieces[piece] = Known::Lost,
                Rebuilt::Lost(Part::Recovery(piece)) => self.recovery[piece] = Known::Lost,
            }
        }
    }

    /// Whether a group may be mended, as far as can be said without reading anything more of it.
    fn may_be_enough(&mut self, group: u32) -> bool {
        let grid = &self.index.grid;
        for piece in grid.pieces_of(group) {
            if self.archive[grid.place(piece).file].is_empty() {
                self.pieces[piece as usize] = Known::Lost;
            }
        }
        let is_left = |row: &u32| {
            let (file, _) = grid.recovery_place(*row, group);
            let known = self.recovery[(row * grid.groups() + group) as usize];
            known != Known::Lost && !self.parity[file].is_empty()
        };
        self.lost_of(group).count() <= (0..grid.recovery()).filter(is_left).count()
    }

    /// Looks at recovery pieces of a group until there are enough, or no more.
    fn find_recovery(&mut self, group: u32, progress: &dyn Progress) -> Result<(), Error> {
        loop {
            let lacks = self.lacks(group);
            let unknown = |piece: &u32| self.recovery[*piece as usize] == Known::Nothing;
            let next: Vec<u32> = self.recovery_of(group).filter(unknown).take(lacks as usize).collect();
            if next.is_empty() {
                return Ok(());
            }
            self.look_at_recovery(next, progress)?;
        }
    }
}

/// Where a piece must be, and what it must be.
struct Sought<'a> {
    copies: &'a Copies,
    range: Range<u64>,
    hash: PieceHash,
}

/// Finds out about those of these pieces of which nothing is known yet.
fn look_at_all<'a>(
    known: &mut [Known],
    mut all: Vec<u32>,
    threads: usize,
    piece_bytes: u64,
    sought: impl Fn(u32) -> Sought<'a> + Sync,
    progress: &dyn Progress,
) -> Result<(), Error> {
    all.retain(|&piece| known[piece as usize] == Known::Nothing);
    let mut found = vec![Known::Nothing; all.len()];
    let jobs = all.iter().zip(&mut found);
    threads::each(&mut vec![Vec::new(); threads], jobs, |buffer, (&piece, found)| {
        progress.go_on()?;
        let sought = sought(piece);
        *found = look(&sought, piece_bytes, buffer)?;
        progress.advance(sought.range.end - sought.range.start);
        Ok(())
    })?;
    all.iter().zip(found).for_each(|(&piece, found)| known[piece as usize] = found);
    Ok(())
}

/// Looks for a copy that has the piece.
fn look(sought: &Sought<'_>, piece_bytes: u64, buffer: &mut Vec<u8>) -> Result<Known, Error> {
    for (number, copy) in sought.copies.iter().enumerate() {
        match pieces::hash(&**copy, &sought.range, piece_bytes, buffer) {
            Ok(found) if found == sought.hash => return Ok(Known::Good(number)),
            Ok(_) => {}
            Err(error) if is_loss(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Known::Lost)
}

/// Whether what could not be read is lost; other errors say something about this machine.
pub(super) fn is_loss(error: &Error) -> bool {
    use std::io::ErrorKind::{OutOfMemory, PermissionDenied};

    matches!(error, Error::Io(error) if !matches!(error.kind(), OutOfMemory | PermissionDenied))
}
