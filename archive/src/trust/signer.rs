//! Who can sign: a private key in memory, or anything else that makes a signature of a digest, such as a program in front
//! of a hardware module.

use std::fmt;

use super::{PublicKey, SecretKey};
use crate::{Digest, Error};

/// Signs for one key. What comes back is believed only once the public key has verified it; see
/// [`Signature::sign`](super::Signature::sign).
pub trait Signer: fmt::Debug + Send + Sync {
    /// The key that it signs for.
    fn public(&self) -> &PublicKey;

    /// What to call it in messages: a program, or a key.
    fn name(&self) -> String;

    /// Signs a document with this SHA-256: ECDSA P-256, in DER.
    ///
    /// # Errors
    /// [`Error::SignerFailed`], [`Error::SignerSilent`], [`Error::Interrupted`], or [`Error::BadKey`].
    fn sign_digest(&self, document: &Digest) -> Result<Vec<u8>, Error>;
}

impl Signer for SecretKey {
    fn public(&self) -> &PublicKey {
        self.public()
    }

    fn name(&self) -> String {
        format!("key {}", self.public().id().short())
    }

    fn sign_digest(&self, document: &Digest) -> Result<Vec<u8>, Error> {
        self.sign_digest(document)
    }
}
