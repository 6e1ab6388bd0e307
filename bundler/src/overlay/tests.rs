//! Each fault, each hostile folder, and what passes.

use std::fmt::Write as _;
use std::path::Path;

use fs_err as fs;
use serde_json::json;

use super::*;

const RELEASE: &str = "apiVersion: sealift/v1\nkind: Release\nproduct: acme\nversion: 1.0.0\nsequence: 1\nplatforms: all\n\
    git: [{name: fleet, path: gitops}]\n\
    overlays: {base: gitops/base, folders: [gitops/one], keys: gitops/keys.yaml, maxKeys: 2}\n";
const WEB: &str = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web, namespace: flux-system}\n";
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n";
const KEYS: &str = "keys: [HelmRelease/*/spec/values/replicas, HelmRelease/web/spec/values/a/*]\n";
const TARGET: &str = "target: {kind: HelmRelease, name: web}";

/// Drift of the overlay `one`, whose folder has these files more; others take the place of what is usual.
fn judged(files: &[(&str, &str)]) -> Drifts {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), files);
    judged_in(dir.path())
}

fn write(dir: &Path, files: &[(&str, &str)]) {
    let web = format!("{WEB}spec: {{values: {{replicas: 1, list: [1, 2], a: {{b: x, c: y}}}}}}\n");
    let usual = [
        ("gitops/keys.yaml", KEYS),
        ("gitops/base/kustomization.yaml", "resources: [web.yaml, service.yaml]\n"),
        ("gitops/base/web.yaml", &web),
        ("gitops/base/service.yaml", SERVICE),
        ("gitops/one/kustomization.yaml", "resources: [../base]\npatches: [{path: p.yaml}]\n"),
    ];
    for (path, content) in usual.iter().chain(files) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn judged_in(dir: &Path) -> Drifts {
    let definition = Definition::parse(Path::new("RELEASE.yaml"), RELEASE).unwrap();
    judge(&definition, definition.overlays.as_ref().unwrap(), dir).unwrap()
}

fn patched(patch: &str) -> Drifts {
    judged(&[("gitops/one/p.yaml", &format!("{WEB}{patch}"))])
}

/// With JSON6902 operations.
fn operated(operations: &str) -> Drifts {
    let kustomization = format!("resources: [../base]\npatches: [{{path: p.yaml, {TARGET}}}]\n");
    judged(&[("gitops/one/kustomization.yaml", &kustomization), ("gitops/one/p.yaml", operations)])
}

fn keys_of(drifts: &Drifts) -> Vec<&str> {
    drifts.overlays.iter().flat_map(|drift| &drift.changes).map(|change| change.key.as_str()).collect()
}

#[track_caller]
fn assert_fault(drifts: &Drifts, fault: Fault, why: &str) {
    let said: Vec<String> = drifts.findings.iter().map(ToString::to_string).collect();
    let is_there = drifts.findings.iter().any(|f| f.fault == fault && f.to_string().contains(why));
    assert!(is_there, "{fault:?}, {why}: {said:?}");
}

#[test]
fn listed_keys_may_differ() {
    let drifts = patched("spec: {values: {replicas: 3, a: {b: z}}}\n");
    assert_eq!(drifts.findings, []);
    assert_eq!(keys_of(&drifts), ["HelmRelease/web/spec/values/a/b", "HelmRelease/web/spec/values/replicas"]);
    let change = &drifts.overlays[0].changes[1];
    assert_eq!((&change.base, &change.overlay), (&Some(json!(1)), &Some(json!(3))));
    let same = patched("spec: {values: {replicas: 1}}\n");
    assert_eq!((same.findings, same.overlays[0].changes.len()), (vec![], 0));
}

#[test]
fn other_keys_and_too_many_of_them_are_found() {
    let drifts = patched("spec: {values: {replicas: null, list: [1], a: {b: 1}}, timeout: 1m}\n");
    assert_fault(&drifts, Fault::NotListed, "`HelmRelease/web/spec/values/list`");
    assert_fault(&drifts, Fault::NotListed, "`HelmRelease/web/spec/timeout`");
    assert_fault(&drifts, Fault::TooMany, "by 4 keys, where 2 are allowed");
    assert_eq!(drifts.findings.len(), 3);
    let errors: Vec<String> = drifts.errors().iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 2);
    assert!(errors[0].ends_with("and 1 more like it"), "{errors:?}");
    // A key with a slash is no way to the name of a listed one.
    let drifts = patched("spec: {'values/replicas': 3}\n");
    assert_fault(&drifts, Fault::NotListed, "`HelmRelease/web/spec/values~1replicas`");
    // A whole object is one key.
    let more = "apiVersion: v1\nkind: Service\nmetadata: {name: more}\nspec: {a: 1, b: 2}\n";
    let drifts = judged(&[
        ("gitops/one/kustomization.yaml", "resources: [../base, more.yaml]\n"),
        ("gitops/one/more.yaml", more),
    ]);
    assert_eq!(keys_of(&drifts), ["Service/more"]);
}

