//! Archives and volumes with parity beside them are damaged in every way: none is ever taken for whole, whatever is within
//! the power of parity is mended bit by bit, and beyond it the answer says how much is missing.

use std::path::{Path, PathBuf};

use fs_err as fs;
use sealift_archive::bundle::Unverified;
use sealift_archive::format::parity::{Grid, Index};
use sealift_archive::format::volume::{Cuts, HEADER_LEN};
use sealift_archive::parity::{Files, Mender, Plan};
use sealift_archive::{Bundle, Error, Source as _, Unwatched};
use tempfile::TempDir;

use crate::fixture::{Content, MIB, Vendor};
use crate::shelf::{Shelf, VOLUME_BYTES, cut};

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

/// Makes parity for what is at `path`, beside it.
fn protect(path: &Path, amount: &str, most_bytes: Option<u64>) -> Vec<PathBuf> {
    let files = Files::find(path).unwrap();
    let folder = files.paths().next().unwrap().parent().unwrap().to_owned();
    let plan = Plan::new(files, amount.parse().unwrap(), &folder, most_bytes).unwrap();
    plan.make(&Unwatched).unwrap();
    plan.files.into_iter().map(|file| file.path).collect()
}

/// Changes a file, and gives back what it was.
fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let good = fs::read(path).unwrap();
    let mut bytes = good.clone();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
    good
}

/// One file of 3 MiB with 10 % of parity.
struct One {
    dir: TempDir,
    vendor: Vendor,
    content: Content,
    archive: PathBuf,
    good: Vec<u8>,
}

impl One {
    fn new() -> Self {
        let (dir, vendor) = (TempDir::new().unwrap(), Vendor::new());
        let content = Content::of_sizes(&[1, 600, 5000, 200_000, MIB, 1024, MIB + 77]);
        let archive = content.pack(&dir, &vendor);
        let good = fs::read(&archive).unwrap();
        assert_eq!(protect(&archive, "10%", None), [dir.path().join("acme-1.0.p01.par")]);
        Self { dir, vendor, content, archive, good }
    }

    /// Reads everything; how many pieces had to be made again, or why it could not.
    fn read(&self) -> Result<usize, Error> {
        let bundle = Bundle::open(&self.archive, &self.vendor.root)?;
        let memory = crate::fixture::Memory::default();
        bundle.copy_blobs(&self.content.all(), &memory, &Unwatched)?;
        assert!(*memory.0.lock().unwrap() == self.content.blobs);
        Ok(bundle.medium().healed().pieces)
    }

    /// It reads as if it were whole, it is not touched, and a repair makes what it was.
    fn expect_mended(&self, what: &str) -> usize {
        let damaged = fs::read(&self.archive).unwrap();
        let pieces = self.read().unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(fs::read(&self.archive).unwrap() == damaged, "{what}: the medium is as it was");
        let into = self.dir.path().join("into");
        let mut mender = Mender::find(&[&self.archive], None).unwrap().unwrap();
        let written = mender.repair(&into, &Unwatched).unwrap_or_else(|e| panic!("{what}: {e}"));
        let bundle = Unverified::on(mender.repaired_medium(&written)).unwrap();
        let findings = bundle.verify(&self.vendor.root).unwrap().check(&Unwatched).unwrap();
        assert!(findings.is_whole(), "{what}: {findings:?}");
        let repaired = written.keep().unwrap();
        assert_eq!(repaired.files.len(), 1, "{what}");
        assert!(fs::read(&repaired.files[0].path).unwrap() == self.good, "{what}");
        fs::remove_dir_all(&into).unwrap();
        fs::write(&self.archive, &self.good).unwrap();
        pieces
    }

    /// Nobody takes it for whole.
    fn expect_lost(&self, what: &str) {
        assert!(self.read().is_err(), "{what}");
        let mut mender = Mender::find(&[&self.archive], None).unwrap().unwrap();
        let survey = mender.survey(&Unwatched).unwrap();
        assert!(!survey.is_repairable() && survey.beyond.bytes > 0, "{what}: {survey:?}");
        let refused = mender.repair(&self.dir.path().join("into"), &Unwatched);
        assert!(matches!(refused, Err(Error::BeyondParity { .. })), "{what}: {refused:?}");
        fs::write(&self.archive, &self.good).unwrap();
    }
}

