//! Images as others keep them: signed by cosign in both of its forms, with an SBOM that oras attached, in registries with
//! and without a referrers API; and in an archive that skopeo wrote. All of it is verified and copied behind the gap.

use std::path::Path;
use std::process::Command;

use sealift_lab::vendor::{self, Referrers};
use sealift_tests::appliance::Shim;
use sealift_tests::cosign::{Cosign, Form};
use sealift_tests::registry::skopeo;
use sealift_tests::trust::ACME;
use sealift_tests::vendor::HOST;
use sealift_tests::{Appliance, Layout, Namespace, Registry, Side, Vendor, fixture, layout, peers, process};
use serde_json::Value;

const APP: &str = "acme/app:1.0";
const SBOM: &str = "application/spdx+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Puts the image into a registry, signs it in both forms, and has oras attach an SBOM; returns the public key.
fn offer(images: &Layout, authority: &str, cosign: &Cosign<'_>, dir: &Path) -> std::path::PathBuf {
    process::run(
        skopeo(Side::Vendor)
            .args(["copy", "--all", "--preserve-digests", "--dest-tls-verify=false"])
            .arg(format!("oci:{}:app", images.dir().display()))
            .arg(format!("docker://{authority}/{APP}")),
    );
    let image = format!("{authority}/acme/app@{}", images.digest("app"));
    let key = cosign.make_keys();
    for form in Form::ALL {
        cosign.sign(&image, form);
    }
    fs_err::write(dir.join("sbom.json"), r#"{"spdxVersion":"SPDX-2.3"}"#).expect("an SBOM");
    let mut oras = Command::new(peers::tool("oras"));
    oras.current_dir(dir).args(["attach", "--plain-http", "--artifact-type", SBOM, &image]);
    process::run(oras.arg(format!("sbom.json:{SBOM}")));
    key
}

/// Carries the release of `vendor` over the gap.
fn carry<'a>(vendor: &Vendor, gap: &'a Namespace) -> Appliance<'a> {
    vendor.lock();
    let archive = vendor.bundle();
    let appliance = Appliance::behind(gap, &vendor.path("trust"));
    appliance.activate(&archive);
    appliance
}

fn manifests(list: &[u8]) -> Vec<Value> {
    let list: Value = serde_json::from_slice(list).expect("a list is JSON");
    list["manifests"].as_array().expect("a list has manifests").clone()
}

fn tags(shim: &Shim<'_>) -> String {
    String::from_utf8(shim.get(&format!("/v2/{HOST}/acme/app/tags/list")).body).expect("a list of tags")
}

#[test]
fn what_cosign_and_oras_attached_is_found_and_verified_behind_the_gap() {
    let images = fixture::images();
    let index = images.digest("app");
    // The distribution project's registry knows no referrers API, so clients keep lists of their own.
    let older = Registry::start(Side::Vendor);
    let paged = vendor::Config { referrers: Referrers::Paged(1), ..vendor::Config::default() };
    let newer = vendor::Registry::start_with(paged).expect("a free port");
    for (authority, has_api) in [(older.authority().to_owned(), false), (newer.addr().to_string(), true)] {
        let vendor = Vendor::new(&ACME);
        let signer = Cosign::new(Side::Vendor);
        let key = offer(&images, &authority, &signer, &vendor.path(""));
        let image = format!("{{reference: '{authority}/{APP}', name: '{HOST}/{APP}'}}");
        vendor.define("1.0.0", 1, &format!("images:\n- {image}\n"));

        let gap = Namespace::new();
        let appliance = carry(&vendor, &gap);
        let shim = appliance.serve();
        let carried = format!("{}/{HOST}/{APP}", shim.authority());
        for form in Form::ALL {
            assert_eq!(Cosign::new(Side::Appliance(&gap)).verify(&key, &carried, form).len(), 1, "{form:?}");
        }
        let list = manifests(&shim.get(&format!("/v2/{HOST}/acme/app/referrers/{index}")).body);
        let types: Vec<_> = list.iter().map(|listed| listed["artifactType"].as_str()).collect();
        assert_eq!(types, [Some(BUNDLE), Some(SBOM)]);
        if has_api {
            let page = |last| format!("http://{authority}/v2/acme/app/referrers/{index}?last={last}");
            let curl = |last| process::run(Command::new(peers::tool("curl")).args(["-s", &page(last)]));
            let offered: Vec<Value> = (0..2).flat_map(|last| manifests(&curl(last))).collect();
            assert_eq!(list, offered, "the list is another than the vendor's");
        }
        // Whoever knows only tags finds the same.
        let stem = index.replace(':', "-");
        assert!(tags(&shim).contains(&format!("\"{stem}.sig\"")), "{}", tags(&shim));
        assert_eq!(tags(&shim).contains(&format!("\"{stem}\"")), !has_api, "{}", tags(&shim));
        assert_eq!(gap.escaped_packets(), 0, "something tried to leave");
    }
}

