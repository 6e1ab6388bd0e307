//! How the files of an archive are cut into pieces, the pieces dealt out to groups, and the recovery pieces spread over
//! parity files. Pure arithmetic.

use std::ops::Range;

use super::amount::{Amount, Kind};
use super::{
    GROUP_PIECES, MAX_FILES, MAX_GROUP_PIECES, MAX_PIECE_BYTES, MAX_PIECES, MIN_PIECE_BYTES, index, page,
};
use crate::format::MAX_FILE_BYTES;
use crate::format::volume::{Cuts, HEADER_LEN};
use crate::{Digest, Error};

/// Which piece is where. Never larger, and never otherwise, than the format allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    set: Digest,
    header_bytes: u64,
    piece_bytes: u64,
    lengths: Vec<u64>,
    groups: u32,
    rows: Vec<u32>,
    /// Number of the first piece of each file, and at the end the number of all pieces.
    starts: Vec<u32>,
}

/// Where a piece lies. What it lacks to a whole piece are zeros that stand nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PiecePlace {
    /// Index of the file.
    pub file: usize,
    /// First byte in it, and first byte behind.
    pub range: Range<u64>,
}

impl Grid {
    /// Plans parity for files of these lengths, each of which begins with `header_bytes` that are no part of the archive
    /// (a volume's header). No parity file will be longer than `most_bytes`.
    ///
    /// # Errors
    /// [`Error::ParityTooLarge`] if that is too little for a single row of recovery pieces; [`Error::Inconsistent`] for
    /// files that cannot be an archive.
    pub fn plan(
        set: Digest,
        header_bytes: u64,
        lengths: Vec<u64>,
        amount: Amount,
        most_bytes: Option<u64>,
    ) -> Result<Self, Error> {
        let refuse = |why: &str| Error::inconsistent("the plan of the parity files", why);
        check_lengths(header_bytes, &lengths).map_err(refuse)?;
        let mut piece_bytes = MIN_PIECE_BYTES;
        while count_pieces(&lengths, piece_bytes).is_none_or(|pieces| pieces > MAX_PIECES) {
            piece_bytes *= 2;
        }
        let starts = starts(&lengths, piece_bytes);
        let pieces = starts[lengths.len()];
        let groups = pieces.div_ceil(GROUP_PIECES);
        let group_pieces = pieces.div_ceil(groups);
        let recovery = match amount.kind() {
            Kind::Percent(percent) => (group_pieces * percent).div_ceil(100),
            Kind::Files(files) => {
                // A run of pieces is dealt out evenly: no group gets more of it than this.
                let mut shares: Vec<u32> =
                    starts.windows(2).map(|pair| (pair[1] - pair[0]).div_ceil(groups)).collect();
                shares.sort_unstable_by(|a, b| b.cmp(a));
                let most: u32 = shares.iter().take(files as usize).sum();
                most.min(group_pieces)
            }
        };
        let mut grid = Self { set, header_bytes, piece_bytes, lengths, groups, rows: vec![recovery], starts };
        if let Some(most_bytes) = most_bytes {
            grid.rows = grid.spread(recovery, most_bytes)?;
        }
        Ok(grid)
    }

