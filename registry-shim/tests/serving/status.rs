//! What a person and a program are told about how things stand.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealift_archive::Digest;
use sealift_archive::trust::{RoleName, SecretKey, TrustRoot};
use sealift_store::{Agreed, Brings, Disk, Failure, NodeSeen, Offer, OfferState, Store, Subject};

use crate::fixture::{Content, TestStore};

async fn page(store: &TestStore) -> String {
    let answer = store.serve().await.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.header("Content-Type")), (200, "text/html; charset=utf-8"));
    assert_eq!(answer.header("Cache-Control"), "no-store");
    assert_eq!(answer.header("X-Content-Type-Options"), "nosniff");
    let policy = answer.header("Content-Security-Policy").to_owned();
    let text = answer.text();
    let (before, rest) = text.split_once("<script>").expect("our script");
    let (script, after) = rest.split_once("</script>").expect("its end");
    let hash = BASE64.encode(hex::decode(Digest::of(script.as_bytes()).hex()).expect("a digest"));
    assert!(
        policy.starts_with("default-src 'none'") && policy.contains(&format!("'sha256-{hash}'")),
        "{policy}"
    );
    let text = [before, after].concat();
    for foreign in ["<script", "src=", "http://", "https://", "@import", "url("] {
        assert!(!text.contains(foreign), "{foreign} in {text}");
    }
    text
}

/// The text between two headings.
fn section<'a>(page: &'a str, title: &str) -> &'a str {
    let (_, rest) = page.split_once(title).unwrap_or_else(|| panic!("no `{title}` in {page}"));
    rest.split_once("</section>").expect("its end").0
}

