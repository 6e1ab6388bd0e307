//! A stick that is put into a machine: FAT32, read out by mtools, since the kernel may know no vfat. The machine whose power goes
//! has a kernel that does.

use std::io;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use tempfile::TempDir;

use crate::actors::run;
use crate::stick;

/// What is on a stick, as a machine sees it; gone when dropped.
#[derive(Debug)]
pub(super) struct Stick(TempDir);

impl Stick {
    /// A stick with these files.
    pub(super) fn with(files: &[&Path]) -> io::Result<Self> {
        let image = tempfile::tempdir()?;
        let path = image.path().join("stick.img");
        stick::write(&path, files)?;
        let seen = tempfile::Builder::new().prefix("stick-").tempdir()?;
        run(Command::new("mcopy").arg("-i").arg(&path).arg("::*").arg(seen.path()))?;
        let is_there = |file: &&Path| seen.path().join(file.file_name().unwrap_or_default()).is_file();
        match files.iter().find(|file| !is_there(file)) {
            None => Ok(Self(seen)),
            Some(missing) => {
                let names: Vec<_> =
                    fs::read_dir(seen.path())?.filter_map(Result::ok).map(|e| e.file_name()).collect();
                Err(io::Error::other(format!(
                    "`{}` is not on the stick, which has {names:?}",
                    missing.display()
                )))
            }
        }
    }

    /// Where it is.
    pub(super) fn mount(&self) -> &Path {
        self.0.path()
    }
}
