//! The same over TLS.

use std::path::Path;

use reqwest::{Certificate, Client, Version};
use sealift_archive::Explain as _;
use sealift_registry_shim::{Config, Error, IdentitySource, Server, TlsFiles};

use crate::fixture::{Content, TestStore};

pub(crate) fn write_identity(dir: &Path, name: &str) -> TlsFiles {
    let identity = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let files =
        TlsFiles { certificate: dir.join(format!("{name}.crt")), key: dir.join(format!("{name}.key")) };
    fs_err::write(&files.certificate, identity.cert.pem()).expect("a file");
    fs_err::write(&files.key, identity.signing_key.serialize_pem()).expect("a file");
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_http_are_spoken_over_tls() {
    let (store, dir) = (TestStore::new(), tempfile::tempdir().expect("a directory"));
    store.add(1, "active", &Content::default().image("ghcr.io/acme/api:1", "api").blob(vec![3; 3 << 20]));
    store.point_at(1);
    let files = write_identity(dir.path(), "server");
    let ours =
        || Certificate::from_pem(&fs_err::read(&files.certificate).expect("a file")).expect("a certificate");
    for (client, version) in
        [(Client::builder().http1_only(), Version::HTTP_11), (Client::builder(), Version::HTTP_2)]
    {
        let served = store
            .serve_with(Some(IdentitySource::Files(files.clone())), client.tls_certs_only([ours()]))
            .await;
        assert!(served.url.starts_with("https://127.0.0.1:"), "{}", served.url);
        let url = format!("{}/v2/ghcr.io/acme/api/manifests/1", served.url);
        let answer = served.client.get(url).send().await.expect("an answer");
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        assert_eq!(answer.text().await.expect("text"), "api");
        let layer = sealift_archive::Digest::of(&vec![3; 3 << 20]);
        assert_eq!(served.get(&format!("/v2/ghcr.io/acme/api/blobs/{layer}")).await.body.len(), 3 << 20);
        // Who does not know the certificate does not talk to us, and who speaks no TLS gets no answer.
        let stranger = Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
        assert!(stranger.get(&served.url).send().await.is_err());
        let plain = served.url.replace("https", "http");
        assert!(served.client.get(plain).send().await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_change_are_read_again_by_the_next_handshake() {
    let (store, dir) = (TestStore::new(), tempfile::tempdir().expect("a directory"));
    let files = write_identity(dir.path(), "server");
    let source = IdentitySource::Files(files.clone());
    let served = store.serve_with(Some(source), Client::builder()).await;
    let is_trusted = async |pem: &[u8]| {
        let trusted = Certificate::from_pem(pem).expect("a certificate");
        let client = Client::builder().no_proxy().tls_certs_only([trusted]).build().expect("a client");
        client.get(&served.url).send().await.is_ok()
    };
    let first = fs_err::read(&files.certificate).expect("a file");
    assert!(is_trusted(&first).await);
    let other = write_identity(dir.path(), "other");
    // A pair is replaced by two renames; what is between them does not fit together, and changes nothing.
    fs_err::rename(&other.certificate, &files.certificate).expect("a new certificate");
    assert!(is_trusted(&first).await);
    fs_err::rename(&other.key, &files.key).expect("its key");
    let second = fs_err::read(&files.certificate).expect("a file");
    assert!(is_trusted(&second).await && !is_trusted(&first).await);
    fs_err::write(&files.certificate, "nothing").expect("damage");
    assert!(is_trusted(&second).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_does_not_serve_is_named() {
    let (store, dir) = (TestStore::new(), tempfile::tempdir().expect("a directory"));
    let (one, two) = (write_identity(dir.path(), "one"), write_identity(dir.path(), "two"));
    let (empty, missing) = (dir.path().join("empty"), dir.path().join("missing"));
    fs_err::write(&empty, "").expect("a file");
    let cases = [
        ("another key", TlsFiles { key: two.key, ..one.clone() }, "one.crt"),
        ("no key", TlsFiles { key: empty.clone(), ..one.clone() }, "empty"),
        ("a certificate for a key", TlsFiles { key: one.certificate.clone(), ..one.clone() }, "one.crt"),
        ("no certificate", TlsFiles { certificate: empty, ..one.clone() }, "empty"),
        ("no file", TlsFiles { certificate: missing, ..one }, "missing"),
    ];
    for (name, tls, file) in cases {
        let tls = Some(IdentitySource::Files(tls));
        let config = Config { listen: Vec::new(), tls, ..Config::new(store.dir().to_owned()) };
        let error: Error = Server::bind(&config).await.expect_err(name);
        assert!(error.to_string().contains(file), "{name}: {error}");
        assert!(matches!(error.code().to_string().as_str(), "SL0602" | "SL0699"), "{name}: {}", error.code());
    }
}
