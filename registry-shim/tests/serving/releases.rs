//! Which release answers: precedence, and a change seen at once.

use sealift_archive::Digest;

use crate::fixture::{Content, Served, TestStore, eventually};

/// A release with the tag `1` of its own, a tag of its own number, and content that no other has.
fn content(sequence: u64) -> Content {
    Content::default()
        .image("ghcr.io/acme/api:1", &format!("api of {sequence}"))
        .image(&format!("ghcr.io/acme/api:only-{sequence}"), &format!("api of {sequence}"))
        .blob(format!("layer of {sequence}"))
}

async fn tag(served: &Served, tag: &str) -> String {
    let answer = served.get(&format!("/v2/ghcr.io/acme/api/manifests/{tag}")).await;
    if answer.status == 200 { answer.text() } else { answer.status.as_u16().to_string() }
}

async fn listed(served: &Served) -> String {
    let answer = served.get("/v2/ghcr.io/acme/api/tags/list").await;
    let list = answer.json()["tags"].as_array().cloned().unwrap_or_default();
    list.iter().map(|tag| tag.as_str().expect("a tag")).collect::<Vec<_>>().join(" ")
}

async fn layer(served: &Served, sequence: u64) -> u16 {
    let digest = Digest::of(format!("layer of {sequence}").as_bytes());
    served.get(&format!("/v2/ghcr.io/acme/api/blobs/{digest}")).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_goes_from_stage_to_history() {
    let store = TestStore::new();
    let served = store.serve().await;
    assert_eq!(tag(&served, "1").await, "404");

    store.add(1, "staged", &content(1));
    assert_eq!((tag(&served, "1").await.as_str(), layer(&served, 1).await), ("404", 200));

    store.set_state(1, "activating");
    assert_eq!((tag(&served, "1").await.as_str(), listed(&served).await.as_str()), ("api of 1", ""));

    store.point_at(1);
    assert_eq!((tag(&served, "1").await.as_str(), listed(&served).await.as_str()), ("api of 1", "1 only-1"));

    store.set_state(1, "active");
    store.add(2, "staged", &content(2));
    assert_eq!((tag(&served, "1").await.as_str(), layer(&served, 2).await), ("api of 1", 200));
    assert_eq!((tag(&served, "only-2").await.as_str(), listed(&served).await.as_str()), ("404", "1 only-1"));

    store.set_state(2, "activating");
    assert_eq!((tag(&served, "1").await.as_str(), listed(&served).await.as_str()), ("api of 2", "1 only-1"));

    store.point_at(2);
    assert_eq!((tag(&served, "1").await.as_str(), listed(&served).await.as_str()), ("api of 2", "1 only-2"));
    assert_eq!((tag(&served, "only-1").await.as_str(), layer(&served, 1).await), ("api of 1", 200));

    // And back.
    store.set_state(2, "active");
    store.set_state(1, "activating");
    assert_eq!((tag(&served, "1").await.as_str(), listed(&served).await.as_str()), ("api of 1", "1 only-2"));
    store.point_at(1);
    assert_eq!((tag(&served, "1").await.as_str(), listed(&served).await.as_str()), ("api of 1", "1 only-1"));

    store.set_state(2, "failed");
    assert_eq!((tag(&served, "only-2").await.as_str(), layer(&served, 2).await), ("404", 404));

    fs_err::remove_dir_all(store.release_dir(2)).expect("a release");
    assert_eq!((tag(&served, "1").await.as_str(), layer(&served, 1).await), ("api of 1", 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_after_a_switch_sees_the_release_before() {
    let store = TestStore::new();
    for sequence in [1, 2] {
        store.add(sequence, "retained", &content(sequence));
    }
    store.point_at(1);
    let served = store.serve().await;
    for round in 0..50 {
        let sequence = round % 2 + 1;
        store.point_at(sequence);
        let url = format!("{}/v2/ghcr.io/acme/api/manifests/1", served.url);
        let asked: Vec<_> = (0..8).map(|_| tokio::spawn(served.client.get(&url).send())).collect();
        for answer in asked {
            let answer = answer.await.expect("no panic").expect("an answer").text().await.expect("text");
            assert_eq!(answer, format!("api of {sequence}"), "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_known_stays_in_service_when_the_store_cannot_be_read() {
    let store = TestStore::new();
    store.add(1, "active", &content(1));
    store.point_at(1);
    let served = store.serve().await;
    assert_eq!(served.get("/readyz").await.text(), "ready\n");

    let refs = store.release_dir(1).join("refs.json");
    let good = fs_err::read(&refs).expect("the refs");
    fs_err::write(&refs, "{}").expect("damage");
    store.set_state(1, "active");
    let answer = served.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("refs.json"), "{}", answer.text());
    assert_eq!((tag(&served, "1").await.as_str(), layer(&served, 1).await), ("api of 1", 200));
    assert_eq!(served.get("/healthz").await.text(), "ok\n");

    // Repaired without another change of state: noticed all the same, a little later.
    fs_err::write(&refs, good).expect("repair");
    eventually(|| served.get("/readyz"), |answer| answer.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_could_never_be_read_is_not_taken_for_an_empty_one() {
    let store = TestStore::new();
    store.add(1, "active", &content(1));
    store.point_at(1);
    fs_err::write(store.release_dir(1).join("release.json"), "{}").expect("damage");
    let served = store.serve().await;
    for path in
        ["/readyz", "/v2/ghcr.io/acme/api/manifests/1", "/git/fleet/info/refs?service=git-upload-pack"]
    {
        assert_eq!(served.get(path).await.status, 503, "{path}");
    }
    for path in ["/healthz", "/v2/", "/"] {
        assert_eq!(served.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_release_takes_only_itself_down() {
    let store = TestStore::new();
    store.add(1, "retained", &content(1));
    store.add(2, "active", &content(2));
    store.point_at(2);
    fs_err::write(store.release_dir(1).join("blobs"), "").expect("damage");
    let served = store.serve().await;
    assert_eq!(served.get("/readyz").await.status, 200);
    assert_eq!((tag(&served, "1").await.as_str(), layer(&served, 2).await), ("api of 2", 200));
    assert_eq!((tag(&served, "only-1").await.as_str(), layer(&served, 1).await), ("404", 404));
    let page = served.get("/").await.text();
    assert!(page.contains("Damaged in part"), "{page}");
}
