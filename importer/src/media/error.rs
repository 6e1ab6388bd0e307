//! Why a stick was not taken.

use sealift_archive::{Class, Code, Digest, Explain};
use sealift_store::Subject;

use super::{MAX_DIGITS, MIN_DIGITS, Prefix};

/// Why a stick was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No stick that is there offers such a release.
    #[error("no stick offers a release whose digest begins with `{prefix}`")]
    NoSuchOffer {
        /// As it was written.
        prefix: Prefix,
    },
    /// Something else than the beginning of a digest.
    #[error(
        "`{text}` is not the beginning of a release's digest: {MIN_DIGITS} to {MAX_DIGITS} hexadecimal digits"
    )]
    NotAPrefix {
        /// As it was written.
        text: String,
    },
    /// More than one stick could be meant.
    #[error("`{prefix}` is offered by {} sticks: {}", sticks.len(), sticks.join(", "))]
    SeveralOffers {
        /// As it was written.
        prefix: Prefix,
        /// The names of the sticks.
        sticks: Vec<String>,
    },
    /// What is on a stick now is not what was confirmed.
    #[error("`{place}` brings {} with digest {}, and not {confirmed}, which was confirmed", found.name(), found.digest)]
    Changed {
        /// Where it was read.
        place: String,
        /// What was confirmed.
        confirmed: Digest,
        /// What is there.
        found: Box<Subject>,
    },
    /// A device or a path that cannot be written down.
    #[error("`{name}` cannot name a stick: {why}")]
    BadName {
        /// As it was written.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The offer has been dealt with.
    #[error("{stick} does not wait to be confirmed; it is {state}")]
    NotWaiting {
        /// The stick's name.
        stick: String,
        /// What has become of its offer.
        state: String,
    },
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::NoSuchOffer { .. } => 570,
            Self::NotAPrefix { .. } => 571,
            Self::SeveralOffers { .. } => 572,
            Self::Changed { .. } => 573,
            Self::BadName { .. } => 574,
            Self::NotWaiting { .. } => 575,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Changed { .. } => Class::Refused,
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoSuchOffer { .. } | Self::NotAPrefix { .. } => {
                "`sealiftctl media list` shows what sticks offer, and the digests"
            }
            Self::SeveralOffers { .. } => "leave one of them plugged in, or write more of the digest",
            Self::Changed { .. } => {
                "the stick was changed after it was looked at: find out by whom; `sealiftctl media offer` looks again"
            }
            Self::BadName { .. } => "name it with `--device`: `--device sda1`",
            Self::NotWaiting { .. } => {
                "`sealiftctl status` says what is here; `sealiftctl media offer` looks again"
            }
        };
        Some(hint.to_owned())
    }
}
