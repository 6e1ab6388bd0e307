//! Making parity files: the archive is read once, a few groups (or a part of one) at a time, and what belongs to them is
//! written to all parity files at once.
//!
//! Beside the targets lie, until they are finished, `NAME.p01.par.partial` and so on, and a journal. After an interruption
//! the same plan goes on there. Memory is bounded, whatever the archive: [`TILE_BYTES`] for what is read and made, as much
//! again for the transforms and their tables, and the hashes.

use std::ops::Range;
use std::path::PathBuf;

use fs_err as fs;

use super::code::{COLUMN_UNIT, Encoder, Shape};
use super::journal::{Done, Journal};
use super::pieces::{self, PlainFile};
use super::plan::Plan;
use super::threads;
use crate::format::parity::{Grid, Index, PieceHash, PieceHasher, page};
use crate::medium::Medium as _;
use crate::{Error, Progress, durable, making};

/// Memory for pieces that are read and recovery pieces that are made of them, in bytes.
const TILE_BYTES: usize = 16 << 20;

/// Makes the parity files of a plan.
pub(super) fn make(plan: &Plan, progress: &dyn Progress) -> Result<(), Error> {
    let mut maker = Maker::open(plan)?;
    let done = maker.take_over(progress)?;
    let mut group = 0;
    while group < plan.grid.groups() {
        let groups = group..plan.grid.groups().min(group + maker.tile.groups);
        group = groups.end;
        if groups.clone().all(|group| done.contains(&group)) {
            progress.advance(groups.flat_map(|group| maker.places(group)).map(|p| p.end - p.start).sum());
        } else {
            maker.make_groups(groups, progress)?;
        }
    }
    maker.finish(progress)
}

/// What is in memory at a time.
#[derive(Clone, Copy, Debug)]
struct Tile {
    /// So many groups whole, or one of them
    groups: u32,
    /// so many bytes of each piece after the other.
    columns: u64,
}

impl Tile {
    fn of(grid: &Grid) -> Self {
        let rows = u64::from(grid.group_pieces() + grid.recovery());
        let unit = COLUMN_UNIT as u64;
        let columns = (TILE_BYTES as u64 / (rows * unit)).max(1) * unit;
        if columns < grid.piece_bytes() {
            return Self { groups: 1, columns };
        }
        let groups = TILE_BYTES as u64 / (rows * grid.piece_bytes());
        let groups = u32::try_from(groups).unwrap_or(u32::MAX).clamp(1, grid.groups());
        Self { groups, columns: grid.piece_bytes() }
    }
}

/// Parity files in the making.
struct Maker<'a> {
    plan: &'a Plan,
    grid: &'a Grid,
    sources: Vec<PlainFile>,
    partials: Vec<fs::File>,
    journal: Journal,
    journal_path: PathBuf,
    earlier: Done,
    index: Index,
    tile: Tile,
    shape: Shape,
    encoders: Vec<Encoder>,
    /// How many bytes of each piece a thread works on.
    column_bytes: usize,
    /// The pieces of the tile, group by group.
    pieces: Vec<u8>,
    /// The recovery pieces of the tile: group by group, run of columns by run of columns, row by row.
    made: Vec<u8>,
}

impl<'a> Maker<'a> {
    fn open(plan: &'a Plan) -> Result<Self, Error> {
        let grid = &plan.grid;
        let partials = plan.files.iter().map(|file| making::open_locked(&file.partial()));
        let partials = partials.collect::<Result<Vec<_>, Error>>()?;
        let journal_path = making::beside(&plan.files[0].partial(), ".journal");
        let (journal, earlier) = Journal::open(&journal_path, &plan.digest()?)?;
        for (file, planned) in partials.iter().zip(&plan.files) {
            if earlier.is_empty() {
                file.set_len(0)?;
            }
            file.set_len(planned.bytes)?;
        }
        let shape = Shape { pieces: grid.group_pieces() as usize, recovery: grid.recovery() as usize };
        let (threads, column_bytes) = shape.encoding();
        let none = PieceHash::default();
        Ok(Self {
            sources: plan.archive.paths().map(PlainFile::at).collect(),
            index: Index {
                grid: grid.clone(),
                pieces: vec![none; grid.pieces() as usize],
                recovery: vec![none; grid.recovery_pieces() as usize],
            },
            tile: Tile::of(grid),
            encoders: std::iter::repeat_with(Encoder::default).take(threads).collect(),
            pieces: Vec::new(),
            made: Vec::new(),
            plan,
            grid,
            partials,
            journal,
            journal_path,
            earlier,
            shape,
            column_bytes,
        })
    }

