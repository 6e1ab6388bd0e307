//! A medium that is as slow as a stick: one file in a file system that gives so many bytes in a second and no more.
//!
//! The kernel asks it by FUSE, as a disk: read-ahead and page cache are as on any file system. Requests are answered one after
//! the other, each when its bytes are due at that rate, whoever asks. Mounting needs root.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use fs_err as fs;
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen, Request,
    Session, SessionACL,
};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::scratch::Scratch;

const FILE: INodeNo = INodeNo(2);
const GENERATION: Generation = Generation(0);
const BLOCK_BYTES: u32 = 4 << 10;
/// How late it may be without becoming slower: as long as a few answers take.
const SLACK: Duration = Duration::from_millis(10);
/// What is on it never changes.
const TTL: Duration = Duration::from_secs(3600);

/// A mounted stick, with nothing of it in the page cache yet; gone when dropped.
#[derive(Debug)]
pub(super) struct Stick {
    // Dropped in this order.
    _session: BackgroundSession,
    mount_point: Scratch,
    name: PathBuf,
}

impl Stick {
    /// Whether this user may mount.
    pub(super) fn is_allowed() -> bool {
        rustix::process::geteuid().is_root()
    }

    /// Mounts a stick with this file on it at `dir`.
    pub(super) fn with(file: &Path, bytes_per_second: u64, dir: Scratch) -> io::Result<Self> {
        let name = PathBuf::from(file.file_name().unwrap_or_default());
        let file = fs::File::open(file)?;
        let drive = Drive {
            bytes: file.metadata()?.len(),
            name: name.clone(),
            file,
            bytes_per_second,
            due: Mutex::new(Instant::now()),
        };
        let fuse = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse")?.into_parts().0;
        let data = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", fuse.as_raw_fd());
        let data = std::ffi::CString::new(data)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
        mount("sealift-bench", dir.path(), "fuse", flags, data.as_c_str())?;
        let session = Session::from_fd(drive, OwnedFd::from(fuse), SessionACL::All, Config::default());
        match session.and_then(Session::spawn) {
            Ok(session) => Ok(Self { _session: session, mount_point: dir, name }),
            Err(error) => {
                unmount(dir.path(), UnmountFlags::DETACH)?;
                Err(error)
            }
        }
    }

    /// The file on it.
    pub(super) fn file(&self) -> PathBuf {
        self.mount_point.path().join(&self.name)
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        // Lazily, and before its folder goes: a program that failed may still stand in it.
        let _ = unmount(self.mount_point.path(), UnmountFlags::DETACH);
    }
}

/// What the kernel asks.
struct Drive {
    name: PathBuf,
    file: fs::File,
    bytes: u64,
    bytes_per_second: u64,
    /// When the next byte can be had.
    due: Mutex<Instant>,
}

impl Drive {
    /// Waits until so many bytes have come.
    fn wait_for(&self, bytes: usize) {
        let mut due = self.due.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let nanos = bytes as u64 * 1_000_000_000 / self.bytes_per_second;
        // Of the time in which nobody asked it catches up only a moment: what a sleep lasts too long.
        let earliest = Instant::now().checked_sub(SLACK).unwrap_or(*due);
        *due = due.max(earliest) + Duration::from_nanos(nanos);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }

    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let (kind, perm, size) = match inode {
            FILE => (FileType::RegularFile, 0o444, self.bytes),
            _ => (FileType::Directory, 0o555, u64::from(BLOCK_BYTES)),
        };
        let time = SystemTime::UNIX_EPOCH;
        FileAttr {
            ino: inode,
            size,
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: BLOCK_BYTES,
            flags: 0,
        }
    }
}

impl Filesystem for Drive {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == self.name {
            reply.entry(&TTL, &self.attributes(FILE), GENERATION);
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &self.attributes(inode));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let length = self.bytes.saturating_sub(offset).min(size.into());
        let mut data = vec![0; usize::try_from(length).unwrap_or_default()];
        match self.file.file().read_exact_at(&mut data, offset) {
            Ok(()) => {
                self.wait_for(data.len());
                reply.data(&data);
            }
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        if offset == 0 {
            // There is room for one name.
            let _ = reply.add(FILE, 1, FileType::RegularFile, &self.name);
        }
        reply.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stick_gives_what_is_on_it_and_no_faster() {
        const BYTES_PER_SECOND: u64 = 10_000_000;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("archive");
        let content = crate::vendor::image::noise(1, 2_000_001);
        fs::write(&file, &content).unwrap();
        let scratch = Scratch::new(dir.path().join("stick")).unwrap();
        // Mounting needs root; run: make test
        let stick = Stick::with(&file, BYTES_PER_SECOND, scratch).unwrap();
        let begun = Instant::now();
        assert!(fs::read(stick.file()).unwrap() == content);
        let least = Duration::from_millis(200).saturating_sub(SLACK);
        assert!(begun.elapsed() >= least, "{:?}", begun.elapsed());
        let mount_point = stick.mount_point.path().to_owned();
        drop(stick);
        assert!(!mount_point.exists(), "and nothing of it is left");
    }
}
