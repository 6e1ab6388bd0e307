//! One stick for every appliance, and bundles of what is new: vendor, courier and operators with the programs alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use sealift_lab::vendor::image::noise;
use sealift_tests::trust::ACME;
use sealift_tests::{Appliance, Vendor, peers, process};

use crate::scene::GZIP;

/// A vendor of four releases, each bundled on its own: a large layer that all have, and small ones.
fn vendor() -> (Vendor, Vec<PathBuf>) {
    let vendor = Vendor::new(&ACME);
    let bundles = (1..=4).map(|number| release(&vendor, number, &[])).collect();
    (vendor, bundles)
}

/// Bundles `1.N.0`, sequence N, which can follow the one before it.
fn release(vendor: &Vendor, number: u64, more: &[&str]) -> PathBuf {
    define(vendor, number);
    vendor.bundle_by(vendor.bundling().args(more))
}

/// Writes its definition, and locks it.
fn define(vendor: &Vendor, number: u64) {
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

#[test]
fn a_receipt_is_encrypted_for_the_vendor_and_age_can_read_it() {
    let (vendor, bundles) = vendor();
    let appliance = appliance_at(3, &bundles);
    let key = vendor.path("receipts.key");
    process::run(Command::new(peers::tool("age-keygen")).arg("-o").arg(&key));
    let recipient = process::text(Command::new(peers::tool("age-keygen")).arg("-y").arg(&key));
    let recipient = recipient.trim();
    let config = format!("apiVersion: sealift/v1\nkind: Appliance\nreceipt: {{recipient: {recipient}}}\n");
    fs::write(vendor.path("appliance.yaml"), config).expect("room for a file");
    let config = vendor.path("appliance.yaml");
    let receiving = |args: &[&str]| {
        let mut command = appliance.sealiftctl();
        command.arg("--config").arg(&config).arg("receipt").args(args);
        command
    };
    process::run(receiving(&["-o"]).arg(vendor.path("")));
    let sealed = vendor.path("acme-appliance-1.3.0.receipt.json.age");
    let said = process::text(Command::new(peers::tool("age")).args(["-d", "-i"]).arg(&key).arg(&sealed));
    // Between the two runs a second may pass.
    let undated = |text: &str| {
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains("\"created\"")).collect();
        lines.join("\n")
    };
    assert_eq!(undated(&said), undated(&process::text(&mut receiving(&["--plain"]))));

    // What `age` itself encrypted is read as well, for whomever else it is.
    let by_age = vendor.path("by-age.age");
    fs::write(vendor.path("plain.json"), said).expect("room for a file");
    let other = process::text(&mut Command::new(peers::tool("age-keygen")));
    let other = other.lines().find_map(|line| line.strip_prefix("# public key: ")).expect("a public key");
    let mut age = Command::new(peers::tool("age"));
    process::run(age.args(["-r", other, "-r", recipient, "-o"]).arg(&by_age).arg(vendor.path("plain.json")));

    define(&vendor, 4);
    for receipt in [sealed, by_age] {
        let plan = |identity: &[&str]| {
            let mut command = vendor.bundling();
            command.arg("--base").arg(&receipt).args(["--known", "out", "--plan", "--json"]).args(identity);
            command
        };
        let told = process::json(&mut plan(&["--identity", key.to_str().expect("a plain path")]));
        assert_eq!(told["needs"][0]["version"], "1.3.0", "{told}");
        let told = process::json(plan(&[]).env("SEALIFT_AGE_IDENTITY", &key));
        assert_eq!(told["needs"][0]["version"], "1.3.0", "{told}");
        process::finish(&plan(&[])).expect(2).expect_said(&["SL0442", "--identity"]);
    }
}
