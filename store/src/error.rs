//! What can be wrong with a store, or with what somebody wants of it.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use sealift_archive::{
    Class, Code, Digest, Explain, Product, ReleaseName, RepositoryName, Sequence, Version,
};

use crate::lock::Holder;

/// Why the store could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory is missing or holds something else.
    #[error("`{}` is not a Sealift store: {why}", dir.display())]
    NotAStore {
        /// The directory.
        dir: PathBuf,
        /// What gave it away.
        why: String,
    },
    /// `current` does not lead to a release.
    #[error("`{}` leads to `{}`, which is not a release of this store", link.display(), target.display())]
    BadPointer {
        /// The link.
        link: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A file of the store is not what was written there.
    #[error("`{}` is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No release has this sequence.
    #[error("there is no release with sequence {sequence} in `{}`", store.display())]
    NoSuchRelease {
        /// The store.
        store: PathBuf,
        /// The sequence.
        sequence: Sequence,
    },
    /// Somebody else is changing the store.
    #[error("`{}` is being changed by {holder}", store.display())]
    Busy {
        /// The store.
        store: PathBuf,
        /// Who does it.
        holder: Holder,
    },
    /// A trust root is pinned already, and it is never replaced.
    #[error("`{}` has a trust root already: version {version}, {fingerprint}", store.display())]
    PinnedAlready {
        /// The store.
        store: PathBuf,
        /// Version of the pinned root.
        version: u64,
        /// Its fingerprint.
        fingerprint: Digest,
    },
    /// Nothing can be verified, because no trust root is pinned.
    #[error("`{}` has no trust root", store.display())]
    NotPinned {
        /// The store.
        store: PathBuf,
    },
    /// A trust root that followed from the pinned one is no longer what was kept.
    #[error("`{}` is damaged, so no release can be verified: {why}", path.display())]
    TrustDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A release of another product than the installed one.
    #[error("{offered} was offered, but `{installed}` is installed here")]
    OtherProduct {
        /// What was offered.
        offered: Box<ReleaseName>,
        /// What is installed.
        installed: Product,
    },
    /// Two different releases claim one sequence.
    #[error("{offered} was offered as {offered_digest}, but sequence {} is taken by {stored}", offered.sequence)]
    SequenceTaken {
        /// What was offered.
        offered: Box<ReleaseName>,
        /// Its digest.
        offered_digest: Digest,
        /// The digest of what has this sequence here.
        stored: Digest,
    },
    /// A release that is older than the active one.
    #[error("{offered} is below {active}, which is active")]
    BelowActive {
        /// What was offered.
        offered: Box<ReleaseName>,
        /// What is active.
        active: Box<ReleaseName>,
    },
    /// A release that the vendor has withdrawn by raising the floor.
    #[error("{offered} is below the floor: releases below sequence {floor} are no longer allowed")]
    BelowFloor {
        /// What was offered.
        offered: Box<ReleaseName>,
        /// The lowest sequence that is allowed.
        floor: Sequence,
    },
    /// The step from the active release to this one is not allowed.
    #[error("{offered} cannot follow {active}, which is active: {}", only_from(upgrade_from, missing))]
    NoPath {
        /// What was offered.
        offered: Box<ReleaseName>,
        /// What is active.
        active: Box<ReleaseName>,
        /// The versions that it can follow.
        upgrade_from: Vec<Version>,
        /// Of the releases on the way to it, those that are neither here nor offered.
        missing: BTreeSet<Version>,
    },
    /// The release is here, but it failed.
    #[error("{release} cannot be activated: {reason}")]
    Failed {
        /// The release.
        release: Box<ReleaseName>,
        /// What went wrong with it.
        reason: String,
    },
    /// Content of a release is not there.
    #[error("{release} is not complete: {missing}")]
    Incomplete {
        /// The release.
        release: Box<ReleaseName>,
        /// What is missing.
        missing: String,
    },
    /// There is no earlier release to go back to.
    #[error("there is nothing to roll back to: {why}")]
    NoWayBack {
        /// What is in the way.
        why: String,
    },
    /// Git could not be run.
    #[error("`git` could not be run")]
    NoGit {
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Git found the content of a repository wanting, or could not do its work.
    #[error("`git {command}` refused the repository `{repository}`: {message}")]
    Git {
        /// The repository.
        repository: RepositoryName,
        /// What Git was asked to do.
        command: &'static str,
        /// What it said.
        message: String,
    },
    /// The active release's statement is damaged, so nobody can say what may follow it.
    #[error("the active release, sequence {sequence}, cannot be read: {why}")]
    ActiveUnreadable {
        /// Its sequence.
        sequence: Sequence,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing of which a receipt could be written.
    #[error("`{}` holds no release that is complete", store.display())]
    HoldsNothing {
        /// The store.
        store: PathBuf,
    },
    /// What the archive library says of a document, of content, or of space.
    #[error(transparent)]
    Archive(#[from] sealift_archive::Error),
    /// Reading or writing failed; the message names the path.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Error {
    /// A file that is not what was written there.
    pub(crate) fn damaged(path: impl Into<PathBuf>, why: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), why: why.into() }
    }
}

fn only_from(upgrade_from: &[Version], missing: &BTreeSet<Version>) -> String {
    if upgrade_from.is_empty() {
        return "it is only for an appliance that has no release yet".to_owned();
    }
    let only = format!("it can only follow {}", either(upgrade_from));
    // What it cannot follow for want of an earlier one is said with that one.
    if missing.is_empty() || upgrade_from.iter().all(|version| missing.contains(version)) {
        only
    } else {
        format!("{only}, and on the way there {} is missing", either(missing))
    }
}

/// `1.4`, `1.4 or 1.5`
fn either<'a>(versions: impl IntoIterator<Item = &'a Version>) -> String {
    versions.into_iter().map(Version::as_str).collect::<Vec<_>>().join(" or ")
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::NotAStore { .. } => 301,
            Self::BadPointer { .. } => 302,
            Self::Damaged { .. } => 303,
            Self::NoSuchRelease { .. } => 304,
            Self::Busy { .. } => 305,
            Self::PinnedAlready { .. } => 306,
            Self::NotPinned { .. } => 307,
            Self::OtherProduct { .. } => 308,
            Self::SequenceTaken { .. } => 309,
            Self::BelowActive { .. } => 310,
            Self::BelowFloor { .. } => 311,
            Self::NoPath { .. } => 312,
            Self::Failed { .. } => 313,
            Self::Incomplete { .. } => 314,
            Self::NoWayBack { .. } => 315,
            Self::NoGit { .. } => 316,
            Self::Git { .. } => 317,
            Self::ActiveUnreadable { .. } => 318,
            Self::TrustDamaged { .. } => 319,
            Self::HoldsNothing { .. } => 326,
            Self::Archive(error) => return error.code(),
            Self::Io(_) => 399,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::NotAStore { .. }
            | Self::NoSuchRelease { .. }
            | Self::NotPinned { .. }
            | Self::HoldsNothing { .. } => Class::Usage,
            Self::Busy { .. } => Class::Busy,
            Self::Archive(error) => error.class(),
            Self::Io(error) if error.kind() == io::ErrorKind::StorageFull => Class::NoSpace,
            Self::BadPointer { .. }
            | Self::Damaged { .. }
            | Self::TrustDamaged { .. }
            | Self::NoGit { .. }
            | Self::ActiveUnreadable { .. }
            | Self::Io(_) => Class::Failed,
            _ => Class::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotAStore { .. } => {
                "name the store with `--store`; `sealiftctl trust pin root.json` makes a new one".into()
            }
            Self::BadPointer { .. } => "activate a release again: `sealiftctl activate VERSION`".into(),
            Self::Damaged { .. } => {
                "`sealiftctl verify` lists all damage; importing the release again brings back what is missing".into()
            }
            Self::TrustDamaged { .. } => {
                "put the folder `trust` back as it was, from a backup or from another node of this appliance".into()
            }
            Self::NoSuchRelease { .. } | Self::NoWayBack { .. } => {
                "`sealiftctl status` lists the releases that are here".into()
            }
            Self::Busy { .. } => "wait until it is done, then try again".into(),
            Self::PinnedAlready { .. } => {
                "a pinned trust root is never replaced; for another vendor use another store".into()
            }
            Self::NotPinned { .. } => "pin the vendor's: `sealiftctl trust pin root.json`".into(),
            Self::OtherProduct { .. } => "take the bundle of the product that is installed".into(),
            Self::SequenceTaken { .. } => {
                "do not use this bundle: ask the vendor why two releases have the same sequence".into()
            }
            Self::BelowActive { .. } => {
                "take a bundle of a later release; to go back to one that is here, run `sealiftctl rollback`".into()
            }
            Self::BelowFloor { .. } => "ask the vendor for a later release".into(),
            Self::NoPath { upgrade_from, .. } if upgrade_from.is_empty() => {
                "ask the vendor for a release that this one can step to".into()
            }
            Self::NoPath { upgrade_from, missing, .. } if missing.is_empty() => {
                format!("import and activate {} first", either(upgrade_from))
            }
            Self::NoPath { missing, .. } => format!("import and activate {} first", either(missing)),
            Self::Failed { .. } | Self::Incomplete { .. } | Self::ActiveUnreadable { .. } => {
                "import the release again: it brings back only what is missing".into()
            }
            Self::HoldsNothing { .. } => "import a release: `sealiftctl import BUNDLE`".into(),
            Self::NoGit { .. } => "install the package `git`; it must be on the PATH".into(),
            Self::Git { .. } => "ask the vendor for a new bundle, and show this message".into(),
            Self::Archive(error) => return error.hint(),
            Self::Io(_) => return None,
        })
    }
}
