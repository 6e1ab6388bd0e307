//! Reading documents from a directory that may be somebody else's, perhaps as root: no more than so many bytes, and of a file
//! only, since a device never ends and a pipe never begins.

use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use fs_err as fs;
use rustix::fs::OFlags;

/// Reads a file up to one byte more than `limit`: whoever parses it, or compares its digest, then sees that it is too large.
///
/// # Errors
/// I/O, or something that is no file.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut options = fs::File::options();
    options.read(true).options_mut().custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        let why = format!("`{}` is not a file", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_and_only_so_much() {
        let dir = tempfile::tempdir().unwrap();
        let [file, zero, pipe] = ["file", "zero", "pipe"].map(|name| dir.path().join(name));
        fs::write(&file, "12345").unwrap();
        std::os::unix::fs::symlink("/dev/zero", &zero).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert_eq!(read(&file, 5).unwrap(), b"12345");
        assert_eq!(read(&file, 3).unwrap(), b"1234");
        for other in [&zero, &pipe, &dir.path().to_owned()] {
            let said = read(other, 5).unwrap_err().to_string();
            assert!(said.contains("is not a file"), "{}: {said}", other.display());
        }
        assert_eq!(read(&dir.path().join("none"), 5).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
