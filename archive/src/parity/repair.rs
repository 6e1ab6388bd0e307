//! Repairing into another folder: whole copies of the files that are damaged or missing. Where they come from nothing is
//! changed.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use serde::Serialize;

use super::assembled::Assembled;
use super::mender::{Known, Mender};
use super::pieces::{self, PlainFile, READ_BYTES};
use super::survey::Survey;
use super::threads;
use crate::format::volume::Header;
use crate::medium::{self, Medium};

use crate::{Error, Progress, durable};

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

/// A copy in the making.
struct Copy {
    file: usize,
    target: PathBuf,
    partial: fs::File,
}

impl Mender {
    /// The files of which [`Mender::repair`] would write copies into a folder, after a survey.
    #[must_use]
    pub fn repairs(&self, into: &Path) -> Vec<RepairedFile> {
        let grid = &self.index.grid;
        let files = 0..grid.lengths().len();
        let damaged = files.filter(|&file| !self.has_whole_copy(file));
        damaged
            .map(|file| {
                let lost = |&piece: &u32| self.pieces[piece as usize] == Known::Lost;
                RepairedFile {
                    number: file + 1,
                    path: into.join(self.file_name(file)),
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

    /// Writes whole copies of all files that are damaged or missing into a folder.
    ///
    /// # Errors
    /// [`Error::BeyondParity`] before anything is written if something is lost for good, [`Error::NoSpace`],
    /// [`Error::Occupied`], [`Error::WrittenWrong`], [`Error::Interrupted`], or I/O.
    pub fn repair(&mut self, into: &Path, progress: &dyn Progress) -> Result<Repaired, Error> {
        // What was surveyed before is not read again.
        let survey = self.survey(progress)?;
        self.expect_repairable(&survey)?;
        let planned = self.repairs(into);
        durable::create_dir_all(into)?;
        for file in &planned {
            if file.path.exists() {
                return Err(Error::Occupied { path: file.path.display().to_string() });
            }
        }
        let needed = planned.iter().map(|file| file.bytes).sum();
        let free = durable::free_bytes(into)?;
        if free < needed {
            return Err(Error::NoSpace { place: into.display().to_string(), needed, free });
        }
        let copies: Vec<Copy> = planned.iter().map(Copy::open).collect::<Result<_, Error>>()?;
        self.copy_good(&copies, progress)?;
        self.write_lost(&copies, progress)?;
        for copy in &copies {
            copy.partial.sync_all()?;
            self.read_back(copy, progress)?;
        }
        for copy in &copies {
            fs::rename(copy.partial.path(), &copy.target)?;
        }
        durable::sync_dir(into)?;
        let (pieces, bytes) = (survey.pieces, survey.bytes);
        Ok(Repaired { files: planned, pieces, bytes })
    }

    /// The archive as it is after a repair: copies that were written, and files that were whole.
    #[must_use]
    pub fn repaired_medium(&self, repaired: &Repaired) -> Box<dyn Medium> {
        let mut files: Vec<Option<Arc<dyn Medium>>> = Vec::new();
        for (file, copies) in self.archive.iter().enumerate() {
            let written = repaired.files.iter().find(|written| written.number == file + 1);
            files.push(match written {
                Some(written) => Some(Arc::new(PlainFile::at(&written.path))),
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

    /// As the damaged file is called; its own name if it has none that can be read.
    fn file_name(&self, file: usize) -> PathBuf {
        let first = self.archive[file].first();
        let name = first.and_then(|first| Path::new(first.name()).file_name().map(PathBuf::from));
        name.unwrap_or_else(|| self.planned_name(file).into())
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
                copy.write(buffer, at)?;
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
                    copy.write(&bytes[..usize::try_from(there).unwrap_or(0)], from)
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
            let held = medium::read_back(copy.partial.path(), header_bytes, progress)?;
            let header = Header::parse(&held.start).filter(|header| header.set == grid.set());
            let is_right = header.is_some_and(|header| {
                (header.number as usize, header.digest, header.length)
                    == (copy.file + 1, held.digest, held.length)
            });
            return if is_right { Ok(()) } else { Err(wrong()) };
        }
        let written = PlainFile::at(copy.partial.path());
        written.forget_cached()?;
        let mut buffers = vec![Vec::new(); threads::count(READ_BYTES, 4 * READ_BYTES)];
        threads::each(&mut buffers, grid.pieces_of_file(copy.file), |buffer, piece| {
            progress.go_on()?;
            let place = grid.place(piece).range;
            progress.advance(place.end - place.start);
            let found = pieces::hash(&written, &place, grid.piece_bytes(), buffer)?;
            if found == self.index.pieces[piece as usize] { Ok(()) } else { Err(wrong()) }
        })
    }
}

impl Copy {
    fn open(planned: &RepairedFile) -> Result<Self, Error> {
        let mut name = planned.path.as_os_str().to_owned();
        name.push(".partial");
        let partial = durable::open_locked(Path::new(&name))?;
        partial.set_len(0)?;
        partial.set_len(planned.bytes)?;
        Ok(Self { file: planned.number - 1, target: planned.path.clone(), partial })
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<(), Error> {
        let named = |e: io::Error| {
            let message = format!("failed to write `{}`: {e}", self.partial.path().display());
            io::Error::new(e.kind(), message)
        };
        Ok(self.partial.file().write_all_at(bytes, at).map_err(named)?)
    }
}
