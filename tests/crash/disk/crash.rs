//! What a power cut may leave of a disk, at every place in a log of operations.
//!
//! The rules are POSIX's, made as bad as they can be: of a file, only what was there at its last fsync is certain; of a
//! directory, only the names that it had at its own. File systems in use promise more: they keep the order of changes of
//! names, ext4 with `data=ordered` for one, where a name may be durable long before the content behind it. So each
//! operation is followed by several states:
//!
//! - everything is on the disk;
//! - names are, in order, and content is not: files are as they were at their fsync, or as long as they should be and full
//!   of zeros;
//! - neither is: names that were not followed by an fsync of their directory are lost as well;
//! - the last write is torn: half of it is there;
//! - and, as often as asked for, what the kernel has written back by itself: the names in some directories, the content of
//!   some files, half the content of others.
//!
//! A rename is never seen half done: where one of its two directories is durable, both are, with all that went before.

use std::collections::{BTreeSet, HashSet};

use fastrand::Rng;

use super::operation::as_made;
use super::{Content, Disk, Inode, Kind, Operation};

/// The states that a log leads to.
pub(crate) struct CrashStates {
    /// How many were made.
    pub(crate) made: usize,
    /// Those that look different, and what led there.
    pub(crate) distinct: Vec<(String, Disk)>,
}

/// Makes every state that a power cut may leave. `start` was durable; `shuffles` is how many states are made of what the
/// kernel may have written back by itself after an operation, chosen by `rng`.
pub(crate) fn crash_states(start: &Disk, log: &[Operation], shuffles: usize, rng: &mut Rng) -> CrashStates {
    let mut states = CrashStates { made: 0, distinct: Vec::new() };
    let mut seen = HashSet::new();
    let mut replay = Replay::new(start);
    for (number, operation) in log.iter().enumerate() {
        let mut add = |what: &str, disk: Disk| {
            states.made += 1;
            if seen.insert(disk.fingerprint()) {
                states.distinct.push((format!("operation {number}, {operation}: {what}"), disk));
            }
        };
        if let Operation::Write { inode, offset, data } = operation {
            let half = data[..data.len() / 2].into();
            let mut torn = replay.now.clone();
            torn.apply(&Operation::Write { inode: *inode, offset: *offset, data: half });
            add("half of it", torn);
        }
        replay.take(operation);
        add("all", replay.now.clone());
        add("names, old content", replay.with_names(Unsynced::Lost));
        add("names, zeros", replay.with_names(Unsynced::Zeros));
        add("what was synced", replay.synced.clone());
        add("what was synced, zeros", replay.with_content(replay.synced.clone(), |_| Unsynced::Zeros));
        for _ in 0..shuffles {
            add("some of it", replay.written_back(rng));
        }
    }
    states
}

/// One of the states that a power cut may leave at the end of a log, chosen by `rng`.
pub(crate) fn crash_state(start: &Disk, log: &[Operation], rng: &mut Rng) -> Disk {
    let mut replay = Replay::new(start);
    for operation in log {
        replay.take(operation);
    }
    match rng.u8(..4) {
        0 => replay.now,
        1 => replay.with_names(Unsynced::Zeros),
        2 => replay.synced,
        _ => replay.written_back(rng),
    }
}

/// What becomes of content that was not synced.
#[derive(Clone, Copy)]
enum Unsynced {
    /// As at the last sync.
    Lost,
    /// The new length, but not the bytes.
    Zeros,
    /// The first half of what came since.
    Half,
    /// It is there.
    Kept,
}

/// A disk on the way through a log.
#[derive(Clone)]
struct Replay {
    /// As programs see it.
    now: Disk,
    /// What is certain to be there after a power cut.
    synced: Disk,
    /// Changes of names that are not, oldest first.
    pending: Vec<Operation>,
}

impl Replay {
    fn new(start: &Disk) -> Self {
        Self { now: start.clone(), synced: start.clone(), pending: Vec::new() }
    }

    fn take(&mut self, operation: &Operation) {
        self.now.apply(operation);
        match operation {
            Operation::Sync { inode } => self.sync(*inode),
            Operation::SyncAll => *self = Self::new(&self.now),
            Operation::Create { inode, node, .. } => {
                // It is there as soon as a durable name leads to it.
                self.synced.nodes.insert(*inode, as_made(node));
                self.pending.push(operation.clone());
            }
            Operation::Link { .. } | Operation::Remove { .. } | Operation::Rename { .. } => {
                self.pending.push(operation.clone());
            }
            Operation::Write { .. } | Operation::Resize { .. } | Operation::Mode { .. } => {}
        }
    }

    fn sync(&mut self, inode: Inode) {
        let node = self.now.node(inode);
        match node.kind {
            Kind::Directory(_) => {
                let mode = node.mode;
                self.sync_names(inode);
                self.synced.apply(&Operation::Mode { inode, mode });
            }
            _ => {
                self.synced.nodes.insert(inode, node.clone());
            }
        }
    }

    /// Makes durable what happened to the names in a directory, and what that needs.
    fn sync_names(&mut self, dir: Inode) {
        let mut directories = BTreeSet::from([dir]);
        let mut durable = Vec::new();
        for operation in std::mem::take(&mut self.pending).into_iter().rev() {
            let changes = operation.directories();
            if changes.iter().any(|dir| directories.contains(dir)) {
                directories.extend(changes);
                durable.push(operation);
            } else {
                self.pending.push(operation);
            }
        }
        self.pending.reverse();
        durable.iter().rev().for_each(|operation| self.synced.apply(operation));
    }

    /// All names, and this of the content that was not synced.
    fn with_names(&self, unsynced: Unsynced) -> Disk {
        self.with_content(self.now.clone(), |_| unsynced)
    }