    fn places(&self, group: u32) -> impl Iterator<Item = Range<u64>> + use<'_, 'a> {
        self.grid.pieces_of(group).map(|piece| self.grid.place(piece).range)
    }

    /// Believes the journal where the recovery pieces of a group are what it says; the groups that are done.
    fn take_over(&mut self, progress: &dyn Progress) -> Result<Vec<u32>, Error> {
        let mut done = Vec::new();
        for (group, hashes) in std::mem::take(&mut self.earlier) {
            progress.go_on()?;
            if group >= self.grid.groups()
                || hashes.len() != self.grid.pieces_of(group).count() + self.shape.recovery
            {
                continue;
            }
            let (pieces, recovery) = hashes.split_at(hashes.len() - self.shape.recovery);
            if self.find_wrong(group, recovery)?.is_none() {
                self.take(group, pieces, recovery);
                done.push(group);
            }
        }
        Ok(done)
    }

    fn take(&mut self, group: u32, pieces: &[PieceHash], recovery: &[PieceHash]) {
        for (piece, hash) in self.grid.pieces_of(group).zip(pieces) {
            self.index.pieces[piece as usize] = *hash;
        }
        for (row, hash) in recovery.iter().enumerate() {
            self.index.recovery[row * self.grid.groups() as usize + group as usize] = *hash;
        }
    }

