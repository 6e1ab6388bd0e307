//! A node's own certificate authority: made by the program, judged by OpenSSL, rustls and curl.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::StreamExt as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::{Certificate, Client, ClientBuilder, Identity};
use sealift_archive::{Digest, Explain as _};
use sealift_registry_shim::{Clock, Config, IdentitySource, Server, TlsFiles};
use time::OffsetDateTime;

use crate::fixture::{Content, TestStore, attempt};

const DAY: i64 = 86_400;

fn registry(arguments: &[&str]) -> Output {
    attempt(Command::new(env!("CARGO_BIN_EXE_sealift-registry")).args(arguments))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Makes an authority by the program, and returns what that says.
fn init(dir: &Path, more: &[&str]) -> String {
    let dir = dir.to_str().expect("text");
    let output = registry(&[&["tls", "init", "--dir", dir], more].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn trusting(dir: &Path) -> ClientBuilder {
    let pem = fs_err::read(dir.join("ca.crt")).expect("the authority");
    Client::builder().tls_certs_only([Certificate::from_pem(&pem).expect("a certificate")])
}

fn authority(dir: &Path) -> IdentitySource {
    IdentitySource::Authority { dir: dir.to_owned(), clock: Clock::system() }
}

/// A certificate that the authority of `dir` has signed, whether it may or not.
fn signed(dir: &Path, names: &[&str], is_authority: bool) -> TlsFiles {
    let read = |name| fs_err::read_to_string(dir.join(name)).expect("a file");
    let keys = KeyPair::from_pem(&read("ca.key")).expect("a key");
    let issuer = Issuer::from_ca_cert_pem(&read("ca.crt"), keys).expect("an authority");
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut parameters = CertificateParams::new(names).expect("names");
    if is_authority {
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let keys = KeyPair::generate().expect("a key");
    let certificate = parameters.signed_by(&keys, &issuer).expect("a certificate");
    let files = TlsFiles { certificate: dir.join("signed.crt"), key: dir.join("signed.key") };
    fs_err::write(&files.certificate, certificate.pem()).expect("a file");
    fs_err::write(&files.key, keys.serialize_pem()).expect("a file");
    files
}

#[test]
fn the_program_makes_one_authority_and_shows_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let names = ["--name", "node-a.example.com", "--address", "10.0.0.11", "--address", "fd00::11"];
    let said = init(dir.path(), &names);
    let fingerprint = said.split("SHA-256").nth(1).expect("a fingerprint").trim().to_owned();
    assert!(said.contains("made") && said.contains("node-a.example.com"), "{said}");
    let again = init(dir.path(), &names);
    assert!(again.contains("was there already") && again.contains(&fingerprint), "{again}");

    let place = dir.path().to_str().expect("text");
    let shown = registry(&["tls", "show", "--json", "--dir", place]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let shown = &shown["certificates"][0];
    assert_eq!((&shown["sha256"], &shown["authority"]), (&fingerprint.into(), &true.into()));
    for name in ["node-a.example.com", "10.0.0.11", "fd00::11", "127.0.0.1", "::1", "localhost"] {
        assert!(shown["names"].as_array().expect("a list").contains(&name.into()), "{name}: {shown}");
    }
    let refused = registry(&["tls", "init", "--dir", place, "--name", "node-b"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("error[SL0622]") && said.contains("node-b") && said.contains("hint: "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_rustls_and_curl_trust_it_for_this_node() {
    let (store, dir) = (TestStore::new(), tempfile::tempdir().expect("a directory"));
    init(dir.path(), &["--name", "node-a", "--address", "10.0.0.11"]);
    let served = store.serve_with(Some(authority(dir.path())), trusting(dir.path())).await;
    assert_eq!(served.get("/healthz").await.status, 200);

    let ca = dir.path().join("ca.crt").display().to_string();
    let address = served.url.trim_start_matches("https://").to_owned();
    let port = address.rsplit(':').next().expect("a port").to_owned();
    let leaf = dir.path().join("leaf.crt");
    let shown =
        attempt(Command::new("openssl").stdin(Stdio::null()).args(["s_client", "-connect", &address]));
    fs_err::write(&leaf, text(&shown.stdout)).expect("a file");
    let leaf = leaf.display().to_string();
    let verify = |more: &[&str]| {
        let openssl = ["verify", "-x509_strict", "-CAfile", &ca];
        attempt(Command::new("openssl").args(openssl).args(more).arg(&leaf)).status.success()
    };
    let cases: [(&[&str], bool); 9] = [
        (&["-purpose", "sslserver"], true),
        (&["-purpose", "sslclient"], true),
        (&["-verify_hostname", "localhost"], true),
        (&["-verify_hostname", "sealift-registry.sealift-system.svc"], true),
        (&["-verify_hostname", "node-a"], true),
        (&["-verify_ip", "127.0.0.1"], true),
        (&["-verify_ip", "::1"], true),
        (&["-verify_ip", "10.0.0.11"], true),
        (&["-verify_hostname", "ghcr.io"], false),
    ];
    for (question, expected) in cases {
        assert_eq!(verify(question), expected, "{question:?}");
    }
    for host in ["localhost", "sealift-registry.sealift-system.svc", "node-a", "sealift.internal"] {
        let resolve = format!("{host}:{port}:127.0.0.1");
        let url = format!("https://{host}:{port}/healthz");
        let curl =
            ["--silent", "--show-error", "--noproxy", "*", "--cacert", &ca, "--resolve", &resolve, &url];
        let output = attempt(Command::new("curl").args(curl));
        assert_eq!(text(&output.stdout), "ok\n", "{host}: {}", text(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_key_cannot_pose_as_somebody_else() {
    let (store, dir) = (TestStore::new(), tempfile::tempdir().expect("a directory"));
    init(dir.path(), &[]);
    let ca = dir.path().join("ca.crt").display().to_string();
    let cases = [
        (vec!["127.0.0.1", "localhost"], false, true),
        (vec!["127.0.0.1", "ghcr.io"], false, false),
        (vec!["127.0.0.1", "10.0.0.12"], false, false),
        (vec!["127.0.0.1"], true, false),
    ];
    for (names, is_authority, is_good) in cases {
        let files = signed(dir.path(), &names, is_authority);
        let certificate = files.certificate.display().to_string();
        let openssl = attempt(Command::new("openssl").args(["verify", "-CAfile", &ca, &certificate]));
        // OpenSSL looks at the length of chains only where there is one.
        assert_eq!(openssl.status.success(), is_good || is_authority, "{names:?}: {}", text(&openssl.stderr));
        let served = store.serve_with(Some(IdentitySource::Files(files)), trusting(dir.path())).await;
        let answer = served.client.get(format!("{}/healthz", served.url)).send().await;
        assert_eq!(answer.is_ok(), is_good, "{names:?}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_while_the_certificate_changes() {
    let content = vec![7; 32 << 20];
    let (store, dir) = (TestStore::new(), tempfile::tempdir().expect("a directory"));
    store.add(1, "active", &Content::default().image("ghcr.io/acme/api:1", "api").blob(&content));
    store.point_at(1);
    init(dir.path(), &[]);
    let start = OffsetDateTime::now_utc().unix_timestamp();
    let now = Arc::new(AtomicI64::new(start));
    let told = Arc::clone(&now);
    let clock = Clock::new(move || {
        OffsetDateTime::from_unix_timestamp(told.load(Ordering::Relaxed)).expect("a time")
    });
    let source = IdentitySource::Authority { dir: dir.path().to_owned(), clock };
    let served = store.serve_with(Some(source), trusting(dir.path()).tls_info(true)).await;
    let newcomer = async || {
        let client = trusting(dir.path()).no_proxy().tls_info(true).build().expect("a client");
        let answer = client.get(format!("{}/healthz", served.url)).send().await.expect("an answer");
        let info = answer.extensions().get::<reqwest::tls::TlsInfo>().expect("TLS");
        Digest::of(info.peer_certificate().expect("a certificate"))
    };

    let first = newcomer().await;
    let url = format!("{}/v2/ghcr.io/acme/api/blobs/{}", served.url, Digest::of(&content));
    let mut download = served.client.get(url).send().await.expect("an answer").bytes_stream();
    let mut came = download.next().await.expect("a beginning").expect("bytes").to_vec();
    assert_eq!(newcomer().await, first);
    // Not further than the client's own clock agrees to.
    now.store(start + 21 * DAY, Ordering::Relaxed);
    let is_due = |clock: i64| now.store(clock, Ordering::Relaxed);
    let client = trusting(dir.path()).no_proxy().build().expect("a client");
    assert!(client.get(format!("{}/healthz", served.url)).send().await.is_err(), "it begins in three weeks");
    is_due(start + 12 * 3600);
    let second = newcomer().await;
    assert_ne!(second, first);
    while let Some(piece) = download.next().await {
        came.extend_from_slice(&piece.expect("the connection goes on"));
    }
    assert!(came == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_authority_is_named() {
    let (store, dir) = (TestStore::new(), tempfile::tempdir().expect("a directory"));
    let tls = Some(authority(dir.path()));
    let config = Config { tls, ..Config::new(store.dir().to_owned()) };
    let error = Server::bind(&config).await.expect_err("there is none");
    assert_eq!(error.code().to_string(), "SL0620");
    assert!(error.hint().is_some_and(|hint| hint.contains("tls init")));
    let config = Config { client_ca: Some(dir.path().join("ca.crt")), ..Config::new(store.dir().to_owned()) };
    assert_eq!(Server::bind(&config).await.expect_err("plain").code().to_string(), "SL0623");
}

#[tokio::test(flavor = "multi_thread")]
async fn this_machine_needs_no_certificate_where_others_do() {
    let (store, dir) = (TestStore::new(), tempfile::tempdir().expect("a directory"));
    init(dir.path(), &[]);
    let config = Config {
        tls: Some(authority(dir.path())),
        client_ca: Some(dir.path().join("ca.crt")),
        ..Config::new(store.dir().to_owned())
    };
    let server = Server::bind(&config).await.expect("it listens");
    let url = format!("{}/healthz", server.urls()[0]);
    let serving = tokio::spawn(server.run(std::future::pending()));
    let place = dir.path().to_str().expect("text");
    assert!(registry(&["tls", "issue", "--dir", place, "--output", place]).status.success());
    let pem =
        ["node.crt", "node.key"].map(|name| fs_err::read(dir.path().join(name)).expect("a file")).concat();
    let with = trusting(dir.path()).identity(Identity::from_pem(&pem).expect("an identity"));
    for client in [trusting(dir.path()), with] {
        let client = client.no_proxy().build().expect("a client");
        assert_eq!(client.get(&url).send().await.expect("an answer").status(), 200);
    }
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_renews_is_told_two_weeks_before() {
    let (store, dir) = (TestStore::new(), tempfile::tempdir().expect("a directory"));
    let now = OffsetDateTime::now_utc();
    let write = |name: &str, is_authority: bool, days: i64| {
        let mut parameters = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        if is_authority {
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        (parameters.not_before, parameters.not_after) = (now, now + time::Duration::days(days));
        let keys = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&keys).expect("a certificate").pem();
        let [file, key] = ["crt", "key"].map(|ending| dir.path().join(format!("{name}.{ending}")));
        fs_err::write(&file, certificate).expect("a file");
        fs_err::write(&key, keys.serialize_pem()).expect("a file");
        TlsFiles { certificate: file, key }
    };
    let told = async |server_days: i64, authority_days: i64| {
        let config = Config {
            tls: Some(IdentitySource::Files(write("server", false, server_days))),
            client_ca: Some(write("clients", true, authority_days).certificate),
            ..Config::new(store.dir().to_owned())
        };
        let server = Server::bind(&config).await.expect("it listens");
        let url = server.urls()[0].clone();
        let serving = tokio::spawn(server.run(std::future::pending()));
        let client = Client::builder().no_proxy().tls_danger_accept_invalid_certs(true);
        let client = client.build().expect("a client");
        let get = async |path: &str| {
            let answer = client.get(format!("{url}{path}")).send().await.expect("an answer");
            answer.text().await.expect("text")
        };
        let told = (get("/").await, get("/metrics").await);
        serving.abort();
        told
    };
    let words = [("server.crt", "the certificate `"), ("clients.crt", "the authority of clients `")];
    let (page, numbers) = told(10, 5).await;
    for (file, what) in words {
        assert!(page.contains(&format!("<li>{what}")) && page.contains(file), "{file}: {page}");
    }
    assert!(page.contains("in 9 days: renew it") && page.contains("in 4 days: renew it"), "{page}");
    for of in ["server", "clients"] {
        let line = format!("sealift_registry_certificate_expiry_timestamp_seconds{{of=\"{of}\"}} ");
        assert!(numbers.contains(&line), "{of}: {numbers}");
    }
    let (page, _) = told(20, 20).await;
    assert!(!page.contains("renew it"), "{page}");
}
