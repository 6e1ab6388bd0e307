//! Of an index some children are carried, and the index stays what it is.

use sealift_lab::vendor::{Fault, Image, Target};
use serde_json::{Value, json};

use crate::setting::{INDEX, MANIFEST, Setting, assert_order, digests, image};

const REPOSITORY: &str = "acme/app";
const APP: &str = "REGISTRY/acme/app:1";

fn entry(image: &Image, platform: Value, annotations: Value) -> Value {
    let mut entry = json!({"mediaType": MANIFEST, "digest": image.digest(), "size": image.manifest().len()});
    for (key, value) in [("platform", platform), ("annotations", annotations)] {
        if !value.is_null() {
            entry[key] = value;
        }
    }
    entry
}

#[test]
fn attestations_of_buildkit_go_with_the_child_that_they_attest() {
    let setting = Setting::new();
    let (amd, arm) = (image("linux/amd64", 1), image("linux/arm64", 2));
    let (of_amd, of_arm) = (image("unknown/unknown", 3), image("unknown/unknown", 4));
    let other = image("unknown/unknown", 5);
    for image in [&amd, &arm, &of_amd, &of_arm, &other] {
        setting.registry.add_image(REPOSITORY, "part", image).unwrap();
    }
    let linux = |architecture: &str| json!({"os": "linux", "architecture": architecture});
    let unknown = json!({"os": "unknown", "architecture": "unknown"});
    let attests = |image: &Image| json!({"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.digest()});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        entry(&of_amd, unknown.clone(), attests(&amd)),
        entry(&amd, linux("amd64"), Value::Null),
        entry(&arm, linux("arm64"), Value::Null),
        entry(&of_arm, unknown.clone(), attests(&arm)),
        entry(&other, unknown, Value::Null),
    ]});
    let index = setting.put(REPOSITORY, Some("1"), INDEX, &index);
    let index = index["digest"].as_str().unwrap().parse().unwrap();

    let locked = setting.image("[linux/amd64]", APP);
    assert_eq!(locked.target.digest, index);
    assert_eq!(digests(&locked.manifests), [of_amd.digest(), amd.digest(), index]);
    setting.forget_lock();
    assert_eq!(setting.image("all", APP).manifests.len(), 6);
}

#[test]
fn a_child_that_is_missing_is_named_unless_nobody_wants_it() {
    let setting = Setting::new();
    let (amd, arm) = (image("linux/amd64", 1), image("linux/arm64", 2));
    let index = Image::index(&[amd.clone(), arm.clone()]);
    setting.registry.add_image(REPOSITORY, "1", &index).unwrap();
    let missing = Target::Manifest(arm.digest().to_string());
    setting.registry.faults().always(missing.clone(), Fault::Status(404, None));

    let locked = setting.image("[linux/amd64]", APP);
    assert_eq!(digests(&locked.manifests), [amd.digest(), index.digest()]);
    assert_order(&locked, &[(amd.digest(), index.digest())]);
    let registry = setting.registry.addr();
    let expected = format!(
        "error[SL0471]: `{registry}/acme/app@{}` names {} for linux/arm64, which `{registry}` does not have",
        index.digest(),
        arm.digest()
    );
    for platforms in ["all", "[linux/amd64, linux/arm64]"] {
        let said = setting.refusal(platforms, APP);
        assert!(said.contains(&expected), "{said}");
    }
    // Only a 404 says that it is missing.
    setting.registry.faults().clear();
    setting.registry.faults().always(missing, Fault::Status(403, None));
    let said = setting.refusal("all", APP);
    assert!(said.contains("SL0209") && said.contains("403"), "{said}");
}

#[test]
fn indexes_in_indexes_are_followed_so_far() {
    let setting = Setting::new();
    let mut top = image("linux/amd64", 1);
    for _ in 0..4 {
        top = Image::index(&[top]);
    }
    setting.registry.add_image(REPOSITORY, "1", &top).unwrap();
    assert_eq!(setting.image("all", APP).manifests.len(), 5);
    setting.registry.add_image(REPOSITORY, "1", &Image::index(&[top])).unwrap();
    let said = setting.refusal("all", APP);
    assert!(said.contains("more than 4 deep"), "{said}");
}
