//! Sources that are not what the definition says: files, k3s's assets, names. All of it is told in one run, with the
//! place and the figure, and nothing is written.

use fs_err as fs;
use sealift_archive::Digest;
use sealift_lab::vendor::{Fault, Target};
use sealift_tests::trust::ACME;
use sealift_tests::{Appliance, Vendor, process};

use crate::scene::offer;
use crate::told::assert_told;

const K3S: &str = "kubernetes:
  distribution: k3s
  version: v1.36.4+k3s1
  files:
    checksums: k3s/sha256sum-amd64.txt
    binary: k3s/k3s
    images: k3s/k3s-images.txt
    installScript: {path: k3s/install.sh, sha256: SCRIPT}
";
/// Stands in for k3s's own files, which cannot be had here: what counts is that they are carried as they are.
const FILES: [(&str, &[u8]); 3] =
    [("k3s", b"\x7fELF, or so it says"), ("install.sh", b"#!/bin/sh\n"), ("k3s-arm64", b"\x7fELF too")];

/// A vendor with one image and a k3s release, whose image list names that image.
fn vendor() -> Vendor {
    let vendor = Vendor::new(&ACME);
    offer(&vendor);
    fs::create_dir(vendor.path("k3s")).expect("room for a file");
    for (name, bytes) in FILES {
        fs::write(vendor.path("k3s").join(name), bytes).expect("room for a file");
    }
    let sums: String = ["k3s", "k3s-arm64"].map(|name| format!("{}  {name}\n", digest(name).hex())).concat();
    fs::write(vendor.path("k3s/sha256sum-amd64.txt"), sums).expect("room for a file");
    let image = vendor.registry().name("acme/app:1.0");
    fs::write(vendor.path("k3s/k3s-images.txt"), format!("{image}\n")).expect("room for a file");
    vendor
}

fn digest(name: &str) -> Digest {
    let (_, bytes) = FILES.iter().find(|(file, _)| *file == name).expect("one of the files");
    Digest::of(bytes)
}

fn k3s() -> String {
    K3S.replace("SCRIPT", &digest("install.sh").hex())
}

#[test]
fn files_are_carried_as_they_are() {
    let vendor = vendor();
    let guide = vec![7; 300_000];
    vendor.registry().add_file("/dist/guide.pdf", guide.clone());
    let url = vendor.registry().url("/dist/guide.pdf");
    fs::write(vendor.path("machine.qcow2"), b"QFI").expect("room for a file");
    fs::write(vendor.path("notes.txt"), b"read me").expect("room for a file");
    let rest = format!(
        "{}os:\n  base: ubuntu-24.04\n  artifacts:\n  - {{name: machine.qcow2, path: machine.qcow2}}\n  \
         - {{name: notes.txt, path: notes.txt, carry: true}}\nfiles:\n- {{name: docs/guide.pdf, url: '{url}'}}\n",
        k3s()
    );
    vendor.define("1.0.0", 1, &rest);
    vendor.lock();
    // A connection that breaks off in the middle is taken up again, for plain files too.
    vendor.registry().faults().once(Target::Path("/dist/guide.pdf".to_owned()), Fault::Cut(100_000));
    let archive = vendor.bundle();
    let inspected = process::json(vendor.sealift().arg("inspect").arg(&archive).arg("--json"));
    let release = &inspected["releases"][0];
    let machine = &release["statement"]["os"]["artifacts"]["machine.qcow2"];
    assert_eq!(*machine, serde_json::json!({"digest": Digest::of(b"QFI"), "size": 3}), "{release}");
    let files = release["refs"]["files"].as_object().expect("files");
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let expected = [
        "docs/guide.pdf",
        "k3s/install.sh",
        "k3s/k3s",
        "k3s/k3s-images.txt",
        "k3s/sha256sum-amd64.txt",
        "os/notes.txt",
    ];
    assert_eq!(names, expected);
    assert_eq!(release["refs"]["images"].as_object().expect("images").len(), 1);

    let appliance = Appliance::running(&ACME, &archive);
    for (name, bytes) in
        [("docs/guide.pdf", &guide[..]), ("k3s/k3s", FILES[0].1), ("os/notes.txt", b"read me")]
    {
        let digest: Digest = files[name]["digest"].as_str().expect("a digest").parse().unwrap();
        assert!(fs::read(appliance.store().join(digest.blob_path())).unwrap() == bytes, "{name}");
    }
    let machine = Digest::of(b"QFI").blob_path();
    assert!(!appliance.store().join(machine).exists(), "what is not to be carried was carried");
}

