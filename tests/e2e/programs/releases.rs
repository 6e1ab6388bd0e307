//! One stick for every appliance, and bundles of what is new: vendor, courier and operators with the programs alone.

use std::path::{Path, PathBuf};

use fs_err as fs;
use sealift_lab::vendor::image::noise;
use sealift_tests::trust::ACME;
use sealift_tests::{Appliance, Vendor, process};

use crate::scene::GZIP;

/// A vendor of four releases, each bundled on its own: a large layer that all have, and small ones.
fn vendor() -> (Vendor, Vec<PathBuf>) {
    let vendor = Vendor::new(&ACME);
    let bundles = (1..=4).map(|number| release(&vendor, number, &[])).collect();
    (vendor, bundles)
}

/// Bundles `1.N.0`, sequence N, which can follow the one before it.
fn release(vendor: &Vendor, number: u64, more: &[&str]) -> PathBuf {
    let layers = [noise(1, 2_000_000), noise(10 + number / 2, 300_000), noise(20 + number, 100_000)];
    let version = format!("1.{number}.0");
    vendor.offer("acme/app", &version, GZIP, &layers);
    fs::write(vendor.path("notes.txt"), &version).expect("room for a file");
    let before = number - 1;
    let rest = format!(
        "upgradeFrom: [1.{before}.0]\nimages:\n{}files: [{{name: notes.txt, path: notes.txt}}]\n",
        vendor.image(&format!("acme/app:{version}"))
    );
    vendor.define(&version, number, &rest);
    vendor.lock();
    vendor.bundle_by(vendor.bundling().args(more))
}

fn bytes(archive: &Path) -> u64 {
    fs::metadata(archive).expect("the archive").len()
}

fn appliance_at(number: usize, bundles: &[PathBuf]) -> Appliance<'static> {
    match number.checked_sub(1) {
        Some(index) => Appliance::running(&ACME, &bundles[index]),
        None => Appliance::new(&ACME),
    }
}

#[test]
fn one_stick_serves_every_appliance() {
    let (vendor, bundles) = vendor();
    let with = |number: usize| bundles[number - 1].to_str().expect("a plain path");
    vendor.registry().forget();
    fs::rename(&bundles[3], vendor.path("alone.tar.zst")).expect("the newest alone");
    let stick = release(&vendor, 4, &["--with", with(3), "--with", with(2)]);
    assert_eq!(stick.file_name().expect("a name"), "acme-appliance-1.4.0.tar.zst");
    assert!(
        bytes(&stick) < bytes(&vendor.path("alone.tar.zst")) + 1_000_000,
        "what they share is in it once"
    );
    process::run(vendor.sealift().args(["verify", "--trust=trust/root.json"]).arg(&stick));
    let told = process::json(vendor.sealift().args(["inspect", "--json"]).arg(&stick));
    assert_eq!(told["releases"].as_array().expect("a list").len(), 3);

    for (at, states) in [
        (0, vec!["active"]),
        (1, vec!["active", "retained", "retained", "retained"]),
        (2, vec!["active", "retained", "retained"]),
        (3, vec!["active", "retained"]),
    ] {
        let appliance = appliance_at(at, &bundles);
        appliance.activate(&stick);
        assert_eq!(appliance.active().as_deref(), Some("1.4.0"), "from {at}");
        let status = appliance.status();
        let found: Vec<&str> =
            status["releases"].as_array().into_iter().flatten().filter_map(|r| r["state"].as_str()).collect();
        assert_eq!(found, states, "from {at}");
        appliance.expect_whole();
        assert_eq!(appliance.serve().get("/files/notes.txt").body, b"1.4.0");
        assert_eq!(appliance.leftovers(), [""; 0]);
    }
}

#[test]
fn a_receipt_makes_the_next_bundle_small() {
    let (vendor, bundles) = vendor();
    let appliance = appliance_at(3, &bundles);
    process::run(appliance.sealiftctl().args(["receipt", "-o"]).arg(vendor.path("")));
    let receipt = vendor.path("acme-appliance-1.3.0.receipt.json");
    assert!(bytes(&receipt) < 1000);
    let delta = release(&vendor, 4, &["--base", receipt.to_str().expect("a plain path"), "--known", "out"]);
    assert_eq!(delta.file_name().expect("a name"), "acme-appliance-1.4.0.from-1.3.0.tar.zst");
    assert!(bytes(&delta) * 3 < bytes(&bundles[3]), "{} of {}", bytes(&delta), bytes(&bundles[3]));
    let told = process::text(vendor.sealift().args(["verify", "--trust=trust/root.json"]).arg(&delta));
    assert!(told.contains("needs acme-appliance 1.3.0 (sequence 3)"), "{told}");

    // Who has not what it builds on is told what to fetch, and nothing changes.
    for at in [0, 2] {
        let other = appliance_at(at, &bundles);
        let before = other.standing();
        let refused = process::finish(other.importing(&delta).arg("--activate")).expect(3);
        refused.expect_said(&["1.3.0"]);
        other.expect_standing(&before, "a delta without its base");
    }
    appliance.activate(&delta);
    assert_eq!(appliance.active().as_deref(), Some("1.4.0"));
    appliance.expect_whole();
}
