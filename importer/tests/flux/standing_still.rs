//! Suspending and resuming.

use sealift_archive::Explain as _;
use sealift_importer::flux::Patience;
use serde_json::json;

use crate::stand_in::{FLUX, KUSTOMIZE, Mishap, StandIn};
use crate::{
    HASTE, PATIENCE, add_kustomization, add_release, add_source, annotations, cluster, hasty, is_suspended,
};

const MARK: &str = "sealift/suspended";

#[test]
fn what_sealift_suspended_is_resumed_and_nothing_else() {
    let server = StandIn::start(&FLUX);
    let running = [
        add_kustomization(&server, "flux-system/app", false),
        add_kustomization(&server, "customer/extra", false),
        add_release(&server, "apps/web"),
    ];
    let kept = add_kustomization(&server, "customer/kept", true);
    let source = add_source(&server, "gitrepositories", "flux-system/app");
    let before = running.clone().map(|path| server.object(&path)["spec"].clone());

    assert_eq!(cluster(&server, None).suspend().unwrap(), 3);
    for path in &running {
        assert!(is_suspended(&server, path) && annotations(&server, path)[MARK].is_string(), "{path}");
    }
    assert!(annotations(&server, &kept).is_null(), "it was suspended by somebody else");
    assert!(!is_suspended(&server, &source), "sources may go on looking");
    assert_eq!(cluster(&server, None).suspend().unwrap(), 0, "a second time changes nothing");

    assert_eq!(cluster(&server, None).resume().unwrap(), 3);
    for (path, before) in running.iter().zip(before) {
        assert_eq!(server.object(path)["spec"], before, "{path}: nothing is left behind");
        assert_eq!(annotations(&server, path), json!({}), "{path}");
    }
    assert!(is_suspended(&server, &kept));
    assert_eq!(cluster(&server, None).resume().unwrap(), 0);
}

#[test]
fn one_namespace_may_be_meant() {
    let server = StandIn::start(&FLUX);
    let ours = add_kustomization(&server, "flux-system/app", false);
    let other = add_kustomization(&server, "customer/extra", false);
    assert_eq!(cluster(&server, Some("flux-system")).suspend().unwrap(), 1);
    assert!(is_suspended(&server, &ours) && !is_suspended(&server, &other));
    assert!(server.seen().iter().all(|seen| !seen.path.contains("customer")));
}

/// A process that ends in the middle leaves marks on what it has suspended, and these are enough.
#[test]
fn another_process_goes_on_from_any_place() {
    for done in 0..4 {
        let server = StandIn::start(&FLUX);
        let all: Vec<String> =
            (0..4).map(|n| add_kustomization(&server, &format!("flux-system/app-{n}"), false)).collect();
        let mut left = done;
        server.set_mishaps(move |seen, _| {
            if seen.method == "PATCH" && left == 0 {
                return Some(Mishap::Answer(400, vec![], String::new()));
            }
            left -= usize::from(seen.method == "PATCH");
            None
        });
        cluster(&server, None).suspend().unwrap_err();
        let marked = |server: &StandIn| all.iter().filter(|path| is_suspended(server, path)).count();
        assert_eq!(marked(&server), done);

        server.set_mishaps(|_, _| None);
        assert_eq!(cluster(&server, None).suspend().unwrap(), 4 - done);
        assert_eq!(cluster(&server, None).resume().unwrap(), 4);
        assert_eq!(marked(&server), 0);
    }
}

#[test]
fn what_changes_under_our_hands_is_looked_at_again() {
    let server = StandIn::start(&FLUX);
    let app = add_kustomization(&server, "flux-system/app", false);
    let (path, mut is_first) = (app.clone(), true);
    // A controller writes a status, and the object has another version.
    server.set_mishaps(move |seen, objects| {
        if seen.method == "PATCH" && std::mem::take(&mut is_first) {
            objects.patch(&path, &json!({"status": {"observedGeneration": 2}}));
        }
        None
    });
    assert_eq!(cluster(&server, None).suspend().unwrap(), 1);
    assert!(is_suspended(&server, &app));
    assert_eq!(server.changed(), ["app", "app"]);

    // Somebody suspends it for reasons of their own between our look and our change: it is theirs.
    let server = StandIn::start(&FLUX);
    let app = add_kustomization(&server, "flux-system/app", false);
    let (path, mut is_first) = (app.clone(), true);
    server.set_mishaps(move |seen, objects| {
        if seen.method == "PATCH" && std::mem::take(&mut is_first) {
            objects.patch(&path, &json!({"spec": {"suspend": true}}));
        }
        None
    });
    assert_eq!(cluster(&server, None).suspend().unwrap(), 0);
    assert!(is_suspended(&server, &app) && annotations(&server, &app).is_null());
}

#[test]
fn what_somebody_resumed_meanwhile_only_loses_its_mark() {
    let server = StandIn::start(&FLUX);
    let app = add_kustomization(&server, "flux-system/app", false);
    cluster(&server, None).suspend().unwrap();
    server.patch(&app, &json!({"spec": {"suspend": false}}));
    cluster(&server, None).resume().unwrap();
    assert_eq!(server.object(&app)["spec"]["suspend"], json!(false));
    assert_eq!(annotations(&server, &app), json!({}));
}