#[test]
fn a_thousand_flipped_bits_are_mended_on_the_way() {
    const CASES: usize = 40;
    const FLIPS: usize = 25;
    let one = One::new();
    assert_eq!(one.read().unwrap(), 0);
    let mut dice = Dice(3);
    for case in 0..CASES {
        change(&one.archive, |bytes| {
            for flip in 0..FLIPS {
                // One of them in the head, the others anywhere.
                let at = dice.below(if flip == 0 { 256 << 10 } else { bytes.len() });
                bytes[at] ^= 1 << dice.below(8);
            }
        });
        one.expect_mended(&format!("case {case}"));
    }
}

#[test]
fn cuts_are_mended_or_told() {
    const CUTS: usize = 100;
    let one = One::new();
    let power = one.good.len() / 10;
    for cut in 0..CUTS {
        // Half of them within the power of parity.
        let lost = if cut % 2 == 0 { 1 + cut * power / CUTS } else { power + cut * 15_000 };
        change(&one.archive, |bytes| bytes.truncate(bytes.len().saturating_sub(lost)));
        if lost <= power {
            one.expect_mended(&format!("{lost} cut off")).min(1)
        } else {
            0
        };
        if lost > power + 2 * 4096 {
            one.expect_lost(&format!("{lost} cut off"));
        }
    }
    change(&one.archive, |bytes| bytes.extend_from_slice(b"more"));
    one.expect_mended("something behind the end");
}

#[test]
fn runs_of_zeros_are_mended() {
    const RUN: usize = 4 << 10;
    let one = One::new();
    let mut dice = Dice(5);
    for case in 0..10 {
        change(&one.archive, |bytes| {
            for _ in 0..5 {
                let at = dice.below(bytes.len() - RUN);
                bytes[at..at + RUN].fill(0);
            }
        });
        one.expect_mended(&format!("case {case}"));
    }
    change(&one.archive, |bytes| bytes[..64 << 10].fill(0));
    one.expect_mended("the beginning");
    change(&one.archive, |bytes| bytes[100_000..600_000].fill(0));
    one.expect_lost("a long run");
}

#[test]
fn parity_of_another_archive_is_passed_over() {
    let one = One::new();
    let parity = one.dir.path().join("acme-1.0.p01.par");
    let elsewhere = TempDir::new().unwrap();
    let other = Content::of_sizes(&[3 * MIB, 600]);
    let path = other.pack(&elsewhere, &one.vendor);
    fs::copy(&path, &one.archive).unwrap();
    assert!(Mender::find(&[&one.archive], None).unwrap().is_none());
    let bundle = Bundle::open(&one.archive, &one.vendor.root).unwrap();
    assert!(bundle.check(&Unwatched).unwrap().is_whole());
    for at in [300, 300_000] {
        change(&one.archive, |bytes| bytes[at] ^= 1);
        let found = Bundle::open(&one.archive, &one.vendor.root).and_then(|b| b.check(&Unwatched));
        assert!(found.map_or(true, |found| !found.is_whole()), "{at}");
        fs::copy(&path, &one.archive).unwrap();
    }
    // Parity that is no parity is in nobody's way.
    fs::write(&one.archive, &one.good).unwrap();
    for nonsense in [&b""[..], b"SLPARI01", &[0xFF; 10_000]] {
        fs::write(&parity, nonsense).unwrap();
        assert_eq!(one.read().unwrap(), 0);
    }
}

