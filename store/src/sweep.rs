//! Clearing away what a writer left half done when it was killed or the power went.
//!
//! Only whoever holds the lock may do it, and then everything half done belongs to nobody.

use std::path::Path;

use fs_err as fs;

use crate::incoming::{self, JOURNAL_FILE};
use crate::store::ACTIVATION;
use crate::{Error, StoredRelease, Writer, parts};

/// How the files begin that `durable` and the intake write before they rename them (tempfile's prefix).
pub(crate) const TEMPORARY_PREFIX: &str = ".tmp";
/// How the files end by which Git locks a ref or its configuration (gitglossary(7); no ref's name ends so).
const GIT_LOCK_SUFFIX: &str = ".lock";
/// Where Git keeps objects: nothing is locked there, and there are many.
const GIT_OBJECTS_DIR: &str = "objects";

/// Removes partial files, and imports that are done or never began. What has only become old is for a collection to
/// remove, which says so.
pub(crate) fn leftovers(writer: &Writer) -> Result<(), Error> {
    for entry in entries(writer.root())?.into_iter().chain(entries(&writer.git_dir())?) {
        remove_if_temporary(&entry)?;
    }
    remove_temporary_below(&writer.trust_dir())?;
    remove_temporary_below(&writer.root().join(ACTIVATION))?;
    remove_temporary_below(&writer.releases_dir())?;
    let staged = writer.releases()?;
    for entry in entries(&writer.incoming_dir())? {
        let is_it = |release: &&StoredRelease| entry.file_name() == release.digest().hex().as_str();
        let is_done = staged.iter().find(is_it).is_some_and(|release| is_done(writer, release));
        if is_done || !entry.path().join(JOURNAL_FILE).is_file() {
            fs::remove_dir_all(entry.path())?;
        } else {
            incoming::remove_scratch(&entry.path())?;
            // Its documents become a release's with all that lies beside them.
            remove_temporary_below(&entry.path())?;
        }
    }
    remove_unfinished_refs_below(&writer.git_dir())?;
    remove_parts(writer)
}

/// Removes refs that were being written, and with them the locks of a Git that did not come to its end: nobody else does,
/// and the next one stops at them.
fn remove_unfinished_refs_below(dir: &Path) -> Result<(), Error> {
    for entry in entries(dir)? {
        let name = entry.file_name();
        if name.as_encoded_bytes().ends_with(GIT_LOCK_SUFFIX.as_bytes()) {
            fs::remove_file(entry.path())?;
        } else if !remove_if_temporary(&entry)? && entry.file_type()?.is_dir() && name != GIT_OBJECTS_DIR {
            remove_unfinished_refs_below(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes parts that are of no use: nothing of them is durable, or the blob is here.
fn remove_parts(writer: &Writer) -> Result<(), Error> {
    for (path, digest, durable) in parts::all(&writer.parts_dir())? {
        if durable == 0 || writer.blob_path(&digest).is_file() {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Whether nobody has to go on with the import of a release that is here: one that lacks something may be under repair.
fn is_done(writer: &Writer, release: &StoredRelease) -> bool {
    // What cannot be looked at may lack anything; that must not stop who locks.
    release.state().is_served() && writer.is_complete(release).unwrap_or(false)
}

fn remove_temporary_below(dir: &Path) -> Result<(), Error> {
    for entry in entries(dir)? {
        if !remove_if_temporary(&entry)? && entry.file_type()?.is_dir() {
            remove_temporary_below(&entry.path())?;
        }
    }
    Ok(())
}

fn remove_if_temporary(entry: &fs::DirEntry) -> Result<bool, Error> {
    if !is_temporary(&entry.file_name()) {
        return Ok(false);
    }
    if entry.file_type()?.is_dir() {
        fs::remove_dir_all(entry.path())?;
    } else {
        fs::remove_file(entry.path())?;
    }
    Ok(true)
}

/// Whether this is the name of a file that was never finished.
pub(crate) fn is_temporary(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(TEMPORARY_PREFIX.as_bytes())
}

fn entries(dir: &Path) -> Result<Vec<fs::DirEntry>, Error> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    Ok(fs::read_dir(dir)?.collect::<Result<_, _>>()?)
}
