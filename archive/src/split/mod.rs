//! Cutting an archive into volumes, and putting volumes together again: a plan, then its execution.
//!
//! Cut is between the archive's own frames, so no frame changes. Every piece is checked against the archive's hashes when it
//! is read, so a damaged source never becomes a sound copy; every file is hashed while it is written and read back, past
//! the page cache, before it gets its name. Nothing is ever written over that is something else.

mod file;
mod size;

use std::io::Read as _;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Serialize;

use crate::format::layout::Layout;
use crate::format::volume::{Cuts, HEADER_LEN, Header, MAX_VOLUMES};
use crate::{Bundle, Digest, Error, Progress, Source as _, durable};

pub use file::Written;
pub use size::{FAT32_FILE_BYTES, VolumeSize, parse_bytes};

/// What the names of archives and volumes end with.
const ENDING: &str = ".tar.zst";

/// What will be written, and what is there already.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The archive that it is made of.
    pub source: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// What the volumes have in common; none if they are put together.
    pub set: Option<Digest>,
    /// The files.
    pub files: Vec<PlannedFile>,
    /// Bytes that will be written.
    pub write_bytes: u64,
    /// Bytes that are free where they will be written.
    pub free_bytes: u64,
}

/// A file that will be there.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedFile {
    /// Its path.
    pub path: PathBuf,
    /// Number of the volume; none if it is the whole archive.
    pub number: Option<u32>,
    /// Its length in bytes.
    pub bytes: u64,
    /// Whether it seems to be there; it is read, and written again if it is damaged.
    pub is_there: bool,
}

impl Plan {
    /// Bytes that pass in all: what is written is read back, what is there is read.
    #[must_use]
    pub fn work_bytes(&self) -> u64 {
        self.files.iter().map(|file| if file.is_there { file.bytes } else { 2 * file.bytes }).sum()
    }
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// What the volumes have in common; none if they were put together.
    pub set: Option<Digest>,
    /// The files, all of them read back.
    pub files: Vec<Written>,
}

/// How to cut an archive.
#[derive(Debug)]
pub struct Order<'a> {
    /// The folder for the volumes.
    pub dir: &'a Path,
    /// What comes before the numbers in their names.
    pub name: &'a str,
    /// The most bytes of a volume.
    pub size: VolumeSize,
    /// Which volumes are wanted; all if not said.
    pub only: Option<RangeInclusive<u32>>,
}

/// A split or a join that is planned.
#[derive(Debug)]
pub struct Planned<'b> {
    /// For people and programs.
    pub plan: Plan,
    bundle: &'b Bundle,
    parts: Vec<Part>,
}

/// What becomes one file.
#[derive(Debug)]
struct Part {
    header: Option<Header>,
    pieces: Range<usize>,
    /// Whether a volume of this number is there, perhaps cut short or damaged.
    replaces: bool,
}

