//! A folder that a web server serves.
//!
//! Files are written beside their place, fsynced and renamed, so whoever fetches sees whole ones only. One process at a time
//! writes: it holds a lock on `.lock`. What one that was ended left half-written is removed by the next.

use std::collections::BTreeSet;
use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use rayon::prelude::*;

use sealift_archive::release::published::{MAX_ENVELOPE_BYTES, Published};
use sealift_archive::{Blob, Digest, Error as ArchiveError, Progress, Unwatched, bounded, durable, medium};

use super::Error as PublishError;
use super::place::{Content, Place, Purpose};
use crate::Error;
use crate::export::target::Target;

/// Held as long as somebody publishes.
const LOCK: &str = ".lock";
/// The folders in which there are files; those of the last are the only large ones.
const FOLDERS: [&str; 4] = ["channels", "roots", "releases", "blobs/sha256"];
/// What the names of files begin with that are not yet in their place.
const UNFINISHED: &str = ".tmp";

/// A folder, and the lock on it.
#[derive(Debug)]
pub(super) struct Directory {
    dir: PathBuf,
    name: String,
    /// Released when it is closed, even if the process is ended. Whoever only looks needs none.
    _lock: Option<fs::File>,
}

impl Directory {
    /// Opens the folder. If it is to be written to, it is made where there is none.
    pub(super) fn open(name: &str, purpose: Purpose) -> Result<Self, Error> {
        let dir = PathBuf::from(name);
        let refuse = |why: &str| PublishError::BadPlace { place: name.to_owned(), why: why.to_owned() };
        let lock = match purpose {
            _ if dir.exists() && !dir.is_dir() => return Err(refuse("it is not a folder").into()),
            Purpose::Read if !dir.exists() => return Err(refuse("there is no such folder").into()),
            Purpose::Read | Purpose::Plan => None,
            Purpose::Write => Some(prepare(&dir)?),
        };
        Ok(Self { dir, name: name.to_owned(), _lock: lock })
    }

    fn path(&self, part: Published) -> PathBuf {
        self.dir.join(part.path())
    }

    /// Whether a blob is there, read from the disk and not from memory.
    fn has(&self, blob: Blob, progress: &dyn Progress) -> Result<bool, Error> {
        let path = self.path(Published::Blob(blob.digest));
        let size = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => found.len(),
            Ok(_) => return Err(PublishError::InTheWay { path }.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if size != blob.size {
            return Ok(false);
        }
        match medium::read_back(&path, 0, progress) {
            Ok(held) => Ok((held.digest, held.length) == (blob.digest, blob.size)),
            // What cannot be read any more is written again, into another place of the disk.
            Err(ArchiveError::Io(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Place for Directory {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&self, part: Published) -> Result<Option<Vec<u8>>, Error> {
        // Its parser says whether it is too large.
        read(&self.path(part), MAX_ENVELOPE_BYTES as u64)
    }

    fn write(&self, part: Published, envelope: &[u8]) -> Result<(), Error> {
        let path = self.path(part);
        durable::write(&path, envelope)?;
        let held = medium::read_back(&path, 0, &Unwatched)?;
        if held.digest != Digest::of(envelope) {
            return Err(ArchiveError::WrittenWrong { file: path.display().to_string() }.into());
        }
        Ok(())
    }

    fn releases(&self) -> Result<Vec<Digest>, Error> {
        let mut digests = Vec::new();
        let entries = match fs::read_dir(self.dir.join("releases")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(digests),
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            let hex = name.to_str().and_then(|name| name.strip_suffix(".json"));
            digests.extend(hex.and_then(Digest::from_hex));
        }
        digests.sort_unstable();
        Ok(digests)
    }

    fn blob(&self, digest: Digest, most: u64) -> Result<Option<Vec<u8>>, Error> {
        let bytes = read(&self.path(Published::Blob(digest)), most)?;
        Ok(bytes.filter(|bytes| bytes.len() as u64 <= most))
    }

    fn missing(&self, blobs: &[Blob], progress: &dyn Progress) -> Result<BTreeSet<Digest>, Error> {
        let look = |blob: &Blob| Ok((!self.has(*blob, progress)?).then_some(blob.digest));
        blobs.par_iter().filter_map(|blob| look(blob).transpose()).collect()
    }

    fn passes(&self) -> u64 {
        2
    }

    fn bring(
        &self,
        blobs: &[Blob],
        content: &Arc<Content>,
        progress: &Arc<dyn Progress>,
    ) -> Result<(), Error> {
        let needed = blobs.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.size));
        let free = durable::free_bytes(&self.dir)?;
        if free < needed {
            return Err(ArchiveError::NoSpace { place: self.name.clone(), needed, free }.into());
        }
        let mut target = Target::default();
        let mut wanted = BTreeSet::new();
        for blob in blobs {
            let path = self.path(Published::Blob(blob.digest));
            if let Some(document) = content.documents.get(&blob.digest) {
                durable::write(&path, document)?;
                progress.advance(blob.size);
            } else {
                wanted.insert(blob.digest);
                target.add(*blob, path);
            }
        }
        target.fill(&wanted, &content.bundle, &**progress)?;
        match self.missing(blobs, &**progress)?.first() {
            None => Ok(()),
            Some(wrong) => {
                let file = self.path(Published::Blob(*wrong)).display().to_string();
                Err(ArchiveError::WrittenWrong { file }.into())
            }
        }
    }

    /// A folder keeps what is in it.
    fn keep(&self, _: Digest, _: &[Blob]) -> Result<(), Error> {
        Ok(())
    }
}

/// A file, up to one byte more than `most`, if it is there.
fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, Error> {
    match bounded::read(path, most) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => Ok(Some(bytes?)),
    }
}

/// Makes the folders, takes the lock, and removes what nobody writes any more.
fn prepare(dir: &Path) -> Result<fs::File, Error> {
    for folder in FOLDERS {
        durable::create_dir_all(&dir.join(folder))?;
    }
    let lock = lock(dir)?;
    for folder in FOLDERS.map(|folder| dir.join(folder)) {
        sweep(&folder)?;
        // What one that was ended has renamed is taken for published: its names have to last too.
        durable::sync_dir(&folder)?;
    }
    Ok(lock)
}

fn lock(dir: &Path) -> Result<fs::File, Error> {
    let path = dir.join(LOCK);
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
    match file.file().try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ArchiveError::Busy { place: dir.display().to_string() }.into()),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
