//! Blobs of which only the beginning has come: `parts/<hex>.<bytes>`.
//!
//! A large blob may lie on two sticks, and an import may be stopped in the middle of one. What has come is kept, whatever
//! release it came for: content has one name. The number in the file's name says how many bytes are durable. What stands
//! behind them was being written when the power went, and does not count; and what does count is hashed again before
//! anybody goes on behind it.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use sealift_archive::{Blob, Check, Digest, Hashed, durable};
use tempfile::TempPath;

/// Less than this is not worth an fsync: it comes again in no time.
const MIN_KEPT_BYTES: u64 = 1 << 20;
/// How much is hashed at a time.
const READ_BYTES: usize = 256 << 10;
/// Content never changes, not even by its owner.
const BLOB_MODE: u32 = 0o444;
/// Until it is whole.
const PART_MODE: u32 = 0o644;

/// The beginning of a blob, in a file of its own.
#[derive(Debug)]
pub(crate) struct Part {
    path: PathBuf,
    file: fs::File,
    check: Check,
    /// How many bytes are durable, as the file's name says.
    durable: u64,
    /// A write failed: the file may have less than was hashed, and only what is durable counts.
    is_broken: bool,
}

/// Where the longest part of a blob is, and how many of its bytes are durable.
pub(crate) fn find(dir: &Path, digest: &Digest) -> io::Result<Option<(PathBuf, u64)>> {
    let mut best = None;
    for (path, found, durable) in all(dir)? {
        // Nothing is durable of what somebody has just begun.
        if found == *digest && durable > best.as_ref().map_or(0, |(_, most)| *most) {
            best = Some((path, durable));
        }
    }
    Ok(best)
}

/// All parts: path, blob, durable bytes. Files with other names are not listed.
pub(crate) fn all(dir: &Path) -> io::Result<Vec<(PathBuf, Digest, u64)>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut parts = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let named = name.to_str().and_then(|name| name.split_once('.'));
        if let Some((hex, durable)) = named
            && let (Some(digest), Ok(durable)) = (Digest::from_hex(hex), durable.parse())
        {
            parts.push((entry.path(), digest, durable));
        }
    }
    Ok(parts)
}

fn name(digest: &Digest, durable: u64) -> String {
    format!("{}.{durable}", digest.hex())
}

impl Part {
    /// A new part with nothing in it.
    pub(crate) fn begin(dir: &Path, blob: Blob) -> io::Result<Self> {
        let path = dir.join(name(&blob.digest, 0));
        let mut options = fs::File::options();
        let file = options.write(true).create_new(true).mode(BLOB_MODE).open(&path)?;
        Ok(Self { path, file, check: Check::new(blob), durable: 0, is_broken: false })
    }

    /// Goes on with what an earlier try left, hashed again; none if there is nothing of use.
    pub(crate) fn resume(dir: &Path, blob: Blob) -> io::Result<Option<Self>> {
        let Some((path, durable)) = find(dir, &blob.digest)? else { return Ok(None) };
        let file = fs::File::options().read(true).write(true).open(&path)?;
        let mut part = Self { path, file, check: Check::new(blob), durable, is_broken: false };
        if part.hash().is_ok() {
            part.file.set_len(durable)?;
            part.file.seek(SeekFrom::End(0))?;
            return Ok(Some(part));
        }
        // Shorter than its name says, or longer than the blob.
        fs::remove_file(&part.path)?;
        Ok(None)
    }

