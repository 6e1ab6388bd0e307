//! OCI artifacts that are made here and not fetched: a manifest and what it names, in memory.

use std::collections::BTreeMap;

use sealift_archive::{Blob, Digest};
use serde::Serialize;

/// The media type of all manifests that are made here (image spec, manifest.md).
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// A manifest, its configuration and its layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The manifest, by which the artifact is named.
    pub manifest: Part,
    /// The configuration, then the layers.
    pub blobs: Vec<Part>,
}

/// Bytes with their media type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What the bytes are.
    pub media_type: &'static str,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Part {
    /// Digest and size.
    #[must_use]
    pub fn blob(&self) -> Blob {
        Blob::of(&self.bytes)
    }
}

/// Keys in the order in which Go's types have them, so that manifests come out byte for byte as other tools make them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<&'static str>,
    config: Descriptor,
    layers: Vec<Descriptor>,
    annotations: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: &'static str,
    digest: Digest,
    size: u64,
}

impl Artifact {
    /// Puts a manifest above its parts. Some tools leave the manifest's own media type out of it, and so its digest
    /// depends on that.
    pub(crate) fn new(
        config: Part,
        layers: Vec<Part>,
        annotations: BTreeMap<String, String>,
        says_its_type: bool,
    ) -> Self {
        let describe = |part: &Part| {
            let Blob { digest, size } = part.blob();
            Descriptor { media_type: part.media_type, digest, size }
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: says_its_type.then_some(MANIFEST_TYPE),
            config: describe(&config),
            layers: layers.iter().map(describe).collect(),
            annotations,
        };
        let manifest = Part { media_type: MANIFEST_TYPE, bytes: to_json(&manifest) };
        Self { manifest, blobs: std::iter::once(config).chain(layers).collect() }
    }
}

/// JSON as Go's `encoding/json` writes it: on one line, with what HTML knows as markup escaped.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    // These characters stand in strings only, as JSON itself uses none of them.
    const ESCAPED: [(char, &str); 5] = [
        ('<', "\\u003c"),
        ('>', "\\u003e"),
        ('&', "\\u0026"),
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
    ];
    let text = serde_json::to_string(value).expect("structs and maps with string keys serialise");
    ESCAPED.into_iter().fold(text, |text, (c, escape)| text.replace(c, escape)).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_as_go_writes_it() {
        let cases = [
            ("a<b>&c", r#""a\u003cb\u003e\u0026c""#),
            ("line\u{2028}break\u{2029}", r#""line\u2028break\u2029""#),
            ("\u{8}\u{c}\n\r\t\u{1}\u{7f}\"\\/é", "\"\\b\\f\\n\\r\\t\\u0001\u{7f}\\\"\\\\/é\""),
        ];
        for (text, expected) in cases {
            assert_eq!(String::from_utf8(to_json(&text)).unwrap(), expected);
        }
    }

    #[test]
    fn a_manifest_names_its_parts() {
        let part = |media_type, bytes: &[u8]| Part { media_type, bytes: bytes.to_vec() };
        let annotations =
            BTreeMap::from([("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())]);
        let made = |says_its_type| {
            let parts = (part("c", b"{}"), vec![part("l", b"layer")]);
            Artifact::new(parts.0, parts.1, annotations.clone(), says_its_type)
        };
        let text = String::from_utf8(made(false).manifest.bytes).unwrap();
        let (config, layer) = (Digest::of(b"{}"), Digest::of(b"layer"));
        assert_eq!(
            text,
            format!(
                r#"{{"schemaVersion":2,"config":{{"mediaType":"c","digest":"{config}","size":2}},"layers":[{{"mediaType":"l","digest":"{layer}","size":5}}],"annotations":{{"a":"1","b":"2"}}}}"#
            )
        );
        let typed = String::from_utf8(made(true).manifest.bytes).unwrap();
        assert!(typed.starts_with(&format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST_TYPE}","config""#)));
    }
}
