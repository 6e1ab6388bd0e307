//! What is no image: charts, Flux artifacts, signatures; and content that is known by SHA-512.

use reqwest::Method;
use sealift_archive::{Digest, Sha512};

use crate::fixture::{Answer, Content, MANIFEST_TYPE, Served, TestStore};

const CHART: &str = "application/vnd.cncf.helm.config.v1+json";
const FLUX: &str = "application/vnd.cncf.flux.config.v1+json";
const SIGNATURE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PROVENANCE: &str = "application/vnd.in-toto+json";

fn artifacts() -> TestStore {
    let store = TestStore::new();
    let sig_tag = format!("ghcr.io/acme/charts/web:sha256-{}.sig", Digest::of(b"web chart").hex());
    let content = Content::default()
        .artifact("ghcr.io/acme/charts/web:1.0.0", "web chart", CHART)
        .artifact("sealift.internal/charts/web:1.0.0", "web chart", CHART)
        .artifact("sealift.internal/charts/web:1.1.0-rc.1_build.7", "web chart with metadata", CHART)
        .artifact("sealift.internal/flux/apps:1.5.0", "flux apps", FLUX)
        .image(&sig_tag, "signature by tag")
        .image("ghcr.io/acme/api:1", "api")
        .referrer("web chart", "signature of the chart", SIGNATURE)
        .referrer("web chart", "provenance of the chart", PROVENANCE)
        .referrer("flux apps", "signature of the apps", SIGNATURE)
        .referrer("signature of the chart", "signature of the signature", SIGNATURE);
    store.add(1, "active", &content);
    store.point_at(1);
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_are_pulled_like_images_by_either_name() {
    let store = artifacts();
    let served = store.serve().await;
    let cases = [
        ("charts/web/manifests/1.0.0", "web chart"),
        ("charts/web/manifests/1.0.0?ns=sealift.internal", "web chart"),
        ("sealift.internal/charts/web/manifests/1.0.0", "web chart"),
        ("acme/charts/web/manifests/1.0.0?ns=ghcr.io", "web chart"),
        ("ghcr.io/acme/charts/web/manifests/1.0.0", "web chart"),
        // Helm writes `_` for the `+` of a version.
        ("charts/web/manifests/1.1.0-rc.1_build.7", "web chart with metadata"),
        ("flux/apps/manifests/1.5.0", "flux apps"),
        ("sealift.internal/flux/apps/manifests/1.5.0", "flux apps"),
    ];
    for (path, manifest) in cases {
        let digest = Digest::of(manifest.as_bytes());
        for method in [Method::GET, Method::HEAD] {
            // The host in the header is only where we were found, never what was asked for.
            let headers = [("Host", "sealift.internal"), ("Accept", MANIFEST_TYPE)];
            let answer = served.send(method.clone(), &format!("/v2/{path}"), &headers).await;
            let body = if method == Method::GET { manifest } else { "" };
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, body), "{method} {path}");
            assert_eq!(answer.header("Docker-Content-Digest"), digest.to_string(), "{path}");
            assert_eq!(answer.header("Content-Type"), MANIFEST_TYPE, "{path}");
        }
        let by_digest = path.split_once("/manifests/").expect("a manifest").0;
        let query = path.split_once('?').map_or("", |(_, query)| query);
        let answer = served.get(&format!("/v2/{by_digest}/manifests/{digest}?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, manifest), "{path}");
    }
    for (path, code) in [
        ("charts/web/manifests/1.1.0-rc.1+build.7", "MANIFEST_UNKNOWN"),
        ("charts/web/manifests/1.1.0-rc.1%2Bbuild.7", "MANIFEST_UNKNOWN"),
        ("charts/other/manifests/1.0.0", "NAME_UNKNOWN"),
        ("web/manifests/1.0.0", "NAME_UNKNOWN"),
    ] {
        let answer = served.get(&format!("/v2/{path}")).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, code), "{path}");
    }
    let tags = served.get("/v2/charts/web/tags/list").await.json();
    assert_eq!(tags["tags"], serde_json::json!(["1.0.0", "1.1.0-rc.1_build.7"]));
}

