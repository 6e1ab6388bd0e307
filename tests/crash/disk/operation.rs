//! What changes a disk, and what makes changes last.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Content, Disk, Inode, Kind, Node};

/// One change, or one wait until changes are durable.
#[derive(Clone)]
pub(crate) enum Operation {
    /// Something new and empty: a file, a directory, a link.
    Create { place: Place, inode: Inode, node: Node },
    /// Another name for a file.
    Link { place: Place, inode: Inode },
    /// A name goes; what had it may have others.
    Remove { place: Place, inode: Inode },
    /// A name is replaced by another, and what had that one loses it: all at once.
    Rename { from: Place, to: Place, inode: Inode },
    /// Bytes of a file.
    Write { inode: Inode, offset: u64, data: Arc<[u8]> },
    /// The length of a file.
    Resize { inode: Inode, size: u64 },
    /// Permissions.
    Mode { inode: Inode, mode: u32 },
    /// fsync: the content of this file, or the names in this directory, are durable.
    Sync { inode: Inode },
    /// syncfs: everything is durable.
    SyncAll,
}

/// A name in a directory.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) dir: Inode,
    pub(crate) name: OsString,
}

impl Place {
    pub(crate) fn new(dir: Inode, name: &OsStr) -> Self {
        Self { dir, name: name.to_owned() }
    }
}

impl Operation {
    /// The directories whose names it changes.
    pub(super) fn directories(&self) -> Vec<Inode> {
        match self {
            Self::Create { place, .. } | Self::Link { place, .. } | Self::Remove { place, .. } => {
                vec![place.dir]
            }
            Self::Rename { from, to, .. } => vec![from.dir, to.dir],
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { place, .. } => write!(f, "create `{}`", place.name.display()),
            Self::Link { place, .. } => write!(f, "link `{}`", place.name.display()),
            Self::Remove { place, .. } => write!(f, "remove `{}`", place.name.display()),
            Self::Rename { from, to, .. } => {
                write!(f, "rename `{}` to `{}`", from.name.display(), to.name.display())
            }
            Self::Write { inode, offset, data } => {
                write!(f, "write {} bytes at {offset} of {inode}", data.len())
            }
            Self::Resize { inode, size } => write!(f, "resize {inode} to {size}"),
            Self::Mode { inode, mode } => write!(f, "chmod {inode} to {mode:o}"),
            Self::Sync { inode } => write!(f, "fsync {inode}"),
            Self::SyncAll => f.write_str("syncfs"),
        }
    }
}

impl Disk {
    /// Does it. On a disk that has not seen everything before, an operation does what is left of it to do.
    pub(crate) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Create { place, inode, node } => {
                self.nodes.entry(*inode).or_insert_with(|| node.clone());
                self.name(place, *inode);
            }
            Operation::Link { place, inode } => self.name(place, *inode),
            Operation::Remove { place, inode } => self.unname(place, *inode),
            Operation::Rename { from, to, inode } => {
                self.unname(from, *inode);
                self.name(to, *inode);
            }
            Operation::Write { inode, offset, data } => {
                self.change(*inode, |content| content.write(*offset, data));
            }
            Operation::Resize { inode, size } => self.change(*inode, |content| content.resize(*size)),
            Operation::Mode { inode, mode } => {
                if let Some(node) = self.get_mut(*inode) {
                    node.mode = *mode;
                }
            }
            Operation::Sync { .. } | Operation::SyncAll => {}
        }
    }

    fn name(&mut self, place: &Place, inode: Inode) {
        self.entries_mut(place.dir).insert(place.name.clone(), inode);
    }

    fn unname(&mut self, place: &Place, inode: Inode) {
        let entries = self.entries_mut(place.dir);
        if entries.get(&place.name) == Some(&inode) {
            entries.remove(&place.name);
        }
    }

    fn change(&mut self, inode: Inode, change: impl FnOnce(&mut Content)) {
        change(self.content_mut(inode));
        self.nodes.entry(inode).and_modify(|node| node.modified = SystemTime::now());
    }
}

/// The same as it was made: without content, and without names in it.
pub(super) fn as_made(node: &Node) -> Node {
    let kind = match &node.kind {
        Kind::File(_) => Kind::File(Content::default()),
        Kind::Directory(_) => Kind::Directory(std::collections::BTreeMap::new()),
        Kind::Link(target) => Kind::Link(target.clone()),
    };
    Node { kind, ..node.clone() }
}
