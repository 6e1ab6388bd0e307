//! What a vendor has signed so far, as far as it is at hand: bundles, and folders with statements.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Serialize;

use sealift_archive::bundle::Unverified;
use sealift_archive::trust::{KeyId, RoleName, Signatures, TrustRoot};
use sealift_archive::{Digest, ReleaseName, Statement};

use crate::{Error, statement, trust};

/// What names of archives and of their volumes end with.
const ARCHIVE_END: &str = ".tar.zst";

/// Documents that were signed.
#[derive(Debug, Default)]
pub struct Known(Vec<Document>);

/// A document, where it lies, and who signed it there.
#[derive(Debug)]
struct Document {
    place: PathBuf,
    role: RoleName,
    release: Option<ReleaseName>,
    bytes: Vec<u8>,
    signatures: Signatures,
}

/// A document that enough people had signed, until some of them lost the role.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lapsed {
    /// The bundle or folder that it is in.
    pub place: PathBuf,
    /// `release` for a statement, `pack` for a packing.
    pub role: RoleName,
    /// The release, if it is a statement.
    pub release: Option<ReleaseName>,
    /// Its digest.
    pub digest: Digest,
    /// How many of those who have the role now have signed it.
    pub have: usize,
    /// How many must.
    pub need: usize,
    /// The keys that can still do it.
    pub keys: Vec<KeyId>,
}

impl Known {
    /// Looks into bundles, folders with a statement, and folders with any of these.
    ///
    /// # Errors
    /// [`trust::Error::NothingKnown`] for a folder with nothing of the kind, a document that cannot be read, or I/O.
    pub fn read(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut known = Self::default();
        for path in paths {
            if path.is_dir() && !statement::is_in(path) {
                let mut inside = fs::read_dir(path)?
                    .map(|entry| entry.map(|entry| entry.path()))
                    .collect::<Result<Vec<_>, _>>()?;
                inside.retain(|path| statement::is_in(path) || is_archive(path));
                if inside.is_empty() {
                    return Err(trust::Error::NothingKnown { dir: path.clone() }.into());
                }
                inside.sort_unstable();
                inside.iter().try_for_each(|path| known.add(path))?;
            } else {
                known.add(path)?;
            }
        }
        Ok(known)
    }

    fn add(&mut self, path: &Path) -> Result<(), Error> {
        let place = path.to_owned();
        if path.is_dir() {
            let (statement, bytes) = statement::read(path)?;
            let signatures = Signatures::read_from(path, &Digest::of(&bytes))?;
            let release = Some(statement.name());
            self.0.push(Document { place, role: RoleName::Release, release, bytes, signatures });
            return Ok(());
        }
        let archive = Unverified::open(path)?;
        let head = archive.head();
        let signatures = head.signatures.clone();
        // Each volume of a set opens the whole of it.
        let is_same = |known: &Document| {
            known.bytes == head.packing && known.signatures.iter().eq(head.signatures.iter())
        };
        if self.0.iter().any(is_same) {
            return Ok(());
        }
        for (sequence, bytes) in &head.statements {
            let name = format!("releases/{sequence}/release.json");
            let release = Some(Statement::parse(&name, bytes)?.name());
            let (place, bytes, signatures) = (place.clone(), bytes.clone(), signatures.clone());
            self.0.push(Document { place, role: RoleName::Release, release, bytes, signatures });
        }
        let bytes = head.packing.clone();
        self.0.push(Document { place, role: RoleName::Pack, release: None, bytes, signatures });
        Ok(())
    }

    /// What counts under one version of a trust root, and no longer under another.
    #[must_use]
    pub fn lapsed(&self, before: &TrustRoot, after: &TrustRoot) -> Vec<Lapsed> {
        self.0.iter().filter_map(|document| document.lapsed(before, after)).collect()
    }
}

impl Document {
    fn lapsed(&self, before: &TrustRoot, after: &TrustRoot) -> Option<Lapsed> {
        let check = |root: &TrustRoot| root.check("", &self.bytes, self.role, &self.signatures);
        let (Ok(_), Err(refused)) = (check(before), check(after)) else { return None };
        let sealift_archive::Error::Unsigned { have, need, keys, .. } = refused else { return None };
        Some(Lapsed {
            place: self.place.clone(),
            role: self.role,
            release: self.release.clone(),
            digest: Digest::of(&self.bytes),
            have,
            need,
            keys,
        })
    }
}

fn is_archive(path: &Path) -> bool {
    path.is_file() && path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(ARCHIVE_END))
}
