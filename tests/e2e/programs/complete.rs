//! Images that charts and folders name: missed, found, and added on request.

use fs_err as fs;
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
