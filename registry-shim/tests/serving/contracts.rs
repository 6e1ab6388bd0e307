//! What clients rely on, request by request: containerd's pull, go-containerregistry's expectations, and the lines of
//! the distribution specification that the other tests here do not have.

use reqwest::Method;
use sealift_archive::Digest;
use serde_json::Value;

use crate::fixture::{Content, INDEX_TYPE, MANIFEST_TYPE, Served, TestStore};

/// What containerd 2 accepts when it resolves a reference.
const RESOLVABLE: &str = "application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, */*";
/// What it would take compressed; nothing stored may be.
const ENCODINGS: &str = "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5";

/// Of a request.
type Headers<'a> = &'a [(&'a str, &'a str)];

const CHILD: &str = "{\"a\": \"manifest\"}";
const CONFIG: &str = "{\"a\": \"configuration\"}";

/// An index of two platforms, of which only one is carried, in bytes that no serialiser would write.
fn sparse_index() -> String {
    let (here, elsewhere) = (digest(CHILD), digest("a manifest for another platform"));
    format!(
        "{{ \"schemaVersion\":2,\t\"manifests\": [ {{\"digest\":\"{elsewhere}\"}} ,{{\"digest\":\"{here}\"}} ]}} \n"
    )
}

fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

/// A layer, long enough for a client to lose its connection in the middle.
fn layer() -> String {
    "layer ".repeat(500_000)
}

