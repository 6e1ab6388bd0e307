//! What lies below some folders: statements with what belongs to them, and bundles, to be found by a statement's digest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;

use sealift_archive::bundle::Unverified;
use sealift_archive::format::packing::NeededRelease;
use sealift_archive::release::MAX_STATEMENT_BYTES;
use sealift_archive::trust::Signatures;
use sealift_archive::{BlobList, Digest, Release, Source as _};

use super::earlier::Earlier;
use crate::{Error, statement};

/// How deep folders are looked into.
const MAX_DEPTH: usize = 16;
/// How many files and folders are looked at: more than any archive of releases has, fewer than a home directory.
const MAX_ENTRIES: usize = 200_000;
/// How the names of bundles end.
const BUNDLE_SUFFIX: &str = ".tar.zst";

/// A release that is presumed, and all its content.
#[derive(Clone, Debug)]
pub(super) struct Base {
    pub(super) needed: NeededRelease,
    pub(super) blob_list: BlobList,
}

impl From<&Release> for Base {
    fn from(release: &Release) -> Self {
        Self { needed: release.into(), blob_list: release.blob_list.clone() }
    }
}

impl Base {
    /// The release that a folder with a statement is about. Who signed it does not matter: the appliance looks at what it has.
    pub(super) fn read(dir: &Path) -> Result<Self, Error> {
        let (statement, digest, blob_list) = statement::read_with_list(dir)?;
        Ok(Self { needed: NeededRelease::new(&statement, digest), blob_list })
    }
}

/// Statements by their digests, and where they are.
#[derive(Debug, Default)]
pub(super) struct Known {
    folders: BTreeMap<Digest, Vec<PathBuf>>,
    bundles: BTreeMap<Digest, PathBuf>,
}

impl Known {
    /// Looks below these folders. What cannot be read as a bundle is none.
    pub(super) fn below(dirs: &[PathBuf]) -> Result<Self, Error> {
        let mut known = Self::default();
        let mut left = MAX_ENTRIES;
        for dir in dirs {
            known.look(dir, MAX_DEPTH, &mut left)?;
        }
        Ok(known)
    }

    fn look(&mut self, dir: &Path, depth: usize, left: &mut usize) -> Result<(), Error> {
        let mut entries = fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
        // Of two bundles with one statement the same one is taken every time.
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let Some(fewer) = left.checked_sub(1) else {
                let (what, limit) = ("what lies below `--known`".to_owned(), MAX_ENTRIES as u64);
                return Err(sealift_archive::Error::TooLarge { what, size: limit + 1, limit }.into());
            };
            *left = fewer;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let name = entry.file_name();
            // Links are not followed: they may lead in a circle.
            if kind.is_dir() && depth > 0 {
                self.look(&path, depth - 1, left)?;
            } else if kind.is_file() && name == statement::STATEMENT {
                if entry.metadata()?.len() <= MAX_STATEMENT_BYTES as u64 {
                    let digest = Digest::of(&fs::read(&path)?);
                    self.folders.entry(digest).or_default().push(dir.to_owned());
                }
            } else if kind.is_file() && name.to_string_lossy().ends_with(BUNDLE_SUFFIX) {
                for digest in Unverified::open(&path).iter().flat_map(Unverified::statements) {
                    self.bundles.entry(digest).or_insert_with(|| path.clone());
                }
            }
        }
        Ok(())
    }

    /// The release of this statement, if it is known.
    pub(super) fn find(&self, statement: &Digest, earlier: Earlier<'_>) -> Result<Option<Base>, Error> {
        if let Some(dir) = self.folders.get(statement).and_then(|dirs| dirs.first()) {
            return Base::read(dir).map(Some);
        }
        let Some(path) = self.bundles.get(statement) else { return Ok(None) };
        let bundle = earlier.open(path)?;
        Ok(bundle.releases().iter().find(|release| release.digest() == *statement).map(Base::from))
    }

    /// The signatures over a statement that lie beside it in folders.
    pub(super) fn signatures(&self, statement: &Digest) -> Result<Signatures, Error> {
        let mut found = Vec::new();
        for dir in self.folders.get(statement).into_iter().flatten() {
            found.extend(Signatures::read_from(dir, statement)?.iter().cloned());
        }
        Ok(found.into_iter().collect())
    }
}
