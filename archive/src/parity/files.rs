//! The files that parity is made for.

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::bundle::Unverified;
use crate::format::volume::{Cuts, HEADER_LEN};
use crate::medium::{self, Found, Medium as _};
use crate::{Digest, Error};

/// What a file that is not split ends with, in any case.
const ENDING: &str = ".tar.zst";

/// All files of an archive: its volumes, or the one that is not split.
#[derive(Clone, Debug)]
pub struct Files {
    set: Digest,
    header_bytes: u64,
    /// Paths and lengths.
    all: Vec<(PathBuf, u64)>,
    stem: String,
}

impl Files {
    /// Finds the files of the archive at `path`: an archive, any of its volumes, or a folder that holds it.
    ///
    /// # Errors
    /// What [`medium::find`] says, [`Error::VolumesMissing`], [`Error::VolumeCut`], [`Error::WrongLength`], or what is
    /// wrong with the archive's head.
    pub fn find(path: &Path) -> Result<Self, Error> {
        match medium::find(&[path])? {
            Found::File(file) => {
                let path = file.path().to_owned();
                let unverified = Unverified::on(Box::new(file))?;
                let (packing, length) = (unverified.packing_digest(), unverified.packing().length);
                let found = fs::metadata(&path)?.len();
                if found != length {
                    let file = path.display().to_string();
                    return Err(Error::WrongLength { file, expected: length, found });
                }
                let set = set_of_one(packing, length);
                let stem = stem(&path);
                Ok(Self { set, header_bytes: 0, all: vec![(path, length)], stem })
            }
            Found::Volumes(volumes) => {
                let missing = volumes.missing();
                if !missing.is_empty() {
                    let (archive, count) = (volumes.name().to_owned(), volumes.count());
                    return Err(Error::VolumesMissing { archive, numbers: missing, count });
                }
                let cut = volumes.at_hand().find(|volume| !volume.has_its_length());
                if let Some(cut) = cut {
                    let (file, found) = (cut.path.display().to_string(), cut.found);
                    return Err(Error::VolumeCut { file, expected: cut.header.file_length(), found });
                }
                let all = volumes.at_hand().map(|volume| (volume.path.clone(), volume.found)).collect();
                let stem = Path::new(volumes.name()).file_name().unwrap_or_default();
                let stem = stem.to_string_lossy().into_owned();
                Ok(Self { set: volumes.set(), header_bytes: HEADER_LEN, all, stem })
            }
        }
    }

    /// Files that were looked at before: their set, the bytes in front of each that are no part of the archive, paths and
    /// lengths, and the name that they have in common.
    #[must_use]
    pub fn of(set: Digest, header_bytes: u64, files: Vec<(PathBuf, u64)>, stem: &str) -> Self {
        Self { set, header_bytes, all: files, stem: stem.to_owned() }
    }

    /// What volumes call their set; of a file that is not split what they would if it were one stretch.
    #[must_use]
    pub fn set(&self) -> Digest {
        self.set
    }

    /// Bytes at the start of each file that are no part of the archive.
    #[must_use]
    pub fn header_bytes(&self) -> u64 {
        self.header_bytes
    }

    /// Lengths of the files in bytes.
    pub fn lengths(&self) -> impl Iterator<Item = u64> + '_ {
        self.all.iter().map(|(_, length)| *length)
    }

    /// The files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> + '_ {
        self.all.iter().map(|(path, _)| path.as_path())
    }

    /// The name that they have in common: `acme-1.5.0`.
    #[must_use]
    pub fn stem(&self) -> &str {
        &self.stem
    }
}

/// The set of a file that is not split: as if it were one stretch.
pub(super) fn set_of_one(packing: Digest, length: u64) -> Digest {
    Cuts { packing, lengths: vec![length] }.set()
}

/// `/media/stick/acme-1.5.0.tar.zst` → `acme-1.5.0`
pub(super) fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let split = name.len().saturating_sub(ENDING.len());
    match name.split_at_checked(split) {
        Some((stem, ending)) if ending.eq_ignore_ascii_case(ENDING) && !stem.is_empty() => stem.to_owned(),
        _ => name.into_owned(),
    }
}