#[test]
fn a_layout_that_cosign_saved_is_carried_with_its_signatures() {
    let images = fixture::images();
    let registry = Registry::start(Side::Vendor);
    let vendor = Vendor::new(&ACME);
    let signer = Cosign::new(Side::Vendor);
    let key = offer(&images, registry.authority(), &signer, &vendor.path(""));
    signer
        .save(&format!("{}/acme/app@{}", registry.authority(), images.digest("app")), &vendor.path("saved"));
    vendor.define("1.0.0", 1, &format!("images:\n- {{ociLayout: saved, name: '{HOST}/{APP}'}}\n"));

    let gap = Namespace::new();
    let appliance = carry(&vendor, &gap);
    let shim = appliance.serve();
    let carried = format!("{}/{HOST}/{APP}", shim.authority());
    assert_eq!(Cosign::new(Side::Appliance(&gap)).verify(&key, &carried, Form::Tag).len(), 1);
    assert_eq!(gap.escaped_packets(), 0, "something tried to leave");
}

#[test]
fn an_archive_that_skopeo_wrote_is_carried_layer_by_layer() {
    let images = fixture::images();
    let vendor = Vendor::new(&ACME);
    let archive = format!("docker-archive:{}:acme/tools:1.0", vendor.path("tools.tar").display());
    let source = format!("oci:{}:tools", images.dir().display());
    process::run(skopeo(Side::Vendor).args(["copy", &source, &archive]));
    let image =
        format!("{{dockerArchive: tools.tar, reference: 'acme/tools:1.0', name: '{HOST}/acme/tools:1.0'}}");
    vendor.define("1.0.0", 1, &format!("images:\n- {image}\n"));

    let gap = Namespace::new();
    let appliance = carry(&vendor, &gap);
    let shim = appliance.serve();
    process::run(
        skopeo(Side::Appliance(&gap))
            .args(["copy", "--preserve-digests", "--src-tls-verify=false"])
            .arg(format!("docker://{}/{HOST}/acme/tools:1.0", shim.authority()))
            .arg(format!("oci:{}:tools", appliance.path("copy").display())),
    );
    let copy = Layout::new(appliance.path("copy"));
    let layers = layers(&copy);
    assert_eq!(diff_ids(&copy), diff_ids(&images), "other layers than the image has");
    // In such an archive they are not compressed, so each is named by what it holds.
    assert_eq!(layers, diff_ids(&copy));
    for digest in layers {
        assert_eq!(layout::digest(&copy.blob(&digest)), digest);
    }
    assert_eq!(gap.escaped_packets(), 0, "something tried to leave");
}

fn manifest(layout: &Layout) -> Value {
    serde_json::from_slice(&layout.blob(&layout.digest("tools"))).expect("a manifest is JSON")
}

fn layers(layout: &Layout) -> Vec<String> {
    let manifest = manifest(layout);
    let layers = manifest["layers"].as_array().expect("a manifest has layers");
    layers.iter().map(|layer| text(&layer["digest"])).collect()
}

fn diff_ids(layout: &Layout) -> Vec<String> {
    let config = layout.blob(&text(&manifest(layout)["config"]["digest"]));
    let config: Value = serde_json::from_slice(&config).expect("a configuration is JSON");
    config["rootfs"]["diff_ids"].as_array().expect("an image has layers").iter().map(text).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a digest is text").to_owned()
}
