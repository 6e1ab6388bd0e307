use serde_json::{Value, json};

use super::*;

fn subject() -> Digest {
    Digest::of(b"an image")
}

fn spdx() -> Value {
    json!({
        "spdxVersion": "SPDX-2.3",
        "SPDXID": "SPDXRef-DOCUMENT",
        "documentDescribes": ["SPDXRef-root"],
        "packages": [
            {"SPDXID": "SPDXRef-root", "name": "some/folder"},
            {"SPDXID": "SPDXRef-image", "name": "api", "primaryPackagePurpose": "CONTAINER"},
            {"SPDXID": "SPDXRef-1", "name": "github.com/acme/lib", "versionInfo": "v1.2.3",
             "licenseDeclared": "NOASSERTION", "licenseConcluded": "MIT",
             "externalRefs": [
                {"referenceCategory": "SECURITY", "referenceType": "cpe23Type", "referenceLocator": "cpe:2.3:a"},
                {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                 "referenceLocator": "pkg:golang/github.com/acme/lib@v1.2.3"},
             ]},
            {"SPDXID": "SPDXRef-2", "name": "plain", "versionInfo": "NOASSERTION"},
        ],
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                           "relatedSpdxElement": "SPDXRef-image"}],
    })
}

fn cyclonedx() -> Value {
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "metadata": {"component": {"type": "container", "name": "api"}},
        "components": [
            {"type": "operating-system", "name": "debian", "version": "12"},
            {"type": "library", "name": "libssl", "version": "3.0.15",
             "purl": "pkg:deb/debian/libssl3@3.0.15-1?arch=amd64&distro=debian-12&upstream=openssl%403.0.15-1",
             "licenses": [{"license": {"id": "Apache-2.0"}}, {"license": {"name": "odd"}}],
             "components": [{"type": "library", "name": "inner", "purl": "not a purl"}]},
            {"type": "file", "name": "/etc/passwd"},
        ],
    })
}

fn statement(kind: &str, predicate: &Value) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": kind,
        "subject": [{"name": "api", "digest": {"sha1": "00", "sha256": subject().hex()}}],
        "predicate": predicate,
    })
}

fn dsse(statement: &Value) -> Value {
    json!({
        "payloadType": "application/vnd.in-toto+json",
        "payload": STANDARD.encode(statement.to_string()),
        "signatures": [{"sig": "AA=="}],
    })
}

/// `format: name version type (licence) <source>; …`, or why not.
fn told(document: &Value) -> String {
    match read(document.to_string().as_bytes(), &subject()) {
        Ok(None) => "nothing".to_owned(),
        Err(why) => format!("error: {why}"),
        Ok(Some(sbom)) => {
            let told = sbom.packages.iter().map(|listed| {
                let p = &listed.package;
                let source = p.source.as_ref().map(|s| s.name.as_str()).unwrap_or_default();
                let license = p.license.as_deref().unwrap_or_default();
                format!("{} {} {} ({license}) <{source}>", p.name, p.version, p.kind)
            });
            let mut told: Vec<String> = told.collect();
            told.sort();
            format!("{:?}: {}", sbom.format, told.join("; "))
        }
    }
}

const SPDX: &str = "Spdx: github.com/acme/lib v1.2.3 golang (MIT) <>; plain  generic () <>";
const CYCLONEDX: &str =
    "CycloneDx: inner  generic () <>; libssl3 3.0.15-1 deb (Apache-2.0 AND odd) <openssl>";

#[test]
fn sboms_are_found_in_all_their_envelopes() {
    let wrapped = json!({"Data": cyclonedx(), "Timestamp": "2024-01-01T00:00:00Z"});
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {},
        "dsseEnvelope": dsse(&statement("https://spdx.dev/Document", &spdx())),
    });
    let signature = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "messageSignature": {"messageDigest": {}, "signature": ""},
    });
    let other_subject = {
        let mut statement = statement("https://cyclonedx.org/bom", &cyclonedx());
        statement["subject"][0]["digest"]["sha256"] = json!("00");
        statement
    };
    let cases = [
        ("SPDX", spdx(), SPDX),
        ("CycloneDX", cyclonedx(), CYCLONEDX),
        ("a statement", statement("https://spdx.dev/Document/v2.3", &spdx()), SPDX),
        ("a statement", statement("https://cyclonedx.org/bom/v1.6", &cyclonedx()), CYCLONEDX),
        ("wrapped", statement("https://cyclonedx.org/bom", &wrapped), CYCLONEDX),
        ("DSSE", dsse(&statement("https://cyclonedx.org/bom", &cyclonedx())), CYCLONEDX),
        ("a Sigstore bundle", bundle, SPDX),
        ("a signature", signature, "nothing"),
        ("provenance", statement("https://slsa.dev/provenance/v1", &json!({})), "nothing"),
        ("provenance in DSSE", dsse(&statement("https://slsa.dev/provenance/v1", &json!({}))), "nothing"),
        ("another payload", json!({"payloadType": "text/plain", "payload": "!"}), "nothing"),
        ("something else", json!({"a": 1}), "nothing"),
        ("about something else", other_subject, "error: it is about something else"),
        (
            "no SBOM where one should be",
            statement("https://spdx.dev/Document", &json!("SPDXVersion: SPDX-2.3")),
            "error: ",
        ),
        ("no packages", json!({"spdxVersion": "SPDX-2.3", "packages": 7}), "error: "),
        (
            "no base64",
            json!({"payloadType": "application/vnd.in-toto+json", "payload": "!"}),
            "error: its payload",
        ),
        ("a list", json!([]), "error: "),
    ];
    for (name, document, expected) in cases {
        let said = told(&document);
        assert!(said.starts_with(expected), "{name}: {said}");
    }
    assert_eq!(told(&json!({"bomFormat": "CycloneDX", "vulnerabilities": []})), "nothing");
}

#[test]
fn components_may_be_nested_only_so_deep() {
    let mut deep = json!({"type": "library", "name": "x"});
    for _ in 0..200 {
        deep = json!({"type": "library", "name": "x", "components": [deep]});
    }
    let document = json!({"bomFormat": "CycloneDX", "components": [deep]});
    assert!(told(&document).contains("recursion limit"), "{}", told(&document));
}

#[test]
fn what_a_layer_may_hold_is_told_by_its_media_type() {
    for (media_type, expected) in [
        ("text/spdx+json", Interest::Read),
        ("application/vnd.cyclonedx+json; version=1.5", Interest::Read),
        ("application/vnd.in-toto+json", Interest::Read),
        ("application/vnd.cyclonedx+xml", Interest::Tell),
        ("text/spdx", Interest::Tell),
        ("application/vnd.dev.cosign.simplesigning.v1+json", Interest::None),
        ("application/octet-stream", Interest::None),
    ] {
        assert_eq!(interest(media_type), expected, "{media_type}");
    }
}
