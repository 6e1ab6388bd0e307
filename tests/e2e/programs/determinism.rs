//! The same release makes the same archive, whoever makes it: on any number of cores, from a registry or from a layout.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use sealift_archive::format::HEAD_BYTES;
use sealift_archive::format::head::Head;
use sealift_lab::vendor::Image;
use sealift_lab::vendor::image::{File, Layer, noise};
use sealift_tests::trust::ACME;
use sealift_tests::vendor::{HOST, behind_head};
use sealift_tests::{Vendor, fixture, peers, process};

use crate::scene::PLAIN;

const DATE: &str = "1700000000";

/// A vendor with an index over two platforms, an image that is squeezed, folders and files; and its images in a layout too.
fn vendor() -> Vendor {
    let vendor = Vendor::new(&ACME);
    let layer = |seed, size| Layer::of(&[File::plain("data", noise(seed, size))]).expect("a layer");
    let base = layer(1, 6_000_000);
    let image = |platform: &str, seed| Image::new(platform, &[base.clone(), layer(seed, 50_000)], &["/app"]);
    let index = Image::index(&[image("linux/amd64", 2), image("linux/arm64", 3)]);
    vendor.registry().add_image("acme/app", "1.0", &index).expect("room in memory");
    vendor.offer("acme/plain", "1.0", PLAIN, &[b"squeezed ".repeat(1_200_000), noise(4, 5_000_000)]);
    for name in ["app", "plain"] {
        let copy = ["--insecure-policy", "copy", "--all", "--preserve-digests", "--src-tls-verify=false"];
        let source = format!("docker://{}", vendor.registry().name(&format!("acme/{name}:1.0")));
        let mut skopeo = Command::new(peers::tool("skopeo"));
        process::run(
            skopeo.args(copy).args([source, format!("oci:layout:{name}")]).current_dir(vendor.path("")),
        );
    }
    fixture::write_git_folder(&vendor.path("gitops"));
    fixture::write_chart(&vendor.path("chart"), "web", "1.0.0", "registry.example.com/acme/app:1.0");
    fs::write(vendor.path("notes.txt"), "notes\n".repeat(1000)).expect("room for a file");
    vendor
}

/// Locks and bundles the release into a folder of its own, on so many threads.
fn bundle(vendor: &Vendor, images: &str, threads: &str, out: &str, more: &[&str]) -> PathBuf {
    let rest = format!(
        "upgradeFrom: [1.0.0]\nimages:\n{images}charts: [{{path: chart}}]\nflux: [{{name: apps, path: gitops}}]\n\
         git: [{{name: fleet, path: gitops}}]\nfiles: [{{name: notes.txt, path: notes.txt}}]\n"
    );
    vendor.define("1.1.0", 2, &rest);
    process::run(vendor.sealift().args(["lock", "RELEASE.yaml"]).env("SOURCE_DATE_EPOCH", DATE));
    let mut bundling = vendor.bundling_into(Path::new(out));
    bundling.args(more).env("SOURCE_DATE_EPOCH", DATE).env("RAYON_NUM_THREADS", threads);
    vendor.bundle_by(&mut bundling)
}

/// What the head says, apart from signatures: those of ECDSA differ each time.
fn documents(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = fs::read(archive).expect("the archive");
    let area = &bytes[..usize::try_from(HEAD_BYTES).expect("a small number")];
    let head = Head::parse("the archive", area).expect("a head");
    let statements = head.statements.iter().map(|(n, bytes)| (format!("release {n}"), bytes.clone()));
    let roots = head.roots.iter().map(|root| (format!("root {}", root.version()), root.bytes().to_vec()));
    statements.chain(roots).chain([("pack.json".to_owned(), head.packing.clone())]).collect()
}

#[test]
fn the_same_lock_makes_the_same_archive() {
    let vendor = vendor();
    let from_registry = vendor.image("acme/app:1.0") + &vendor.image("acme/plain:1.0");
    let from_layout: String = ["app", "plain"]
        .map(|name| format!("- {{ociLayout: layout, reference: {name}, name: '{HOST}/acme/{name}:1.0'}}\n"))
        .concat();
    // An earlier release that is a part of this one, to travel along or to be left out.
    vendor.define("1.0.0", 1, &format!("images:\n{}", vendor.image("acme/plain:1.0")));
    vendor.lock();
    let earlier = vendor.bundle();
    let earlier = earlier.to_str().expect("a plain path");
    for (kind, more) in
        [("alone", &[][..]), ("several", &["--with", earlier]), ("delta", &["--base", earlier])]
    {
        let made = [
            bundle(&vendor, &from_registry, "1", &format!("{kind}-registry-1"), more),
            bundle(&vendor, &from_registry, "8", &format!("{kind}-registry-8"), more),
            bundle(&vendor, &from_layout, "1", &format!("{kind}-layout-1"), more),
            bundle(&vendor, &from_layout, "8", &format!("{kind}-layout-8"), more),
        ];
        let (first, others) = made.split_first().expect("four archives");
        for other in others {
            assert_eq!(first.file_name(), other.file_name());
            assert!(documents(first) == documents(other), "{}: another head", other.display());
            assert!(behind_head(first) == behind_head(other), "{}: other data", other.display());
        }
    }
}
