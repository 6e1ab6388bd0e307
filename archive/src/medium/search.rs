//! Finding an archive: a file, a volume with the others beside it, or a folder with one of either in it.
//!
//! What a file is decides its first bytes. Names only say which files of a folder are looked at, and whose volume one was
//! whose header is damaged.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::volumes::split_name;
use super::{FileMedium, Medium, RemarkKind, Volume, VolumeSet};
use crate::format::frame;
use crate::format::volume::{self, HEADER_LEN, Header};
use crate::{Digest, Error, parity};

/// What names of archives and volumes end with, in any case.
pub(crate) const ARCHIVE_ENDING: &str = ".zst";
/// How the names begin of files in which macOS keeps what a FAT file system has no place for.
const APPLE_DOUBLE: &str = "._";
/// Most files with such a name that are looked at in a folder.
const MAX_CANDIDATES: usize = 4096;

/// The files of a folder whose names end so, in any case; sorted, so that what is found does not depend on chance.
pub(crate) fn files_ending(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let found = &name[name.len().saturating_sub(ending.len())..];
        // Only plain files: to open a pipe is to wait for whoever writes into it.
        if found.eq_ignore_ascii_case(ending.as_bytes()) && path.is_file() {
            paths.push(path);
        }
        if paths.len() > MAX_CANDIDATES {
            let what = format!("the number of `*{ending}` files in `{}`", folder.display());
            let (size, limit) = (paths.len() as u64, MAX_CANDIDATES as u64);
            return Err(Error::TooLarge { what, size, limit });
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// An archive that was found.
#[derive(Debug)]
pub enum Found {
    /// One file.
    File(FileMedium),
    /// A set of volumes, maybe not all of them.
    Volumes(VolumeSet),
}

impl From<Found> for Box<dyn Medium> {
    fn from(found: Found) -> Self {
        match found {
            Found::File(file) => Box::new(file),
            Found::Volumes(volumes) => Box::new(volumes),
        }
    }
}

/// Opens the archive at `path`: an archive, any volume of a set, or a folder that holds one archive; with the parity that
/// lies beside it.
///
/// # Errors
/// As [`find`].
pub fn open(path: &Path) -> Result<Box<dyn Medium>, Error> {
    open_all(&[path])
}

/// Opens the one archive in these places, with the parity that lies there.
///
/// # Errors
/// As [`find`].
pub fn open_all(places: &[impl AsRef<Path>]) -> Result<Box<dyn Medium>, Error> {
    parity::open(places)
}

/// Finds the one archive in these places, each of them an archive, a volume or a folder. Volumes are looked for in all of
/// the folders, and beside the volumes; what belongs to another set is passed over, and told as a remark.
///
/// # Errors
/// [`Error::NoArchive`], [`Error::SeveralArchives`], [`Error::BadVolume`] if nothing but damaged volumes is there, or I/O.
pub fn find(places: &[impl AsRef<Path>]) -> Result<Found, Error> {
    let mut looked = Looked::default();
    for place in places {
        looked.look_at_place(place.as_ref())?;
    }
    let things = looked.things();
    let place = || places.iter().map(|p| p.as_ref().display().to_string()).collect::<Vec<_>>().join("`, `");
    match &things[..] {
        [Thing::Archive(path)] => Ok(Found::File(FileMedium::open(path)?)),
        [Thing::Volume(first)] => Ok(Found::Volumes(looked.assemble(first))),
        [] => Err(match looked.files.iter().find(|file| matches!(file.kind, Kind::BadHeader)) {
            Some(bad) => Error::BadVolume { file: bad.path.display().to_string() },
            None => Error::NoArchive { place: place() },
        }),
        several => {
            let found = several.iter().filter_map(|thing| looked.describe(thing)).collect();
            Err(Error::SeveralArchives { place: place(), found })
        }
    }
}

/// Finds what there is of one set in these places; none if there is no volume of it.
///
/// # Errors
/// I/O.
pub fn find_set(places: &[impl AsRef<Path>], set: &Digest) -> Result<Option<VolumeSet>, Error> {
    let mut looked = Looked::default();
    for place in places {
        looked.look_at_place(place.as_ref())?;
    }
    let first = looked.files.iter().find_map(|file| match &file.kind {
        Kind::Volume(volume) if volume.header.set == *set => Some(volume),
        _ => None,
    });
    Ok(first.map(|first| looked.assemble(first)))
}

/// Something that can be opened.
#[derive(Clone, Debug)]
enum Thing {
    Archive(PathBuf),
    /// A set, by one of its volumes.
    Volume(Volume),
}

impl Thing {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Archive(one), Self::Archive(other)) => one == other,
            (Self::Volume(one), Self::Volume(other)) => one.header.set == other.header.set,
            _ => false,
        }
    }
}

/// What a file is.
#[derive(Debug)]
enum Kind {
    Volume(Box<Volume>),
    BadHeader,
    Archive,
    Other,
    AppleDouble,
    Unreadable(String),
}

