//! Tar and gzip that are the same for the same content, on every machine and at any time.

use std::io::{self, Write as _};

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// The mode of plain files.
pub(crate) const PLAIN: u32 = 0o644;
/// The mode of folders and programs.
pub(crate) const EXECUTABLE: u32 = 0o755;
/// What a gzip header says of a system that does not matter (RFC 1952, 2.3.1).
const UNKNOWN_SYSTEM: u8 = 255;

/// A tar archive in the making, all of it owned by nobody in particular and changed at the same second.
pub(crate) struct Tarball {
    builder: Builder<Vec<u8>>,
    seconds: u64,
}

impl Tarball {
    /// Nothing yet; `seconds` since 1970 is when everything in it was changed.
    pub(crate) fn new(seconds: u64) -> Self {
        Self { builder: Builder::new(Vec::new()), seconds }
    }

    /// Adds a file.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entry(EntryType::Regular, path, mode, content)
    }

    /// Adds a folder.
    pub(crate) fn folder(&mut self, path: &str) -> io::Result<()> {
        self.entry(EntryType::Directory, path, EXECUTABLE, &[])
    }

    fn entry(&mut self, kind: EntryType, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.seconds);
        header.set_size(content.len() as u64);
        self.builder.append_data(&mut header, path, content)
    }

    /// The archive.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        self.builder.into_inner()
    }
}

/// Compresses as far as gzip can.
pub(crate) fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut gzip =
        GzBuilder::new().mtime(0).operating_system(UNKNOWN_SYSTEM).write(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    gzip.finish()
}

#[cfg(test)]
mod tests {
    use sealift_archive::Digest;

    use super::*;

    /// Locks of folders hold digests of what comes out here. If another version of a library makes other bytes, they go
    /// stale, and that belongs into the changelog.
    #[test]
    fn the_same_bytes_come_out_as_in_earlier_versions() {
        let number = |n: u32| (n.wrapping_mul(2_654_435_761) >> (n % 20)).to_string().into_bytes();
        let text: Vec<u8> = (0..20_000).flat_map(number).collect();
        let mut tarball = Tarball::new(1_700_000_000);
        tarball.folder("folder").unwrap();
        tarball.file("folder/text", PLAIN, &text).unwrap();
        tarball.file(&format!("folder/{}", "long".repeat(50)), EXECUTABLE, b"x").unwrap();
        let tar = tarball.finish().unwrap();
        let digests = [&tar, &gzip(&tar).unwrap()].map(|bytes| Digest::of(bytes).short());
        assert_eq!(digests, ["a5b723cd6838", "98ae43e611dc"]);
    }
}
