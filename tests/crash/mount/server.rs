//! Answers the kernel's requests from the disk in memory.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use fuser::{
    FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, KernelConfig, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::fault::Occasion;
use super::log::EVERYTHING;
use super::{State, lock};
use crate::disk::{Content, Disk, Inode, Kind, Node, Operation, Place};

/// Most bytes of a write that the kernel sends at once.
pub(super) const MAX_WRITE_BYTES: u32 = 128 << 10;
/// Nobody else changes the disk.
const TTL: Duration = Duration::from_secs(60);
const GENERATION: Generation = Generation(0);
pub(super) const BLOCK_BYTES: u32 = 4 << 10;
/// What the disk says of its size.
const BLOCKS: u64 = (64 << 30) / BLOCK_BYTES as u64;
const MAX_NAME_BYTES: u32 = 255;

/// Names, what has them, and what that is.
type Listing = Vec<(OsString, Inode, FileType)>;

pub(super) struct Server {
    state: Arc<Mutex<State>>,
    mount_point: PathBuf,
    /// What was in a directory when it was opened: who removes all of it reads on while it gets shorter.
    listings: Mutex<HashMap<u64, Listing>>,
    next_listing: AtomicU64,
}

impl Server {
    pub(super) fn new(state: Arc<Mutex<State>>, mount_point: PathBuf) -> Self {
        Self { state, mount_point, listings: Mutex::default(), next_listing: AtomicU64::new(0) }
    }

    /// Does something, unless it is time for that to go wrong.
    fn on<T>(
        &self,
        occasion: Occasion,
        act: impl FnOnce(&mut State) -> Result<T, Errno>,
    ) -> Result<T, fuser::Errno> {
        let mut state = lock(&self.state);
        let was_gone = state.fault.is_gone();
        let result = state.fault.meet(occasion).and_then(|()| act(&mut state));
        if state.fault.is_gone() && !was_gone {
            let mount_point = self.mount_point.clone();
            // Not from here: the kernel may ask for something before it lets go.
            std::thread::spawn(move || unmount(&mount_point, UnmountFlags::DETACH));
        }
        result.map_err(|error| fuser::Errno::from_i32(error.raw_os_error()))
    }

    fn look<T>(&self, act: impl FnOnce(&mut State) -> Result<T, Errno>) -> Result<T, fuser::Errno> {
        self.on(Occasion::Other, act)
    }

    fn make(&self, parent: INodeNo, name: &OsStr, node: Node) -> Result<FileAttr, fuser::Errno> {
        self.on(Occasion::Grow, |state| {
            if state.disk.find(parent.0, name).is_some() {
                return Err(Errno::EXIST);
            }
            state.expect_room(matches!(node.kind, Kind::Directory(_)).into())?;
            let inode = state.disk.next_inode();
            state.take(Operation::Create { place: Place::new(parent.0, name), inode, node });
            attributes(&state.disk, inode)
        })
    }

    fn remove(&self, parent: INodeNo, name: &OsStr) -> Result<(), fuser::Errno> {
        self.look(|state| {
            let inode = state.disk.find(parent.0, name).ok_or(Errno::NOENT)?;
            expect_empty(&state.disk, inode)?;
            state.take(Operation::Remove { place: Place::new(parent.0, name), inode });
            Ok(())
        })
    }
}

impl State {
    fn take(&mut self, operation: Operation) {
        self.disk.apply(&operation);
        self.log.push(operation);
    }

    fn content(&self, inode: INodeNo) -> Result<&Content, Errno> {
        match self.disk.get(inode.0).map(|node| &node.kind) {
            Some(Kind::File(content)) => Ok(content),
            _ => Err(Errno::INVAL),
        }
    }
}

impl State {
    /// How many blocks are free.
    fn free(&self) -> u64 {
        self.blocks.map_or(BLOCKS, |blocks| blocks.saturating_sub(self.disk.blocks(BLOCK_BYTES.into())))
    }

    fn expect_room(&self, blocks: u64) -> Result<(), Errno> {
        if blocks == 0 || self.free() >= blocks { Ok(()) } else { Err(Errno::NOSPC) }
    }

