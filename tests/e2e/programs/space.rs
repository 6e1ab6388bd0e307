//! Disks that are too small. It is said before the first byte, with what is needed and what there is; nothing is left
//! behind; and with more room the same command does its work.

use sealift_tests::trust::ACME;
use sealift_tests::vendor::behind_head;
use sealift_tests::{Appliance, SmallDisk, Tree, process};

use crate::scene::{ARCHIVE, UNTROUBLED, locked};

const MIB: u64 = 1 << 20;
const PAGE: u64 = 4096;

#[test]
fn bundling_needs_room() {
    let vendor = locked();
    let disk = SmallDisk::new(MIB);
    let planned = process::json(vendor.bundling_into(disk.path()).args(["--plan", "--json"]));
    let needed = planned["diskBytes"].as_u64().expect("bytes");
    assert!(needed > UNTROUBLED.len() as u64, "{needed} bytes cannot be enough");

    let refused = process::finish(&vendor.bundling_into(disk.path())).expect(4);
    assert_eq!(numbers(&refused.stderr()), (disk.free_bytes(), needed), "{refused}");
    assert!(Tree::read(disk.path()).names().is_empty(), "{:?}", Tree::read(disk.path()));
    assert!(vendor.fetched().is_empty(), "content was fetched that there is no room for");

    disk.resize(64 * MIB);
    assert!(behind_head(&vendor.bundle_by(&mut vendor.bundling_into(disk.path()))) == *UNTROUBLED);
    assert_eq!(Tree::read(disk.path()).names(), [ARCHIVE]);
}

#[test]
fn importing_needs_room() {
    let vendor = locked();
    let archive = vendor.bundle();
    let disk = SmallDisk::new(MIB);
    let appliance = Appliance::on(&disk, &ACME);
    // The lock says who came last.
    let everything = || Tree::read(disk.path()).without("store/lock");
    let before = everything();
    let refused = process::finish(appliance.importing(&archive).arg("--activate")).expect(4);
    let (free, needed) = numbers(&refused.stderr());
    // While somebody is at work, the lock says who: that takes a page.
    assert!((disk.free_bytes() - PAGE..=disk.free_bytes()).contains(&free), "{refused}");
    assert!(needed > UNTROUBLED.len() as u64, "{refused}");
    let changes = before.changes(&everything());
    assert!(changes.is_empty(), "left behind or changed: {changes:?}");

    disk.resize(needed + MIB);
    appliance.activate(&archive);
    assert_eq!(appliance.active().as_deref(), Some("1.0.0"));
}

#[test]
fn publishing_needs_room() {
    let vendor = locked();
    let archive = vendor.bundle();
    let disk = SmallDisk::new(MIB);
    let place = disk.path().join("www");
    let publish = || {
        let mut command = vendor.sealift();
        command.args(["publish", "--trust", "trust"]).arg(&archive).arg(&place);
        command
    };
    let refused = process::finish(&publish()).expect(4);
    let (free, needed) = numbers(&refused.stderr());
    assert!(free <= MIB && needed > free, "{refused}");
    let names = Tree::read(&place).names();
    assert_eq!(names, [".lock", "roots/1.json"], "nothing of the release");

    disk.resize(8 * MIB);
    process::run(&mut publish());
    let releases = Tree::read(&place).names().into_iter().filter(|name| name.starts_with("releases/"));
    assert_eq!(releases.count(), 1);
}

/// What is free and what is needed, as the message has it.
fn numbers(said: &str) -> (u64, u64) {
    let numbers = || {
        let (_, rest) = said.split_once("` has ")?;
        let (free, rest) = rest.split_once(" bytes free, ")?;
        let (needed, _) = rest.split_once(" are needed")?;
        Some((free.parse().ok()?, needed.parse().ok()?))
    };
    numbers().unwrap_or_else(|| panic!("no numbers in: {said}"))
}