#[test]
fn operations_are_carried_out() {
    let drifts = operated(
        "[{op: replace, path: /spec/values/replicas, value: 2}, {op: remove, path: /spec/values/a/c}]",
    );
    assert_eq!(drifts.findings, []);
    assert_eq!(keys_of(&drifts), ["HelmRelease/web/spec/values/a/c", "HelmRelease/web/spec/values/replicas"]);
    let drifts = operated(
        "[{op: add, path: /spec/values/list/1, value: 9}, {op: add, path: /spec/values/list/-, value: 3}]",
    );
    assert_eq!(drifts.overlays[0].changes[0].overlay, Some(json!([1, 9, 2, 3])));
    for (operation, why) in [
        ("{op: replace, path: /spec/values/none, value: 1}", "not there"),
        ("{op: remove, path: /spec/none/x}", "not there"),
        ("{op: add, path: /spec/values/list/3, value: 1}", "not there"),
        ("{op: replace, path: /spec/values/list/02, value: 1}", "not there"),
    ] {
        assert_fault(&operated(&format!("[{operation}]")), Fault::HitsNothing, why);
    }
    for (operation, why) in [
        ("{op: move, from: /a, path: /b}", "`from`"),
        ("{op: test, path: /kind, value: HelmRelease}", "`test`"),
        ("{op: add, path: spec, value: 1}", "does not begin with `/`"),
        ("{op: replace, path: /metadata/name, value: other}", "makes another object"),
        ("{op: add, path: /spec/x}", "without a value"),
    ] {
        assert_fault(&operated(&format!("[{operation}]")), Fault::NotUnderstood, why);
    }
}

#[test]
fn patches_that_hit_nothing_are_found() {
    let other = WEB.replace("web", "other");
    assert_fault(&judged(&[("gitops/one/p.yaml", &other)]), Fault::HitsNothing, "`HelmRelease/other`");
    let version = WEB.replace("/v2", "/v2beta1");
    assert_fault(&judged(&[("gitops/one/p.yaml", &version)]), Fault::HitsNothing, "of this version");
    let kustomization = "resources: [../base]\npatches: [{patch: '[]', target: {kind: Pod, name: web}}]\n";
    assert_fault(
        &judged(&[("gitops/one/kustomization.yaml", kustomization)]),
        Fault::HitsNothing,
        "`Pod/web`",
    );
}

#[test]
fn what_is_not_understood_is_refused() {
    for (patch, why) in [
        ("spec: {values: {$patch: replace}}", "the directive `$patch`"),
        ("spec: {new: {$patch: delete}}", "the directive `$patch`"),
        ("spec: {values: {a: 1}}", "another shape"),
        ("spec: {new: {x: null}}", "null below something new"),
        ("spec: {values: {replicas: 1, replicas: 2}}", "`replicas` stands twice"),
        ("spec: {values: {replicas: 12345678901234567890}}", "the number"),
        ("spec: {? [a] : b}", "a key is no text"),
        ("spec: {y: b}", "a key is no text"),
        ("spec: {}\n---\na: b", "one patch"),
    ] {
        assert_fault(&patched(&format!("{patch}\n")), Fault::NotUnderstood, why);
    }
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 81}]}\n";
    assert_fault(&judged(&[("gitops/one/p.yaml", service)]), Fault::NotUnderstood, "the list `ports`");
    for (kustomization, why) in [
        ("resources: [../base]\nnamePrefix: x-\n", "`namePrefix`"),
        ("kind: Component\nresources: [../base]\n", "`kind`"),
        ("resources: [../base]\npatches: [{patch: '[]'}]\n", "without `target`"),
        ("resources: [../base]\npatches: [{patch: '[]', target: {labelSelector: a=b}}]\n", "`labelSelector`"),
        (
            "resources: [../base]\npatches: [{patch: '[]', target: {kind: HelmRelease}}]\n",
            "without `kind` and `name`",
        ),
        (
            "resources: [../base]\npatches: [{patch: '[]', target: {kind: HelmRelease, name: '.*'}}]\n",
            "a pattern",
        ),
        ("resources: [../base]\npatches: [{path: p.yaml, options: {allowNameChange: true}}]\n", "`options`"),
        ("resources: [../base, ../base]\n", "once more"),
        ("resources: [../base]\nresources: []\n", "`resources` stands twice"),
        ("[]\n", "is no map"),
    ] {
        let files = [("gitops/one/kustomization.yaml", kustomization)];
        assert_fault(&judged(&files), Fault::NotUnderstood, why);
    }
}

