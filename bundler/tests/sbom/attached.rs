//! What is attached to images.

use serde_json::{Value, json};

use super::*;

const SPDX: &str = "application/spdx+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";

fn spdx(packages: &[(&str, &str)]) -> Value {
    let package = |(name, purl): &(&str, &str)| {
        let version = purl.rsplit_once('@').map(|(_, v)| v.split('?').next().unwrap());
        let purl = json!([{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}]);
        json!({"SPDXID": "SPDXRef-p", "name": name, "versionInfo": version, "externalRefs": purl})
    };
    json!({"spdxVersion": "SPDX-2.3", "packages": packages.iter().map(package).collect::<Vec<_>>()})
}

/// An image with one package of dpkg's.
fn app(draft: &mut Draft, platform: &str) -> sealift_archive::Digest {
    let status = deb("libssl3", "3.0.15-1", "openssl");
    let unlike = platform.as_bytes();
    draft.image(platform, &[(TAR, tar(&[("var/lib/dpkg/status", status.as_bytes()), ("unlike", unlike)]))])
}

#[test]
fn packages_of_attached_sboms_are_added_and_marked() {
    let mut draft = Draft::default();
    let app = app(&mut draft, "linux/amd64");
    draft.name("ghcr.io/acme/app:1", app);
    let sbom = spdx(&[
        ("libssl3", "pkg:deb/debian/libssl3@3.0.15-1?arch=amd64&distro=debian-12"),
        ("libssl3", "pkg:deb/debian/libssl3@3.0.15-1?arch=arm64"),
        ("github.com/acme/lib", "pkg:golang/github.com/acme/lib@v1.2.3"),
    ]);
    let referrer = draft.artifact(SPDX, SPDX, sbom.to_string().as_bytes());
    draft.refer(app, referrer);
    let bill = bill(&draft.pack());
    let image = &bill.images[0];
    assert_eq!(
        packages(image),
        ["github.com/acme/lib v1.2.3 0 1", "libssl3 3.0.15-1 1 1", "libssl3 3.0.15-1 0 1"],
        "the same package once, that of another architecture apart"
    );
    assert_eq!(image.packages[0].purl.as_deref(), Some("pkg:golang/github.com/acme/lib@v1.2.3"));
    assert_eq!((image.attached.len(), image.warnings.len()), (1, 0));
}

#[test]
fn what_is_attached_in_any_way_counts_for_what_it_is_attached_to() {
    let mut draft = Draft::default();
    let children = ["linux/amd64", "linux/arm64"].map(|platform| app(&mut draft, platform));
    let sbom = |name: &str| spdx(&[(name, &format!("pkg:npm/{name}@1"))]).to_string();
    let statement = |name: &str, subject: sealift_archive::Digest| {
        let predicate = spdx(&[(name, &format!("pkg:npm/{name}@1"))]);
        let subject = json!([{"name": "_", "digest": {"sha256": subject.hex()}}]);
        json!({"predicateType": "https://spdx.dev/Document", "subject": subject, "predicate": predicate})
            .to_string()
    };
    // BuildKit's: a child of the index.
    let attestation = statement("of-buildkit", children[0]);
    let attestation = draft.artifact("application/vnd.oci.empty.v1+json", IN_TOTO, attestation.as_bytes());
    let about = json!({
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": children[0],
    });
    let index = draft.index(&[(children[0], json!({})), (children[1], json!({})), (attestation, about)]);
    draft.name("ghcr.io/acme/app:1", index);
    // A referrer of the index counts for all platforms, one of a child for this one.
    let of_index = draft.artifact(SPDX, SPDX, sbom("of-index").as_bytes());
    draft.refer(index, of_index);
    let of_child = draft.artifact(SPDX, "application/octet-stream", sbom("of-child").as_bytes());
    draft.refer(children[1], of_child);
    // Cosign's tags.
    let by_tag = draft.artifact("text/spdx+json", "text/spdx+json", sbom("by-tag").as_bytes());
    draft.name(&format!("ghcr.io/acme/app:sha256-{}.sbom", children[0].hex()), by_tag);
    let payload = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        statement("attested", children[1]),
    );
    let envelope = json!({"payloadType": IN_TOTO, "payload": payload, "signatures": []}).to_string();
    let dsse = "application/vnd.dsse.envelope.v1+json";
    let attested = draft.artifact("application/vnd.oci.image.config.v1+json", dsse, envelope.as_bytes());
    draft.name(&format!("ghcr.io/acme/app:sha256-{}.att", children[1].hex()), attested);
    let signature = draft.artifact(
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.dev.cosign.simplesigning.v1+json",
        b"{}",
    );
    draft.name(&format!("ghcr.io/acme/app:sha256-{}.sig", index.hex()), signature);

    let bill = bill(&draft.pack());
    assert_eq!(bill.images.len(), 2, "attachments are no images: {:#?}", bill.images);
    assert!(bill.others.is_empty(), "nor artifacts of their own: {:?}", bill.others);
    let names = |platform| {
        let image = image(&bill, "ghcr.io/acme/app:1", platform);
        assert_eq!(image.warnings, [""; 0]);
        image.packages.iter().map(|found| found.package.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("linux/amd64"), ["by-tag", "libssl3", "of-buildkit", "of-index"]);
    assert_eq!(names("linux/arm64"), ["attested", "libssl3", "of-child", "of-index"]);
}

#[test]
fn attachments_that_cannot_be_read_are_told_and_signatures_are_not() {
    let mut draft = Draft::default();
    let app = app(&mut draft, "linux/amd64");
    draft.name("ghcr.io/acme/app:1", app);
    let other = json!({
        "predicateType": "https://cyclonedx.org/bom",
        "subject": [{"digest": {"sha256": "00"}}],
        "predicate": {"bomFormat": "CycloneDX"},
    });
    let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
    for (kind, media_type, content) in [
        (SPDX, SPDX, "{\"spdxVersion\":".to_owned()),
        (SPDX, "text/spdx", "SPDXVersion: SPDX-2.3".to_owned()),
        (IN_TOTO, IN_TOTO, other.to_string()),
        (bundle, bundle, json!({"messageSignature": {}}).to_string()),
        ("application/x", "application/x", "whatever".to_owned()),
    ] {
        let referrer = draft.artifact(kind, media_type, content.as_bytes());
        draft.refer(app, referrer);
    }
    let bill = bill(&draft.pack());
    let warnings = bill.images[0].warnings.join("\n");
    assert_eq!(bill.images[0].warnings.len(), 3, "{warnings}");
    for part in ["EOF while parsing", "`text/spdx`, and only SPDX", "about something else"] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
    assert_eq!(packages(&bill.images[0]), ["libssl3 3.0.15-1 1 0"]);
}
