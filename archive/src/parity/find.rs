//! Finding what can mend an archive: parity files, and every copy of the archive's files, in the same folders.
//!
//! Heads and headers say what a file is. Where these are damaged, its pieces do: the index has their hashes. Names only
//! say which files are looked at, and decide where little of a file is right.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{set_of_one, stem};
use super::gather::{ParityFile, gather};
use super::mender::{Copies, Mender};
use super::pieces::{self, PlainFile};
use crate::format::HEAD_BYTES;
use crate::format::head::Head;
use crate::format::packing::Packing;
use crate::format::parity::{Grid, Header, Index, MIN_PIECE_BYTES, PieceHash};
use crate::format::volume;
use crate::medium::{ARCHIVE_ENDING, Medium, files_ending, split_name};
use crate::{Digest, Error, durable};

/// What names of parity files end with, in any case.
const ENDING: &str = ".par";
/// How many pieces are looked at to see what a file is.
const SAMPLES: usize = 16;

impl Mender {
    /// Finds what can mend the archive in these places: files of it, parity files, or folders. `wanted` is its set, if that
    /// is known; otherwise what is asked for by name decides. `None` if there is no parity for it.
    ///
    /// # Errors
    /// [`Error::BadParity`] if the index of its parity files is lost, [`Error::SeveralArchives`], or I/O.
    pub fn find(places: &[impl AsRef<Path>], wanted: Option<Digest>) -> Result<Option<Self>, Error> {
        let places = Places::of(places.iter().map(AsRef::as_ref))?;
        let parity: Vec<ParityFile> =
            places.parity.iter().filter_map(|path| ParityFile::look_at(path).ok()).collect();
        let mut plans: Vec<Header> = Vec::new();
        for header in parity.iter().filter_map(|file| file.header) {
            if plans.iter().all(|known| known.plan() != header.plan()) {
                plans.push(header);
            }
        }
        let mut found: Vec<Found> = Vec::new();
        for header in plans {
            let is_wanted = |set: &Digest| wanted.is_none_or(|wanted| wanted == *set);
            if is_wanted(&header.set) {
                found.extend(places.assemble(&header, &parity, wanted.is_some())?);
            }
        }
        // Of several plans for one archive, the one that can mend most.
        found.sort_by_key(|found| std::cmp::Reverse(found.at_hand));
        let mut found = found.into_iter();
        let Some(first) = found.next() else {
            return places.find_ruined(&parity).map_or(Ok(None), |path| {
                let why = "the first page of its index is damaged at both ends".to_owned();
                Err(Error::BadParity { file: path.display().to_string(), why })
            });
        };
        let set = first.mender.index.grid.set();
        let others: Vec<String> =
            found.map(|other| other.mender).filter(|m| m.index.grid.set() != set).map(|m| m.stem).collect();
        if others.is_empty() {
            return Ok(Some(first.mender));
        }
        let found =
            std::iter::once(first.mender.stem).chain(others).map(|stem| format!("`{stem}`")).collect();
        Err(Error::SeveralArchives { place: places.name, found })
    }
}

/// What was found for one plan.
struct Found {
    mender: Mender,
    /// Recovery pieces of each group whose files are at hand.
    at_hand: u32,
}

/// Where to look.
#[derive(Default)]
struct Places {
    name: String,
    /// Files of an archive that were asked for by name.
    named: Vec<PathBuf>,
    /// All files that may belong to an archive, the named ones first.
    archive: Vec<PathBuf>,
    /// All files that may be parity files.
    parity: Vec<PathBuf>,
    /// Those of them that were asked for by name.
    named_parity: Vec<PathBuf>,
}

