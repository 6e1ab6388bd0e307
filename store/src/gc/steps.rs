//! What a collection does, one durable change after the other; each harmless to repeat.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use sealift_archive::{RepositoryName, durable};

use crate::git::Git;
use crate::sweep::TEMPORARY_PREFIX;
use crate::{Error, Store};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Take a directory's name away: from then on it belongs to nobody, and whoever locks the store next clears it away.
    Retire(PathBuf),
    /// Remove a directory with all that is in it.
    Clear(PathBuf),
    /// Remove a file.
    Remove(PathBuf),
    /// Remove refs of a Git repository, packed or not.
    Unref { repository: RepositoryName, refs: Vec<String> },
    /// Make the names in a directory durable.
    Sync(PathBuf),
    /// Make everything durable on the file system of a directory: Git does not say which names it has removed.
    SyncAll(PathBuf),
}

impl Step {
    pub(super) fn take(&self, store: &Store) -> Result<(), Error> {
        match self {
            Self::Retire(dir) => Ok(gone_is_done(fs::rename(dir, retired(dir)))?),
            Self::Clear(dir) => Ok(gone_is_done(fs::remove_dir_all(dir))?),
            Self::Remove(file) => Ok(gone_is_done(fs::remove_file(file))?),
            Self::Unref { repository, refs } => {
                let git = Git { dir: store.git_path(repository), repository: repository.clone() };
                let mut changes = String::new();
                for name in refs {
                    writeln!(changes, "delete {name}").expect("a string takes all text");
                }
                // `HEAD` of a namespace is a link to a branch, which has a line of its own.
                git.run("update-ref", &["--no-deref", "--stdin"], &changes).map(drop)
            }
            Self::Sync(dir) => Ok(durable::sync_dir(dir)?),
            Self::SyncAll(dir) => {
                Ok(rustix::fs::syncfs(fs::File::open(dir)?.file()).map_err(io::Error::from)?)
            }
        }
    }
}

/// The name of a directory that is being removed.
pub(super) fn retired(dir: &Path) -> PathBuf {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    dir.with_file_name(format!("{TEMPORARY_PREFIX}-{name}"))
}

/// What is not there need not be removed.
fn gone_is_done(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
