//! A bill as SPDX 2.3 in JSON (spdx.github.io/spdx-spec/v2.3).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use sealift_archive::{Digest, INTERNAL_HOST};

use super::catalog::{self, Catalog, Entry};
use super::license::License;
use super::{Bill, Distribution, Image, Other, OtherKind, OtherVersion};

const NOTHING_SAID: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const RELEASE: &str = "SPDXRef-release";

/// The document for a release. The same release gives the same document, whenever and wherever it is made, but for
/// `created`.
#[must_use]
pub fn document(bill: &Bill, created: OffsetDateTime) -> Value {
    let catalog = Catalog::of(bill);
    let mut licenses = Licenses::default();
    let mut packages = Vec::new();
    let mut relationships = Vec::new();
    if bill.only.is_none() {
        packages.push(release(bill));
        relationships.push(relationship(DOCUMENT, "DESCRIBES", RELEASE));
    }
    for it in &bill.images {
        packages.push(image(it));
        let id = reference(&catalog::image_id(it));
        relationships.push(match bill.only {
            None => relationship(RELEASE, "CONTAINS", &id),
            Some(_) => relationship(DOCUMENT, "DESCRIBES", &id),
        });
        let held = catalog::held_by(it);
        relationships.extend(held.iter().map(|held| relationship(&id, "CONTAINS", &reference(held))));
    }
    for it in &bill.others {
        packages.push(other(it));
        let id = reference(&catalog::other_id(it.kind, &it.name));
        relationships.push(relationship(RELEASE, "CONTAINS", &id));
    }
    packages.extend(catalog.systems.iter().map(|(id, it)| system(id, it)));
    packages.extend(catalog.packages.iter().map(|(id, entry)| package(id, entry, &mut licenses)));
    json!({
        "SPDXID": DOCUMENT,
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "name": catalog::title(bill),
        // Nothing answers there: it only has to differ from all others.
        "documentNamespace":
            format!("https://{INTERNAL_HOST}/spdx/{}", catalog::document_digest(bill, "spdx").hex()),
        "creationInfo": {
            // Years that RFC 3339 cannot spell were refused before.
            "created": created.format(&Rfc3339).unwrap_or_default(),
            "creators": [format!("Tool: sealift-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
        "hasExtractedLicensingInfos": licenses.extracted(),
    })
}

fn release(bill: &Bill) -> Value {
    let name = &bill.release;
    json!({
        "SPDXID": RELEASE,
        "name": name.product,
        "versionInfo": name.version,
        "downloadLocation": NOTHING_SAID,
        "filesAnalyzed": false,
        "primaryPackagePurpose": "INSTALL",
        "checksums": checksums(&bill.digest),
        "comment": format!("Sequence {}. The checksum is that of the release's statement, `release.json`.", name.sequence),
    })
}

fn image(image: &Image) -> Value {
    let name = image.names.first().map(ToString::to_string).unwrap_or_default();
    let purl = catalog::oci_purl(&name, &image.digest, image.platform.as_deref());
    json!({
        "SPDXID": reference(&catalog::image_id(image)),
        "name": name,
        "versionInfo": image.digest,
        "downloadLocation": NOTHING_SAID,
        "filesAnalyzed": false,
        "primaryPackagePurpose": "CONTAINER",
        "checksums": checksums(&image.digest),
        "externalRefs": external(purl.as_deref()),
        "comment": catalog::remarks(image).join(" "),
    })
}

fn other(other: &Other) -> Value {
    let mut package = json!({
        "SPDXID": reference(&catalog::other_id(other.kind, &other.name)),
        "name": other.name,
        "downloadLocation": NOTHING_SAID,
        "filesAnalyzed": false,
        "primaryPackagePurpose": match other.kind {
            OtherKind::File => "FILE",
            OtherKind::GitRepository => "SOURCE",
            _ => "OTHER",
        },
    });
    match &other.version {
        OtherVersion::Digest(digest) => {
            package["versionInfo"] = json!(digest);
            package["checksums"] = checksums(digest);
            if other.kind != OtherKind::File {
                package["externalRefs"] = external(catalog::oci_purl(&other.name, digest, None).as_deref());
            }
        }
        OtherVersion::Commit(commit) => package["versionInfo"] = json!(commit),
    }
    package
}

fn system(id: &str, system: &Distribution) -> Value {
    let mut package = json!({
        "SPDXID": reference(id),
        "name": system.id,
        "downloadLocation": NOTHING_SAID,
        "filesAnalyzed": false,
        "primaryPackagePurpose": "OPERATING_SYSTEM",
        "description": system.to_string(),
    });
    if let Some(version) = &system.version_id {
        package["versionInfo"] = json!(version);
    }
    package
}

fn package(id: &str, entry: &Entry<'_>, licenses: &mut Licenses) -> Value {
    let it = entry.package;
    let mut package = json!({
        "SPDXID": reference(id),
        "name": it.name,
        "versionInfo": it.full_version(),
        "downloadLocation": NOTHING_SAID,
        "filesAnalyzed": false,
        "licenseConcluded": NOTHING_SAID,
        "licenseDeclared": it.license.as_deref().map_or_else(|| NOTHING_SAID.to_owned(), |l| licenses.name(l)),
        "copyrightText": NOTHING_SAID,
        "externalRefs": external(entry.purl),
        "comment": catalog::places(entry).join("\n"),
    });
    if let Some(source) = &it.source {
        let version = source.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        package["sourceInfo"] = json!(format!("built from the source package {}{version}", source.name));
    }
    package
}

/// Licences that are no SPDX expressions: SPDX wants the words of each under a name of its own.
#[derive(Default)]
struct Licenses(BTreeMap<String, String>);

impl Licenses {
    fn name(&mut self, license: &str) -> String {
        match License::of(license) {
            License::Expression(expression) => expression.to_owned(),
            License::Words(words) => {
                let name = format!("LicenseRef-{}", Digest::of(words.as_bytes()).short());
                self.0.insert(name.clone(), words.to_owned());
                name
            }
        }
    }

    fn extracted(self) -> Vec<Value> {
        let info = |(id, words)| json!({"licenseId": id, "name": words, "extractedText": words});
        self.0.into_iter().map(info).collect()
    }
}

fn reference(id: &str) -> String {
    format!("SPDXRef-{id}")
}

fn relationship(from: &str, how: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": how, "relatedSpdxElement": to})
}

fn checksums(digest: &Digest) -> Value {
    json!([{"algorithm": "SHA256", "checksumValue": digest.hex()}])
}

fn external(purl: Option<&str>) -> Value {
    let reference = |purl| json!({"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl});
    purl.into_iter().map(reference).collect()
}
