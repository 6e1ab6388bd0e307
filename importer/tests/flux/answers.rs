//! Answers that are none, or not the ones that were hoped for.

use std::time::Instant;

use sealift_archive::{Class, Explain as _};
use sealift_importer::activation::Flux;
use serde_json::json;

use crate::stand_in::{FLUX, Mishap, StandIn};
use crate::{HASTE, add_kustomization, cluster, hasty};

const FORBIDDEN: &str =
    r#"{"kind":"Status","message":"kustomizations.kustomize.toolkit.fluxcd.io is forbidden"}"#;

/// A stand-in with one object, that answers so to what has this method and this in its path.
fn answering(method: &'static str, path: &'static str, status: u16, body: &str) -> StandIn {
    let server = StandIn::start(&FLUX);
    add_kustomization(&server, "flux-system/app", false);
    let body = body.to_owned();
    server.set_mishaps(move |seen, _| {
        let is_meant = seen.method == method && seen.path.contains(path);
        is_meant.then(|| Mishap::Answer(status, vec![], body.clone()))
    });
    server
}

#[test]
fn refusals_say_what_was_asked() {
    let cases = [
        ("GET", "kustomizations", 401, "", "SL0549", "does not accept our credentials"),
        (
            "GET",
            "kustomizations",
            403,
            FORBIDDEN,
            "SL0550",
            "`list` kustomizations.kustomize.toolkit.fluxcd.io: kust",
        ),
        ("PATCH", "", 403, "", "SL0550", "let us `patch` kustomizations.kustomize.toolkit.fluxcd.io"),
        ("GET", "/apis?", 403, "", "ok", ""),
        ("GET", "/apis", 403, "", "SL0550", "let us `get` /apis"),
        ("PATCH", "", 422, r#"{"message":"no such field"}"#, "SL0551", "answered 422 when asked to `patch`"),
        ("GET", "/apis", 302, "", "SL0551", "answered 302"),
        ("GET", "/apis", 404, "<html>\n404", "SL0551", "answered 404 when asked to `get` /apis: <html>"),
        ("GET", "/apis", 200, "<html>", "SL0552", "/apis that is not understood"),
        ("GET", "/apis", 200, &"[".repeat(100_000), "SL0552", "not understood"),
        ("GET", "limit", 200, r#"{"items":[{}]}"#, "SL0552", "missing field"),
        ("GET", "limit", 200, r#"{"metadata":{"continue":"x"},"items":[]}"#, "SL0552", "an empty page"),
        ("GET", "limit", 200, "{}", "SL0552", "missing field `items`"),
    ];
    for (method, path, status, body, code, words) in cases {
        let server = answering(method, path, status, body);
        let (found, said) = match cluster(&server, None).suspend() {
            Ok(_) => ("ok".to_owned(), String::new()),
            Err(error) => (error.code().to_string(), error.to_string()),
        };
        assert_eq!(found, code, "{method} {path} {status}: {said}");
        assert!(said.contains(words), "{method} {path} {status}: {said}");
    }
}

#[test]
fn what_cannot_be_asked_or_changed_is_known_beforehand() {
    // What is away or forbidden, whether `check` says so, and whether a failure to suspend changed nothing.
    let cases = [("GET", "/apis", 403, true), ("GET", "kustomizations", 403, true), ("PATCH", "", 403, true)];
    for (method, path, status, is_untouched) in cases {
        let server = answering(method, path, status, "");
        assert_eq!(
            cluster(&server, None).check().unwrap_err().code().to_string(),
            "SL0550",
            "{method} {path}"
        );
        let failed = Flux::suspend(&cluster(&server, None)).unwrap_err();
        assert_eq!(failed.is_untouched, is_untouched, "{method} {path}");
    }
    // A webhook may know no dry runs; and one object was suspended before another one failed.
    let server = answering("PATCH", "app2", 422, "");
    add_kustomization(&server, "flux-system/app2", false);
    cluster(&server, None).check().unwrap();
    assert!(!Flux::suspend(&cluster(&server, None)).unwrap_err().is_untouched);
    let server = StandIn::start(&FLUX);
    let object = add_kustomization(&server, "flux-system/app", false);
    let before = server.object(&object)["spec"].clone();
    cluster(&server, None).check().unwrap();
    assert_eq!(server.object(&object)["spec"], before);
    assert!(server.seen().iter().all(|seen| seen.method != "PATCH" || seen.path.contains("dryRun=All")));
}

#[test]
fn a_role_that_lacks_something_is_named() {
    let server = answering("PATCH", "", 403, "");
    let error = cluster(&server, None).suspend().unwrap_err();
    assert_eq!(error.class(), Class::Unreachable);
    let hint = error.hint().unwrap();
    assert!(hint.contains("`patch` on kustomizations.kustomize.toolkit.fluxcd.io"), "{hint}");
}

#[test]
fn a_huge_answer_is_not_taken_in() {
    let server = answering("GET", "limit", 200, &" ".repeat(33 << 20));
    let error = cluster(&server, None).suspend().unwrap_err().to_string();
    assert!(error.contains("longer than"), "{error}");
}

#[test]
fn pages_without_end_come_to_an_end() {
    let page = |n: usize| {
        let object = |m| json!({"metadata": {"name": format!("app-{n}-{m}"), "namespace": "a", "resourceVersion": "1"}});
        let items: Vec<_> = (0..2_000).map(object).collect();
        json!({"metadata": {"continue": "more"}, "items": items}).to_string()
    };
    let server = StandIn::start(&FLUX);
    let mut count = 0;
    server.set_mishaps(move |seen, _| {
        count += 1;
        seen.path.contains("limit").then(|| Mishap::Answer(200, vec![], page(count)))
    });
    let error = cluster(&server, None).suspend().unwrap_err().to_string();
    assert!(error.contains("more than 10000 objects"), "{error}");
}

#[test]
fn what_passes_is_tried_again() {
    for status in [429, 500, 502, 503, 504] {
        let server = StandIn::start(&FLUX);
        add_kustomization(&server, "flux-system/app", false);
        let mut left = 3;
        server.set_mishaps(move |_, _| {
            left -= 1;
            let told = if status == 429 { vec![("retry-after", "0")] } else { vec![] };
            (left >= 0).then(|| Mishap::Answer(status, told, String::new()))
        });
        assert_eq!(cluster(&server, None).suspend().unwrap(), 1, "{status}");
    }
}

#[test]
fn the_end_comes_when_it_was_set() {
    let silent: fn() -> Mishap = || Mishap::Silence;
    let busy: fn() -> Mishap = || Mishap::Answer(503, vec![], "starting".to_owned());
    let told: fn() -> Mishap = || Mishap::Answer(429, vec![("retry-after", "3600")], "later".to_owned());
    let cases = [
        (silent, "SL0547", "takes too long"),
        (busy, "SL0551", "answered 503 when asked to `get` /apis: starting"),
        (told, "SL0551", "answered 429"),
    ];
    for (mishap, code, words) in cases {
        let server = StandIn::start(&FLUX);
        server.set_mishaps(move |_, _| Some(mishap()));
        let (client, began) = (hasty(&server), Instant::now());
        let error = client.look().unwrap_err();
        assert!(began.elapsed() < HASTE.look * 10, "{words}: {:?}", began.elapsed());
        assert_eq!(error.code().to_string(), code, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.class(), Class::Unreachable);
    }
}

#[test]
fn nobody_at_home_is_said() {
    let mut server = StandIn::start(&FLUX);
    let client = hasty(&server);
    server.stop();
    let error = client.suspend().unwrap_err();
    assert_eq!(error.code().to_string(), "SL0547");
    assert!(error.to_string().contains("http://127.0.0.1:"), "{error}");
}

#[test]
fn a_token_is_read_when_it_is_used() {
    let server = StandIn::start(&FLUX);
    let client = cluster(&server, None);
    client.look().unwrap();
    assert!(server.seen().iter().all(|seen| seen.token == "Bearer first"));
    server.set_token("second");
    client.look().unwrap();
    assert!(server.seen().iter().all(|seen| seen.token == "Bearer second"));
    assert!(!format!("{client:?}").contains("second"), "{client:?}");
}
