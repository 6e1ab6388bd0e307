//! Paths that content is written to, checked as it passes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::FileType;
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use tempfile::{Builder, NamedTempFile};

use sealift_archive::{
    Blob, BlobSink, BlobWriter, Bundle, Check, Digest, Error as ArchiveError, Hashed, Progress, Source as _,
    durable,
};

use crate::Error;

/// Where each blob is to lie: at one path, or at several.
#[derive(Debug, Default)]
pub(crate) struct Target(BTreeMap<Blob, Vec<PathBuf>>);

impl Target {
    /// Wants a blob at this path too.
    pub(crate) fn add(&mut self, blob: Blob, path: PathBuf) {
        self.0.entry(blob).or_default().push(path);
    }

    /// Hashes what is there already. `base` is the folder that somebody chose: what lies below it is no link.
    pub(super) fn look(&self, base: &Path, progress: &dyn Progress) -> Result<Found, Error> {
        let mut found = Found::default();
        for (blob, paths) in &self.0 {
            for path in paths {
                progress.go_on()?;
                match there(base, path)? {
                    There::Nothing => {
                        found.missing.insert(blob.digest);
                    }
                    There::File => {
                        if Blob::of_reader(fs::File::open(path)?)? != *blob {
                            found.missing.insert(blob.digest);
                            found.occupied.push(path.clone());
                        }
                    }
                    There::Other(place) => found.in_the_way.push(place),
                }
            }
        }
        Ok(found)
    }

    /// Brings what is missing to its place, over whatever is there.
    pub(crate) fn fill(
        &self,
        missing: &BTreeSet<Digest>,
        bundle: &Bundle,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let dirs: BTreeSet<&Path> = self.0.values().flatten().map(|path| durable::parent_of(path)).collect();
        for dir in &dirs {
            durable::create_dir_all(dir)?;
        }
        bundle.copy_blobs(missing, self, progress)?;
        Ok(dirs.into_iter().try_for_each(durable::sync_dir)?)
    }
}

/// What is there before anything is written.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Content that is not at all of its paths.
    pub(super) missing: BTreeSet<Digest>,
    /// Paths at which other files lie.
    pub(super) occupied: Vec<PathBuf>,
    /// What is no file where one is to lie, or no folder above it. Nothing is written over or through it.
    pub(super) in_the_way: Vec<PathBuf>,
}

/// What is at a path before anything is written.
enum There {
    Nothing,
    File,
    /// A folder, link, pipe or the like, here or where a folder should be.
    Other(PathBuf),
}

fn there(base: &Path, path: &Path) -> io::Result<There> {
    let mut above: Vec<&Path> =
        path.ancestors().skip(1).take_while(|folder| *folder != base && folder.starts_with(base)).collect();
    above.reverse();
    for folder in above {
        match kind_of(folder)? {
            None => return Ok(There::Nothing),
            Some(kind) if !kind.is_dir() => return Ok(There::Other(folder.to_owned())),
            Some(_) => {}
        }
    }
    Ok(match kind_of(path)? {
        None => There::Nothing,
        Some(kind) if kind.is_file() => There::File,
        Some(_) => There::Other(path.to_owned()),
    })
}

/// What is there itself, links not followed.
fn kind_of(path: &Path) -> io::Result<Option<FileType>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found.file_type())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl BlobSink for Target {
    fn open(&self, blob: Blob) -> Result<Box<dyn BlobWriter + '_>, ArchiveError> {
        let unexpected = || {
            let why = format!("nobody asked for {} bytes of it", blob.size);
            ArchiveError::Inconsistent { document: blob.digest.to_string(), why }
        };
        let (path, others) =
            self.0.get(&blob).and_then(|paths| paths.split_first()).ok_or_else(unexpected)?;
        let file = NamedTempFile::new_in(durable::parent_of(path))?;
        Ok(Box::new(TargetBlob { path, others, file, check: Check::new(blob) }))
    }
}

struct TargetBlob<'a> {
    path: &'a Path,
    others: &'a [PathBuf],
    file: NamedTempFile,
    check: Check,
}

impl BlobWriter for TargetBlob<'_> {
    fn position(&self) -> u64 {
        self.check.seen()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.check.update(bytes)?;
        Ok(self.file.write_all(bytes)?)
    }

    fn write_hashed(&mut self, content: &Hashed) -> Result<(), ArchiveError> {
        self.check.follow(content)?;
        Ok(content.pieces().try_for_each(|piece| self.file.write_all(piece))?)
    }

    fn restart(&mut self) -> Result<(), ArchiveError> {
        self.check = Check::new(self.check.wanted());
        self.file.as_file().set_len(0)?;
        Ok(self.file.rewind()?)
    }

    fn finish(self: Box<Self>) -> Result<(), ArchiveError> {
        self.check.finish()?;
        // Temporary files are private to their owner; what is exported is for everybody.
        self.file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        self.file.as_file().sync_data()?;
        self.file.persist(self.path).map_err(|e| e.error)?;
        for other in self.others {
            let made =
                Builder::new().make_in(durable::parent_of(other), |path| link_or_copy(self.path, path))?;
            made.persist(other).map_err(|e| e.error)?;
        }
        Ok(())
    }
}

/// Gives content another name. Not every file system can: FAT cannot.
fn link_or_copy(path: &Path, other: &Path) -> io::Result<()> {
    fs::hard_link(path, other).or_else(|_| {
        fs::copy(path, other)?;
        fs::File::open(other)?.sync_data()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn content_that_cannot_be_linked_is_copied() {
        let dir = tempfile::tempdir().unwrap();
        let [one, linked, copied] = ["one", "linked", "copied"].map(|name| dir.path().join(name));
        fs::write(&one, "content").unwrap();
        // No link is made over a file, so this one stands for a file system without links.
        fs::write(&copied, "").unwrap();
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
        for (other, is_link) in [(&linked, true), (&copied, false)] {
            link_or_copy(&one, other).unwrap();
            assert_eq!(fs::read(other).unwrap(), b"content", "{}", other.display());
            assert_eq!(inode(other) == inode(&one), is_link, "{}", other.display());
        }
    }
}
