//! What parity files an archive gets: known before the first of its bytes is read.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Serialize;

use super::files::Files;
use super::gather::ParityFile;
use super::make;
use crate::format::parity::{Amount, Grid, Index};
use crate::format::volume::{HEADER_LEN, MAX_VOLUMES};
use crate::{Digest, Error, Progress, durable, making};

/// The journal has a line of hexadecimal characters for each group.
const JOURNAL_BYTES_PER_HASH: u64 = 34;

/// What will be made.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The parity files.
    pub files: Vec<Planned>,
    /// Length of the archive's files together, in bytes.
    pub archive_bytes: u64,
    /// Length of a piece in bytes: the least that is lost.
    pub piece_bytes: u64,
    /// Groups of pieces.
    pub groups: u32,
    /// Pieces of a group.
    pub group_pieces: u32,
    /// How many pieces of each group may be lost.
    pub recovery: u32,
    #[serde(skip)]
    pub(super) grid: Grid,
    #[serde(skip)]
    pub(super) archive: Files,
}

/// A parity file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// Where it will be.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
}

impl Plan {
    /// Plans parity files for an archive, in the folder `out`. Unless it is said otherwise, none is longer than the
    /// longest volume.
    ///
    /// # Errors
    /// [`Error::ParityTooLarge`] if that is too short.
    pub fn new(archive: Files, amount: Amount, out: &Path, most_bytes: Option<u64>) -> Result<Self, Error> {
        let (set, header_bytes) = (archive.set(), archive.header_bytes());
        let lengths: Vec<u64> = archive.lengths().collect();
        let longest = (header_bytes > 0).then(|| lengths.iter().copied().max().unwrap_or(0));
        let grid = Grid::plan(set, header_bytes, lengths, amount, most_bytes.or(longest))?;
        let path = |number: usize| out.join(format!("{}.p{number:02}.par", archive.stem()));
        let files = (1..).zip(grid.parity_lengths());
        let files = files.map(|(number, bytes)| Planned { path: path(number), bytes }).collect();
        Ok(Self {
            files,
            archive_bytes: grid.lengths().iter().sum(),
            piece_bytes: grid.piece_bytes(),
            groups: grid.groups(),
            group_pieces: grid.group_pieces(),
            recovery: grid.recovery(),
            grid,
            archive,
        })
    }

    /// How long the parity files will be together, in bytes, of an archive of this length in volumes of at most so many
    /// bytes: before any of them is there.
    ///
    /// # Errors
    /// [`Error::ParityTooLarge`] if volumes are too small.
    pub fn expected_bytes(
        archive_bytes: u64,
        volume_bytes: Option<u64>,
        amount: Amount,
    ) -> Result<u64, Error> {
        let stretch = volume_bytes.map_or(archive_bytes, |bytes| bytes.saturating_sub(HEADER_LEN)).max(1);
        let mut lengths = Vec::new();
        let mut left = archive_bytes;
        // More volumes than there can be are refused when the archive is cut.
        while left > 0 && lengths.len() < MAX_VOLUMES as usize {
            lengths.push(left.min(stretch) + HEADER_LEN);
            left = left.saturating_sub(stretch);
        }
        let grid = Grid::plan(Digest::of(&[]), HEADER_LEN, lengths, amount, volume_bytes)?;
        Ok(grid.parity_lengths().sum())
    }

    /// Length of the parity files together, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// How many bytes of progress it makes: the archive is read, what was made of it is read back.
    #[must_use]
    pub fn work_bytes(&self) -> u64 {
        self.archive_bytes + self.bytes()
    }

    /// Makes the parity files, or goes on with what an earlier try of the same plan left.
    ///
    /// # Errors
    /// [`Error::Occupied`] or [`Error::NoSpace`] before anything is written, [`Error::Busy`], [`Error::WrittenWrong`] if the medium does not hold
    /// what was written to it, [`Error::Interrupted`], or I/O.
    pub fn make(&self, progress: &dyn Progress) -> Result<(), Error> {
        self.expect_free()?;
        self.expect_space()?;
        make::make(self, progress)
    }

    /// Refuses to write over anything but parity files of the same plan.
    ///
    /// # Errors
    /// [`Error::Occupied`].
    pub fn expect_free(&self) -> Result<(), Error> {
        let plan = self.empty_index().header(1).plan();
        for file in &self.files {
            let is_there = fs::symlink_metadata(&file.path).is_ok();
            let is_ours = || {
                let found = ParityFile::look_at(&file.path).ok().and_then(|found| found.header);
                found.is_some_and(|header| header.plan() == plan)
            };
            if is_there && !is_ours() {
                return Err(Error::Occupied { path: file.path.display().to_string() });
            }
        }
        Ok(())
    }

    /// Refuses to begin what cannot end for want of room. What an earlier try occupies counts as free.
    fn expect_space(&self) -> Result<(), Error> {
        let earlier: u64 = self.files.iter().map(|file| making::occupied_bytes(&file.partial())).sum();
        let hashes = u64::from(self.grid.pieces() + self.grid.recovery_pieces());
        let needed = self.bytes() + hashes * JOURNAL_BYTES_PER_HASH;
        making::expect_room(durable::parent_of(&self.files[0].path), needed, earlier)
    }

    fn empty_index(&self) -> Index {
        Index { grid: self.grid.clone(), pieces: Vec::new(), recovery: Vec::new() }
    }

    /// What an earlier try has to have been about to be gone on with.
    pub(super) fn digest(&self) -> Result<Digest, Error> {
        let mut bytes: Vec<u8> = self.empty_index().to_pages(1).as_flattened().to_vec();
        for path in self.archive.paths() {
            let metadata = fs::metadata(path)?;
            for number in
                [metadata.mtime(), metadata.mtime_nsec(), i64::try_from(metadata.len()).unwrap_or(0)]
            {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        Ok(Digest::of(&bytes))
    }
}

impl Planned {
    /// What it is called until it is finished.
    pub(super) fn partial(&self) -> PathBuf {
        making::beside(&self.path, ".partial")
    }
}
