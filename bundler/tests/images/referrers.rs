//! Signatures, SBOMs and attestations: all of them come along, whatever way they are found, and none is made up.

use sealift_archive::Digest;
use sealift_lab::vendor::{Config, Fault, Image, Referrers, Target};
use serde_json::json;

use crate::setting::{INDEX, MANIFEST, SIGNATURE, Setting, assert_order, digests, image, refs, tag_of};

const REPOSITORY: &str = "acme/app";
const APP: &str = "REGISTRY/acme/app:1";

/// An index of two platforms with signatures of the index, of both children, and of the signature of one; and one in
/// cosign's older form.
struct Signed {
    index: Image,
    of_index: Image,
    of_child: Image,
    of_signature: Image,
    of_other: Image,
    old: Digest,
}

fn signed(setting: &Setting) -> Signed {
    let index = Image::index(&[image("linux/amd64", 1), image("linux/arm64", 2)]);
    setting.registry.add_image(REPOSITORY, "1", &index).unwrap();
    let of_index = setting.attach(REPOSITORY, &index, "of the index");
    let of_child = setting.attach(REPOSITORY, &index.children()[0], "of the child");
    let of_signature = setting.attach(REPOSITORY, &of_child, "of the signature");
    let of_other = setting.attach(REPOSITORY, &index.children()[1], "of the other child");
    let old = setting.tag(REPOSITORY, &tag_of(index.digest(), ".sig"), "old signature");
    setting.tag(
        REPOSITORY,
        &tag_of(index.children()[1].digest(), ".sig"),
        "old signature of the other child",
    );
    Signed { index, of_index, of_child, of_signature, of_other, old }
}

#[test]
fn what_refers_to_the_index_its_children_and_to_that_comes_along() {
    let setting = Setting::with(Config { referrers: Referrers::Paged(1), ..Config::default() });
    let Signed { index, of_index, of_child, of_signature, of_other, old } = signed(&setting);
    let (child, other) = (index.children()[0].digest(), index.children()[1].digest());
    let second = setting.attach(REPOSITORY, &index, "second of the index");

    let locked = setting.image("[linux/amd64]", APP);
    let all = [
        index.digest(),
        child,
        of_index.digest(),
        second.digest(),
        of_child.digest(),
        of_signature.digest(),
        old,
    ];
    let mut found = digests(&locked.manifests);
    assert_order(
        &locked,
        &[
            (child, index.digest()),
            (index.digest(), of_index.digest()),
            (index.digest(), old),
            (child, of_child.digest()),
            (of_child.digest(), of_signature.digest()),
        ],
    );
    found.sort();
    let mut expected = all.to_vec();
    expected.sort();
    assert_eq!(found, expected, "nothing of the other child");
    // Two layers of the image, an empty configuration, five signatures, one of which has no layer.
    assert_eq!(locked.blobs.len(), 2 + 1 + 4 + 1);

    let refs = refs(&locked);
    assert_eq!(refs.images.len(), 2);
    let signature = locked.name.tagged(&tag_of(index.digest(), ".sig")).unwrap();
    assert_eq!(refs.images[&signature].digest, old);
    let listed: Vec<Digest> = refs.referrers[&index.digest()].iter().map(|r| r.digest).collect();
    assert_eq!(listed, [of_index.digest(), second.digest()], "the order of the source");
    let descriptor = &refs.referrers[&child][0];
    assert_eq!(descriptor.artifact_type.as_deref(), Some(SIGNATURE));
    assert_eq!(descriptor.annotations.len(), 1);

    setting.forget_lock();
    let everything = setting.image("all", APP);
    assert!(digests(&everything.manifests).contains(&of_other.digest()));
    assert!(everything.tags.contains_key(&tag_of(other, ".sig")));
    assert_eq!(setting.image("all", APP), everything, "known by the lock, it is the same");
}

#[test]
fn where_there_is_no_api_the_clients_own_list_is_carried_and_completed() {
    let setting = Setting::with(Config { referrers: Referrers::Unknown, ..Config::default() });
    let one = image("linux/amd64", 1);
    setting.registry.add_image(REPOSITORY, "1", &one).unwrap();
    let signature = setting.attach(REPOSITORY, &one, "signature");
    // As go-containerregistry writes it: without type and annotations.
    let entry =
        json!({"mediaType": MANIFEST, "digest": signature.digest(), "size": signature.manifest().len()});
    let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    let fallback = tag_of(one.digest(), "");
    let list = setting.put(REPOSITORY, Some(&fallback), INDEX, &list);

    let locked = setting.image("[linux/amd64]", APP);
    let list: Digest = list["digest"].as_str().unwrap().parse().unwrap();
    assert_eq!(digests(&locked.manifests), [one.digest(), signature.digest(), list]);
    assert_eq!(locked.tags, [(fallback, list)].into());
    let descriptor = &refs(&locked).referrers[&one.digest()][0];
    assert_eq!((descriptor.artifact_type.as_deref(), descriptor.annotations.len()), (Some(SIGNATURE), 1));

    setting.registry.forget();
    assert_eq!(setting.image("[linux/amd64]", APP), locked);
    assert!(!setting.asked().iter().any(|asked| asked.contains("blobs")), "{:?}", setting.asked());
}

