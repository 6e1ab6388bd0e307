//! How many bytes come free: each once, and only where the last name of a file goes.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use fs_err as fs;

use crate::Error;

/// Unit of `st_blocks` (stat(2)), whatever the file system's own blocks are.
const STAT_BLOCK_BYTES: u64 = 512;

/// Names that go, by the file that they lead to.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    files: HashMap<(u64, u64), File>,
    items: usize,
}

#[derive(Debug)]
struct File {
    /// What the file system has set aside for it.
    bytes: u64,
    names: u64,
    going: u64,
    /// The item that named it first.
    item: usize,
}

impl Ledger {
    /// Begins an item; what follows belongs to it.
    pub(super) fn begin_item(&mut self) {
        self.items += 1;
    }

    /// A name that goes. One that is gone already, because somebody is at work here, frees nothing.
    pub(super) fn add(&mut self, path: &Path) -> Result<(), Error> {
        let meta = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            meta => meta?,
        };
        let bytes = meta.blocks() * STAT_BLOCK_BYTES;
        let new = File { bytes, names: meta.nlink(), going: 0, item: self.items.saturating_sub(1) };
        self.files.entry((meta.dev(), meta.ino())).or_insert(new).going += 1;
        Ok(())
    }

    /// All names below a directory. Directories themselves are small, and not counted.
    pub(super) fn add_tree(&mut self, dir: &Path) -> Result<(), Error> {
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.add_tree(&entry.path())?;
            } else {
                self.add(&entry.path())?;
            }
        }
        Ok(())
    }

    /// What each item frees.
    pub(super) fn freed(&self) -> Vec<u64> {
        let mut freed = vec![0; self.items];
        for file in self.files.values().filter(|file| file.going == file.names) {
            freed[file.item] += file.bytes;
        }
        freed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_free_once_its_last_name_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("alone"), vec![1; 10_000]).unwrap();
        fs::write(path("twice"), vec![2; 20_000]).unwrap();
        fs::hard_link(path("twice"), path("again")).unwrap();
        fs::File::open(path("alone")).unwrap().sync_all().unwrap();
        fs::File::open(path("twice")).unwrap().sync_all().unwrap();
        let bytes = |name: &str| fs::metadata(path(name)).unwrap().blocks() * STAT_BLOCK_BYTES;

        let mut ledger = Ledger::default();
        ledger.begin_item();
        ["alone", "twice", "gone"].iter().try_for_each(|name| ledger.add(&path(name))).unwrap();
        assert_eq!(ledger.freed(), [bytes("alone")]);
        ledger.begin_item();
        ledger.add(&path("again")).unwrap();
        assert_eq!(ledger.freed(), [bytes("alone") + bytes("twice"), 0], "it counts for the first item");
        assert!(bytes("twice") >= 20_000);
    }
}
