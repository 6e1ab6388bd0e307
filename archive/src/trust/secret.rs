//! Private keys in files: PKCS#8 as OpenSSL writes it (plain, or encrypted by PBES2), SEC 1, and cosign's own form, which
//! is PKCS#8 encrypted by scrypt and secretbox.

use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::oid::ObjectIdentifier;
use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::pkcs5::{self, EncryptionScheme};
use pkcs8::{AlgorithmIdentifierRef, EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};
use sigstore::crypto::signing_key::KeyPair as _;
use sigstore::crypto::signing_key::ecdsa::{EllipticCurve, ec::EcdsaKeys};
use sigstore_crypto::KeyPair;
use sigstore_types::Sha256Hash;

use super::PublicKey;
use crate::{Digest, Error};

/// Largest key file that is looked at, in bytes. Ours are about 650.
pub const MAX_KEY_BYTES: usize = 64 << 10;
/// Most rounds of PBKDF2 that a file may ask for: some seconds.
const MAX_ROUNDS: u32 = 10_000_000;
/// Most memory that a file's scrypt may ask for, in bytes.
const MAX_SCRYPT_BYTES: u64 = 1 << 30;

/// What makes a file that we know out of most that we do not.
const MAKE_NEW: &str = "openssl pkcs8 -topk8";

/// `id-ecPublicKey` and the curve P-256 (RFC 5480).
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// What a PEM file holds, as its label says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyForm {
    /// A public key (SPKI).
    Public,
    /// A private key in PKCS#8, plain: `openssl genpkey`.
    Pkcs8,
    /// The same, encrypted: `openssl pkcs8 -topk8`.
    EncryptedPkcs8,
    /// A private key in SEC 1, plain: `openssl ecparam -genkey`.
    Sec1,
    /// An encrypted private key of cosign's.
    Cosign,
}

impl KeyForm {
    const LABELS: [(&str, Self); 6] = [
        ("PUBLIC KEY", Self::Public),
        ("PRIVATE KEY", Self::Pkcs8),
        ("ENCRYPTED PRIVATE KEY", Self::EncryptedPkcs8),
        ("EC PRIVATE KEY", Self::Sec1),
        ("ENCRYPTED SIGSTORE PRIVATE KEY", Self::Cosign),
        // What cosign wrote before 2.0.
        ("ENCRYPTED COSIGN PRIVATE KEY", Self::Cosign),
    ];

    /// The form of the first key in a file, if there is one that we know.
    #[must_use]
    pub fn of(pem: &[u8]) -> Option<Self> {
        find(pem).map(|(form, _)| form)
    }

    /// Whether the key can sign.
    #[must_use]
    pub fn is_private(self) -> bool {
        self != Self::Public
    }

    /// Whether a password opens it.
    #[must_use]
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::EncryptedPkcs8 | Self::Cosign)
    }
}

/// The first key in a file, and the text from there on: what other tools write before it is passed over.
fn find(pem: &[u8]) -> Option<(KeyForm, &str)> {
    let text = std::str::from_utf8(pem).ok()?;
    let begin = |(label, form)| Some((text.find(&format!("-----BEGIN {label}-----"))?, form));
    let (at, form) = KeyForm::LABELS.into_iter().filter_map(begin).min_by_key(|(at, _)| *at)?;
    Some((form, &text[at..]))
}

/// A private key, unlocked.
#[derive(Debug)]
pub struct SecretKey {
    pub(super) pair: KeyPair,
    pub(super) public: PublicKey,
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

    /// Opens a key file in any of the forms that we know. `file` names it in errors; `password` is asked for only if the
    /// file is encrypted. Cosign's scrypt costs about half a second and 64 MiB.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], [`Error::BadKey`] if the file holds something else, or what `password` says.
    pub fn from_pem<E: From<Error>>(
        file: &str,
        pem: &[u8],
        password: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        if pem.len() > MAX_KEY_BYTES {
            let (size, limit) = (pem.len() as u64, MAX_KEY_BYTES as u64);
            return Err(Error::TooLarge { what: file.to_owned(), size, limit }.into());
        }
        let (form, text) = find(pem).ok_or_else(|| bad_key(file, "no key that we know is in it"))?;
        let key = match form {
            KeyForm::Public => Err(bad_key(file, "it is a public key")),
            KeyForm::Pkcs8 => decode(file, text).and_then(|der| Self::from_pkcs8(file, der.as_bytes())),
            KeyForm::Sec1 => from_sec1(file, text).and_then(|der| Self::from_pkcs8(file, der.as_bytes())),
            KeyForm::EncryptedPkcs8 => {
                let encrypted = decode(file, text)?;
                decrypt(file, &encrypted, &password()?).and_then(|der| Self::from_pkcs8(file, der.as_bytes()))
            }
            KeyForm::Cosign => {
                // What goes wrong here is the password: the library cannot tell it from a damaged key.
                let keys = EcdsaKeys::from_encrypted_pem(text.as_bytes(), &password()?)
                    .map_err(|_| Error::WrongPassword { file: file.to_owned() })?;
                let der = keys.private_key_to_der().map_err(|e| bad_key(file, e.to_string()))?;
                Self::from_pkcs8(file, &der)
            }
        };
        Ok(key?)
    }