    /// Reads the recovery pieces of a group back; the first row that is not what it should be.
    fn find_wrong(&self, group: u32, recovery: &[PieceHash]) -> Result<Option<u32>, Error> {
        let mut buffer = Vec::new();
        for (row, expected) in (0..).zip(recovery) {
            let (file, start) = self.grid.recovery_place(row, group);
            let file = PlainFile::at(self.partials[file].path());
            let place = start..start + self.grid.piece_bytes();
            if pieces::hash(&file, &place, self.grid.piece_bytes(), &mut buffer)? != *expected {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    fn make_groups(&mut self, groups: Range<u32>, progress: &dyn Progress) -> Result<(), Error> {
        let count = groups.len();
        let mut hashers = vec![PieceHasher::default(); count * self.shape.pieces];
        let mut made_hashers = vec![PieceHasher::default(); count * self.shape.recovery];
        let mut at = 0;
        while at < self.grid.piece_bytes() {
            progress.go_on()?;
            let columns = self.tile.columns.min(self.grid.piece_bytes() - at);
            let width = usize::try_from(columns).unwrap_or(usize::MAX);
            self.fill(&groups, at, width, &mut hashers, progress)?;
            self.encode(count, width)?;
            self.store(&groups, at, width, &mut made_hashers)?;
            at += columns;
        }
        let mut hashers = hashers.into_iter().map(PieceHasher::finish);
        let mut made_hashers = made_hashers.into_iter().map(PieceHasher::finish);
        for group in groups {
            let mut read: Vec<PieceHash> = hashers.by_ref().take(self.shape.pieces).collect();
            // What stands in for the piece that this group is short is no piece.
            read.truncate(self.grid.pieces_of(group).count());
            let made: Vec<PieceHash> = made_hashers.by_ref().take(self.shape.recovery).collect();
            self.take(group, &read, &made);
            self.journal.done(group, &[read, made].concat())?;
        }
        Ok(())
    }

    /// Reads these columns of all pieces of the groups, and hashes them.
    fn fill(
        &mut self,
        groups: &Range<u32>,
        at: u64,
        width: usize,
        hashers: &mut [PieceHasher],
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        self.pieces.resize(groups.len() * self.shape.pieces * width, 0);
        let (grid, sources) = (self.grid, &self.sources);
        let numbers = groups.clone().flat_map(|group| {
            let pieces = grid.pieces_of(group).map(Some);
            pieces.chain(std::iter::repeat(None)).take(grid.group_pieces() as usize)
        });
        let jobs = numbers.zip(self.pieces.chunks_exact_mut(width)).zip(hashers);
        threads::each(&mut vec![(); self.encoders.len()], jobs, |(), ((piece, buffer), hasher)| {
            let Some(piece) = piece else {
                buffer.fill(0);
                return Ok(());
            };
            let place = grid.place(piece);
            pieces::read(&sources[place.file], &place.range, at, buffer)?;
            hasher.update(buffer);
            let end = place.range.end;
            let from = end.min(place.range.start + at);
            progress.advance((end - from).min(width as u64));
            Ok(())
        })
    }

    fn encode(&mut self, groups: usize, width: usize) -> Result<(), Error> {
        let Shape { pieces, recovery } = self.shape;
        self.made.resize(groups * recovery * width, 0);
        let mut jobs = Vec::new();
        let mut rest = self.made.as_mut_slice();
        for group in 0..groups {
            for start in (0..width).step_by(self.column_bytes) {
                let columns = start..width.min(start + self.column_bytes);
                let out;
                (out, rest) = rest.split_at_mut(recovery * columns.len());
                jobs.push((&self.pieces[group * pieces * width..][..pieces * width], columns, out));
            }
        }
        threads::each(&mut self.encoders, jobs, |encoder, (group, columns, out)| {
            encoder.encode(self.shape, group.chunks_exact(width).map(|piece| &piece[columns.clone()]), out)
        })
    }

    /// Writes and hashes what was made.
    fn store(
        &mut self,
        groups: &Range<u32>,
        at: u64,
        width: usize,
        hashers: &mut [PieceHasher],
    ) -> Result<(), Error> {
        let recovery = self.shape.recovery;
        let (grid, made, partials) = (self.grid, &self.made, &self.partials);
        let column_bytes = self.column_bytes;
        let rows = groups.clone().zip(made.chunks_exact(recovery * width));
        let jobs = rows.flat_map(|(group, made)| (0..recovery).map(move |row| (group, row, made)));
        let mut buffers = vec![Vec::with_capacity(width); self.encoders.len()];
        threads::each(&mut buffers, jobs.zip(hashers), |buffer, ((group, row, made), hasher)| {
            buffer.clear();
            for run in made.chunks(recovery * column_bytes) {
                let columns = run.len() / recovery;
                buffer.extend_from_slice(&run[row * columns..][..columns]);
            }
            hasher.update(buffer);
            let (file, start) = grid.recovery_place(u32::try_from(row).unwrap_or(u32::MAX), group);
            Ok(making::write_all_at(&partials[file], buffer, start + at)?)
        })
    }

    /// Writes the index, reads all of it back from the medium, and gives the files their names.
    fn finish(self, progress: &dyn Progress) -> Result<(), Error> {
        for (number, (file, planned)) in (1..).zip(self.partials.iter().zip(&self.plan.files)) {
            for (place, page) in self.pages(number, planned.bytes) {
                making::write_all_at(file, &page, place)?;
            }
            file.sync_all()?;
        }
        self.read_back(progress)?;
        // Before the first rename, while the lock still keeps others out.
        fs::remove_file(&self.journal_path)?;
        for (file, planned) in self.partials.iter().zip(&self.plan.files) {
            fs::rename(file.path(), &planned.path)?;
        }
        Ok(durable::sync_dir(durable::parent_of(&self.plan.files[0].path))?)
    }

    fn pages(&self, number: u32, bytes: u64) -> impl Iterator<Item = (u64, page::Page)> {
        let pages = (0..).zip(self.index.to_pages(number));
        pages.flat_map(move |(page, content)| page::places(page, bytes).map(|place| (place, content)))
    }

    fn read_back(&self, progress: &dyn Progress) -> Result<(), Error> {
        let wrong =
            |file: usize| Error::WrittenWrong { file: self.plan.files[file].path.display().to_string() };
        for (file, (partial, planned)) in self.partials.iter().zip(&self.plan.files).enumerate() {
            let written = PlainFile::at(partial.path());
            written.forget_cached()?;
            let number = u32::try_from(file + 1).unwrap_or(u32::MAX);
            let mut found = [0; page::PAGE_LEN];
            for (place, expected) in self.pages(number, planned.bytes) {
                written.read_exact_at(&mut found, place)?;
                if found != expected {
                    return Err(wrong(file));
                }
            }
            progress.advance(2 * self.grid.index_bytes());
        }
        let recovery = self.index.recovery.chunks_exact(self.grid.groups() as usize);
        let places = (0..).zip(recovery).flat_map(|(row, hashes)| {
            (0..).zip(hashes).map(move |(group, hash)| (self.grid.recovery_place(row, group), hash))
        });
        let piece_bytes = self.grid.piece_bytes();
        let mut buffers = vec![Vec::new(); self.encoders.len()];
        threads::each(&mut buffers, places, |buffer, ((file, start), expected)| {
            progress.go_on()?;
            let written = PlainFile::at(self.partials[file].path());
            let found = pieces::hash(&written, &(start..start + piece_bytes), piece_bytes, buffer)?;
            progress.advance(piece_bytes);
            if found == *expected { Ok(()) } else { Err(wrong(file)) }
        })
    }
}