    /// Takes what an index says, if it can be.
    pub(super) fn from_index(parts: Parts) -> Result<Self, &'static str> {
        let Parts { set, header_bytes, piece_bytes, pieces, lengths, groups, recovery, rows } = parts;
        check_lengths(header_bytes, &lengths)?;
        if !piece_bytes.is_power_of_two()
            || !(MIN_PIECE_BYTES..=longest_piece(&lengths)).contains(&piece_bytes)
        {
            return Err("its pieces have a size that is not allowed");
        }
        if count_pieces(&lengths, piece_bytes) != Some(pieces) || pieces > MAX_PIECES {
            return Err("it counts its pieces otherwise than its files say");
        }
        if groups == 0 || groups > pieces || pieces.div_ceil(groups) > MAX_GROUP_PIECES {
            return Err("its groups have a size that is not allowed");
        }
        let sum: Option<u32> = rows.iter().try_fold(0, |sum: u32, &rows| sum.checked_add(rows));
        let fits = (1..=pieces.div_ceil(groups)).contains(&recovery) && rows.len() <= MAX_FILES as usize;
        if sum != Some(recovery) || !fits || rows.contains(&0) {
            return Err("it counts its recovery pieces otherwise than its parity files say");
        }
        let starts = starts(&lengths, piece_bytes);
        Ok(Self { set, header_bytes, piece_bytes, lengths, groups, rows, starts })
    }

    /// Spreads rows over as many parity files as it takes, evenly.
    fn spread(&self, recovery: u32, most_bytes: u64) -> Result<Vec<u32>, Error> {
        // As if there were a parity file for each row: the index has 4 bytes for each.
        let index_bytes = index::encoded_len(self.lengths.len(), recovery as usize, self, recovery);
        let ends = 2 * page::PAGE_BYTES * page::count(index_bytes);
        let row_bytes = self.piece_bytes * u64::from(self.groups);
        let fit = most_bytes.saturating_sub(ends) / row_bytes;
        let fit = u32::try_from(fit).unwrap_or(u32::MAX).min(recovery);
        if fit == 0 {
            return Err(Error::ParityTooLarge { needed: ends + row_bytes, limit: most_bytes });
        }
        let files = recovery.div_ceil(fit);
        let (each, more) = (recovery / files, recovery % files);
        Ok((0..files).map(|file| each + u32::from(file < more)).collect())
    }

    /// Names the archive and how it is cut into files: what volumes call their set.
    #[must_use]
    pub fn set(&self) -> Digest {
        self.set
    }

    /// Whether an archive with this packing, cut as these files are, is the set that it says it is: then the lengths are
    /// those of the archive.
    #[must_use]
    pub fn is_of(&self, packing: Digest) -> bool {
        let lengths = self.lengths.iter().map(|length| length - self.header_bytes).collect();
        Cuts { packing, lengths }.set() == self.set
    }

    /// Bytes at the start of each file that are no part of the archive.
    #[must_use]
    pub fn header_bytes(&self) -> u64 {
        self.header_bytes
    }

    /// Length of a piece in bytes, a power of two.
    #[must_use]
    pub fn piece_bytes(&self) -> u64 {
        self.piece_bytes
    }

    /// Lengths of the archive's files in bytes.
    #[must_use]
    pub fn lengths(&self) -> &[u64] {
        &self.lengths
    }

    /// Number of groups.
    #[must_use]
    pub fn groups(&self) -> u32 {
        self.groups
    }

    /// Number of pieces.
    #[must_use]
    pub fn pieces(&self) -> u32 {
        self.starts[self.lengths.len()]
    }

    /// Number of pieces in a group; groups that are one short count a piece of zeros as their last.
    #[must_use]
    pub fn group_pieces(&self) -> u32 {
        self.pieces().div_ceil(self.groups)
    }

    /// Recovery pieces of each group: how many of its pieces may be lost.
    #[must_use]
    pub fn recovery(&self) -> u32 {
        self.rows.iter().sum()
    }

    /// Recovery pieces of all groups.
    #[must_use]
    pub fn recovery_pieces(&self) -> u32 {
        self.recovery() * self.groups
    }

    /// Recovery pieces of each group in each parity file.
    #[must_use]
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Length of the archive in bytes.
    #[must_use]
    pub fn archive_bytes(&self) -> u64 {
        self.lengths.iter().map(|length| length - self.header_bytes).sum()
    }

    /// Lengths of the parity files in bytes.
    pub fn parity_lengths(&self) -> impl Iterator<Item = u64> + '_ {
        self.rows
            .iter()
            .map(|&rows| 2 * self.index_bytes() + u64::from(rows * self.groups) * self.piece_bytes)
    }

    /// Length of the index in bytes, in pages, once.
    #[must_use]
    pub fn index_bytes(&self) -> u64 {
        let bytes = index::encoded_len(self.lengths.len(), self.rows.len(), self, self.recovery());
        page::count(bytes) * page::PAGE_BYTES
    }

    /// The pieces of a group, in order.
    pub fn pieces_of(&self, group: u32) -> impl Iterator<Item = u32> + use<> {
        (group..self.pieces()).step_by(self.groups as usize)
    }

    /// The group of a piece, and its index in it.
    #[must_use]
    pub fn group_of(&self, piece: u32) -> (u32, u32) {
        (piece % self.groups, piece / self.groups)
    }

    /// Where a piece lies.
    #[must_use]
    pub fn place(&self, piece: u32) -> PiecePlace {
        let file = self.starts.partition_point(|&start| start <= piece).saturating_sub(1);
        let file = file.min(self.lengths.len() - 1);
        let start = u64::from(piece - self.starts[file]) * self.piece_bytes;
        let end = self.lengths[file].min(start + self.piece_bytes);
        PiecePlace { file, range: start..end }
    }

    /// The pieces of a file.
    #[must_use]
    pub fn pieces_of_file(&self, file: usize) -> Range<u32> {
        self.starts[file]..self.starts[file + 1]
    }

    /// The pieces that a stretch of a file lies in.
    #[must_use]
    pub fn pieces_under(&self, file: usize, range: &Range<u64>) -> Range<u32> {
        let all = self.pieces_of_file(file);
        let number = |pieces: u64| u32::try_from(pieces).unwrap_or(u32::MAX).saturating_add(all.start);
        let last = number(range.end.div_ceil(self.piece_bytes)).min(all.end);
        number(range.start / self.piece_bytes).min(last)..last
    }

    /// Where a stretch of the archive lies: files, and first byte in them and first byte behind.
    #[must_use]
    pub fn stretches(&self, range: &Range<u64>) -> Vec<(usize, Range<u64>)> {
        let mut found = Vec::new();
        let mut start = 0;
        for (file, length) in self.lengths.iter().enumerate() {
            let end = start + (length - self.header_bytes);
            let (from, to) = (range.start.clamp(start, end), range.end.clamp(start, end));
            if from < to {
                let in_file = |at: u64| at - start + self.header_bytes;
                found.push((file, in_file(from)..in_file(to)));
            }
            start = end;
        }
        found
    }

    /// The stretch of the archive that a piece holds; empty if there is none of it in the piece.
    #[must_use]
    pub fn archive_range(&self, piece: u32) -> Range<u64> {
        let PiecePlace { file, range } = self.place(piece);
        let before: u64 = self.lengths[..file].iter().map(|length| length - self.header_bytes).sum();
        let in_archive = |at: u64| at.saturating_sub(self.header_bytes) + before;
        in_archive(range.start)..in_archive(range.end)
    }

    /// Where recovery piece `row` of `group` lies: index of the parity file, first byte in it.
    #[must_use]
    pub fn recovery_place(&self, row: u32, group: u32) -> (usize, u64) {
        let mut row = row;
        for (file, &rows) in self.rows.iter().enumerate() {
            if row < rows {
                let before = u64::from(row * self.groups + group) * self.piece_bytes;
                return (file, self.index_bytes() + before);
            }
            row -= rows;
        }
        (self.rows.len(), 0)
    }

    /// The rows that stand in a parity file.
    #[must_use]
    pub fn rows_of(&self, parity_file: usize) -> Range<u32> {
        let before = self.rows[..parity_file].iter().sum();
        before..before + self.rows[parity_file]
    }
}

