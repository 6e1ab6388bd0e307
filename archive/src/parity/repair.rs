//! Repairing into another folder: whole copies of the files that are damaged or missing. Where they come from nothing is
//! changed. Copies get their names when whoever asked for them has verified what they make up.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fs_err as fs;
use serde::Serialize;

use super::assembled::Assembled;
use super::mender::{Known, Mender};
use super::pieces::{self, PlainFile, READ_BYTES};
use super::survey::Survey;
use super::threads;
use crate::format::volume::Header;
use crate::making::{self, Draft};
use crate::medium::{self, Medium};
use crate::{Error, Progress, durable};

/// Ending of a copy that nobody has verified yet; `.partial` is what packing goes on with.
const ENDING: &str = ".repairing";

/// What was repaired.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Repaired {
    /// The copies that were written.
    pub files: Vec<RepairedFile>,
    /// Pieces that were made again.
    pub pieces: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// A copy that was written.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepairedFile {
    /// Its number among the archive's files, from 1.
    pub number: usize,
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// Pieces of it that were made again; none if only its length was wrong, or damage was made up for by other copies.
    pub pieces: usize,
}

/// Copies that are written, and not yet verified as an archive. They are gone with this, unless they are kept.
#[derive(Debug)]
#[must_use = "copies that are not kept are removed"]
pub struct Written {
    repaired: Repaired,
    copies: Vec<Copy>,
}

/// A copy in the making.
#[derive(Debug)]
struct Copy {
    file: usize,
    target: PathBuf,
    draft: Draft,
}

impl Mender {
    /// The files of which [`Mender::repair`] would write copies into a folder, after a survey.
    #[must_use]
    pub fn repairs(&self, into: &Path) -> Vec<RepairedFile> {
        let grid = &self.index.grid;
        let files = 0..grid.lengths().len();
        let names = self.file_names();
        let damaged = files.filter(|&file| !self.has_whole_copy(file));
        damaged
            .map(|file| {
                let lost = |&piece: &u32| self.pieces[piece as usize] == Known::Lost;
                RepairedFile {
                    number: file + 1,
                    path: into.join(&names[file]),
                    bytes: grid.lengths()[file],
                    pieces: grid.pieces_of_file(file).filter(lost).count(),
                }
            })
            .collect()
    }

    /// How many bytes of progress a repair makes after a survey: copies are written and read back.
    #[must_use]
    pub fn repair_bytes(&self, repairs: &[RepairedFile]) -> u64 {
        2 * repairs.iter().map(|file| file.bytes).sum::<u64>()
    }

    /// Refuses to begin what cannot be finished.
    ///
    /// # Errors
    /// [`Error::BeyondParity`].
    pub fn expect_repairable(&self, survey: &Survey) -> Result<(), Error> {
        if survey.is_repairable() { Ok(()) } else { Err(self.beyond_parity(survey.beyond.clone())) }
    }

    /// Writes whole copies of all files that are damaged or missing into a folder. One that is there and right is done.
    ///
    /// # Errors
    /// [`Error::BeyondParity`] before anything is written if something is lost for good, [`Error::NoSpace`],
    /// [`Error::Occupied`], [`Error::WrittenWrong`], [`Error::Interrupted`], or I/O.
    pub fn repair(&mut self, into: &Path, progress: &dyn Progress) -> Result<Written, Error> {
        // What was surveyed before is not read again.
        let survey = self.survey(progress)?;
        self.expect_repairable(&survey)?;
        let planned = self.repairs(into);
        durable::create_dir_all(into)?;
        let (mut copies, mut needed, mut reclaimed) = (Vec::new(), 0, 0);
        for file in &planned {
            if self.is_done(file, progress)? {
                continue;
            }
            let draft = Draft::beside(&file.path, ENDING)?;
            needed += file.bytes;
            reclaimed += making::occupied_bytes(draft.path());
            copies.push(Copy { file: file.number - 1, target: file.path.clone(), draft });
        }
        making::expect_room(into, needed, reclaimed)?;
        for copy in &copies {
            copy.draft.reset(self.index.grid.lengths()[copy.file])?;
        }
        self.copy_good(&copies, progress)?;
        self.write_lost(&copies, progress)?;
        for copy in &copies {
            copy.draft.sync_all()?;
            self.read_back(copy, progress)?;
        }
        let (pieces, bytes) = (survey.pieces, survey.bytes);
        Ok(Written { repaired: Repaired { files: planned, pieces, bytes }, copies })
    }