    /// Expects room for a file that is to be so long, if it is not.
    fn expect_growth(&self, inode: INodeNo, bytes: u64) -> Result<(), Errno> {
        let blocks = |bytes: u64| bytes.div_ceil(BLOCK_BYTES.into());
        self.expect_room(blocks(bytes).saturating_sub(blocks(self.content(inode)?.len())))
    }
}

fn expect_empty(disk: &Disk, inode: Inode) -> Result<(), Errno> {
    match &disk.node(inode).kind {
        Kind::Directory(entries) if !entries.is_empty() => Err(Errno::NOTEMPTY),
        _ => Ok(()),
    }
}

fn kind(node: &Node) -> FileType {
    match node.kind {
        Kind::File(_) => FileType::RegularFile,
        Kind::Directory(_) => FileType::Directory,
        Kind::Link(_) => FileType::Symlink,
    }
}

fn attributes(disk: &Disk, inode: Inode) -> Result<FileAttr, Errno> {
    let node = disk.get(inode).ok_or(Errno::NOENT)?;
    let size = match &node.kind {
        Kind::File(content) => content.len(),
        Kind::Directory(_) => BLOCK_BYTES.into(),
        Kind::Link(target) => target.as_os_str().len() as u64,
    };
    let modified = node.modified;
    Ok(FileAttr {
        ino: INodeNo(inode),
        size,
        blocks: size.div_ceil(512),
        atime: modified,
        mtime: modified,
        ctime: modified,
        crtime: modified,
        kind: kind(node),
        perm: u16::try_from(node.mode & 0o7777).unwrap_or_default(),
        nlink: u32::try_from(disk.links(inode)).unwrap_or(u32::MAX),
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    })
}

