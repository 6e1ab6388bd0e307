//! Files in the making: they lie beside their target under another name, one process at a time works on them, and what an
//! earlier try left counts as room.

use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::{Error, durable};

/// Unit of `st_blocks` in bytes, whatever the file system.
const BLOCK_BYTES: u64 = 512;

/// The file beside `target` whose name goes on with `ending`.
#[must_use]
pub fn beside(target: &Path, ending: &str) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// What a file takes of its disk, in bytes; nothing if it is not there. Less than its length if it has holes.
#[must_use]
pub fn occupied_bytes(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.blocks() * BLOCK_BYTES)
}

/// Refuses to begin what cannot end for want of room. `reclaimed` is what an earlier try occupies, in bytes: it counts as free.
///
/// # Errors
/// [`Error::NoSpace`], or I/O.
pub fn expect_room(dir: &Path, needed: u64, reclaimed: u64) -> Result<(), Error> {
    let free = durable::free_bytes(dir)?.saturating_add(reclaimed);
    if free < needed {
        return Err(Error::NoSpace { place: dir.display().to_string(), needed, free });
    }
    Ok(())
}

/// Opens a file in the making and keeps everybody else out of it. Whoever finishes it renames it.
///
/// # Errors
/// [`Error::Busy`], or any I/O error, with the path.
pub(crate) fn open_locked(partial: &Path) -> Result<fs::File, Error> {
    loop {
        let file =
            fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(partial)?;
        match file.file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Busy { place: partial.display().to_string() });
            }
            Err(TryLockError::Error(error)) => return Err(durable::name_path(error, partial).into()),
        }
        // Whoever had it may have finished in between: then this is the finished file, under its own name by now.
        match fs::metadata(partial) {
            Ok(named) if named.ino() == file.metadata()?.ino() => return Ok(file),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
}

/// Writes at an offset; an error names the file.
pub(crate) fn write_all_at(file: &fs::File, bytes: &[u8], at: u64) -> io::Result<()> {
    file.file().write_all_at(bytes, at).map_err(|error| unwritten(file.path(), &error))
}

/// An I/O error that names the file that could not be written.
pub(crate) fn unwritten(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("failed to write `{}`: {error}", path.display()))
}

/// A file in the making that is begun anew by each try: locked, and gone when dropped unless it got its name.
#[derive(Debug)]
pub struct Draft {
    file: fs::File,
    is_in_place: bool,
}

impl Draft {
    /// The one beside `target` whose name goes on with `ending`.
    ///
    /// # Errors
    /// [`Error::Busy`], or I/O.
    pub fn beside(target: &Path, ending: &str) -> Result<Self, Error> {
        Ok(Self { file: open_locked(&beside(target, ending))?, is_in_place: false })
    }

    pub(crate) fn file(&mut self) -> &mut fs::File {
        &mut self.file
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Gives it a length in bytes; what an earlier try left in it is gone.
    ///
    /// # Errors
    /// I/O, with the path.
    pub fn reset(&self, length: u64) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.set_len(length)
    }

    /// Writes at an offset.
    ///
    /// # Errors
    /// I/O, with the path.
    pub fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        write_all_at(&self.file, bytes, at)
    }

    /// Makes its content durable.
    ///
    /// # Errors
    /// I/O, with the path.
    pub fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives it its name. The directory is still to be synced.
    pub(crate) fn replace(&mut self, target: &Path) -> io::Result<()> {
        fs::rename(self.path(), target)?;
        self.is_in_place = true;
        Ok(())
    }

    /// Gives it its name, but never that of what came to be there since it was planned. The directory is still to be synced.
    ///
    /// # Errors
    /// [`Error::Occupied`], or I/O.
    pub fn put_if_free(&mut self, target: &Path) -> Result<(), Error> {
        let occupied = || Error::Occupied { path: target.display().to_string() };
        match renameat_with(CWD, self.path(), CWD, target, RenameFlags::NOREPLACE) {
            Ok(()) => {
                self.is_in_place = true;
                Ok(())
            }
            Err(Errno::EXIST) => Err(occupied()),
            // Not every file system or kernel can do both in one step, and then neither can be told from a real error.
            Err(_) if fs::symlink_metadata(target).is_ok() => Err(occupied()),
            Err(_) => Ok(self.replace(target)?),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_in_place {
            // The cause is told; if it stays, the next try begins with it.
            let _ = fs::remove_file(self.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_appeared_in_between_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (target, packing) = (dir.path().join("a.tar.zst"), dir.path().join("a.tar.zst.partial"));
        fs::write(&packing, "fetched").unwrap();
        let mut draft = Draft::beside(&target, ".joining").unwrap();
        fs::write(&target, "other").unwrap();
        let refused = draft.put_if_free(&target);
        assert!(matches!(refused, Err(Error::Occupied { .. })), "{refused:?}");
        drop(draft);
        assert_eq!(fs::read(&target).unwrap(), b"other");
        assert_eq!(fs::read(&packing).unwrap(), b"fetched");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        Draft::beside(&target, ".splitting").unwrap().replace(&target).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"");
    }
}
