//! The releases that a vendor has made, and all the ways on which they travel.

use std::path::PathBuf;
use std::sync::LazyLock;

use fs_err as fs;
use sealift_archive::Digest;
use sealift_lab::vendor::image::noise;
use sealift_store::{RootFile, Store};
use sealift_tests::trust::ONLINE;
use sealift_tests::{Tree, Vendor, fixture, process};

use crate::disk::Disk;
use crate::releases::place;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const SHARED_BYTES: usize = 90_000;
const OWN_BYTES: usize = 60_000;
/// Makes two volumes of a release.
const VOLUME_BYTES: &str = "360000";

/// What matters of a release when an appliance decides about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    /// Its sequence, and its version: `N.0.0`.
    pub(super) number: u64,
    /// What it can follow.
    pub(super) follows: &'static [u64],
    /// What it withdraws: all below.
    pub(super) floor: u64,
}

/// Each with Git and an image; the last can follow nothing that there is, and the one before it withdraws the first.
pub(super) const MADE: [Made; 5] = [
    Made { number: 1, follows: &[], floor: 1 },
    Made { number: 2, follows: &[1], floor: 1 },
    Made { number: 3, follows: &[2], floor: 1 },
    Made { number: 4, follows: &[3, 2], floor: 2 },
    Made { number: 9, follows: &[8], floor: 1 },
];
/// The releases that are published, one after the other: edition N of the channel names release N.
pub(super) const PUBLISHED: std::ops::RangeInclusive<u64> = 1..=4;
/// The release that travels on two sticks too.
pub(super) const ON_STICKS: u64 = 3;

/// The one with this number.
pub(super) fn made(number: u64) -> Made {
    MADE.into_iter().find(|made| made.number == number).expect("a release that was made")
}

pub(super) static CHAIN: LazyLock<Chain> = LazyLock::new(Chain::new);

pub(super) struct Chain {
    vendor: Vendor,
    /// The sticks with the volumes of [`ON_STICKS`].
    pub(super) sticks: [PathBuf; 2],
    /// The digests of the statements of what is published.
    statements: Vec<Digest>,
    /// A store that trusts the vendor and holds nothing.
    pub(super) empty: Disk,
}

impl Chain {
    fn new() -> Self {
        let vendor = Vendor::new(&ONLINE);
        fs::create_dir(vendor.path("published")).expect("a folder");
        let mut statements = Vec::new();
        for made in MADE {
            let archive = bundle(&vendor, made);
            fs::rename(archive, vendor.path(name(made.number))).expect("a name for the archive");
            if PUBLISHED.contains(&made.number) {
                statements.push(publish(&vendor, made.number));
            }
        }
        let sticks = split(&vendor);
        let dir = place();
        let path = dir.path().join("store");
        let root = RootFile::read(&vendor.path("trust/root.json")).expect("the vendor's trust root");
        pinned(&path, &root);
        Self { empty: Disk::read(&path), vendor, sticks, statements }
    }

    /// The archive with a release.
    pub(super) fn archive(&self, number: u64) -> PathBuf {
        self.vendor.path(name(number))
    }

    /// The configuration of an appliance that mirrors an edition of the channel.
    pub(super) fn config(&self, edition: u64, activate: bool) -> PathBuf {
        self.vendor.path(config_name(edition, activate))
    }

    /// Which release has this statement.
    pub(super) fn number_of(&self, statement: &Digest) -> Option<u64> {
        PUBLISHED.zip(&self.statements).find(|(_, known)| *known == statement).map(|(number, _)| number)
    }
}

fn name(number: u64) -> String {
    format!("{number}.tar.zst")
}

fn config_name(edition: u64, activate: bool) -> String {
    format!("appliance-{edition}-{activate}.yaml")
}

fn bundle(vendor: &Vendor, Made { number, follows, floor }: Made) -> PathBuf {
    let version = format!("{number}.0.0");
    vendor.offer("acme/app", &version, LAYER, &[noise(1, SHARED_BYTES), noise(10 + number, OWN_BYTES)]);
    let git = format!("gitops-{number}");
    fixture::write(&vendor.path(&git).join("release"), version.as_bytes());
    let follows: Vec<String> = follows.iter().map(|before| format!("{before}.0.0")).collect();
    let (follows, image) = (follows.join(", "), vendor.image(&format!("acme/app:{version}")));
    let rest = format!(
        "upgradeFrom: [{follows}]\nfloor: {floor}\nimages:\n{image}git:\n- {{name: fleet, path: {git}, branch: main}}\n"
    );
    vendor.define(&version, number, &rest);
    vendor.lock();
    vendor.bundle()
}

/// Publishes a release and makes it current, and keeps what the vendor's site is then.
fn publish(vendor: &Vendor, number: u64) -> Digest {
    let before = releases(vendor);
    process::run(vendor.sealift().args(["publish", &name(number), "published", "--trust", "trust"]));
    let version = format!("{number}.0.0");
    let promoting = [
        "promote",
        &version,
        "--to",
        "stable",
        "published",
        "--trust",
        "trust",
        "--key",
        "trust/channel.key",
    ];
    process::run(vendor.sealift().args(promoting));
    let edition = vendor.path(format!("edition-{number}"));
    Tree::read(&vendor.path("published")).write(&edition);
    for activate in [false, true] {
        let text = format!(
            "apiVersion: sealift/v1\nkind: Appliance\nmirror: {{source: '{}', activate: {activate}}}\n",
            edition.display()
        );
        fs::write(vendor.path(config_name(number, activate)), text).expect("a configuration");
    }
    let new = releases(vendor).into_iter().find(|name| !before.contains(name)).expect("a statement");
    let hex = new.strip_suffix(".json").expect("an envelope");
    format!("sha256:{hex}").parse().expect("a digest")
}

fn releases(vendor: &Vendor) -> Vec<String> {
    let Ok(entries) = fs::read_dir(vendor.path("published/releases")) else { return Vec::new() };
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
    names.map(|name| name.expect("a name in ASCII")).collect()
}

/// Cuts a release in two, and puts each part onto a stick of its own.
fn split(vendor: &Vendor) -> [PathBuf; 2] {
    let told = process::json(vendor.sealift().args([
        "--json",
        "split",
        &name(ON_STICKS),
        "-o",
        "volumes",
        "--volume-size",
        VOLUME_BYTES,
    ]));
    let files = told["files"].as_array().expect("a list of files");
    assert_eq!(files.len(), 2, "{told}");
    [0, 1].map(|number| {
        let volume = vendor.path(files[number]["path"].as_str().expect("the path of a volume"));
        let stick = vendor.path(format!("stick-{number}"));
        fs::create_dir(&stick).expect("a stick");
        fs::rename(&volume, stick.join(volume.file_name().expect("a name"))).expect("a volume on a stick");
        stick
    })
}

fn pinned(path: &std::path::Path, root: &RootFile) {
    let store = Store::create(path).expect("an empty store");
    store.lock("pin").and_then(|writer| writer.pin(root)).expect("a pinned trust root");
}
