//! Files that must last: written beside their place, fsynced, renamed, and the directory fsynced.
//!
//! After a power cut either the old content is there or the new, never a mixture. Everything that Sealift
//! replaces goes through here.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fs_err as fs;
use tempfile::{NamedTempFile, TempDir};

/// Mode of a file that everybody may read.
const READABLE: u32 = 0o644;
/// Mode of a file that its owner alone may read.
const SECRET: u32 = 0o600;

/// Replaces (or makes) `path` with `content`, atomically and durably. Mode 0644.
///
/// # Errors
/// Any I/O error, with the path; the old content is then still there.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, READABLE, None)
}

/// Like [`write`]; the time of the last change is one that the caller gives, from the first moment on.
///
/// # Errors
/// Any I/O error, with the path; the old content is then still there.
pub fn write_dated(path: &Path, content: &[u8], modified: SystemTime) -> io::Result<()> {
    replace(path, content, READABLE, Some(modified))
}

/// Like [`write`], readable by its owner alone: for private keys.
///
/// # Errors
/// Any I/O error, with the path; the old content is then still there.
pub fn write_secret(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, SECRET, None)
}

fn replace(path: &Path, content: &[u8], mode: u32, modified: Option<SystemTime>) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let parent = parent_of(path);
    let mut file = NamedTempFile::new_in(parent).map_err(|e| name_path(e, parent))?;
    file.write_all(content).map_err(|e| name_path(e, path))?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).map_err(|e| name_path(e, path))?;
    if let Some(modified) = modified {
        file.as_file().set_modified(modified).map_err(|e| name_path(e, path))?;
    }
    file.as_file().sync_all().map_err(|e| name_path(e, path))?;
    file.persist(path).map_err(|e| name_path(e.error, path))?;
    sync_dir(parent)
}

/// Makes the names in a directory durable.
///
/// # Errors
/// Any I/O error, with the path.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

/// Makes a directory and its missing parents, each of them durable.
///
/// # Errors
/// Any I/O error, with the path.
pub fn create_dir_all(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = parent_of(dir);
    create_dir_all(parent)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_dir(parent),
    }
}

/// Whether a place is meant as a folder: it is one, or is written as one, with `/` at its end.
#[must_use]
pub fn is_folder(place: &Path) -> bool {
    place.is_dir() || place.as_os_str().as_encoded_bytes().ends_with(b"/")
}

/// Points the symbolic link `link` at `target`, atomically and durably.
///
/// # Errors
/// Any I/O error, with the path; the link then points where it did.
pub fn replace_link(target: &Path, link: &Path) -> io::Result<()> {
    let parent = parent_of(link);
    // A link cannot be made over an old one, so it is made in a directory of its own and moved into place.
    let scratch = TempDir::new_in(parent).map_err(|e| name_path(e, parent))?;
    let new = scratch.path().join("link");
    fs::os::unix::fs::symlink(target, &new)?;
    fs::rename(&new, link)?;
    sync_dir(parent)
}

/// Bytes that may still be written to the file system of `dir` by an ordinary user.
///
/// # Errors
/// Any I/O error, with the path.
pub fn free_bytes(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir).map_err(|e| name_path(e.into(), dir))?;
    // Some file systems in user space do not know how large they are. Whoever writes will see.
    if stat.f_blocks == 0 {
        return Ok(u64::MAX);
    }
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The directory that a file is in; of a bare name, the working directory.
#[must_use]
pub fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

pub(crate) fn name_path(error: io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), Named { path: path.to_owned(), error })
}

/// An I/O error with the path that tempfile does not tell.
#[derive(Debug, thiserror::Error)]
#[error("failed to write `{}`", path.display())]
struct Named {
    path: PathBuf,
    #[source]
    error: io::Error,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_file_and_a_link_are_replaced_whole() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("file");
        write(&file, b"old").unwrap();
        write(&file, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        write_dated(&file, b"dated", modified).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), modified);

        let link = dir.path().join("current");
        replace_link(Path::new("releases/1"), &link).unwrap();
        replace_link(Path::new("releases/2"), &link).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("releases/2"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn an_error_names_the_place() {
        let missing = Path::new("/nonexistent/place/file");
        assert!(write(missing, b"x").unwrap_err().to_string().contains("/nonexistent/place"));
    }
}