#[test]
fn paths_that_lead_elsewhere_are_not_followed() {
    for (kustomization, why) in [
        ("resources: [../../../etc]\n", "leads out"),
        ("resources: [../../outside]\n", "leads out"),
        ("resources: [/etc]\n", "leads out"),
        ("resources: ['https://example.org/base.yaml']\n", "fetched from elsewhere"),
        ("resources: ['github.com/acme/base?ref=v1']\n", "fetched from elsewhere"),
        ("resources: [none.yaml]\n", "not there"),
        ("resources: [../one]\n", "circle"),
        ("resources: [../base]\npatches: [{path: ../../../etc/passwd}]\n", "leads out"),
    ] {
        let files = [("gitops/one/kustomization.yaml", kustomization)];
        assert_fault(&judged(&files), Fault::NotFollowed, why);
    }
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("outside/p.yaml", WEB)]);
    std::os::unix::fs::symlink("../../outside/p.yaml", dir.path().join("gitops/one/p.yaml")).unwrap();
    assert_fault(&judged_in(dir.path()), Fault::NotFollowed, "link");
    fs::remove_file(dir.path().join("gitops/one/p.yaml")).unwrap();
    fs::rename(dir.path().join("gitops"), dir.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", dir.path().join("gitops")).unwrap();
    assert_fault(&judged_in(dir.path()), Fault::NotFollowed, "link");
}

#[test]
fn a_bad_file_of_keys_is_told() {
    for (keys, why) in [
        ("keys: [replicas]\n", "no `Kind/name/path`"),
        ("keys: [a//b]\n", "no `Kind/name/path`"),
        ("keys: all\n", "no list"),
        ("more: []\nkeys: []\n", "alone"),
        ("keys: [\n", "no YAML"),
    ] {
        assert_fault(&judged(&[("gitops/keys.yaml", keys)]), Fault::BadKeys, why);
    }
}

#[test]
fn what_is_hostile_is_bounded() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..9 {
        let before = format!("*a{},", n - 1).repeat(10);
        writeln!(bomb, "a{n}: &a{n} [{before}]").unwrap();
    }
    let long = format!("t: &t {}\nmany: [{}]\n", "x".repeat(400_000), "*t,".repeat(100_000));
    let deep = format!("d: {}{}\n", "[".repeat(5_000), "]".repeat(5_000));
    let huge = format!("h: {}\n", "x".repeat(2 << 20));
    for (patch, fault, why) in [
        (bomb, Fault::NotUnderstood, "too many nodes"),
        (long, Fault::NotUnderstood, "too many nodes"),
        (deep, Fault::NotUnderstood, "recursion limit"),
        (huge, Fault::NotFollowed, "the limit is"),
    ] {
        assert_fault(&patched(&patch), fault, why);
    }
    // Folders that take in one another many times over.
    let names: Vec<String> = (0..14).map(|n| format!("gitops/f{n}/kustomization.yaml")).collect();
    let texts: Vec<String> = (1..15).map(|n| format!("resources: [../f{n}, ../f{n}/.]\n")).collect();
    let mut files: Vec<(&str, &str)> =
        names.iter().zip(&texts).map(|(name, text)| (name.as_str(), text.as_str())).collect();
    files.push(("gitops/f14/kustomization.yaml", "resources: []\n"));
    files.push(("gitops/one/kustomization.yaml", "resources: [../f0]\n"));
    assert_fault(&judged(&files), Fault::NotFollowed, "too many");
    // What would move a cursor is not printed.
    let drifts = patched("spec: {\"\\e[2J\": 1}\n");
    assert!(drifts.findings.iter().all(|f| !f.to_string().contains('\u{1b}')));
}

#[test]
fn overlays_lie_in_one_carried_folder() {
    let said = |from: &str, to: &str| {
        let text = RELEASE.replace(from, to);
        assert_ne!(text, RELEASE);
        sealift_archive::report(&Definition::parse(Path::new("RELEASE.yaml"), &text).unwrap_err())
    };
    for (from, to, why) in [
        ("base: gitops/base", "base: other/base", "in one folder"),
        ("base: gitops/base", "base: ../gitops/base", "in one folder"),
        ("[gitops/one]", "[]", "names none"),
        ("[gitops/one]", "[gitops/one, ./gitops//one]", "twice"),
        ("[gitops/one]", "[gitops/base]", "twice"),
    ] {
        let said = said(from, to);
        assert!(said.contains("SL0401") && said.contains(why), "{why}: {said}");
    }
}