/// What an archive is called: the name of its file without the ending, or what its volumes' names begin with.
#[must_use]
pub fn name_of(bundle: &Bundle) -> String {
    let name = Path::new(bundle.name()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.strip_suffix(ENDING).map(str::to_owned).unwrap_or(name)
}

/// Refuses volumes that may be too small for an archive that is not made yet; what will be squeezed is counted as if it
/// did not shrink.
///
/// # Errors
/// [`Error::VolumeTooSmall`].
pub fn expect_large_enough(size: VolumeSize, layout: &Layout) -> Result<(), Error> {
    cut(&layout.max_piece_lengths().collect::<Vec<_>>(), size).map(drop)
}

/// Plans to cut an archive into volumes.
///
/// # Errors
/// [`Error::VolumeTooSmall`], [`Error::NoSuchVolume`], [`Error::Occupied`], [`Error::NoSpace`], [`Error::VolumesMissing`] if the archive itself lies in
/// volumes that are not all at hand, or I/O.
pub fn plan_split<'b>(bundle: &'b Bundle, order: &Order<'_>) -> Result<Planned<'b>, Error> {
    expect_whole(bundle)?;
    let lengths: Vec<u64> = bundle.piece_lengths().collect();
    let ranges = cut(&lengths, order.size)?;
    let stretch = |range: &Range<usize>| lengths[range.clone()].iter().sum();
    let cuts = Cuts { packing: bundle.packing_digest(), lengths: ranges.iter().map(stretch).collect() };
    let count = u32::try_from(ranges.len()).unwrap_or(u32::MAX);
    if let Some(number) = order.only.as_ref().map(|only| *only.end()).filter(|&last| last > count) {
        return Err(Error::NoSuchVolume { number, count });
    }
    let is_wanted = |number| order.only.as_ref().is_none_or(|only| only.contains(&number));
    let (mut parts, mut files) = (Vec::new(), Vec::new());
    for (header, pieces) in cuts.headers().zip(ranges).filter(|(header, _)| is_wanted(header.number)) {
        let path = order.dir.join(format!("{}.{:03}{ENDING}", order.name, header.number));
        let is_there = is_there(&path, &header)?;
        let (number, bytes) = (Some(header.number), header.file_length());
        let replaces = fs::symlink_metadata(&path).is_ok();
        files.push(PlannedFile { path, number, bytes, is_there });
        parts.push(Part { header: Some(header), pieces, replaces });
    }
    let plan = plan(bundle, Some(cuts.set()), files, order.dir)?;
    Ok(Planned { plan, bundle, parts })
}

/// Plans to put the volumes of an archive together into the file `target`.
///
/// # Errors
/// [`Error::VolumesMissing`], [`Error::Occupied`], [`Error::NoSpace`], or I/O.
pub fn plan_join<'b>(bundle: &'b Bundle, target: &Path) -> Result<Planned<'b>, Error> {
    expect_whole(bundle)?;
    if fs::symlink_metadata(target).is_ok() {
        return Err(Error::Occupied { path: target.display().to_string() });
    }
    let bytes = bundle.packing().length;
    let file = PlannedFile { path: target.to_owned(), number: None, bytes, is_there: false };
    let plan = plan(bundle, None, vec![file], durable::parent_of(target))?;
    let parts = vec![Part { header: None, pieces: 0..bundle.piece_lengths().count(), replaces: false }];
    Ok(Planned { plan, bundle, parts })
}

fn plan(bundle: &Bundle, set: Option<Digest>, files: Vec<PlannedFile>, dir: &Path) -> Result<Plan, Error> {
    let write_bytes = files.iter().filter(|file| !file.is_there).map(|file| file.bytes).sum();
    let free_bytes = durable::free_bytes(nearest(dir))?;
    if free_bytes < write_bytes {
        let place = dir.display().to_string();
        return Err(Error::NoSpace { place, needed: write_bytes, free: free_bytes });
    }
    let (source, bytes) = (bundle.name().to_owned(), bundle.packing().length);
    Ok(Plan { source, bytes, set, files, write_bytes, free_bytes })
}

impl Planned<'_> {
    /// Does what the plan says. What was finished stays, whatever comes after it.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the source is, [`Error::WrittenWrong`], [`Error::Busy`], [`Error::Interrupted`], or I/O.
    pub fn execute(self, progress: &dyn Progress) -> Result<Done, Error> {
        let Self { plan, bundle, parts } = self;
        let mut files = Vec::new();
        for (file, part) in plan.files.iter().zip(parts) {
            durable::create_dir_all(durable::parent_of(&file.path))?;
            let there = match &part.header {
                Some(header) if file.is_there => file::find(&file.path, header, progress)?,
                _ => None,
            };
            let Part { header, pieces, replaces } = part;
            let content = file::Content { target: &file.path, header, pieces, replaces };
            files.push(there.map_or_else(|| file::write(bundle, content, progress), Ok)?);
        }
        Ok(Done { set: plan.set, files })
    }
}

