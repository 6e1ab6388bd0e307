//! What can be wrong with keys and with a vendor's trust folder.

use std::path::PathBuf;

use sealift_archive::{Class, Code, Explain};

/// Why nothing was signed, or why there is no next version of a trust root.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A public key, and nobody who signs for it.
    #[error("`{}` is a public key, and no program is named that signs for it", file.display())]
    NoSigner {
        /// The key file.
        file: PathBuf,
    },
    /// Nothing was named to sign with.
    #[error("no key is named to sign `{}` with", dir.display())]
    NoKey {
        /// What was to be signed.
        dir: PathBuf,
    },
    /// A version of the trust root is still waiting for signatures.
    #[error("`{}` is still a draft", file.display())]
    DraftThere {
        /// The trust folder.
        dir: PathBuf,
        /// The draft.
        file: PathBuf,
    },
    /// A trust root of which no version counts yet.
    #[error("no version of the trust root in `{}` is signed by enough root keys yet", dir.display())]
    NothingSigned {
        /// The trust folder.
        dir: PathBuf,
    },
    /// A trust folder without a draft.
    #[error("nothing waits for signatures in `{}`: version {version} is the newest", dir.display())]
    NothingToSign {
        /// The trust folder.
        dir: PathBuf,
        /// The newest version.
        version: u64,
    },
    /// A next version that would say the same.
    #[error("nothing would be different from trust root version {version}")]
    NothingChanges {
        /// The newest version.
        version: u64,
    },
    /// A key that the trust root does not know, or not in this role.
    #[error("trust root version {version} has no key `{key}` with such a role")]
    NoSuchKey {
        /// As it was written.
        key: String,
        /// The newest version.
        version: u64,
    },
    /// A version that is not one of this chain.
    #[error("`{}` does not belong to the chain of `{}`", file.display(), newest.display())]
    StrayRoot {
        /// The version.
        file: PathBuf,
        /// The newest one that counts.
        newest: PathBuf,
    },
    /// A folder in which nothing signed was found.
    #[error("`{}` holds neither an archive nor a statement", dir.display())]
    NothingKnown {
        /// The folder.
        dir: PathBuf,
    },
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::NoSigner { .. } => 480,
            Self::NoKey { .. } => 481,
            Self::DraftThere { .. } => 482,
            Self::NothingSigned { .. } => 483,
            Self::NothingToSign { .. } => 484,
            Self::NothingChanges { .. } => 485,
            Self::NoSuchKey { .. } => 486,
            Self::StrayRoot { .. } => 487,
            Self::NothingKnown { .. } => 488,
        })
    }

    fn class(&self) -> Class {
        Class::Usage
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoSigner { .. } => {
                "name the private key, or a program that signs for this one with `--signer`".into()
            }
            Self::NoKey { .. } => "name one with `--key`".into(),
            Self::DraftThere { dir, file } => format!(
                "have it signed with `sealift sign {}`, or remove `{}` and begin again",
                dir.display(),
                file.display()
            ),
            Self::NothingSigned { dir } => format!(
                "`sealift trust show {0}` says whose signature is needed, `sealift sign {0}` adds one",
                dir.display()
            ),
            Self::NothingToSign { .. } => {
                "`sealift trust rotate` and `revoke` make the next version; a folder with a statement holds `release.json`".into()
            }
            Self::NothingChanges { .. } => "say what is to change: `--add`, `--remove`, `--threshold`".into(),
            Self::NoSuchKey { .. } => {
                "`sealift trust show` lists the keys; 8 characters of a name are enough, if no other begins so".into()
            }
            Self::StrayRoot { .. } => {
                "put the files of this trust folder back as they were, or take the stray one away".into()
            }
            Self::NothingKnown { .. } => return None,
        })
    }
}
