//! What can be wrong with the other releases that a bundle is made with: those that travel along, and those it builds on.

use std::path::PathBuf;

use sealift_archive::trust::KeyId;
use sealift_archive::{Class, Code, Digest, Explain, ReleaseName, age};

/// Why releases cannot be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Content of an older release is in none of the bundles that were named.
    #[error(
        "{release} cannot travel along: {blobs} of its blobs ({bytes} bytes) are in none of the bundles given"
    )]
    NotAtHand {
        /// The older release.
        release: Box<ReleaseName>,
        /// How many blobs are missing.
        blobs: usize,
        /// Their bytes.
        bytes: u64,
        /// The releases that they are content of.
        needs: Vec<ReleaseName>,
    },
    /// Too few of those who may sign today have signed an older release.
    #[error(
        "{release} has {have} of the {need} signatures that it needs today; its statement is {statement}"
    )]
    SignAgain {
        /// The older release.
        release: Box<ReleaseName>,
        /// Digest of its statement.
        statement: Digest,
        /// Signatures that are good today.
        have: usize,
        /// How many there must be.
        need: usize,
        /// Keys that would count.
        keys: Vec<KeyId>,
    },
    /// A release that is to travel along and is no earlier one of the same product.
    #[error("{other} cannot travel along with {release}: {why}")]
    NotOlder {
        /// The release that is bundled.
        release: Box<ReleaseName>,
        /// The one that is to travel along.
        other: Box<ReleaseName>,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// Something that a delta cannot build on.
    #[error("nothing can be left out for `{base}`: {why}")]
    BadBase {
        /// The base.
        base: String,
        /// What is wrong with it.
        why: String,
        /// What helps.
        hint: &'static str,
    },
    /// An encrypted receipt, and no key.
    #[error("`{}` is encrypted, and no key is named", receipt.display())]
    NoIdentity {
        /// The receipt.
        receipt: PathBuf,
    },
    /// A file that should hold keys of age.
    #[error("`{}` is no file with keys of age: {why}", file.display())]
    BadIdentity {
        /// The file.
        file: PathBuf,
        /// What is wrong with it; nothing of what is in it.
        why: String,
    },
    /// A receipt that does not open.
    #[error("`{}` cannot be decrypted with `{}`: {error}", receipt.display(), identity.display())]
    NotDecrypted {
        /// The receipt.
        receipt: PathBuf,
        /// The file with keys.
        identity: PathBuf,
        /// What is wrong.
        error: age::Error,
    },
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::NotAtHand { .. } => 490,
            Self::SignAgain { .. } => 491,
            Self::NotOlder { .. } => 492,
            Self::BadBase { .. } => 493,
            Self::NoIdentity { .. } | Self::BadIdentity { .. } => 442,
            Self::NotDecrypted { .. } => 470,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::SignAgain { .. } | Self::NotDecrypted { .. } => Class::Refused,
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotAtHand { needs, .. } if needs.is_empty() => {
                "name the bundles that have it with `--with` or `--previous`".into()
            }
            Self::NotAtHand { needs, .. } => {
                let names: Vec<String> = needs.iter().map(ToString::to_string).collect();
                format!(
                    "its bundle is a delta: name that of {} too, with `--with` or `--previous`, or leave its content out \
                     with `--base`",
                    names.join(" and ")
                )
            }
            Self::SignAgain { keys, .. } => {
                let keys: Vec<String> = keys.iter().map(KeyId::short).collect();
                format!(
                    "have its statement signed again (what counts is: {}): `sealift export BUNDLE --format statement -o \
                     DIR`, `sealift sign DIR --key KEY`; then name the folder with `--known DIR`",
                    keys.join(", ")
                )
            }
            Self::NotOlder { .. } => "name bundles of earlier releases only".into(),
            Self::BadBase { hint, .. } => (*hint).into(),
            Self::NoIdentity { .. } => {
                "name the file that `age-keygen` wrote with `--identity`, or in SEALIFT_AGE_IDENTITY".into()
            }
            Self::BadIdentity { .. } => {
                "give a file as `age-keygen -o FILE` writes it; one with a password is decrypted first: `age -d FILE`".into()
            }
            Self::NotDecrypted { error: age::Error::OtherKeys, .. } => {
                "the appliance's configuration says for which key it encrypts (`receipt.recipient`); `age-keygen -y FILE` \
                 prints that of yours"
                    .into()
            }
            Self::NotDecrypted { error: age::Error::Armored, .. } => {
                "decrypt it with `age -d -i FILE`, and give what comes out".into()
            }
            Self::NotDecrypted { .. } => "ask for it again: `sealiftctl receipt -o FILE` writes it anew".into(),
        })
    }
}
