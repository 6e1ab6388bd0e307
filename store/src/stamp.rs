//! A cheap answer to "has anything changed?", for readers that keep what they have read.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use fs_err as fs;
use sealift_archive::Sequence;

use crate::state::STATE_FILE;
use crate::{Error, Store};

/// What is to be served, as a value to compare: where `current` leads, which releases there are, and which edition
/// of its `state` file each has. It costs one `readlink`, one directory listing and one `stat` a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    current: Option<PathBuf>,
    states: Vec<(Sequence, Edition)>,
}

/// Tells one edition of a file from the next. Files are replaced, never changed in place, so the inode tells two
/// neighbours apart, and the time tells apart those that got the same inode later.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edition {
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Stamp {
    pub(crate) fn of(store: &Store) -> Result<Self, Error> {
        let current = absent_is_none(fs::read_link(store.current_link()))?;
        let mut states = Vec::new();
        for sequence in store.sequences()? {
            let path = store.release_dir(sequence).join(STATE_FILE);
            if let Some(meta) = absent_is_none(fs::metadata(path))? {
                let edition =
                    Edition { inode: meta.ino(), seconds: meta.mtime(), nanoseconds: meta.mtime_nsec() };
                states.push((sequence, edition));
            }
        }
        Ok(Self { current, states })
    }
}

fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
