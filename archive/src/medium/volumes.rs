//! An archive that is cut into volumes, some of which may not be at hand.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::file::read_exact_at;
use super::{Medium, Parts, Place, Remark, RemarkKind, forget_cached};
use crate::format::HEAD_BYTES;
use crate::format::head::Head;
use crate::format::volume::{HEADER_LEN, Header};
use crate::{Digest, Error};

/// The volumes of one archive that are at hand. Their headers decide which ones they are, not their names.
///
/// Files are opened for each read and not kept open: a stick can be taken out between two reads.
#[derive(Debug)]
pub struct VolumeSet {
    name: String,
    set: Digest,
    packing: Digest,
    count: u32,
    total: u64,
    volumes: BTreeMap<u32, Volume>,
    front: Vec<u8>,
    /// Volumes that are not at hand, but were: where they begin and end is known.
    seen: BTreeMap<u32, Header>,
    remarks: Vec<Remark>,
}

/// A volume that is at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its file.
    pub path: PathBuf,
    /// What it says about itself.
    pub header: Header,
    /// Length of its file in bytes: another than the header says, if it was cut.
    pub found: u64,
}

impl Volume {
    /// Whether the file is as long as its header says.
    #[must_use]
    pub fn has_its_length(&self) -> bool {
        self.found == self.header.file_length()
    }

    /// Fills the buffer from this place in the archive on, which is in this volume.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        read_exact_at(&fs::File::open(&self.path)?, buffer, HEADER_LEN + (offset - self.header.offset))
    }

    fn is_gone(&self) -> bool {
        !self.path.is_file()
    }
}

impl VolumeSet {
    /// The set that `first` belongs to, of those of `all` that belong to it too, in the order of preference.
    pub(super) fn of(first: &Volume, all: impl IntoIterator<Item = Volume>) -> Self {
        let Header { set, packing, count, total, .. } = first.header;
        let name = name_of(&first.path);
        let mut volumes = Self {
            name,
            set,
            packing,
            count,
            total,
            volumes: BTreeMap::new(),
            front: Vec::new(),
            seen: BTreeMap::new(),
            remarks: Vec::new(),
        };
        all.into_iter().for_each(|volume| volumes.take(volume));
        volumes.remark_cuts();
        volumes
    }

    fn take(&mut self, volume: Volume) {
        let Header { set, packing, count, total, number, .. } = volume.header;
        if set != self.set {
            self.remark(&volume.path, RemarkKind::OtherSet);
        } else if (packing, count, total) != (self.packing, self.count, self.total) || !self.fits(&volume) {
            self.remark(&volume.path, RemarkKind::Contradiction);
        } else if let Some(known) = self.volumes.get(&number).cloned() {
            // Of two, one that has its length; of two such, the first: whether it is right is seen when it is read.
            let (used, unused) = if known.has_its_length() || !volume.has_its_length() {
                (known, volume)
            } else {
                (volume, known)
            };
            self.remark(&unused.path, RemarkKind::Twice { number, used: used.path.display().to_string() });
            self.volumes.insert(number, used);
        } else {
            self.volumes.insert(number, volume);
        }
    }

    /// Whether it begins behind the volumes before it and ends in front of those behind it, without a gap to its neighbours.
    fn fits(&self, volume: &Volume) -> bool {
        let (number, range) = (volume.header.number, volume.header.range());
        let before = self.volumes.range(..number).next_back();
        let behind = self.volumes.range(number + 1..).next();
        before.is_none_or(|(&n, v)| follows(n, v.header.range().end, number, range.start))
            && behind.is_none_or(|(&n, v)| follows(number, range.end, n, v.header.offset))
    }

    fn remark_cuts(&mut self) {
        let cut: Vec<Remark> =
            self.volumes.values().filter(|v| !v.has_its_length()).map(Remark::cut).collect();
        self.remarks.extend(cut);
    }

    pub(super) fn remark(&mut self, file: &Path, kind: RemarkKind) {
        self.remarks.push(Remark { file: file.display().to_string(), kind });
    }

    /// With the beginning of the archive, for when volume 1 is not at hand.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if it is the beginning of another archive, or what is wrong with its head.
    pub fn with_front(mut self, front: Vec<u8>) -> Result<Self, Error> {
        let head = front.get(..usize::try_from(HEAD_BYTES).unwrap_or(usize::MAX)).unwrap_or(&front);
        if Digest::of(&Head::parse(&self.name, head)?.packing) != self.packing {
            return Err(Error::inconsistent(&self.name, "its front belongs to another archive"));
        }
        self.front = front;
        Ok(self)
    }

    /// With headers of volumes that were at hand before, so that what is missing is named exactly. Those of other sets are
    /// passed over.
    #[must_use]
    pub fn with_seen(mut self, headers: impl IntoIterator<Item = Header>) -> Self {
        let is_ours = |header: &Header| header.set == self.set;
        self.seen = headers.into_iter().filter(is_ours).map(|header| (header.number, header)).collect();
        self
    }

