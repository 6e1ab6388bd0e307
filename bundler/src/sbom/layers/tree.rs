//! The tree that layers add up to, of the few files that count.

use std::collections::{BTreeMap, VecDeque};

use super::scan::{Layer, Node};
use super::tar::normalise;

/// Most symbolic links on the way to one file, as Linux has it.
const MAX_LINKS: usize = 40;

/// What an image holds at the paths that were kept of its layers. Directories need not be there to be gone through.
#[derive(Debug)]
pub(in crate::sbom) struct Tree<T> {
    nodes: BTreeMap<String, Node<T>>,
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sbom) enum Lookup<'a, T> {
    /// A file, and where it lies when all links have been followed.
    File(&'a T, String),
    /// Nothing; links, if there are any on the way, lead to this path.
    Nothing(String),
    /// Links that go round.
    Loop,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self { nodes: BTreeMap::new() }
    }
}

impl<T> Tree<T> {
    /// Puts a layer on top. Its whiteouts take away what lies below it, never what it brings itself.
    pub(in crate::sbom) fn apply(&mut self, layer: &Layer<T>) {
        for dir in &layer.opaque {
            if let Some(dir) = self.resolve(dir) {
                self.remove_below(&dir);
            }
        }
        for path in &layer.whiteouts {
            if let Some(path) = self.place(path) {
                self.remove_below(&path);
                self.nodes.remove(&path);
            }
        }
        for (path, node) in &layer.nodes {
            // A path below links that go round cannot be written to, and was not.
            if let Some(path) = self.place(path) {
                self.put(path, node.clone());
            }
        }
    }

    /// Follows links to a file.
    pub(in crate::sbom) fn look_up(&self, path: &str) -> Lookup<'_, T> {
        match self.resolve(path) {
            None => Lookup::Loop,
            Some(path) => match self.nodes.get(&path) {
                Some(Node::File(file)) => Lookup::File(file, path),
                _ => Lookup::Nothing(path),
            },
        }
    }

    /// The files right in a directory, links followed: name → file.
    pub(in crate::sbom) fn files_in(&self, dir: &str) -> impl Iterator<Item = (&str, &T)> {
        let start = self.resolve(dir).map(|dir| format!("{dir}/"));
        let below = start.into_iter().flat_map(|start| {
            let len = start.len();
            let from_here = self.nodes.range(start.clone()..);
            from_here.take_while(move |(path, _)| path.starts_with(&start)).map(move |(p, n)| (&p[len..], n))
        });
        below.filter_map(|(name, node)| match node {
            Node::File(file) if !name.contains('/') => Some((name, &**file)),
            _ => None,
        })
    }

    fn put(&mut self, path: String, node: Node<T>) {
        // What has something below it is a directory, whatever it was before.
        for (at, _) in path.match_indices('/') {
            if let Some(above @ (Node::File(_) | Node::Other)) = self.nodes.get_mut(&path[..at]) {
                *above = Node::Directory;
            }
        }
        if !matches!(node, Node::Directory) {
            self.remove_below(&path);
        }
        self.nodes.insert(path, node);
    }

    fn remove_below(&mut self, dir: &str) {
        if dir.is_empty() {
            return self.nodes.clear();
        }
        let start = format!("{dir}/");
        let below: Vec<String> = self
            .nodes
            .range(start.clone()..)
            .map(|(path, _)| path.clone())
            .take_while(|path| path.starts_with(&start))
            .collect();
        for path in below {
            self.nodes.remove(&path);
        }
    }

    /// Where an entry of a layer comes to lie: links above it are followed, the entry itself is what is replaced.
    fn place(&self, path: &str) -> Option<String> {
        match path.rsplit_once('/') {
            None => Some(path.to_owned()),
            Some((dir, name)) => {
                let dir = self.resolve(dir)?;
                Some(if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") })
            }
        }
    }

    /// Follows all links, never out of the root; `None` if they go round.
    fn resolve(&self, path: &str) -> Option<String> {
        let mut ahead: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut at = String::new();
        let mut links = 0;
        while let Some(part) = ahead.pop_front() {
            let next = normalise(&format!("{at}/{part}"));
            if let Some(Node::Link(target)) = self.nodes.get(&next) {
                links += 1;
                if links > MAX_LINKS {
                    return None;
                }
                if target.starts_with('/') {
                    at.clear();
                }
                for part in target.split('/').rev() {
                    ahead.push_front(part.to_owned());
                }
            } else {
                at = next;
            }
        }
        Some(at)
    }
}