    fn with_content(&self, mut disk: Disk, mut of: impl FnMut(Inode) -> Unsynced) -> Disk {
        for inode in self.unsynced_files() {
            let content = self.content(inode, of(inode));
            if let Some(node) = disk.get_mut(inode) {
                node.kind = Kind::File(content);
            }
        }
        disk
    }

    fn unsynced_files(&self) -> Vec<Inode> {
        let differs =
            |(inode, node): (&Inode, &super::Node)| match (&node.kind, &self.synced.node(*inode).kind) {
                (Kind::File(now), Kind::File(synced)) => (!now.is_same(synced)).then_some(*inode),
                _ => None,
            };
        self.now.nodes.iter().filter_map(differs).collect()
    }

    fn content(&self, inode: Inode, unsynced: Unsynced) -> Content {
        let (Kind::File(now), Kind::File(synced)) =
            (&self.now.node(inode).kind, &self.synced.node(inode).kind)
        else {
            panic!("{inode} is no file");
        };
        match unsynced {
            Unsynced::Kept => now.clone(),
            Unsynced::Lost => synced.clone(),
            Unsynced::Zeros => {
                let mut content = synced.clone();
                content.resize(now.len());
                content
            }
            Unsynced::Half => {
                let mut content = now.clone();
                content.resize(synced.len().min(now.len()).midpoint(now.len()));
                content
            }
        }
    }

    fn written_back(&self, rng: &mut Rng) -> Disk {
        let mut replay = self.clone();
        let directories: BTreeSet<Inode> = self.pending.iter().flat_map(Operation::directories).collect();
        directories.into_iter().filter(|_| rng.bool()).for_each(|dir| replay.sync_names(dir));
        let choices = [Unsynced::Lost, Unsynced::Zeros, Unsynced::Half, Unsynced::Kept];
        replay.with_content(replay.synced.clone(), |_| choices[rng.usize(..choices.len())])
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::Path;

    use super::super::operation::Place;
    use super::super::{Node, ROOT};
    use super::*;

    const FILE: Inode = 2;
    const DIR: Inode = 3;

    fn place(dir: Inode, name: &str) -> Place {
        Place::new(dir, OsStr::new(name))
    }

    fn create(dir: Inode, name: &str, inode: Inode, kind: Kind) -> Operation {
        Operation::Create { place: place(dir, name), inode, node: Node::new(kind, 0o644) }
    }

    /// What a disk looks like: `a=content`, `dir/`.
    fn look(disk: &Disk) -> String {
        let mut seen = Vec::new();
        disk.walk(|path, _, node| match &node.kind {
            _ if path == Path::new("") => {}
            Kind::File(content) => {
                let text: String =
                    content.bytes().iter().map(|&b| if b == 0 { '0' } else { b.into() }).collect();
                seen.push(format!("{}={text}", path.display()));
            }
            _ => seen.push(format!("{}/", path.display())),
        });
        seen.join(" ")
    }

    fn ends(log: &[Operation]) -> BTreeSet<String> {
        let before = crash_states(&Disk::empty(), &log[..log.len() - 1], 0, &mut Rng::with_seed(1));
        let known: HashSet<u64> = before.distinct.iter().map(|(_, disk)| disk.fingerprint()).collect();
        let all = crash_states(&Disk::empty(), log, 0, &mut Rng::with_seed(1));
        all.distinct
            .iter()
            .filter(|(_, disk)| !known.contains(&disk.fingerprint()))
            .map(|(_, d)| look(d))
            .collect()
    }

    fn set(states: &[&str]) -> BTreeSet<String> {
        states.iter().map(|&state| state.to_owned()).collect()
    }

    #[test]
    fn only_what_was_synced_is_certain() {
        let file = || create(ROOT, "a", FILE, Kind::File(Content::default()));
        let write = |text: &str| Operation::Write { inode: FILE, offset: 0, data: text.as_bytes().into() };
        let sync = |inode| Operation::Sync { inode };
        let rename = || Operation::Rename { from: place(ROOT, "a"), to: place(DIR, "b"), inode: FILE };
        let dir = || create(ROOT, "dir", DIR, Kind::Directory(std::collections::BTreeMap::new()));
        assert_eq!(ends(&[file(), write("text")]), set(&["a=te", "a=text", "a=0000"]));
        // An fsync of the file gives it no name, and one of the directory no content.
        assert_eq!(look(&replayed(&[file(), write("text"), sync(FILE)]).synced), "");
        assert_eq!(look(&replayed(&[file(), write("text"), sync(ROOT)]).synced), "a=");
        let whole = [file(), write("text"), sync(FILE), sync(ROOT)];
        assert_eq!(look(&replayed(&whole).synced), "a=text");
        let states = crash_states(&Disk::empty(), &whole, 0, &mut Rng::with_seed(1));
        assert!(states.made > states.distinct.len(), "what looks the same is told once");
        // A rename is there in both directories or in neither.
        let log = [file(), dir(), sync(ROOT), rename()];
        assert_eq!(look(&replayed(&log).synced), "a= dir/");
        for synced in [ROOT, DIR] {
            let log = [&log[..], &[sync(synced)]].concat();
            assert_eq!(look(&replayed(&log).synced), "dir/ dir/b=");
        }
        // And a name that comes later needs what came before it.
        let log = [file(), rename(), sync(DIR)];
        assert_eq!(look(&replayed(&[&[dir(), sync(ROOT)], &log[..]].concat()).synced), "dir/ dir/b=");
        assert_eq!(look(&replayed(&[file(), write("text"), Operation::SyncAll]).synced), "a=text");
    }

    fn replayed(log: &[Operation]) -> Replay {
        let mut replay = Replay::new(&Disk::empty());
        for operation in log {
            replay.take(operation);
        }
        replay
    }
}