#[test]
fn a_registry_that_answers_with_the_subject_itself_lists_nothing() {
    let setting = Setting::with(Config { referrers: Referrers::Unknown, ..Config::default() });
    let index = Image::index(&[image("linux/amd64", 1)]);
    setting.registry.add_image(REPOSITORY, "1", &index).unwrap();
    setting.registry.add_image(REPOSITORY, &tag_of(index.digest(), ""), &index).unwrap();
    let locked = setting.image("all", APP);
    assert_eq!((locked.tags.len(), locked.referrers.len(), locked.manifests.len()), (0, 0, 2));
}

#[test]
fn nobody_asks_for_what_is_not_wanted() {
    let setting = Setting::new();
    let Signed { index, .. } = signed(&setting);
    let image = format!("{{reference: \"{APP}\", referrers: false}}");
    let locked = setting.image("all", &image);
    assert_eq!((locked.tags.len(), locked.referrers.len(), locked.manifests.len()), (0, 0, 3));
    assert!(!setting.asked().iter().any(|asked| asked.contains("referrers") || asked.contains(".sig")));
    // What an earlier lock had is not taken over against what is asked for now.
    assert!(setting.image("all", APP).referrers.contains_key(&index.digest()));
    assert!(setting.image("all", &image).referrers.is_empty());
}

#[test]
fn a_lock_again_finds_what_was_signed_since_and_what_is_gone() {
    let setting = Setting::new();
    let one = image("linux/amd64", 1);
    setting.registry.add_image(REPOSITORY, "1", &one).unwrap();
    let first = setting.image("[linux/amd64]", APP);
    setting.registry.forget();
    assert_eq!(setting.image("[linux/amd64]", APP), first);
    let suffixes = ["", ".att", ".sbom", ".sig"].map(|suffix| tag_of(one.digest(), suffix));
    let expected = [
        "GET /v2/acme/app/manifests/1".to_owned(),
        format!("GET /v2/acme/app/referrers/{}", one.digest()),
        format!("HEAD /v2/acme/app/manifests/{}", suffixes[1]),
        format!("HEAD /v2/acme/app/manifests/{}", suffixes[2]),
        format!("HEAD /v2/acme/app/manifests/{}", suffixes[3]),
    ];
    assert_eq!(setting.asked(), expected, "and nothing else");

    let signature = setting.attach(REPOSITORY, &one, "since");
    let sbom = setting.tag(REPOSITORY, &suffixes[2], "sbom");
    let second = setting.image("[linux/amd64]", APP);
    assert_eq!(digests(&second.manifests), [one.digest(), signature.digest(), sbom]);
    // An SBOM that is made anew is another one under the same tag.
    let sbom = setting.tag(REPOSITORY, &suffixes[2], "new sbom");
    let third = setting.image("[linux/amd64]", APP);
    assert_eq!(digests(&third.manifests), [one.digest(), signature.digest(), sbom]);
    assert_eq!(setting.image("[linux/amd64]", APP), third);
}

#[test]
fn a_registry_that_refuses_or_fails_never_looks_like_one_without_signatures() {
    let one = image("linux/amd64", 1);
    let list = Target::Path(format!("/v2/{REPOSITORY}/referrers/{}", one.digest()));
    let tag = |suffix| Target::Manifest(tag_of(one.digest(), suffix));
    for known in [false, true] {
        for target in [list.clone(), tag(".sig"), tag(".att"), tag(".sbom"), tag("")] {
            for status in [401, 403, 429, 500] {
                // The tag of the list matters only where there is no API.
                let referrers = if target == tag("") { Referrers::Unknown } else { Referrers::Whole };
                let setting = Setting::with(Config { referrers, ..Config::default() });
                setting.registry.add_image(REPOSITORY, "1", &one).unwrap();
                if known {
                    setting.image("all", APP);
                }
                setting.registry.faults().always(target.clone(), Fault::Status(status, None));
                let said = setting.refusal("all", APP);
                let named = format!("{REPOSITORY}@{}", one.digest());
                for word in [
                    "error[SL0473]",
                    "cannot be found out",
                    &named,
                    &status.to_string(),
                    "`referrers: false`",
                ] {
                    assert!(said.contains(word), "{target:?} {status}: `{word}` is not in {said}");
                }
            }
        }
    }
}