impl Places {
    fn of<'a>(places: impl Iterator<Item = &'a Path>) -> Result<Self, Error> {
        let mut all = Self::default();
        let mut folders: Vec<PathBuf> = Vec::new();
        for place in places {
            if all.name.is_empty() {
                all.name = place.display().to_string();
            }
            let folder = if place.is_dir() {
                place.to_owned()
            } else {
                let is_parity = ends_with(place, ENDING);
                if is_parity { &mut all.named_parity } else { &mut all.named }.push(place.to_owned());
                durable::parent_of(place).to_owned()
            };
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        let (mut archive, mut parity) = (all.named.clone(), all.named_parity.clone());
        for folder in &folders {
            archive.extend(files_ending(folder, ARCHIVE_ENDING)?);
            parity.extend(files_ending(folder, ENDING)?);
        }
        // One file may be reached by several paths.
        let mut known = HashSet::new();
        let mut is_new = |path: &PathBuf| known.insert(path.canonicalize().unwrap_or_else(|_| path.clone()));
        archive.retain(&mut is_new);
        parity.retain(&mut is_new);
        Ok(Self { archive, parity, ..all })
    }

    /// Whether files that say that they are of this set know of other lengths. Nobody signs an index, so it might say any.
    fn contradict(&self, grid: &Grid) -> bool {
        let volumes = self.archive.iter().filter_map(|path| {
            volume_header(&PlainFile::at(path))
                .map(|header| Claim { set: header.set, packing: header.packing })
        });
        let one = self.named.iter().filter_map(|path| claim_of_archive(&PlainFile::at(path)));
        let mut claims = volumes.chain(one).filter(|claim| claim.set == grid.set()).peekable();
        claims.peek().is_some() && !claims.any(|claim| grid.is_of(claim.packing))
    }

    /// No piece of parity that can mend anything here is longer. What an index says must not decide how many zeros are
    /// hashed; what there is to read may.
    fn longest_piece(&self) -> u64 {
        let length = |path: &PathBuf| PlainFile::at(path).length().unwrap_or(0);
        let longest = self.archive.iter().chain(&self.parity).map(length).max().unwrap_or(0);
        longest.checked_next_power_of_two().unwrap_or(u64::MAX).max(MIN_PIECE_BYTES)
    }

    /// A file that is called like parity of what is here, and says nothing any more.
    fn find_ruined<'a>(&self, parity: &'a [ParityFile]) -> Option<&'a Path> {
        let is_here = |name: &str| {
            self.archive
                .iter()
                .any(|path| split_name(path).map_or_else(|| stem(path), |(stem, _)| stem.to_owned()) == name)
        };
        let ruined = parity.iter().filter(|file| file.header.is_none()).map(|file| file.path.as_path());
        ruined.into_iter().find(|path| split_parity_name(path).is_some_and(|(name, _)| is_here(name)))
    }

    /// Puts together what there is of one plan; `None` if it is not about what was asked for.
    fn assemble(
        &self,
        header: &Header,
        parity: &[ParityFile],
        is_wanted: bool,
    ) -> Result<Option<Found>, Error> {
        let of_plan = |file: &ParityFile| file.header.is_some_and(|found| found.plan() == header.plan());
        let is_named = parity.iter().any(|file| of_plan(file) && self.named_parity.contains(&file.path));
        // Of those whose first page is lost, others may be right.
        let files: Vec<&ParityFile> = parity.iter().filter(|f| of_plan(f) || f.header.is_none()).collect();
        let index = match gather(header, &files) {
            Ok(index) => index,
            // Whether it would be about what was asked for, nobody knows.
            Err(_) if !is_wanted && !is_named => return Ok(None),
            Err(error) => return Err(error),
        };
        if index.grid.piece_bytes() > self.longest_piece() || self.contradict(&index.grid) {
            return Ok(None);
        }
        let stem = parity_stem(files.iter().find(|f| of_plan(f)).map_or(Path::new(""), |f| &f.path));
        let sampler = Sampler::of(&index, &stem);
        let mut archive: Vec<Copies> = index.grid.lengths().iter().map(|_| Vec::new()).collect();
        let mut has_named = false;
        for path in &self.archive {
            let is_named = self.named.contains(path);
            for file in sampler.which(path, is_named) {
                has_named |= is_named;
                archive[file].push(Arc::new(PlainFile::at(path)));
            }
        }
        if !is_wanted && !is_named && !self.named.is_empty() && !has_named {
            return Ok(None);
        }
        let mut parity: Vec<Copies> = index.grid.rows().iter().map(|_| Vec::new()).collect();
        for file in files {
            let number = match file.header {
                Some(found) => Some(found.number as usize - 1),
                None => sampler.which_parity(&file.path),
            };
            if let Some(copies) = number.and_then(|number| parity.get_mut(number)) {
                copies.push(Arc::new(PlainFile::at(&file.path)));
            }
        }
        let at_hand = index.grid.rows().iter().zip(&parity).filter(|(_, copies)| !copies.is_empty());
        let at_hand = at_hand.map(|(rows, _)| rows).sum();
        Ok(Some(Found { mender: Mender::new(index, archive, parity, stem), at_hand }))
    }
}

/// Says what a file is by what is in it.
struct Sampler<'a> {
    index: &'a Index,
    stem: &'a str,
    /// How often each hash occurs: zeros are everywhere, and say nothing about where they come from.
    times: HashMap<PieceHash, u32>,
}

impl<'a> Sampler<'a> {
    fn of(index: &'a Index, stem: &'a str) -> Self {
        let mut times = HashMap::new();
        index.pieces.iter().for_each(|hash| *times.entry(*hash).or_default() += 1);
        Self { index, stem, times }
    }

