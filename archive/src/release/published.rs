//! Releases as a vendor publishes them for appliances that are online: the names under which the parts are found, in a
//! directory, over HTTP or in an OCI registry, and the envelope that holds a document with its signatures.
//!
//! An envelope proves nothing: what is in it is checked like a document out of an archive.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::{API_VERSION, ChannelName, expect_kind};
use crate::trust::{KeyId, MAX_SIGNATURE_BYTES, Signature, Signatures};
use crate::{Blob, Digest, Error, json};

const KIND: &str = "Envelope";
/// Largest envelope, in bytes. One of a statement with three signatures has about 6 KB.
pub const MAX_ENVELOPE_BYTES: usize = 1 << 20;
/// Most signatures in an envelope.
pub const MAX_ENVELOPE_SIGNATURES: usize = 64;
/// What an artifact in a registry that holds an envelope says it is.
pub const ENVELOPE_TYPE: &str = "application/vnd.sealift.envelope.v1+json";
/// What an artifact in a registry that keeps a release's content says it is.
pub const CONTENT_TYPE: &str = "application/vnd.sealift.content.v1";
/// The largest manifest of an envelope that is read: an envelope in base64, and what stands around it.
const MAX_MANIFEST_BYTES: usize = 2 * MAX_ENVELOPE_BYTES;

/// A part of what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Published {
    /// Envelope of a channel: the only part that changes. It is written last.
    Channel(ChannelName),
    /// Envelope of this version of the trust root.
    Root(u64),
    /// Envelope of the statement with this digest.
    Release(Digest),
    /// Content, a blob list or `refs.json`, byte for byte.
    Blob(Digest),
}

impl Published {
    /// Its path below a directory or URL.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Channel(name) => format!("channels/{name}.json"),
            Self::Root(version) => format!("roots/{version}.json"),
            Self::Release(digest) => format!("releases/{}.json", digest.hex()),
            Self::Blob(digest) => digest.blob_path(),
        }
    }

    /// Its tag in a registry's repository; none for content, which has its digest there.
    #[must_use]
    pub fn tag(&self) -> Option<String> {
        Some(match self {
            Self::Channel(name) => format!("channel-{name}"),
            Self::Root(version) => format!("root-{version}"),
            Self::Release(digest) => format!("release-{}", digest.hex()),
            Self::Blob(_) => return None,
        })
    }
}

/// A document and the signatures over it, as one piece of JSON.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The document, byte for byte as it was signed.
    pub document: Vec<u8>,
    /// Signatures over it.
    pub signatures: Signatures,
}

/// An envelope as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    api_version: String,
    kind: String,
    document: String,
    signatures: Vec<WrittenSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenSignature {
    key_id: KeyId,
    /// The Sigstore bundle.
    bundle: String,
}

impl Envelope {
    /// Puts a document in an envelope with those of the signatures that are over it.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn new(document: Vec<u8>, signatures: &Signatures) -> Result<Self, Error> {
        let own = signatures.of(&Digest::of(&document)).into_iter().cloned();
        let envelope = Self { document, signatures: own.collect() };
        Self::parse("the envelope", &envelope.to_bytes())
    }

    /// Reads an envelope. `name` names it in errors.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::TooLarge`] or [`Error::Inconsistent`].
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, Error> {
        expect_kind(name, bytes, MAX_ENVELOPE_BYTES, KIND)?;
        let written: Written = json::parse(name, bytes, MAX_ENVELOPE_BYTES)?;
        let too_large = |what: &str, size: usize, limit: usize| Error::TooLarge {
            what: format!("{what} in {name}"),
            size: size as u64,
            limit: limit as u64,
        };
        if written.signatures.len() > MAX_ENVELOPE_SIGNATURES {
            let (size, limit) = (written.signatures.len(), MAX_ENVELOPE_SIGNATURES);
            return Err(too_large("the number of signatures", size, limit));
        }
        let decode = |what: &str, text: &str| {
            let not_base64 = |_| Error::inconsistent(name, format!("{what} is not in base64"));
            BASE64.decode(text).map_err(not_base64)
        };
        let document = decode("the document", &written.document)?;
        let digest = Digest::of(&document);
        let signature = |WrittenSignature { key_id, bundle }: WrittenSignature| {
            let bundle = decode("a signature", &bundle)?;
            if bundle.len() > MAX_SIGNATURE_BYTES {
                return Err(too_large("a signature", bundle.len(), MAX_SIGNATURE_BYTES));
            }
            Ok(Signature { document: digest, key: key_id, bundle })
        };
        let signatures = written.signatures.into_iter().map(signature).collect::<Result<_, _>>()?;
        Ok(Self { document, signatures })
    }

    /// The envelope's bytes: what is published.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let written = |signature: &Signature| WrittenSignature {
            key_id: signature.key,
            bundle: BASE64.encode(&signature.bundle),
        };
        json::to_document(&Written {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            document: BASE64.encode(&self.document),
            signatures: self.signatures.iter().map(written).collect(),
        })
    }
}

