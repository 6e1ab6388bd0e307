//! The manifests by which a repository holds what is published (`archive/FORMAT.md`, 3.7): one for each envelope, which has
//! the envelope in it, and some that name content so that registries do not collect it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealift_archive::release::published::{CONTENT_TYPE, ENVELOPE_TYPE, MAX_ENVELOPE_BYTES};
use sealift_archive::{Blob, Digest, Error, json};
use serde::{Deserialize, Serialize};

use crate::artifact::MANIFEST_TYPE;
use crate::files::OCTET_STREAM;

/// What a manifest names that has no configuration (image spec 1.1, "Guidance for an Empty Descriptor").
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// Its content.
pub(super) const EMPTY: &[u8] = b"{}";
/// The most blobs that one manifest names: 200 KB of them.
pub(super) const MAX_NAMED: usize = 1_000;
/// The largest manifest that is read: an envelope in base64, and what stands around it.
const MAX_BYTES: usize = 2 * MAX_ENVELOPE_BYTES;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u8,
    media_type: &'static str,
    artifact_type: &'static str,
    config: Written,
    layers: Vec<Written>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    media_type: &'static str,
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
}

impl Manifest {
    fn new(artifact_type: &'static str, layers: Vec<Written>) -> Self {
        let config = Written::whole(EMPTY_TYPE, EMPTY);
        Self { schema_version: 2, media_type: MANIFEST_TYPE, artifact_type, config, layers }
    }
}

impl Written {
    fn whole(media_type: &'static str, bytes: &[u8]) -> Self {
        Self { data: Some(BASE64.encode(bytes)), ..Self::named(media_type, Blob::of(bytes)) }
    }

    fn named(media_type: &'static str, Blob { digest, size }: Blob) -> Self {
        Self { media_type, digest, size, data: None }
    }
}

/// The manifest of an envelope.
pub(super) fn of_envelope(envelope: &[u8]) -> Vec<u8> {
    json::to_document(&Manifest::new(ENVELOPE_TYPE, vec![Written::whole(ENVELOPE_TYPE, envelope)]))
}

/// A manifest that names content.
pub(super) fn of_content(blobs: &[Blob]) -> Vec<u8> {
    let layers = blobs.iter().map(|blob| Written::named(OCTET_STREAM, *blob)).collect();
    json::to_document(&Manifest::new(CONTENT_TYPE, layers))
}

/// Where an envelope is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the manifest itself.
    Here(Vec<u8>),
    /// In a blob.
    There(Blob),
}

/// What is read of a manifest. Whoever copies one between registries may have added to it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    artifact_type: Option<String>,
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Layer {
    digest: Digest,
    size: u64,
    data: Option<String>,
}

/// Looks for the envelope in a manifest, which `name` names in errors.
///
/// # Errors
/// If it is the manifest of something else, or contradicts itself.
pub(super) fn find_envelope(name: &str, manifest: &[u8]) -> Result<Place, Error> {
    let refuse = |why: &str| Error::Inconsistent { document: name.to_owned(), why: why.to_owned() };
    let Read { artifact_type, layers } = json::parse(name, manifest, MAX_BYTES)?;
    let [Layer { digest, size, data }] = layers.as_slice() else {
        return Err(refuse("it does not name just one envelope"));
    };
    if artifact_type.as_deref() != Some(ENVELOPE_TYPE) {
        return Err(refuse("it is not the manifest of an envelope"));
    }
    let blob = Blob { digest: *digest, size: *size };
    if blob.size > MAX_ENVELOPE_BYTES as u64 {
        let (what, limit) = (format!("the envelope of {name}"), MAX_ENVELOPE_BYTES as u64);
        return Err(Error::TooLarge { what, size: blob.size, limit });
    }
    let Some(data) = data else { return Ok(Place::There(blob)) };
    match BASE64.decode(data) {
        Ok(bytes) if Blob::of(&bytes) == blob => Ok(Place::Here(bytes)),
        _ => Err(refuse("the data in it is not what it says")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_envelope_is_found_in_its_manifest_or_beside_it() {
        let manifest = of_envelope(b"envelope");
        assert_eq!(find_envelope("m", &manifest).unwrap(), Place::Here(b"envelope".to_vec()));
        let mut value: Value = serde_json::from_slice(&manifest).unwrap();
        value["layers"][0].as_object_mut().unwrap().remove("data");
        value["annotations"] = serde_json::json!({"by": "a mirror"});
        let found = find_envelope("m", &serde_json::to_vec(&value).unwrap()).unwrap();
        assert_eq!(found, Place::There(Blob::of(b"envelope")));
    }

    #[test]
    fn a_manifest_of_something_else_is_refused() {
        type Change = fn(&mut Value);
        let cases: [(&str, Change); 6] = [
            ("not the manifest of an envelope", |v| v["artifactType"] = CONTENT_TYPE.into()),
            ("not the manifest of an envelope", |v| drop(v.as_object_mut().unwrap().remove("artifactType"))),
            ("just one envelope", |v| v["layers"] = Value::Array(Vec::new())),
            ("not what it says", |v| v["layers"][0]["data"] = "e30=".into()),
            ("not what it says", |v| v["layers"][0]["data"] = "{}".into()),
            ("the limit is", |v| v["layers"][0]["size"] = (MAX_ENVELOPE_BYTES + 1).into()),
        ];
        for (expected, change) in cases {
            let mut value: Value = serde_json::from_slice(&of_envelope(b"envelope")).unwrap();
            change(&mut value);
            let said = find_envelope("m", &serde_json::to_vec(&value).unwrap()).unwrap_err().to_string();
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_registry_sends_is_answered(at in 0..500_usize, byte: u8, cut in 0..500_usize) {
            let mut bytes = of_envelope(b"envelope");
            let (at, cut) = (at % bytes.len(), bytes.len() - cut % bytes.len());
            bytes[at] = byte;
            if let Ok(Place::Here(found)) = find_envelope("m", &bytes[..cut]) {
                prop_assert_eq!(found, b"envelope");
            }
        }
    }
}
