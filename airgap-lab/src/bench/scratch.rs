//! The folder in which everything is measured.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

/// A folder that is gone when this is dropped, whatever happened.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Makes it anew: what a run that was killed has left there goes.
    pub(super) fn new(dir: PathBuf) -> io::Result<Self> {
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }

    /// A folder within, of the same kind.
    pub(super) fn within(&self, name: &str) -> io::Result<Self> {
        Self::new(self.0.join(name))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody can be told, and the next run tries again.
        let _ = fs::remove_dir_all(&self.0);
    }
}
