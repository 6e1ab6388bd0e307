//! Manifests by tag and by digest.

use sealift_archive::{Digest, Explain, Reference};
use sealift_fetch::{Error, MAX_MANIFEST_BYTES, Manifest};
use sealift_lab::vendor::image::{INDEX, MANIFEST};
use sealift_lab::vendor::{Fault, Image, Target};

use crate::setting::{REPOSITORY, Setting};

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_comes_as_its_exact_bytes() {
    let setting = Setting::new();
    let index = Image::index(&[Image::new("linux/amd64", &[], &["/x"])]);
    setting.registry.add_image(REPOSITORY, "1.0", &index).unwrap();
    let tagged = setting.reference("acme/app:1.0");
    let child = &index.children()[0];
    let by_digest = |digest: Digest| setting.reference(&format!("acme/app@{digest}"));
    let cases: [(Reference, &Image, &str); 4] = [
        (tagged.clone(), &index, INDEX),
        (by_digest(index.digest()), &index, INDEX),
        (by_digest(child.digest()), child, MANIFEST),
        // With both, the digest decides.
        (setting.reference(&format!("acme/app:none@{}", index.digest())), &index, INDEX),
    ];
    for (reference, image, media_type) in cases {
        let expected = Manifest {
            bytes: image.manifest().to_vec(),
            media_type: media_type.to_owned(),
            digest: image.digest(),
        };
        assert_eq!(setting.client.manifest(&reference).await.unwrap(), expected, "{reference}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_media_type_is_the_manifests_own_if_it_says_so() {
    let setting = Setting::new();
    let cases = [
        ("both", r#"{"mediaType":"application/vnd.oci.image.index.v1+json"}"#, "application/json", INDEX),
        ("header", "{}", "application/vnd.oci.image.manifest.v1+json; charset=utf-8", MANIFEST),
        ("upper", "{}", "Application/vnd.oci.image.manifest.v1+JSON", MANIFEST),
    ];
    for (tag, body, header, expected) in cases {
        setting.registry.add_manifest(REPOSITORY, Some(tag), header, body);
        let manifest = setting.client.manifest(&setting.reference(&format!("acme/app:{tag}"))).await.unwrap();
        assert_eq!(manifest.media_type, expected, "{tag}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_does_not_exist_names_registry_and_answer() {
    let setting = Setting::new();
    let error = setting.client.manifest(&setting.reference("acme/app:9.9")).await.unwrap_err();
    let addr = setting.registry.addr();
    let expected = format!(
        "`{addr}` answered 404 Not Found and said `MANIFEST_UNKNOWN: manifest unknown: 9.9` \
         (http://{addr}/v2/acme/app/manifests/9.9 for `{addr}/acme/app:9.9`)"
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.code().to_string(), "SL0209");
    assert!(error.hint().unwrap().contains("check the name and the tag"));
    // One request to learn how the registry is spoken with, and one that failed.
    assert_eq!(setting.registry.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_that_lie_or_are_too_large_are_refused() {
    let setting = Setting::new();
    let blob = setting.registry.add_manifest(REPOSITORY, Some("1"), MANIFEST, "{}");
    let by_tag = setting.reference("acme/app:1");
    let by_digest = by_tag.at(blob.digest);
    let other = Digest::of(b"other");
    let target = |reference: &Reference| {
        Target::Manifest(reference.digest().map_or_else(|| "1".to_owned(), |digest| digest.to_string()))
    };
    for (reference, fault) in [
        (&by_tag, Fault::OtherDigest(other)),
        (&by_tag, Fault::OtherBytes),
        (&by_digest, Fault::OtherDigest(other)),
        (&by_digest, Fault::OtherBytes),
    ] {
        setting.registry.faults().once(target(reference), fault.clone());
        let error = setting.client.manifest(reference).await.unwrap_err();
        assert!(matches!(error, Error::WrongContent { .. }), "{reference}, {fault:?}: {error}");
    }

    let limit = usize::try_from(MAX_MANIFEST_BYTES).unwrap();
    setting.registry.add_manifest(REPOSITORY, Some("large"), MANIFEST, vec![b' '; limit]);
    setting.registry.add_manifest(REPOSITORY, Some("larger"), MANIFEST, vec![b' '; limit + 1]);
    let large = setting.client.manifest(&setting.reference("acme/app:large")).await.unwrap();
    assert_eq!(large.bytes.len(), limit);
    for announced in [true, false] {
        if !announced {
            setting.registry.faults().once(Target::Manifest("larger".to_owned()), Fault::Extra(1));
        }
        let error = setting.client.manifest(&setting.reference("acme/app:larger")).await.unwrap_err();
        assert!(matches!(error, Error::TooLong { .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_tried_again_like_anything_else() {
    let setting = Setting::new();
    setting.registry.add_manifest(REPOSITORY, Some("1"), MANIFEST, "{ }");
    let target = Target::Manifest("1".to_owned());
    setting.registry.faults().once(target.clone(), Fault::Status(503, None));
    setting.registry.faults().once(target, Fault::Cut(1));
    let manifest = setting.client.manifest(&setting.reference("acme/app:1")).await;
    assert!(manifest.is_ok(), "{manifest:?}");
}
