//! What other nodes fetch: envelopes and blobs of visible releases, and the trust roots.

use fs_err as fs;
use reqwest::Method;
use sealift_archive::Digest;
use sealift_archive::release::published::Envelope;
use sealift_archive::trust::{RoleName, RootDraft, SecretKey, Signature, Signatures, TrustRoot, Trusted};
use sealift_store::{RootFile, Store};

use crate::fixture::{Content, Served, TestStore};

/// More than one piece.
const LARGE: usize = (1 << 20) + 77;

fn large() -> Vec<u8> {
    (0..LARGE).map(|n| u8::try_from((n * 31 + n / 97) % 256).expect("a byte")).collect()
}

/// One release in each state; content `<state>` is only in that one.
fn all_states() -> TestStore {
    let store = TestStore::new();
    for (sequence, state) in [(1, "retained"), (2, "active"), (3, "staged"), (4, "activating"), (5, "failed")]
    {
        store.add(sequence, state, &Content::default().image("ghcr.io/acme/api:1", "api").blob(state));
    }
    store.point_at(2);
    store
}

fn document(store: &TestStore, sequence: u64, name: &str) -> Vec<u8> {
    fs::read(store.release_dir(sequence).join(name)).expect("a document")
}

fn release_path(statement: &[u8]) -> String {
    format!("/peer/releases/{}.json", Digest::of(statement).hex())
}

fn blob_path(content: &[u8]) -> String {
    format!("/peer/{}", Digest::of(content).blob_path())
}

