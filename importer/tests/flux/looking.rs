//! Poking, and what is said to be ready.

use serde_json::json;

use crate::stand_in::{FLUX, HELM, KUSTOMIZE, SOURCE, StandIn};
use crate::{add_kustomization, add_release, add_source, annotations, cluster, hasty};

const REVISION: &str = "main@sha1:1111111111111111111111111111111111111111";
const NEWER: &str = "main@sha1:2222222222222222222222222222222222222222";
const CHART: &str = "1.2.0@sha256:3333333333333333333333333333333333333333333333333333333333333333";

#[test]
fn sources_are_poked_before_what_is_applied_from_them() {
    let server = StandIn::start(&FLUX);
    add_kustomization(&server, "flux-system/kustomization", false);
    add_kustomization(&server, "flux-system/suspended", true);
    add_release(&server, "flux-system/release");
    add_source(&server, "gitrepositories", "flux-system/git");
    add_source(&server, "ocirepositories", "flux-system/oci");
    add_source(&server, "helmcharts", "flux-system/chart");
    server.add(SOURCE, "helmrepositories", "flux-system/address", &json!({"type": "oci"}));
    assert_eq!(cluster(&server, None).poke().unwrap(), 5);
    assert_eq!(server.changed(), ["git", "oci", "chart", "kustomization", "release"]);
    assert!(cluster(&server, None).look().unwrap().is_ready());
}

/// Without its controller a source would be waited for for ever.
#[test]
fn a_source_that_does_not_answer_is_not_waited_for_long() {
    let server = StandIn::start(&FLUX);
    let app = add_kustomization(&server, "flux-system/app", false);
    add_source(&server, "gitrepositories", "flux-system/app");
    server.stop_looking();
    assert_eq!(hasty(&server).poke().unwrap(), 2);
    assert!(!annotations(&server, &app).is_null());
    let standing = cluster(&server, None).look().unwrap();
    assert_eq!(standing.waiting.len(), 2, "{standing}");
    assert!(standing.to_string().contains("has not looked since it was asked to"), "{standing}");
}

#[test]
fn ready_is_what_has_seen_and_applied_the_latest() {
    let ready = json!([{"type": "Ready", "status": "True", "reason": "Done", "message": "done"}]);
    let failed = json!([
        {"type": "Ready", "status": "False", "reason": "HealthCheckFailed", "message": "Deployment/web:\n  not ready"},
    ]);
    let stalled = json!([
        {"type": "Stalled", "status": "True", "reason": "InvalidPath", "message": "no such path"},
        {"type": "Ready", "status": "False", "reason": "InvalidPath", "message": "no such path"},
    ]);
    let stale = json!([
        {"type": "Ready", "status": "True", "reason": "Done", "message": "done", "observedGeneration": 0},
    ]);
    let asked = |at: &str| json!({"reconcile.fluxcd.io/requestedAt": at});
    let cases = [
        ("ready", json!({}), ""),
        (
            "asked",
            json!({"metadata": {"annotations": asked("2")}, "status": {"lastHandledReconcileAt": "2"}}),
            "",
        ),
        (
            "asked again",
            json!({"metadata": {"annotations": asked("2")}, "status": {"lastHandledReconcileAt": "1"}}),
            "has not looked since",
        ),
        ("changed", json!({"metadata": {"generation": 2}}), "has not seen its latest definition"),
        ("stale", json!({"status": {"conditions": stale}}), "says nothing about it yet"),
        ("new", json!({"status": null}), "has not seen its latest definition"),
        ("silent", json!({"status": {"conditions": null}}), "says nothing about it yet"),
        (
            "failed",
            json!({"status": {"conditions": failed}}),
            "Deployment/web:   not ready (HealthCheckFailed)",
        ),
        ("stalled", json!({"status": {"conditions": stalled}}), "it is stalled: no such path (InvalidPath)"),
        (
            "older content",
            json!({"status": {"lastAppliedRevision": NEWER}}),
            "has not applied main@sha1:1111",
        ),
        (
            "ours",
            json!({"spec": {"suspend": true}, "metadata": {"annotations": {"sealift/suspended": "x"}}}),
            "by Sealift",
        ),
        ("theirs", json!({"spec": {"suspend": true}, "status": {"conditions": failed}}), ""),
        ("going", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": null}), ""),
    ];
    for (case, patch, wanted) in cases {
        let server = StandIn::start(&FLUX);
        let source = add_source(&server, "gitrepositories", "flux-system/app");
        server.patch(&source, &json!({"status": {"artifact": {"revision": REVISION}}}));
        let app = add_kustomization(&server, "flux-system/app", false);
        server.patch(&app, &json!({"status": {"lastAppliedRevision": REVISION, "conditions": ready}}));
        server.patch(&app, &patch);
        let standing = cluster(&server, None).look().unwrap();
        let said = standing.to_string();
        if wanted.is_empty() {
            assert!(standing.is_ready(), "{case}: {said}");
        } else {
            assert!(
                said.starts_with("1 of 2 are not ready: Kustomization flux-system/app: "),
                "{case}: {said}"
            );
            assert!(said.contains(wanted), "{case}: {said}");
        }
    }
}

#[test]
fn a_release_runs_the_chart_that_its_repository_holds() {
    let server = StandIn::start(&FLUX);
    let source = add_source(&server, "ocirepositories", "charts/web");
    server.patch(&source, &json!({"status": {"artifact": {"revision": CHART}}}));
    let chart = json!({"kind": "OCIRepository", "name": "web", "namespace": "charts"});
    let release = server.add(HELM, "helmreleases", "apps/web", &json!({"chartRef": chart}));
    let digest = CHART.split_once('@').unwrap().1;
    for (attempted, is_ready) in [(digest, true), (CHART, true), ("sha256:4444", false)] {
        // What other versions of the API keep under this name is the version of a chart.
        let status = json!({"lastAttemptedRevisionDigest": attempted, "lastAppliedRevision": "1.1.0"});
        server.patch(&release, &json!({ "status": status }));
        let standing = cluster(&server, None).look().unwrap();
        assert_eq!(standing.is_ready(), is_ready, "{standing}");
    }
}

#[test]
fn much_that_is_not_ready_is_told_shortly() {
    let server = StandIn::start(&FLUX);
    let message = "\u{1b}[31m".to_owned() + &"x".repeat(10_000);
    for n in 0..70 {
        let app = server.add(KUSTOMIZE, "kustomizations", &format!("flux-system/app-{n}"), &json!({}));
        let conditions = json!([{"type": "Ready", "status": "Unknown", "message": message}]);
        server.patch(&app, &json!({"status": {"conditions": conditions}}));
    }
    let standing = cluster(&server, None).look().unwrap();
    assert_eq!((standing.judged, standing.waiting.len(), standing.more), (70, 10, 60));
    let said = standing.to_string();
    assert!(said.starts_with("70 of 70 are not ready") && said.ends_with("; and 60 more"), "{said}");
    assert!(said.len() < 10_000 && !said.contains('\u{1b}'), "{said}");
}
