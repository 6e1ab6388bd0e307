//! Trust roots in files, as they lie in the folder of a vendor and in a store: `root/<version>.json`, with signatures beside.

use std::io;
use std::path::Path;

use fs_err as fs;

use super::MAX_ROOT_BYTES;
use crate::bounded;

/// The versions that lie in a folder as `<version>.json`, by rising number; none if there is no such folder.
///
/// # Errors
/// I/O.
pub fn versions_in(dir: &Path) -> io::Result<Vec<u64>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut versions = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        versions.extend(name.to_str().and_then(|name| name.strip_suffix(".json")?.parse::<u64>().ok()));
    }
    versions.sort_unstable();
    Ok(versions)
}

/// Reads a file up to one byte more than a trust root may have: its parser then says that it is too large.
///
/// # Errors
/// I/O.
pub fn read_root_file(file: &Path) -> io::Result<Vec<u8>> {
    bounded::read(file, MAX_ROOT_BYTES as u64)
}
