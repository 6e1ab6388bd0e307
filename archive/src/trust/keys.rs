//! ECDSA P-256 keys in cosign's files: public keys as PEM, private keys as PKCS#8 encrypted by scrypt and
//! secretbox under the label `ENCRYPTED SIGSTORE PRIVATE KEY` (the older `ENCRYPTED COSIGN PRIVATE KEY` is read too).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sigstore::crypto::signing_key::KeyPair as _;
use sigstore::crypto::signing_key::ecdsa::{EllipticCurve, ec::EcdsaKeys};
use sigstore_crypto::{KeyPair, SigningScheme, VerificationKey};
use sigstore_types::{DerPublicKey, Sha256Hash, SignatureBytes};

use crate::{Digest, Error};

/// The only scheme for now: what cosign makes by default and every Sigstore verifier takes.
const SCHEME: SigningScheme = SigningScheme::EcdsaP256Sha256;

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
        let digest: Digest = format!("sha256:{text}").parse().map_err(|_| Error::BadValue {
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
    /// [`Error::BadKey`] if it is no PEM, or another kind of key.
    pub fn from_pem(file: &str, pem: &[u8]) -> Result<Self, Error> {
        let refuse =
            |why: String| Error::BadKey { file: file.to_owned(), wanted: "a public key in PEM", why };
        let text = std::str::from_utf8(pem).map_err(|_| refuse("it is not text".to_owned()))?;
        if text.contains("PRIVATE KEY") {
            return Err(refuse("it is a private key; name the `.pub` file".to_owned()));
        }
        let spki = DerPublicKey::from_pem(text).map_err(|e| refuse(e.to_string()))?;
        VerificationKey::from_spki_with_scheme(&spki, SCHEME).map_err(|e| refuse(e.to_string()))?;
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

/// A private key, unlocked.
#[derive(Debug)]
pub struct SecretKey {
    pair: KeyPair,
    public: PublicKey,
}

impl SecretKey {
    /// Makes a new key and its file: the encrypted PEM that cosign reads. Costs about half a second and 64 MiB for
    /// the password's scrypt.
    ///
    /// # Errors
    /// [`Error::BadKey`] if the system has no randomness to give.
    pub fn generate(password: &[u8]) -> Result<(Self, Vec<u8>), Error> {
        let refuse = |e: sigstore::errors::SigstoreError| Error::BadKey {
            file: "a new key".to_owned(),
            wanted: "made",
            why: e.to_string(),
        };
        let keys = EcdsaKeys::new(EllipticCurve::P256).map_err(refuse)?;
        let pem = keys.private_key_to_encrypted_pem(password).map_err(refuse)?;
        let der = keys.private_key_to_der().map_err(refuse)?;
        Ok((Self::from_pkcs8("a new key", &der)?, pem.as_bytes().to_vec()))
    }

    /// Unlocks an encrypted PEM. `file` names it in errors. Costs about half a second and 64 MiB for scrypt.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], or [`Error::BadKey`] if the file holds something else.
    pub fn from_encrypted_pem(file: &str, pem: &[u8], password: &[u8]) -> Result<Self, Error> {
        const LABELS: [&str; 2] = ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"];
        let text = String::from_utf8_lossy(pem);
        // What goes wrong after this is the password: the library cannot tell it from a damaged key.
        if !LABELS.iter().any(|label| text.contains(&format!("-----BEGIN {label}-----"))) {
            let why = format!("it does not begin with `{}`", LABELS[0]);
            return Err(Error::BadKey { file: file.to_owned(), wanted: "an encrypted private key", why });
        }
        let keys = EcdsaKeys::from_encrypted_pem(pem, password)
            .map_err(|_| Error::WrongPassword { file: file.to_owned() })?;
        let der = keys.private_key_to_der().map_err(|e| Error::BadKey {
            file: file.to_owned(),
            wanted: "an ECDSA P-256 key",
            why: e.to_string(),
        })?;
        Self::from_pkcs8(file, &der)
    }

    fn from_pkcs8(file: &str, der: &[u8]) -> Result<Self, Error> {
        let refuse = |e: sigstore_crypto::Error| Error::BadKey {
            file: file.to_owned(),
            wanted: "an ECDSA P-256 key",
            why: e.to_string(),
        };
        let pair = KeyPair::from_pkcs8_der(der).map_err(refuse)?;
        let public = PublicKey { spki: pair.public_key_der().map_err(refuse)? };
        Ok(Self { pair, public })
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn sign_digest(&self, document: &Digest) -> Result<SignatureBytes, Error> {
        self.pair.sign_digest(&Sha256Hash::new(*document.as_raw())).map_err(|e| Error::BadKey {
            file: format!("key {}", self.public.id().short()),
            wanted: "able to sign",
            why: e.to_string(),
        })
    }
}
