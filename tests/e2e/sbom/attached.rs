//! SBOMs that cosign attached to an image, in both its forms.

use sealift_tests::cosign::Form;
use sealift_tests::vendor::HOST;
use sealift_tests::{Cosign, Registry, Side, fixture, process, scratch};
use serde_json::{Value, json};

use crate::Asking;

#[test]
fn what_cosign_attested_is_part_of_the_image() {
    let (registry, dir) = (Registry::start(Side::Vendor), scratch());
    let layout = fixture::images();
    let cosign = Cosign::new(Side::Vendor);
    // Of this public key nothing is asked: the release's signature covers what is attached.
    let _ = cosign.make_keys();
    let mut asking = Asking::new();
    for (tag, form) in [("worker", Form::Tag), ("tools", Form::Bundle)] {
        let name = format!("acme/{tag}");
        registry.push(&layout, tag, &format!("{name}:1"));
        let image = format!("{}/{name}", registry.authority());
        let sbom = json!({
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": "SPDXRef-DOCUMENT",
            "name": tag,
            "documentNamespace": format!("https://acme.example/{tag}"),
            "creationInfo": {"created": "2024-01-01T00:00:00Z", "creators": ["Tool: by hand"]},
            "packages": [package(&format!("{tag}-lib")), package("libc6")],
        });
        let file = dir.path().join("sbom.json");
        fs_err::write(&file, sbom.to_string()).expect("a file");
        cosign.attest(&format!("{image}@{}", layout.digest(tag)), form, &file);
        asking.refer(&format!("{image}:1"), &format!("{HOST}/{name}:1"));
    }
    let answer = asking.ask();
    for tag in ["worker", "tools"] {
        let image = answer.image(tag);
        assert_eq!(image["attached"][0]["format"], "spdx", "{tag}");
        let packages = image["packages"].as_array().expect("packages");
        let package = |name: &str| packages.iter().find(|p| p["name"] == name).expect("the package");
        let lib = package(&format!("{tag}-lib"));
        assert_eq!(lib["attached"][0], image["attached"][0]["digest"], "{tag}");
        assert_eq!((&lib["type"], &lib["layer"]), (&json!("npm"), &Value::Null));
        assert!(package("bash")["layer"].is_string(), "{tag}: what the database has is there too");
    }
    let found = answer.sbom(&["--package", "worker-lib"]);
    let found = process::finish(&found).expect(0).stdout();
    assert!(found.contains("acme/worker:1") && !found.contains("acme/tools"), "{found}");
    assert!(found.contains("attached SBOM "), "{found}");
}

fn package(name: &str) -> Value {
    json!({
        "SPDXID": format!("SPDXRef-{name}"),
        "name": name,
        "versionInfo": "1.0.0",
        "downloadLocation": "NOASSERTION",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": format!("pkg:npm/{name}@1.0.0"),
        }],
    })
}
