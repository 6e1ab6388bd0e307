//! Files of noise are protected, damaged and mended: what parity does, without an archive around it.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fs_err as fs;
use tempfile::TempDir;

use super::mender::{Copies, Known};
use super::pieces::PlainFile;
use super::*;
use crate::format::parity::Index;
use crate::medium::Medium;
use crate::{Digest, Error, Progress, Unwatched};

/// Three volumes of 2,000,000 bytes in all: 490 pieces in 2 groups, 25 of each of which can be made again.
const LENGTHS: [usize; 3] = [900_000, 700_001, 400_000];
const PIECE: usize = 4096;

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
        let content: Vec<Vec<u8>> = (1..).zip(LENGTHS).map(|(seed, len)| noise(seed, len)).collect();
        let mut files = Vec::new();
        for (number, bytes) in (1..).zip(&content) {
            let path = dir.path().join(format!("acme.{number:03}.tar.zst"));
            fs::write(&path, bytes).unwrap();
            files.push((path, bytes.len() as u64));
        }
        let files = Files::of(Digest::of(b"set"), 176, files, "acme");
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
        let repaired = self.mender().repair(&into, &Unwatched).unwrap_or_else(|e| panic!("{what}: {e}"));
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

#[test]
fn what_is_whole_needs_no_repair() {
    let bench = Bench::new("10%", None);
    let survey = bench.mender().survey(&Unwatched).unwrap();
    assert!(survey.is_whole() && survey.is_repairable(), "{survey:?}");
    let (groups, pieces, recovery) = (bench.plan.groups, bench.plan.group_pieces, bench.plan.recovery);
    assert_eq!((groups, pieces, recovery), (2, 245, 25));
    let repaired = bench.mender().repair(&bench.dir.path().join("into"), &Unwatched).unwrap();
    assert!(repaired.files.is_empty() && repaired.pieces == 0);
}

#[test]
fn the_same_files_make_the_same_parity() {
    let (one, other) = (Bench::new("10%", Some(60_000)), Bench::new("10%", Some(60_000)));
    assert!(one.plan.files.len() > 2);
    for (one, other) in one.plan.files.iter().zip(&other.plan.files) {
        let bytes = fs::read(&one.path).unwrap();
        assert!(bytes == fs::read(&other.path).unwrap());
        assert!(bytes.len() as u64 == one.bytes && one.bytes <= 60_000);
    }
    let left: BTreeSet<_> = fs::read_dir(one.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), LENGTHS.len() + one.plan.files.len(), "{left:?}");
}

#[test]
fn a_thousand_flipped_bits_are_mended() {
    const CASES: usize = 25;
    const FLIPS: usize = 40;
    let bench = Bench::new("10%", None);
    let mut dice = Dice(7);
    for case in 0..CASES {
        for _ in 0..FLIPS {
            let number = 1 + dice.below(3);
            let (at, bit) = (dice.below(LENGTHS[number - 1]), dice.below(8));
            bench.change(number, |bytes| bytes[at] ^= 1 << bit);
        }
        let repaired = bench.expect_repaired(&format!("case {case}"));
        assert!((20..=FLIPS).contains(&repaired.pieces), "{case}: {}", repaired.pieces);
    }
}

#[test]
fn runs_of_zeros_and_cuts_are_mended() {
    let bench = Bench::new("10%", None);
    let mut dice = Dice(11);
    for case in 0..10 {
        for _ in 0..5 {
            let number = 1 + dice.below(3);
            let at = dice.below(LENGTHS[number - 1] - PIECE);
            bench.change(number, |bytes| bytes[at..at + PIECE].fill(0));
        }
        let repaired = bench.expect_repaired(&format!("zeros, case {case}"));
        assert!((5..=10).contains(&repaired.pieces), "{case}: {}", repaired.pieces);
    }
    // A group can lose 25 pieces, so both together lose 50 in one run.
    for cut in [1, 100, PIECE, 10 * PIECE, 49 * PIECE] {
        for number in 1..=3 {
            bench.change(number, |bytes| bytes.truncate(bytes.len() - cut));
            let repaired = bench.expect_repaired(&format!("{number} without its last {cut} bytes"));
            assert_eq!(repaired.files.len(), 1);
        }
    }
    bench.change(2, |bytes| bytes.extend_from_slice(b"more"));
    let repaired = bench.expect_repaired("something behind the end");
    assert_eq!((repaired.files.len(), repaired.pieces), (1, 0));
    bench.change(1, |bytes| bytes[100 * PIECE..149 * PIECE].fill(7));
    assert_eq!(bench.expect_repaired("a long run").pieces, 49);
}