    /// Whether a copy is there already, of a run that was interrupted.
    fn is_done(&self, planned: &RepairedFile, progress: &dyn Progress) -> Result<bool, Error> {
        let path = &planned.path;
        if !path.exists() {
            return Ok(false);
        }
        let occupied = || Error::Occupied { path: path.display().to_string() };
        let found = fs::metadata(path)?;
        if !found.is_file() || found.len() != planned.bytes {
            return Err(occupied());
        }
        match self.read_pieces(planned.number - 1, path, progress) {
            Ok(true) => {}
            Ok(false) => return Err(occupied()),
            Err(error) => return Err(error),
        }
        progress.advance(planned.bytes);
        Ok(true)
    }

    /// The archive as it is after a repair: copies that were written, and files that were whole.
    #[must_use]
    pub fn repaired_medium(&self, written: &Written) -> Box<dyn Medium> {
        let mut files: Vec<Option<Arc<dyn Medium>>> = Vec::new();
        for (file, copies) in self.archive.iter().enumerate() {
            files.push(match written.path(file) {
                Some(path) => Some(Arc::new(PlainFile::at(path))),
                None => self.whole_copy(file).map(|copy| Arc::clone(&copies[copy])),
            });
        }
        Box::new(Assembled::new(self.stem.clone(), self.index.grid.clone(), files))
    }

    /// The archive as it is, of the first copy of each file: nothing in it is mended.
    #[must_use]
    pub fn unmended_medium(&self) -> Box<dyn Medium> {
        let files = self.archive.iter().map(|copies| copies.first().map(Arc::clone)).collect();
        Box::new(Assembled::new(self.stem.clone(), self.index.grid.clone(), files))
    }

    /// What copies are called: as the damaged files are, or by its own name what is not at hand; all by their own
    /// names if two in different folders have the same.
    fn file_names(&self) -> Vec<PathBuf> {
        let files = 0..self.archive.len();
        let found = |file: usize| {
            let first = self.archive[file].first();
            let name = first.and_then(|first| Path::new(first.name()).file_name().map(PathBuf::from));
            name.unwrap_or_else(|| self.planned_name(file).into())
        };
        let names: Vec<PathBuf> = files.clone().map(found).collect();
        if names.iter().collect::<BTreeSet<_>>().len() == names.len() {
            return names;
        }
        files.map(|file| self.planned_name(file).into()).collect()
    }

    fn has_whole_copy(&self, file: usize) -> bool {
        self.whole_copy(file).is_some()
    }

    /// The copy of a file that has its length and all its pieces.
    fn whole_copy(&self, file: usize) -> Option<usize> {
        let grid = &self.index.grid;
        let mut pieces = grid.pieces_of_file(file).map(|piece| self.pieces[piece as usize]);
        let Some(Known::Good(copy)) = pieces.next() else { return None };
        let is_whole = pieces.all(|known| known == Known::Good(copy));
        let length = self.archive[file][copy].length().ok();
        (is_whole && length == Some(grid.lengths()[file])).then_some(copy)
    }

    fn copy_good(&self, copies: &[Copy], progress: &dyn Progress) -> Result<(), Error> {
        let grid = &self.index.grid;
        let jobs =
            copies.iter().flat_map(|copy| grid.pieces_of_file(copy.file).map(move |piece| (copy, piece)));
        let mut buffers = vec![Vec::new(); threads::count(READ_BYTES, 4 * READ_BYTES)];
        threads::each(&mut buffers, jobs, |buffer, (copy, piece)| {
            let Known::Good(source) = self.pieces[piece as usize] else { return Ok(()) };
            let place = grid.place(piece).range;
            let mut at = place.start;
            while at < place.end {
                progress.go_on()?;
                let length = (place.end - at).min(READ_BYTES as u64);
                buffer.resize(usize::try_from(length).unwrap_or(0), 0);
                self.archive[copy.file][source].read_exact_at(buffer, at)?;
                copy.draft.write_all_at(buffer, at)?;
                progress.advance(length);
                at += length;
            }
            Ok(())
        })
    }

