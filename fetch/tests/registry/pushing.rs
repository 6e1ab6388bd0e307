//! Putting content into a registry: what is sent, what is sent again, and what is not.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use sealift_archive::{Blob, Digest, Explain, Progress, Unwatched};
use sealift_fetch::meter::Interrupt;
use sealift_fetch::{Error, Kind, Origin, Outgoing, Reach, Wanted};
use sealift_lab::vendor::image::noise;
use sealift_lab::vendor::{Access, Config, Fault, Registry, Target};

use crate::setting::{REPOSITORY, SIZE, Setting};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const UPLOADS: &str = "/v2/acme/app/blobs/uploads/";
/// `vendor:secret`, as Docker stores it.
const LOGIN: &str = r#"{"auths": {"REGISTRY": {"auth": "dmVuZG9yOnNlY3JldA=="}}}"#;

/// Content in memory.
#[derive(Default)]
struct Held(BTreeMap<Digest, Vec<u8>>);

impl Held {
    fn new(contents: impl IntoIterator<Item = Vec<u8>>) -> Arc<Self> {
        Arc::new(Self(contents.into_iter().map(|bytes| (Digest::of(&bytes), bytes)).collect()))
    }

    fn blobs(&self) -> Vec<Blob> {
        self.0.values().map(|bytes| Blob::of(bytes)).collect()
    }
}

impl Outgoing for Held {
    fn write_to(&self, blob: Blob, out: &mut dyn Write) -> Result<(), sealift_archive::Error> {
        Ok(out.write_all(&self.0[&blob.digest])?)
    }
}

impl Setting {
    async fn push(&self, held: &Arc<Held>) -> Result<(), Error> {
        let (repository, progress) = (self.reference("acme/app:1"), self.progress.clone());
        self.client.push_blobs(&repository, held.blobs(), held.clone(), progress).await
    }

    async fn missing(&self, blobs: &[Blob]) -> usize {
        let repository = self.reference("acme/app:1");
        self.client.missing_blobs(&repository, blobs, Reach::Write, &Unwatched).await.unwrap().len()
    }

