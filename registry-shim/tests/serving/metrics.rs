//! Numbers for Prometheus.

use reqwest::Client;
use sealift_archive::Digest;
use sealift_registry_shim::IdentitySource;

use crate::fixture::{Content, TestStore, eventually};
use crate::tls::write_identity;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_counted_by_kind_and_status() {
    let store = TestStore::new();
    store.add(1, "retained", &Content::default());
    store.add(7, "active", &Content::default().image("ghcr.io/acme/api:1", "api").blob(vec![1; 100_000]));
    store.point_at(7);
    let served = store.serve().await;
    let blob = format!("/v2/ghcr.io/acme/api/blobs/{}", Digest::of(&vec![1; 100_000]));
    for path in
        ["/v2/ghcr.io/acme/api/manifests/1", &blob, &blob, "/v2/ghcr.io/acme/api/manifests/2", "/nothing"]
    {
        served.get(path).await;
    }
    let part = served.send(reqwest::Method::GET, &blob, &[("Range", "bytes=0-9")]).await;
    assert_eq!(part.status, 206);
    // An answer counts when the server has let go of it, which may be after we have all of it.
    let told = eventually(|| served.get("/metrics"), |answer| answer.text().contains("status=\"206\"")).await;
    assert!(told.header("Content-Type").starts_with("application/openmetrics-text"));
    assert_eq!(told.header("Cache-Control"), "no-store");
    let text = told.text();
    for line in [
        "sealift_registry_requests_total{route=\"manifest\",status=\"200\"} 1",
        "sealift_registry_requests_total{route=\"manifest\",status=\"404\"} 1",
        "sealift_registry_requests_total{route=\"blob\",status=\"200\"} 2",
        "sealift_registry_requests_total{route=\"blob\",status=\"206\"} 1",
        "sealift_registry_requests_total{route=\"other\",status=\"404\"} 1",
        "sealift_registry_sent_bytes_total{route=\"blob\"} 200010",
        "sealift_registry_answer_duration_seconds_count{route=\"blob\"} 3",
        "sealift_registry_answer_duration_seconds_bucket{le=\"+Inf\",route=\"blob\"} 3",
        "sealift_registry_clients_refused_total 0",
        "sealift_registry_git_children 0",
        "sealift_registry_releases 2",
        "sealift_registry_store_readable 1",
        "sealift_registry_active_release_sequence 7",
        "# EOF",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is not in {text}");
    }
    // How many it are is the client's choice.
    assert!(!text.contains("sealift_registry_connections_open 0\n"), "{text}");
    assert!(!text.contains("certificate_expiry_timestamp_seconds{"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_and_expiry_can_be_watched() {
    let (store, dir) = (TestStore::new(), tempfile::tempdir().expect("a directory"));
    store.add(1, "active", &Content::default());
    store.point_at(1);
    fs_err::write(store.release_dir(1).join("refs.json"), "{").expect("damage");
    let files = write_identity(dir.path(), "server");
    let pem = fs_err::read(&files.certificate).expect("a file");
    let trusted = reqwest::Certificate::from_pem(&pem).expect("a certificate");
    let client = Client::builder().tls_certs_only([trusted]);
    let text =
        store.serve_with(Some(IdentitySource::Files(files)), client).await.get("/metrics").await.text();
    assert!(text.contains("sealift_registry_store_readable 0\n"), "{text}");
    assert!(text.contains("sealift_registry_certificate_expiry_timestamp_seconds{of=\"server\"} "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_not_ready() {
    let (store, dir) = (TestStore::new(), tempfile::tempdir().expect("a directory"));
    let keys = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    parameters.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let files = write_identity(dir.path(), "server");
    fs_err::write(&files.key, keys.serialize_pem()).expect("a file");
    fs_err::write(&files.certificate, parameters.self_signed(&keys).expect("one").pem()).expect("a file");
    let client = Client::builder().tls_danger_accept_invalid_certs(true);
    let served = store.serve_with(Some(IdentitySource::Files(files)), client).await;
    let answer = served.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("2001-01-01"), "{}", answer.text());
    assert_eq!(served.get("/healthz").await.status, 200);
}