impl Kind {
    fn of(path: &Path) -> io::Result<Self> {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if name.starts_with(APPLE_DOUBLE) {
            return Ok(Self::AppleDouble);
        }
        let file = fs::File::open(path)?;
        let found = file.metadata()?.len();
        let mut bytes = Vec::new();
        file.take(HEADER_LEN).read_to_end(&mut bytes)?;
        // Whoever calls itself a volume and does not even begin like an archive has lost its first bytes.
        let was_volume = || split_name(path).is_some() && !frame::is_zstd(&bytes);
        Ok(if let Some(header) = Header::parse(&bytes) {
            Self::Volume(Box::new(Volume { path: path.to_owned(), header, found }))
        } else if volume::begins_like_one(&bytes) || was_volume() {
            Self::BadHeader
        } else if frame::stored_plain_len(&bytes).is_some() {
            Self::Archive
        } else {
            Self::Other
        })
    }
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    /// Whether it was asked for by its name.
    is_named: bool,
    kind: Kind,
}

impl File {
    fn thing(&self) -> Option<Thing> {
        match &self.kind {
            Kind::Volume(volume) => Some(Thing::Volume((**volume).clone())),
            Kind::Archive => Some(Thing::Archive(self.path.clone())),
            // The reader of archives says best what is wrong with it.
            Kind::Other if self.is_named => Some(Thing::Archive(self.path.clone())),
            _ => None,
        }
    }
}

/// All files that were looked at, in the order in which they were found.
#[derive(Debug, Default)]
struct Looked {
    files: Vec<File>,
    /// Where they really are, and at which index: one file may be reached by several paths.
    known: HashMap<PathBuf, usize>,
}

impl Looked {
    fn look_at_place(&mut self, place: &Path) -> Result<(), Error> {
        if place.is_dir() {
            return self.look_into(place);
        }
        let kind = Kind::of(place)?;
        let has_siblings = matches!(kind, Kind::Volume(_) | Kind::BadHeader);
        self.add(place.to_owned(), true, kind);
        match place.parent() {
            Some(folder) if has_siblings && folder.as_os_str().is_empty() => self.look_into(Path::new(".")),
            Some(folder) if has_siblings => self.look_into(folder),
            _ => Ok(()),
        }
    }

    fn look_into(&mut self, folder: &Path) -> Result<(), Error> {
        for path in files_ending(folder, ARCHIVE_ENDING)? {
            let kind = Kind::of(&path).unwrap_or_else(|error| Kind::Unreadable(error.to_string()));
            self.add(path, false, kind);
        }
        Ok(())
    }

    fn add(&mut self, path: PathBuf, is_named: bool, kind: Kind) {
        let place = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        match self.known.entry(place) {
            Entry::Occupied(known) => self.files[*known.get()].is_named |= is_named,
            Entry::Vacant(new) => {
                new.insert(self.files.len());
                self.files.push(File { path, is_named, kind });
            }
        }
    }

    /// What was asked for by its name; if nothing was, all that is there.
    fn things(&self) -> Vec<Thing> {
        let mut things: Vec<Thing> = Vec::new();
        let mut add = |thing: Thing| {
            if !things.iter().any(|known| known.is(&thing)) {
                things.push(thing);
            }
        };
        let is_any_named = self.files.iter().any(|file| file.is_named);
        for file in self.files.iter().filter(|file| file.is_named || !is_any_named) {
            if matches!(file.kind, Kind::BadHeader) && file.is_named {
                self.sets_like(&file.path).for_each(&mut add);
            } else {
                file.thing().into_iter().for_each(&mut add);
            }
        }
        things
    }

    /// The sets that a volume of this name may belong to.
    fn sets_like(&self, path: &Path) -> impl Iterator<Item = Thing> {
        let stem = split_name(path).map(|(stem, _)| stem);
        let is_like = move |file: &&File| split_name(&file.path).map(|(stem, _)| stem) == stem;
        self.files
            .iter()
            .filter(is_like)
            .filter(|f| matches!(f.kind, Kind::Volume(_)))
            .filter_map(File::thing)
    }

    fn describe(&self, thing: &Thing) -> Option<String> {
        let file = self.files.iter().find(|file| file.thing().is_some_and(|here| here.is(thing)))?;
        let path = file.path.display();
        Some(match &file.kind {
            Kind::Volume(volume) => {
                format!("`{path}` (volume {} of {})", volume.header.number, volume.header.count)
            }
            _ => format!("`{path}`"),
        })
    }

    fn assemble(&self, first: &Volume) -> VolumeSet {
        let volumes = |is_named: bool| {
            let files = self.files.iter().filter(move |file| file.is_named == is_named);
            files.filter_map(|file| if let Kind::Volume(volume) = &file.kind { Some(volume) } else { None })
        };
        let in_order = volumes(true).chain(volumes(false)).map(|volume| (**volume).clone());
        let mut set = VolumeSet::of(first, in_order);
        for file in &self.files {
            let kind = match &file.kind {
                Kind::BadHeader => RemarkKind::BadHeader,
                Kind::AppleDouble => RemarkKind::AppleDouble,
                Kind::Unreadable(why) => RemarkKind::Unreadable { why: why.clone() },
                Kind::Volume(_) | Kind::Archive | Kind::Other => continue,
            };
            set.remark(&file.path, kind);
        }
        set
    }
}
