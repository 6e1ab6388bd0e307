//! Git over HTTP, spoken by Git itself and by hand.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use fs_err as fs;
use reqwest::Method;
use sealift_archive::Digest;
use sealift_store::{Agreed, Store};
use time::OffsetDateTime;

use crate::fixture::{Answer, Content, Served, TestStore, attempt, git, git_ok};

pub(crate) const REFS: &str = "/git/fleet.git/info/refs?service=git-upload-pack";
const FETCH: &str = "/git/fleet.git/git-upload-pack";
pub(crate) const FETCH_TYPE: (&str, &str) = ("Content-Type", "application/x-git-upload-pack-request");

pub(crate) fn two_releases() -> TestStore {
    let store = TestStore::new();
    store.git_release(1, "active", "fleet", "one");
    store.git_release(2, "staged", "fleet", "two");
    store.git_release(3, "staged", "later", "three");
    store.point_at(1);
    store
}

/// Clones, and says what is checked out and whether the server spoke version 2.
pub(crate) fn clone(url: &str, arguments: &[&str]) -> (String, bool) {
    let dir = tempfile::tempdir().expect("a directory");
    let trace = dir.path().join("trace");
    let mut command = git(dir.path());
    command.env("GIT_TRACE_PACKET", &trace).args(arguments).args([url, "work"]);
    let output = attempt(&mut command);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let work = dir.path().join("work");
    git_ok(&work, &["fsck", "--strict"]);
    assert_eq!(git_ok(&work, &["branch", "--show-current"]), "main");
    if !arguments.contains(&"--depth=1") {
        assert_eq!(git_ok(&work, &["cat-file", "-t", "v1"]), "tag");
    }
    let said_v2 = fs_err::read_to_string(trace).expect("git traces").contains("clone< version 2");
    (fs_err::read_to_string(work.join("file")).expect("a file"), said_v2)
}