#[test]
fn what_does_not_stay_suspended_is_an_error() {
    let server = StandIn::start(&FLUX);
    let app = add_kustomization(&server, "flux-system/app", false);
    let path = app.clone();
    server.set_mishaps(move |seen, objects| {
        if seen.method == "GET" {
            objects.patch(&path, &json!({"spec": {"suspend": null}}));
        }
        None
    });
    let error = hasty(&server).suspend().unwrap_err();
    assert_eq!(error.code().to_string(), "SL0553");
    assert!(error.to_string().contains("Kustomization flux-system/app"), "{error}");
}

#[test]
fn suspending_waits_for_what_is_under_way() {
    let conditions = |reason: &str, healthy: &str| {
        json!([
            {"type": "Reconciling", "status": "True", "reason": reason, "message": "at it"},
            {"type": "Healthy", "status": "Unknown", "reason": "Progressing", "message": healthy},
        ])
    };
    // Without waiting: the list before the change, the one after it, and one for what is under way.
    let cases = [
        ("applying", conditions("Progressing", "older"), 6),
        ("checking health", conditions("Progressing", "at it"), 3),
        ("going to try again", conditions("ProgressingWithRetry", "older"), 3),
    ];
    for (case, conditions, lists) in cases {
        let server = StandIn::start(&FLUX);
        let app = add_kustomization(&server, "flux-system/app", false);
        server.patch(&app, &json!({"status": {"conditions": conditions}}));
        let (path, mut listed) = (app.clone(), 0);
        server.set_mishaps(move |seen, objects| {
            listed += usize::from(seen.path.contains("kustomizations?"));
            if listed == 6 {
                objects.patch(&path, &json!({"status": {"conditions": []}}));
            }
            None
        });
        assert_eq!(cluster(&server, None).suspend().unwrap(), 1);
        let asked = server.seen().into_iter().filter(|seen| seen.path.contains("kustomizations?"));
        assert_eq!(asked.filter(|seen| seen.method == "GET").count(), lists, "{case}");
    }

    // What never ends is not waited for for ever.
    let server = StandIn::start(&FLUX);
    let app = add_kustomization(&server, "flux-system/app", false);
    server.patch(&app, &json!({"status": {"conditions": conditions("Progressing", "older")}}));
    let patience = Patience { finish: HASTE.finish, ..PATIENCE };
    assert_eq!(cluster(&server, None).with_patience(patience).suspend().unwrap(), 1);
}

#[test]
fn what_is_about_to_go_is_left_alone() {
    let server = StandIn::start(&FLUX);
    let app = add_kustomization(&server, "flux-system/app", false);
    server.patch(&app, &json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
    assert_eq!(cluster(&server, None).suspend().unwrap(), 0);
}

#[test]
fn each_kind_is_asked_for_in_a_version_that_has_it() {
    let old: [(&str, &[&str]); 4] = [
        ("kustomize.toolkit.fluxcd.io/v1beta2", &["kustomizations"]),
        // The preferred version has not all kinds.
        ("source.toolkit.fluxcd.io/v1", &["gitrepositories"]),
        ("source.toolkit.fluxcd.io/v1beta2", &["gitrepositories", "ocirepositories"]),
        ("apps/v1", &["deployments"]),
    ];
    let server = StandIn::start(&old);
    let kustomization = server.add(old[0].0, "kustomizations", "flux-system/app", &json!({"suspend": false}));
    let git = server.add(old[1].0, "gitrepositories", "flux-system/app", &json!({}));
    let oci = server.add(old[2].0, "ocirepositories", "flux-system/app", &json!({}));
    assert_eq!(cluster(&server, None).poke().unwrap(), 3);
    for path in [&kustomization, &git, &oci] {
        assert!(!annotations(&server, path).is_null(), "{path}");
    }
    assert_eq!(cluster(&server, None).suspend().unwrap(), 1);
    assert!(!server.seen().iter().any(|seen| seen.path.contains("deployments")));
}

#[test]
fn a_cluster_without_flux_has_nothing_to_suspend() {
    let server = StandIn::start(&[("apps/v1", &["deployments"])]);
    assert_eq!(cluster(&server, None).suspend().unwrap(), 0);
    assert_eq!(cluster(&server, None).resume().unwrap(), 0);
    assert_eq!(cluster(&server, None).poke().unwrap(), 0);
    let standing = cluster(&server, None).look().unwrap();
    assert!(!standing.is_ready());
    assert!(standing.to_string().contains("neither Kustomizations nor HelmReleases"), "{standing}");
}

#[test]
fn many_objects_come_in_pages() {
    let server = StandIn::start(&FLUX);
    for n in 0..120 {
        add_kustomization(&server, &format!("flux-system/app-{n}"), false);
    }
    // The first list is too old at its second page.
    let mut is_first = true;
    server.set_mishaps(move |seen, _| {
        let is_late = seen.path.contains("continue") && std::mem::take(&mut is_first);
        is_late.then(|| Mishap::Answer(410, vec![], r#"{"message":"too old"}"#.to_owned()))
    });
    assert_eq!(cluster(&server, None).suspend().unwrap(), 120);
    let pages =
        server.seen().into_iter().filter(|seen| seen.path.contains(KUSTOMIZE) && seen.path.contains('?'));
    let mut pages = pages.filter(|seen| seen.method == "GET");
    assert!(pages.all(|seen| seen.path.contains("limit=50")));
}
