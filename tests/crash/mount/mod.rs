//! A disk in memory as a file system that programs can use, by way of FUSE; mounting needs root.
//!
//! One kind of mount logs all that changes the disk, the other lets things go wrong.

mod fault;
mod log;
mod server;

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fs_err as fs;
use fuser::{BackgroundSession, Config, Session, SessionACL};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use sealift_tests::{peers, process, scratch};
use tempfile::TempDir;

use crate::disk::{Disk, Operation};
pub(crate) use fault::Fault;
use server::{BLOCK_BYTES, Server};

/// Size of the device below a disk that is logged. Nothing is ever written there.
const DEVICE_BYTES: u64 = 1 << 20;

/// A mounted disk; gone when dropped.
pub(crate) struct Mounted {
    state: Arc<Mutex<State>>,
    // Dropped in this order.
    _session: BackgroundSession,
    _device: Option<LoopDevice>,
    dir: TempDir,
}

/// What the file system knows.
struct State {
    disk: Disk,
    log: Vec<Operation>,
    fault: Fault,
    /// How many blocks can be taken, if there is an end to them.
    blocks: Option<u64>,
}

impl Mounted {
    /// A disk on which all that changes it is logged, and all that makes changes last.
    ///
    /// The kernel tells a file system in user space of syncfs(2) only if it stands on a block device, and that since
    /// Linux 6.18. So there is one below, and whether syncfs is told of is tried out first.
    pub(crate) fn logged(disk: Disk) -> Self {
        let device = LoopDevice::new();
        let source = device.path.display().to_string();
        let mounted = Self::new(disk, Fault::none(), "fuseblk", &source, Some(device));
        let root = fs::File::open(mounted.path()).expect("the mounted disk");
        rustix::fs::syncfs(root.file()).expect("nothing goes wrong on this disk");
        let told = matches!(mounted.take_log().as_slice(), [Operation::SyncAll]);
        assert!(told, "this kernel does not tell FUSE of syncfs; Linux 6.18 does");
        mounted
    }

    /// A disk on which this goes wrong.
    pub(crate) fn failing(disk: Disk, fault: Fault) -> Self {
        Self::new(disk, fault, "fuse", "sealift-crash", None)
    }

    fn new(disk: Disk, fault: Fault, kind: &str, source: &str, below: Option<LoopDevice>) -> Self {
        let dir = scratch();
        let mut options = fs::OpenOptions::new();
        let fuse = options.read(true).write(true).open("/dev/fuse").expect("a kernel with FUSE");
        let number = fuse.file().as_raw_fd();
        let data = format!("fd={number},rootmode=40000,user_id=0,group_id=0,allow_other");
        let data = std::ffi::CString::new(data).expect("no zeros in it");
        mount(source, dir.path(), kind, MountFlags::NOSUID | MountFlags::NODEV, data.as_c_str())
            .expect("mounting needs root; run: make test");
        let state = Arc::new(Mutex::new(State { disk, log: Vec::new(), fault, blocks: None }));
        let fuse = OwnedFd::from(fuse.into_parts().0);
        let fuse = if below.is_some() { log::with_syncfs(fuse) } else { fuse };
        let server = Server::new(Arc::clone(&state), dir.path().to_owned());
        let session = Session::from_fd(server, fuse, SessionACL::All, Config::default())
            .and_then(Session::spawn)
            .expect("the kernel and the file system understand each other");
        Self { state, _session: session, _device: below, dir }
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What is on it now.
    pub(crate) fn disk(&self) -> Disk {
        lock(&self.state).disk.clone()
    }

    /// What was logged since this was last asked.
    pub(crate) fn take_log(&self) -> Vec<Operation> {
        std::mem::take(&mut lock(&self.state).log)
    }

    /// Leaves so many bytes of it free, or more than anybody needs.
    pub(crate) fn leave_free(&self, bytes: Option<u64>) {
        let mut state = lock(&self.state);
        let taken = state.disk.blocks(BLOCK_BYTES.into());
        state.blocks = bytes.map(|bytes| taken + bytes / u64::from(BLOCK_BYTES));
    }

    /// How often it could have gone wrong so far.
    pub(crate) fn occasions(&self) -> usize {
        lock(&self.state).fault.occasions()
    }

    /// Whether something has gone wrong so far.
    pub(crate) fn has_failed(&self) -> bool {
        lock(&self.state).fault.has_struck()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: what failed in the middle may still have files open. A panic here would hide that failure.
        let _ = unmount(self.dir.path(), UnmountFlags::DETACH);
    }
}

/// A panic elsewhere does not spoil what is behind the lock: every change there is one step.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A block device with nothing on it.
struct LoopDevice {
    path: PathBuf,
    _dir: TempDir,
}

impl LoopDevice {
    fn new() -> Self {
        let dir = scratch();
        let image = dir.path().join("device");
        fs::File::create(&image).and_then(|file| file.set_len(DEVICE_BYTES)).expect("a sparse file");
        let path = process::text(Command::new(peers::tool("losetup")).args(["--find", "--show"]).arg(&image));
        Self { path: path.trim().into(), _dir: dir }
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // Goes as soon as the file system above it has gone.
        let _ = Command::new(peers::tool("losetup")).arg("--detach").arg(&self.path).status();
    }
}
