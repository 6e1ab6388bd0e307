//! Keys as `age-keygen` writes them: `age1…` for whom to encrypt, `AGE-SECRET-KEY-1…` to decrypt with.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use serde::{Deserialize, Serialize};

use super::KEY_LEN;

const RECIPIENT_PREFIX: &str = "age";
const IDENTITY_PREFIX: &str = "age-secret-key-";
/// What keys look like that resist quantum computers, and that are not read here.
const POST_QUANTUM_PREFIX: &str = "age1pq1";
/// Most keys of an identity file that are tried.
pub const MAX_IDENTITIES: usize = 32;
/// Largest identity file, in bytes.
pub const MAX_IDENTITY_FILE_BYTES: usize = 64 << 10;

/// Why a key was not taken. What was written is not repeated: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Something else.
    #[error("it is no public key of age: `age1` and 58 characters, as `age-keygen -y` prints it")]
    Recipient,
    /// A secret key in the place of a public one.
    #[error("it is a secret key; give the public one, which `age-keygen -y` prints, and make a new pair")]
    Secret,
    /// A key of a newer kind.
    #[error("it is a post-quantum key, and only X25519 (`age1` and 58 characters) is known here")]
    PostQuantum,
    /// A line of an identity file that is neither a key nor a comment.
    #[error("line {line} is no X25519 key of age (`AGE-SECRET-KEY-1…`)")]
    Identity {
        /// Its number, from 1.
        line: usize,
    },
    /// A file that is itself encrypted, or armored.
    #[error("it is encrypted itself")]
    Encrypted,
    /// An identity file without a key.
    #[error("there is no key in it")]
    NoIdentity,
    /// An identity file that is no such file.
    #[error("it has more than {MAX_IDENTITIES} keys")]
    TooMany,
}

/// Whom to encrypt for: an X25519 public key, written `age1…`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Recipient([u8; KEY_LEN]);

impl Recipient {
    pub(super) fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// A fresh share and the secret that it makes with this key; none if the key is of the few that agree on zero.
    pub(super) fn agree(&self) -> Option<([u8; KEY_LEN], Vec<u8>)> {
        let secret = PrivateKey::generate(&X25519).ok()?;
        let share = secret.compute_public_key().ok()?.as_ref().try_into().ok()?;
        Some((share, agree_with(&secret, &self.0)?))
    }
}

impl FromStr for Recipient {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let lower = text.to_ascii_lowercase();
        if lower.starts_with(IDENTITY_PREFIX) {
            return Err(KeyError::Secret);
        }
        if lower.starts_with(POST_QUANTUM_PREFIX) {
            return Err(KeyError::PostQuantum);
        }
        let recipient = Self(decode(RECIPIENT_PREFIX, text).ok_or(KeyError::Recipient)?);
        // One key has one spelling: lower case, and no bits in the padding.
        if recipient.to_string() == text { Ok(recipient) } else { Err(KeyError::Recipient) }
    }
}

impl TryFrom<String> for Recipient {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<Recipient> for String {
    fn from(recipient: Recipient) -> Self {
        recipient.to_string()
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bech32::encode_lower_to_fmt::<Bech32, _>(f, Hrp::parse_unchecked(RECIPIENT_PREFIX), &self.0)
            .map_err(|_| fmt::Error)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A secret key to decrypt with. Its secret is never shown.
pub struct Identity {
    secret: PrivateKey,
    recipient: Recipient,
}

impl Identity {
    /// Reads an identity file: a key on each line, comments behind `#`.
    ///
    /// # Errors
    /// [`KeyError`]; it names lines, and never what is on them.
    pub fn parse_file(text: &str) -> Result<Vec<Self>, KeyError> {
        if super::is_sealed(text.as_bytes()) {
            return Err(KeyError::Encrypted);
        }
        let mut identities = Vec::new();
        for (number, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if identities.len() == MAX_IDENTITIES {
                return Err(KeyError::TooMany);
            }
            identities.push(Self::parse(line).ok_or(KeyError::Identity { line: number + 1 })?);
        }
        if identities.is_empty() { Err(KeyError::NoIdentity) } else { Ok(identities) }
    }

    fn parse(text: &str) -> Option<Self> {
        let secret = PrivateKey::from_private_key(&X25519, &decode(IDENTITY_PREFIX, text)?).ok()?;
        let recipient = Recipient(secret.compute_public_key().ok()?.as_ref().try_into().ok()?);
        Some(Self { secret, recipient })
    }

    /// Who encrypts for this key.
    #[must_use]
    pub fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    /// The secret that this key makes with a share; none for the few shares that agree on zero.
    pub(super) fn agree(&self, share: &[u8; KEY_LEN]) -> Option<Vec<u8>> {
        agree_with(&self.secret, share)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the secret key of {}", self.recipient)
    }
}

fn decode(prefix: &str, text: &str) -> Option<[u8; KEY_LEN]> {
    let checked = CheckedHrpstring::new::<Bech32>(text).ok()?;
    // The prefix is compared without its case, and the parser has seen to it that there is only one in the text.
    if checked.hrp() != Hrp::parse_unchecked(prefix) {
        return None;
    }
    checked.byte_iter().collect::<Vec<u8>>().try_into().ok()
}

fn agree_with(secret: &PrivateKey, public: &[u8; KEY_LEN]) -> Option<Vec<u8>> {
    let public = UnparsedPublicKey::new(&X25519, public);
    agree(secret, public, (), |shared| Ok(shared.to_vec())).ok()
}
