//! The plain files of an archive, under their names in a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sealift_archive::{Blob, Bundle, Progress, Release};

use super::target::Target;
use crate::Error;

/// Writes the plain files of some releases of `bundle` to `dir`, checked, and returns their paths. If they are several,
/// each has a folder of its own, called by its sequence. Files that are there already are kept if they are right.
///
/// # Errors
/// [`Error::Exists`] if something else has the name of a file, before anything is written; the archive's `NotCarried`;
/// damage, or I/O.
pub fn files(
    bundle: &Bundle,
    releases: &[&Release],
    dir: &Path,
    progress: &dyn Progress,
) -> Result<Vec<PathBuf>, Error> {
    let files = places(releases, dir);
    bundle.expect_carried(files.values().map(|blob| &blob.digest))?;
    let mut target = Target::default();
    for (path, blob) in &files {
        target.add(*blob, path.clone());
    }
    let found = target.look(dir, progress)?;
    if let Some(path) = found.in_the_way.into_iter().chain(found.occupied).next() {
        return Err(Error::Exists { path });
    }
    target.fill(&found.missing, bundle, progress)?;
    Ok(files.into_keys().collect())
}

/// Bytes that [`files`] writes.
#[must_use]
pub fn files_bytes(releases: &[&Release]) -> u64 {
    let blobs: BTreeSet<Blob> = places(releases, Path::new("")).into_values().collect();
    blobs.into_iter().map(|blob| blob.size).sum()
}

fn places(releases: &[&Release], dir: &Path) -> BTreeMap<PathBuf, Blob> {
    let mut places = BTreeMap::new();
    for release in releases {
        let folder = if releases.len() == 1 {
            dir.to_owned()
        } else {
            dir.join(release.statement.sequence.to_string())
        };
        for (name, file) in &release.refs.files {
            places.insert(folder.join(name.as_str()), Blob { digest: file.digest, size: file.size });
        }
    }
    places
}
