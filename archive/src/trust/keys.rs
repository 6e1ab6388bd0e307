//! Public keys (ECDSA P-256, PEM) and their names.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sigstore_crypto::{SigningScheme, VerificationKey};
use sigstore_types::{DerPublicKey, SignatureBytes};

use super::KeyForm;
use crate::{Digest, Error};

/// The only scheme for now: what cosign makes by default and every Sigstore verifier takes.
const SCHEME: SigningScheme = SigningScheme::EcdsaP256Sha256;

/// What the SPKI DER of a P-256 key begins with: the curve by name, and a point that is not compressed. X and Y follow.
const SPKI_START: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86,
    0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
const SPKI_LEN: usize = SPKI_START.len() + 2 * 32;

/// A key's name: the hex SHA-256 of its SPKI DER.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId([u8; 32]);

impl KeyId {
    /// The first 12 characters, for people.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl FromStr for KeyId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // One spelling, as for digests: a key id is part of a file name.
        let digest = Digest::from_hex(text).ok_or_else(|| Error::BadValue {
            what: "a key id",
            value: text.to_owned(),
            rule: "64 lower-case hexadecimal characters",
        })?;
        Ok(Self(*digest.as_raw()))
    }
}

impl TryFrom<String> for KeyId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A public key that is known to be an ECDSA P-256 key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey {
    spki: DerPublicKey,
}

impl PublicKey {
    /// Reads a PEM `PUBLIC KEY`. `file` names it in errors.
    ///
    /// # Errors
    /// [`Error::BadKey`] if it is no PEM, another kind of key, or written otherwise than usual: a key with two names would
    /// count as two.
    pub fn from_pem(file: &str, pem: &[u8]) -> Result<Self, Error> {
        let refuse =
            |why: String| Error::BadKey { file: file.to_owned(), wanted: "a public key in PEM", why };
        let text = std::str::from_utf8(pem).map_err(|_| refuse("it is not text".to_owned()))?;
        if KeyForm::of(pem).is_some_and(KeyForm::is_private) {
            return Err(refuse("it is a private key; name the `.pub` file".to_owned()));
        }
        let spki = DerPublicKey::from_pem(text).map_err(|e| refuse(e.to_string()))?;
        let key = Self::from_spki(spki).map_err(|e| refuse(e.to_string()))?;
        let der = key.spki.as_bytes();
        if der.len() != SPKI_LEN || !der.starts_with(&SPKI_START) {
            let wanted = "a P-256 key with the curve by name and the whole point (`openssl ec -pubin -conv_form uncompressed -param_enc named_curve`)";
            return Err(refuse(format!("it is not written as {wanted}")));
        }
        Ok(key)
    }

    pub(super) fn from_spki(spki: DerPublicKey) -> Result<Self, sigstore_crypto::Error> {
        VerificationKey::from_spki_with_scheme(&spki, SCHEME)?;
        Ok(Self { spki })
    }

    /// The PEM form.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.spki.to_pem()
    }

    /// The key's name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId(*Digest::of(self.spki.as_bytes()).as_raw())
    }

    /// What cosign writes as the `hint` of a bundle: base64 SHA-256 of the SPKI DER.
    pub(super) fn hint(&self) -> String {
        BASE64.encode(self.id().0)
    }

    /// Whether `signature` (DER) is this key's over a document with this digest.
    pub(super) fn verifies(&self, document: &Digest, signature: &SignatureBytes) -> bool {
        VerificationKey::from_spki_with_scheme(&self.spki, SCHEME)
            .and_then(|key| key.verify_prehashed(document.as_raw(), signature))
            .is_ok()
    }
}
