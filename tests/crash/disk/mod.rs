//! A disk in memory: what lies on it, how operations change it, and what a power cut leaves of it.
//!
//! The file system of these tests serves such a disk and logs every [`Operation`] that changes it; [`crash_states`]
//! replays the log on a copy. So there is one model of a disk, and what was logged is what was done.

mod content;
mod crash;
mod operation;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fs_err as fs;
use fs_err::os::unix::fs::symlink;

pub(crate) use content::Content;
pub(crate) use crash::{crash_state, crash_states};
pub(crate) use operation::{Operation, Place};

/// Number of a file, directory or link.
pub(crate) type Inode = u64;
/// Number of the directory at the top; FUSE wants it so.
pub(crate) const ROOT: Inode = 1;
/// Permissions of files and directories that need no others.
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

/// What lies on a disk.
#[derive(Clone)]
pub(crate) struct Disk {
    nodes: BTreeMap<Inode, Node>,
}

/// A file, a directory or a link, under whatever names.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    /// Not part of what a power cut leaves: nothing that is tested depends on it to the second.
    pub(crate) modified: SystemTime,
}

#[derive(Clone)]
pub(crate) enum Kind {
    File(Content),
    Directory(BTreeMap<OsString, Inode>),
    Link(PathBuf),
}

impl Node {
    pub(crate) fn new(kind: Kind, mode: u32) -> Self {
        Self { kind, mode, modified: SystemTime::now() }
    }
}

impl Disk {
    /// A disk with nothing on it.
    pub(crate) fn empty() -> Self {
        let root = Node::new(Kind::Directory(BTreeMap::new()), DIRECTORY_MODE);
        Self { nodes: [(ROOT, root)].into() }
    }

    /// A disk with what lies below `dir`; hard links stay what they are.
    pub(crate) fn read(dir: &Path) -> Self {
        let mut disk = Self::empty();
        disk.take(ROOT, dir, &mut BTreeMap::new());
        disk
    }

    fn take(&mut self, parent: Inode, dir: &Path, seen: &mut BTreeMap<u64, Inode>) {
        for entry in fs::read_dir(dir).expect("a directory that can be read") {
            let entry = entry.expect("an entry of the directory");
            let (path, name) = (entry.path(), entry.file_name());
            let meta = fs::symlink_metadata(&path).expect("what the entry is");
            let known = seen.get(&meta.ino()).copied();
            let inode = known.unwrap_or_else(|| {
                let kind = if meta.is_dir() {
                    Kind::Directory(BTreeMap::new())
                } else if meta.is_symlink() {
                    Kind::Link(fs::read_link(&path).expect("where the link leads"))
                } else {
                    Kind::File(fs::read(&path).expect("the content of the file").into())
                };
                self.add(Node::new(kind, meta.permissions().mode() & 0o7777))
            });
            self.entries_mut(parent).insert(name, inode);
            if meta.is_dir() {
                self.take(inode, &path, seen);
            } else {
                seen.insert(meta.ino(), inode);
            }
        }
    }

    /// Lays everything out below `dir`, which is made.
    pub(crate) fn write(&self, dir: &Path) {
        let mut written = BTreeMap::new();
        self.walk(|path, inode, node| {
            let target = dir.join(path);
            if let Some(first) = written.get(&inode) {
                return fs::hard_link(first, &target).expect("a hard link");
            }
            let usual = match &node.kind {
                Kind::Directory(_) => {
                    fs::create_dir(&target).expect("a directory");
                    DIRECTORY_MODE
                }
                Kind::Link(leads_to) => return symlink(leads_to, &target).expect("a link"),
                Kind::File(content) => {
                    fs::write(&target, content.bytes()).expect("a file");
                    written.insert(inode, target.clone());
                    FILE_MODE
                }
            };
            if node.mode != usual {
                let mode = std::fs::Permissions::from_mode(node.mode);
                fs::set_permissions(&target, mode).expect("its permissions");
            }
        });
    }

