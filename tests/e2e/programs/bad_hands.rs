//! People who hold the wrong key, the wrong archive, or the right one at the wrong time.

use std::process::Command;

use sealift_tests::process::{self, Running, Signal};
use sealift_tests::trust::{ACME, OTHER};
use sealift_tests::vendor::behind_head;
use sealift_tests::{Appliance, Tree, Vendor};

use crate::scene::{ARCHIVE, GZIP, UNTROUBLED, large, locked, stalled};

#[test]
fn keys_that_do_not_fit() {
    let vendor = locked();
    OTHER.write(&vendor.path("other"));
    let bundling = |release_key: &str, pack_key: &str| {
        let mut command = vendor.sealift();
        command.args(["bundle", "RELEASE.yaml", "--trust", "trust/root.json", "-o", "out"]);
        command.args(["--release-key", release_key, "--pack-key", pack_key]);
        command
    };
    let wrong_password = {
        let mut command = vendor.bundling();
        command.env("COSIGN_PASSWORD", "wrong");
        command
    };
    let no_password = {
        let mut command = vendor.bundling();
        command.env_remove("COSIGN_PASSWORD");
        command
    };
    let (release, pack) = ("trust/release.key", "trust/pack.key");
    let cases: [(&str, Command, &[&str]); 7] = [
        (
            "wrong password",
            wrong_password,
            &["the password does not open `trust/release.key`", "COSIGN_PASSWORD"],
        ),
        ("no password", no_password, &["there is no password for `trust/release.key`", "COSIGN_PASSWORD"]),
        ("public release key", bundling("trust/release.pub", pack), &["`trust/release.pub` is a public key"]),
        ("public pack key", bundling(release, "trust/pack.pub"), &["`trust/pack.pub` is a public key"]),
        ("pack key as release key", bundling(pack, pack), &["does not have role `release`"]),
        ("release key as pack key", bundling(release, release), &["does not have role `pack`"]),
        ("another vendor's key", bundling("other/release.key", pack), &["does not have role `release`"]),
    ];
    for (case, command, said) in cases {
        process::finish(&command).expect(2).expect_said(said);
        assert!(!vendor.path("out").join(ARCHIVE).exists(), "{case}");
    }
    assert!(behind_head(&vendor.bundle()) == *UNTROUBLED);
}

#[test]
fn locks_that_do_not_fit() {
    let vendor = locked();
    let hint = "hint: run `sealift lock RELEASE.yaml`";
    vendor.define("1.0.1", 1, &format!("images:\n{}", vendor.image("acme/app:1.0")));
    process::finish(&vendor.bundling()).expect(2).expect_said(&["`RELEASE.lock.json` is stale", hint]);
    fs_err::remove_file(vendor.path("RELEASE.lock.json")).expect("the lock was there");
    process::finish(&vendor.bundling()).expect(2).expect_said(&["`RELEASE.lock.json` is missing", hint]);
    assert!(vendor.registry().seen().is_empty(), "the registry was asked before the lock was read");
}

#[test]
fn two_people_sign() {
    let vendor = locked();
    OTHER.write(&vendor.path("bob"));
    let alice = ["--key", "trust/release.key"];
    let bob = ["--key", "bob/release.key"];
    // One root of trust for both: the vendor's, with two release keys.
    process::run(vendor.sealift().args([
        "trust",
        "init",
        "both",
        "--root-key=trust/root.key",
        "--release-key=trust/release.pub",
        "--release-key=bob/release.pub",
        "--pack-key=trust/pack.pub",
    ]));
    let packing = ["--trust", "both/root.json", "--pack-key", "trust/pack.key", "-o", "out"];
    let mut bundling = vendor.sealift();
    bundling.args(["bundle", "RELEASE.yaml", "--statement", "statement"]).args(packing);
    process::run(vendor.sealift().args(["statement", "RELEASE.yaml", "-o", "statement"]));
    process::finish(&bundling)
        .expect(3)
        .expect_said(&["has 0 of the 1 signatures that role `release` needs"]);

    let sign = |key: &[&str]| {
        let mut command = vendor.sealift();
        command.args(["sign", "statement", "--trust", "both/root.json"]).args(key);
        process::finish(&command)
    };
    sign(&["--key", "trust/pack.key"]).expect(2).expect_said(&["does not have role `release`"]);
    sign(&alice).expect(0);
    sign(&bob).expect(0);
    let archive = vendor.bundle_by(&mut bundling);
    assert!(behind_head(&archive) == *UNTROUBLED, "who signs changes nothing that is signed");

    let verified =
        process::json(vendor.sealift().args(["--json", "verify", "--trust", "both/root.json"]).arg(&archive));
    assert_eq!(verified["releaseKeys"].as_array().map(Vec::len), Some(2), "{verified}");
    let appliance = Appliance::pinning(&vendor.path("both"));
    appliance.activate(&archive);
    assert_eq!(appliance.active().as_deref(), Some("1.0.0"));

    // What they signed is this release and no other.
    vendor.define("1.0.1", 1, &format!("images:\n{}", vendor.image("acme/app:1.0")));
    vendor.lock();
    let other = process::finish(&bundling).expect(2);
    other.expect_said(&["`statement/release.json`", "run `sealift statement` again"]);
}