    /// How often something was asked for with this method at a path that begins so.
    fn count(&self, method: &str, start: &str) -> usize {
        let seen = self.registry.seen();
        seen.iter().filter(|seen| seen.method == method && seen.path.starts_with(start)).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_there_and_what_is_there_is_found() {
    let setting = Setting::new();
    let held =
        Held::new((0..20).map(|seed| noise(seed, if seed == 0 { SIZE } else { 1000 })).chain([Vec::new()]));
    assert_eq!(setting.missing(&held.blobs()).await, 21);
    setting.push(&held).await.unwrap();
    assert_eq!(setting.missing(&held.blobs()).await, 0);
    let bytes: usize = held.0.values().map(Vec::len).sum();
    assert_eq!(setting.progress.bytes(), bytes as u64);

    let one = held.blobs()[0];
    let size = setting.client.blob_size(&setting.reference("acme/app:1"), one.digest).await.unwrap();
    assert_eq!(size, Some(one.size));
    assert_eq!(setting.missing(&[Blob { size: one.size + 1, ..one }]).await, 1, "of another size");
    setting.fetch(held.blobs().into_iter().map(|blob| setting.wanted(blob)).collect()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_pass_is_enough_for_all() {
    let login = Some(("vendor".to_owned(), "secret".to_owned()));
    let access = Access::Token { login, refresh_token: None, lifetime: Duration::from_secs(300) };
    let setting = Setting::with(Config { access, ..Config::default() }, LOGIN);
    let held = Held::new((0..10).map(|seed| noise(seed, 1000)));
    assert_eq!(setting.missing(&held.blobs()).await, 10);
    setting.push(&held).await.unwrap();
    assert_eq!(setting.missing(&held.blobs()).await, 0);
    assert_eq!(setting.count("GET", "/token"), 1);

    // One that is no longer taken in the middle is renewed.
    setting.registry.revoke_tokens();
    setting.push(&held).await.unwrap();
    assert_eq!(setting.count("GET", "/token"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_for_the_registry_that_was_asked() {
    let elsewhere = Registry::start().unwrap();
    let access = Access::Basic { user: "vendor".to_owned(), password: "secret".to_owned() };
    let setting = Setting::with(Config { access, ..Config::default() }, LOGIN);
    let redirect = Fault::Redirect(elsewhere.url(UPLOADS));
    setting.registry.faults().always(Target::Path(UPLOADS.to_owned()), redirect);
    setting.push(&Held::new([noise(1, 1000)])).await.unwrap();
    let seen = elsewhere.seen();
    let methods: Vec<&str> = seen.iter().map(|seen| seen.method.as_str()).collect();
    assert_eq!(methods, ["POST", "PUT"]);
    assert!(seen.iter().all(|seen| seen.authorization.is_none()), "{seen:?}");
    assert!(setting.registry.seen().iter().any(|seen| seen.authorization.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_looks_asks_only_to_read() {
    let login = Some(("vendor".to_owned(), "secret".to_owned()));
    let access = Access::Token { login, refresh_token: None, lifetime: Duration::from_secs(300) };
    let blobs = Held::new([noise(1, 1000)]).blobs();
    for (reach, scope) in
        [(Reach::Read, "repository:acme/app:pull"), (Reach::Write, "repository:acme/app:pull,push")]
    {
        let setting = Setting::with(Config { access: access.clone(), ..Config::default() }, LOGIN);
        let repository = setting.reference("acme/app:1");
        let missing = setting.client.missing_blobs(&repository, &blobs, reach, &Unwatched).await.unwrap();
        assert_eq!(missing.len(), 1);
        let seen = setting.registry.seen();
        let asked = seen.iter().find(|seen| seen.path == "/token").unwrap().query.clone().unwrap();
        let mut asked = url::form_urlencoded::parse(asked.as_bytes());
        assert_eq!(asked.find(|(key, _)| key == "scope").unwrap().1, scope);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_fails_is_begun_anew() {
    let first = format!("{UPLOADS}1");
    let cases = [
        ("no upload is begun", UPLOADS, Fault::Status(503, None)),
        ("the registry fails", first.as_str(), Fault::Status(500, None)),
        ("the upload is forgotten", &first, Fault::Status(404, None)),
        ("it wants us to wait", &first, Fault::Status(429, Some("0".to_owned()))),
        ("it is silent", &first, Fault::Delay(Duration::from_secs(60))),
    ];
    for (name, path, fault) in cases {
        let setting = Setting::new();
        let held = Held::new([noise(1, SIZE)]);
        setting.registry.faults().once(Target::Path(path.to_owned()), fault);
        setting.push(&held).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(setting.missing(&held.blobs()).await, 0, "{name}");
        assert_eq!(setting.count("POST", UPLOADS), 2, "{name}");
        assert_eq!(setting.progress.bytes(), SIZE as u64, "{name}: each byte is told once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_for_one_request_goes_in_several() {
    let setting = Setting::new();
    let content = noise(1, 40 << 20);
    let held = Held::new([content.clone()]);
    setting.registry.faults().once(Target::Path(format!("{UPLOADS}1")), Fault::Status(413, None));
    setting.push(&held).await.unwrap();
    assert_eq!(setting.count("PATCH", UPLOADS), 3);
    assert_eq!(setting.missing(&held.blobs()).await, 0);
    assert_eq!(setting.progress.bytes(), content.len() as u64);

    // A small one is not cut, so it is the answer that counts.
    let small = Held::new([noise(2, 1000)]);
    setting.registry.faults().always(Target::Any, Fault::Status(413, None));
    let error = setting.push(&small).await.unwrap_err();
    assert!(error.to_string().contains("413"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_makes_no_sense_is_an_error_that_says_so() {
    let held = Held::new([noise(1, 1000)]);
    let cases = [
        ("a page for people", UPLOADS, Fault::Page, "SL0221"),
        ("nobody may write", UPLOADS, Fault::Status(403, None), "SL0220"),
        ("nobody may write at all", UPLOADS, Fault::Status(405, None), "SL0220"),
        ("there is no such repository", UPLOADS, Fault::Status(404, None), "SL0209"),
        ("a page at the end", "/v2/acme/app/blobs/uploads/1", Fault::Page, "SL0221"),
        ("content is refused", "/v2/acme/app/blobs/uploads/1", Fault::Status(400, None), "SL0209"),
    ];
    for (name, path, fault, code) in cases {
        let setting = Setting::new();
        setting.registry.faults().always(Target::Path(path.to_owned()), fault);
        let error = setting.push(&held).await.unwrap_err();
        assert_eq!(error.code().to_string(), code, "{name}: {error}");
        assert!(error.to_string().contains("acme/app"), "{name}: {error}");
    }
}

/// An owner whose blobs are not what they are said to be.
struct Wrong(&'static str);

impl Outgoing for Wrong {
    fn write_to(&self, blob: Blob, out: &mut dyn Write) -> Result<(), sealift_archive::Error> {
        let zeros = vec![0; usize::try_from(blob.size).unwrap()];
        match self.0 {
            "short" => Ok(out.write_all(&zeros[1..])?),
            "other" => Ok(out.write_all(&zeros)?),
            _ => {
                Err(sealift_archive::Error::MissingBlob { source_name: "stick".into(), digest: blob.digest })
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_content_is_its_owners_error() {
    for (what, code) in [("short", "SL0104"), ("lost", "SL0113"), ("other", "SL0209")] {
        let setting = Setting::new();
        let (repository, blob) = (setting.reference("acme/app:1"), Blob::of(&noise(1, SIZE)));
        let progress: Arc<dyn Progress> = setting.progress.clone();
        let pushed = setting.client.push_blobs(&repository, vec![blob], Arc::new(Wrong(what)), progress);
        let error = pushed.await.unwrap_err();
        assert_eq!(error.code().to_string(), code, "{what}: {error}");
        assert_eq!(setting.missing(&[blob]).await, 1);
        assert_eq!(setting.count("POST", UPLOADS), 1, "{what}: trying again does not help");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_read_back() {
    let setting = Setting::new();
    let tagged = setting.reference("acme/app:channel-stable");
    let manifest = |note: &str| {
        format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","annotations":{{"note":"{note}"}}}}"#)
            .into_bytes()
    };
    for note in ["first", "second"] {
        let pushed = setting.client.push_manifest(&tagged, MANIFEST, &manifest(note)).await.unwrap();
        assert_eq!(pushed, Digest::of(&manifest(note)));
    }
    assert!(setting.client.tags(&tagged).await.unwrap().contains("channel-stable"));
    assert!(setting.client.tags(&setting.reference("acme/none:1")).await.unwrap().is_empty());

    // The tag is somebody else's by the time it is read.
    let theirs = manifest("theirs");
    setting.registry.faults().once(Target::Manifest("channel-stable".to_owned()), Fault::Status(201, None));
    let pushed = setting.client.push_manifest(&tagged, MANIFEST, &theirs).await;
    assert!(matches!(pushed, Err(Error::OtherManifest { .. })), "{pushed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_when_somebody_asks() {
    struct Stopped(Interrupt);
    impl Progress for Stopped {
        fn advance(&self, _: u64) {
            self.0.set();
        }
        fn is_interrupted(&self) -> bool {
            self.0.is_set()
        }
    }
    let setting = Setting::new();
    setting
        .registry
        .faults()
        .always(Target::Path(format!("{UPLOADS}1")), Fault::Delay(Duration::from_secs(600)));
    let held = Held::new([noise(1, SIZE)]);
    let progress = Arc::new(Stopped(Interrupt::default()));
    let repository = setting.reference(&format!("{REPOSITORY}:1"));
    let pushed = setting.client.push_blobs(&repository, held.blobs(), held.clone(), progress).await;
    assert!(matches!(pushed, Err(Error::Archive(sealift_archive::Error::Interrupted))), "{pushed:?}");
    let origin = Origin::Registry { reference: repository, kind: Kind::Blob };
    assert!(setting.fetch(vec![Wanted::new(held.blobs()[0], origin)]).await.is_err());
}