#[test]
fn all_that_is_wrong_is_told_together() {
    let vendor = vendor();
    fs::write(vendor.path("k3s/k3s"), b"something else").expect("room for a file");
    fs::write(vendor.path("k3s/k3s-armhf"), b"\x7fELF three").expect("room for a file");
    fs::write(vendor.path("notes.txt"), b"read me").expect("room for a file");
    let rest = format!(
        "{}images:\n{}files:\n- {{name: missing.txt, path: nowhere.txt}}\n- {{name: gone.txt, url: '{}'}}\n- {{name: \
         notes.txt, path: notes.txt, sha256: {}}}\n",
        k3s().replace("binary: k3s/k3s", "binary: [k3s/k3s, k3s/k3s-arm64, k3s/k3s-armhf]"),
        vendor.image("acme/app:9.9"),
        vendor.registry().url("/gone.txt"),
        Digest::of(b"other").hex(),
    );
    vendor.define("1.0.0", 1, &rest);
    let told = process::finish(vendor.sealift().args(["lock", "RELEASE.yaml"]));
    assert_told!("all_together", told.expect(1));
    assert!(!vendor.path("RELEASE.lock.json").exists());

    // Programs get the same as a list.
    let told = process::finish(vendor.sealift().args(["lock", "RELEASE.yaml", "--json"]));
    let stderr = told.stderr();
    let line = stderr.lines().last().expect("an error");
    let error: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let codes: Vec<&str> = error["error"]["errors"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|e| e["code"].as_str())
        .collect();
    assert_eq!(codes, ["SL0461", "SL0462", "SL0209", "SL0499", "SL0209", "SL0461"]);
}

#[test]
fn names_that_differ_only_in_case_are_kept_apart() {
    let vendor = vendor();
    fs::write(vendor.path("notes.txt"), b"read me").expect("room for a file");
    let rest =
        "files:\n- {name: docs/Notes.txt, path: notes.txt}\n- {name: docs/notes.txt, path: notes.txt}\n";
    vendor.define("1.0.0", 1, rest);
    assert_told!("names_alike", process::finish(vendor.sealift().args(["lock", "RELEASE.yaml"])).expect(2));

    let rest = "files:\n- {name: docs, path: notes.txt}\n- {name: docs-old, path: notes.txt}\n- {name: docs/a, path: notes.txt}\n";
    vendor.define("1.0.0", 1, rest);
    let told = process::finish(vendor.sealift().args(["lock", "RELEASE.yaml"])).expect(2).stderr();
    assert!(told.contains("SL0469") && told.contains("`docs/a`"), "{told}");
}

#[test]
fn a_file_that_changes_after_the_lock_is_noticed() {
    let vendor = vendor();
    fs::write(vendor.path("notes.txt"), b"read me").expect("room for a file");
    vendor.define("1.0.0", 1, "files:\n- {name: notes.txt, path: notes.txt}\n");
    vendor.lock();
    for (changed, expected) in [(&b"read me!"[..], 2), (b"read ME", 2)] {
        fs::write(vendor.path("notes.txt"), changed).expect("room for a file");
        let told = process::finish(&vendor.bundling()).expect(expected).stderr();
        assert!(told.contains("SL0466") && told.contains("notes.txt"), "{told}");
    }
}
