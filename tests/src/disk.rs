//! A disk that is soon full.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::{process, scratch};

/// A file system of a given size, gone with all its content when dropped. Mounting needs root.
#[derive(Debug)]
pub struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// A file system for so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let dir = scratch();
        let options = format!("size={bytes},mode=0755");
        process::run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()));
        Self { dir }
    }

    /// Makes it a file system for so many bytes.
    pub fn resize(&self, bytes: u64) {
        let options = format!("remount,size={bytes}");
        process::run(Command::new("mount").args(["-o", &options]).arg(self.dir.path()));
    }

    /// How many bytes are free.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.dir.path()).expect("it is mounted");
        stat.f_bavail * stat.f_frsize
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a program of a test that failed may still stand in it. A panic here would hide that failure.
        let _ = Command::new("umount").arg("--lazy").arg(self.dir.path()).stderr(Stdio::null()).status();
    }
}
