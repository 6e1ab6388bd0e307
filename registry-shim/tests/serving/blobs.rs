//! Bytes: exact, whole and in part, and never wrong ones.

use reqwest::Method;
use sealift_archive::Digest;

use crate::fixture::{Content, MANIFEST_TYPE, Served, TestStore, eventually};

const MANIFEST: &str = "{\"exact\" : \"bytes\"}\n";
/// More than a few pieces, and no multiple of one.
const LARGE: usize = (1 << 20) + 12_345;

fn large() -> Vec<u8> {
    (0..LARGE).map(|n| u8::try_from((n * 31 + n / 251) % 256).expect("a byte")).collect()
}

fn one_image() -> TestStore {
    let store = TestStore::new();
    let content = Content::default().image("ghcr.io/acme/api:1", MANIFEST).blob(large()).blob("");
    store.add(1, "active", &content);
    store.point_at(1);
    store
}

fn blob(content: &[u8]) -> String {
    format!("/v2/ghcr.io/acme/api/blobs/{}", Digest::of(content))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_its_exact_bytes_and_named_in_the_header() {
    let store = one_image();
    let served = store.serve().await;
    let digest = Digest::of(MANIFEST.as_bytes()).to_string();
    for reference in ["1", &digest] {
        for method in [Method::GET, Method::HEAD] {
            let path = format!("/v2/acme/api/manifests/{reference}?ns=ghcr.io");
            let answer = served.send(method.clone(), &path, &[("Accept", "text/html")]).await;
            let body = if method == Method::GET { MANIFEST } else { "" };
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, body), "{method} {reference}");
            let expected = [
                ("Docker-Content-Digest", digest.as_str()),
                ("Content-Type", MANIFEST_TYPE),
                ("Content-Length", "20"),
                ("ETag", &format!("\"{digest}\"")),
                ("Content-Encoding", ""),
                ("OCI-Namespace", "ghcr.io"),
            ];
            for (name, value) in expected {
                assert_eq!(answer.header(name), value, "{name} of {method} {reference}");
            }
        }
    }
    // containerd looks for a manifest among the blobs if it was not among the manifests.
    for method in [Method::GET, Method::HEAD] {
        let answer = served.send(method, &blob(MANIFEST.as_bytes()), &[]).await;
        assert_eq!((answer.status.as_u16(), answer.header("Content-Length")), (200, "20"));
        assert_eq!(answer.header("Content-Type"), "application/octet-stream");
    }
    // A blob is no manifest, though.
    let answer = served.get(&format!("/v2/ghcr.io/acme/api/manifests/{}", Digest::of(&large()))).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "MANIFEST_UNKNOWN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_comes_whole_whatever_encodings_a_client_takes() {
    let store = one_image();
    let served = store.serve().await;
    let content = large();
    for encodings in ["zstd;q=1.0, gzip;q=0.8, deflate;q=0.5", "identity;q=0"] {
        let answer = served.send(Method::GET, &blob(&content), &[("Accept-Encoding", encodings)]).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body == content, "{} bytes came", answer.body.len());
        assert_eq!(answer.header("Content-Length"), LARGE.to_string());
        assert_eq!((answer.header("Content-Encoding"), answer.header("Accept-Ranges")), ("", "bytes"));
    }
    let empty = served.get(&blob(b"")).await;
    assert_eq!((empty.status.as_u16(), empty.header("Content-Length")), (200, "0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_blob_is_that_part() {
    let store = one_image();
    let served = store.serve().await;
    let content = large();
    let last = LARGE - 1;
    let cases = [
        ("bytes=0-0".to_owned(), Some(0..1)),
        ("bytes=100-199".to_owned(), Some(100..200)),
        // Over the border of two pieces, and over all of them.
        ("bytes=262100-262200".to_owned(), Some(262_100..262_201)),
        ("bytes=1-".to_owned(), Some(1..LARGE)),
        ("bytes=1048576-".to_owned(), Some(1 << 20..LARGE)),
        (format!("bytes={last}-"), Some(last..LARGE)),
        (format!("bytes={last}-99999999999"), Some(last..LARGE)),
        ("bytes=-1".to_owned(), Some(last..LARGE)),
        ("bytes=-99999999999999999999999".to_owned(), Some(0..LARGE)),
        ("bytes=5-2".to_owned(), None),
        ("bytes=0-1,5-6".to_owned(), None),
        ("nonsense".to_owned(), None),
    ];
    for (range, expected) in cases {
        let answer = served.send(Method::GET, &blob(&content), &[("Range", &range)]).await;
        let (status, place, part) = match &expected {
            Some(part) => {
                (206, format!("bytes {}-{}/{LARGE}", part.start, part.end - 1), &content[part.clone()])
            }
            None => (200, String::new(), &content[..]),
        };
        assert_eq!(
            (answer.status.as_u16(), answer.header("Content-Range")),
            (status, place.as_str()),
            "{range}"
        );
        assert_eq!(answer.header("Content-Length"), part.len().to_string(), "{range}");
        assert!(answer.body == part, "{range}: {} bytes came", answer.body.len());
    }
    for range in
        [format!("bytes={LARGE}-"), "bytes=-0".to_owned(), "bytes=99999999999999999999999-".to_owned()]
    {
        let answer = served.send(Method::GET, &blob(&content), &[("Range", &range)]).await;
        let place = format!("bytes */{LARGE}");
        assert_eq!(
            (answer.status.as_u16(), answer.header("Content-Range")),
            (416, place.as_str()),
            "{range}"
        );
        assert!(answer.body.is_empty(), "{range}");
    }
    // HEAD knows no ranges.
    let head = served.send(Method::HEAD, &blob(&content), &[("Range", "bytes=0-0")]).await;
    assert_eq!((head.status.as_u16(), head.header("Content-Length")), (200, LARGE.to_string().as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_about_the_digest() {
    let store = one_image();
    let served = store.serve().await;
    let content = large();
    let etag = format!("\"{}\"", Digest::of(&content));
    let cases: [(&[(&str, &str)], u16); 6] = [
        (&[("If-None-Match", &etag)], 304),
        (&[("If-None-Match", "*")], 304),
        (&[("If-None-Match", "\"other\"")], 200),
        (&[("If-Range", &etag), ("Range", "bytes=0-9")], 206),
        (&[("If-Range", "\"other\""), ("Range", "bytes=0-9")], 200),
        (&[("If-Range", "\"other\""), ("Range", "bytes=99999999-")], 200),
    ];
    for (headers, status) in cases {
        let answer = served.send(Method::GET, &blob(&content), headers).await;
        assert_eq!(answer.status.as_u16(), status, "{headers:?}");
        assert_eq!(answer.header("ETag"), etag, "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_content_is_not_sent() {
    let store = one_image();
    let served = store.serve().await;
    let content = large();
    let path = store.blob_path(&Digest::of(&content));
    let damages: [(&str, &dyn Fn()); 3] = [
        ("shorter", &|| fs_err::write(&path, &content[1..]).expect("a file")),
        ("longer", &|| fs_err::write(&path, [&content[..], b"x"].concat()).expect("a file")),
        ("gone", &|| fs_err::remove_file(&path).expect("a file")),
    ];
    for (damage, inflict) in damages {
        inflict();
        let answer = served.get(&blob(&content)).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (500, "UNKNOWN"), "{damage}");
        let head = served.send(Method::HEAD, &blob(&content), &[]).await;
        assert_eq!(head.status, 500, "{damage}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_manifest_is_not_sent_and_a_sound_one_stays_in_memory() {
    let store = one_image();
    let manifest = format!("/v2/ghcr.io/acme/api/manifests/{}", Digest::of(MANIFEST.as_bytes()));
    let path = store.blob_path(&Digest::of(MANIFEST.as_bytes()));
    let served = store.serve().await;
    for damaged in [MANIFEST.replacen('{', "[", 1), MANIFEST[1..].to_owned(), format!("{MANIFEST} ")] {
        fs_err::write(&path, damaged).expect("a file");
        let answer = served.get(&manifest).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (500, "UNKNOWN"));
    }
    fs_err::write(&path, MANIFEST).expect("a file");
    assert_eq!(served.get(&manifest).await.text(), MANIFEST);
    fs_err::remove_file(&path).expect("a file");
    assert_eq!(served.get(&manifest).await.text(), MANIFEST);
    assert_eq!(
        served.send(Method::HEAD, &manifest, &[]).await.header("content-length"),
        MANIFEST.len().to_string()
    );
    let part = served.send(Method::GET, &manifest, &[("range", "bytes=1-3")]).await;
    assert_eq!((part.status.as_u16(), part.text().as_str()), (206, &MANIFEST[1..4]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_shrinks_on_the_way_ends_the_connection() {
    // Larger than what sockets and buffers between the two can hold.
    const SIZE: usize = 64 << 20;
    let store = TestStore::new();
    let content = vec![7; SIZE];
    store.add(1, "active", &Content::default().image("ghcr.io/acme/api:1", "api").blob(&content));
    store.point_at(1);
    let served = store.serve().await;
    let response =
        served.client.get(format!("{}{}", served.url, blob(&content))).send().await.expect("an answer");
    assert_eq!(response.content_length(), Some(SIZE as u64));
    let file =
        fs_err::OpenOptions::new().write(true).open(store.blob_path(&Digest::of(&content))).expect("a file");
    file.set_len(SIZE as u64 / 2).expect("a shorter file");
    assert!(response.bytes().await.is_err(), "half of it was taken for all of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_at_once_all_get_everything() {
    let store = one_image();
    let served = store.serve().await;
    let content = large();
    let pull = |served: &Served| {
        let request = served.client.get(format!("{}{}", served.url, blob(&content)));
        tokio::spawn(async move { request.send().await?.bytes().await })
    };
    let pulls: Vec<_> = (0..100).map(|_| pull(&served)).collect();
    for pull in pulls {
        assert!(pull.await.expect("no panic").expect("an answer") == content);
    }
    eventually(|| served.get("/readyz"), |answer| answer.status == 200).await;
}
