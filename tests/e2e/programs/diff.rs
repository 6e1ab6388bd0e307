//! What `sealift diff` tells of two releases, whichever way they are given.

use fs_err as fs;
use sealift_tests::Vendor;
use sealift_tests::process;
use sealift_tests::trust::ACME;

use crate::scene::GZIP;
use crate::told::assert_told;

#[test]
fn what_changed_is_told_by_name() {
    let vendor = Vendor::new(&ACME);
    vendor.offer("acme/api", "1.0", GZIP, &[b"one".to_vec(), b"shared".to_vec()]);
    vendor.offer("acme/api", "1.1", GZIP, &[b"two more".to_vec(), b"shared".to_vec()]);
    vendor.offer("acme/web", "1.0", GZIP, &[b"web".to_vec()]);
    vendor.offer("acme/old", "1.0", GZIP, &[b"old".to_vec()]);
    vendor.offer("acme/new", "1.0", GZIP, &[b"new".to_vec()]);
    fs::create_dir(vendor.path("gitops")).unwrap();
    let define = |version: &str, sequence, images: &[&str], notes: &str| {
        fs::write(vendor.path("gitops/app.yaml"), notes).unwrap();
        fs::write(vendor.path("notes.txt"), notes).unwrap();
        let images: String = images.iter().map(|name| vendor.image(name)).collect();
        let rest = format!(
            "images:\n{images}files:\n- {{name: notes.txt, path: notes.txt}}\ngit:\n- {{name: fleet, path: gitops}}\n"
        );
        vendor.define(version, sequence, &rest);
        vendor.lock();
        vendor.bundle()
    };
    let before = define("1.0.0", 1, &["acme/api:1.0", "acme/web:1.0", "acme/old:1.0"], "first");
    fs::copy(vendor.path("RELEASE.lock.json"), vendor.path("before.json")).unwrap();
    let after = define("1.1.0", 2, &["acme/api:1.1", "acme/web:1.0", "acme/new:1.0"], "second");

    let diff = |from: &str, to: &str| {
        process::finish(vendor.sealift().args(["diff", from, to, "--trust", "trust/root.json"])).expect(0)
    };
    assert_told!("locks", diff("before.json", "RELEASE.yaml"));
    let relative = |archive: &std::path::Path| {
        let name = archive.file_name().expect("a name").to_string_lossy().into_owned();
        format!("out/{name}")
    };
    let archives = diff(&relative(&before), &relative(&after)).stdout();
    let locks = diff("before.json", "RELEASE.yaml").stdout();
    let behind_title = |told: &str| told.split_once('\n').expect("a title").1.to_owned();
    assert_eq!(behind_title(&archives), behind_title(&locks), "archives tell the same as their locks");

    let same = process::json(vendor.sealift().args(["diff", "RELEASE.yaml", "RELEASE.lock.json", "--json"]));
    for what in ["images", "files", "git"] {
        assert_eq!(same[what], serde_json::json!([]), "{same}");
    }
    assert_eq!(same["content"]["added"]["blobs"], 0, "{same}");
}
