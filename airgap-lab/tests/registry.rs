//! The vendor registry in front of clients that know nothing of it: a real push, and each fault as it arrives.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::{OciDescriptor, OciManifest};
use oci_client::secrets::RegistryAuth;
use sealift_archive::Digest;
use sealift_lab::vendor::image::{File, Layer, noise};
use sealift_lab::vendor::{Access, Config, Fault, Image, Registry, Target};

/// What a plain HTTP/1.1 client gets to see of an answer.
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

/// Sends one request and reads until the server closes, with nothing between the test and the bytes.
fn get(registry: &Registry, path: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect(registry.addr()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}\r\n", registry.addr())
        .unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    Answer { head, body: bytes[end + 4..].to_vec() }
}

fn image() -> Image {
    let layer = |seed| Layer::of(&[File::plain("data", noise(seed, 200_000))]).unwrap();
    Image::new("linux/amd64", &[layer(1), layer(2)], &["/data"])
}

fn client() -> oci_client::Client {
    let config = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
    oci_client::Client::new(config)
}

#[tokio::test]
async fn what_a_real_client_pushes_it_can_pull() {
    let login = Some(("vendor".to_owned(), "secret".to_owned()));
    let access = Access::Token { login, refresh_token: None, lifetime: Duration::from_secs(60) };
    let registry = Registry::start_with(Config { access, ..Config::default() }).unwrap();
    let name: oci_client::Reference = registry.name("acme/app:1.0").parse().unwrap();
    let auth = RegistryAuth::Basic("vendor".to_owned(), "secret".to_owned());
    let image = image();

    let pusher = client();
    pusher.auth(&name, &auth, oci_client::RegistryOperation::Push).await.unwrap();
    for blob in image.blobs() {
        pusher.push_blob(&name, blob.clone(), &Digest::of(blob).to_string()).await.unwrap();
    }
    let media_type = image.media_type().parse().unwrap();
    pusher.push_manifest_raw(&name, image.manifest().clone(), media_type).await.unwrap();

    let puller = client();
    let (bytes, digest) = puller.pull_manifest_raw(&name, &auth, &[image.media_type()]).await.unwrap();
    assert_eq!((&bytes[..], digest), (&image.manifest()[..], image.digest().to_string()));
    let (OciManifest::Image(manifest), _) = puller.pull_manifest(&name, &auth).await.unwrap() else {
        panic!("an image was pushed")
    };
    for (descriptor, expected) in manifest.layers.iter().zip(&image.blobs()[1..]) {
        let mut bytes = Vec::new();
        let descriptor: &OciDescriptor = descriptor;
        puller.pull_blob(&name, descriptor, &mut bytes).await.unwrap();
        assert_eq!(bytes, expected[..]);
    }

    let stranger = RegistryAuth::Basic("vendor".to_owned(), "wrong".to_owned());
    assert!(client().pull_manifest_raw(&name, &stranger, &[image.media_type()]).await.is_err());
}

#[test]
fn content_is_served_the_same_from_memory_and_from_files() {
    let temporary = tempfile::tempdir().unwrap();
    for dir in [None, Some(temporary.path().join("blobs"))] {
        let registry = Registry::start_with(Config { dir, ..Config::default() }).unwrap();
        let bytes = noise(3, 300_000);
        let blob = registry.add_blob("acme/app", bytes.clone()).unwrap();
        let path = format!("/v2/acme/app/blobs/{}", blob.digest);

        let whole = get(&registry, &path, "");
        assert_eq!((whole.status(), whole.header("content-length")), ("200", Some("300000")));
        assert_eq!(whole.header("docker-content-digest"), Some(blob.digest.to_string().as_str()));
        assert!(whole.body == bytes);

        let part = get(&registry, &path, "range: bytes=1000-\r\n");
        assert_eq!((part.status(), part.header("content-range")), ("206", Some("bytes 1000-299999/300000")));
        assert!(part.body == bytes[1000..]);

        assert_eq!(get(&registry, &path, "range: bytes=300000-\r\n").status(), "416");
        assert_eq!(get(&registry, &format!("/v2/acme/other/blobs/{}", blob.digest), "").status(), "404");
    }
}