fn one_index() -> TestStore {
    let store = TestStore::new();
    let content = Content::default()
        .index("docker.io/rancher/mirrored-pause:3.10.2", &sparse_index())
        .manifest(CHILD)
        .blob(CONFIG)
        .blob(layer());
    store.add(1, "active", &content);
    store.point_at(1);
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn containerd_pulls_as_from_the_original() {
    let store = one_index();
    let served = store.serve().await;
    let (index, layer) = (sparse_index(), layer());
    let broken_at = 1_048_576;
    let rest = format!("bytes={broken_at}-");
    let resolve: Headers<'_> = &[("Accept", RESOLVABLE), ("Accept-Encoding", ENCODINGS)];
    let resume: Headers<'_> = &[("Range", &rest), ("Accept-Encoding", ENCODINGS)];
    let (octets, place) =
        ("application/octet-stream", format!("bytes {broken_at}-{}/{}", layer.len() - 1, layer.len()));
    let manifest = |text: &str| format!("manifests/{}", digest(text));
    let blob = |text: &str| format!("blobs/{}", digest(text));
    let transcript: [(Method, String, Headers<'_>, &str, &str); 7] = [
        (Method::HEAD, "manifests/3.10.2".to_owned(), resolve, INDEX_TYPE, &index),
        (Method::HEAD, manifest(&index), resolve, INDEX_TYPE, &index),
        (Method::GET, manifest(&index), resolve, INDEX_TYPE, &index),
        (Method::GET, manifest(CHILD), resolve, MANIFEST_TYPE, CHILD),
        (Method::GET, blob(CONFIG), resolve, octets, CONFIG),
        (Method::GET, blob(&layer), resolve, octets, &layer),
        (Method::GET, blob(&layer), resume, octets, &layer),
    ];
    for (method, path, headers, media_type, content) in transcript {
        let (status, sent, place) =
            if headers == resume { (206, &content[broken_at..], &*place) } else { (200, content, "") };
        let url = format!("/v2/rancher/mirrored-pause/{path}?ns=docker.io");
        let answer = served.send(method.clone(), &url, headers).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        assert!(answer.text() == if method == Method::HEAD { "" } else { sent }, "{method} {path}");
        let expected = [
            ("Docker-Content-Digest", digest(content)),
            ("Content-Length", sent.len().to_string()),
            ("Content-Type", media_type.to_owned()),
            ("Content-Range", place.to_owned()),
            ("Content-Encoding", String::new()),
            ("Transfer-Encoding", String::new()),
            ("OCI-Namespace", "docker.io".to_owned()),
        ];
        for (name, value) in expected {
            assert_eq!(answer.header(name), value, "{name} of {method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_keeps_its_bytes_though_not_all_it_names_is_here() {
    let store = one_index();
    let served = store.serve().await;
    let index = served.get("/v2/docker.io/rancher/mirrored-pause/manifests/3.10.2").await;
    assert_eq!(index.text(), sparse_index());
    let statuses = index.json()["manifests"].as_array().expect("a list").clone();
    let mut found = Vec::new();
    for child in statuses {
        let child = child["digest"].as_str().expect("a digest").to_owned();
        let answer = served.get(&format!("/v2/docker.io/rancher/mirrored-pause/manifests/{child}")).await;
        found.push((answer.status.as_u16(), answer.status.is_client_error().then(|| answer.code())));
    }
    assert_eq!(found, [(404, Some("MANIFEST_UNKNOWN".to_owned())), (200, None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_comes_in_parts_and_on_conditions_as_well() {
    let store = one_index();
    let served = store.serve().await;
    let size = CHILD.len();
    let etag = format!("\"{}\"", digest(CHILD));
    let whole = format!("bytes */{size}");
    let cases: [(Headers<'_>, u16, &str, &str); 7] = [
        (&[("Range", "bytes=2-5")], 206, &CHILD[2..6], &format!("bytes 2-5/{size}")),
        (
            &[("Range", "bytes=-3")],
            206,
            &CHILD[size - 3..],
            &format!("bytes {}-{}/{size}", size - 3, size - 1),
        ),
        (&[("Range", "bytes=500-")], 416, "", &whole),
        (&[("Range", "bytes=0-0"), ("If-Range", &etag)], 206, &CHILD[..1], &format!("bytes 0-0/{size}")),
        (&[("Range", "bytes=0-0"), ("If-Range", "\"other\"")], 200, CHILD, ""),
        (&[("If-None-Match", &etag)], 304, "", ""),
        (&[("If-None-Match", "\"other\"")], 200, CHILD, ""),
    ];
    // The first time from the disk, and then from memory.
    for _ in 0..2 {
        for (headers, status, body, place) in &cases {
            let path = format!("/v2/docker.io/rancher/mirrored-pause/manifests/{}", digest(CHILD));
            let answer = served.send(Method::GET, &path, headers).await;
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (*status, *body), "{headers:?}");
            assert_eq!(
                (answer.header("Content-Range"), answer.header("ETag")),
                (*place, &*etag),
                "{headers:?}"
            );
            assert_eq!(answer.header("Docker-Content-Digest"), digest(CHILD), "{headers:?}");
        }
    }
}

/// Every kind of question, and its status.
fn questions() -> Vec<(String, u16, &'static str)> {
    let name = "rancher/mirrored-pause";
    vec![
        (String::new(), 200, "application/json"),
        ("_catalog".to_owned(), 200, "application/json"),
        (format!("{name}/tags/list"), 200, "application/json"),
        (format!("{name}/referrers/{}", digest(CHILD)), 200, INDEX_TYPE),
        (format!("{name}/manifests/3.10.2"), 200, INDEX_TYPE),
        (format!("{name}/blobs/{}", digest(CONFIG)), 200, "application/octet-stream"),
        (format!("{name}/manifests/3.10.3"), 404, "application/json"),
        (format!("{name}/blobs/{}", digest("nothing")), 404, "application/json"),
        (format!("{name}/referrers/sha256:1"), 400, "application/json"),
        ("rancher/other/tags/list".to_owned(), 404, "application/json"),
        ("Rancher//tags/list".to_owned(), 400, "application/json"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn head_says_what_get_would_and_for_whom() {
    let store = one_index();
    let served = store.serve().await;
    for (path, status, media_type) in questions() {
        let ask = async |method: Method, query: &str| {
            served.send(method, &format!("/v2/{path}{query}"), &[("Accept-Encoding", ENCODINGS)]).await
        };
        let (get, head) = (ask(Method::GET, "?ns=docker.io").await, ask(Method::HEAD, "?ns=docker.io").await);
        for (answer, method) in [(&get, "GET"), (&head, "HEAD")] {
            let found =
                (answer.status.as_u16(), answer.header("Content-Type"), answer.header("OCI-Namespace"));
            assert_eq!(found, (status, media_type, "docker.io"), "{method} {path}");
            assert_eq!(answer.header("Content-Encoding"), "", "{method} {path}");
        }
        assert_eq!(head.header("Content-Length"), get.body.len().to_string(), "{path}");
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
        // For nobody in particular there is nothing to echo.
        for query in ["", "?ns="] {
            assert_eq!(ask(Method::GET, query).await.header("OCI-Namespace"), "", "{path}{query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_has_the_body_of_the_specification() {
    let store = one_index();
    let served = store.serve().await;
    for (path, _, _) in questions().into_iter().filter(|(_, status, _)| *status >= 400) {
        let body = served.get(&format!("/v2/{path}?ns=docker.io")).await.json();
        let errors = body["errors"].as_array().expect("a list");
        let [error] = &errors[..] else { panic!("{path}: {body}") };
        assert!(body.as_object().is_some_and(|body| body.len() == 1), "{path}: {body}");
        assert!(error["code"].is_string() && error["message"].is_string(), "{path}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_the_size_that_was_asked_for() {
    let store = one_index();
    let served = store.serve().await;
    for list in ["docker.io/rancher/mirrored-pause/tags/list", "_catalog"] {
        for size in ["-1", "", "1.5", "+1", "0x10"] {
            let answer = served.get(&format!("/v2/{list}?n={}", size.replace('+', "%2B"))).await;
            let found = (answer.status.as_u16(), answer.code());
            assert_eq!(found, (400, "PAGINATION_NUMBER_INVALID".to_owned()), "{list} {size}");
        }
        for (size, entries) in [("0", 0), ("1", 1), ("1000", 1), ("99999999999999999999999", 1)] {
            let answer = served.get(&format!("/v2/{list}?n={size}")).await;
            assert_eq!((entries_of(&answer.json()), answer.header("Link")), (entries, ""), "{list} {size}");
        }
    }
}

fn entries_of(list: &Value) -> usize {
    list.get("tags").or(list.get("repositories")).and_then(Value::as_array).map_or(usize::MAX, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_can_be_written_by_any_method() {
    let store = one_index();
    let served = store.serve().await;
    let writes = ["POST", "PUT", "PATCH", "DELETE", "MKCOL", "PROPFIND", "QUERY"];
    for (path, _, _) in questions() {
        for method in writes {
            refused(&served, method, &format!("/v2/{path}")).await;
        }
    }
}

async fn refused(served: &Served, method: &str, path: &str) {
    let answer = served.send(method.parse().expect("a method"), path, &[]).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (405, "UNSUPPORTED"), "{method} {path}");
    assert_eq!(answer.header("Allow"), "GET, HEAD", "{method} {path}");
}