#[test]
fn any_so_many_files_can_be_lost() {
    let bench = Bench::new("2", None);
    for lost in [&[1][..], &[2], &[3], &[1, 2], &[1, 3], &[2, 3]] {
        for &number in lost {
            fs::remove_file(bench.volume(number)).unwrap();
        }
        let repaired = bench.expect_repaired(&format!("{lost:?}"));
        let numbers: Vec<usize> = repaired.files.iter().map(|file| file.number).collect();
        assert_eq!(numbers, lost);
    }
}

#[test]
fn parity_that_is_damaged_itself_still_mends() {
    let bench = Bench::new("10%", Some(60_000));
    assert_eq!(bench.plan.recovery, 25);
    let good: Vec<Vec<u8>> = bench.plan.files.iter().map(|file| fs::read(&file.path).unwrap()).collect();
    let mut dice = Dice(23);
    for case in 0..10 {
        // One file is lost, the others have lost some pieces and pages.
        fs::remove_file(&bench.plan.files[1].path).unwrap();
        for file in [0, 2, 3] {
            let mut bytes = good[file].clone();
            for _ in 0..2 {
                let at = dice.below(bytes.len());
                bytes[at] ^= 1;
            }
            fs::write(&bench.plan.files[file].path, bytes).unwrap();
        }
        for _ in 0..10 {
            let at = dice.below(LENGTHS[0]);
            bench.change(1, |bytes| bytes[at] ^= 0x40);
        }
        let mut mender = Mender::find(&[bench.dir.path()], None).unwrap().unwrap();
        let survey = mender.survey(&Unwatched).unwrap();
        assert!(survey.is_repairable() && !survey.parity_damages.is_empty(), "{case}: {survey:?}");
        assert!(survey.parity_damages.iter().any(|damage| damage.is_missing), "{case}");
        let into = bench.dir.path().join("into");
        let repaired = mender.repair(&into, &Unwatched).unwrap();
        assert!(fs::read(&repaired.files[0].path).unwrap() == bench.content[0], "{case}");
        fs::remove_dir_all(&into).unwrap();
        bench.restore();
        for (file, bytes) in bench.plan.files.iter().zip(&good) {
            fs::write(&file.path, bytes).unwrap();
        }
    }
}

#[test]
fn pages_of_the_index_are_found_at_either_end_of_any_file() {
    let bench = Bench::new("10%", Some(60_000));
    let index = bench.index();
    let pages = index.to_pages(1).len();
    let good: Vec<Vec<u8>> = bench.plan.files.iter().map(|file| fs::read(&file.path).unwrap()).collect();
    // All but one place of each page are wiped, each page in another place.
    for shift in 0..2 * good.len() {
        for (number, (file, bytes)) in bench.plan.files.iter().zip(&good).enumerate() {
            let mut bytes = bytes.clone();
            for page in 0..pages {
                for end in 0..2 {
                    if (page + shift) % (2 * good.len()) != 2 * number + end {
                        let at = if end == 0 { page * PIECE } else { bytes.len() - (page + 1) * PIECE };
                        bytes[at..at + PIECE].fill(0);
                    }
                }
            }
            fs::write(&file.path, bytes).unwrap();
        }
        let mender = Mender::find(&[bench.dir.path()], None).unwrap().unwrap();
        assert_eq!(mender.index, index, "{shift}");
        assert!(mender.parity.iter().all(|copies| copies.len() == 1), "{shift}: each knows which it is");
    }
    // One page in no place at all.
    for (file, bytes) in bench.plan.files.iter().zip(&good) {
        let mut bytes = bytes.clone();
        let len = bytes.len();
        bytes[PIECE] ^= 1;
        bytes[len - 2 * PIECE] ^= 1;
        fs::write(&file.path, bytes).unwrap();
    }
    let found = Mender::find(&[bench.dir.path()], Some(index.grid.set()));
    assert!(matches!(found, Err(Error::BadParity { .. })), "{found:?}");
}

