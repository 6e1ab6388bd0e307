//! A release in the distribution project's registry: pushed by `sealift publish`, read by tools that know nothing of Sealift.

use std::process::Command;

use sealift_archive::release::published::Envelope;
use sealift_archive::{BlobList, Statement};
use sealift_lab::vendor::image::noise;
use sealift_tests::gap::Side;
use sealift_tests::registry::skopeo;
use sealift_tests::trust::ACME;
use sealift_tests::{Registry, Vendor, layout, peers, process, scratch};
use serde_json::Value;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Enough small files that one manifest cannot name them all.
const FILES: usize = 1_100;

#[test]
fn a_real_registry_takes_a_release_and_gives_it_to_others() {
    let vendor = Vendor::new(&ACME);
    vendor.offer("acme/app", "1.0", LAYER, &[noise(1, 20_000_000), noise(2, 3_000)]);
    fs_err::create_dir(vendor.path("files")).expect("a folder");
    let listed = (0..FILES).map(|number| {
        fs_err::write(vendor.path(format!("files/{number}")), format!("file {number}")).expect("a file");
        format!("  - {{name: f{number}, path: files/{number}}}\n")
    });
    let files = format!("files:\n{}", listed.collect::<Vec<_>>().concat());
    vendor.define("1.0.0", 1, &format!("images:\n{}{files}", vendor.image("acme/app:1.0")));
    vendor.lock();
    let archive = vendor.bundle();

    let registry = Registry::start(Side::Vendor);
    let repository = registry.repository("acme/appliance");
    let place = format!("oci://{}/acme/appliance", registry.authority());
    let publish = || {
        let mut command = vendor.sealift();
        command.args(["publish", "--json", "--trust", "trust"]).arg(&archive).arg(&place);
        process::json(&mut command)
    };
    let done = publish();
    let digest = done["statements"][0].as_str().expect("a digest").to_owned();
    let hex = digest.trim_start_matches("sha256:");
    let again = publish();
    assert_eq!((&again["toBring"]["blobs"], &again["envelopes"]), (&0.into(), &Value::Array(Vec::new())));

    // Everything is there, byte for byte, and named by manifests.
    let release: Value =
        serde_json::from_slice(&repository.manifest(&format!("release-{hex}"))).expect("JSON");
    let envelope = repository.blob(release["layers"][0]["digest"].as_str().expect("a digest"));
    let statement = Envelope::parse("envelope", &envelope).expect("an envelope").document;
    assert_eq!(layout::digest(&statement), digest);
    let statement = Statement::parse("statement", &statement).expect("a statement");
    let list = repository.blob(&statement.blob_list.digest.to_string());
    let list = BlobList::parse("blobs", &list).expect("a blob list");
    for blob in list.iter().chain([statement.refs]) {
        assert_eq!(layout::digest(&repository.blob(&blob.digest.to_string())), blob.digest.to_string());
    }
    let mut named = 0;
    for number in 0..2 {
        let content = repository.manifest(&format!("content-{hex}-{number}"));
        let content: Value = serde_json::from_slice(&content).expect("JSON");
        named += content["layers"].as_array().expect("layers").len();
    }
    assert_eq!(named, list.len() + 2);
    assert!(!repository.has(&format!("content-{hex}-2")));

    others_read(&registry, &format!("release-{hex}"));

    // The pointer moves in place, and whoever looks sees the last one.
    let key = vendor.path("channel.key");
    process::run(
        Command::new("openssl")
            .args(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"])
            .arg(&key),
    );
    let root = ["--root-key", "trust/root.key"];
    process::run(
        vendor.sealift().args(["trust", "rotate", "trust", "--add", "channel=channel.key"]).args(root),
    );
    let promote = |what: &str| {
        let mut command = vendor.sealift();
        command.args(["promote", what, "--to", "stable", &place, "--trust", "trust", "--key", "channel.key"]);
        process::json(command.arg("--json"))
    };
    assert_eq!(promote("1.0.0")["channel"]["version"], 1);
    assert_eq!(promote("--refresh")["channel"]["version"], 2);
    assert!(repository.has("root-2"));
    others_read(&registry, "channel-stable");
}

/// skopeo and crane read the manifest as it is, and copy what it names.
fn others_read(registry: &Registry<'_>, tag: &str) {
    let name = format!("{}/acme/appliance:{tag}", registry.authority());
    let manifest = registry.repository("acme/appliance").manifest(tag);
    let inspect = ["inspect", "--raw", "--tls-verify=false"];
    let raw = process::run(skopeo(Side::Vendor).args(inspect).arg(format!("docker://{name}")));
    assert_eq!(raw, manifest);
    let mut crane = Command::new(peers::tool("crane"));
    assert_eq!(process::run(crane.args(["manifest", "--insecure", &name])), manifest);
    let copy = scratch();
    let to = format!("oci:{}:copy", copy.path().display());
    let from = ["copy", "--preserve-digests", "--src-tls-verify=false"];
    process::run(skopeo(Side::Vendor).args(from).arg(format!("docker://{name}")).arg(to));
}