#[test]
fn a_referrer_that_points_nowhere_is_named_with_all_that_is_wrong() {
    let setting = Setting::new();
    let (one, two) = (image("linux/amd64", 1), image("linux/amd64", 2));
    setting.registry.add_image(REPOSITORY, "1", &one).unwrap();
    setting.registry.add_image(REPOSITORY, "2", &two).unwrap();
    let lost = setting.attach(REPOSITORY, &one, "lost");
    let gone = setting.attach(REPOSITORY, &two, "gone");
    for digest in [lost.digest(), gone.digest()] {
        setting.registry.faults().always(Target::Manifest(digest.to_string()), Fault::Status(404, None));
    }
    let images = [APP, "REGISTRY/acme/app:2", "REGISTRY/acme/app:3"];
    let said = sealift_archive::report(&setting.lock("all", &images).unwrap_err());
    let registry = setting.registry.addr();
    let expected = [
        "error[SL0416]: 3 things are wrong".to_owned(),
        format!(
            "error[SL0472]: `{registry}/acme/app@{}` is said to have a `{SIGNATURE}`, {}, which `{registry}` does not have",
            one.digest(),
            lost.digest()
        ),
        format!("`{registry}/acme/app@{}` is said to have", two.digest()),
        "error[SL0209]: ".to_owned(),
        "manifest unknown: 3".to_owned(),
    ];
    for word in expected {
        assert!(said.contains(&word), "`{word}` is not in {said}");
    }
}

#[test]
fn chains_of_referrers_without_an_end_are_refused() {
    let setting = Setting::new();
    let mut last = image("linux/amd64", 1);
    setting.registry.add_image(REPOSITORY, "1", &last).unwrap();
    for number in 0..6 {
        last = setting.attach(REPOSITORY, &last, &number.to_string());
    }
    let said = setting.refusal("all", APP);
    assert!(said.contains("more than 4 times over"), "{said}");

    // A tag that leads back to where one came from leads nowhere else.
    let one = image("linux/amd64", 2);
    setting.registry.add_image(REPOSITORY, "2", &one).unwrap();
    setting.registry.add_image(REPOSITORY, &tag_of(one.digest(), ".sig"), &one).unwrap();
    let locked = setting.image("all", "REGISTRY/acme/app:2");
    assert_eq!((locked.manifests.len(), locked.tags.len()), (1, 1));
}

#[test]
fn tags_of_one_repository_are_shared_and_of_two_images_told_apart() {
    let setting = Setting::new();
    let one = image("linux/amd64", 1);
    setting.registry.add_image(REPOSITORY, "1", &one).unwrap();
    setting.registry.add_image(REPOSITORY, "2", &one).unwrap();
    setting.tag(REPOSITORY, &tag_of(one.digest(), ".sig"), "signature");
    setting.lock("all", &[APP, "REGISTRY/acme/app:2"]).unwrap();

    setting.registry.add_image("acme/copy", "1", &one).unwrap();
    setting.tag("acme/copy", &tag_of(one.digest(), ".sig"), "another signature");
    let copy = "{reference: REGISTRY/acme/copy:1, name: REGISTRY/acme/app:3}";
    let said = sealift_archive::report(&setting.lock("all", &[APP, copy]).unwrap_err());
    assert!(said.contains("SL0478") && said.contains(".sig` would have to be"), "{said}");
}

#[test]
fn lists_that_say_too_much_are_refused_whatever_they_name() {
    let setting = Setting::new();
    let children: Vec<Image> = (0..12).map(|seed| image("linux/amd64", seed)).collect();
    let index = Image::index(&children);
    setting.registry.add_image(REPOSITORY, "1", &index).unwrap();
    let signature = setting.attach(REPOSITORY, &index, "signature");
    // Each list names one and the same thing, which is asked for once, and takes up almost all that an answer may.
    let entry = json!({
        "mediaType": MANIFEST, "digest": signature.digest(), "size": signature.manifest().len(),
        "annotations": {"said": "x".repeat(4_000_000)},
    });
    let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).to_string();
    setting.registry.add_file("/list", list);
    for child in &children {
        let path = Target::Path(format!("/v2/{REPOSITORY}/referrers/{}", child.digest()));
        setting.registry.faults().always(path, Fault::Redirect(setting.registry.url("/list")));
    }
    let said = setting.refusal("all", APP);
    assert!(said.contains("lists of them"), "{said}");
}