    /// The paths of all that is there.
    pub(crate) fn names(&self) -> Vec<PathBuf> {
        let mut names = Vec::new();
        self.walk(|path, _, _| names.push(path.to_owned()));
        names
    }

    /// A number that is the same for disks that look the same.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        let mut order = BTreeMap::new();
        self.walk(|path, inode, node| {
            // Inodes are told apart by when they were met first: their numbers mean nothing.
            let next = order.len();
            (path, *order.entry(inode).or_insert(next), node.mode).hash(&mut hash);
            match &node.kind {
                Kind::File(content) => (0, content.fingerprint()).hash(&mut hash),
                Kind::Directory(_) => 1.hash(&mut hash),
                Kind::Link(target) => (2, target).hash(&mut hash),
            }
        });
        hash.finish()
    }

    /// Calls `visit` for everything that has a name, directories before what is in them.
    fn walk(&self, mut visit: impl FnMut(&Path, Inode, &Node)) {
        let mut to_come = vec![(PathBuf::new(), ROOT)];
        while let Some((path, inode)) = to_come.pop() {
            let node = self.node(inode);
            visit(&path, inode, node);
            if let Kind::Directory(entries) = &node.kind {
                to_come.extend(entries.iter().rev().map(|(name, &inode)| (path.join(name), inode)));
            }
        }
    }

    /// What is behind a number, named or not.
    pub(crate) fn node(&self, inode: Inode) -> &Node {
        self.get(inode).expect("numbers come from the disk itself")
    }

    pub(crate) fn get(&self, inode: Inode) -> Option<&Node> {
        self.nodes.get(&inode)
    }

    pub(crate) fn get_mut(&mut self, inode: Inode) -> Option<&mut Node> {
        self.nodes.get_mut(&inode)
    }

    /// What has this name in a directory.
    pub(crate) fn find(&self, parent: Inode, name: &OsStr) -> Option<Inode> {
        match &self.get(parent)?.kind {
            Kind::Directory(entries) => entries.get(name).copied(),
            _ => None,
        }
    }

    /// How many names a file has.
    pub(crate) fn links(&self, inode: Inode) -> usize {
        let directories = self.nodes.values().filter_map(|node| match &node.kind {
            Kind::Directory(entries) => Some(entries),
            _ => None,
        });
        directories.flat_map(BTreeMap::values).filter(|&&entry| entry == inode).count()
    }

    /// How many blocks of this size all of it takes.
    pub(crate) fn blocks(&self, block_bytes: u64) -> u64 {
        let directories = self.nodes.values().filter_map(|node| match &node.kind {
            Kind::Directory(entries) => Some(entries),
            _ => None,
        });
        let named: BTreeSet<Inode> = directories.flat_map(BTreeMap::values).copied().collect();
        let blocks = |inode: Inode| match &self.node(inode).kind {
            Kind::File(content) => content.len().div_ceil(block_bytes),
            Kind::Directory(_) => 1,
            Kind::Link(_) => 0,
        };
        named.into_iter().map(blocks).sum()
    }

    /// The number of what is made next.
    pub(crate) fn next_inode(&self) -> Inode {
        self.nodes.last_key_value().map_or(ROOT, |(last, _)| last + 1)
    }

    fn add(&mut self, node: Node) -> Inode {
        let inode = self.next_inode();
        self.nodes.insert(inode, node);
        inode
    }

    fn entries_mut(&mut self, inode: Inode) -> &mut BTreeMap<OsString, Inode> {
        match self.nodes.get_mut(&inode).map(|node| &mut node.kind) {
            Some(Kind::Directory(entries)) => entries,
            _ => panic!("{inode} is no directory"),
        }
    }

    fn content_mut(&mut self, inode: Inode) -> &mut Content {
        match self.nodes.get_mut(&inode).map(|node| &mut node.kind) {
            Some(Kind::File(content)) => content,
            _ => panic!("{inode} is no file"),
        }
    }
}
