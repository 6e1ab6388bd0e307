//! A folder that a web server serves.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use sealift_archive::Digest;
use sealift_archive::release::published::Envelope;

use crate::vendor::Vendor;

fn hex_of(bytes: &[u8]) -> String {
    Digest::of(bytes).hex()
}

#[test]
fn a_release_is_published_under_its_names_and_once() {
    let vendor = Vendor::new();
    let [first, second, _] = vendor.releases();
    vendor.run(&format!("publish {first} www --trust trust --plan")).expect(0, &["to bring   5 blobs"]);
    assert!(!vendor.path("www").exists(), "a plan makes no folder");
    let done = vendor.publish(&first, "www");
    // Three files, the blob list and refs.json.
    assert_eq!(done["toBring"]["blobs"], 5, "{done}");
    let tree = vendor.tree("www");
    for (name, bytes) in &tree {
        if let Some(hex) = name.strip_prefix("blobs/sha256/") {
            assert_eq!(hex, hex_of(bytes));
        } else if name != ".lock" {
            let envelope = Envelope::parse(name, bytes).unwrap();
            assert_eq!(envelope.signatures.iter().count(), 1, "{name}");
            if let Some(rest) = name.strip_prefix("releases/") {
                assert_eq!(rest, format!("{}.json", hex_of(&envelope.document)));
            } else {
                assert_eq!(name, "roots/1.json");
            }
        }
    }
    assert_eq!(tree.len(), 5 + 1 + 1 + 1, "{:?}", tree.keys());

    // A second run does nothing, and the next release brings only what is new.
    let again = vendor.publish(&first, "www");
    assert_eq!((&again["toBring"]["blobs"], again["envelopes"].as_array().unwrap().len()), (&0.into(), 0));
    assert_eq!(vendor.tree("www"), tree);
    let planned =
        vendor.run(&format!("publish {second} www --trust trust --plan --json")).expect(0, &[]).json();
    assert_eq!(vendor.tree("www"), tree, "a plan writes nothing");
    let done = vendor.publish(&second, "www");
    assert_eq!(done["toBring"], planned["toBring"]);
    assert_eq!(done["toBring"]["blobs"], 4, "{done}");
    assert_eq!(vendor.tree("www").len(), tree.len() + 5);
}

#[test]
fn what_is_damaged_there_is_found_and_replaced() {
    let vendor = Vendor::new();
    let first = vendor.release("1.0.0", 1, "");
    vendor.publish(&first, "www");
    let whole = vendor.tree("www");
    for (name, bytes) in whole.iter().filter(|(name, _)| *name != ".lock") {
        let file = vendor.path("www").join(name);
        let mut changed = bytes.clone();
        changed[bytes.len() / 2] ^= 1;
        for damage in [changed, bytes[..bytes.len() / 2].to_vec(), Vec::new()] {
            fs::write(&file, damage).unwrap();
            let done = vendor.run(&format!("publish {first} www --trust trust --json"));
            let root = name.starts_with("roots/");
            if root && done.text.contains("SL0425") {
                // A letter of the document itself has changed: that is another trust root.
                fs::write(&file, bytes).unwrap();
                continue;
            }
            done.expect(0, &[]);
            let found = fs::read(&file).unwrap();
            let is_envelope = !name.starts_with("blobs/");
            let document = |bytes: &[u8]| Envelope::parse(name, bytes).unwrap().document;
            // A changed signature may be kept beside the good one.
            assert!(found == *bytes || is_envelope && document(&found) == document(bytes), "{name}");
            fs::write(&file, bytes).unwrap();
        }
        fs::remove_file(&file).unwrap();
        vendor.publish(&first, "www");
        assert_eq!(fs::read(&file).unwrap(), *bytes, "{name}");
    }
    fs::remove_file(vendor.path("www/roots/1.json")).unwrap();
    fs::create_dir(vendor.path("www/roots/1.json")).unwrap();
    vendor.run(&format!("publish {first} www --trust trust")).expect(1, &["roots/1.json"]);
}

