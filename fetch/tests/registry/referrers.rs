//! What refers to a manifest, and what is only perhaps there.

use std::time::Duration;

use sealift_archive::{AnyDigest, Blob, Digest, Reference, Unwatched};
use sealift_fetch::{Error, Kind, Origin, Wanted};
use sealift_lab::vendor::image::{MANIFEST, noise};
use sealift_lab::vendor::{Access, Config, Fault, Image, Referrers, Target};

use crate::setting::{REPOSITORY, SIZE, Setting};

const SIGNATURE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A registry with an image and so many signatures of it.
fn signed(referrers: Referrers, count: usize) -> (Setting, Image, Vec<Image>) {
    let setting = Setting::with(Config { referrers, ..Config::default() }, "{}");
    let image = Image::new("linux/amd64", &[], &["/x"]);
    setting.registry.add_image(REPOSITORY, "1", &image).unwrap();
    let signatures: Vec<_> =
        (0..count).map(|number| Image::referrer(&image, SIGNATURE, number.to_string())).collect();
    for signature in &signatures {
        // They come under a tag here only because the lab's registry wants one.
        setting.registry.add_image(REPOSITORY, "last", signature).unwrap();
    }
    (setting, image, signatures)
}

impl Setting {
    async fn referrers(&self, subject: Digest) -> Result<Option<Vec<String>>, Error> {
        let found = self.client.referrers(&self.reference("acme/app:1"), subject).await?;
        Ok(found.map(|found| found.iter().map(|found| found.digest().to_string()).collect()))
    }

