//! The manifests by which a repository holds what is published (`archive/FORMAT.md`, 3.7): one for each envelope, which has
//! the envelope in it, and some that name content so that registries do not collect it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealift_archive::release::published::{CONTENT_TYPE, ENVELOPE_TYPE};
use sealift_archive::{Blob, Digest, json};
use serde::Serialize;

use crate::artifact::MANIFEST_TYPE;
use crate::files::OCTET_STREAM;

/// What a manifest names that has no configuration (image spec 1.1, "Guidance for an Empty Descriptor").
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// Its content.
pub(super) const EMPTY: &[u8] = b"{}";
/// The most blobs that one manifest names: 200 KB of them.
pub(super) const MAX_NAMED: usize = 1_000;

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

#[cfg(test)]
mod tests {
    use sealift_archive::release::published::{Enveloped, find_envelope};

    use super::*;

    #[test]
    fn an_envelope_is_found_in_its_manifest() {
        let found = find_envelope("m", &of_envelope(b"envelope")).unwrap();
        assert_eq!(found, Enveloped::Here(b"envelope".to_vec()));
        assert!(find_envelope("m", &of_content(&[Blob::of(b"envelope")])).is_err());
    }
}
