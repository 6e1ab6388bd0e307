//! What a courier carries: a stick with FAT32, as it is bought.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::{self, Daemon};
use crate::{peers, scratch};

/// Room beside the files. FAT32 has at least 65,525 clusters; with mkfs.vfat's smallest that is 32 MiB.
const SPARE_BYTES: u64 = 48 << 20;

/// A FAT32 file system with some files, mounted read-only; gone when dropped. Mounting needs root.
///
/// The kernel may know no vfat, so the file system is made and filled by programs, and mounted by way of FUSE.
#[derive(Debug)]
pub struct Stick {
    mount: TempDir,
    // Fields are dropped in this order: the process goes before its directory.
    _fusefat: Daemon,
    _dir: TempDir,
}

impl Stick {
    /// A stick with these files at its root.
    #[must_use]
    pub fn with(files: &[&Path]) -> Self {
        let (dir, mount) = (scratch(), scratch());
        let image = dir.path().join("stick.img");
        let content: u64 = files.iter().map(|file| fs_err::metadata(file).expect("a file").len()).sum();
        let blank = fs_err::File::create(&image).expect("a file for the stick");
        blank.set_len(content + SPARE_BYTES).expect("a sparse file");
        process::run(Command::new(peers::tool("mkfs.vfat")).args(["-F", "32"]).arg(&image));
        process::run(Command::new(peers::tool("mcopy")).arg("-i").arg(&image).args(files).arg("::"));

        let mut fusefat = Command::new(peers::tool("fusefat"));
        // Unmounted whatever ends the program.
        fusefat.args(["-f", "-o", "ro,auto_unmount"]).arg(&image).arg(mount.path());
        let mut fusefat = Daemon::start("fusefat", &fusefat, dir.path());
        let last = mount.path().join(name_of(files.last().expect("a file for the stick")));
        fusefat.await_ready(|_| last.is_file());
        Self { mount, _fusefat: fusefat, _dir: dir }
    }

    /// Where a file is on it.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.mount.path().join(name)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn mount(&self) -> &Path {
        self.mount.path()
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        // Lazily: a program of a test that failed may still read from it. A panic here would hide that failure.
        let _ = Command::new("umount").arg("--lazy").arg(self.mount.path()).stderr(Stdio::null()).status();
    }
}

fn name_of(file: &Path) -> &std::ffi::OsStr {
    file.file_name().expect("a file has a name")
}