    /// Which file of the archive this is, by index; several for what could be more than one.
    fn which(&self, path: &Path, is_named: bool) -> Vec<usize> {
        let (grid, file) = (&self.index.grid, PlainFile::at(path));
        let Ok(length) = file.length() else { return Vec::new() };
        let has_its_name = |number: usize| self.has_the_name_of(path, number);
        let may_be = |&number: &usize| is_named || has_its_name(number) || grid.lengths()[number] == length;
        let all = (0..grid.lengths().len()).filter(may_be);
        if grid.header_bytes() > 0 {
            if let Some(header) = volume_header(&file) {
                let is_of_it = header.set == grid.set() && (header.number as usize) <= grid.lengths().len();
                return if is_of_it { vec![header.number as usize - 1] } else { Vec::new() };
            }
        } else if all.clone().next().is_some()
            && let Some(claim) = claim_of_archive(&file)
        {
            return if claim.set == grid.set() && grid.is_of(claim.packing) { vec![0] } else { Vec::new() };
        }
        all.filter(|&number| {
            let pieces = grid.pieces_of_file(number);
            let says = |piece: &u32| self.times[&self.index.pieces[*piece as usize]] == 1;
            let places = pieces.filter(says).map(|piece| (grid.place(piece).range, piece as usize));
            let places = places.map(|(place, piece)| (place, self.index.pieces[piece]));
            self.is_likely(&file, places.collect(), has_its_name(number))
        })
        .collect()
    }

    /// Which parity file this is, by index.
    fn which_parity(&self, path: &Path) -> Option<usize> {
        let (grid, file) = (&self.index.grid, PlainFile::at(path));
        let piece_bytes = grid.piece_bytes();
        (0..grid.rows().len()).find(|&number| {
            let places = grid.rows_of(number).flat_map(|row| {
                (0..grid.groups()).map(move |group| {
                    let (_, start) = grid.recovery_place(row, group);
                    let hash = self.index.recovery[(row * grid.groups() + group) as usize];
                    (start..start + piece_bytes, hash)
                })
            });
            self.is_likely(&file, places.collect(), parity_number(path) == Some(number + 1))
        })
    }

    /// Whether enough of some pieces are where they should be.
    fn is_likely(
        &self,
        file: &PlainFile,
        places: Vec<(std::ops::Range<u64>, PieceHash)>,
        has_its_name: bool,
    ) -> bool {
        let mut buffer = Vec::new();
        let step = places.len().div_ceil(SAMPLES).max(1);
        let (mut looked, mut right) = (0, 0);
        for (place, expected) in places.into_iter().step_by(step) {
            let found = pieces::hash(file, &place, self.index.grid.piece_bytes(), &mut buffer);
            looked += 1;
            right += u32::from(found.is_ok_and(|found| found == expected));
        }
        right > 0 && (has_its_name || right * 2 >= looked)
    }

    fn has_the_name_of(&self, path: &Path, number: usize) -> bool {
        if self.index.grid.header_bytes() == 0 {
            return stem(path) == self.stem;
        }
        split_name(path) == Some((self.stem, u32::try_from(number + 1).unwrap_or(u32::MAX)))
    }
}

fn volume_header(file: &dyn Medium) -> Option<volume::Header> {
    let mut bytes = vec![0; usize::try_from(volume::HEADER_LEN).ok()?];
    file.read_exact_at(&mut bytes, 0).ok()?;
    volume::Header::parse(&bytes)
}

/// What a file of an archive says about the archive.
pub(super) struct Claim {
    pub(super) set: Digest,
    packing: Digest,
}

/// What an archive that is one file says, if its head is right.
pub(super) fn claim_of_archive(file: &dyn Medium) -> Option<Claim> {
    let mut area = vec![0; usize::try_from(HEAD_BYTES).ok()?];
    file.read_exact_at(&mut area, 0).ok()?;
    let head = Head::parse(file.name(), &area).ok()?;
    let packing = Packing::parse(&head.packing).ok()?;
    let (length, packing) = (packing.length, Digest::of(&head.packing));
    Some(Claim { set: set_of_one(packing, length), packing })
}

fn ends_with(path: &Path, ending: &str) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.len() > ending.len() && name[name.len() - ending.len()..].eq_ignore_ascii_case(ending.as_bytes())
}

/// `acme-1.5.0.p02.par` → `acme-1.5.0`, 2
fn split_parity_name(path: &Path) -> Option<(&str, usize)> {
    let name = path.file_name().and_then(OsStr::to_str)?;
    let (rest, _) = name.split_at_checked(name.len().checked_sub(ENDING.len())?)?;
    let (stem, number) = rest.rsplit_once('.')?;
    Some((stem, number.strip_prefix(['p', 'P'])?.parse().ok()?))
}

fn parity_stem(path: &Path) -> String {
    let name = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    split_parity_name(path).map_or_else(name, |(stem, _)| stem.to_owned())
}

fn parity_number(path: &Path) -> Option<usize> {
    split_parity_name(path).map(|(_, number)| number)
}
