//! `sealift check` on this folder: it says of overlays what kustomize makes of them.

use std::process::Command;

use fs_err as fs;
use sealift_tests::Vendor;
use sealift_tests::process;
use sealift_tests::trust::ACME;
use serde_json::Value;

use crate::keys;
use crate::rendered::{build, gitops};

/// As `gitops/README.md` has it.
const RULE: &str = "git: [{name: fleet, path: gitops}]
overlays: {base: gitops/base, folders: [gitops/overlays/single-node, gitops/overlays/ha-3node], keys: gitops/overlay-keys.yaml, maxKeys: 8}
";
const OVERLAY: &str = "gitops/overlays/ha-3node";

/// A vendor whose release has a copy of the folder.
fn vendor() -> Vendor {
    let vendor = Vendor::new(&ACME);
    process::run(Command::new("cp").arg("-r").arg(gitops()).arg(vendor.path("gitops")));
    vendor
}

/// What is told of overlays, and all that is told as an error.
fn check(vendor: &Vendor, rule: &str) -> (Value, String) {
    vendor.define("1.0.0", 1, rule);
    vendor.lock();
    let check = |more: &[&str]| {
        process::finish(vendor.sealift().args(["check", "--no-helm", "RELEASE.yaml"]).args(more))
    };
    // The chart's image is not in this release.
    let told: Value = serde_json::from_str(&check(&["--json"]).expect(1).stdout()).expect("JSON");
    (told["overlays"].clone(), check(&[]).expect(1).stderr())
}

fn keys_of(drift: &Value) -> Vec<String> {
    let changes = drift["changes"].as_array().expect("changes");
    changes.iter().map(|change| change["key"].as_str().expect("a key").to_owned()).collect()
}

/// The keys by which kustomize's rendering of an overlay differs from that of the base.
fn keys_by_kustomize(vendor: &Vendor, overlay: &str) -> Vec<String> {
    let base = build(&vendor.path("gitops/base")).expect("a base that kustomize builds");
    let mut keys =
        keys::changed(&base, &build(&vendor.path(overlay)).expect("an overlay that kustomize builds"));
    keys.sort();
    keys
}

#[test]
fn the_overlays_of_this_folder_pass() {
    let vendor = vendor();
    let (told, errors) = check(&vendor, RULE);
    assert_eq!(told["findings"], Value::Array(Vec::new()));
    assert!(errors.contains("SL0444") && !errors.contains("SL077"), "{errors}");
    let drifts = told["overlays"].as_array().expect("overlays");
    assert_eq!(drifts.len(), 2);
    for drift in drifts {
        let mut keys = keys_of(drift);
        keys.sort();
        assert!(!keys.is_empty());
        assert_eq!(keys, keys_by_kustomize(&vendor, drift["overlay"].as_str().expect("a name")));
    }
}

#[test]
fn keys_are_those_of_kustomizes_renderings() {
    let vendor = vendor();
    let head = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: status, namespace: flux-system}\n";
    let strategic = |spec: &str| ("patches: [{path: p.yaml}]", format!("{head}spec: {spec}\n"));
    let target = "patches: [{path: p.yaml, target: {kind: HelmRelease, name: status}}]";
    let cases = [
        strategic("{values: {logFormat: text, new: {a: [1, {b: 2}], c: {}}}}"),
        strategic("{values: {logFormat: null}, interval: 10m}"),
        strategic("{values: null}"),
        strategic("{values: {logFormat: 1.0, x: 010, z: yes}, upgrade: {remediation: {retries: 4}}}"),
        strategic("{values: &v {a: &a {b: 1}, c: *a}}"),
        (target, "- {op: add, path: /spec/values/a, value: null}\n- {op: remove, path: /spec/upgrade}\n".to_owned()),
        (target, "- {op: add, path: /metadata/annotations, value: {a~b/c: x}}\n- {op: replace, path: /spec/timeout, value: 1m}\n".to_owned()),
        (target, "metadata: {name: other, namespace: other}\nspec: {values: {logFormat: text}}\napiVersion: a/v1\nkind: Any\n".to_owned()),
    ];
    for (patches, patch) in cases {
        fs::write(
            vendor.path(OVERLAY).join("kustomization.yaml"),
            format!("resources: [../../base]\n{patches}\n"),
        )
        .expect("room for a file");
        fs::write(vendor.path(OVERLAY).join("p.yaml"), &patch).expect("room for a file");
        let (told, _) = check(&vendor, RULE);
        let drift =
            told["overlays"].as_array().expect("overlays").iter().find(|drift| drift["overlay"] == OVERLAY);
        let mut keys = drift.map_or_else(|| panic!("{patch}: {told}"), keys_of);
        let plain = |key: &mut String| *key = key.replace("~1", "/").replace("~0", "~");
        keys.iter_mut().for_each(plain);
        keys.sort();
        assert_eq!(keys, keys_by_kustomize(&vendor, OVERLAY), "{patch}");
    }
}

#[test]
fn what_is_wrong_fails_with_its_code() {
    let cases: [(&str, &str, &str, &str); 6] = [
        (
            "SL0770",
            "overlays/ha-3node/status.yaml",
            "    replicaCount: 3\n",
            "    replicaCount: 3\n    logFormat: text\n",
        ),
        ("SL0774", "overlays/ha-3node/kustomization.yaml", "patches:", "namePrefix: x-\npatches:"),
        ("SL0775", "overlays/ha-3node/kustomization.yaml", "../../base", "../../../base"),
        ("SL0777", "overlay-keys.yaml", "keys:", "keis:"),
        ("SL0778", "overlays/ha-3node/status.yaml", "  name: status", "  name: state"),
        ("SL0772", "", "maxKeys: 8", "maxKeys: 2"),
    ];
    for (code, file, from, to) in cases {
        let vendor = vendor();
        let mut rule = RULE.to_owned();
        if file.is_empty() {
            rule = rule.replace(from, to);
        } else {
            let path = vendor.path("gitops").join(file);
            let text = fs::read_to_string(&path).expect("a file");
            let changed = text.replace(from, to);
            assert_ne!(changed, text, "{file}");
            fs::write(&path, changed).expect("room for a file");
        }
        let (told, errors) = check(&vendor, &rule);
        assert!(errors.contains(code), "{code}: {errors}");
        assert!(told["findings"].to_string().contains(code), "{code}: {told}");
    }
}
