//! One layer, read once: the files that count, and whatever stands, falls or links on the way to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io::{self, Read};
use std::sync::Arc;

use super::tar::{Kind, Walk, normalise};

/// Most places that are kept of one layer.
const MAX_KEPT: usize = 16 << 10;
/// Longest target of a link, in bytes, as Linux has it.
const MAX_TARGET: usize = 4096;

/// Marks in layers: `.wh.NAME` takes NAME of the layers below away, the second all that is in its directory. Names that
/// begin like the third are notes of an old file system (aufs) to itself.
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
const NOTE: &str = ".wh..wh.";

/// Says which files count, and makes something of them.
pub(in crate::sbom) trait Selection {
    /// What a file counts as.
    type Kind: Copy + Debug;
    /// What is made of it.
    type File;

    /// What the file at this path counts as, if it does.
    fn kind(&self, path: &str) -> Option<Self::Kind>;

    /// Whether files that count may lie below this path.
    fn leads_to(&self, path: &str) -> bool;

    /// Makes something of a file of `size` bytes; it need not read all of them. Errors are those of the layer.
    fn take(&mut self, kind: Self::Kind, size: u64, content: &mut dyn Read) -> io::Result<Self::File>;
}

/// What one layer does to the tree below it.
#[derive(Debug)]
pub(in crate::sbom) struct Layer<T> {
    pub(super) nodes: BTreeMap<String, Node<T>>,
    pub(super) whiteouts: BTreeSet<String>,
    pub(super) opaque: BTreeSet<String>,
}

impl<T> Layer<T> {
    /// Whether an image is the same with and without it, as far as files that count go.
    pub(in crate::sbom) fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.whiteouts.is_empty() && self.opaque.is_empty()
    }

    /// The memory that paths and links take, in bytes, less what is made of files.
    pub(in crate::sbom) fn weight(&self) -> u64 {
        let of_node = |(path, node): (&String, &Node<T>)| match node {
            Node::Link(target) => path.len() + target.len(),
            Node::File(_) | Node::Directory | Node::Other => path.len(),
        };
        let paths = self.whiteouts.iter().chain(&self.opaque).map(String::len);
        (self.nodes.iter().map(of_node).chain(paths).sum::<usize>()) as u64
    }
}

/// What stands at a path.
#[derive(Debug)]
pub(super) enum Node<T> {
    File(Arc<T>),
    Directory,
    /// A symbolic link, with its target as written.
    Link(String),
    Other,
}

// Derived, it would ask `T` for it.
impl<T> Clone for Node<T> {
    fn clone(&self) -> Self {
        match self {
            Self::File(file) => Self::File(Arc::clone(file)),
            Self::Directory => Self::Directory,
            Self::Link(target) => Self::Link(target.clone()),
            Self::Other => Self::Other,
        }
    }
}

/// Files that count only because others are hard links to them: path → what it counts as.
pub(in crate::sbom) type Linked<K> = BTreeMap<String, K>;

/// What came of reading a layer.
#[derive(Debug)]
pub(in crate::sbom) enum Scan<T, K> {
    Layer(Layer<T>),
    /// Files that count are hard links to files that have passed by then: read it again with these too.
    Again(Linked<K>),
}

/// Walks through the tar. `linked` is empty the first time.
pub(super) fn scan<S: Selection>(
    tar: impl Read,
    selection: &mut S,
    linked: &Linked<S::Kind>,
) -> io::Result<Scan<S::File, S::Kind>> {
    let mut walk = Walk::new(tar);
    let mut layer = Layer { nodes: BTreeMap::new(), whiteouts: BTreeSet::new(), opaque: BTreeSet::new() };
    let mut targets: BTreeMap<String, Arc<S::File>> = BTreeMap::new();
    let mut lost = Linked::new();
    while let Some(entry) = walk.next()? {
        let path = entry.path;
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if name.starts_with(WHITEOUT) {
            layer.note_whiteout(dir, name, selection);
        } else if let Some(kind) = selection.kind(&path).or_else(|| linked.get(&path).copied()) {
            let node = match entry.kind {
                Kind::File(size) => {
                    let file = Arc::new(selection.take(kind, size, &mut walk.content())?);
                    if linked.contains_key(&path) {
                        targets.insert(path.clone(), Arc::clone(&file));
                    }
                    Node::File(file)
                }
                Kind::HardLink(target) if target.len() <= MAX_TARGET => {
                    let target = normalise(&target);
                    match (layer.nodes.get(&target), targets.get(&target)) {
                        (Some(Node::File(file)), _) | (_, Some(file)) => Node::File(Arc::clone(file)),
                        _ => {
                            lost.insert(target, kind);
                            Node::Other
                        }
                    }
                }
                Kind::Symlink(target) if target.len() <= MAX_TARGET => Node::Link(target),
                Kind::Directory => Node::Directory,
                _ => Node::Other,
            };
            if selection.kind(&path).is_some() {
                layer.nodes.insert(path, node);
            }
        } else if selection.leads_to(&path) {
            let node = match entry.kind {
                Kind::Directory => Node::Directory,
                Kind::Symlink(target) if target.len() <= MAX_TARGET => Node::Link(target),
                _ => Node::Other,
            };
            layer.nodes.insert(path, node);
        }
        if layer.nodes.len() + layer.whiteouts.len() + layer.opaque.len() + lost.len() > MAX_KEPT {
            let why = "it has more package databases than any layer does";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
    }
    // What is lost the second time is not there, and its link leads nowhere.
    Ok(if lost.is_empty() || !linked.is_empty() { Scan::Layer(layer) } else { Scan::Again(lost) })
}

impl<T> Layer<T> {
    fn note_whiteout(&mut self, dir: &str, name: &str, selection: &impl Selection) {
        if name == OPAQUE {
            if selection.leads_to(dir) {
                self.opaque.insert(dir.to_owned());
            }
        } else if !name.starts_with(NOTE) {
            let name = &name[WHITEOUT.len()..];
            let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
            if selection.kind(&path).is_some() || selection.leads_to(&path) {
                self.whiteouts.insert(path);
            }
        }
    }
}
