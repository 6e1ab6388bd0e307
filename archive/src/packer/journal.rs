//! What an interrupted packing remembers: lines of text, appended. Nothing in it is believed without hashing.
//!
//! ```text
//! sealift-pack 1 sha256:<plan>
//! part sha256:<blob> <bytes that are on disk>
//! done sha256:<blob>
//! ```

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::path::Path;

use fs_err as fs;

use crate::{Digest, Error};

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal(fs::File);

/// What an earlier try left.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Blobs that are said to be complete.
    pub(super) done: HashSet<Digest>,
    /// Blobs of which this many bytes are said to be there.
    pub(super) parts: HashMap<Digest, u64>,
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        self.done.is_empty() && self.parts.is_empty()
    }
}

impl Journal {
    /// Opens the journal of this plan; one of another plan is begun anew.
    pub(super) fn open(path: &Path, plan: Digest) -> Result<(Self, Found), Error> {
        let title = format!("sealift-pack 1 {plan}\n");
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        if let Some(rest) = text.strip_prefix(&title) {
            let mut file = fs::OpenOptions::new().append(true).open(path)?;
            if !text.ends_with('\n') {
                // A line torn by a power cut must not swallow the next one.
                file.write_all(b"\n")?;
            }
            return Ok((Self(file), read(rest)));
        }
        let mut file = fs::File::create(path)?;
        file.write_all(title.as_bytes())?;
        Ok((Self(file), Found::default()))
    }

    pub(super) fn done(&mut self, blob: &Digest) -> std::io::Result<()> {
        self.0.write_all(format!("done {blob}\n").as_bytes())
    }

    pub(super) fn part(&mut self, blob: &Digest, bytes: u64) -> std::io::Result<()> {
        self.0.write_all(format!("part {blob} {bytes}\n").as_bytes())
    }
}

/// Later lines win; lines that make no sense (a torn one) are passed over.
fn read(text: &str) -> Found {
    let mut found = Found::default();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (word, blob) = (words.next(), words.next().and_then(|w| w.parse::<Digest>().ok()));
        match (word, blob, words.next()) {
            (Some("done"), Some(blob), None) => {
                found.parts.remove(&blob);
                found.done.insert(blob);
            }
            (Some("part"), Some(blob), Some(bytes)) => {
                if let Ok(bytes) = bytes.parse() {
                    found.done.remove(&blob);
                    found.parts.insert(blob, bytes);
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_lines_win_and_torn_ones_do_not_count() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let text = format!("part {a} 10\npart {b} 7\ndone {a}\npart {b} 0\ndone {b}x\ndone sha256:12");
        let found = read(&text);
        assert_eq!(found.done, [a].into());
        assert_eq!(found.parts, [(b, 0)].into());
    }

    #[test]
    fn another_plan_begins_anew() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("journal");
        let (plan, blob) = (Digest::of(b"plan"), Digest::of(b"blob"));
        Journal::open(&path, plan).unwrap().0.done(&blob).unwrap();
        assert_eq!(Journal::open(&path, plan).unwrap().1.done, [blob].into());
        assert!(Journal::open(&path, Digest::of(b"other")).unwrap().1.is_empty());
        assert!(Journal::open(&path, plan).unwrap().1.is_empty());
    }
}
