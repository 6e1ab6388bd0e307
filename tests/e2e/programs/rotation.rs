//! Keys come and go: appliances that have seen less of it than the vendor, and appliances that have seen more.

use std::path::{Path, PathBuf};
use std::process::Command;

use sealift_tests::trust::ACME;
use sealift_tests::{Appliance, Vendor, process};

use crate::scene::GZIP;

/// The keys for releases and packings that the vendor began with.
const KEYS: [&str; 2] = ["trust/release.key", "trust/pack.key"];

/// A vendor, and keys of people who are still to come.
fn vendor(people: &[&str]) -> Vendor {
    let vendor = Vendor::new(&ACME);
    for name in people {
        let openssl = |arguments: &str| {
            let mut openssl = Command::new("openssl");
            process::run(openssl.current_dir(vendor.path("")).args(arguments.split(' ')));
        };
        openssl(&format!("ecparam -name prime256v1 -genkey -noout -out {name}.key"));
        openssl(&format!("ec -in {name}.key -pubout -out {name}.pub"));
    }
    vendor
}

/// Makes the next version of the trust root.
fn rotate(vendor: &Vendor, arguments: &str) {
    let mut sealift = vendor.sealift();
    process::run(sealift.arg("trust").args(arguments.split(' ')).args(["--root-key", "trust/root.key"]));
}

/// Locks a release of one image that follows the one before it.
fn lock(vendor: &Vendor, sequence: u64) {
    let version = format!("{sequence}.0.0");
    let content = vec![vec![u8::try_from(sequence).expect("a small number"); 1000]];
    vendor.offer("acme/app", &version, GZIP, &content);
    let images = vendor.image(&format!("acme/app:{version}"));
    vendor.define(&version, sequence, &format!("upgradeFrom: [{}.0.0]\nimages:\n{images}", sequence - 1));
    vendor.lock();
}

/// Packs such a release with these keys.
fn bundle(vendor: &Vendor, sequence: u64, [release_key, pack_key]: [&str; 2]) -> PathBuf {
    lock(vendor, sequence);
    let mut bundling = vendor.sealift();
    bundling.args(["bundle", "RELEASE.yaml", "--trust", "trust", "-o", "out"]);
    vendor.bundle_by(bundling.args(["--release-key", release_key, "--pack-key", pack_key]))
}

/// Has the statement of a bundle signed by Alice, and packs what it holds anew.
fn sign_again(vendor: &Vendor, sequence: u64, archive: &Path) -> PathBuf {
    lock(vendor, sequence);
    let statement = format!("statement-{sequence}");
    process::run(vendor.sealift().args(["export", "--format", "statement", "-o", &statement]).arg(archive));
    process::run(vendor.sealift().args(["sign", &statement, "--key", "alice.key", "--trust", "trust"]));
    let mut bundling = vendor.sealift();
    bundling.args(["bundle", "RELEASE.yaml", "--trust", "trust", "--pack-key", "trust/pack.key"]);
    vendor.bundle_by(bundling.args(["-o", "again", "--statement", &statement, "--previous"]).arg(archive))
}

/// The version of the trust root that an appliance knows, and the one that it has pinned.
fn trusts(appliance: &Appliance<'_>) -> (u64, u64) {
    let trust = &appliance.status()["trust"];
    let number = |name: &str| trust[name].as_u64().expect("a version");
    (number("version"), number("pinnedVersion"))
}

#[test]
fn an_appliance_that_is_three_versions_behind() {
    let vendor = vendor(&["alice", "bob", "ci", "root"]);
    rotate(&vendor, "rotate trust --add release=alice.pub --add pack=ci.pub");
    rotate(&vendor, "revoke trust trust/release.pub trust/pack.pub");
    rotate(&vendor, "rotate trust --add root=root.pub --remove root=trust/root.pub --root-key root.key");
    let archive = bundle(&vendor, 1, ["alice.key", "ci.key"]);
    let appliance = Appliance::new(&ACME);
    assert_eq!(trusts(&appliance), (1, 1));
    appliance.activate(&archive);
    assert_eq!((trusts(&appliance), appliance.active().as_deref()), ((4, 1), Some("1.0.0")));
    appliance.expect_whole();
    let history = process::text(appliance.sealiftctl().arg("history"));
    for version in 2..=4 {
        assert!(history.contains(&format!("trust root version {version} came along")), "{history}");
    }
    // What was pinned is not a part of any rotation.
    assert!(process::refusal(appliance.sealiftctl().args(["trust", "pin", "root.json"])).contains("SL0306"));
}

#[test]
fn an_appliance_that_is_ahead() {
    let vendor = vendor(&["ci"]);
    let second = bundle(&vendor, 2, KEYS);
    rotate(&vendor, "rotate trust --add pack=ci.pub");
    let first = bundle(&vendor, 1, [KEYS[0], "ci.key"]);
    let appliance = Appliance::running(&ACME, &first);
    assert_eq!(trusts(&appliance), (2, 1));
    // It was made before the rotation, and whoever signed it may still do so.
    appliance.activate(&second);
    assert_eq!((trusts(&appliance), appliance.active().as_deref()), ((2, 1), Some("2.0.0")));
    appliance.expect_whole();
}

#[test]
fn a_key_is_revoked() {
    let vendor = vendor(&["alice"]);
    let first = bundle(&vendor, 1, KEYS);
    let (uninformed, informed) = (Appliance::running(&ACME, &first), Appliance::running(&ACME, &first));
    let second = bundle(&vendor, 2, KEYS);
    rotate(&vendor, "revoke trust trust/release.pub --replace alice.pub");

    // Whoever has heard of it takes nothing more from that key: here by a bundle that brings nothing else.
    let first_again = sign_again(&vendor, 1, &first);
    let told = process::text(&mut informed.importing(&first_again));
    assert!(told.contains("nothing was to be done"), "{told}");
    assert_eq!(trusts(&informed), (2, 1));
    let before = informed.standing();
    let refused = process::finish(informed.importing(&second).arg("--activate")).expect(3);
    refused.expect_said(&[
        "SL0124",
        "was signed while trust root version 1 counted; under version 2 it has 0 of the 1 signatures",
        "the vendor has to sign this release again",
    ]);
    informed.expect_standing(&before, "a bundle of a revoked key");
    // Whoever has not heard of it cannot know.
    uninformed.activate(&second);

    let second_again = sign_again(&vendor, 2, &second);
    informed.activate(&second_again);
    for appliance in [&informed, &uninformed] {
        assert_eq!(appliance.active().as_deref(), Some("2.0.0"));
        appliance.expect_whole();
    }
}