    fn from_pkcs8(file: &str, der: &[u8]) -> Result<Self, Error> {
        let refuse = |e: sigstore_crypto::Error| Error::BadKey {
            file: file.to_owned(),
            wanted: "an ECDSA P-256 key",
            why: e.to_string(),
        };
        let pair = KeyPair::from_pkcs8_der(der).map_err(refuse)?;
        let public = PublicKey::from_spki(pair.public_key_der().map_err(refuse)?).map_err(refuse)?;
        Ok(Self { pair, public })
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn sign_digest(&self, document: &Digest) -> Result<Vec<u8>, Error> {
        let signed = self.pair.sign_digest(&Sha256Hash::new(*document.as_raw()));
        signed.map(|signature| signature.as_bytes().to_vec()).map_err(|e| Error::BadKey {
            file: format!("key {}", self.public.id().short()),
            wanted: "able to sign",
            why: e.to_string(),
        })
    }
}

fn bad_key(file: &str, why: impl Into<String>) -> Error {
    Error::BadKey { file: file.to_owned(), wanted: "a private key", why: why.into() }
}

/// The first PEM block of a text.
fn decode(file: &str, text: &str) -> Result<SecretDocument, Error> {
    let end = text.find("-----END ").and_then(|at| Some(at + text[at..].find('\n')? + 1));
    let block = &text[..end.unwrap_or(text.len())];
    SecretDocument::from_pem(block).map(|(_, document)| document).map_err(|e| bad_key(file, e.to_string()))
}

/// A SEC 1 key, put into PKCS#8.
fn from_sec1(file: &str, text: &str) -> Result<SecretDocument, Error> {
    if text.contains("Proc-Type:") {
        let why = format!("it is encrypted in OpenSSL's old way; make it new with `{MAKE_NEW}`");
        return Err(bad_key(file, why));
    }
    let sec1 = decode(file, text)?;
    let in_pkcs8 = || {
        let algorithm = AlgorithmIdentifierRef { oid: EC_PUBLIC_KEY, parameters: Some((&P256).into()) };
        let key = OctetStringRef::new(sec1.as_bytes())?;
        SecretDocument::encode_msg(&PrivateKeyInfoRef::new(algorithm, key))
    };
    in_pkcs8().map_err(|e| bad_key(file, e.to_string()))
}

fn decrypt(file: &str, encrypted: &SecretDocument, password: &[u8]) -> Result<SecretDocument, Error> {
    let another_way = |why: pkcs8::Error| {
        bad_key(
            file,
            format!("it is encrypted in a way that we do not know; make it new with `{MAKE_NEW}` ({why})"),
        )
    };
    let info = EncryptedPrivateKeyInfoRef::try_from(encrypted.as_bytes()).map_err(another_way)?;
    if !is_affordable(&info.encryption_algorithm) {
        return Err(bad_key(file, "its password is stretched more than is reasonable"));
    }
    info.decrypt(password).map_err(|error| match error {
        // One wrong password in 256 leaves a padding that looks right, and then something that is no key.
        pkcs8::Error::EncryptedPrivateKey(pkcs5::Error::DecryptFailed) | pkcs8::Error::Asn1(_) => {
            Error::WrongPassword { file: file.to_owned() }
        }
        other => another_way(other),
    })
}

/// Whether a password can be tried within seconds.
fn is_affordable(scheme: &EncryptionScheme) -> bool {
    match scheme.pbes2().map(|parameters| &parameters.kdf) {
        Some(Kdf::Pbkdf2(pbkdf2)) => pbkdf2.iteration_count <= MAX_ROUNDS,
        Some(Kdf::Scrypt(scrypt)) => {
            let bytes =
                u64::from(scrypt.block_size).saturating_mul(128).saturating_mul(scrypt.cost_parameter);
            bytes.saturating_mul(u64::from(scrypt.parallelization)) <= MAX_SCRYPT_BYTES
        }
        // Refused by whoever decrypts.
        _ => true,
    }
}
