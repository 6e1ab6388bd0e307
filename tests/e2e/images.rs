//! Images as others make them: signed by cosign in both of its forms, with an SBOM that oras attached, in archives that
//! skopeo wrote. All of it is verified and copied behind the gap, where nobody can be asked.

use std::path::Path;
use std::process::Command;

use sealift_lab::vendor::{self, Referrers};
use sealift_tests::process::{self, Daemon};
use sealift_tests::registry::skopeo;
use sealift_tests::trust::ACME;
use sealift_tests::vendor::HOST;
use sealift_tests::{Appliance, Layout, Namespace, Registry, Side, Vendor, binaries, fixture, peers};
use serde_json::Value;

/// Where the appliance serves; free for sure, because the namespace is new.
const SHIM: &str = "127.0.0.1:5443";
const APP: &str = "acme/app:1.0";

/// What nothing but its digest connects with the image: a key pair, and the image's digest.
struct Signer<'a> {
    dir: &'a Path,
    image: String,
}

impl Signer<'_> {
    fn cosign(&self) -> Command {
        let mut command = Command::new(peers::tool("cosign"));
        command.current_dir(self.dir).env("COSIGN_PASSWORD", "a password").env("HOME", self.dir);
        command
    }

    /// Signs the index and its children in cosign's form of today, the index in its older form too, and attaches an
    /// SBOM to the index.
    fn sign(&self) {
        process::run(self.cosign().arg("generate-key-pair"));
        for form in [&["--recursive"][..], &["--new-bundle-format=false"]] {
            let sign = ["sign", "--key=cosign.key", "--tlog-upload=false", "--use-signing-config=false"];
            let plain = ["--allow-http-registry", "--yes", &self.image];
            process::run(self.cosign().args(sign).args(form).args(plain));
        }
        fs_err::write(self.dir.join("sbom.json"), r#"{"spdxVersion":"SPDX-2.3"}"#).expect("an SBOM");
        process::run(
            Command::new(peers::tool("oras"))
                .current_dir(self.dir)
                .args(["attach", "--plain-http", "--artifact-type=application/spdx+json", &self.image])
                .arg("sbom.json:application/spdx+json"),
        );
    }
}

/// Carries the release of `vendor` over the gap and serves it there.
fn carry(vendor: &Vendor, gap: &Namespace) -> (Appliance, Daemon) {
    vendor.lock();
    let appliance = Appliance::running(&ACME, &vendor.bundle());
    let mut command = gap.command(binaries::path("sealift-registry"));
    command.arg("--store").arg(appliance.store()).args(["--listen", SHIM]);
    let mut shim = Daemon::start("sealift-registry", &command, &appliance.path(""));
    shim.await_log(|log| log.contains("ready http://").then_some(()));
    (appliance, shim)
}

/// The child of an index that the release is for.
fn child_of(images: &Layout, index: &str) -> String {
    let index: Value = serde_json::from_slice(&images.blob(index)).expect("an index");
    let children = index["manifests"].as_array().expect("children");
    let child = children.iter().find(|child| child["platform"]["architecture"] == "amd64").expect("a child");
    child["digest"].as_str().expect("a digest").to_owned()
}

fn json_at(side: Side<'_>, url: &str) -> Value {
    process::json(side.command(peers::tool("curl")).args(["--silent", "--fail", "--noproxy", "*", url]))
}