/// Which pieces go into which volume: as many into each as fit.
fn cut(lengths: &[u64], size: VolumeSize) -> Result<Vec<Range<usize>>, Error> {
    let smallest = HEADER_LEN + lengths.iter().max().copied().unwrap_or(0);
    let ranges = fill(lengths, size.bytes());
    if size.bytes() >= smallest && ranges.len() <= MAX_VOLUMES as usize {
        return Ok(ranges);
    }
    // The smallest size with few enough volumes, between one that holds the longest piece and one that holds all.
    let (mut low, mut high) = (smallest, HEADER_LEN + lengths.iter().sum::<u64>());
    while low < high {
        let middle = low + (high - low) / 2;
        if fill(lengths, middle).len() <= MAX_VOLUMES as usize {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Err(Error::VolumeTooSmall { size: size.bytes(), smallest: low })
}

/// Fills volumes of so many bytes one after the other. A piece that does not fit at all is alone in its volume.
fn fill(lengths: &[u64], size: u64) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut filled = 0_u64;
    for (index, &length) in lengths.iter().enumerate() {
        match ranges.last_mut() {
            Some(range) if filled + length <= size => {
                range.end = index + 1;
                filled += length;
            }
            _ => {
                ranges.push(index..index + 1);
                filled = HEADER_LEN + length;
            }
        }
    }
    ranges
}

/// Whether a volume of this set with this number and length is at its place. Anything else there is in the way.
fn is_there(path: &Path, wanted: &Header) -> Result<bool, Error> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(false);
    }
    let occupied = || Error::Occupied { path: path.display().to_string() };
    if !path.is_file() {
        return Err(occupied());
    }
    let mut start = Vec::new();
    let file = fs::File::open(path)?;
    let found = file.metadata()?.len();
    file.take(HEADER_LEN).read_to_end(&mut start)?;
    match Header::parse(&start) {
        Some(header) if Header { digest: wanted.digest, ..header } == *wanted => {
            Ok(found == wanted.file_length())
        }
        _ => Err(occupied()),
    }
}

fn expect_whole(bundle: &Bundle) -> Result<(), Error> {
    match bundle.medium().parts() {
        Some(parts) if !parts.missing.is_empty() => {
            let archive = bundle.name().to_owned();
            Err(Error::VolumesMissing { archive, numbers: parts.missing, count: parts.count })
        }
        _ => Ok(()),
    }
}

/// The directory, or the nearest one above it that is there.
fn nearest(dir: &Path) -> &Path {
    let mut at = dir;
    while !at.is_dir() {
        at = durable::parent_of(at);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(lengths: &[u64], size: u64) -> Result<Vec<u64>, u64> {
        let size = size.to_string().parse().unwrap();
        match cut(lengths, size) {
            Ok(ranges) => Ok(ranges.into_iter().map(|range| lengths[range].iter().sum()).collect()),
            Err(Error::VolumeTooSmall { smallest, .. }) => Err(smallest),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn volumes_are_filled_up_to_their_size() {
        let lengths = [500, 100, 100, 300, 10];
        assert_eq!(sizes(&lengths, 5000), Ok(vec![1010]));
        assert_eq!(sizes(&lengths, HEADER_LEN + 1010), Ok(vec![1010]));
        assert_eq!(sizes(&lengths, HEADER_LEN + 1009), Ok(vec![1000, 10]));
        assert_eq!(sizes(&lengths, HEADER_LEN + 500), Ok(vec![500, 500, 10]));
        assert_eq!(sizes(&lengths, HEADER_LEN + 499), Err(HEADER_LEN + 500));
        assert_eq!(sizes(&lengths, 1), Err(HEADER_LEN + 500));
    }

    #[test]
    fn there_are_never_more_volumes_than_numbers() {
        let lengths = vec![100; 3000];
        let Err(smallest) = sizes(&lengths, HEADER_LEN + 150) else { panic!("taken") };
        assert_eq!(smallest, HEADER_LEN + 400);
        assert!(sizes(&lengths, smallest).unwrap().len() <= MAX_VOLUMES as usize);
        assert_eq!(sizes(&lengths, smallest - 1), Err(smallest));
    }
}
