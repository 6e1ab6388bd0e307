//! Images that charts and folders name: missed, found, and added on request.

use fs_err as fs;
use sealift_lab::vendor::image::MANIFEST;
use sealift_tests::Vendor;
use sealift_tests::process;
use sealift_tests::trust::ACME;

use crate::scene::{GZIP, offer};
use crate::told::assert_told;

const CHART: &str = "apiVersion: v2\nname: web\nversion: 1.0.0\n";
const TEMPLATE: &str = "apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: web
    image: \"{{ .Values.image.repository }}:{{ .Values.image.tag }}\"
";

/// A vendor whose chart and Git folder name two images of its registry.
fn vendor() -> Vendor {
    let vendor = Vendor::new(&ACME);
    offer(&vendor);
    vendor.offer("acme/web", "2.0", GZIP, &[b"web".to_vec()]);
    vendor.offer("acme/spare", "1.0", GZIP, &[b"spare".to_vec()]);
    fs::create_dir_all(vendor.path("web/templates")).expect("room for a file");
    fs::create_dir(vendor.path("gitops")).expect("room for a file");
    let web = vendor.registry().name("acme/web");
    fs::write(vendor.path("web/Chart.yaml"), CHART).expect("room for a file");
    fs::write(vendor.path("web/values.yaml"), format!("image:\n  repository: {web}\n  tag: '2.0'\n"))
        .expect("room for a file");
    fs::write(vendor.path("web/templates/pod.yaml"), TEMPLATE).expect("room for a file");
    let app = vendor.registry().name("acme/app:1.0");
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: app}}\nspec:\n  containers:\n  - {{name: app, image: '{app}'}}\n"
    );
    fs::write(vendor.path("gitops/app.yaml"), pod).expect("room for a file");
    let spare = vendor.registry().name("acme/spare:1.0");
    vendor.define(
        "1.0.0",
        1,
        &format!("images: ['{spare}']\ncharts: [{{path: web}}]\ngit: [{{name: fleet, path: gitops}}]\n"),
    );
    vendor
}

fn check(vendor: &Vendor) -> process::Ended {
    process::finish(vendor.sealift().args(["check", "--no-helm", "RELEASE.yaml"]))
}

#[test]
fn what_is_missing_is_named_with_its_place() {
    let vendor = vendor();
    vendor.lock();
    assert_told!("missing", check(&vendor).expect(1));
}

#[test]
fn what_is_missing_is_locked_on_request() {
    let vendor = vendor();
    process::run(vendor.sealift().args(["lock", "--discover", "--no-helm", "RELEASE.yaml"]));
    let told = check(&vendor).expect(0).stdout();
    assert!(told.contains("Complete") && told.contains("acme/spare:1.0  nothing names it"), "{told}");
    let archive = vendor.bundle();
    let told = process::json(vendor.sealift().arg("inspect").arg(&archive).arg("--json"));
    let images = told["releases"][0]["refs"]["images"].as_object().expect("images");
    for name in ["acme/app:1.0", "acme/web:2.0", "acme/spare:1.0"] {
        assert!(images.contains_key(&vendor.registry().name(name)), "{name}: {images:?}");
    }
}

#[test]
fn values_that_do_not_parse_are_told_with_line_and_column() {
    let vendor = vendor();
    fs::write(vendor.path("more.yaml"), "image:\n  repository: [\n").expect("room for a file");
    vendor.define("1.0.0", 1, "charts: [{path: web, values: [more.yaml]}]\n");
    vendor.lock();
    let told = check(&vendor).expect(2).stderr();
    assert!(told.contains("SL0441") && told.contains("`more.yaml` line 2, column"), "{told}");
}