/// What an index says before it is known whether it can be.
pub(super) struct Parts {
    pub(super) set: Digest,
    pub(super) header_bytes: u64,
    pub(super) piece_bytes: u64,
    pub(super) pieces: u32,
    pub(super) lengths: Vec<u64>,
    pub(super) groups: u32,
    pub(super) recovery: u32,
    pub(super) rows: Vec<u32>,
}

fn check_lengths(header_bytes: u64, lengths: &[u64]) -> Result<(), &'static str> {
    if lengths.is_empty() || lengths.len() > MAX_FILES as usize {
        return Err("it is about no file, or about too many");
    }
    let is_split = header_bytes == HEADER_LEN;
    if !is_split && (header_bytes > 0 || lengths.len() > 1) {
        return Err("what its files begin with is neither nothing nor a volume's header");
    }
    // Each below the limit, so that no sum runs over.
    if lengths.iter().any(|&length| length <= header_bytes || length > MAX_FILE_BYTES) {
        return Err("a file has a length that is not allowed");
    }
    if lengths.iter().sum::<u64>() > MAX_FILE_BYTES {
        return Err("its files are too long together");
    }
    Ok(())
}

/// Longer pieces would have more zeros behind the files than bytes of them: somebody else would have to hash these.
fn longest_piece(lengths: &[u64]) -> u64 {
    let longest = lengths.iter().copied().max().unwrap_or(0);
    longest.next_power_of_two().clamp(MIN_PIECE_BYTES, MAX_PIECE_BYTES)
}

/// How many pieces these files make; `None` if they are too many to count.
fn count_pieces(lengths: &[u64], piece_bytes: u64) -> Option<u32> {
    u32::try_from(lengths.iter().map(|length| length.div_ceil(piece_bytes)).sum::<u64>()).ok()
}

fn starts(lengths: &[u64], piece_bytes: u64) -> Vec<u32> {
    let mut starts = vec![0];
    let mut start = 0_u32;
    for length in lengths {
        // Counted before, so these are few.
        start += u32::try_from(length.div_ceil(piece_bytes)).unwrap_or(0);
        starts.push(start);
    }
    starts
}

#[cfg(test)]
mod tests;
