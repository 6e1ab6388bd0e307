//! Plain files: fetched like blobs if their digest is known, and otherwise read or measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sealift_archive::{Blob, Class, Digest, Explain, Progress, Unwatched};
use sealift_fetch::{Client, Error, Options, Origin, Wanted};
use sealift_lab::vendor::{Access, Config, Fault, Target};

use crate::setting::{Count, SIZE, Setting, quick};

const TOTAL: u64 = SIZE as u64;
/// A place in the middle where connections break.
const BREAK: u64 = 654_321;
/// `vendor:secret`, as Docker stores it.
const LOGIN: &str = r#"{"auths": {"REGISTRY": {"auth": "dmVuZG9yOnNlY3JldA=="}}}"#;

/// The ranges that were asked for at a path, with the statuses of the answers.
fn exchanges(setting: &Setting, path: &str) -> Vec<(Option<String>, u16)> {
    let seen = setting.registry.seen().into_iter().filter(|seen| seen.path == path);
    seen.map(|seen| (seen.range, seen.status)).collect()
}

fn rest(from: u64, status: u16) -> (Option<String>, u16) {
    (Some(format!("bytes={from}-")), status)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_with_a_known_digest_are_content_like_any_other() {
    let setting = Setting::new();
    let (file, bytes) = setting.file(1);
    let (blob, _) = setting.blob(2);
    setting.registry.faults().once(Target::Path("/files/1".into()), Fault::Cut(BREAK));
    setting.fetch(vec![file.clone(), blob.clone()]).await.unwrap();
    assert!(setting.sink.whole(file.blob.digest).unwrap() == bytes);
    assert!(setting.sink.whole(blob.blob.digest).is_some());
    assert_eq!(exchanges(&setting, "/files/1"), [(None, 200), rest(BREAK, 206)]);
    assert_eq!(setting.progress.bytes(), 2 * TOTAL);

    let (file, _) = setting.file(3);
    setting.registry.faults().always(Target::Path("/files/3".into()), Fault::OtherBytes);
    let error = setting.fetch(vec![file.clone()]).await.unwrap_err();
    assert_eq!(error.code().to_string(), "SL0215");
    let text = error.to_string();
    assert!(text.ends_with(&format!("({})", setting.url("/files/3"))), "the address stands once: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_comes_whole_or_not_at_all() {
    let setting = Setting::new();
    let url = setting.url("/index.yaml?channel=stable");
    setting.registry.add_file("/index.yaml", "entries: {}");
    assert_eq!(setting.client.get(&url, 11).await.unwrap(), b"entries: {}");
    assert_eq!(setting.registry.seen()[0].query.as_deref(), Some("channel=stable"));

    // What passes is tried again; what does not is told by name.
    let path = || Target::Path("/index.yaml".to_owned());
    setting.registry.faults().once(path(), Fault::Status(503, None));
    setting.registry.faults().once(path(), Fault::Cut(3));
    assert_eq!(setting.client.get(&url, 11).await.unwrap(), b"entries: {}");
    let cases = [
        (Fault::Extra(1), 214),
        (Fault::AnnouncedExtra(1), 214),
        (Fault::Status(204, None), 212),
        (Fault::Status(429, Some("3600".to_owned())), 210),
    ];
    for (fault, code) in cases {
        setting.registry.faults().once(path(), fault.clone());
        let error = setting.client.get(&url, 11).await.unwrap_err();
        assert_eq!(error.code().0, code, "{fault:?}: {error}");
        assert!(!error.to_string().contains("channel"), "queries may be secrets: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_404_means_that_there_is_no_such_file() {
    let setting = Setting::new();
    let url = setting.url("/chart.tgz.prov");
    let error = setting.client.get(&url, 1).await.unwrap_err();
    assert!(error.is_absent(), "{error}");
    let error = setting.client.measure(&url, 1, &Unwatched).await.unwrap_err();
    assert!(error.is_absent(), "{error}");

    setting.registry.add_file("/chart.tgz.prov", "x");
    for status in [400, 401, 403, 405, 410, 429, 500, 502, 503] {
        setting.registry.faults().times(3, Target::Any, Fault::Status(status, None));
        let error = setting.client.get(&url, 1).await.unwrap_err();
        assert!(!error.is_absent() && error.to_string().contains(&status.to_string()), "{error}");
        setting.registry.faults().clear();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_measured_across_broken_connections() {
    let whole = (None, 200);
    let cases: [(&str, &[Fault], Vec<_>); 6] = [
        ("whole", &[], vec![whole.clone()]),
        ("cut", &[Fault::Cut(BREAK)], vec![whole.clone(), rest(BREAK, 206)]),
        ("silent", &[Fault::Stall(BREAK)], vec![whole.clone(), rest(BREAK, 206)]),
        ("cut at once", &[Fault::Cut(0)], vec![whole.clone(), whole.clone()]),
        ("of no version", &[Fault::Cut(BREAK), Fault::NoEtag], vec![whole.clone(), whole.clone()]),
        ("down", &[Fault::Status(503, None)], vec![(None, 503), whole]),
    ];
    for (name, faults, expected) in cases {
        let setting = Setting::new();
        let (file, _) = setting.file(1);
        for fault in faults {
            setting.registry.faults().once(Target::Any, fault.clone());
        }
        let progress = Count::default();
        let measured = setting.client.measure(&setting.url("/files/1"), TOTAL, &progress).await;
        assert_eq!(measured.unwrap(), file.blob, "{name}");
        assert_eq!(exchanges(&setting, "/files/1"), expected, "{name}");
        assert_eq!(progress.bytes(), TOTAL, "{name}: each byte is told once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_that_do_not_fit_begin_the_file_again() {
    let setting = Setting::new();
    let (file, _) = setting.file(1);
    setting.registry.faults().times(2, Target::Any, Fault::OtherRange);
    setting.registry.faults().once(Target::Any, Fault::Cut(BREAK));
    let measured = setting.client.measure(&setting.url("/files/1"), TOTAL, &Unwatched).await;
    assert_eq!(measured.unwrap(), file.blob);
    assert_eq!(exchanges(&setting, "/files/1"), [(None, 200), rest(BREAK, 206), (None, 200)]);
}

/// Puts another file in the place of the first as soon as something of that has come.
struct Replace<'a>(&'a Setting, AtomicBool);

impl Progress for Replace<'_> {
    fn advance(&self, _: u64) {
        if !self.1.swap(true, Ordering::Relaxed) {
            self.0.registry.add_file("/files/1", vec![7; SIZE]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn halves_of_two_files_are_never_measured_as_one() {
    let setting = Setting::new();
    setting.file(1);
    setting.registry.faults().once(Target::Any, Fault::Cut(BREAK));
    let replace = Replace(&setting, AtomicBool::new(false));
    let measured = setting.client.measure(&setting.url("/files/1"), TOTAL, &replace).await;
    assert_eq!(measured.unwrap(), Blob::of(&vec![7; SIZE]));
    assert_eq!(exchanges(&setting, "/files/1"), [(None, 200), rest(BREAK, 200)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_too_long_is_not_read_to_its_end() {
    let setting = Setting::new();
    setting.file(1);
    let url = setting.url("/files/1");
    for (fault, limit, told) in [
        (None, TOTAL - 1, 0),
        (Some(Fault::AnnouncedExtra(1)), TOTAL, 0),
        (Some(Fault::Extra(500_000_000)), TOTAL, TOTAL),
    ] {
        if let Some(fault) = fault.clone() {
            setting.registry.faults().once(Target::Any, fault);
        }
        let progress = Count::default();
        let error = setting.client.measure(&url, limit, &progress).await.unwrap_err();
        assert!(matches!(error, Error::TooLong { .. }), "{fault:?}: {error}");
        assert!(progress.bytes() <= told, "{fault:?}: {}", progress.bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_sends_the_end_is_given_up() {
    let setting = Setting::new();
    setting.file(1);
    setting.registry.faults().always(Target::Any, Fault::NoEtag);
    setting.registry.faults().always(Target::Any, Fault::Cut(BREAK));
    let error = setting.client.measure(&setting.url("/files/1"), TOTAL, &Unwatched).await.unwrap_err();
    assert!(error.to_string().contains("gave up after 3 tries"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_opens_web_servers_and_goes_nowhere_else() {
    let access = Access::Basic { user: "vendor".to_owned(), password: "secret".to_owned() };
    let config = Config { access, redirect_blobs: true, ..Config::default() };
    let setting = Setting::with(config.clone(), LOGIN);
    setting.registry.add_file("/index.yaml", "x");
    for _ in 0..2 {
        assert_eq!(setting.client.get(&setting.url("/index.yaml"), 1).await.unwrap(), b"x");
    }
    let mirror = setting.registry.mirror_addr().unwrap().port();
    let seen: Vec<_> = setting
        .registry
        .seen()
        .iter()
        .map(|seen| (seen.port == mirror, seen.authorization.is_some(), seen.status))
        .collect();
    let once_known = [(false, true, 307), (true, false, 200)];
    assert_eq!(seen, [&[(false, false, 401)][..], &once_known, &once_known].concat());

    let setting = Setting::with(config, "{}");
    setting.registry.add_file("/index.yaml", "x");
    let error = setting.client.get(&setting.url("/index.yaml"), 1).await.unwrap_err();
    assert!(error.to_string().contains("401 Unauthorized"), "{error}");
    assert_eq!(setting.registry.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_a_matter_of_registries() {
    let access = Access::Token {
        login: Some(("vendor".to_owned(), "secret".to_owned())),
        refresh_token: None,
        lifetime: std::time::Duration::from_secs(300),
    };
    let setting = Setting::with(Config { access, ..Config::default() }, LOGIN);
    setting.registry.add_file("/index.yaml", "x");
    let error = setting.client.get(&setting.url("/index.yaml"), 1).await.unwrap_err();
    assert!(error.to_string().contains("401 Unauthorized"), "{error}");
    assert_eq!(setting.registry.seen().len(), 1, "no token service is asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_are_not_fetched_are_refused_before_anything_is_sent() {
    let setting = Setting::new();
    let addr = setting.registry.addr();
    let cases = [
        ("file:///etc/passwd", "only https://"),
        ("ftp://127.0.0.1/x", "only https://"),
        ("oci://ghcr.io/acme/chart", "only https://"),
        ("http://charts.example.com/index.yaml?token=secret", "not encrypted"),
        (&format!("http://me:secret@{addr}/x"), "user name or password"),
        ("https://me@charts.example.com/x", "user name or password"),
    ];
    for (url, why) in cases {
        let url: sealift_fetch::Url = url.parse().unwrap();
        let wanted = Wanted::new(Blob::of(b"x"), Origin::Url(url.clone()));
        for error in [
            setting.client.get(&url, 1).await.unwrap_err(),
            setting.client.measure(&url, 1, &Unwatched).await.unwrap_err(),
            setting.fetch(vec![wanted]).await.unwrap_err(),
        ] {
            let text = error.to_string();
            assert_eq!(
                (error.code().to_string().as_str(), error.class()),
                ("SL0218", Class::Usage),
                "{text}"
            );
            assert!(text.contains(why) && !text.contains("secret"), "{text}");
        }
    }
    assert_eq!(setting.registry.seen(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_for_files_too() {
    let setting = Setting::with(Config { tls: true, ..Config::default() }, "{}");
    let (file, bytes) = setting.file(1);
    let url = setting.url("/files/1");
    let error = setting.client.get(&url, TOTAL).await.unwrap_err();
    assert!(matches!(error, Error::Untrusted { .. }), "{error}");

    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    fs_err::write(&ca, setting.registry.certificate().unwrap()).unwrap();
    let client = Client::new(Options { ca_files: vec![ca], ..quick() }).unwrap();
    assert!(client.get(&url, TOTAL).await.unwrap() == bytes);
    assert_eq!(client.measure(&url, TOTAL, &Unwatched).await.unwrap(), file.blob);
    client.fetch_all(vec![file], setting.sink.clone(), Arc::new(Unwatched)).await.unwrap();
    assert!(setting.sink.whole(Digest::of(&bytes)).is_some());
}

/// Asked to stop before anything has come.
struct Stopped;

impl Progress for Stopped {
    fn advance(&self, _: u64) {}

    fn is_interrupted(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn measuring_stops_when_somebody_asks() {
    let setting = Setting::new();
    setting.file(1);
    setting.registry.faults().always(Target::Any, Fault::Stall(1000));
    let error = setting.client.measure(&setting.url("/files/1"), TOTAL, &Stopped).await.unwrap_err();
    assert_eq!(error.class(), Class::Interrupted);
}