#[test]
fn what_is_too_old_needs_a_waiver_that_is_signed() {
    let vendor = vendor();
    let spare = vendor.registry().name("acme/spare:1.0");
    let define = |rule: &str| {
        let content = format!("images: ['{spare}']\nos: {{base: ubuntu-24.04, built: 2026-01-31}}\n");
        vendor.define("1.0.0", 1, &format!("{content}rebuild: {{maxAgeDays: 30{rule}}}\n"));
        vendor.lock();
    };
    define("");
    let refused = check(&vendor).expect(1);
    // The image says nothing about its age.
    refused.expect_said(&["SL0479", "2 of what the release is made of"]);
    let told = refused.stdout();
    // Nothing is missing; but what fails is not called complete.
    assert!(told.starts_with("REFUSED: "), "{told}");
    for line in [format!("{spare}  it does not say when"), "ubuntu-24.04  ".to_owned()] {
        assert!(told.contains("too old") && told.contains(&line), "{line}: {told}");
    }
    let waiver =
        |name: &str, until: &str| format!("{{name: '{name}', reason: the last of its kind, until: {until}}}");
    define(&format!(
        ", waivers: [{}, {}]",
        waiver(&spare, "2999-12-31"),
        waiver("ubuntu-24.04", "2026-02-01")
    ));
    let refused = check(&vendor).expect(1);
    refused.expect_said(&["SL0479", "1 of what"]);
    assert!(refused.stdout().contains("until 2026-02-01: nothing needs it"), "{}", refused.stdout());
    define(&format!(
        ", waivers: [{}, {}]",
        waiver(&spare, "2999-12-31"),
        waiver("ubuntu-24.04", "2999-01-01")
    ));
    let told = check(&vendor).expect(0).stdout();
    assert!(told.starts_with("Complete: "), "{told}");
    assert!(told.contains("waived") && told.contains("until 2999-12-31: the last of its kind"), "{told}");
    let archive = vendor.bundle();
    let told = process::json(vendor.sealift().arg("inspect").arg(&archive).arg("--json"));
    let signed = &told["releases"][0]["statement"]["waivers"];
    assert_eq!(
        (signed[0]["name"].as_str(), signed[1]["until"].as_str()),
        (Some(&*spare), Some("2999-01-01"))
    );
    let told = process::text(vendor.sealift().arg("inspect").arg(&archive));
    assert!(told.contains("may be old until 2999-12-31"), "{told}");
}

#[test]
fn an_image_is_as_old_as_itself_and_not_as_its_signature() {
    const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    let vendor = Vendor::new(&ACME);
    // Who is offered says nothing of its age; what stands beside it does, as cosign writes it.
    let offer = |name: &str, tag: &str, config_type: &str, created: &str| {
        let config = format!("{{\"created\": \"{created}\"}}");
        let blob = vendor.registry().add_blob(name, config.clone()).expect("room in memory");
        let manifest = format!(
            "{{\"schemaVersion\": 2, \"mediaType\": \"{MANIFEST}\", \"config\": \
             {{\"mediaType\": \"{config_type}\", \"digest\": \"{}\", \"size\": {}}}, \"layers\": []}}",
            blob.digest,
            config.len()
        );
        vendor.registry().add_manifest(name, Some(tag), MANIFEST, manifest).digest.to_string()
    };
    let sign = |name: &str, digest: &str, created: &str| {
        offer(name, &format!("{}.sig", digest.replace(':', "-")), CONFIG, created)
    };
    let undated = offer("acme/undated", "1", CONFIG, "1970-01-01T00:00:00Z");
    sign("acme/undated", &undated, "2999-01-01T00:00:00Z");
    let artifact = offer("acme/artifact", "1", "application/vnd.acme.config+json", "1970-01-01T00:00:00Z");
    sign("acme/artifact", &artifact, "0001-01-01T00:00:00Z");
    let today = process::text(std::process::Command::new("date").args(["--utc", "+%FT%TZ"]));
    let young = offer("acme/young", "1", CONFIG, today.trim());
    sign("acme/young", &young, "2001-01-01T00:00:00Z");
    let images: String =
        ["undated", "artifact", "young"].map(|name| vendor.image(&format!("acme/{name}:1"))).concat();
    vendor.define("1.0.0", 1, &format!("images:\n{images}rebuild: {{maxAgeDays: 30}}\n"));
    vendor.lock();
    let refused = check(&vendor).expect(1);
    refused.expect_said(&["SL0479", "1 of what the release is made of"]);
    let told = refused.stdout();
    assert!(told.contains("acme/undated:1  it does not say when it was built"), "{told}");
}
