//! Plain files: by name, whole and in part, and the list of them.

use reqwest::Method;
use sealift_archive::Digest;
use serde_json::json;

use crate::fixture::{Answer, Content, Served, TestStore};

/// More than a few pieces, and no multiple of one.
const LARGE: usize = (1 << 20) + 12_345;

fn large() -> Vec<u8> {
    (0..LARGE).map(|n| u8::try_from((n * 37 + n / 241) % 256).expect("a byte")).collect()
}

fn three_files() -> TestStore {
    let store = TestStore::new();
    let content = Content::default()
        .image("ghcr.io/acme/api:1", "api")
        .file("docs/operator.pdf", "application/pdf", large())
        .file("k3s/v1.36.4+k3s1/k3s-images.txt", "text/plain; charset=utf-8", "one\ntwo\n")
        .file("empty", "no\nmedia type", "");
    store.add(1, "active", &content);
    store.point_at(1);
    store
}

async fn ask(served: &Served, headers: &[(&str, &str)]) -> Answer {
    served.send(Method::GET, "/files/docs/operator.pdf", headers).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_its_exact_bytes() {
    let store = three_files();
    let served = store.serve().await;
    let cases: [(&str, &[u8], &str); 5] = [
        ("docs/operator.pdf", &large(), "application/pdf"),
        ("k3s/v1.36.4+k3s1/k3s-images.txt", b"one\ntwo\n", "text/plain; charset=utf-8"),
        ("k3s/v1.36.4%2Bk3s1/k3s-images.txt", b"one\ntwo\n", "text/plain; charset=utf-8"),
        ("%6b3s/v1.36.4+k3s1/k3s-images.txt?download=1", b"one\ntwo\n", "text/plain; charset=utf-8"),
        // What cannot be said in a header is not said.
        ("empty", b"", "application/octet-stream"),
    ];
    for (name, content, media_type) in cases {
        for method in [Method::GET, Method::HEAD] {
            let answer = served.send(method.clone(), &format!("/files/{name}"), &[]).await;
            let body = if method == Method::GET { content } else { b"" };
            assert!(answer.status == 200 && answer.body == body, "{method} {name}: {}", answer.status);
            let expected = [
                ("Content-Type", media_type),
                ("Content-Length", &content.len().to_string()),
                ("ETag", &format!("\"{}\"", Digest::of(content))),
                ("Accept-Ranges", "bytes"),
                ("Cache-Control", "no-cache"),
                ("X-Content-Type-Options", "nosniff"),
                ("Content-Disposition", ""),
                ("Content-Encoding", ""),
                ("Docker-Content-Digest", ""),
            ];
            for (header, value) in expected {
                assert_eq!(answer.header(header), value, "{header} of {method} {name}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_file_is_that_part() {
    let store = three_files();
    let served = store.serve().await;
    let content = large();
    let etag = format!("\"{}\"", Digest::of(&content));
    let last = LARGE - 1;
    let cases = [
        (vec![("Range", "bytes=0-0")], Some(0..1)),
        (vec![("Range", "bytes=262100-262200")], Some(262_100..262_201)),
        (vec![("Range", "bytes=1048576-")], Some(1 << 20..LARGE)),
        (vec![("Range", "bytes=-1")], Some(last..LARGE)),
        (vec![("Range", "bytes=-99999999999")], Some(0..LARGE)),
        (vec![("Range", "bytes=0-9"), ("If-Range", &etag)], Some(0..10)),
        (vec![("Range", "bytes=0-9"), ("If-Range", "\"other\"")], None),
        (vec![("Range", "bytes=0-1,5-6")], None),
        (vec![("Range", "nonsense")], None),
    ];
    for (headers, expected) in cases {
        let answer = ask(&served, &headers).await;
        let (status, place, part) = match &expected {
            Some(part) => {
                (206, format!("bytes {}-{}/{LARGE}", part.start, part.end - 1), &content[part.clone()])
            }
            None => (200, String::new(), &content[..]),
        };
        assert_eq!(
            (answer.status.as_u16(), answer.header("Content-Range")),
            (status, &*place),
            "{headers:?}"
        );
        assert!(answer.body == part, "{headers:?}: {} bytes came", answer.body.len());
        let told = (answer.header("ETag"), answer.header("Cache-Control"), answer.header("Content-Type"));
        assert_eq!(told, (&*etag, "no-cache", "application/pdf"), "{headers:?}");
    }
    for range in [format!("bytes={LARGE}-"), "bytes=-0".to_owned()] {
        let answer = ask(&served, &[("Range", &range)]).await;
        let place = format!("bytes */{LARGE}");
        assert_eq!((answer.status.as_u16(), answer.header("Content-Range")), (416, &*place), "{range}");
        assert!(answer.body.is_empty(), "{range}");
    }
    for known in [&*etag, "*", &format!("W/{etag}"), &format!("\"other\", {etag}")] {
        let answer = ask(&served, &[("If-None-Match", known)]).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0), "{known}");
        assert_eq!((answer.header("ETag"), answer.header("Cache-Control")), (&*etag, "no-cache"), "{known}");
    }
    assert_eq!(ask(&served, &[("If-None-Match", "\"other\"")]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_told_in_plain_text() {
    let store = three_files();
    let served = store.serve().await;
    let names = [
        "unknown.pdf",
        "docs",
        "docs/",
        "docs/operator.pdf/",
        "Docs/operator.pdf",
        "docs//operator.pdf",
        "docs%2Foperator.pdf",
        "docs/operator.pdf%00",
        "docs%252Foperator.pdf",
        "k3s/v1.36.4%252Bk3s1/k3s-images.txt",
        "%ff",
    ];
    for name in names {
        let answer = served.get(&format!("/files/{name}")).await;
        assert_eq!(answer.status, 404, "{name}");
        assert_eq!(answer.text(), "no release here has anything of this name\n", "{name}");
        assert_eq!(answer.header("Content-Type"), "text/plain; charset=utf-8", "{name}");
        assert_eq!(answer.header("Cache-Control"), "no-cache", "{name}");
    }
    for method in [Method::PUT, Method::POST, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        for path in ["/files/docs/operator.pdf", "/files/new.txt", "/files/", "/files"] {
            let answer = served.send(method.clone(), path, &[]).await;
            assert_eq!(
                (answer.status.as_u16(), answer.header("Allow")),
                (405, "GET, HEAD"),
                "{method} {path}"
            );
        }
    }
    let path = store.blob_path(&Digest::of(&large()));
    fs_err::write(path, "damage").expect("a file");
    for method in [Method::GET, Method::HEAD] {
        let answer = served.send(method.clone(), "/files/docs/operator.pdf", &[]).await;
        assert_eq!(answer.status, 500, "{method}");
        assert!(!answer.text().contains("damage"), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_are_listed_for_programs_and_for_people() {
    let store = three_files();
    let served = store.serve().await;
    let file = |name: &str, media_type: &str, content: &[u8]| {
        let (digest, size) = (Digest::of(content), content.len());
        json!({"name": name, "mediaType": media_type, "digest": digest, "size": size})
    };
    let expected = json!({"files": [
        file("docs/operator.pdf", "application/pdf", &large()),
        file("empty", "no\nmedia type", b""),
        file("k3s/v1.36.4+k3s1/k3s-images.txt", "text/plain; charset=utf-8", b"one\ntwo\n"),
    ]});
    for accept in ["*/*", "application/json", "text/plain, application/xhtml+xml"] {
        for path in ["/files/", "/files", "/files/?x=y"] {
            let list = served.send(Method::GET, path, &[("Accept", accept)]).await;
            assert_eq!((list.status.as_u16(), list.json()), (200, expected.clone()), "{path} {accept}");
            let told = (list.header("Content-Type"), list.header("Vary"), list.header("Cache-Control"));
            assert_eq!(told, ("application/json", "accept", "no-cache"), "{path} {accept}");
        }
    }
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let page = served.send(Method::GET, "/files/", &[("Accept", browser)]).await;
    assert_eq!((page.status.as_u16(), page.header("Content-Type")), (200, "text/html; charset=utf-8"));
    assert!(page.header("Content-Security-Policy").starts_with("default-src 'none'"));
    let text = page.text();
    let mut links = 0;
    for target in text.split("href=\"").skip(1).map(|rest| rest.split('"').next().expect("its end")) {
        assert_eq!(served.get(target).await.status, 200, "{target}");
        links += usize::from(target.starts_with("/files/"));
    }
    assert_eq!(links, 3, "{text}");
    assert!(text.contains(&Digest::of(&large()).hex()) && text.contains("1.0 MB"), "{text}");

    let empty = TestStore::new();
    let served = empty.serve().await;
    assert_eq!(served.get("/files/").await.json(), json!({"files": []}));
    assert!(served.send(Method::GET, "/files/", &[("Accept", browser)]).await.text().contains("nothing"));
}

/// A release with the file `name` of all, and one of its own number.
fn numbered(sequence: u64) -> Content {
    Content::default().file("name", "text/plain", format!("of {sequence}")).file(
        &format!("only-{sequence}"),
        "text/plain",
        format!("only {sequence}"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_answered_as_a_tag_is() {
    async fn told(served: &Served) -> (String, Vec<u16>, String) {
        let mut only = Vec::new();
        for sequence in [1, 2] {
            only.push(served.get(&format!("/files/only-{sequence}")).await.status.as_u16());
        }
        let list = served.get("/files/").await.json()["files"].clone();
        let names =
            list.as_array().expect("a list").iter().map(|file| file["name"].as_str().expect("a name"));
        (served.get("/files/name").await.text(), only, names.collect::<Vec<_>>().join(" "))
    }
    let nothing = "no release here has anything of this name\n";
    let store = TestStore::new();
    let served = store.serve().await;
    store.add(1, "staged", &numbered(1));
    assert_eq!(told(&served).await, (nothing.to_owned(), vec![404, 404], String::new()));
    store.set_state(1, "activating");
    assert_eq!(told(&served).await, ("of 1".to_owned(), vec![200, 404], String::new()));
    store.point_at(1);
    store.set_state(1, "active");
    assert_eq!(told(&served).await, ("of 1".to_owned(), vec![200, 404], "name only-1".to_owned()));
    let etag = served.get("/files/name").await.header("ETag").to_owned();

    store.add(2, "staged", &numbered(2));
    assert_eq!(told(&served).await, ("of 1".to_owned(), vec![200, 404], "name only-1".to_owned()));
    store.set_state(2, "activating");
    assert_eq!(told(&served).await, ("of 2".to_owned(), vec![200, 200], "name only-1".to_owned()));
    // The list says of a name what asking for it brings.
    let listed = served.get("/files/").await.json()["files"][0]["digest"].clone();
    assert_eq!(listed, Digest::of(b"of 2").to_string());
    store.point_at(2);
    store.set_state(2, "active");
    store.set_state(1, "retained");
    assert_eq!(told(&served).await, ("of 2".to_owned(), vec![200, 200], "name only-2".to_owned()));
    // Whoever has the file of the release before is told that there is another.
    let answer = served.send(Method::GET, "/files/name", &[("If-None-Match", &etag)]).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "of 2"));

    fs_err::remove_dir_all(store.release_dir(1)).expect("a release");
    assert_eq!(told(&served).await, ("of 2".to_owned(), vec![404, 200], "name only-2".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_read_has_no_list() {
    let store = three_files();
    fs_err::write(store.release_dir(1).join("release.json"), "{}").expect("damage");
    let served = store.serve().await;
    for path in ["/files/", "/files/docs/operator.pdf"] {
        let answer = served.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("Retry-After")), (503, "5"), "{path}");
    }
    assert_eq!(served.get("/files/-").await.status, 404);
}
