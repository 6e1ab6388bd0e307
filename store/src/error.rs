//! What can be wrong with a store, or with what somebody wants of it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use sealift_archive::{
    ChannelName, Class, Code, Digest, Explain, Product, ReleaseName, RepositoryName, Sequence, Version,
    io_hint,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

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
    /// The journal of an activation cannot be read.
    #[error("`{}` cannot be gone on with: {why}", path.display())]
    BadJournal {
        /// The journal.
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
    #[error("{offered} was offered, but this appliance is for `{installed}`{}", and_active(active.as_deref()))]
    OtherProduct {
        /// What was offered.
        offered: Box<ReleaseName>,
        /// What is installed.
        installed: Product,
        /// What is active.
        active: Option<Box<ReleaseName>>,
    },
    /// Two different releases claim one sequence.
    #[error("{offered} was offered as {offered_digest}, but sequence {} is taken by {holder}: {stored}", offered.sequence)]
    SequenceTaken {
        /// What was offered.
        offered: Box<ReleaseName>,
        /// Its digest.
        offered_digest: Digest,
        /// The digest of what has this sequence here.
        stored: Digest,
        /// What that is.
        holder: String,
    },
    /// A release that is older than the active one.
    #[error("{offered} is below {active}, which is active")]
    BelowActive {
        /// What was offered.
        offered: Box<ReleaseName>,
        /// What is active.
        active: Box<ReleaseName>,
    },
    /// A release that is older than one that ran here before, where none is active.
    #[error("{offered} is below sequence {installed}, which was active here before; now nothing is")]
    BelowInstalled {
        /// What was offered.
        offered: Box<ReleaseName>,
        /// The highest sequence that was ever active.
        installed: Sequence,
    },
    /// A release that the vendor has withdrawn by raising the floor.
    #[error("{offered} is below the floor: releases below sequence {floor} are no longer allowed{}", and_active(active.as_deref()))]
    BelowFloor {
        /// What was offered.
        offered: Box<ReleaseName>,
        /// The lowest sequence that is allowed.
        floor: Sequence,
        /// What is active.
        active: Option<Box<ReleaseName>>,
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
        /// Those of them that are here and come after the active one.
        here: Vec<Version>,
        /// Of the releases on the way to it, those that are neither here nor offered.
        missing: BTreeSet<Version>,
    },
    /// A channel of another product than the installed one.
    #[error("channel `{name}` of `{product}` was offered, but this appliance is for `{installed}`{}", and_active(active.as_deref()))]
    OtherChannel {
        /// The channel.
        name: ChannelName,
        /// Its product.
        product: Product,
        /// What is installed.
        installed: Product,
        /// What is active.
        active: Option<Box<ReleaseName>>,
    },
    /// A channel that was believed in a later edition before.
    #[error("version {offered} of channel `{name}` was offered, but version {seen} was seen here before")]
    ChannelBehind {
        /// The channel.
        name: ChannelName,
        /// The version that was offered.
        offered: u64,
        /// The latest version that was believed.
        seen: u64,
    },
    /// Two different documents claim one version of a channel.
    #[error("version {version} of channel `{name}` was offered as {offered}, but it was seen here as {seen}")]
    ChannelTaken {
        /// The channel.
        name: ChannelName,
        /// The version.
        version: u64,
        /// Digest of what was offered.
        offered: Digest,
        /// Digest of what was believed.
        seen: Digest,
    },
    /// News that are no news any more, where fresh ones should be had.
    #[error("version {version} of channel `{name}` expired at {}{}{}", instant(*expired), since(*expired, *now), and_active(active.as_deref()))]
    ChannelExpired {
        /// The channel.
        name: ChannelName,
        /// Its version.
        version: u64,
        /// When it expired.
        expired: OffsetDateTime,
        /// What this machine's clock says. If that is earlier, it was later before.
        now: OffsetDateTime,
        /// What is active.
        active: Option<Box<ReleaseName>>,
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
    /// Something that stays cannot be read, so nobody can say what it needs.
    #[error("nothing can be removed, because `{}` cannot be read, and what it needs is not known: {why}", dir.display())]
    Unaccounted {
        /// Its directory.
        dir: PathBuf,
        /// Whether it is an unfinished import, and no release.
        is_import: bool,
        /// What is wrong with it.
        why: String,
    },
    /// There is too little room, and some can be made.
    #[error("{no_space}")]
    NoRoom {
        /// The archive's `NoSpace`.
        no_space: sealift_archive::Error,
        /// Bytes that a collection would free.
        collectable: u64,
        /// Bytes that would be missing then.
        still_missing: u64,
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

/// `; acme 1.4 (sequence 4) is active`
fn and_active(active: Option<&ReleaseName>) -> String {
    active.map_or_else(|| "; no release is active".to_owned(), |active| format!("; {active} is active"))
}

/// `2026-11-23T02:44:00Z`
fn instant(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}

/// What the clock says about something that has expired.
fn since(expired: OffsetDateTime, now: OffsetDateTime) -> String {
    if now < expired {
        format!("; this machine's clock says {}, and had passed that before", instant(now))
    } else {
        format!(", and now it is {}", instant(now))
    }
}

fn one_of<'a>(versions: impl IntoIterator<Item = &'a Version>) -> String {
    versions.into_iter().map(Version::as_str).collect::<Vec<_>>().join(" or ")
}

fn only_from(upgrade_from: &[Version], missing: &BTreeSet<Version>) -> String {
    if upgrade_from.is_empty() {
        return "it is only for an appliance that has no release yet".to_owned();
    }
    let only = format!("it can only follow {}", one_of(upgrade_from));
    if is_further_away(upgrade_from, missing) {
        format!("{only}, and on the way there {} is missing", one_of(missing))
    } else {
        only
    }
}

/// Whether more is missing than the step before.
fn is_further_away(upgrade_from: &[Version], missing: &BTreeSet<Version>) -> bool {
    !missing.is_empty() && !upgrade_from.iter().all(|version| missing.contains(version))
}

fn bad_journal(path: &Path) -> String {
    format!(
        "use the newest sealiftctl that was installed here; if it cannot read it either, move `{}` away and activate the \
         release again",
        path.display()
    )
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
            Self::BelowInstalled { .. } => 320,
            Self::OtherChannel { .. } => 321,
            Self::ChannelBehind { .. } => 322,
            Self::ChannelTaken { .. } => 323,
            Self::ChannelExpired { .. } => 324,
            // From when only `sealiftctl` read it.
            Self::BadJournal { .. } => 529,
            Self::HoldsNothing { .. } => 326,
            Self::Unaccounted { .. } => 370,
            Self::NoRoom { no_space: error, .. } | Self::Archive(error) => return error.code(),
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
            Self::NoRoom { no_space: error, .. } | Self::Archive(error) => error.class(),
            Self::Io(error) if error.kind() == io::ErrorKind::StorageFull => Class::NoSpace,
            Self::BadPointer { .. }
            | Self::Damaged { .. }
            | Self::BadJournal { .. }
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
            Self::BadJournal { path, .. } => bad_journal(path),
            Self::NoSuchRelease { .. } | Self::NoWayBack { .. } => {
                "`sealiftctl status` lists the releases that are here".into()
            }
            Self::Busy { holder, .. } if holder.can_be_ended() => {
                "wait until it is done, then try again; or end it (Ctrl-C; `systemctl stop sealift-mirror` for the mirror): what has \
                 come is kept, and it goes on there the next time"
                    .into()
            }
            Self::Busy { .. } => "wait until it is done, then try again".into(),
            Self::PinnedAlready { .. } => {
                "a pinned trust root is never replaced; for another vendor use another store".into()
            }
            Self::NotPinned { .. } => "pin the vendor's: `sealiftctl trust pin root.json`".into(),
            Self::OtherProduct { offered, installed, .. } => {
                format!("take a bundle of `{installed}`; `{}` goes to an appliance of its own", offered.product)
            }
            Self::SequenceTaken { .. } => {
                "do not use this bundle: ask the vendor why two releases have the same sequence".into()
            }
            Self::BelowActive { active, .. } => format!(
                "to go back to a release that ran here, run `sealiftctl rollback`; else take a bundle above sequence \
                 {}; the vendor can release older content again under such a sequence",
                active.sequence
            ),
            Self::BelowInstalled { installed, .. } => {
                format!("take a bundle of sequence {installed} or above, or activate a release that is here (`sealiftctl status`)")
            }
            Self::BelowFloor { floor, active: Some(active), .. } => {
                format!("ask the vendor for a release of sequence {floor} or above that can follow {}", active.version)
            }
            Self::BelowFloor { floor, .. } => {
                format!("ask the vendor for a release of sequence {floor} or above")
            }
            Self::NoPath { active, upgrade_from, .. } if upgrade_from.is_empty() => {
                format!("ask the vendor for a release that can follow {}", active.version)
            }
            Self::NoPath { offered, upgrade_from, missing, .. } if is_further_away(upgrade_from, missing) => format!(
                "import and activate {} first, and what follows it up to {}; or ask the vendor for a bundle that has all of them",
                one_of(missing),
                offered.version
            ),
            Self::NoPath { offered, here, .. } if !here.is_empty() => {
                format!("activate {} first, which is here; then {}", one_of(here), offered.version)
            }
            Self::NoPath { offered, active, upgrade_from, .. } => format!(
                "import and activate {} first, then {}; if that cannot follow {} either, ask the vendor for what comes between",
                one_of(upgrade_from),
                offered.version,
                active.version
            ),
            Self::OtherChannel { installed, .. } => {
                format!("set the address of the vendor's channel of `{installed}`")
            }
            Self::ChannelBehind { .. } => {
                "whoever serves it is behind, or holds back news: try again later, then ask the vendor".into()
            }
            Self::ChannelTaken { .. } => {
                "do not follow it: ask the vendor why one version says two things".into()
            }
            Self::ChannelExpired { .. } => {
                "check this machine's clock and its way to the vendor, and ask the vendor for the next edition of the channel; it is \
                 believed whatever the clock said meanwhile; an appliance that is meant to be offline has no `mirror` in its configuration"
                    .into()
            }
            Self::Failed { .. } | Self::Incomplete { .. } | Self::ActiveUnreadable { .. } => {
                "import the release again: it brings back only what is missing".into()
            }
            Self::HoldsNothing { .. } => "import a release: `sealiftctl import BUNDLE`".into(),
            Self::NoGit { .. } => "install the package `git`; it must be on the PATH".into(),
            Self::Git { .. } => "ask the vendor for a new bundle, and show this message".into(),
            Self::Unaccounted { is_import: true, .. } => {
                "import its release again, which mends it; or `sealiftctl gc --unfinished`, which gives it up".into()
            }
            Self::Unaccounted { .. } => {
                "`sealiftctl verify --repair BUNDLE` mends it from the archive that it came from".into()
            }
            Self::NoRoom { collectable, still_missing: 0, .. } => {
                format!("`sealiftctl gc` frees {collectable} bytes, which is enough")
            }
            Self::NoRoom { collectable, still_missing, .. } => {
                format!("`sealiftctl gc` frees {collectable} bytes; {still_missing} more are needed")
            }
            Self::Archive(error) => return error.hint(),
            Self::Io(error) => return io_hint(error),
        })
    }
}