fn answer(result: Result<(), fuser::Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn answer_entry(result: Result<FileAttr, fuser::Errno>, reply: ReplyEntry) {
    match result {
        Ok(attributes) => reply.entry(&TTL, &attributes, GENERATION),
        Err(error) => reply.error(error),
    }
}

fn answer_attributes(result: Result<FileAttr, fuser::Errno>, reply: ReplyAttr) {
    match result {
        Ok(attributes) => reply.attr(&TTL, &attributes),
        Err(error) => reply.error(error),
    }
}

fn answer_data(result: Result<Vec<u8>, fuser::Errno>, reply: ReplyData) {
    match result {
        Ok(data) => reply.data(&data),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let refused = |_| io::Error::other("the kernel wants other sizes");
        config.set_max_write(MAX_WRITE_BYTES).map_err(refused)?;
        // The kernel may want less than that.
        let _ = config.set_max_readahead(MAX_WRITE_BYTES);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.look(|state| {
            let inode = state.disk.find(parent.0, name).ok_or(Errno::NOENT)?;
            attributes(&state.disk, inode)
        });
        answer_entry(found, reply);
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer_attributes(self.look(|state| attributes(&state.disk, inode.0)), reply);
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let inode = inode.0;
        let set = self.look(|state| {
            if let Some(size) = size {
                state.expect_growth(INodeNo(inode), size)?;
                state.take(Operation::Resize { inode, size });
            }
            if let Some(mode) = mode {
                state.take(Operation::Mode { inode, mode: mode & 0o7777 });
            }
            if let (Some(mtime), Some(node)) = (mtime, state.disk.get_mut(inode)) {
                node.modified = match mtime {
                    TimeOrNow::SpecificTime(time) => time,
                    TimeOrNow::Now => SystemTime::now(),
                };
            }
            attributes(&state.disk, inode)
        });
        answer_attributes(set, reply);
    }

    fn readlink(&self, _: &Request, inode: INodeNo, reply: ReplyData) {
        let target = self.look(|state| match state.disk.get(inode.0).map(|node| &node.kind) {
            Some(Kind::Link(target)) => Ok(target.as_os_str().as_bytes().to_vec()),
            _ => Err(Errno::INVAL),
        });
        answer_data(target, reply);
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let node = Node::new(Kind::Directory(BTreeMap::new()), mode & !umask & 0o7777);
        answer_entry(self.make(parent, name, node), reply);
    }

    fn symlink(&self, _: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let node = Node::new(Kind::Link(target.to_owned()), 0o777);
        answer_entry(self.make(parent, name, node), reply);
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let node = Node::new(Kind::File(Content::default()), mode & !umask & 0o7777);
        match self.make(parent, name, node) {
            Ok(attributes) => {
                reply.created(&TTL, &attributes, GENERATION, FileHandle(0), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn link(&self, _: &Request, inode: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let linked = self.on(Occasion::Grow, |state| {
            if state.disk.find(parent.0, name).is_some() {
                return Err(Errno::EXIST);
            }
            state.take(Operation::Link { place: Place::new(parent.0, name), inode: inode.0 });
            attributes(&state.disk, inode.0)
        });
        answer_entry(linked, reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.remove(parent, name), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.remove(parent, name), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed = self.look(|state| {
            let inode = state.disk.find(parent.0, name).ok_or(Errno::NOENT)?;
            let replaced = state.disk.find(new_parent.0, new_name);
            match replaced {
                _ if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() => return Err(Errno::INVAL),
                Some(_) if flags.contains(RenameFlags::RENAME_NOREPLACE) => return Err(Errno::EXIST),
                // Two names of one file: rename(2) leaves both.
                Some(same) if same == inode => return Ok(()),
                Some(replaced) => expect_empty(&state.disk, replaced)?,
                None => {}
            }
            let (from, to) = (Place::new(parent.0, name), Place::new(new_parent.0, new_name));
            state.take(Operation::Rename { from, to, inode });
            Ok(())
        });
        answer(renamed, reply);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let opened = self.look(|state| {
            let direct = state.fault.is_about_the_medium();
            Ok(if direct { FopenFlags::FOPEN_DIRECT_IO } else { FopenFlags::empty() })
        });
        match opened {
            Ok(flags) => reply.opened(FileHandle(0), flags),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let data = self.on(Occasion::Read, |state| {
            let size = state.fault.limit(size) as usize;
            let bytes = state.content(inode)?.bytes();
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            Ok(bytes[start..bytes.len().min(start + size)].to_vec())
        });
        answer_data(data, reply);
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.on(Occasion::Grow, |state| {
            state.expect_growth(inode, offset + data.len() as u64)?;
            state.take(Operation::Write { inode: inode.0, offset, data: data.into() });
            Ok(u32::try_from(data.len()).unwrap_or(u32::MAX))
        });
        match written {
            Ok(bytes) => reply.written(bytes),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        let synced = self.on(Occasion::Sync, |state| {
            state.take(Operation::Sync { inode: inode.0 });
            Ok(())
        });
        answer(synced, reply);
    }

    fn fsyncdir(&self, _: &Request, inode: INodeNo, handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        let synced = self.on(Occasion::Sync, |state| {
            state.take(if handle.0 == EVERYTHING {
                Operation::SyncAll
            } else {
                Operation::Sync { inode: inode.0 }
            });
            Ok(())
        });
        answer(synced, reply);
    }

    fn opendir(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let listing = self.look(|state| match state.disk.get(inode.0).map(|node| &node.kind) {
            Some(Kind::Directory(entries)) => {
                let entry =
                    |(name, &inode): (&OsString, &Inode)| (name.clone(), inode, kind(state.disk.node(inode)));
                let dots = [".", ".."].map(|name| (name.into(), inode.0, FileType::Directory));
                Ok(dots.into_iter().chain(entries.iter().map(entry)).collect::<Vec<_>>())
            }
            _ => Err(Errno::NOTDIR),
        });
        match listing {
            Ok(listing) => {
                let handle = self.next_listing.fetch_add(1, Ordering::Relaxed);
                self.listings.lock().expect("nobody panics here").insert(handle, listing);
                reply.opened(FileHandle(handle), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listings = self.listings.lock().expect("nobody panics here");
        let listing = listings.get(&handle.0).map(Vec::as_slice).unwrap_or_default();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        for (number, (name, inode, kind)) in listing.iter().enumerate().skip(start) {
            if reply.add(INodeNo(*inode), number as u64 + 1, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.listings.lock().expect("nobody panics here").remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let free = lock(&self.state).free();
        reply.statfs(BLOCKS, free, free, 0, 0, BLOCK_BYTES, MAX_NAME_BYTES, BLOCK_BYTES);
    }
}
