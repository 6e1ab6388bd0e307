//! Files of noise are protected, damaged and mended: what parity does, without an archive around it.

mod making;
mod reading;
mod repairing;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fs_err as fs;
use tempfile::TempDir;

use super::mender::Copies;
use super::pieces::PlainFile;
use super::*;
use crate::format::parity::Index;
use crate::format::volume::{Cuts, HEADER_LEN, Header};
use crate::medium::Medium;
use crate::{Digest, Error, Progress, Unwatched};

/// Three volumes of 2,000,000 bytes in all: 490 pieces in 2 groups, 25 of each of which can be made again.
const LENGTHS: [usize; 3] = [900_000, 700_001, 400_000];
const PIECE: usize = 4096;
const HEADER_BYTES: usize = 176;

struct Bench {
    dir: TempDir,
    plan: Plan,
    content: Vec<Vec<u8>>,
}

/// Numbers that look like chance, and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        dice.below(1);
        bytes.extend_from_slice(&dice.0.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

impl Bench {
    fn new(amount: &str, most_bytes: Option<u64>) -> Self {
        let dir = TempDir::new().unwrap();
        let stretches: Vec<Vec<u8>> =
            (1..).zip(LENGTHS).map(|(seed, len)| noise(seed, len - HEADER_BYTES)).collect();
        let lengths = stretches.iter().map(|stretch| stretch.len() as u64).collect();
        let cuts = Cuts { packing: Digest::of(b"packing"), lengths };
        let volume = |(header, stretch): (Header, &Vec<u8>)| {
            [Header { digest: Digest::of(stretch), ..header }.encode(), stretch.clone()].concat()
        };
        let content: Vec<Vec<u8>> = cuts.headers().zip(&stretches).map(volume).collect();
        let mut files = Vec::new();
        for (number, bytes) in (1..).zip(&content) {
            let path = dir.path().join(format!("acme.{number:03}.tar.zst"));
            fs::write(&path, bytes).unwrap();
            files.push((path, bytes.len() as u64));
        }
        let files = Files::of(cuts.set(), HEADER_LEN, files, "acme");
        let plan = Plan::new(files, amount.parse().unwrap(), dir.path(), most_bytes).unwrap();
        plan.make(&Unwatched).unwrap();
        Self { dir, plan, content }
    }

    fn volume(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!("acme.{number:03}.tar.zst"))
    }

    fn index(&self) -> Index {
        index_of(&PlainFile::at(&self.plan.files[0].path)).unwrap()
    }

    /// The files as they are, each in one copy.
    fn mender(&self) -> Mender {
        let copies = |path: &PathBuf| -> Copies {
            if path.exists() { vec![Arc::new(PlainFile::at(path))] } else { Vec::new() }
        };
        let archive = (1..=LENGTHS.len()).map(|number| copies(&self.volume(number))).collect();
        let parity = self.plan.files.iter().map(|file| copies(&file.path)).collect();
        Mender::new(self.index(), archive, parity, "acme".to_owned())
    }

    /// Repairs, compares every byte, and puts everything back as it was.
    fn expect_repaired(&self, what: &str) -> Repaired {
        let into = self.dir.path().join("into");
        let repaired = self.mender().repair(&into, &Unwatched).and_then(Written::keep);
        let repaired = repaired.unwrap_or_else(|e| panic!("{what}: {e}"));
        for file in &repaired.files {
            assert!(fs::read(&file.path).unwrap() == self.content[file.number - 1], "{what}: {file:?}");
        }
        let left = fs::read_dir(&into).unwrap().count();
        assert_eq!(left, repaired.files.len(), "{what}: nothing but whole copies is left");
        fs::remove_dir_all(&into).unwrap();
        self.restore();
        repaired
    }

    fn restore(&self) {
        for (number, bytes) in (1..).zip(&self.content) {
            fs::write(self.volume(number), bytes).unwrap();
        }
    }

    fn change(&self, number: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.volume(number)).unwrap();
        change(&mut bytes);
        fs::write(self.volume(number), bytes).unwrap();
    }
}

/// Stops after so many bytes.
struct StopAfter(AtomicU64);

impl Progress for StopAfter {
    fn advance(&self, bytes: u64) {
        let _ =
            self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.saturating_sub(bytes)));
    }

    fn is_interrupted(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}