async fn status(served: &Served, path: &str) -> u16 {
    served.get(path).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_visible_releases_are_handed_on() {
    let store = all_states();
    let served = store.serve().await;
    for (sequence, state, expected) in [
        (1, "retained", 200),
        (2, "active", 200),
        (3, "staged", 200),
        (4, "activating", 200),
        (5, "failed", 404),
    ] {
        let statement = document(&store, sequence, "release.json");
        let answer = served.get(&release_path(&statement)).await;
        assert_eq!(answer.status, expected, "{state}");
        if expected == 200 {
            assert_eq!(answer.header("Content-Type"), "application/json");
            assert_eq!(
                Envelope::parse("it", &answer.body).expect("an envelope").document,
                statement,
                "{state}"
            );
        }
        for content in [state.as_bytes().to_vec(), document(&store, sequence, "blobs")] {
            let answer = served.get(&blob_path(&content)).await;
            assert_eq!(answer.status, expected, "{state}");
            assert!(expected != 200 || answer.body == content, "{state}");
        }
    }
    // All have the same refs, and the failed one's are those of the others.
    assert_eq!(served.get(&blob_path(&document(&store, 5, "refs.json"))).await.status, 200);
    assert_eq!(status(&served, &release_path(b"another")).await, 404);
    assert_eq!(status(&served, &blob_path(b"another")).await, 404);
    // What lies in the store and belongs to no release is nobody's business.
    fs::write(store.blob_path(&Digest::of(b"incoming")), "incoming").expect("a blob");
    assert_eq!(status(&served, &blob_path(b"incoming")).await, 404);
    assert_eq!(
        status(&served, &blob_path(&document(&store, 1, "release.json"))).await,
        404,
        "it has an envelope"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_comes_with_its_signatures() {
    let store = all_states();
    let statement = document(&store, 2, "release.json");
    let (key, _) = SecretKey::generate(b"").expect("a key");
    let signature = Signature::sign(&statement, &key).expect("a signature");
    let signatures: Signatures = [signature.clone()].into_iter().collect();
    signatures.write_to(&store.release_dir(2)).expect("signatures");
    let served = store.serve().await;
    let answer = served.get(&release_path(&statement)).await;
    let envelope = Envelope::parse("it", &answer.body).expect("an envelope");
    assert_eq!(envelope.signatures.iter().collect::<Vec<_>>(), [&signature]);
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_come_whole_and_in_part() {
    let store = TestStore::new();
    store.add(1, "staged", &Content::default().blob(large()));
    let served = store.serve().await;
    let path = blob_path(&large());
    let whole = served.get(&path).await;
    assert!(whole.status == 200 && whole.body == large());
    assert_eq!(whole.header("Content-Type"), "application/octet-stream");
    let part = served.send(Method::GET, &path, &[("Range", "bytes=1048000-")]).await;
    assert!(part.status == 206 && part.body == large()[1_048_000..]);
    let list = document(&store, 1, "blobs");
    let part = served.send(Method::GET, &blob_path(&list), &[("Range", "bytes=7-8")]).await;
    assert!(part.status == 206 && part.body == list[7..9]);
    let head = served.send(Method::HEAD, &path, &[]).await;
    assert_eq!((head.header("Content-Length"), head.body.len()), (&*LARGE.to_string(), 0));
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let answer = served.send(method.clone(), &path, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.header("Allow")), (405, "GET, HEAD"), "{method}");
    }
    // Damage is told, and never sent.
    fs::write(store.blob_path(&Digest::of(&large())), "short").expect("a blob");
    assert_eq!(status(&served, &path).await, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roots_that_are_known_are_handed_on() {
    let store = TestStore::new();
    let [root_key, key] = [(); 2].map(|()| SecretKey::generate(b"").expect("a key").0);
    let members = [(RoleName::Root, &root_key), (RoleName::Release, &key), (RoleName::Pack, &key)];
    let members = members.map(|(role, key)| (role, vec![key.public().clone()]));
    let first = TrustRoot::first(&members.into()).expect("a root");
    let second = RootDraft::after(&first).finish().expect("a root");
    let sign = |root: &TrustRoot| Signature::sign(root.bytes(), &root_key).expect("a signature");
    let signatures: Signatures = [sign(&first), sign(&second)].into_iter().collect();
    let mut trusted = Trusted::from(first.clone());
    trusted.follow(second.clone(), &signatures).expect("it follows");
    {
        let writer = Store::open(store.dir()).and_then(|store| store.lock("test")).expect("the store");
        let file = RootFile {
            name: "root.json".to_owned(),
            root: first.clone(),
            signatures: Some(signatures.clone()),
        };
        writer.pin(&file).expect("it is pinned");
        writer.remember_roots("test", &trusted, &signatures).expect("it is remembered");
    }
    let served = store.serve().await;
    let mut heard = Trusted::from(first);
    for version in [1, 2] {
        let answer = served.get(&format!("/peer/roots/{version}.json")).await;
        let envelope = Envelope::parse("it", &answer.body).expect("an envelope");
        let root = TrustRoot::parse("it", &envelope.document).expect("a root");
        if version == 2 {
            heard.follow(root, &envelope.signatures).expect("it follows");
        }
    }
    assert_eq!(heard.newest().bytes(), second.bytes());
    for version in ["0", "3", "02"] {
        assert_eq!(status(&served, &format!("/peer/roots/{version}.json")).await, 404, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_are_none_lead_nowhere() {
    let store = all_states();
    let served = store.serve().await;
    let hex = Digest::of(b"active").hex();
    for path in [
        "/peer",
        "/peer/",
        "/peer/channels/stable.json",
        "/peer/../releases/2/release.json",
        "/peer/blobs/sha256/../../releases/2/release.json",
        "/peer/blobs/sha256/%2e%2e/%2e%2e/current/release.json",
        "/peer/roots/../../trust/root.json",
        "/peer/roots/%2e%2e%2froot.json",
        &format!("/peer/blobs/sha256/{hex}%00"),
        &format!("/peer/blobs/sha256/{}", hex.to_uppercase()),
        &format!("//peer/blobs/sha256/{hex}"),
        &format!("/peer//blobs/sha256/{hex}"),
        &format!("/peer/blobs/sha256/{hex}/"),
        &format!("/peer/{}", "blobs/".repeat(1000)),
    ] {
        assert_eq!(served.get_raw(path).await.0, 404, "{path}");
    }
    assert_eq!(served.get_raw(&format!("/peer/blobs/sha256/{hex}?x=/../")).await.0, 200);
}
