//! What an interrupted making of parity files remembers: lines of text, appended.
//!
//! ```text
//! sealift-parity 1 sha256:<plan>
//! group <number> <hashes of its pieces and of its recovery pieces, in hexadecimal>
//! ```
//!
//! Whoever goes on hashes the recovery pieces again. The pieces themselves are not read again: the plan in the first line
//! covers lengths and times of the files.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::Path;

use fs_err as fs;

use crate::format::parity::PieceHash;
use crate::{Digest, Error};

/// Characters of a hash.
const HASH_CHARS: usize = 2 * size_of::<PieceHash>();

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal(fs::File);

/// Group → hashes of its pieces, then of its recovery pieces.
pub(super) type Done = HashMap<u32, Vec<PieceHash>>;

impl Journal {
    /// Opens the journal of this plan; one of another plan is begun anew.
    pub(super) fn open(path: &Path, plan: &Digest) -> Result<(Self, Done), Error> {
        let title = format!("sealift-parity 1 {plan}\n");
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        if let Some(rest) = text.strip_prefix(&title) {
            let mut file = fs::OpenOptions::new().append(true).open(path)?;
            if !text.ends_with('\n') {
                // A line torn by a power cut must not swallow the next one.
                file.write_all(b"\n")?;
            }
            return Ok((Self(file), rest.lines().filter_map(parse).collect()));
        }
        let mut file = fs::File::create(path)?;
        file.write_all(title.as_bytes())?;
        Ok((Self(file), Done::new()))
    }

    pub(super) fn done(&mut self, group: u32, hashes: &[PieceHash]) -> io::Result<()> {
        self.0.write_all(format!("group {group} {}\n", hex::encode(hashes.as_flattened())).as_bytes())
    }
}

/// Lines that make no sense (a torn one) are passed over.
fn parse(line: &str) -> Option<(u32, Vec<PieceHash>)> {
    let (group, hashes) = line.strip_prefix("group ")?.split_once(' ')?;
    if hashes.is_empty() || !hashes.len().is_multiple_of(HASH_CHARS) {
        return None;
    }
    let bytes = hex::decode(hashes).ok()?;
    let (hashes, _) = bytes.as_chunks();
    Some((group.parse().ok()?, hashes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_torn_does_not_count_and_another_plan_begins_anew() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("journal");
        let plan = Digest::of(b"plan");
        let (mut journal, done) = Journal::open(&path, &plan).unwrap();
        assert!(done.is_empty());
        journal.done(3, &[[1; 16], [2; 16]]).unwrap();
        journal.done(4, &[[3; 16]]).unwrap();
        drop(journal);
        let whole = fs::read_to_string(&path).unwrap();
        let expected = [(3, vec![[1; 16], [2; 16]]), (4, vec![[3; 16]])];
        assert_eq!(Journal::open(&path, &plan).unwrap().1, expected.clone().into());
        for cut in 0..HASH_CHARS {
            fs::write(&path, &whole[..whole.len() - 2 - cut]).unwrap();
            assert_eq!(Journal::open(&path, &plan).unwrap().1, [expected[0].clone()].into(), "{cut}");
            // What follows a torn line counts.
            Journal::open(&path, &plan).unwrap().0.done(5, &[[9; 16]]).unwrap();
            let found = Journal::open(&path, &plan).unwrap().1;
            assert_eq!(found.get(&5), Some(&vec![[9; 16]]), "{cut}");
        }
        assert!(Journal::open(&path, &Digest::of(b"other")).unwrap().1.is_empty());
        assert!(Journal::open(&path, &plan).unwrap().1.is_empty());
    }
}
