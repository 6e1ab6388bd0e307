//! A bill as CycloneDX 1.6 in JSON (cyclonedx.org/docs/1.6/json). What an image holds is what it depends on.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use sealift_archive::Digest;

use super::catalog::{self, Catalog, Entry};
use super::license::License;
use super::{Bill, Distribution, Image, Other, OtherKind, OtherVersion};

/// The reference of what the document is about.
const RELEASE: &str = "release";

/// The document for a release. The same release gives the same document, whenever and wherever it is made, but for
/// `created`.
#[must_use]
pub fn document(bill: &Bill, created: OffsetDateTime) -> Value {
    let catalog = Catalog::of(bill);
    let images = bill.images.iter().map(image);
    let others = bill.others.iter().map(other);
    let systems = catalog.systems.iter().map(|(id, it)| system(id, it));
    let packages = catalog.packages.iter().map(|(id, entry)| package(id, entry));
    let components: Vec<Value> = images.chain(others).chain(systems).chain(packages).collect();
    let uncertain: Vec<String> = bill.uncertain().map(catalog::image_id).collect();
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial_number(&catalog::document_digest(bill, "cyclonedx")),
        "version": 1,
        "metadata": {
            // Years that RFC 3339 cannot spell were refused before.
            "timestamp": created.format(&Rfc3339).unwrap_or_default(),
            "tools": {"components": [
                {"type": "application", "name": "sealift", "version": env!("CARGO_PKG_VERSION")},
            ]},
            "component": subject(bill),
        },
        "components": components,
        "dependencies": dependencies(bill),
    });
    if !uncertain.is_empty() {
        document["compositions"] = json!([{"aggregate": "incomplete", "dependencies": uncertain}]);
    }
    document
}

fn subject(bill: &Bill) -> Value {
    let name = &bill.release;
    match &bill.only {
        Some(image) => json!({"type": "container", "bom-ref": RELEASE, "name": image}),
        None => json!({
            "type": "application",
            "bom-ref": RELEASE,
            "name": name.product,
            "version": name.version,
            "properties": [
                property("sealift:sequence", &name.sequence.to_string()),
                property("sealift:statement", &bill.digest.to_string()),
            ],
        }),
    }
}

fn image(image: &Image) -> Value {
    let name = image.names.first().map(ToString::to_string).unwrap_or_default();
    let names = image.names.iter().map(|name| property("sealift:name", &name.to_string()));
    let platform = image.platform.iter().map(|platform| property("sealift:platform", platform));
    let remarks = catalog::uncertainties(image);
    let remarks = remarks.iter().map(|remark| property("sealift:incomplete", remark));
    let mut component = json!({
        "type": "container",
        "bom-ref": catalog::image_id(image),
        "name": name,
        "version": image.digest,
        "hashes": hashes(&image.digest),
        "properties": names.chain(platform).chain(remarks).collect::<Vec<_>>(),
    });
    if let Some(purl) = catalog::oci_purl(&name, &image.digest, image.platform.as_deref()) {
        component["purl"] = json!(purl);
    }
    component
}

fn other(other: &Other) -> Value {
    let mut component = json!({
        "type": if other.kind == OtherKind::File { "file" } else { "data" },
        "bom-ref": catalog::other_id(other.kind, &other.name),
        "name": other.name,
        "properties": [property("sealift:type", &other.kind.to_string())],
    });
    match &other.version {
        OtherVersion::Digest(digest) => {
            component["version"] = json!(digest);
            component["hashes"] = hashes(digest);
            if other.kind != OtherKind::File
                && let Some(purl) = catalog::oci_purl(&other.name, digest, None)
            {
                component["purl"] = json!(purl);
            }
        }
        OtherVersion::Commit(commit) => component["version"] = json!(commit),
    }
    component
}

fn system(id: &str, system: &Distribution) -> Value {
    json!({
        "type": "operating-system",
        "bom-ref": id,
        "name": system.id,
        "version": system.version_id.clone().unwrap_or_default(),
        "description": system.to_string(),
    })
}

fn package(id: &str, entry: &Entry<'_>) -> Value {
    let it = entry.package;
    let places = catalog::places(entry);
    let places = places.iter().map(|place| property("sealift:place", place));
    let source = it.source.iter().map(|source| {
        let version = source.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        property("sealift:source", &format!("{}{version}", source.name))
    });
    let mut component = json!({
        "type": "library",
        "bom-ref": id,
        "name": it.name,
        "version": it.full_version(),
        "properties": source.chain(places).collect::<Vec<_>>(),
    });
    if let Some(purl) = entry.purl {
        component["purl"] = json!(purl);
    }
    match it.license.as_deref().map(License::of) {
        Some(License::Expression(expression)) => component["licenses"] = json!([{"expression": expression}]),
        Some(License::Words(words)) => component["licenses"] = json!([{"license": {"name": words}}]),
        None => {}
    }
    component
}

fn dependencies(bill: &Bill) -> Vec<Value> {
    let images = bill.images.iter().map(catalog::image_id);
    let others = bill.others.iter().map(|it| catalog::other_id(it.kind, &it.name));
    let of_release = json!({"ref": RELEASE, "dependsOn": images.chain(others).collect::<Vec<_>>()});
    let of_image = |it| json!({"ref": catalog::image_id(it), "dependsOn": catalog::held_by(it)});
    std::iter::once(of_release).chain(bill.images.iter().map(of_image)).collect()
}

/// A UUID of version 8 (RFC 9562, section 5.8), whose bits are free but for six.
fn serial_number(digest: &Digest) -> String {
    let mut bits = *digest.as_raw();
    bits[6] = bits[6] & 0x0f | 0x80;
    bits[8] = bits[8] & 0x3f | 0x80;
    let hex = Digest::from_raw(bits).hex();
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
}

fn hashes(digest: &Digest) -> Value {
    json!([{"alg": "SHA-256", "content": digest.hex()}])
}

fn property(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}