#[test]
fn nothing_is_written_through_what_is_no_file() {
    let vendor = Vendor::new();
    let first = vendor.release("1.0.0", 1, "");
    let shared = hex_of(&fs::read(vendor.path("shared.img")).unwrap());
    fs::create_dir_all(vendor.path("www/blobs/sha256")).unwrap();
    fs::write(vendor.path("elsewhere"), "mine").unwrap();
    let link = vendor.path("www/blobs/sha256").join(shared);
    std::os::unix::fs::symlink(vendor.path("elsewhere"), &link).unwrap();
    vendor.run(&format!("publish {first} www --trust trust")).expect(2, &["SL0419", "is no plain file"]);
    assert_eq!(fs::read(vendor.path("elsewhere")).unwrap(), b"mine");

    for (place, said) in [
        ("RELEASE.yaml", "it is not a folder"),
        ("https://releases.acme.example/", "neither a folder nor an `oci://` address"),
        ("oci://registry.example.com/acme:1.0", "`acme:1.0` is not a repository"),
    ] {
        vendor.run(&format!("publish {first} {place} --trust trust")).expect(2, &["SL0418", said]);
    }
}

#[test]
fn a_run_that_was_killed_is_gone_on_with() {
    let vendor = Vendor::new();
    let first = vendor.release("1.0.0", 1, "");
    vendor.publish(&first, "whole");
    let whole = vendor.tree("whole");
    let mut rounds = 0;
    // Killed later and later, until it is done before.
    for wait in (0..).map(|round| Duration::from_millis(round * round)) {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("sealift"));
        command.args(["publish", &first, "www", "--trust", "trust"]).current_dir(vendor.path(""));
        let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < wait && run.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let is_done = run.try_wait().unwrap().is_some_and(|status| status.success());
        run.kill().unwrap();
        run.wait().unwrap();
        // Whatever is there under its name is whole; what is half-written has another.
        if vendor.path("www").is_dir() {
            for (name, bytes) in vendor.tree("www") {
                assert!(name.contains("/.tmp") || whole.get(&name) == Some(&bytes), "{name} after {wait:?}");
            }
        }
        rounds += 1;
        if is_done {
            break;
        }
    }
    assert!(rounds > 1, "it was never killed");
    fs::write(vendor.path("www/blobs/sha256/.tmpAbCdEf"), "half of something").unwrap();
    vendor.publish(&first, "www");
    assert_eq!(vendor.tree("www"), whole);
}

#[test]
fn only_one_writes_at_a_time() {
    let vendor = Vendor::new();
    let first = vendor.release("1.0.0", 1, "");
    vendor.publish(&first, "www");
    let lock = fs::File::open(vendor.path("www/.lock")).unwrap();
    lock.file().lock().unwrap();
    vendor.run(&format!("publish {first} www --trust trust")).expect(5, &["SL0121"]);
    vendor.promote("1.0.0 --to stable", "www").expect(5, &["SL0121"]);
    vendor.run("channel show www --trust trust").expect(0, &["no channel is published"]);
    drop(lock);
    vendor.publish(&first, "www");
}

#[test]
fn the_place_of_another_vendor_is_left_alone() {
    let (vendor, other) = (Vendor::new(), Vendor::new());
    let first = vendor.release("1.0.0", 1, "");
    vendor.publish(&first, "www");
    let before = vendor.tree("www");
    let theirs = other.release("1.0.0", 1, "");
    let place = vendor.path("www").display().to_string();
    other.run(&format!("publish {theirs} {place} --trust trust")).expect(3, &["SL0425"]);
    assert_eq!(vendor.tree("www"), before);
    // Nor is a bundle published that somebody else has signed.
    let bundle = other.path(&theirs).display().to_string();
    vendor.run(&format!("publish {bundle} www --trust trust")).expect(3, &["SL0115"]);
}

#[test]
fn a_delta_is_published_where_the_rest_is() {
    let vendor = Vendor::new();
    let first = vendor.release("1.0.0", 1, "");
    vendor.release("1.1.0", 2, "upgradeFrom: [1.0.0]");
    let keys = "--release-key release.key --pack-key pack.key";
    let delta = format!("bundle RELEASE.yaml --trust trust {keys} -o delta --base {first}");
    vendor.run(&delta).expect(0, &[]);
    let delta = "delta/acme-1.1.0.from-1.0.0.tar.zst";
    vendor.run(&format!("publish {delta} www --trust trust")).expect(3, &["SL0130"]);
    vendor.publish(&first, "www");
    assert_eq!(vendor.publish(delta, "www")["toBring"]["blobs"], 4);
    vendor.promote("1.1.0 --to stable", "www").expect(0, &[]);
}
