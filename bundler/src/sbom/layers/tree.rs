//! The tree that layers add up to, of the few files that count.

use std::collections::{BTreeMap, HashMap};

use super::scan::{Layer, Node};

/// Most symbolic links on the way to one file, as Linux has it.
const MAX_LINKS: usize = 40;
/// Most parts of paths on the way to one file, those of the links included: links can name thousands.
const MAX_STEPS: usize = 512;

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
    /// Links that go round, or on and on.
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
        // Thousands of entries may lie in one folder, which is found once.
        let mut folders: HashMap<&str, Option<String>> = HashMap::new();
        for (path, node) in &layer.nodes {
            let (dir, name) = split(path);
            let dir = folders.entry(dir).or_insert_with(|| self.resolve(dir));
            // A path below links that go round cannot be written to, and was not.
            let Some(path) = dir.as_deref().map(|dir| join(dir, name)) else { continue };
            if self.put(path, node.clone()) {
                folders.clear();
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

    /// Puts an entry in its place, and says whether other paths may lead elsewhere now: links came or went.
    fn put(&mut self, path: String, node: Node<T>) -> bool {
        let is_link = |node: &Node<T>| matches!(node, Node::Link(_));
        // What has something below it is a directory, whatever it was before.
        for (at, _) in path.match_indices('/') {
            if let Some(above @ (Node::File(_) | Node::Other)) = self.nodes.get_mut(&path[..at]) {
                *above = Node::Directory;
            }
        }
        let mut changes_links = is_link(&node);
        if !matches!(node, Node::Directory) {
            changes_links |= self.remove_below(&path).iter().any(is_link);
        }
        changes_links | self.nodes.insert(path, node).as_ref().is_some_and(is_link)
    }

    /// Takes what is below a folder away, and returns it.
    fn remove_below(&mut self, dir: &str) -> Vec<Node<T>> {
        if dir.is_empty() {
            return std::mem::take(&mut self.nodes).into_values().collect();
        }
        let start = format!("{dir}/");
        let below: Vec<String> = self
            .nodes
            .range(start.clone()..)
            .map(|(path, _)| path.clone())
            .take_while(|path| path.starts_with(&start))
            .collect();
        below.iter().filter_map(|path| self.nodes.remove(path)).collect()
    }

    /// Where an entry of a layer comes to lie: links above it are followed, the entry itself is what is replaced.
    fn place(&self, path: &str) -> Option<String> {
        let (dir, name) = split(path);
        Some(join(&self.resolve(dir)?, name))
    }

    /// Follows all links, never out of the root; `None` if they go round, or further than anybody means.
    fn resolve(&self, path: &str) -> Option<String> {
        let mut ahead: Vec<&str> = path.split('/').rev().collect();
        let mut at = String::new();
        let (mut steps, mut links) = (0, 0);
        while let Some(part) = ahead.pop() {
            steps += 1;
            if steps > MAX_STEPS {
                return None;
            }
            let above = at.len();
            match part {
                "" | "." => continue,
                ".." => {
                    at.truncate(at.rfind('/').unwrap_or(0));
                    continue;
                }
                part if at.is_empty() => at.push_str(part),
                part => {
                    at.push('/');
                    at.push_str(part);
                }
            }
            if let Some(Node::Link(target)) = self.nodes.get(&at) {
                links += 1;
                if links > MAX_LINKS {
                    return None;
                }
                at.truncate(if target.starts_with('/') { 0 } else { above });
                ahead.extend(target.split('/').rev());
            }
        }
        Some(at)
    }
}

/// A path as the folder that it is in, and its name there.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}
