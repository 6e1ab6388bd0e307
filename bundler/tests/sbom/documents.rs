//! The documents: valid, whole, and the same every time.

use std::collections::BTreeSet;

use sealift_bundler::sbom::{cyclonedx, spdx};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::*;

fn schema(name: &str) -> Value {
    let path = format!("{}/tests/schemas/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
}

fn validator(name: &str, others: &[&str]) -> jsonschema::Validator {
    let others = others.iter().map(|name| {
        let uri = format!("http://cyclonedx.org/schema/{name}");
        (uri, jsonschema::Resource::from_contents(schema(name)))
    });
    let registry = jsonschema::Registry::new().extend(others).unwrap().prepare().unwrap();
    jsonschema::options().should_validate_formats(true).with_registry(&registry).build(&schema(name)).unwrap()
}

fn assert_valid(validator: &jsonschema::Validator, document: &Value) {
    let errors: Vec<String> =
        validator.iter_errors(document).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert_eq!(errors, [""; 0]);
}

/// A release, one of its images, and a release without anything.
fn bills() -> Vec<Bill> {
    let made = everything().pack();
    let bundle = made.open();
    let name = "ghcr.io/acme/web:1".parse().unwrap();
    let mut one = Plan::of(&bundle, Some(&name)).unwrap().read(&Unwatched).unwrap();
    vec![bill(&made), one.remove(0), bill(&Draft::default().pack())]
}

fn strings<'a>(list: &'a Value, key: &str) -> BTreeSet<&'a str> {
    list.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap()).collect()
}

#[test]
fn spdx_is_valid_and_names_nothing_that_is_not_there() {
    let validator = validator("spdx-2.3.schema.json", &[]);
    assert!(!validator.is_valid(&json!({"spdxVersion": "SPDX-2.3"})), "the schema refuses something");
    for bill in bills() {
        let document = spdx(&bill, OffsetDateTime::UNIX_EPOCH);
        assert_valid(&validator, &document);
        assert_eq!(document["creationInfo"]["created"], "1970-01-01T00:00:00Z");
        let packages = document["packages"].as_array().unwrap();
        let ids = strings(&document["packages"], "SPDXID");
        assert_eq!(ids.len(), packages.len(), "no id twice");
        let is_id = |id: &str| {
            let rest = id.strip_prefix("SPDXRef-");
            rest.is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b)))
        };
        assert!(ids.iter().all(|id| is_id(id)), "{ids:?}");
        let related = strings(&document["relationships"], "relatedSpdxElement");
        assert_eq!(related, ids, "everything is in something, and nothing else is");
        let licenses = strings(&document["hasExtractedLicensingInfos"], "licenseId");
        for package in packages {
            let declared = package["licenseDeclared"].as_str().unwrap_or("NOASSERTION");
            let known = declared == "NOASSERTION" || licenses.contains(declared);
            assert!(known || spdx::Expression::parse(declared).is_ok(), "{declared}");
        }
    }
}

#[test]
fn cyclonedx_is_valid_and_names_nothing_that_is_not_there() {
    let validator = validator("bom-1.6.schema.json", &["spdx.schema.json", "jsf-0.82.schema.json"]);
    assert!(!validator.is_valid(&json!({"bomFormat": "CycloneDX"})), "the schema refuses something");
    let odd = json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [
        {"type": "library", "name": "a", "licenses": [{"license": {"id": "GPLv2+"}}]},
    ]});
    assert!(!validator.is_valid(&odd), "the schema of licences is used");
    for bill in bills() {
        let document = cyclonedx(&bill, OffsetDateTime::UNIX_EPOCH);
        assert_valid(&validator, &document);
        let components = document["components"].as_array().unwrap();
        let refs = strings(&document["components"], "bom-ref");
        assert_eq!(refs.len(), components.len(), "no reference twice");
        let dependencies = document["dependencies"].as_array().unwrap();
        let needed: BTreeSet<&str> = dependencies
            .iter()
            .flat_map(|d| d["dependsOn"].as_array().unwrap())
            .map(|d| d.as_str().unwrap())
            .collect();
        assert_eq!(needed, refs, "everything is in something, and nothing else is");
    }
}

#[test]
fn the_same_release_gives_the_same_documents_and_another_others() {
    let made = everything().pack();
    let (one, again) = (bill(&made), bill(&made));
    let at = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
    assert_eq!(spdx(&one, at).to_string(), spdx(&again, at).to_string());
    assert_eq!(cyclonedx(&one, at).to_string(), cyclonedx(&again, at).to_string());
    assert_eq!(cyclonedx(&one, at)["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
    let names: BTreeSet<String> = bills()
        .iter()
        .flat_map(|bill| {
            let (spdx, cyclonedx) = (spdx(bill, at), cyclonedx(bill, at));
            [spdx["documentNamespace"].to_string(), cyclonedx["serialNumber"].to_string()]
        })
        .collect();
    assert_eq!(names.len(), 6, "each document has a name of its own: {names:?}");
}

#[test]
fn what_many_images_hold_stands_there_once() {
    let mut draft = Draft::default();
    let status = deb("libssl3", "3.0.15-1", "openssl");
    for name in ["a", "b", "c"] {
        let layers = [(TAR, tar(&[("var/lib/dpkg/status", status.as_bytes())])), (TAR, tar(&[(name, b"x")]))];
        let image = draft.image("linux/amd64", &layers);
        draft.name(&format!("ghcr.io/acme/{name}:1"), image);
    }
    let bill = bill(&draft.pack());
    let document = cyclonedx(&bill, OffsetDateTime::UNIX_EPOCH);
    let libraries: Vec<&Value> =
        document["components"].as_array().unwrap().iter().filter(|c| c["type"] == "library").collect();
    assert_eq!(libraries.len(), 1);
    let places =
        libraries[0]["properties"].as_array().unwrap().iter().filter(|p| p["name"] == "sealift:place");
    assert_eq!(places.count(), 3);
}