#[test]
fn beyond_its_power_it_says_what_is_lost() {
    let bench = Bench::new("10%", None);
    // 52 pieces in one run: 26 of each group, one too many.
    bench.change(1, |bytes| bytes[..52 * PIECE].fill(0));
    let survey = bench.mender().survey(&Unwatched).unwrap();
    let lacks: Vec<(u32, u32)> = survey.beyond.groups.iter().map(|lack| (lack.lost, lack.lacking)).collect();
    assert_eq!(lacks, [(26, 1), (26, 1)]);
    assert_eq!((survey.pieces, survey.beyond.pieces, survey.beyond.bytes), (52, 2, 52 * PIECE as u64));
    let into = bench.dir.path().join("into");
    let error = bench.mender().repair(&into, &Unwatched).unwrap_err();
    assert!(matches!(error, Error::BeyondParity { .. }));
    let said = error.to_string();
    for word in ["212992 bytes", "acme.001.tar.zst", "group 0 lacks 1 of 26", "group 1 lacks 1 of 26"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(!into.exists(), "nothing is written");
    // One group within its power is no help to the other, and only the other is lost.
    bench.change(1, |bytes| bytes[..PIECE].copy_from_slice(&bench.content[0][..PIECE]));
    let survey = bench.mender().survey(&Unwatched).unwrap();
    assert_eq!((survey.beyond.groups.len(), survey.beyond.bytes), (1, 26 * PIECE as u64));
}

#[test]
fn what_one_copy_has_lost_another_may_have() {
    let bench = Bench::new("1%", None);
    let copy = bench.dir.path().join("copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(bench.volume(1), copy.join("acme.001.tar.zst")).unwrap();
    bench.change(1, |bytes| bytes[..100 * PIECE].fill(0));
    let damaged = copy.join("acme.001.tar.zst");
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[100 * PIECE..].fill(0);
    fs::write(&damaged, bytes).unwrap();
    let alone = Mender::find(&[bench.dir.path()], None).unwrap().unwrap().survey(&Unwatched).unwrap();
    assert!(!alone.is_repairable());
    let mut mender = Mender::find(&[bench.dir.path(), copy.as_path()], None).unwrap().unwrap();
    let repaired = mender.repair(&bench.dir.path().join("into"), &Unwatched).unwrap();
    assert_eq!((repaired.files.len(), repaired.pieces), (1, 0));
    assert!(fs::read(&repaired.files[0].path).unwrap() == bench.content[0]);
}

#[test]
fn a_piece_is_known_by_its_content_wherever_its_header_went() {
    let bench = Bench::new("10%", None);
    // Names are swapped and mean nothing; noise has no headers, so only pieces tell.
    fs::rename(bench.volume(1), bench.dir.path().join("x.zst")).unwrap();
    fs::rename(bench.volume(2), bench.volume(1)).unwrap();
    fs::rename(bench.dir.path().join("x.zst"), bench.volume(2)).unwrap();
    let mut mender = Mender::find(&[bench.dir.path()], None).unwrap().unwrap();
    let survey = mender.survey(&Unwatched).unwrap();
    assert!(survey.damages.is_empty(), "{survey:?}");
}

/// A file of which some sectors cannot be read; from some time on, if so wanted.
#[derive(Debug)]
struct Failing {
    file: PlainFile,
    bad: Vec<u64>,
    /// Reads that still work.
    patience: AtomicU64,
}

impl Medium for Failing {
    fn name(&self) -> &str {
        self.file.name()
    }

    fn length(&self) -> Result<u64, Error> {
        self.file.length()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        let range = offset..offset + buffer.len() as u64;
        if self.bad.iter().any(|place| range.contains(place)) {
            let left = self.patience.load(Ordering::SeqCst);
            self.patience.store(left.saturating_sub(1), Ordering::SeqCst);
            if left == 0 {
                return Err(io::Error::from_raw_os_error(5).into());
            }
        }
        self.file.read_exact_at(buffer, offset)
    }
}

#[test]
fn sectors_that_cannot_be_read_are_lost_pieces() {
    let bench = Bench::new("10%", None);
    for patience in [0, 1, 3] {
        let mut mender = bench.mender();
        let bad: Vec<u64> = (0..20).map(|n| n * 40_000 + 512).collect();
        let file = PlainFile::at(&bench.volume(1));
        mender.archive[0] =
            vec![Arc::new(Failing { file, bad: bad.clone(), patience: AtomicU64::new(patience) })];
        let medium = Mended::new(None, mender);
        let mut archive = Vec::new();
        bench.content.iter().for_each(|bytes| archive.extend_from_slice(&bytes[176..]));
        for (number, place) in bad.iter().enumerate() {
            let start = usize::try_from(place - 176).unwrap().saturating_sub(3000);
            let range = start as u64..start as u64 + 10_000;
            let bytes = medium.repair(range).unwrap().unwrap();
            assert!(bytes == archive[start..start + 10_000], "{patience}: {number}");
        }
        let healed = medium.healed();
        assert!((19..=20).contains(&healed.pieces), "{patience}: {healed:?}");
        assert_eq!(healed.files, [bench.volume(1).display().to_string()].into());
    }
}

#[test]
fn each_group_is_mended_once_however_much_is_lost() {
    let bench = Bench::new("1", None);
    fs::remove_file(bench.volume(2)).unwrap();
    let mended = Mended::new(None, bench.mender());
    let mut archive = Vec::new();
    bench.content.iter().for_each(|bytes| archive.extend_from_slice(&bytes[176..]));
    assert_eq!(mended.length().unwrap(), archive.len() as u64);
    assert!(mended.parts().unwrap().missing.is_empty(), "parity makes up for it");
    for start in (0..archive.len()).step_by(100_000) {
        let end = archive.len().min(start + 100_000);
        let mut read = vec![0; end - start];
        let bytes = match mended.read_exact_at(&mut read, start as u64) {
            Ok(()) => read,
            Err(Error::VolumesMissing { numbers, .. }) => {
                assert_eq!(numbers, [2]);
                mended.repair(start as u64..end as u64).unwrap().unwrap()
            }
            Err(error) => panic!("{error}"),
        };
        assert!(bytes == archive[start..end], "{start}");
    }
    assert_eq!(mended.healed().pieces, LENGTHS[1].div_ceil(PIECE));
    assert!(mended.repair(0..archive.len() as u64 + 1).unwrap().is_none());
    // Two are too many: then nobody makes up for them, and whoever waits is told which.
    fs::remove_file(bench.volume(1)).unwrap();
    let mended = Mended::new(None, bench.mender());
    assert_eq!(mended.parts().unwrap().missing, [1, 2]);
    assert!(mended.repair(0..1000).unwrap().is_none());
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

#[test]
fn an_interrupted_making_goes_on_where_it_stopped() {
    let dir = TempDir::new().unwrap();
    // So many pieces that they are not all in memory at a time: 8,000 in 18 groups.
    let path = dir.path().join("acme.tar.zst");
    let content = noise(3, 8000 * PIECE - 5);
    fs::write(&path, &content).unwrap();
    let files = || Files::of(Digest::of(b"set"), 0, vec![(path.clone(), content.len() as u64)], "acme");
    let plan = |out: &str| {
        let out = dir.path().join(out);
        fs::create_dir_all(&out).unwrap();
        Plan::new(files(), "10%".parse().unwrap(), &out, None).unwrap()
    };
    let whole = plan("whole");
    whole.make(&Unwatched).unwrap();
    let expected = fs::read(&whole.files[0].path).unwrap();

    let again = plan("again");
    let stop = StopAfter(AtomicU64::new(again.archive_bytes * 9 / 10));
    assert!(matches!(again.make(&stop), Err(Error::Interrupted)));
    assert!(!again.files[0].path.exists());
    let partial = dir.path().join("again/acme.p01.par.partial");
    let journal = fs::read_to_string(dir.path().join("again/acme.p01.par.partial.journal")).unwrap();
    assert!(journal.lines().count() > 5, "{}", journal.lines().count());
    // A power cut took something of a group that the journal says is done; it is made again, and only it.
    let mut bytes = fs::read(&partial).unwrap();
    let place = usize::try_from(bytes.len() as u64 / 2).unwrap();
    bytes[place..place + PIECE].fill(0);
    fs::write(&partial, bytes).unwrap();
    again.make(&Unwatched).unwrap();
    assert!(fs::read(&again.files[0].path).unwrap() == expected);
    let left = fs::read_dir(dir.path().join("again")).unwrap().count();
    assert_eq!(left, 1);
    // And once more, over what is there: the same. Over anything else: nothing.
    again.make(&Unwatched).unwrap();
    assert!(fs::read(&again.files[0].path).unwrap() == expected);
    let other = Plan::new(files(), "5%".parse().unwrap(), &dir.path().join("again"), None).unwrap();
    assert!(matches!(other.make(&Unwatched), Err(Error::Occupied { .. })));
    assert!(fs::read(&again.files[0].path).unwrap() == expected);
}

#[test]
fn an_interrupted_repair_leaves_nothing_that_counts() {
    let bench = Bench::new("10%", None);
    bench.change(2, |bytes| bytes[5000] ^= 1);
    let into = bench.dir.path().join("into");
    let mut mender = bench.mender();
    let files = {
        mender.survey(&Unwatched).unwrap();
        mender.repairs(&into)
    };
    let stop = StopAfter(AtomicU64::new(mender.repair_bytes(&files) / 2));
    assert!(matches!(mender.repair(&into, &stop), Err(Error::Interrupted)));
    assert!(!files[0].path.exists());
    bench.expect_repaired("at the second try");
}

#[test]
fn what_is_in_the_way_stays() {
    let bench = Bench::new("10%", None);
    bench.change(2, |bytes| bytes[5000] ^= 1);
    let damaged = fs::read(bench.volume(2)).unwrap();
    let error = bench.mender().repair(bench.dir.path(), &Unwatched).unwrap_err();
    assert!(matches!(error, Error::Occupied { .. }), "{error}");
    assert!(fs::read(bench.volume(2)).unwrap() == damaged);
}

#[test]
fn a_lie_in_the_index_is_no_repair() {
    let bench = Bench::new("10%", None);
    let mut mender = bench.mender();
    // The hash of a piece that is right in the file, and of which nobody can make what the index wants.
    mender.index.pieces[7] = [9; 16];
    let survey = mender.survey(&Unwatched).unwrap();
    assert_eq!(survey.pieces, 1);
    assert!(matches!(
        mender.repair(&bench.dir.path().join("into"), &Unwatched),
        Err(Error::BeyondParity { .. })
    ));
    assert_eq!(mender.pieces[7], Known::Lost);
    let medium = Mended::new(None, mender);
    let range = 7 * PIECE as u64..7 * PIECE as u64 + 10;
    assert!(matches!(medium.repair(range), Err(Error::BeyondParity { .. })));
}