    fn hash(&mut self) -> Result<(), sealift_archive::Error> {
        let mut buffer = vec![0; READ_BYTES];
        while self.check.seen() < self.durable {
            let left = usize::try_from(self.durable - self.check.seen()).unwrap_or(usize::MAX);
            let room = left.min(READ_BYTES);
            self.file.read_exact(&mut buffer[..room])?;
            self.check.update(&buffer[..room])?;
        }
        Ok(())
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> u64 {
        self.check.seen()
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), sealift_archive::Error> {
        self.check.update(bytes)?;
        self.append([bytes])
    }

    pub(crate) fn write_hashed(&mut self, content: &Hashed) -> Result<(), sealift_archive::Error> {
        self.check.follow(content)?;
        self.append(content.pieces())
    }

    /// Writes what was hashed.
    fn append<'b>(
        &mut self,
        pieces: impl IntoIterator<Item = &'b [u8]>,
    ) -> Result<(), sealift_archive::Error> {
        expect_sound(self.is_broken)?;
        let written = pieces.into_iter().try_for_each(|piece| self.file.write_all(piece));
        self.is_broken = written.is_err();
        Ok(written?)
    }

    /// Forgets what has come.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        self.rename(0)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.check = Check::new(self.check.wanted());
        self.is_broken = false;
        Ok(())
    }

    /// Checks the blob. It is not durable yet; a wrong one is gone.
    pub(crate) fn finish(self) -> Result<Whole, sealift_archive::Error> {
        expect_sound(self.is_broken)?;
        let Self { path, file, check, .. } = self;
        let path = TempPath::try_from_path(path)?;
        let Blob { digest, size } = check.wanted();
        check.finish()?;
        // One that was resumed, or restarted after that, is writable still.
        file.set_permissions(std::fs::Permissions::from_mode(BLOB_MODE))?;
        Ok(Whole { path, file, digest, size })
    }

    /// Makes durable what has come, for the next try, if it is worth that.
    pub(crate) fn keep(mut self) -> io::Result<()> {
        let len = self.len();
        if len > self.check.wanted().size {
            return fs::remove_file(&self.path);
        }
        if len >= MIN_KEPT_BYTES && len > self.durable && !self.is_broken {
            self.file.set_permissions(std::fs::Permissions::from_mode(PART_MODE))?;
            self.file.sync_all()?;
            self.rename(len)?;
            return self.path.parent().map_or(Ok(()), durable::sync_dir);
        }
        if self.durable == 0 { fs::remove_file(&self.path) } else { Ok(()) }
    }

    fn rename(&mut self, durable: u64) -> io::Result<()> {
        let new = self.path.with_file_name(name(&self.check.wanted().digest, durable));
        fs::rename(&self.path, &new)?;
        (self.path, self.durable) = (new, durable);
        Ok(())
    }
}

fn expect_sound(is_broken: bool) -> io::Result<()> {
    if is_broken { Err(io::Error::other("an earlier write of this blob failed")) } else { Ok(()) }
}

/// A blob that is checked, but not durable yet; gone when dropped.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) path: TempPath,
    pub(crate) file: fs::File,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn what_a_full_disk_did_not_take_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let content = vec![b'c'; 4 * MIB];
        let blob = Blob::of(&content);
        let names =
            || all(dir.path()).unwrap().into_iter().map(|(_, _, durable)| durable).collect::<Vec<_>>();
        let break_off = |mut part: Part| {
            let good = std::mem::replace(&mut part.file, fs::File::create("/dev/full").unwrap());
            let from = usize::try_from(part.len()).unwrap();
            assert!(part.write(&content[from..]).is_err());
            part.file = good;
            assert!(part.write(b"").is_err(), "and nothing follows it");
            part
        };
        break_off(Part::begin(dir.path(), blob).unwrap()).keep().unwrap();
        assert!(names().is_empty());
        let mut part = Part::begin(dir.path(), blob).unwrap();
        part.write(&content[..2 * MIB]).unwrap();
        part.keep().unwrap();
        let resume = || Part::resume(dir.path(), blob).unwrap().unwrap();
        break_off(resume()).keep().unwrap();
        assert_eq!(names(), [2 * MIB as u64], "what was durable is still");
        let mut part = break_off(resume());
        part.restart().unwrap();
        part.write(&content).unwrap();
        let whole = part.finish().unwrap();
        assert_eq!(whole.file.metadata().unwrap().permissions().mode() & 0o777, BLOB_MODE);
        drop(whole);
        assert!(break_off(Part::begin(dir.path(), blob).unwrap()).finish().is_err());
    }
}