    fn write_lost(&mut self, copies: &[Copy], progress: &dyn Progress) -> Result<(), Error> {
        let grid = self.index.grid.clone();
        for group in 0..grid.groups() {
            if self.lost_of(group).next().is_none() {
                continue;
            }
            let mended = self.mend(
                group,
                &mut |piece, at, bytes| {
                    let place = grid.place(piece);
                    let Some(copy) = copies.iter().find(|copy| copy.file == place.file) else {
                        return Ok(());
                    };
                    let from = place.range.end.min(place.range.start + at);
                    let there = (place.range.end - from).min(bytes.len() as u64);
                    progress.advance(there);
                    Ok(copy.draft.write_all_at(&bytes[..usize::try_from(there).unwrap_or(0)], from)?)
                },
                progress,
            )?;
            if !mended {
                let beyond = self.beyond(std::iter::once(group));
                return Err(self.beyond_parity(beyond));
            }
        }
        Ok(())
    }

    /// Reads a copy back from the medium: by the volume's own hash, or piece by piece.
    fn read_back(&self, copy: &Copy, progress: &dyn Progress) -> Result<(), Error> {
        let grid = &self.index.grid;
        let wrong = || Error::WrittenWrong { file: copy.target.display().to_string() };
        if grid.header_bytes() > 0 {
            let header_bytes = usize::try_from(grid.header_bytes()).unwrap_or(usize::MAX);
            let held = medium::read_back(copy.draft.path(), header_bytes, progress)?;
            let header = Header::parse(&held.start).filter(|header| header.set == grid.set());
            let is_right = header.is_some_and(|header| {
                (header.number as usize, header.digest, header.length)
                    == (copy.file + 1, held.digest, held.length)
            });
            return if is_right { Ok(()) } else { Err(wrong()) };
        }
        let is_right = self.read_pieces(copy.file, copy.draft.path(), progress)?;
        if is_right { Ok(()) } else { Err(wrong()) }
    }

    /// Reads all pieces of a file from the medium. Says whether they are what they should be.
    fn read_pieces(&self, file: usize, path: &Path, progress: &dyn Progress) -> Result<bool, Error> {
        let grid = &self.index.grid;
        let written = PlainFile::at(path);
        written.forget_cached()?;
        let is_right = AtomicBool::new(true);
        let mut buffers = vec![Vec::new(); threads::count(READ_BYTES, 4 * READ_BYTES)];
        threads::each(&mut buffers, grid.pieces_of_file(file), |buffer, piece| {
            progress.go_on()?;
            let place = grid.place(piece).range;
            progress.advance(place.end - place.start);
            let found = pieces::hash(&written, &place, grid.piece_bytes(), buffer)?;
            if found != self.index.pieces[piece as usize] {
                is_right.store(false, Ordering::Relaxed);
            }
            Ok(())
        })?;
        Ok(is_right.into_inner())
    }
}

impl Written {
    /// Gives the copies their names, once what they make up has been verified.
    ///
    /// # Errors
    /// I/O. Copies that have their names by then are found by the next run.
    pub fn keep(mut self) -> Result<Repaired, Error> {
        for copy in &mut self.copies {
            copy.draft.replace(&copy.target)?;
        }
        if let Some(copy) = self.copies.first() {
            durable::sync_dir(durable::parent_of(&copy.target))?;
        }
        Ok(std::mem::take(&mut self.repaired))
    }

    /// Where a file of the archive is by now, if it was repaired.
    fn path(&self, file: usize) -> Option<&Path> {
        let copy = self.copies.iter().find(|copy| copy.file == file);
        let done = || self.repaired.files.iter().find(|done| done.number == file + 1);
        copy.map(|copy| copy.draft.path()).or_else(|| done().map(|done| done.path.as_path()))
    }
}