/// Where a registry has an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enveloped {
    /// In the manifest itself.
    Here(Vec<u8>),
    /// In a blob.
    There(Blob),
}

/// What is read of a manifest. Whoever copies one between registries may have added to it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    artifact_type: Option<String>,
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Layer {
    digest: Digest,
    size: u64,
    /// The content itself, in base64.
    data: Option<String>,
}

/// Looks for the envelope in the manifest that a tag leads to, which `name` names in errors.
///
/// # Errors
/// [`Error::Inconsistent`] if it is the manifest of something else, or contradicts itself; [`Error::Json`] or
/// [`Error::TooLarge`].
pub fn find_envelope(name: &str, manifest: &[u8]) -> Result<Enveloped, Error> {
    let refuse = |why: String| Error::inconsistent(name, why);
    let Manifest { artifact_type, layers } = json::parse(name, manifest, MAX_MANIFEST_BYTES)?;
    let said = artifact_type.unwrap_or_default();
    if said != ENVELOPE_TYPE {
        return Err(refuse(format!("its artifactType is `{said}`, not `{ENVELOPE_TYPE}`")));
    }
    let [Layer { digest, size, data }] = layers.as_slice() else {
        return Err(refuse(format!("it has {} layers, not one", layers.len())));
    };
    let blob = Blob { digest: *digest, size: *size };
    if blob.size > MAX_ENVELOPE_BYTES as u64 {
        let (what, limit) = (format!("the envelope of {name}"), MAX_ENVELOPE_BYTES as u64);
        return Err(Error::TooLarge { what, size: blob.size, limit });
    }
    let Some(data) = data else { return Ok(Enveloped::There(blob)) };
    match BASE64.decode(data) {
        Ok(bytes) if Blob::of(&bytes) == blob => Ok(Enveloped::Here(bytes)),
        _ => Err(refuse("its `data` does not have the digest and size beside it".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::trust::RoleName;
    use crate::trust::fixture::{Vendor, sign};

    #[test]
    fn every_part_has_a_name_of_its_own() {
        let digest = Digest::of(b"");
        let hex = digest.hex();
        let cases = [
            (
                Published::Channel(ChannelName::Stable),
                "channels/stable.json",
                Some("channel-stable".to_owned()),
            ),
            (Published::Root(3), "roots/3.json", Some("root-3".to_owned())),
            (Published::Release(digest), &format!("releases/{hex}.json"), Some(format!("release-{hex}"))),
            (Published::Blob(digest), &format!("blobs/sha256/{hex}"), None),
        ];
        for (part, path, tag) in cases {
            assert_eq!((part.path().as_str(), part.tag()), (path, tag));
        }
    }

    #[test]
    fn a_document_comes_out_with_its_own_signatures() {
        let vendor = Vendor::new();
        let (document, other) = (b"{\"a\": 1}\n", b"something else");
        let signatures: Signatures =
            [sign(document, &vendor.release), sign(other, &vendor.release)].into_iter().collect();
        let envelope = Envelope::new(document.to_vec(), &signatures).unwrap();
        let read = Envelope::parse("releases/x.json", &envelope.to_bytes()).unwrap();
        assert_eq!(read.document, document);
        assert_eq!(read.signatures.iter().count(), 1);
        vendor.trust.check("it", &read.document, RoleName::Release, &read.signatures).unwrap();
    }

    #[test]
    fn an_envelope_that_is_not_one_is_refused() {
        type Change = fn(&mut Value);
        let cases: [(&str, Change); 7] = [
            ("not a `Envelope`", |v| v["kind"] = "Channel".into()),
            ("sealift/v2", |v| v["apiVersion"] = "sealift/v2".into()),
            ("unknown field", |v| v["signed"] = true.into()),
            ("the document is not in base64", |v| v["document"] = "{}".into()),
            ("a signature is not in base64", |v| v["signatures"][0]["bundle"] = "{}".into()),
            ("a signature in", |v| v["signatures"][0]["bundle"] = BASE64.encode(vec![b' '; 20_000]).into()),
            ("number of signatures", |v| {
                let one = v["signatures"][0].clone();
                v["signatures"] = std::iter::repeat_n(one, 65).collect();
            }),
        ];
        let vendor = Vendor::new();
        let signatures = [sign(b"{}", &vendor.release)].into_iter().collect();
        let good = Envelope::new(b"{}".to_vec(), &signatures).unwrap().to_bytes();
        for (expected, change) in cases {
            let mut value: Value = serde_json::from_slice(&good).unwrap();
            change(&mut value);
            let error = Envelope::parse("e.json", &serde_json::to_vec(&value).unwrap()).unwrap_err();
            let said = crate::report(&error);
            assert!(said.contains(expected), "{expected}: {said}");
        }
        let large = Envelope::new(vec![0; MAX_ENVELOPE_BYTES], &Signatures::default());
        assert!(matches!(large, Err(Error::TooLarge { .. })));
    }

    /// A manifest that holds `envelope`.
    fn manifest() -> Value {
        let Blob { digest, size } = Blob::of(b"envelope");
        let layer = serde_json::json!({"digest": digest, "size": size, "data": BASE64.encode("envelope")});
        serde_json::json!({"schemaVersion": 2, "artifactType": ENVELOPE_TYPE, "layers": [layer]})
    }

    fn find(manifest: &Value) -> Result<Enveloped, Error> {
        find_envelope("m", &serde_json::to_vec(manifest).unwrap())
    }

    #[test]
    fn an_envelope_is_found_in_its_manifest_or_beside_it() {
        let mut manifest = manifest();
        assert_eq!(find(&manifest).unwrap(), Enveloped::Here(b"envelope".to_vec()));
        manifest["layers"][0].as_object_mut().unwrap().remove("data");
        manifest["annotations"] = serde_json::json!({"by": "a mirror"});
        assert_eq!(find(&manifest).unwrap(), Enveloped::There(Blob::of(b"envelope")));
    }

    #[test]
    fn a_manifest_of_something_else_is_refused() {
        type Change = fn(&mut Value);
        let cases: [(&str, Change); 8] = [
            ("not `application/vnd.sealift.envelope", |v| v["artifactType"] = CONTENT_TYPE.into()),
            ("its artifactType is ``", |v| drop(v.as_object_mut().unwrap().remove("artifactType"))),
            ("0 layers", |v| v["layers"] = Value::Array(Vec::new())),
            ("digest and size", |v| v["layers"][0]["data"] = "e30=".into()),
            ("digest and size", |v| v["layers"][0]["data"] = "{}".into()),
            ("digest and size", |v| v["layers"][0]["size"] = 9.into()),
            ("digest and size", |v| v["layers"][0]["digest"] = Digest::of(b"").to_string().into()),
            ("the limit is", |v| v["layers"][0]["size"] = (MAX_ENVELOPE_BYTES + 1).into()),
        ];
        for (expected, change) in cases {
            let mut manifest = manifest();
            change(&mut manifest);
            let said = find(&manifest).unwrap_err().to_string();
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_registry_sends_is_answered(at in 0..500_usize, byte: u8, cut in 0..500_usize) {
            let mut bytes = serde_json::to_vec(&manifest()).unwrap();
            let (at, cut) = (at % bytes.len(), bytes.len() - cut % bytes.len());
            bytes[at] = byte;
            if let Ok(Enveloped::Here(found)) = find_envelope("m", &bytes[..cut]) {
                prop_assert_eq!(found, b"envelope");
            }
        }

        #[test]
        fn any_document_comes_out_as_it_went_in(document in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let bytes = Envelope::new(document.clone(), &Signatures::default()).unwrap().to_bytes();
            prop_assert_eq!(Envelope::parse("e", &bytes).unwrap().document, document);
        }

        #[test]
        fn any_bytes_are_answered(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Envelope::parse("e", &noise);
        }
    }
}
