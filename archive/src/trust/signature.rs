//! Signatures: Sigstore bundles v0.3 over exactly the stored bytes of a document, one file a signer:
//! `signatures/<sha256 of the document>/<key id>.sigstore.json` (a folder a document, because a ustar name has room for
//! only one of the two hashes).
//!
//! `cosign verify-blob --key K --bundle S --insecure-ignore-tlog FILE` accepts them.

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;

use sigstore_bundle::{BundleV03, VerificationMaterialV03};
use sigstore_types::bundle::{MessageDigest, MessageSignature, SignatureContent};
use sigstore_types::{Bundle, HashAlgorithm, Sha256Hash, SignatureBytes};

use super::{KeyId, PublicKey, Signer};
use crate::{Digest, Error, bounded, durable};

/// Largest signature file, in bytes. Ours are about 400.
pub const MAX_SIGNATURE_BYTES: usize = 16 << 10;
/// Most signatures that are looked at for one document: more than any threshold, too few to keep a CPU busy.
pub(super) const MAX_SIGNATURES_TRIED: usize = 64;
const SUFFIX: &str = ".sigstore.json";
/// Where signatures are kept, in an archive, beside a trust root, and in a store.
const FOLDER: &str = "signatures";

/// One signer's signature over one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// SHA-256 of the signed document.
    pub document: Digest,
    /// The key that is said to have signed; who really did is found by trying.
    pub key: KeyId,
    /// The Sigstore bundle, as stored.
    pub bundle: Vec<u8>,
}

impl Signature {
    /// Has a document signed, and checks what comes back against the signer's public key.
    ///
    /// # Errors
    /// [`Error::NotItsSignature`] if the key did not make it, or what the signer says.
    pub fn sign(document: &[u8], signer: &dyn Signer) -> Result<Self, Error> {
        let (digest, public) = (Digest::of(document), signer.public());
        let signature = SignatureBytes::new(signer.sign_digest(&digest)?);
        if !public.verifies(&digest, &signature) {
            return Err(Error::NotItsSignature { signer: signer.name(), key: public.id() });
        }
        let message = MessageSignature::new(signature).with_message_digest(MessageDigest::new(
            HashAlgorithm::Sha2256,
            Sha256Hash::new(*digest.as_raw()).into(),
        ));
        let material = VerificationMaterialV03::PublicKey { hint: public.hint() };
        let bundle = BundleV03::new(material, SignatureContent::MessageSignature(message)).into_bundle();
        let bundle = bundle.to_json().map_err(|e| Error::BadKey {
            file: signer.name(),
            wanted: "able to sign",
            why: e.to_string(),
        })?;
        Ok(Self { document: digest, key: public.id(), bundle: bundle.into_bytes() })
    }

    /// Where it is kept below `signatures/`: `<sha256 of the document>/<key id>.sigstore.json`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}{SUFFIX}", self.document.hex(), self.key)
    }

    /// Takes a file in: its path below `signatures/` says what it signs and who signed. `None` if it is the path of
    /// another kind of file.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn from_file(path: &str, bundle: Vec<u8>) -> Result<Option<Self>, Error> {
        let Some((document, key)) = path.strip_suffix(SUFFIX).and_then(|stem| stem.split_once('/')) else {
            return Ok(None);
        };
        let (Some(document), Ok(key)) = (Digest::from_hex(document), key.parse()) else {
            return Ok(None);
        };
        if bundle.len() > MAX_SIGNATURE_BYTES {
            let (size, limit) = (bundle.len() as u64, MAX_SIGNATURE_BYTES as u64);
            return Err(Error::TooLarge { what: path.to_owned(), size, limit });
        }
        Ok(Some(Self { document, key, bundle }))
    }

    /// The signature itself, in DER.
    pub(super) fn der(&self) -> Option<SignatureBytes> {
        let text = std::str::from_utf8(&self.bundle).ok()?;
        match Bundle::from_json(text).ok()?.content {
            SignatureContent::MessageSignature(message) => Some(message.signature),
            _ => None,
        }
    }
}

/// All signatures that came along with some documents.
#[derive(Clone, Debug, Default)]
pub struct Signatures(Vec<Signature>);

impl Signatures {
    /// Adds one; a second one at the same path replaces nothing and counts for nothing.
    pub fn push(&mut self, signature: Signature) {
        self.0.push(signature);
    }

    /// Those over one document, sorted by path.
    #[must_use]
    pub fn of(&self, document: &Digest) -> Vec<&Signature> {
        let mut found: BTreeMap<String, &Signature> = BTreeMap::new();
        for signature in self.0.iter().filter(|s| s.document == *document) {
            found.entry(signature.path()).or_insert(signature);
        }
        found.into_values().collect()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Signature> {
        self.0.iter()
    }

    /// The distinct keys among these that signed the document with this digest.
    #[must_use]
    pub fn signers<'k>(
        &self,
        document: &Digest,
        keys: impl IntoIterator<Item = (&'k KeyId, &'k PublicKey)>,
    ) -> Vec<KeyId> {
        let mut waiting: Vec<(&KeyId, &PublicKey)> = keys.into_iter().collect();
        let mut signers = Vec::new();
        for signature in self.of(document).into_iter().take(MAX_SIGNATURES_TRIED) {
            let Some(der) = signature.der() else { continue };
            // A hint or a file name is not covered by the signature, so each key that has not signed yet is tried.
            if let Some(by) = waiting.iter().position(|(_, key)| key.verifies(document, &der)) {
                signers.push(*waiting.swap_remove(by).0);
            }
        }
        signers.sort_unstable();
        signers
    }
}

/// Signatures kept in files beside the documents that they sign.
impl Signatures {
    /// Reads all signatures over one document from `dir/signatures/`; none if there is no such folder.
    ///
    /// # Errors
    /// I/O, or [`Error::TooLarge`].
    pub fn read_from(dir: &Path, document: &Digest) -> Result<Self, Error> {
        let folder = dir.join(FOLDER).join(document.hex());
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error.into()),
        };
        let mut found = Self::default();
        for entry in entries {
            let entry = entry?;
            let path = format!("{}/{}", document.hex(), entry.file_name().to_string_lossy());
            let bundle = bounded::read(&entry.path(), MAX_SIGNATURE_BYTES as u64)?;
            if bundle.len() <= MAX_SIGNATURE_BYTES {
                found.0.extend(Signature::from_file(&path, bundle)?);
            }
        }
        found.0.sort_by_key(Signature::path);
        Ok(found)
    }

    /// Writes all signatures to `dir/signatures/`, durably.
    ///
    /// # Errors
    /// I/O.
    pub fn write_to(&self, dir: &Path) -> Result<(), Error> {
        for signature in &self.0 {
            let path = dir.join(FOLDER).join(signature.path());
            if let Some(folder) = path.parent() {
                durable::create_dir_all(folder)?;
            }
            durable::write(&path, &signature.bundle)?;
        }
        Ok(())
    }
}

impl IntoIterator for Signatures {
    type Item = Signature;
    type IntoIter = std::vec::IntoIter<Signature>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Extend<Signature> for Signatures {
    fn extend<I: IntoIterator<Item = Signature>>(&mut self, signatures: I) {
        self.0.extend(signatures);
    }
}

impl FromIterator<Signature> for Signatures {
    fn from_iter<I: IntoIterator<Item = Signature>>(signatures: I) -> Self {
        Self(signatures.into_iter().collect())
    }
}
