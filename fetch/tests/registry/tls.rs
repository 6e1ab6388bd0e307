//! Encrypted registries: whom we trust, and what we say if we do not.

use std::sync::Arc;

use sealift_archive::{Class, Digest, Explain};
use sealift_fetch::{Client, Error, Identity, Options};
use sealift_lab::vendor::Config;

use crate::setting::{Setting, quick};

fn encrypted() -> Setting {
    Setting::with(Config { tls: true, ..Config::default() }, "{}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_certificate_is_trusted_only_if_it_was_given() {
    let setting = encrypted();
    // More than fit into the window of one connection, which HTTP/2 shares among them.
    let (wanted, contents): (Vec<_>, Vec<_>) = (1..=20).map(|seed| setting.blob(seed)).unzip();
    let error = setting.fetch(vec![wanted[0].clone()]).await.unwrap_err();
    assert!(matches!(error, Error::Untrusted { .. }), "{error}");
    assert!(error.hint().unwrap().contains("--ca-file"));

    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    fs_err::write(&ca, setting.registry.certificate().unwrap()).unwrap();
    let client = Client::new(Options { ca_files: vec![ca], ..quick() }).unwrap();
    client.fetch_all(wanted, setting.sink.clone(), Arc::new(sealift_archive::Unwatched)).await.unwrap();
    for bytes in contents {
        assert!(setting.sink.whole(Digest::of(&bytes)).unwrap() == bytes);
    }
}

#[test]
fn files_that_are_no_certificates_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let begun = "-----BEGIN CERTIFICATE-----\n";
    for (content, class) in [(None, Class::Failed), (Some(""), Class::Usage), (Some(begun), Class::Usage)] {
        if let Some(content) = content {
            fs_err::write(&ca, content).unwrap();
        }
        let error = Client::new(Options { ca_files: vec![ca.clone()], ..quick() }).unwrap_err();
        assert_eq!(error.class(), class, "{content:?}: {error}");
        assert!(error.to_string().contains("ca.pem"), "{error}");
    }
}

#[test]
fn a_certificate_without_its_key_is_no_identity() {
    let setting = encrypted();
    let dir = tempfile::tempdir().unwrap();
    let [certificate, key] = ["client.crt", "client.key"].map(|name| dir.path().join(name));
    fs_err::write(&certificate, setting.registry.certificate().unwrap()).unwrap();
    let open = || {
        let identity = Some(Identity::Files { certificate: certificate.clone(), key: key.clone() });
        Client::new(Options { identity, ..quick() }).map(drop)
    };
    let missing = open().unwrap_err();
    assert!(missing.class() == Class::Failed && missing.to_string().contains("client.key"), "{missing}");
    fs_err::write(&key, "no key").unwrap();
    let error = open().unwrap_err();
    assert_eq!(error.class(), Class::Usage, "{error}");
    assert!(error.to_string().contains("client.crt") && error.to_string().contains("client.key"), "{error}");
}