#[test]
fn an_index_that_lies_about_lengths_is_passed_over() {
    let one = One::new();
    let packing = Bundle::open(&one.archive, &one.vendor.root).unwrap().packing_digest();
    let length = one.good.len() as u64;
    let set = Cuts { packing, lengths: vec![length] }.set();
    let cases: [(u64, &[u64]); 4] =
        [(0, &[length - 1]), (0, &[length + 1]), (HEADER_LEN, &[length]), (HEADER_LEN, &[length, length])];
    for (header_bytes, lengths) in cases {
        let grid = Grid::plan(set, header_bytes, lengths.to_vec(), "1%".parse().unwrap(), None).unwrap();
        let hashes = |count: u32| vec![[1; 16]; count as usize];
        let (pieces, recovery) = (hashes(grid.pieces()), hashes(grid.recovery_pieces()));
        let pages = Index { grid, pieces, recovery }.to_pages(1);
        fs::write(one.dir.path().join("acme-1.0.p01.par"), pages.as_flattened()).unwrap();
        assert_eq!(one.read().unwrap(), 0, "{lengths:?}");
        assert!(Mender::of_archive(&[&one.archive]).unwrap().is_none(), "{lengths:?}");
    }
}

#[test]
fn a_twin_that_differs_in_signatures_is_mended_too() {
    let one = One::new();
    let kept = fs::read(one.dir.path().join("acme-1.0.p01.par")).unwrap();
    let elsewhere = TempDir::new().unwrap();
    let twin = one.content.pack(&elsewhere, &one.vendor);
    assert!(fs::read(&twin).unwrap() != one.good);
    fs::write(elsewhere.path().join("acme-1.0.p01.par"), kept).unwrap();
    change(&twin, |bytes| bytes[700_000..800_000].fill(0));
    change(&twin, |bytes| bytes[..1000].fill(0));
    let bundle = Bundle::open(&twin, &one.vendor.root).unwrap();
    let memory = crate::fixture::Memory::default();
    bundle.copy_blobs(&one.content.all(), &memory, &Unwatched).unwrap();
    assert!(bundle.medium().healed().pieces > 20);
}

/// A shelf of volumes and their parity.
struct Set {
    shelf: Shelf,
    good: Vec<Vec<u8>>,
    parity: Vec<PathBuf>,
}

impl Set {
    fn new(amount: &str, most_bytes: Option<u64>) -> Self {
        let shelf = Shelf::new();
        fs::remove_file(&shelf.archive).unwrap();
        let parity = protect(shelf.folder(), amount, most_bytes);
        let good = shelf.volumes.iter().map(|volume| fs::read(volume).unwrap()).collect();
        Self { shelf, good, parity }
    }

    fn volume(&self, number: usize) -> &Path {
        &self.shelf.volumes[number - 1]
    }

    fn restore(&self) {
        for (volume, bytes) in self.shelf.volumes.iter().zip(&self.good) {
            fs::write(volume, bytes).unwrap();
        }
    }

    /// It reads as if it were whole, and a repair makes the volumes with these numbers again.
    fn expect_mended(&self, what: &str, numbers: &[usize]) {
        self.shelf.read(self.shelf.folder()).unwrap_or_else(|e| panic!("{what}: {e}"));
        let into = self.shelf.dir.path().join("into");
        let mut mender = Mender::find(&[self.shelf.folder()], None).unwrap().unwrap();
        let written = mender.repair(&into, &Unwatched).unwrap_or_else(|e| panic!("{what}: {e}"));
        let bundle = Unverified::on(mender.repaired_medium(&written)).unwrap();
        let bundle = bundle.verify(&self.shelf.vendor.root).unwrap();
        assert!(bundle.check(&Unwatched).unwrap().is_whole(), "{what}");
        let repaired = written.keep().unwrap();
        let found: Vec<usize> = repaired.files.iter().map(|file| file.number).collect();
        assert_eq!(found, numbers, "{what}");
        for file in &repaired.files {
            assert!(fs::read(&file.path).unwrap() == self.good[file.number - 1], "{what}: {file:?}");
        }
        fs::remove_dir_all(&into).unwrap();
        self.restore();
    }

