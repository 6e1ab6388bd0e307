//! Directories held in memory: to lay them out again, and to see what has changed in one.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::symlink;

/// All that lies below a directory, by its path from there.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tree(BTreeMap<PathBuf, Node>);

#[derive(Clone, PartialEq, Eq)]
enum Node {
    Directory,
    File { mode: u32, content: Vec<u8> },
    Link(PathBuf),
}

impl Tree {
    /// Reads what lies below `dir`.
    #[must_use]
    pub fn read(dir: &Path) -> Self {
        let mut tree = Self::default();
        tree.take(dir, Path::new(""));
        tree
    }

    fn take(&mut self, root: &Path, below: &Path) {
        for entry in fs_err::read_dir(root.join(below)).expect("a directory") {
            let entry = entry.expect("an entry of a directory");
            let path = below.join(entry.file_name());
            let metadata = entry.metadata().expect("an entry is there");
            let node = if metadata.is_dir() {
                self.take(root, &path);
                Node::Directory
            } else if metadata.is_symlink() {
                Node::Link(fs_err::read_link(entry.path()).expect("a link"))
            } else {
                let content = fs_err::read(entry.path()).expect("a file");
                Node::File { mode: metadata.permissions().mode(), content }
            };
            self.0.insert(path, node);
        }
    }

    /// Only what lies at, or below, one of these names.
    #[must_use]
    pub fn only(mut self, names: &[&str]) -> Self {
        self.0.retain(|path, _| names.iter().any(|name| path.starts_with(name)));
        self
    }

    /// All but what lies at, or below, this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|path, _| !path.starts_with(name));
        self
    }

    /// Takes in another one, below a path.
    pub fn join(&mut self, below: &str, other: &Self) {
        self.0.extend(other.0.iter().map(|(path, node)| (Path::new(below).join(path), node.clone())));
    }

    /// Whether any file has this text in it.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        let has = |content: &[u8]| content.windows(text.len()).any(|part| part == text.as_bytes());
        self.0.values().any(|node| matches!(node, Node::File { content, .. } if has(content)))
    }

    /// Lays it out in `dir`, which is made.
    pub fn write(&self, dir: &Path) {
        fs_err::create_dir_all(dir).expect("a directory");
        for (path, node) in &self.0 {
            let path = dir.join(path);
            match node {
                Node::Directory => fs_err::create_dir_all(path).expect("a directory"),
                Node::Link(target) => symlink(target, path).expect("a link"),
                Node::File { mode, content } => {
                    fs_err::write(&path, content).expect("a file");
                    let mode = std::fs::Permissions::from_mode(*mode);
                    fs_err::set_permissions(path, mode).expect("the owner may do this");
                }
            }
        }
    }

    /// The paths of its files and links.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let files = self.0.iter().filter(|(_, node)| **node != Node::Directory);
        files.map(|(path, _)| path.display().to_string()).collect()
    }

    /// What is not the same in the other one.
    #[must_use]
    pub fn changes(&self, other: &Self) -> Vec<String> {
        let paths: BTreeSet<&PathBuf> = self.0.keys().chain(other.0.keys()).collect();
        let changed = paths.into_iter().filter(|path| self.0.get(*path) != other.0.get(*path));
        changed.map(|path| path.display().to_string()).collect()
    }
}

/// By its names: contents are long.
impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