#[test]
fn names_and_errors_are_as_the_specification_has_them() {
    let registry = Registry::start().unwrap();
    let image = Image::index(&[image()]);
    let digest = registry.add_image("acme/app", "1.0", &image).unwrap();
    assert_eq!(digest, image.digest());
    let child = &image.children()[0];

    let by_tag = get(&registry, "/v2/acme/app/manifests/1.0", "");
    assert_eq!((by_tag.status(), &by_tag.body[..]), ("200", &image.manifest()[..]));
    assert_eq!(by_tag.header("content-type"), Some(image.media_type()));
    let by_digest = get(&registry, &format!("/v2/acme/app/manifests/{}", child.digest()), "");
    assert_eq!(by_digest.body, child.manifest()[..]);

    let list = get(&registry, "/v2/acme/app/tags/list", "");
    assert_eq!(list.body, br#"{"name":"acme/app","tags":["1.0"]}"#);
    let missing = get(&registry, "/v2/acme/app/manifests/2.0", "");
    assert_eq!(missing.status(), "404");
    assert!(String::from_utf8(missing.body).unwrap().contains("MANIFEST_UNKNOWN"));
    assert_eq!(get(&registry, "/v2/", "").status(), "200");
}

#[test]
fn each_fault_arrives_as_it_is_described() {
    let registry = Registry::start().unwrap();
    let bytes = noise(4, 1_000_000);
    let blob = registry.add_blob("acme/app", bytes.clone()).unwrap();
    let path = format!("/v2/acme/app/blobs/{}", blob.digest);
    let with = |fault: Fault, headers: &str| {
        registry.faults().once(Target::Blob(blob.digest), fault);
        get(&registry, &path, headers)
    };

    let cut = with(Fault::Cut(654_321), "");
    assert_eq!(cut.header("content-length"), Some("1000000"));
    assert!(cut.body == bytes[..654_321], "{} bytes came", cut.body.len());

    let extra = with(Fault::AnnouncedExtra(5), "");
    assert_eq!((extra.header("content-length"), extra.body.len()), (Some("1000005"), 1_000_005));
    assert_eq!(with(Fault::Extra(5), "").header("content-length"), None);
    assert_eq!(with(Fault::Short(5), "").header("content-length"), None);

    let other = with(Fault::OtherBytes, "");
    assert!(other.body[0] == bytes[0] ^ 1 && other.body[1..] == bytes[1..]);

    let digest = Digest::of(b"other");
    let named = with(Fault::OtherDigest(digest), "");
    assert_eq!(named.header("docker-content-digest"), Some(digest.to_string().as_str()));

    assert_eq!(with(Fault::NoRanges, "range: bytes=5-\r\n").status(), "200");
    let shifted = with(Fault::OtherRange, "range: bytes=5-\r\n");
    assert_eq!(shifted.header("content-range"), Some("bytes 6-999999/1000000"));

    let busy = with(Fault::Status(429, Some("7".to_owned())), "");
    assert_eq!((busy.status(), busy.header("retry-after")), ("429", Some("7")));

    // All faults were for one request each.
    assert!(get(&registry, &path, "").body == bytes);
    let seen = registry.seen();
    assert_eq!(seen.len(), 10);
    assert_eq!((seen[0].status, seen[0].sent), (200, 654_321));
    assert_eq!(seen[6].range, Some("bytes=5-".to_owned()));
}

#[test]
fn blobs_are_redirected_to_an_address_that_asks_for_nothing() {
    let access = Access::Basic { user: "u".to_owned(), password: "p".to_owned() };
    let config = Config { access, redirect_blobs: true, ..Config::default() };
    let registry = Registry::start_with(config).unwrap();
    let blob = registry.add_blob("acme/app", &b"hello"[..]).unwrap();
    let path = format!("/v2/acme/app/blobs/{}", blob.digest);

    let stranger = get(&registry, &path, "");
    assert_eq!(
        (stranger.status(), stranger.header("www-authenticate")),
        ("401", Some("Basic realm=\"vendor\""))
    );
    let known = get(&registry, &path, "authorization: Basic dTpw\r\n");
    let mirror = registry.mirror_addr().unwrap();
    assert_eq!(known.header("location"), Some(format!("http://{mirror}{path}").as_str()));
}