    fn expect_lost(&self, what: &str) {
        assert!(self.shelf.read(self.shelf.folder()).is_err(), "{what}");
        let mut mender = Mender::find(&[self.shelf.folder()], None).unwrap().unwrap();
        assert!(!mender.survey(&Unwatched).unwrap().is_repairable(), "{what}");
        self.restore();
    }
}

#[test]
fn a_lost_volume_is_made_again() {
    let set = Set::new("1", None);
    let count = set.good.len();
    for number in 1..=count {
        fs::remove_file(set.volume(number)).unwrap();
        set.expect_mended(&format!("without volume {number}"), &[number]);
    }
    for number in 1..count {
        fs::remove_file(set.volume(number)).unwrap();
        fs::remove_file(set.volume(number + 1)).unwrap();
        match set.shelf.read(set.shelf.folder()) {
            Err(Error::VolumesMissing { numbers, .. }) => {
                assert!(numbers.contains(&u32::try_from(number).unwrap()) || number > 1, "{numbers:?}");
            }
            other => panic!("{other:?}"),
        }
        set.expect_lost(&format!("without volumes {number} and {}", number + 1));
    }
}

#[test]
fn volumes_that_are_swapped_twice_or_strange_are_mended() {
    let set = Set::new("1", None);
    let count = set.good.len();
    // Their headers say which is which: names do no harm, and nothing needs repair.
    fs::write(set.volume(1), &set.good[1]).unwrap();
    fs::write(set.volume(2), &set.good[0]).unwrap();
    set.expect_mended("swapped", &[]);
    let foreign = set.shelf.dir.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    let other = Content::of_sizes(&[8 * MIB, 1, 8 * MIB]).pack(&set.shelf.dir, set.shelf.vendor);
    let strays = cut(&other, set.shelf.vendor, VOLUME_BYTES, &foreign);
    let stray = fs::read(&strays[1]).unwrap();
    for number in 1..=count {
        let other = if number == 1 { 2 } else { number - 1 };
        fs::write(set.volume(number), &set.good[other - 1]).unwrap();
        set.expect_mended(&format!("{other} in the place of {number}"), &[number]);
        fs::write(set.volume(number), &stray).unwrap();
        // Asked for the folder nobody can tell which of two archives is meant; asked for a volume, anybody.
        let named = set.volume(if number == 1 { 2 } else { 1 });
        set.shelf.read(named).unwrap_or_else(|e| panic!("{number}: {e}"));
        set.restore();
        // Its first bytes, header and all.
        change(set.volume(number), |bytes| bytes[..4096].fill(0));
        set.expect_mended(&format!("{number} without a header"), &[number]);
        change(set.volume(number), |bytes| bytes[100] ^= 1);
        set.expect_mended(&format!("{number} with a flipped bit in its header"), &[number]);
        change(set.volume(number), |bytes| bytes.truncate(bytes.len() / 2));
        set.expect_mended(&format!("half of {number}"), &[number]);
    }
}

#[test]
fn damage_in_volumes_and_parity_at_the_same_time_is_mended() {
    let set = Set::new("10%", Some(700_000));
    let parity = &set.parity;
    assert!(parity.len() >= 3, "{parity:?}");
    let mut dice = Dice(9);
    for lost in 0..parity.len() {
        let hidden = set.shelf.dir.path().join("hidden");
        fs::rename(&parity[lost], &hidden).unwrap();
        let other = &parity[(lost + 1) % parity.len()];
        let good = change(other, |bytes| {
            for _ in 0..10 {
                let at = dice.below(bytes.len());
                bytes[at] ^= 4;
            }
        });
        for number in 1..=set.good.len() {
            change(set.volume(number), |bytes| {
                for _ in 0..20 {
                    let at = dice.below(bytes.len());
                    bytes[at] ^= 32;
                }
            });
        }
        let all: Vec<usize> = (1..=set.good.len()).collect();
        set.expect_mended(&format!("without {}", parity[lost].display()), &all);
        fs::rename(&hidden, &parity[lost]).unwrap();
        fs::write(other, good).unwrap();
    }
}
