//! Whether files are still the ones that were read.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use fs_err as fs;

/// What tells one state of a few files from another: which files they are, how long, and when they were written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stamp(Vec<Option<[i64; 4]>>);

impl Stamp {
    /// Of these files as they are now; one that is not there is a state too.
    pub(super) fn of(files: &[&Path]) -> Self {
        let one = |file: &&Path| {
            let found = fs::metadata(*file).ok()?;
            Some([found.ino().cast_signed(), found.len().cast_signed(), found.mtime(), found.mtime_nsec()])
        };
        Self(files.iter().map(one).collect())
    }
}
