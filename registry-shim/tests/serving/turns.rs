//! Turns at Git's child processes, among clients that are slow to ask and slow to listen.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::crowd::raise_descriptors;
use crate::fixture::{Content, Served, TestStore, eventually};
use crate::git::{FETCH_TYPE, REFS, clone, noise, two_releases, want};

/// An address of this machine that is another than that of the clients who mean well.
const NUISANCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// More connections than the server lets in.
const MORE_THAN_PLACES: usize = 1100;
/// How many turns one address has at most.
const SHARE: usize = 6;
/// How long somebody may be held up by what others do; less than the limits after which those are sent away.
const PROMPT: Duration = Duration::from_secs(9);
/// How long the server may take to send somebody away.
const DEADLINE: Duration = Duration::from_secs(30);

/// Sends bytes from the other address.
async fn send_from_elsewhere(served: &Served, bytes: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((NUISANCE, 0).into()).expect("an address of this machine");
    let address = served.url.trim_start_matches("http://").parse().expect("an address");
    let mut stream = socket.connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("it is taken");
    stream
}

fn fetch(repository: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let (name, value) = FETCH_TYPE;
    let path = format!("/git/{repository}/git-upload-pack");
    let header =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\n{name}: {value}\r\nContent-Length: {length}\r\n\r\n");
    [header.as_bytes(), body].concat()
}

async fn status(stream: &mut TcpStream) -> String {
    let mut told = [0; 12];
    timeout(DEADLINE, stream.read_exact(&mut told)).await.expect("in time").expect("an answer");
    String::from_utf8_lossy(&told[9..]).into_owned()
}

/// Others are answered, and soon.
async fn expect_clone(served: &Served, what: &str) {
    let begun = Instant::now();
    let url = format!("{}/git/fleet.git", served.url);
    tokio::task::spawn_blocking(move || clone(&url, &["clone"])).await.expect(what);
    assert!(begun.elapsed() < PROMPT, "{what}: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_to_ask_takes_no_turn() {
    let store = two_releases();
    let served = store.serve().await;
    // Some have not said much, and some enough to count as large; none of them ends.
    let mut slow = Vec::new();
    for size in [0, 100, 30 << 10, 100 << 10] {
        for _ in 0..10 {
            slow.push(send_from_elsewhere(&served, &fetch("fleet", 1 << 20, &vec![b'0'; size])).await);
        }
    }
    expect_clone(&served, "beside those who are slow to ask").await;
    let children = served.get("/metrics").await.text();
    assert!(children.contains("sealift_registry_git_children 0\n"), "{children}");
    for stream in &mut slow {
        let status = status(stream).await;
        assert!(["408", "503"].contains(&&*status), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_to_ask_takes_no_place_of_others() {
    raise_descriptors();
    let store = two_releases();
    let served = store.serve().await;
    let mut slow = Vec::new();
    for _ in 0..MORE_THAN_PLACES {
        slow.push(send_from_elsewhere(&served, &fetch("fleet", 100, b"")).await);
    }
    expect_clone(&served, "beside more who are slow to ask than there are places").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_listen_leaves_turns_to_others() {
    let store = TestStore::new();
    let (small, large) = (store.commit("fleet", 1, "one"), store.commit("large", 1, &noise()));
    let content = Content::default()
        .git("fleet", &small.each_ref().map(|(name, id)| (*name, id.as_str())))
        .git("large", &large.each_ref().map(|(name, id)| (*name, id.as_str())));
    store.add(1, "active", &content);
    store.point_at(1);
    let (_, commit) = &large[0];
    let served = store.serve().await;
    let mut deaf = Vec::new();
    for _ in 0..2 * SHARE {
        let request = want(commit);
        deaf.push(send_from_elsewhere(&served, &fetch("large", request.len(), &request)).await);
    }
    let children = format!("sealift_registry_git_children {SHARE}\n");
    eventually(|| served.get("/metrics"), |told| told.text().contains(&children)).await;
    expect_clone(&served, "beside those who do not listen").await;

    // Whoever has used up its share waits, and is told so.
    let refs = format!("GET {REFS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut one_more = send_from_elsewhere(&served, refs.as_bytes()).await;
    let mut told = String::new();
    let listening = one_more.read_to_string(&mut told);
    timeout(DEADLINE, listening).await.expect("in time").expect("an answer");
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("retry-after: 5\r\n"), "{told}");

    // Whoever goes away before that is noted as well.
    drop(send_from_elsewhere(&served, refs.as_bytes()).await);
    let abandoned = "sealift_registry_requests_total{route=\"git\",status=\"499\"} 1\n";
    eventually(|| served.get("/metrics"), |told| told.text().contains(abandoned)).await;

    drop(deaf);
    let none = "sealift_registry_git_children 0\n";
    eventually(|| served.get("/metrics"), |told| told.text().contains(none)).await;
}