#[test]
fn an_archive_of_another_vendor() {
    let vendor = locked();
    let archive = vendor.bundle();
    OTHER.write_root(&vendor.path("other"));
    let verify =
        process::finish(vendor.sealift().args(["verify", "--trust", "other/root.json"]).arg(&archive));
    verify.expect(3).expect_said(&["comes from another vendor"]);

    let appliance = Appliance::new(&OTHER);
    let before = appliance.standing();
    let import = process::finish(appliance.importing(&archive).arg("--activate"));
    import.expect(3).expect_said(&["comes from another vendor"]);
    appliance.expect_standing(&before, "another vendor's archive");
    assert_eq!(appliance.blobs(), 0);
}

#[test]
fn a_second_trust_root() {
    let appliance = Appliance::new(&ACME);
    OTHER.write_root(&appliance.path("other"));
    let before = appliance.standing();
    for root in ["root.json", "other/root.json"] {
        let pin = process::finish(appliance.sealiftctl().args(["trust", "pin", root]));
        pin.expect(3).expect_said(&["has a trust root already"]);
        appliance.expect_standing(&before, root);
    }
}

#[test]
fn releases_out_of_order() {
    let vendor = Vendor::new(&ACME);
    let bundle = |version: &str, sequence: u64, from: &str, content: u8| {
        vendor.offer("acme/app", version, GZIP, &[vec![content; 1000]]);
        let images = vendor.image(&format!("acme/app:{version}"));
        vendor.define(version, sequence, &format!("upgradeFrom: [{from}]\nimages:\n{images}"));
        vendor.lock();
        vendor.bundle()
    };
    let first = bundle("1.0.0", 1, "", 1);
    let second = bundle("2.0.0", 2, "1.0.0", 2);
    let third = bundle("3.0.0", 3, "2.0.0", 3);
    let impostor = bundle("2.0.1", 2, "1.0.0", 4);

    let (old, new) = (Appliance::running(&ACME, &first), Appliance::running(&ACME, &second));
    let cases: [(&str, &Appliance, _, &[&str]); 3] = [
        (
            "a skipped step",
            &old,
            &third,
            &["3.0.0 (sequence 3) cannot follow", "import and activate 2.0.0 first"],
        ),
        ("below the active one", &new, &first, &["1.0.0 (sequence 1) is below", "2.0.0 (sequence 2)"]),
        ("the same sequence again", &new, &impostor, &["sequence 2 is taken", "ask the vendor"]),
    ];
    for (case, appliance, archive, said) in cases {
        let (before, blobs) = (appliance.standing(), appliance.blobs());
        process::finish(appliance.importing(archive).arg("--activate")).expect(3).expect_said(said);
        appliance.expect_standing(&before, case);
        assert_eq!(appliance.blobs(), blobs, "{case}: content of a refused release was taken");
    }
    old.activate(&second);
    old.activate(&third);
    assert_eq!(old.active().as_deref(), Some("3.0.0"), "one step at a time");
}

#[test]
fn two_imports_at_once() {
    let vendor = locked();
    let (small, large) = (vendor.bundle(), large(&vendor));
    let appliance = Appliance::new(&ACME);
    let mut first = Running::start(appliance.importing(&large).arg("--activate"));
    first.watch("it has begun", || appliance.is_importing());
    first.signal(Signal::STOP);
    let before = appliance.standing();
    let second = process::finish(appliance.importing(&small).arg("--activate"));
    second.expect(5).expect_said(&["is being changed by `sealiftctl import", "hint: wait until it is done"]);
    appliance.expect_standing(&before, "the second import");
    first.signal(Signal::CONT);
    first.end().expect(0);
    assert_eq!(appliance.active().as_deref(), Some("2.0.0"), "the first one is not disturbed");
    appliance.expect_whole();
}

#[test]
fn two_bundlings_at_once() {
    let vendor = locked();
    let first = stalled(&vendor);
    let before = Tree::read(&vendor.path("out"));
    process::finish(&vendor.bundling())
        .expect(5)
        .expect_said(&[&format!("{ARCHIVE}.partial"), "another process"]);
    let changes = before.changes(&Tree::read(&vendor.path("out")));
    assert!(changes.is_empty(), "changed were {changes:?}");
    drop(first);
}
