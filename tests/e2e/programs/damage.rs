//! Archives that were damaged on the way: each is refused, and the appliance goes on with what it has.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;

use sealift_archive::Bundle;
use sealift_archive::format::member::END_LEN;
use sealift_archive::format::{HEAD_BYTES, frame};
use sealift_archive::trust::TrustRoot;
use sealift_lab::vendor::image::noise;
use sealift_tests::trust::ACME;
use sealift_tests::{Appliance, Tree, Vendor, fixture, process};

use crate::scene::{GZIP, PLAIN};

/// Places where the archive ends too early, spread evenly over the whole.
const TRUNCATIONS: u64 = 50;

/// One way to damage an archive.
struct Case {
    name: String,
    damage: Damage,
    /// What has to be said of it: where the damage is, found before anything was unpacked or parsed.
    said: &'static str,
}

enum Damage {
    /// This bit of this byte is flipped.
    Flip { at: u64, bit: u8 },
    /// Only so many bytes are left.
    Truncation { left: u64 },
}

#[test]
fn whatever_is_damaged_is_refused_and_nothing_changes() {
    let vendor = Vendor::new(&ACME);
    fixture::write_git_folder(&vendor.path("gitops"));
    let running = bundle(&vendor, "1.0.0", 1, &[noise(1, 1000)]);
    // All content is new: what an appliance has already is not read from an archive.
    fs_err::write(vendor.path("gitops/new"), noise(4, 10_000)).expect("a file of the folder");
    let next = bundle(&vendor, "2.0.0", 2, &[noise(2, 900_000), noise(3, 20_000)]);
    let appliance = Appliance::running(&ACME, &running);
    let store = Tree::read(appliance.store());

    let whole = fs_err::read(&next).expect("the archive");
    let cases = cases(&next, &whole, &vendor.path("trust/root.json"));
    assert_eq!(cases.len(), 250);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for share in cases.chunks(cases.len().div_ceil(workers)) {
            scope.spawn(|| share.iter().for_each(|case| expect_refused(case, &whole, &store, &vendor)));
        }
    });

    // The archive was good.
    appliance.activate(&next);
    assert_eq!(appliance.active().as_deref(), Some("2.0.0"));
}

/// Packs a release with content that is stored, content that is squeezed, and a folder for Git.
fn bundle(vendor: &Vendor, version: &str, sequence: u64, layers: &[Vec<u8>]) -> PathBuf {
    let (stored, squeezed) = (format!("acme/stored:{version}"), format!("acme/squeezed:{version}"));
    vendor.offer("acme/stored", version, GZIP, layers);
    vendor.offer(
        "acme/squeezed",
        version,
        PLAIN,
        &[version.repeat(50_000).into_bytes(), noise(sequence, 200_000)],
    );
    let images = vendor.image(&stored) + &vendor.image(&squeezed);
    let rest = format!("upgradeFrom: [1.0.0]\ngit:\n- {{name: fleet, path: gitops}}\nimages:\n{images}");
    vendor.define(version, sequence, &rest);
    vendor.lock();
    vendor.bundle()
}

fn cases(archive: &Path, whole: &[u8], root: &Path) -> Vec<Case> {
    let root =
        TrustRoot::parse("root.json", &fs_err::read(root).expect("the trust root")).expect("a trust root");
    let bundle = Bundle::open(archive, &root).expect("a good archive");
    let packing = bundle.packing();
    // All that follows the documents of the head is zeros.
    let documents =
        whole.iter().zip(0..HEAD_BYTES).filter(|(byte, _)| **byte != 0).map(|(_, at)| at + 1).max();
    let documents = documents.expect("a head");
    let pages = packing.pages.last().map_or(HEAD_BYTES, |page| page.offset + page.length);
    let (data, length) = (packing.data_offset, packing.length);
    let tail = length - frame::stored_len(END_LEN as u64);
    // Bits to be flipped in each part, and what is said of them. Of a head without its first bytes it cannot be said
    // that it is one.
    let parts = [
        ("head", 0..documents, 40, ""),
        ("padding of the head", documents..HEAD_BYTES, 20, "is damaged in the head"),
        ("contents", HEAD_BYTES..pages, 40, "is damaged in front page"),
        ("padding of the contents", pages..data, 20, "is damaged in the filler of the front"),
        ("data", data..tail, 40, "is damaged in frame"),
        ("tail", tail..length, 40, "is damaged in the tail"),
    ];
    let flips = parts.into_iter().flat_map(|(part, range, count, said)| {
        spread(range, count).zip((0..8).cycle()).map(move |(at, bit)| {
            let name = format!("bit {bit} of byte {at}, in the {part}");
            Case { name, damage: Damage::Flip { at, bit }, said }
        })
    });
    let truncations = spread(0..length, TRUNCATIONS).map(|left| {
        let name = format!("cut at {left} of {length}");
        Case { name, damage: Damage::Truncation { left }, said: "" }
    });
    flips.chain(truncations).collect()
}

/// So many numbers of a range, the first and the last among them.
fn spread(range: Range<u64>, count: u64) -> impl Iterator<Item = u64> {
    let last = range.end - range.start - 1;
    (0..count).map(move |index| range.start + last * index / (count - 1))
}

fn expect_refused(Case { name, damage, said }: &Case, whole: &[u8], store: &Tree, vendor: &Vendor) {
    let mut bytes = whole.to_vec();
    let index = |at: u64| usize::try_from(at).expect("it is in memory");
    match *damage {
        Damage::Flip { at, bit } => bytes[index(at)] ^= 1 << bit,
        Damage::Truncation { left } => bytes.truncate(index(left)),
    }
    // A store of its own for each: whole content that came before the damage is kept, and not read again.
    let appliance = Appliance::with_store(store);
    let archive = appliance.path("damaged.tar.zst");
    fs_err::write(&archive, bytes).expect("room for the archive");
    let before = appliance.standing();
    let import = process::finish(appliance.importing(&archive).arg("--activate"));
    assert_eq!(import.code(), Some(3), "{name}: {import}");
    assert!(import.stderr().contains(said), "{name}: {import}");
    appliance.expect_standing(&before, name);
    // A courier finds it before the journey.
    let verify = process::finish(vendor.sealift().args(["verify", "--trust=trust/root.json"]).arg(&archive));
    assert_eq!(verify.code(), Some(3), "{name}: {verify}");
}
