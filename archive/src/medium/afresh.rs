//! Reading a file back from the medium, not from what the system remembers of it.
//!
//! A stick that lies about what it took gives itself away only when it is asked again; asked through the page cache, the
//! memory of this machine answers in its place.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::OFlags;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::file::unread;
use super::forget_cached;
use crate::{Digest, Error, Progress};

/// How much is read at a time.
const READ_BYTES: usize = 1 << 20;
/// What buffers and places of direct reads are multiples of: the largest block of any device in use.
const ALIGN: usize = 4096;

/// How a file was read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ReadBack {
    /// Past the page cache (`O_DIRECT`).
    Direct,
    /// After the system was asked to forget its pages: the file system takes no direct reads.
    CacheDropped,
}

/// What a file turned out to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The bytes at its start that were not hashed.
    pub start: Vec<u8>,
    /// SHA-256 of the rest.
    pub digest: Digest,
    /// How many bytes the rest has.
    pub length: u64,
    /// How it was read.
    pub how: ReadBack,
}

/// Reads a file to its end; the first `unhashed` bytes are given out, the rest is hashed.
///
/// # Errors
/// I/O, or [`Error::Interrupted`].
pub fn read_back(path: &Path, unhashed: usize, progress: &dyn Progress) -> Result<Held, Error> {
    let direct = i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0);
    let opened = fs::OpenOptions::new().read(true).custom_flags(direct).open(path);
    let read = opened.map_err(Error::from).and_then(|file| read(&file, ReadBack::Direct, unhashed, progress));
    match read {
        // Some file systems refuse when the file is opened, others when it is read.
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::InvalidInput => {
            let file = fs::File::open(path)?;
            forget_cached(&file)?;
            self::read(&file, ReadBack::CacheDropped, unhashed, progress)
        }
        read => read,
    }
}

fn read(file: &fs::File, how: ReadBack, unhashed: usize, progress: &dyn Progress) -> Result<Held, Error> {
    let mut memory = vec![0; READ_BYTES + ALIGN];
    let start = memory.as_ptr().align_offset(ALIGN).min(ALIGN);
    let buffer = &mut memory[start..start + READ_BYTES];
    let mut held = Vec::new();
    let mut hash = Sha256::new();
    let mut at = 0;
    // A place that is no multiple of a block is no place to read from directly, not even at the end of a file.
    while at < file.metadata()?.len() {
        progress.go_on()?;
        let n = match file.file().read_at(buffer, at) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unread(file.path(), &error).into()),
        };
        let (first, rest) = buffer[..n].split_at(n.min(unhashed - held.len()));
        held.extend_from_slice(first);
        hash.update(rest);
        at += n as u64;
        progress.advance(n as u64);
    }
    let length = at - held.len() as u64;
    Ok(Held { start: held, digest: Digest::from_raw(hash.finalize().into()), length, how })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unwatched;

    #[test]
    fn a_file_of_any_length_is_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for len in [0, 1, 175, 176, 4095, 4096, 4097, READ_BYTES - 1, READ_BYTES, 2 * READ_BYTES + 77] {
            let bytes: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            fs::write(&path, &bytes).unwrap();
            let held = read_back(&path, 176, &Unwatched).unwrap();
            let split = len.min(176);
            assert_eq!(held.start, bytes[..split], "{len}");
            assert_eq!(held.length, (len - split) as u64, "{len}");
            assert_eq!(held.digest, Digest::of(&bytes[split..]), "{len}");
            // Where nothing is read directly, the other way gives the same.
            let file = fs::File::open(&path).unwrap();
            let how = ReadBack::CacheDropped;
            assert_eq!(read(&file, how, 176, &Unwatched).unwrap(), Held { how, ..held });
        }
    }
}
