//! Who asks for what, by which name.

use reqwest::Method;
use sealift_archive::Digest;

use crate::fixture::{Content, MANIFEST_TYPE, Served, TestStore};

fn three_hosts() -> TestStore {
    let store = TestStore::new();
    let content = Content::default()
        .image("docker.io/library/nginx:1", "hub nginx")
        .image("docker.io/acme/api:1", "hub api")
        .image("ghcr.io/acme/api:1", "ghcr api")
        .image("127.0.0.1:5000/acme/api:1", "local api")
        .image("sealift.internal/charts/app:1", "our chart")
        .image("sealift.internal/ghcr.example/app:1", "a name like a host")
        .image("sealift.internal/v2:1", "a name like the path");
    store.add(1, "active", &content);
    store.point_at(1);
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_comes_as_parameter_or_in_front() {
    let store = three_hosts();
    let served = store.serve().await;
    let cases = [
        ("library/nginx/manifests/1?ns=docker.io", "hub nginx"),
        ("nginx/manifests/1?ns=docker.io", "hub nginx"),
        ("nginx/manifests/1?ns=index.docker.io", "hub nginx"),
        ("nginx/manifests/1?ns=registry-1.docker.io", "hub nginx"),
        ("acme/api/manifests/1?ns=docker.io", "hub api"),
        ("acme/api/manifests/1?ns=ghcr.io", "ghcr api"),
        ("acme/api/manifests/1?ns=127.0.0.1:5000", "local api"),
        ("acme/api/manifests/1?ns=127.0.0.1%3A5000", "local api"),
        ("ghcr.io/acme/api/manifests/1", "ghcr api"),
        ("ghcr.io/acme/api/manifests/1?ns=", "ghcr api"),
        ("docker.io/nginx/manifests/1", "hub nginx"),
        ("index.docker.io/acme/api/manifests/1", "hub api"),
        ("127.0.0.1:5000/acme/api/manifests/1", "local api"),
        ("127.0.0.1%3A5000/acme/api/manifests/1", "local api"),
        ("sealift.internal/charts/app/manifests/1", "our chart"),
        ("charts/app/manifests/1", "our chart"),
        ("charts/app/manifests/1?ns=sealift.internal", "our chart"),
        ("ghcr.example/app/manifests/1", "a name like a host"),
        ("v2/manifests/1", "a name like the path"),
    ];
    for (path, manifest) in cases {
        let answer = served.get(&format!("/v2/{path}")).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, manifest), "{path}");
        let namespace = path.split_once("?ns=").map_or("", |(_, host)| host).replace("%3A", ":");
        assert_eq!(answer.header("OCI-Namespace"), namespace, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_mirrored_is_not_found_and_what_is_malformed_is_told() {
    let store = three_hosts();
    let served = store.serve().await;
    let known = Digest::of(b"ghcr api");
    let unknown = Digest::of(b"unknown");
    let long = "a".repeat(256);
    let cases = [
        ("unknown/thing/manifests/1?ns=ghcr.io".to_owned(), 404, "NAME_UNKNOWN"),
        ("acme/api/manifests/1".to_owned(), 404, "NAME_UNKNOWN"),
        ("acme/api/manifests/1?ns=quay.io".to_owned(), 404, "NAME_UNKNOWN"),
        ("quay.io/acme/api/manifests/1".to_owned(), 404, "NAME_UNKNOWN"),
        ("127.0.0.1:5001/acme/api/manifests/1".to_owned(), 404, "NAME_UNKNOWN"),
        // Content that is here is not answered under a name that is not.
        (format!("acme/other/manifests/{known}?ns=ghcr.io"), 404, "NAME_UNKNOWN"),
        (format!("acme/api/blobs/{known}?ns=quay.io"), 404, "NAME_UNKNOWN"),
        ("acme/other/tags/list?ns=ghcr.io".to_owned(), 404, "NAME_UNKNOWN"),
        (format!("acme/other/referrers/{known}?ns=ghcr.io"), 404, "NAME_UNKNOWN"),
        ("acme/api/manifests/2?ns=ghcr.io".to_owned(), 404, "MANIFEST_UNKNOWN"),
        ("acme/api/manifests/.INVALID_MANIFEST_NAME?ns=ghcr.io".to_owned(), 404, "MANIFEST_UNKNOWN"),
        (format!("acme/api/manifests/{unknown}?ns=ghcr.io"), 404, "MANIFEST_UNKNOWN"),
        (format!("acme/api/manifests/sha512:{}?ns=ghcr.io", "0".repeat(128)), 404, "MANIFEST_UNKNOWN"),
        (format!("acme/api/blobs/{unknown}?ns=ghcr.io"), 404, "BLOB_UNKNOWN"),
        ("acme/api/blobs/sha256:abc?ns=ghcr.io".to_owned(), 400, "DIGEST_INVALID"),
        ("acme/api/manifests/sha256:abc?ns=ghcr.io".to_owned(), 400, "DIGEST_INVALID"),
        ("acme/api/referrers/sha256:abc?ns=ghcr.io".to_owned(), 400, "DIGEST_INVALID"),
        ("acme/Api/manifests/1?ns=ghcr.io".to_owned(), 400, "NAME_INVALID"),
        // With capitals it can only be a host, as in a reference.
        ("Acme/api/manifests/1".to_owned(), 404, "NAME_UNKNOWN"),
        (format!("{long}/manifests/1?ns=ghcr.io"), 400, "NAME_INVALID"),
        ("acme/api/manifests/1?ns=http://ghcr.io".to_owned(), 400, "NAME_INVALID"),
        ("acme/api/manifests/1?ns=a%0d%0aX-Injected:1".to_owned(), 400, "NAME_INVALID"),
        ("acme/api/tags/list?ns=ghcr.io&n=many".to_owned(), 400, "PAGINATION_NUMBER_INVALID"),
        (format!("acme/api/blobs/sha512:{}?ns=ghcr.io", "0".repeat(128)), 404, "BLOB_UNKNOWN"),
        ("acme/api/blobs/sha512:abc?ns=ghcr.io".to_owned(), 400, "DIGEST_INVALID"),
        ("acme/api/blobs/blake3:abc?ns=ghcr.io".to_owned(), 404, "BLOB_UNKNOWN"),
        ("_catalog/".to_owned(), 404, "NAME_UNKNOWN"),
        ("_catalog?n=many".to_owned(), 400, "PAGINATION_NUMBER_INVALID"),
    ];
    for (path, status, code) in cases {
        let answer = served.get(&format!("/v2/{path}")).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{path}");
        assert_eq!(answer.header("Content-Type"), "application/json", "{path}");
        let head = served.send(Method::HEAD, &format!("/v2/{path}"), &[]).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (status, 0), "HEAD {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_leads_nowhere_but_into_the_table() {
    let store = three_hosts();
    fs_err::write(store.dir().join("secret"), "the secret").expect("a file");
    let served = store.serve().await;
    let long = "a/".repeat(20_000);
    let digest = Digest::of(b"ghcr api");
    let cases = [
        "/v2/../secret".to_owned(),
        "/v2/../../../../etc/passwd".to_owned(),
        "/v2/%2e%2e/%2e%2e/manifests/secret".to_owned(),
        "/v2/charts/app/manifests/..%2f..%2fsecret".to_owned(),
        "/v2/charts/app/manifests/../../../secret".to_owned(),
        "/v2/charts/app/blobs/sha256:..%2f..%2fsecret".to_owned(),
        "/v2/charts/app/blobs/../../secret".to_owned(),
        format!("/v2/charts/./app/blobs/{digest}"),
        format!("/v2/charts/../charts/app/blobs/{digest}"),
        format!("/v2//charts/app/blobs/{digest}"),
        format!("/v2/charts%2fapp/blobs/{digest}"),
        format!("/v2/charts/app/blobs/{digest}/"),
        format!("/v2/charts/app/blobs/{digest}%00"),
        format!("/v2/charts/app%00/blobs/{digest}"),
        format!("/v2/{long}manifests/1"),
        "/git/../secret".to_owned(),
        "/git/..%2fsecret/info/refs?service=git-upload-pack".to_owned(),
        "/git/%2e%2e/info/refs?service=git-upload-pack".to_owned(),
        "/git/../releases/1/info/refs?service=git-upload-pack".to_owned(),
        "/files/../secret".to_owned(),
        "/files/%2e%2e/secret".to_owned(),
        "/files/..%2fsecret".to_owned(),
        "/files/..%5csecret".to_owned(),
        "/files/%252e%252e/secret".to_owned(),
        "/files//etc/passwd".to_owned(),
        "/files/blobs/../../secret".to_owned(),
        "/files/%".to_owned(),
        "/files/%00".to_owned(),
        format!("/files/{long}"),
        "/secret".to_owned(),
        "/blobs/../secret".to_owned(),
        "/%".to_owned(),
        "/v2/%/manifests/1".to_owned(),
        "/v2/charts/app/manifests/%zz".to_owned(),
    ];
    for path in cases {
        let (status, answer) = served.get_raw(&path).await;
        assert!((400..500).contains(&status), "{path:.80}: {status}");
        assert!(!answer.contains("the secret") && !answer.contains("root:"), "{path:.80}: {answer}");
    }
    let (status, _) = served.get_raw(&format!("/v2/{}", "a".repeat(1 << 20))).await;
    assert!(matches!(status, 414 | 431), "{status}");
    assert_eq!(served.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_in() {
    let store = three_hosts();
    let served = store.serve().await;
    let digest = Digest::of(b"our chart");
    let cases = [
        (Method::POST, "/v2/charts/app/blobs/uploads/".to_owned()),
        (Method::POST, format!("/v2/charts/app/blobs/uploads/?mount={digest}&from=acme/api")),
        (Method::PATCH, "/v2/charts/app/blobs/uploads/1".to_owned()),
        (Method::PUT, format!("/v2/charts/app/blobs/uploads/1?digest={digest}")),
        (Method::PUT, "/v2/charts/app/manifests/2".to_owned()),
        (Method::DELETE, "/v2/charts/app/manifests/1".to_owned()),
        (Method::DELETE, format!("/v2/charts/app/blobs/{digest}")),
        (Method::PUT, "/v2/".to_owned()),
        (Method::POST, "/v2".to_owned()),
        (Method::OPTIONS, "/v2/".to_owned()),
    ];
    for (method, path) in cases {
        let answer = served.send(method.clone(), &path, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (405, "UNSUPPORTED"), "{method} {path}");
        assert_eq!(answer.header("Allow"), "GET, HEAD", "{method} {path}");
    }
    assert_eq!(served.get("/v2/charts/app/manifests/1").await.text(), "our chart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_finds_out_that_this_is_a_registry() {
    let served = TestStore::new().serve().await;
    for path in ["/v2/", "/v2"] {
        let answer = served.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "{}"), "{path}");
        assert_eq!(answer.header("Docker-Distribution-Api-Version"), "registry/2.0", "{path}");
        assert_eq!(served.send(Method::HEAD, path, &[]).await.status, 200, "{path}");
    }
}

/// Follows a list from its first page, and returns its entries and the number of pages.
async fn all_pages(served: &Served, first: &str, field: &str) -> (Vec<String>, usize) {
    let (mut found, mut pages, mut next) = (Vec::new(), 0, first.to_owned());
    while !next.is_empty() {
        let page = served.get(&next).await;
        let entries = page.json()[field].as_array().expect("a list").clone();
        assert!(!entries.is_empty(), "{next}");
        found.extend(entries.iter().map(|entry| entry.as_str().expect("text").to_owned()));
        pages += 1;
        let link = page.header("Link");
        let target = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
        assert!(target.is_some() || link.is_empty(), "{link}");
        target.unwrap_or_default().clone_into(&mut next);
    }
    (found, pages)
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_are_listed_by_names_that_can_be_asked_for() {
    let store = three_hosts();
    let content = |sequence: u64| {
        Content::default().image(&format!("ghcr.io/acme/only-{sequence}:1"), &format!("only {sequence}"))
    };
    store.add(2, "staged", &content(2));
    let served = store.serve().await;
    let all = [
        "127.0.0.1:5000/acme/api",
        "charts/app",
        "docker.io/acme/api",
        "docker.io/library/nginx",
        "ghcr.example/app",
        "ghcr.io/acme/api",
        "v2",
    ];
    assert_eq!(served.get("/v2/_catalog").await.json(), serde_json::json!({ "repositories": all }));
    for name in all {
        let tags = served.get(&format!("/v2/{name}/tags/list")).await;
        assert_eq!(tags.json(), serde_json::json!({"name": name, "tags": ["1"]}));
    }
    for (size, pages) in [(1, 7), (2, 4), (6, 2), (7, 1), (1000, 1)] {
        let found = all_pages(&served, &format!("/v2/_catalog?n={size}"), "repositories").await;
        assert_eq!(found, (all.map(str::to_owned).to_vec(), pages), "n={size}");
    }
    let cases: [(&str, &[&str]); 7] = [
        ("n=0", &[]),
        ("last=ghcr", &all[4..]),
        ("last=ghcr.io/acme/api", &all[6..]),
        ("last=zzz", &[]),
        ("ns=docker.io", &["acme/api", "library/nginx"]),
        ("ns=index.docker.io&n=1&last=acme/api", &["library/nginx"]),
        ("ns=quay.io", &[]),
    ];
    for (query, expected) in cases {
        let list = served.get(&format!("/v2/_catalog?{query}")).await;
        assert_eq!(list.json(), serde_json::json!({ "repositories": expected }), "{query}");
        assert_eq!((list.header("Link"), list.header("Content-Type")), ("", "application/json"), "{query}");
    }

    // A repository of ours that is called like one of another host is told apart once that host is known.
    store.add(3, "retained", &Content::default().image("ghcr.example/app:1", "a real host"));
    store.set_state(1, "active");
    let names = served.get("/v2/_catalog").await.json()["repositories"].clone();
    assert!(
        names.as_array().expect("a list").contains(&"sealift.internal/ghcr.example/app".into()),
        "{names}"
    );
    store.point_at(3);
    let list = served.get("/v2/_catalog").await;
    assert_eq!(list.json(), serde_json::json!({"repositories": ["ghcr.example/app"]}));
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_come_in_pages() {
    let store = TestStore::new();
    let tags = ["latest", "v10", "v2", "V1", "1.0", "_x"];
    let content = tags
        .iter()
        .fold(Content::default(), |content, tag| content.image(&format!("ghcr.io/acme/api:{tag}"), tag));
    store.add(1, "active", &content.image("ghcr.io/acme/other:elsewhere", "other"));
    store.point_at(1);
    let served = store.serve().await;
    let mut sorted = tags;
    sorted.sort_unstable();

    let all = served.get("/v2/acme/api/tags/list?ns=ghcr.io").await;
    assert_eq!(all.json(), serde_json::json!({"name": "acme/api", "tags": sorted}));
    assert_eq!((all.header("Link"), all.header("Content-Type")), ("", "application/json"));

    for (size, pages) in [(1, 6), (2, 3), (4, 2), (6, 1), (7, 1)] {
        let first = format!("/v2/acme/api/tags/list?ns=ghcr.io&n={size}");
        assert_eq!(all_pages(&served, &first, "tags").await, (sorted.map(str::to_owned).to_vec(), pages));
    }

    for (query, expected) in
        [("n=0", &sorted[..0]), ("last=latest", &sorted[4..]), ("last=zzz", &sorted[..0])]
    {
        let page = served.get(&format!("/v2/ghcr.io/acme/api/tags/list?{query}")).await;
        assert_eq!(page.json(), serde_json::json!({"name": "ghcr.io/acme/api", "tags": expected}), "{query}");
        assert_eq!(page.header("Link"), "", "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn referrers_are_listed_and_filtered() {
    const SIGNATURE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
    const SBOM: &str = "application/spdx+json";
    let store = TestStore::new();
    let content = Content::default()
        .image("ghcr.io/acme/api:1", "api")
        .referrer("api", "a signature", SIGNATURE)
        .referrer("api", "an sbom", SBOM);
    store.add(1, "active", &content);
    store.point_at(1);
    let served = store.serve().await;
    let filter = |kind: &str| format!("?artifactType={}", kind.replace('+', "%2B"));
    let (api, other) = (Digest::of(b"api"), Digest::of(b"other"));
    let cases = [
        (api, String::new(), "", vec!["a signature", "an sbom"]),
        (api, filter(SBOM), "artifactType", vec!["an sbom"]),
        (api, filter("text/unknown"), "artifactType", vec![]),
        (api, filter(""), "", vec!["a signature", "an sbom"]),
        // A subject need not be known: somebody asks before it is.
        (other, String::new(), "", vec![]),
    ];
    for (subject, query, applied, expected) in cases {
        let answer = served.get(&format!("/v2/ghcr.io/acme/api/referrers/{subject}{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        // go-containerregistry compares it as a whole.
        assert_eq!(answer.header("Content-Type"), "application/vnd.oci.image.index.v1+json", "{query}");
        assert_eq!(answer.header("OCI-Filters-Applied"), applied, "{query}");
        let index = answer.json();
        assert_eq!(
            (&index["schemaVersion"], &index["mediaType"]),
            (&2.into(), &answer.header("Content-Type").into())
        );
        let found = index["manifests"].as_array().expect("a list");
        let digests: Vec<_> =
            found.iter().map(|d| d["digest"].as_str().expect("a digest").to_owned()).collect();
        let expected: Vec<_> = expected.iter().map(|text| Digest::of(text.as_bytes()).to_string()).collect();
        assert_eq!(digests, expected, "{query}");
        for descriptor in found {
            assert_eq!(descriptor["mediaType"], MANIFEST_TYPE);
            assert!(descriptor["artifactType"].is_string() && descriptor["size"].is_u64(), "{descriptor}");
            let path =
                format!("/v2/ghcr.io/acme/api/manifests/{}", descriptor["digest"].as_str().expect("text"));
            assert_eq!(served.get(&path).await.status, 200);
        }
    }
}