    fn list_of(subject: Digest) -> Target {
        Target::Path(format!("/v2/{REPOSITORY}/referrers/{subject}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn referrers_come_in_their_order_however_many_pages_they_fill() {
    for (referrers, requests) in [(Referrers::Whole, 1), (Referrers::Paged(2), 3), (Referrers::Paged(5), 1)] {
        let (setting, image, signatures) = signed(referrers, 5);
        let expected: Vec<_> = signatures.iter().map(|image| image.digest().to_string()).collect();
        // Learns how the registry is spoken with.
        setting.client.manifest(&setting.reference("acme/app:1")).await.unwrap();
        setting.registry.forget();
        assert_eq!(setting.referrers(image.digest()).await.unwrap(), Some(expected));
        assert_eq!(setting.registry.seen().len(), requests, "{referrers:?}");

        let first = setting.client.referrers(&setting.reference("acme/app:1"), image.digest()).await;
        let first = first.unwrap().unwrap().remove(0);
        assert_eq!(first.artifact_type().as_ref().unwrap().to_string(), SIGNATURE);
        assert_eq!(first.annotations().as_ref().unwrap().len(), 1);
        assert_eq!(setting.referrers(Digest::of(b"other")).await.unwrap(), Some(Vec::new()));
    }
    let (setting, image, _) = signed(Referrers::Unknown, 1);
    assert_eq!(setting.referrers(image.digest()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_registry_that_does_not_know_the_question_is_taken_at_its_word() {
    let cases = [
        (404, "unknown"),
        (405, "unknown"),
        (406, "unknown"),
        (501, "unknown"),
        (400, "400 Bad Request"),
        (401, "401 Unauthorized"),
        (403, "403 Forbidden"),
        (418, "418"),
        (429, "429 Too Many Requests"),
        (500, "500 Internal Server Error"),
        (503, "503 Service Unavailable"),
    ];
    for (status, expected) in cases {
        let (setting, image, _) = signed(Referrers::Whole, 1);
        setting.registry.faults().always(Setting::list_of(image.digest()), Fault::Status(status, None));
        match setting.referrers(image.digest()).await {
            Ok(None) => assert_eq!(expected, "unknown", "{status}"),
            Ok(Some(_)) => panic!("{status} is no list"),
            Err(error) => assert!(error.to_string().contains(expected), "{status}: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_for_people_is_no_answer_to_the_question_but_no_manifest_either() {
    let (setting, image, _) = signed(Referrers::Whole, 1);
    setting.registry.faults().always(Target::Any, Fault::Page);
    assert_eq!(setting.referrers(image.digest()).await.unwrap(), None);
    let error = setting.client.manifest_if_any(&setting.reference("acme/app:sha256-0")).await;
    // The type is told, and whoever reads it will refuse it.
    assert_eq!(error.unwrap().unwrap().media_type, "text/html");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_damaged_or_endless_is_no_list() {
    let (setting, image, _) = signed(Referrers::Paged(1), 3);
    let target = Setting::list_of(image.digest());
    for (fault, expected) in
        [(Fault::OtherBytes, "is not valid"), (Fault::Extra(20_000_000), "more than 4194304 bytes")]
    {
        setting.registry.faults().once(target.clone(), fault);
        let error = setting.referrers(image.digest()).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // A list that breaks off is asked for again; a page that fails on the way fails the list.
    setting.registry.faults().once(target.clone(), Fault::Cut(10));
    assert_eq!(setting.referrers(image.digest()).await.unwrap().unwrap().len(), 3);
    let (setting, image, _) = signed(Referrers::Paged(1), 70);
    let error = setting.referrers(image.digest()).await.unwrap_err().to_string();
    assert!(error.contains("more than 64 pages"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_404_says_that_a_tag_is_not_there() {
    let (setting, image, _) = signed(Referrers::Whole, 0);
    let there = setting.reference("acme/app:1");
    let found = setting.client.manifest_if_any(&there).await.unwrap().unwrap();
    assert_eq!(found.digest, image.digest());
    let absent = setting.reference("acme/app:sha256-0.sig");
    setting.registry.forget();
    assert_eq!(setting.client.manifest_if_any(&absent).await.unwrap(), None);
    let asked: Vec<String> = setting.registry.seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(asked, ["HEAD"], "a pull that counts");

    for status in [400, 401, 403, 405, 429, 500, 501, 503] {
        let (setting, ..) = signed(Referrers::Whole, 0);
        let target = Target::Manifest("1".to_owned());
        setting.registry.faults().always(target, Fault::Status(status, None));
        let error = setting.client.manifest_if_any(&setting.reference("acme/app:1")).await.unwrap_err();
        assert!(error.to_string().contains(&format!("answered {status} ")), "{status}: {error}");
        assert!(!error.is_absent());
    }
    // What fails once is there at the second try.
    setting.registry.faults().times(2, Target::Manifest("1".to_owned()), Fault::Status(503, None));
    assert!(setting.client.manifest_if_any(&there).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_service_or_a_storage_says_is_no_word_of_the_registry() {
    for status in [404, 405, 406, 501] {
        // Each repository has a token of its own, so none is at hand.
        let access = Access::Token { login: None, refresh_token: None, lifetime: Duration::from_secs(300) };
        let setting = Setting::with(Config { access, ..Config::default() }, "{}");
        let token = Target::Path("/token".to_owned());
        setting.registry.faults().always(token, Fault::Status(status, None));
        expect_no_word(&setting, "its token service", status).await;

        let setting = Setting::new();
        let storage = setting.url("/storage/5f");
        // Faults are for what is there.
        setting.registry.add_file("/storage/5f", "");
        setting.registry.faults().always(Target::Path("/storage/5f".to_owned()), Fault::Status(status, None));
        for path in ["manifests/sha256-0.sig".to_owned(), list()] {
            let path = Target::Path(format!("/v2/{REPOSITORY}/{path}"));
            setting.registry.faults().always(path, Fault::Redirect(storage.to_string()));
        }
        expect_no_word(&setting, "sent us on to", status).await;
    }
}

/// The list of what refers to something that no registry has.
fn list() -> String {
    format!("referrers/{}", Digest::of(b"x"))
}

async fn expect_no_word(setting: &Setting, because: &str, status: u16) {
    let expected = format!("answered {status}");
    let signature = setting.client.manifest_if_any(&setting.reference("acme/app:sha256-0.sig")).await;
    let listed = setting.referrers(Digest::of(b"x")).await;
    for error in [signature.map(drop).unwrap_err(), listed.map(drop).unwrap_err()] {
        let said = error.to_string();
        assert!(!error.is_absent() && said.contains(because) && said.contains(&expected), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_to_which_another_one_sends_us_speaks_for_it() {
    let (front, back) = (Setting::new(), Setting::new());
    for path in ["manifests/sha256-0.sig".to_owned(), list()] {
        let elsewhere = back.url(&format!("/v2/mirrored/{path}"));
        let path = Target::Path(format!("/v2/{REPOSITORY}/{path}"));
        front.registry.faults().always(path, Fault::Redirect(elsewhere.to_string()));
    }
    back.registry.faults().always(Target::Any, Fault::Status(404, None));
    let signature = front.reference("acme/app:sha256-0.sig");
    assert_eq!(front.client.manifest_if_any(&signature).await.unwrap(), None);
    assert_eq!(front.referrers(Digest::of(b"x")).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_fetched_by_the_name_that_the_registry_knows() {
    let setting = Setting::new();
    let bytes = noise(1, SIZE);
    let blob = setting.registry.add_blob(REPOSITORY, bytes.clone()).unwrap();
    let alias = setting.registry.add_alias(&bytes);
    let origin = Origin::Registry { reference: setting.reference("acme/app:1"), kind: Kind::Blob };
    let size = SIZE as u64;

    // Broken off and resumed: content by its name is the same each time.
    let path = Target::Path(format!("/v2/{REPOSITORY}/blobs/{alias}"));
    setting.registry.faults().once(path.clone(), Fault::Cut(300_000));
    let found = setting.client.identify(&origin, alias.into(), size, &Unwatched).await.unwrap();
    assert_eq!(found, blob);
    let ranges: Vec<_> = setting.registry.seen().into_iter().skip(1).map(|seen| seen.range).collect();
    assert_eq!(ranges, [None, Some("bytes=300000-".to_owned())]);
    setting.registry.faults().once(path, Fault::OtherBytes);
    let error = setting.client.identify(&origin, alias.into(), size, &Unwatched).await.unwrap_err();
    assert!(matches!(error, Error::WrongContent { .. }), "{error}");
    for wrong in [size - 1, size + 1] {
        let error = setting.client.identify(&origin, alias.into(), wrong, &Unwatched).await.unwrap_err();
        assert!(matches!(error, Error::TooLong { .. } | Error::WrongLength { .. }), "{wrong}: {error}");
    }

    setting.registry.forget();
    let wanted = Wanted { alias: Some(alias), ..Wanted::new(blob, origin) };
    setting.fetch(vec![wanted]).await.unwrap();
    assert!(setting.sink.whole(blob.digest).unwrap() == bytes);
    assert!(setting.registry.seen()[0].path.ends_with(&alias.to_string()));

    let alias = setting.registry.add_alias(b"{}");
    setting.registry.add_manifest(REPOSITORY, None, MANIFEST, "{}");
    let by_name: Reference = setting.reference(&format!("acme/app@{alias}"));
    let manifest = setting.client.manifest(&by_name).await.unwrap();
    assert_eq!((manifest.bytes, manifest.digest), (b"{}".to_vec(), Digest::of(b"{}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_offered_or_absent_or_nobody_knows() {
    let setting = Setting::new();
    let (wanted, bytes) = setting.blob(1);
    let name = AnyDigest::from(wanted.blob.digest);
    let size = wanted.blob.size;
    let offers = |name, size| setting.client.offers(&wanted.origin, name, size);
    setting.registry.forget();
    assert!(offers(name, size).await.unwrap());
    let asked = setting.registry.seen().pop().unwrap();
    assert_eq!((asked.range, asked.sent), (Some(format!("bytes={}-", size - 1)), 1));
    assert!(!offers(Digest::of(b"other").into(), 5).await.unwrap());
    for wrong in [size - 1, size + 1, 0] {
        // Of a range that is not there, the refusal tells the length.
        let error = offers(name, wrong).await.unwrap_err();
        assert!(
            matches!(error, Error::WrongLength { announced, .. } if announced == size),
            "{wrong}: {error}"
        );
    }
    setting.registry.faults().once(Target::Blob(wanted.blob.digest), Fault::NoRanges);
    assert!(offers(name, size).await.unwrap());
    let empty = setting.registry.add_blob(REPOSITORY, "").unwrap();
    assert!(offers(empty.digest.into(), 0).await.unwrap());

    for status in [401, 403, 429, 500] {
        setting.registry.faults().clear();
        setting.registry.faults().always(Target::Any, Fault::Status(status, None));
        assert!(offers(name, size).await.is_err(), "{status} says nothing about the content");
    }
    setting.registry.faults().clear();
    let file = Origin::Url(setting.url("/layers/1"));
    assert!(!setting.client.offers(&file, name, size).await.unwrap());
    assert_eq!(setting.registry.add_file("/layers/1", bytes), Blob { digest: wanted.blob.digest, size });
    assert!(setting.client.offers(&file, name, size).await.unwrap());
    assert_eq!(setting.client.identify(&file, name, size, &Unwatched).await.unwrap(), wanted.blob);
}