#[test]
fn what_cosign_and_oras_attached_is_found_and_verified_behind_the_gap() {
    let images = fixture::images();
    // The distribution project's registry knows no referrers API, so clients keep lists of their own.
    let older = Registry::start(Side::Vendor);
    let newer =
        vendor::Registry::start_with(vendor::Config { referrers: Referrers::Paged(1), ..Default::default() })
            .expect("a free port");
    for (authority, has_api) in [(older.authority().to_owned(), false), (newer.addr().to_string(), true)] {
        let vendor = Vendor::new(&ACME);
        let source = format!("{authority}/{APP}");
        process::run(
            skopeo(Side::Vendor)
                .args(["copy", "--all", "--preserve-digests", "--dest-tls-verify=false"])
                .arg(format!("oci:{}:app", images.dir().display()))
                .arg(format!("docker://{source}")),
        );
        let index = images.digest("app");
        Signer { dir: &vendor.path(""), image: format!("{authority}/acme/app@{index}") }.sign();
        vendor.define("1.0.0", 1, &format!("images:\n- {{reference: '{source}', name: '{HOST}/{APP}'}}\n"));

        let gap = Namespace::new();
        let (_appliance, _shim) = carry(&vendor, &gap);
        let carried = format!("{SHIM}/{HOST}/acme/app");
        for form in ["--new-bundle-format=true", "--new-bundle-format=false"] {
            let verify =
                ["verify", "--key=cosign.pub", "--insecure-ignore-tlog=true", "--allow-http-registry"];
            let mut cosign = gap.command(peers::tool("cosign"));
            cosign.current_dir(vendor.path("")).env("HOME", vendor.path("")).args(verify).arg(form);
            process::run(cosign.arg(format!("{carried}:1.0")));
        }
        let list =
            json_at(Side::Appliance(&gap), &format!("http://{SHIM}/v2/{HOST}/acme/app/referrers/{index}"));
        let types: Vec<&str> = list["manifests"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|referrer| referrer["artifactType"].as_str().expect("a type"))
            .collect();
        assert_eq!(types, ["application/vnd.dev.sigstore.bundle.v0.3+json", "application/spdx+json"]);
        if has_api {
            let mut offered = Vec::new();
            for page in 0..2 {
                let url = format!("http://{authority}/v2/acme/app/referrers/{index}?last={page}");
                offered.extend(json_at(Side::Vendor, &url)["manifests"].as_array().expect("a list").clone());
            }
            assert_eq!(list["manifests"], Value::Array(offered), "the list is another than the vendor's");
        }
        // Whoever knows only tags finds the same.
        let tags = json_at(Side::Appliance(&gap), &format!("http://{SHIM}/v2/{HOST}/acme/app/tags/list"));
        let tags = tags["tags"].to_string();
        let stem = index.replace(':', "-");
        assert!(tags.contains(&format!("\"{stem}.sig\"")), "{tags}");
        assert_eq!(tags.contains(&format!("\"{stem}\"")), !has_api, "{tags}");
        // Of the index, crane would want the other platform's child too.
        let child = format!("{carried}@{}", child_of(&images, &index));
        process::run(gap.command(peers::tool("crane")).args(["validate", "--insecure", "--remote", &child]));
        assert_eq!(gap.escaped_packets(), 0, "something tried to leave");
    }
}

#[test]
fn an_archive_that_skopeo_wrote_is_carried_layer_by_layer() {
    let images = fixture::images();
    let vendor = Vendor::new(&ACME);
    process::run(
        skopeo(Side::Vendor)
            .arg("copy")
            .arg(format!("oci:{}:tools", images.dir().display()))
            .arg(format!("docker-archive:{}:acme/tools:1.0", vendor.path("tools.tar").display())),
    );
    vendor.define(
        "1.0.0",
        1,
        &format!("images:\n- {{dockerArchive: tools.tar, reference: 'acme/tools:1.0', name: '{HOST}/acme/tools:1.0'}}\n"),
    );
    let gap = Namespace::new();
    let (appliance, _shim) = carry(&vendor, &gap);
    process::run(
        skopeo(Side::Appliance(&gap))
            .args(["copy", "--preserve-digests", "--src-tls-verify=false"])
            .arg(format!("docker://{SHIM}/{HOST}/acme/tools:1.0"))
            .arg(format!("oci:{}:tools", appliance.path("copy").display())),
    );
    let layers = |layout: &Layout| {
        let manifest: Value =
            serde_json::from_slice(&layout.blob(&layout.digest("tools"))).expect("a manifest");
        let config = manifest["config"]["digest"].as_str().expect("a configuration").to_owned();
        let config: Value = serde_json::from_slice(&layout.blob(&config)).expect("a configuration");
        (config["rootfs"]["diff_ids"].clone(), manifest["layers"].clone())
    };
    let copy = Layout::new(appliance.path("copy"));
    let ((expected, _), (found, carried)) = (layers(&images), layers(&copy));
    assert_eq!(found, expected, "other layers than the image has");
    for (layer, diff_id) in carried.as_array().expect("layers").iter().zip(found.as_array().expect("layers"))
    {
        // They are not compressed in such an archive, and so their digest is that of what they hold.
        assert_eq!(layer["digest"], *diff_id);
        let bytes = copy.blob(diff_id.as_str().expect("a digest"));
        assert_eq!(sealift_tests::layout::digest(&bytes), diff_id.as_str().expect("a digest"));
    }
    assert_eq!(gap.escaped_packets(), 0, "something tried to leave");
}