fn texts(answer: &Answer, known: &[&str]) -> Vec<String> {
    let index = answer.json();
    let listed = index["manifests"].as_array().expect("a list");
    let text = |digest: &serde_json::Value| {
        known
            .iter()
            .find(|text| *digest == Digest::of(text.as_bytes()).to_string())
            .expect("a known manifest")
    };
    listed.iter().map(|descriptor| (*text(&descriptor["digest"])).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_have_referrers_too() {
    let store = artifacts();
    let served = store.serve().await;
    let all = [
        "signature of the chart",
        "provenance of the chart",
        "signature of the apps",
        "signature of the signature",
    ];
    let cases: [(&str, &str, &str, &[&str]); 7] = [
        ("charts/web", "web chart", "", &all[..2]),
        ("ghcr.io/acme/charts/web", "web chart", "", &all[..2]),
        ("charts/web", "web chart", SIGNATURE, &all[..1]),
        ("charts/web", "web chart", PROVENANCE, &all[1..2]),
        ("charts/web", "web chart", "text/none", &[]),
        ("flux/apps", "flux apps", SIGNATURE, &all[2..3]),
        ("charts/web", "signature of the chart", "", &all[3..]),
    ];
    for (repository, subject, artifact_type, expected) in cases {
        let filter = match artifact_type {
            "" => String::new(),
            wanted => format!("?artifactType={}", wanted.replace('+', "%2B")),
        };
        let subject = Digest::of(subject.as_bytes());
        let answer = served.get(&format!("/v2/{repository}/referrers/{subject}{filter}")).await;
        assert_eq!(texts(&answer, &all), expected, "{repository} {filter}");
        let applied = if artifact_type.is_empty() { "" } else { "artifactType" };
        assert_eq!(answer.header("OCI-Filters-Applied"), applied, "{repository} {filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_names_a_digest_is_there_if_the_release_has_it() {
    let store = artifacts();
    let served = store.serve().await;
    let tag = |manifest: &str| format!("sha256-{}", Digest::of(manifest.as_bytes()).hex());
    let cases = [
        (format!("ghcr.io/acme/charts/web/manifests/{}.sig", tag("web chart")), Some("signature by tag")),
        // Not in this repository, and nowhere made up from the referrers.
        (format!("charts/web/manifests/{}.sig", tag("web chart")), None),
        (format!("ghcr.io/acme/charts/web/manifests/{}.att", tag("web chart")), None),
        (format!("ghcr.io/acme/charts/web/manifests/{}", tag("web chart")), None),
        (format!("charts/web/manifests/{}", tag("web chart")), None),
        (format!("ghcr.io/acme/api/manifests/{}", tag("api")), None),
    ];
    for (path, expected) in cases {
        let answer = served.get(&format!("/v2/{path}")).await;
        match expected {
            Some(manifest) => {
                assert_eq!((answer.status.as_u16(), &*answer.text()), (200, manifest), "{path}");
            }
            None => {
                assert_eq!((answer.status.as_u16(), &*answer.code()), (404, "MANIFEST_UNKNOWN"), "{path}");
            }
        }
    }
}

fn sha512(content: &str) -> String {
    Sha512::of(content.as_bytes()).to_string()
}

/// A release with an image that others know by SHA-512.
fn known_twice(sequence: u64) -> Content {
    let [manifest, layer, signature] =
        ["manifest", "layer", "signature"].map(|part| format!("{part} of {sequence}"));
    Content::default()
        .image("ghcr.io/acme/api:1", &manifest)
        .blob(&layer)
        .referrer(&manifest, &signature, SIGNATURE)
        .alias(&manifest)
        .alias(&layer)
}

async fn statuses(served: &Served, sequence: u64) -> [u16; 2] {
    let manifest = format!("/v2/ghcr.io/acme/api/manifests/{}", sha512(&format!("manifest of {sequence}")));
    let layer = format!("/v2/ghcr.io/acme/api/blobs/{}", sha512(&format!("layer of {sequence}")));
    [served.get(&manifest).await.status.as_u16(), served.get(&layer).await.status.as_u16()]
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_answered_under_the_digest_that_was_asked_for() {
    let store = TestStore::new();
    store.add(1, "active", &known_twice(1));
    store.point_at(1);
    let served = store.serve().await;
    let (manifest, layer) = ("manifest of 1", "layer of 1");
    let cases = [
        ("manifests", sha512(manifest), manifest, MANIFEST_TYPE),
        ("manifests", Digest::of(manifest.as_bytes()).to_string(), manifest, MANIFEST_TYPE),
        ("manifests", sha512(manifest).replace(':', "%3A"), manifest, MANIFEST_TYPE),
        ("blobs", sha512(layer), layer, "application/octet-stream"),
        ("blobs", sha512(manifest), manifest, "application/octet-stream"),
        ("blobs", Digest::of(layer.as_bytes()).to_string(), layer, "application/octet-stream"),
    ];
    for (endpoint, name, content, media_type) in cases {
        let path = format!("/v2/ghcr.io/acme/api/{endpoint}/{name}");
        let name = name.replace("%3A", ":");
        let etag = format!("\"{name}\"");
        for method in [Method::GET, Method::HEAD] {
            let answer = served.send(method.clone(), &path, &[]).await;
            let body = if method == Method::GET { content } else { "" };
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, body), "{method} {path}");
            let told = (answer.header("Docker-Content-Digest"), answer.header("ETag"));
            assert_eq!(told, (&*name, &*etag), "{method} {path}");
            assert_eq!(answer.header("Content-Type"), media_type, "{method} {path}");
        }
        let known = served.send(Method::GET, &path, &[("If-None-Match", &etag)]).await;
        assert_eq!((known.status.as_u16(), known.header("Docker-Content-Digest")), (304, &*name), "{path}");
        let part = served.send(Method::GET, &path, &[("If-Range", &etag), ("Range", "bytes=1-2")]).await;
        assert_eq!((part.status.as_u16(), &*part.text()), (206, &content[1..3]), "{path}");
        assert_eq!(part.header("Docker-Content-Digest"), name, "{path}");
    }
    // A tag says our own digest.
    let by_tag = served.get("/v2/ghcr.io/acme/api/manifests/1").await;
    assert_eq!(by_tag.header("Docker-Content-Digest"), Digest::of(manifest.as_bytes()).to_string());
    // The referrers of a manifest are the same under both of its names.
    for subject in [sha512(manifest), Digest::of(manifest.as_bytes()).to_string()] {
        let answer = served.get(&format!("/v2/ghcr.io/acme/api/referrers/{subject}")).await;
        assert_eq!(texts(&answer, &["signature of 1"]), ["signature of 1"], "{subject}");
    }
    let unknown = sha512("unknown");
    let nothing = served.get(&format!("/v2/ghcr.io/acme/api/referrers/{unknown}")).await;
    assert_eq!((nothing.status.as_u16(), texts(&nothing, &[]).len()), (200, 0));
    for (endpoint, name, code) in [
        ("manifests", unknown.clone(), "MANIFEST_UNKNOWN"),
        ("blobs", unknown, "BLOB_UNKNOWN"),
        // A layer is no manifest, and a signature has no second name here.
        ("manifests", sha512(layer), "MANIFEST_UNKNOWN"),
        ("manifests", sha512("signature of 1"), "MANIFEST_UNKNOWN"),
    ] {
        let answer = served.get(&format!("/v2/ghcr.io/acme/api/{endpoint}/{name}")).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, code), "{endpoint} {name:.20}");
    }
    let elsewhere = served.get(&format!("/v2/ghcr.io/acme/other/blobs/{}", sha512(layer))).await;
    assert_eq!((elsewhere.status.as_u16(), elsewhere.code().as_str()), (404, "NAME_UNKNOWN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn second_names_come_and_go_with_their_releases() {
    let store = TestStore::new();
    store.add(1, "active", &known_twice(1));
    store.point_at(1);
    let served = store.serve().await;
    assert_eq!((statuses(&served, 1).await, statuses(&served, 2).await), ([200; 2], [404; 2]));
    for state in ["staged", "activating", "retained"] {
        store.add(2, state, &known_twice(2));
        assert_eq!((statuses(&served, 1).await, statuses(&served, 2).await), ([200; 2], [200; 2]), "{state}");
    }
    store.set_state(2, "failed");
    assert_eq!((statuses(&served, 1).await, statuses(&served, 2).await), ([200; 2], [404; 2]));
}
