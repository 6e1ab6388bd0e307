//! What a courier carries: a stick with FAT32, as it is bought.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealift_lab::stick;
use tempfile::TempDir;

use crate::process::Daemon;
use crate::{peers, scratch};

const IMAGE: &str = "stick.img";

/// A FAT32 file system, mounted; gone when dropped. Mounting needs root.
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
        let image = image(dir.path(), files);
        let last = mount.path().join(name_of(files.last().expect("a file for the stick")));
        let fusefat = attach(&image, "ro", mount.path(), dir.path(), |_| last.is_file());
        Self { mount, _fusefat: fusefat, _dir: dir }
    }

    /// An empty stick with room for so many bytes, which can be written to.
    #[must_use]
    pub fn blank(bytes: u64) -> Self {
        let (dir, mount) = (scratch(), scratch());
        let image = format(dir.path(), bytes);
        // Another file system is there once the mount point is on another device than the folder that it is in.
        let device = |path: &Path| fs_err::metadata(path).expect("a folder").dev();
        let above = device(dir.path());
        let is_mounted = |mount: &Path| device(mount) != above;
        let fusefat = attach(&image, "rw+", mount.path(), dir.path(), is_mounted);
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

/// Makes an image of a stick in `dir`, with these files at its root.
#[must_use]
pub fn image(dir: &Path, files: &[&Path]) -> PathBuf {
    let image = dir.join(IMAGE);
    stick::write(&image, files).expect("an image of a stick");
    image
}

/// Makes an image of a FAT32 file system with room for so many bytes.
fn format(dir: &Path, bytes: u64) -> PathBuf {
    let image = dir.join(IMAGE);
    stick::format(&image, bytes).expect("an image of a stick");
    image
}

fn attach(image: &Path, option: &str, mount: &Path, dir: &Path, is_there: impl Fn(&Path) -> bool) -> Daemon {
    let mut fusefat = Command::new(peers::tool("fusefat"));
    // Unmounted whatever ends the program.
    fusefat.args(["-f", "-o"]).arg(format!("{option},auto_unmount")).arg(image).arg(mount);
    let mut fusefat = Daemon::start("fusefat", &fusefat, dir);
    fusefat.await_ready(|_| is_there(mount));
    fusefat
}

fn name_of(file: &Path) -> &std::ffi::OsStr {
    file.file_name().expect("a file has a name")
}