    /// Headers of the volumes that are at hand or were before.
    pub fn headers(&self) -> impl Iterator<Item = Header> + '_ {
        let at_hand = self.volumes.values().map(|volume| volume.header);
        let seen = self.seen.values().filter(|header| !self.volumes.contains_key(&header.number));
        at_hand.chain(seen.copied())
    }

    /// What all its volumes have in common.
    #[must_use]
    pub fn set(&self) -> Digest {
        self.set
    }

    /// Digest of the archive's packing.
    #[must_use]
    pub fn packing(&self) -> Digest {
        self.packing
    }

    /// How many volumes the archive has.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The volumes that are at hand, by number.
    pub fn at_hand(&self) -> impl Iterator<Item = &Volume> {
        self.volumes.values()
    }

    /// The volume with this number, if it is at hand.
    #[must_use]
    pub fn volume(&self, number: u32) -> Option<&Volume> {
        self.volumes.get(&number)
    }

    /// The numbers of the volumes that are not at hand.
    #[must_use]
    pub fn missing(&self) -> Vec<u32> {
        (1..=self.count).filter(|number| !self.volumes.contains_key(number)).collect()
    }

    /// The volume that holds this byte, or the numbers of those that may.
    fn holder(&self, offset: u64) -> Result<&Volume, Error> {
        let before = self.volumes.values().rev().find(|volume| volume.header.offset <= offset);
        match before {
            Some(volume) if offset < volume.header.range().end => Ok(volume),
            _ => Err(self.missing_error(self.absent_holders(offset))),
        }
    }

    fn absent_holders(&self, offset: u64) -> Vec<u32> {
        let (mut first, mut behind) = (1, self.count + 1);
        for header in self.headers() {
            if header.range().contains(&offset) {
                return vec![header.number];
            }
            if header.offset < offset {
                first = first.max(header.number + 1);
            } else {
                behind = behind.min(header.number);
            }
        }
        (first..behind).collect()
    }

    fn missing_error(&self, numbers: Vec<u32>) -> Error {
        Error::VolumesMissing { archive: self.name.clone(), numbers, count: self.count }
    }

    /// Fills as much of the buffer as the holder of its first byte has, and says how much that was.
    fn read_some_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        let room = |end: u64| buffer.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
        let volume = match self.holder(offset) {
            Ok(volume) => volume,
            Err(_) if offset < self.front.len() as u64 => {
                let (from, n) =
                    (usize::try_from(offset).unwrap_or(usize::MAX), room(self.front.len() as u64));
                buffer[..n].copy_from_slice(&self.front[from..from + n]);
                return Ok(n);
            }
            Err(error) => return Err(error),
        };
        let n = room(volume.header.range().end);
        match volume.read_exact_at(&mut buffer[..n], offset) {
            Ok(()) => Ok(n),
            // Taken out in the middle.
            Err(_) if volume.is_gone() => Err(self.missing_error(vec![volume.header.number])),
            Err(error) => Err(error.into()),
        }
    }
}

impl Medium for VolumeSet {
    fn name(&self) -> &str {
        &self.name
    }

    fn length(&self) -> Result<u64, Error> {
        Ok(self.total)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        let end = offset.checked_add(buffer.len() as u64).filter(|&end| end <= self.total);
        end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let mut done = 0;
        while done < buffer.len() {
            done += self.read_some_at(&mut buffer[done..], offset + done as u64)?;
        }
        Ok(())
    }

    fn place(&self, range: Range<u64>) -> Place {
        match self.holder(range.start) {
            Ok(Volume { path, header, .. }) => {
                let in_file = |at: u64| HEADER_LEN + (at - header.offset);
                let range = in_file(range.start)..in_file(range.end);
                Place { file: path.display().to_string(), range }
            }
            Err(_) => Place { file: self.name.clone(), range },
        }
    }

    fn parts(&self) -> Option<Parts> {
        Some(Parts { count: self.count, missing: self.missing() })
    }

    fn absent(&self, range: Range<u64>) -> Vec<u32> {
        match self.holder(range.start) {
            Err(Error::VolumesMissing { numbers, .. }) if range.start >= self.front.len() as u64 => numbers,
            _ => Vec::new(),
        }
    }

    fn remarks(&self) -> Vec<Remark> {
        self.remarks.clone()
    }

    fn forget_cached(&self) -> Result<(), Error> {
        self.volumes.values().try_for_each(|volume| Ok(forget_cached(&fs::File::open(&volume.path)?)?))
    }
}

/// Whether a volume that begins at `start` can come behind one that ends at `end`.
fn follows(number: u32, end: u64, next: u32, start: u64) -> bool {
    if number + 1 == next { end == start } else { end < start }
}

/// `/media/stick/acme-1.5.0.001.tar.zst` → `/media/stick/acme-1.5.0`; other names as they are.
fn name_of(path: &Path) -> String {
    match split_name(path) {
        Some((stem, _)) => path.with_file_name(stem).display().to_string(),
        None => path.display().to_string(),
    }
}

/// `acme-1.5.0.001.tar.zst` → `acme-1.5.0`, 1. What case the ending has is up to the file system.
pub(crate) fn split_name(path: &Path) -> Option<(&str, u32)> {
    const ENDING: &str = ".tar.zst";
    let name = path.file_name()?.to_str()?;
    let (stem, ending) = name.split_at_checked(name.len().checked_sub(ENDING.len())?)?;
    let (stem, number) = stem.rsplit_once('.').filter(|_| ending.eq_ignore_ascii_case(ENDING))?;
    let is_number = number.len() == 3 && number.bytes().all(|b| b.is_ascii_digit());
    Some((stem, number.parse().ok().filter(|_| is_number)?))
}
