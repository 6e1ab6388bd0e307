//! Why k3s is not as it was asked for.

use std::path::PathBuf;

use indicatif::DecimalBytes;
use sealift_archive::{Class, Code, Explain, Sequence};

use super::{Version, What};

/// What went wrong with k3s.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration has no section `k3s`.
    #[error("k3s is not configured here")]
    NotConfigured,
    /// Nothing was installed by us.
    #[error("k3s was not installed here by Sealift")]
    NotInstalled,
    /// A release without k3s, or without one for this kind of machine.
    #[error("the release with sequence {release} brings no {what}")]
    NotBrought {
        /// The release.
        release: Sequence,
        /// What is missing.
        what: String,
    },
    /// No release is here.
    #[error("no release is here that k3s could be installed from")]
    NoRelease,
    /// A version that is none.
    #[error("{place}: {why}")]
    BadVersion {
        /// Who says so.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// The version asked for is below the one that is here.
    #[error("k3s {here} is here, and {wanted} is earlier")]
    Earlier {
        /// The version that is here.
        here: Version,
        /// The one that was asked for.
        wanted: Version,
    },
    /// A minor version would be left out.
    #[error("k3s {here} is here, and {wanted} is more than one minor version later")]
    Skips {
        /// The version that is here.
        here: Version,
        /// The one that was asked for.
        wanted: Version,
    },
    /// etcd has to be newer first, or does not say what it is.
    #[error("from k3s {here} to {wanted} etcd has to be 3.5.26 or later, and {found}")]
    Etcd {
        /// The version that is here.
        here: Version,
        /// The one that was asked for.
        wanted: Version,
        /// What etcd says.
        found: String,
    },
    /// No room for what an upgrade keeps.
    #[error("`{}` has {} free, and {} are needed for k3s, the one before it and snapshots", dir.display(), DecimalBytes(*free), DecimalBytes(*needed))]
    NoRoom {
        /// Where.
        dir: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// The node is not well before anything has changed.
    #[error("node {node} is not well, so nothing was changed: {why}")]
    NotWell {
        /// The node.
        node: String,
        /// What it lacks.
        why: String,
    },
    /// k3s did not become ready.
    #[error("k3s {version} on node {node} is not ready {within} after its start: {why}")]
    NotReady {
        /// The version.
        version: Version,
        /// The node.
        node: String,
        /// How long was waited.
        within: String,
        /// What it lacks.
        why: String,
    },
    /// A program failed.
    #[error("{what}: {why}")]
    Step {
        /// What was to be done.
        what: String,
        /// What it said.
        why: String,
    },
    /// No token, or none that can be used.
    #[error("the token `{}` {why}", file.display())]
    Token {
        /// Its file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Nothing was written down that leads back there.
    #[error("there is no way back to k3s {wanted}: no upgrade from it was written down on this node")]
    NoWayBack {
        /// Where it was to go.
        wanted: Version,
    },
    /// Something else has to come to its end.
    #[error("{what} to k3s {version} is under way")]
    UnderWay {
        /// What.
        what: What,
        /// Where it goes.
        version: Version,
    },
    /// Another process is at work.
    #[error("somebody else is at work on k3s, or a program that was started before still is (`{}` is locked)", lock.display())]
    Busy {
        /// The lock.
        lock: PathBuf,
    },
    /// Nothing of a store is installed whose owner is not believed.
    #[error("k3s is not installed from this store: {why}")]
    NotBelieved {
        /// Why not.
        why: String,
    },
    /// A file of ours that cannot be read.
    #[error("`{}` is not what was written there: {why}", file.display())]
    State {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The program that is there is not the one that was installed.
    #[error("`{}` is not the k3s {version} that was installed here", file.display())]
    NotOurs {
        /// The program.
        file: PathBuf,
        /// What it should be.
        version: Version,
    },
    /// A snapshot that is none.
    #[error("the snapshot `{}` {why}", place.display())]
    Snapshot {
        /// Where it is.
        place: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl Error {
    /// Whether a release simply brings no k3s, and so has nothing to say about it.
    pub(super) fn is_no_k3s(&self) -> bool {
        matches!(self, Self::NotBrought { what, .. } if what == "k3s")
    }
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::NotConfigured => 740,
            Self::NotInstalled => 741,
            Self::NotBrought { .. } => 742,
            Self::BadVersion { .. } => 743,
            Self::Earlier { .. } => 744,
            Self::Skips { .. } => 745,
            Self::Etcd { .. } => 746,
            Self::NoRoom { .. } => 747,
            Self::NotWell { .. } => 748,
            Self::NotReady { .. } => 749,
            Self::Step { .. } => 750,
            Self::Token { .. } => 751,
            Self::NoWayBack { .. } => 752,
            Self::UnderWay { .. } => 753,
            Self::Busy { .. } => 754,
            Self::NotBelieved { .. } => 755,
            Self::State { .. } => 756,
            Self::NotOurs { .. } => 757,
            Self::Snapshot { .. } => 758,
            Self::NoRelease => 759,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::NotConfigured | Self::NotInstalled | Self::NoRelease => Class::Usage,
            Self::NotBrought { .. }
            | Self::BadVersion { .. }
            | Self::Earlier { .. }
            | Self::Skips { .. }
            | Self::Etcd { .. }
            | Self::NoWayBack { .. }
            | Self::NotBelieved { .. }
            | Self::NotOurs { .. }
            | Self::NotWell { .. } => Class::Refused,
            Self::NoRoom { .. } => Class::NoSpace,
            Self::UnderWay { .. } | Self::Busy { .. } => Class::Busy,
            Self::NotReady { .. }
            | Self::Step { .. }
            | Self::Token { .. }
            | Self::State { .. }
            | Self::Snapshot { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotConfigured => "write the section `k3s` into /etc/sealift/appliance.yaml; `docs/operator.md` shows it".to_owned(),
            Self::NotInstalled => "`sealiftctl k3s install`".to_owned(),
            Self::NoRelease => "import one: `sealiftctl import BUNDLE`".to_owned(),
            Self::NotBrought { .. } | Self::BadVersion { .. } => "ask the vendor".to_owned(),
            Self::Earlier { .. } => "back leads only `sealiftctl rollback`, to a release that ran here".to_owned(),
            Self::Skips { .. } => "take the releases between, one after the other".to_owned(),
            Self::Etcd { .. } => "take a release with a later patch of the same minor version first".to_owned(),
            Self::NoRoom { .. } => "`sealiftctl gc --plan` says what can go".to_owned(),
            Self::NotWell { .. } => {
                "`sealiftctl k3s status` and `journalctl -u k3s` say more; mend that, and run the same command again".to_owned()
            }
            Self::NotReady { .. } | Self::Step { .. } => {
                "`journalctl -u k3s` says more; mend that and run the same command again, it goes on there".to_owned()
            }
            Self::Token { .. } => "it is that of the cluster: /var/lib/rancher/k3s/server/token on a server that runs".to_owned(),
            Self::UnderWay { what: What::Install, .. } => "run `sealiftctl k3s install` again, it goes on there".to_owned(),
            Self::UnderWay { what: What::Upgrade, .. } => {
                "go on with `sealiftctl k3s upgrade` to that release, or back with `sealiftctl k3s downgrade`".to_owned()
            }
            Self::UnderWay { what: What::Downgrade, .. } => {
                "run `sealiftctl k3s downgrade` to that release again, it goes on there".to_owned()
            }
            Self::Busy { .. } => "wait until it is done, and run the same command again".to_owned(),
            Self::NoWayBack { .. } | Self::NotBelieved { .. } => return None,
            Self::State { .. } | Self::Snapshot { .. } => {
                "look at it; what is damaged on the data disk does not come back by itself".to_owned()
            }
            Self::NotOurs { .. } => "`sealiftctl k3s install` puts it back".to_owned(),
        })
    }
}