fn trust_root() -> TrustRoot {
    let [root, other] = [(); 2].map(|()| SecretKey::generate(b"").expect("a key").0);
    let members = [(RoleName::Root, &root), (RoleName::Release, &other), (RoleName::Pack, &other)];
    let members = members.map(|(role, key)| (role, vec![key.public().clone()]));
    TrustRoot::first(&members.into()).expect("a trust root")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_store_says_what_to_do() {
    let page = page(&TestStore::new()).await;
    for expected in ["Nothing active yet", "sealiftctl import", "has no trust root"] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_told_first_and_the_rest_in_its_place() {
    let store = TestStore::new();
    let content = || {
        Content::default()
            .image("ghcr.io/acme/api:1", "api")
            .image("ghcr.io/acme/api:latest", "api")
            .referrer("api", "a signature", "application/vnd.dev.sigstore.bundle.v0.3+json")
            .artifact("sealift.internal/charts/api:1", "chart", "application/vnd.cncf.helm.config.v1+json")
            .file("a.txt", "text/plain", "a")
            .file("b.txt", "text/plain", "b")
            .blob(vec![0; 12_345_678])
    };
    for (sequence, state) in [(2, "retained"), (3, "retained"), (4, "active"), (5, "staged")] {
        store.add(sequence, state, &content());
    }
    store.point_at(4);
    let root = trust_root();
    fs_err::write(store.dir().join("trust/root.json"), root.bytes()).expect("a trust root");
    // The machine that tests run on may be short of room.
    let is_low = Disk::of(store.dir()).expect("the file system").is_low();
    let word = if is_low { "Needs attention" } else { "Healthy" };
    let healthy = page(&store).await;
    for expected in [format!("<title>acme 4.0 – {word}</title>"), format!("<p class=\"verdict\">{word}</p>")]
    {
        assert!(healthy.contains(&expected) && healthy.contains("What is wrong") == is_low, "{healthy}");
    }
    store.add(1, "failed", &content());
    let page = page(&store).await;
    assert!(page.contains("<title>acme 4.0 – Needs attention</title>"), "{page}");
    let header = page.split_once("</header>").expect("a header").0;
    for expected in [
        "Needs attention",
        "<h1>acme 4.0</h1>",
        "sequence 4",
        "2026-11-23 02:48 UTC",
        "1 image, 1 chart, 2 files; 12.3 MB",
    ] {
        assert!(header.contains(expected), "{expected}: {header}");
    }
    let releases = |title| {
        let words = section(&page, title).split("<td>acme ").skip(1);
        words.map(|rest| rest.split('<').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(releases("Staged"), ["5.0"]);
    assert_eq!(releases("Kept, can be activated again"), ["3.0", "2.0"]);
    assert_eq!(releases("Failed"), ["1.0"]);
    assert!(section(&page, "What is wrong").contains("1.0 failed: the &lt;disk&gt; was full"));
    assert!(section(&page, "Failed").contains("the &lt;disk&gt; was full"));
    assert!(page.contains("<dt>Trust root\n<dd>version 1<br>"), "{page}");
    assert!(page.replace(' ', "").contains(&root.digest().hex()), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_told_on_the_page() {
    let store = TestStore::new();
    store.add(1, "active", &Content::default());
    store.point_at(1);
    fs_err::write(store.release_dir(1).join("refs.json"), "<b>").expect("damage");
    let page = page(&store).await;
    for expected in ["Not healthy", "error[SL0", "refs.json", "hint:"] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_of_a_cluster_are_told() {
    let store = TestStore::new();
    store.add(1, "active", &Content::default());
    store.point_at(1);
    assert!(!page(&store).await.contains("<dt>Nodes"));
    let node = |name: &str, lives, hindrance: Option<&str>| NodeSeen {
        name: name.to_owned(),
        active: Some("1.0".parse().expect("a version")),
        lives,
        hindrance: hindrance.map(str::to_owned),
    };
    let nodes =
        vec![node("node-a", true, None), node("node-b", false, None), node("node-c", true, Some("<full>"))];
    let time = time::macros::datetime!(2026-11-23 02:48 UTC);
    let boot_id = sealift_store::boot().expect("a boot");
    let agreed = Agreed { releases: Vec::new(), boot_id, time, nodes };
    let write = |agreed: Agreed| Store::open(store.dir()).and_then(|store| store.write_agreed(&agreed));
    write(agreed.clone()).expect("it is written down");
    let told = page(&store).await;
    for expected in [
        "<p class=\"verdict\">Needs attention</p>",
        "<li>node node-b says nothing any more",
        "<li>node node-c is held up: &lt;full&gt;",
        "node-a: 1.0 is active<br>",
        "node-b: 1.0 is active, <strong>silent</strong>",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    write(Agreed { boot_id: "another".to_owned(), ..agreed }).expect("it is written down");
    let told = page(&store).await;
    assert!(told.contains("<li>this node has not heard since it was started"), "{told}");
    assert!(told.contains("systemctl status sealift-cluster"), "{told}");
    assert!(!told.contains("says nothing any more"), "it cannot know: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_nothing_else() {
    let served = TestStore::new().serve().await;
    for path in ["/index.html", "/favicon.ico", "/metrics/", "/v1", "/v22", "/git", "/git/"] {
        assert_eq!(served.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stick_offers_is_told_while_it_is_there() {
    let store = TestStore::new();
    assert!(!page(&store).await.contains("Stick"));
    let stick = store.dir().join("stick");
    fs_err::create_dir(&stick).expect("a stick");
    let digest = Digest::of(b"a release");
    let release = Subject {
        product: "acme".parse().expect("a product"),
        version: "1.6.0".parse().expect("a version"),
        sequence: 6.try_into().expect("a sequence"),
        digest,
    };
    let brings = Brings {
        release,
        archive: "acme".into(),
        steps: 1,
        missing_bytes: 12_345_678,
        needed_bytes: 0,
        free_bytes: 0,
    };
    let offer = |device: &str, label| {
        let path = stick.to_str().expect("UTF-8").to_owned();
        Offer::new(device.parse().expect("a device"), path, Some(label))
    };
    let waiting = Offer { brings: Some(brings), ..offer("sda1", "SEALIFT") };
    let failure = Failure { code: "SL0114".into(), message: "who is <script>?".into(), hint: None };
    let refused = Offer { state: OfferState::Refused(failure), ..offer("sdb1", "<script>alert(1)\u{202e}") };
    let written = Store::open(store.dir()).expect("a store");
    for offer in [waiting, refused] {
        written.write_offer(&offer).expect("an offer");
    }
    let told = page(&store).await;
    for expected in [
        "Stick SEALIFT (sda1) offers acme 1.6.0, 12.3 MB missing here",
        &format!("confirm with <code>sealiftctl media confirm {}</code>", digest.short()),
        &digest.to_string(),
        "Stick &lt;script&gt;alert(1)\\u{202e} (sdb1): refused: who is &lt;script&gt;?",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    fs_err::write(store.dir().join("offers/sda1.json"), "{").expect("damage");
    assert!(section(&page(&store).await, "What is wrong").contains("offers/sda1.json"));
    fs_err::remove_file(store.dir().join("offers/sda1.json")).expect("no damage");
    fs_err::remove_dir(&stick).expect("no stick");
    assert!(!page(&store).await.contains("Stick"));
}
