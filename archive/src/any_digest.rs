//! Digests as others write them: SHA-256, which is also our own name of content, or SHA-512, which is only another name
//! for it (OCI image spec, descriptor.md, "Registered algorithms").
//!
//! Everything is kept, listed and signed under SHA-256. Content that a manifest names by SHA-512 has an alias in
//! `refs.json`, under which the registry answers for it too.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::{Digest, Error};

const SHA512_PREFIX: &str = "sha512:";
/// Length of a SHA-512 digest in bytes.
const SHA512_BYTES: usize = 64;

/// A SHA-512 digest, written `sha512:<128 lower-case hex>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha512([u8; SHA512_BYTES]);

/// A digest of one of the two kinds that the OCI specifications register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AnyDigest {
    /// Our own kind.
    Sha256(Digest),
    /// The other kind.
    Sha512(Sha512),
}

/// Hashes bytes as they pass, for content that is named by a digest of either kind.
#[derive(Clone, Debug)]
pub enum AnyHash {
    /// For content named by SHA-256.
    Sha256(sha2::Sha256),
    /// For content named by SHA-512.
    Sha512(sha2::Sha512),
}

impl Sha512 {
    /// The digest of bytes in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha512::digest(bytes).into())
    }
}

impl AnyDigest {
    /// Our own name, if it is of that kind.
    #[must_use]
    pub const fn sha256(self) -> Option<Digest> {
        match self {
            Self::Sha256(digest) => Some(digest),
            Self::Sha512(_) => None,
        }
    }

    /// The digest of the same kind of bytes in memory.
    #[must_use]
    pub fn same_kind_of(self, bytes: &[u8]) -> Self {
        match self {
            Self::Sha256(_) => Self::Sha256(Digest::of(bytes)),
            Self::Sha512(_) => Self::Sha512(Sha512::of(bytes)),
        }
    }

    /// Hashes content that should have this digest.
    #[must_use]
    pub fn hash(self) -> AnyHash {
        match self {
            Self::Sha256(_) => AnyHash::Sha256(sha2::Sha256::new()),
            Self::Sha512(_) => AnyHash::Sha512(sha2::Sha512::new()),
        }
    }
}

impl AnyHash {
    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    /// The digest of what has passed.
    #[must_use]
    pub fn finish(self) -> AnyDigest {
        match self {
            Self::Sha256(hash) => AnyDigest::Sha256(Digest::from_raw(hash.finalize().into())),
            Self::Sha512(hash) => AnyDigest::Sha512(Sha512(hash.finalize().into())),
        }
    }
}

impl From<Digest> for AnyDigest {
    fn from(digest: Digest) -> Self {
        Self::Sha256(digest)
    }
}

impl From<Sha512> for AnyDigest {
    fn from(digest: Sha512) -> Self {
        Self::Sha512(digest)
    }
}

impl FromStr for Sha512 {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || Error::NotADigest(text.to_owned());
        let hex = text.strip_prefix(SHA512_PREFIX).ok_or_else(refuse)?;
        // hex::decode would take upper case, and two spellings of one digest are two names.
        if hex.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(refuse());
        }
        let mut bytes = [0; SHA512_BYTES];
        hex::decode_to_slice(hex, &mut bytes).map_err(|_| refuse())?;
        Ok(Self(bytes))
    }
}

impl FromStr for AnyDigest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.starts_with(SHA512_PREFIX) {
            Ok(Self::Sha512(text.parse()?))
        } else {
            Ok(Self::Sha256(text.parse()?))
        }
    }
}

impl fmt::Display for Sha512 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SHA512_PREFIX}{}", hex::encode(self.0))
    }
}

impl fmt::Display for AnyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digest) => fmt::Display::fmt(digest, f),
            Self::Sha512(digest) => fmt::Display::fmt(digest, f),
        }
    }
}

macro_rules! text {
    ($type:ty) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl TryFrom<String> for $type {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(digest: $type) -> Self {
                digest.to_string()
            }
        }
    };
}

text!(Sha512);
text!(AnyDigest);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read_as_they_are_written() {
        let long = format!("sha512:{}", "0a".repeat(SHA512_BYTES));
        let short = format!("sha256:{}", "0a".repeat(32));
        for text in [&long, &short] {
            assert_eq!(text.parse::<AnyDigest>().unwrap().to_string(), *text);
        }
        assert_eq!(short.parse::<AnyDigest>().unwrap().sha256(), Some(short.parse().unwrap()));
        assert_eq!(long.parse::<AnyDigest>().unwrap().sha256(), None);
        for wrong in ["", "sha512:", "md5:00", &long.to_uppercase(), &long.replace("0a", "0A"), &long[..134]]
        {
            assert!(wrong.parse::<AnyDigest>().is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn content_is_hashed_as_its_name_wants() {
        for name in [AnyDigest::from(Digest::of(b"hello")), AnyDigest::from(Sha512::of(b"hello"))] {
            let mut hash = name.hash();
            hash.update(b"hel");
            hash.update(b"lo");
            assert_eq!((hash.finish(), name.same_kind_of(b"hello")), (name, name));
            assert_ne!(name.same_kind_of(b"hellO"), name);
        }
    }
}