#[tokio::test(flavor = "multi_thread")]
async fn git_clones_by_every_protocol_the_active_release() {
    let store = two_releases();
    let served = store.serve().await;
    let deep: &[&str] = &["clone"];
    let shallow = &["clone", "--depth=1"];
    for (sequence, text) in [(1, "one"), (2, "two"), (1, "one")] {
        store.point_at(sequence);
        for (version, speaks_v2) in [("0", false), ("1", false), ("2", true)] {
            let protocol = format!("protocol.version={version}");
            for arguments in [deep, shallow] {
                for name in ["fleet.git", "fleet"] {
                    let url = format!("{}/git/{name}", served.url);
                    let cloned = clone(&url, &[&["-c", &protocol], arguments].concat());
                    assert_eq!(cloned, (text.to_owned(), speaks_v2), "{name} {version} {arguments:?}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refs_are_those_of_the_release_with_head_and_peeled_tags() {
    let store = two_releases();
    let served = store.serve().await;
    let bare = store.git_dir("fleet");
    let id = |name: &str| git_ok(&bare, &["rev-parse", &format!("refs/namespaces/1/{name}")]);
    let (main, tag) = (id("refs/heads/main"), id("refs/tags/v1"));
    for version in ["0", "2"] {
        let protocol = format!("protocol.version={version}");
        let url = format!("{}/git/fleet.git", served.url);
        let said = git_ok(store.dir(), &["-c", &protocol, "ls-remote", "--symref", &url]);
        // In version 2 Git 2.39 tells HEAD twice: once as such, once as a ref of the namespace.
        let head = format!("ref: refs/heads/main\tHEAD\n{main}\tHEAD\n");
        let said = said.replacen(&head.repeat(2), &head, 1);
        let expected = format!(
            "ref: refs/heads/main\tHEAD\n{main}\tHEAD\n{main}\trefs/heads/main\n{tag}\trefs/tags/v1\n{main}\trefs/tags/v1^{{}}"
        );
        assert_eq!(said, expected, "protocol version {version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_offered_that_go_git_cannot_do() {
    let store = two_releases();
    let served = store.serve().await;
    let answer = served.get(REFS).await;
    assert_eq!(answer.header("Content-Type"), "application/x-git-upload-pack-advertisement");
    assert_eq!(answer.header("Cache-Control"), "no-cache");
    let text = answer.text();
    assert!(text.starts_with("001e# service=git-upload-pack\n0000"), "{text}");
    assert!(text.ends_with("0000"), "{text}");
    for withheld in ["multi_ack", "thin-pack"] {
        assert!(!text.contains(withheld), "{text}");
    }
    for offered in
        ["side-band-64k", "ofs-delta", "shallow", "symref=HEAD:refs/heads/main", "allow-reachable-sha1"]
    {
        assert!(text.contains(offered), "{offered}: {text}");
    }
    let version_2 = served.send(Method::GET, REFS, &[("Git-Protocol", "version=2")]).await.text();
    assert!(version_2.starts_with("000eversion 2\n"), "{version_2}");
    for other in ["version=1", "version=22", "version=2;x", "GIT_DIR=/", ""] {
        let same = served.send(Method::GET, REFS, &[("Git-Protocol", other)]).await.text();
        assert_eq!(same, text, "{other}");
    }
}

/// The request of a shallow clone in protocol version 0, as go-git sends it.
pub(crate) fn want(commit: &str) -> Vec<u8> {
    let line = |text: &str| format!("{:04x}{text}", text.len() + 4);
    let want = line(&format!("want {commit} ofs-delta side-band-64k shallow agent=go-git/5.x\n"));
    [want, line("deepen 1\n"), "0000".to_owned(), line("done\n")].concat().into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn is_pack_of(answer: &Answer, commit: &str) -> bool {
    let body = &answer.body;
    answer.status == 200
        && body.starts_with(format!("0034shallow {commit}0000").as_bytes())
        && body.windows(8).any(|w| w == b"0008NAK\n")
        && body.windows(5).any(|w| w == b"\x01PACK")
        && body.ends_with(b"0000")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_be_compressed() {
    let store = two_releases();
    let served = store.serve().await;
    let commit = git_ok(&store.git_dir("fleet"), &["rev-parse", "refs/namespaces/1/refs/heads/main"]);
    let request = want(&commit);
    for (encoding, body) in
        [("identity", request.clone()), ("gzip", gzip(&request)), ("x-gzip", gzip(&request))]
    {
        let answer = served.post(FETCH, &[FETCH_TYPE, ("Content-Encoding", encoding)], body).await;
        assert!(is_pack_of(&answer, &commit), "{encoding}: {answer:?}");
        assert_eq!(answer.header("Content-Type"), "application/x-git-upload-pack-result");
        assert_eq!(answer.header("Cache-Control"), "no-cache");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activation_between_two_requests_of_a_clone_does_no_harm() {
    let store = two_releases();
    let served = store.serve().await;
    let commit = git_ok(&store.git_dir("fleet"), &["rev-parse", "refs/namespaces/1/refs/heads/main"]);
    assert!(served.get(REFS).await.text().contains(&commit));
    store.point_at(2);
    assert!(!served.get(REFS).await.text().contains(&commit));
    let answer = served.post(FETCH, &[FETCH_TYPE], want(&commit)).await;
    assert!(is_pack_of(&answer, &commit), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_repositories_of_the_active_release_are_there() {
    let store = two_releases();
    let served = store.serve().await;
    let statuses = async |served: &Served| {
        let refs = served.get("/git/later/info/refs?service=git-upload-pack").await;
        let fetch = served.post("/git/later/git-upload-pack", &[FETCH_TYPE], b"0000".to_vec()).await;
        (refs.status.as_u16(), fetch.status.as_u16())
    };
    assert_eq!(statuses(&served).await, (404, 404));
    store.point_at(3);
    assert_eq!(statuses(&served).await, (200, 200));
    assert_eq!(served.get(REFS).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_reading_by_smart_http_is_refused() {
    let store = two_releases();
    let served = store.serve().await;
    let get = [
        ("/git/fleet.git/info/refs", 404),
        ("/git/fleet.git/info/refs?service=", 404),
        ("/git/fleet.git/info/refs?service=git-upload-archive", 404),
        ("/git/fleet.git/info/refs?service=git-receive-pack", 403),
        ("/git/fleet.git/git-receive-pack", 403),
        ("/git/fleet.git/HEAD", 404),
        ("/git/fleet.git/objects/info/packs", 404),
        ("/git/fleet.git/config", 404),
        ("/git/fleet.git", 404),
        ("/git/other.git/info/refs?service=git-upload-pack", 404),
        ("/git/fleet.git.git/info/refs?service=git-upload-pack", 404),
        ("/git/FLEET.git/info/refs?service=git-upload-pack", 404),
        (FETCH, 405),
    ];
    for (path, status) in get {
        assert_eq!(served.get(path).await.status, status, "{path}");
    }
    assert_eq!(served.post(REFS, &[FETCH_TYPE], Vec::new()).await.status, 405);
    assert_eq!(served.post("/git/fleet.git/git-receive-pack", &[], Vec::new()).await.status, 403);

    let work = tempfile::tempdir().expect("a directory");
    let url = format!("{}/git/fleet.git", served.url);
    git_ok(work.path(), &["clone", "--quiet", &url, "work"]);
    let push = attempt(git(&work.path().join("work")).args(["push", "origin", "HEAD:refs/heads/new"]));
    assert!(!push.status.success() && String::from_utf8_lossy(&push.stderr).contains("403"), "{push:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_does_not_reach_far() {
    const LIMIT: usize = 4 << 20;
    let store = two_releases();
    let served = store.serve().await;
    let gzipped = ("Content-Encoding", "gzip");
    let cases = [
        ("no type", vec![], want(&"0".repeat(40)), 415),
        ("a form", vec![("Content-Type", "application/x-www-form-urlencoded")], Vec::new(), 415),
        ("another encoding", vec![FETCH_TYPE, ("Content-Encoding", "zstd")], Vec::new(), 415),
        ("not gzip", vec![FETCH_TYPE, gzipped], b"0000".to_vec(), 400),
        ("too large", vec![FETCH_TYPE], vec![b'0'; LIMIT + 4], 413),
        ("a bomb", vec![FETCH_TYPE, gzipped], gzip(&vec![b'0'; 64 * LIMIT]), 413),
        ("garbage", vec![FETCH_TYPE], b"zzzzgarbage".to_vec(), 400),
        ("nothing asked", vec![FETCH_TYPE], b"0000".to_vec(), 200),
    ];
    for (name, headers, body, status) in cases {
        assert_eq!(served.post(FETCH, &headers, body).await.status.as_u16(), status, "{name}");
    }
    // What Git itself tells the client is an answer.
    let unknown = served.post(FETCH, &[FETCH_TYPE], want(&"1".repeat(40))).await;
    assert_eq!(unknown.status, 200);
    let unknown = unknown.text();
    assert!(unknown.contains("ERR upload-pack: not our ref"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_gone_is_an_error_and_no_empty_repository() {
    let store = two_releases();
    let served = store.serve().await;
    fs_err::remove_dir_all(store.git_dir("fleet")).expect("a mirror");
    assert_eq!(served.get(REFS).await.status, 500);
    assert_eq!(served.post(FETCH, &[FETCH_TYPE], want(&"1".repeat(40))).await.status, 500);
}

/// Needs root: only root can give a directory to somebody else, and Git mistrusts only directories of others.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_may_belong_to_another_user() {
    const NOBODY: u32 = 65_534;
    let store = two_releases();
    std::os::unix::fs::chown(store.git_dir("fleet"), Some(NOBODY), Some(NOBODY))
        .expect("root may give files away");
    let served = store.serve().await;
    assert_eq!(clone(&format!("{}/git/fleet", served.url), &["clone"]).0, "one");
}

/// What cannot be compressed, and more than the buffers on the way hold.
pub(crate) fn noise() -> String {
    let mut noise = String::new();
    let mut state = 1_u64;
    while noise.len() < 16 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        write!(noise, "{state:016x}").expect("a string");
    }
    noise
}

/// How many processes work in a directory.
fn at_work_in(dir: &Path) -> usize {
    let dir = dir.canonicalize().expect("a directory");
    let processes = fs_err::read_dir("/proc").expect("processes").filter_map(Result::ok);
    // A process may end while we look.
    processes
        .filter(|process| fs_err::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == dir))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_leaves_no_process_behind() {
    let store = TestStore::new();
    store.git_release(1, "active", "fleet", &noise());
    store.point_at(1);
    let dir = store.git_dir("fleet");
    let commit = git_ok(&dir, &["rev-parse", "refs/namespaces/1/refs/heads/main"]);
    let served = store.serve().await;
    let request = served.client.post(format!("{}{FETCH}", served.url)).header(FETCH_TYPE.0, FETCH_TYPE.1);
    let answer = request.body(want(&commit)).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(at_work_in(&dir) > 0, "it has sent everything already");
    drop(answer);
    let begun = Instant::now();
    while at_work_in(&dir) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it still runs");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_behind_or_hears_nothing_does_not_answer() {
    let store = TestStore::new();
    let refs = store.commit("fleet", 1, "one");
    let content = Content::default()
        .git("fleet", &refs.each_ref().map(|(name, id)| (*name, id.as_str())))
        .artifact("sealift.internal/flux/apps:1.0.0", "apps", "application/vnd.cncf.flux.config.v1+json");
    store.add(1, "active", &content);
    store.point_at(1);
    let served = store.serve().await;
    let ask = async || {
        let tags = served.get("/v2/flux/apps/tags/list").await;
        let git = served.get(REFS).await;
        let told = |answer: &Answer| (answer.status.as_u16(), answer.header("Retry-After").to_owned());
        assert_eq!(told(&tags), told(&git), "Flux follows both");
        if git.status == 503 {
            assert!(
                tags.text().contains(git.text().trim()) && tags.code() == "UNAVAILABLE",
                "{}",
                tags.text()
            );
        }
        // All else is answered: what runs goes on pulling.
        let digest = Digest::of(b"apps");
        for path in ["manifests/1.0.0", &format!("manifests/{digest}"), &format!("blobs/{digest}")] {
            assert_eq!(served.get(&format!("/v2/flux/apps/{path}")).await.text(), "apps", "{path}");
        }
        git
    };
    assert_eq!(ask().await.status, 200, "it is no node of a cluster");
    let own = Digest::of(&fs::read(store.release_dir(1).join("release.json")).expect("the statement"));
    let agree = |releases: &[Digest]| {
        let boot_id = sealift_store::boot().expect("a boot");
        let agreed = Agreed {
            releases: releases.to_vec(),
            boot_id,
            time: OffsetDateTime::UNIX_EPOCH,
            nodes: Vec::new(),
        };
        Store::open(store.dir()).expect("the store").write_agreed(&agreed).expect("it is written");
    };
    agree(&[Digest::of(b"another")]);
    let answer = ask().await;
    assert_eq!((answer.status.as_u16(), answer.header("Retry-After")), (503, "5"));
    assert!(answer.text().contains("agreed on"), "{}", answer.text());
    agree(&[Digest::of(b"another"), own]);
    assert_eq!(ask().await.status, 200);
    // The same, and nobody knows when it was heard.
    let file = fs::File::open(store.dir().join("cluster.json")).expect("what was heard");
    file.set_modified(SystemTime::now()).expect("another time");
    let answer = ask().await;
    assert_eq!((answer.status.as_u16(), answer.header("Retry-After")), (503, "5"));
    assert!(answer.text().contains("systemctl status sealift-cluster"), "{}", answer.text());
    agree(&[own]);
    assert_eq!(ask().await.status, 200);
}
