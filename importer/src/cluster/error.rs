//! What can go wrong between the nodes.

use sealift_archive::release::CurrentRelease;
use sealift_archive::{Class, Code, Explain};

use super::record::NodeName;

/// Why the nodes do not do what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This appliance is alone.
    #[error("this appliance is no node of a cluster")]
    NotConfigured,
    /// What is written in Kubernetes is not what should be there.
    #[error("the object `{name}` in Kubernetes is not what a node has written: {why}")]
    Object {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A run has to come to its end first.
    #[error("the nodes are on the way to {} (run {run}), so nothing else can be begun", named(release))]
    UnderWay {
        /// The run.
        run: u64,
        /// Where it leads.
        release: Box<CurrentRelease>,
    },
    /// Somebody else wrote first.
    #[error("something else was agreed on in the same moment")]
    Outdated,
    /// A run came to nothing.
    #[error("the nodes did not activate {}: {reason}", named(release))]
    GaveUp {
        /// The release.
        release: Box<CurrentRelease>,
        /// Why.
        reason: String,
    },
    /// All nodes switch together, and not because one of them was told to import something.
    #[error("on a node of a cluster, a release is staged first, and activated on all nodes then")]
    OneAlone,
    /// A step on the way that the nodes have not agreed on.
    #[error("{wanted} would have to run in between, and the nodes have not agreed on that")]
    NotAgreed {
        /// The release.
        wanted: String,
    },
    /// A later release runs here than was ever agreed on.
    #[error("{} runs here, which is later than what the nodes have agreed on", named(active))]
    Ahead {
        /// What runs.
        active: Box<CurrentRelease>,
    },
    /// Going back would cost what nobody has agreed to lose.
    #[error(
        "going back to {} is behind the point of no return here, and nobody has asked for it",
        named(release)
    )]
    NotAskedFor {
        /// The release.
        release: Box<CurrentRelease>,
    },
    /// A run stands still behind a point of no return.
    #[error("the nodes have stopped on the way to {}: {reason}", named(release))]
    Stopped {
        /// The release.
        release: Box<CurrentRelease>,
        /// Why.
        reason: String,
    },
    /// Two machines pose as one node.
    #[error("another machine reports as node `{name}`, too")]
    Twin {
        /// Their name.
        name: NodeName,
    },
    /// There is no such node.
    #[error("no node called `{name}` has ever said that it is there")]
    UnknownNode {
        /// The name.
        name: NodeName,
    },
    /// A node that is not gone.
    #[error("node `{name}` is there: it has just said so")]
    NodeLives {
        /// Its name.
        name: NodeName,
    },
}

/// `1.5 (sequence 5)`
fn named(release: &CurrentRelease) -> String {
    format!("{} (sequence {})", release.version, release.sequence)
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::NotConfigured => 583,
            Self::Object { .. } => 584,
            Self::UnderWay { .. } => 585,
            Self::Outdated => 586,
            Self::GaveUp { .. } => 587,
            Self::OneAlone => 588,
            Self::UnknownNode { .. } => 589,
            Self::NodeLives { .. } => 590,
            Self::NotAgreed { .. } => 591,
            Self::Ahead { .. } => 592,
            Self::NotAskedFor { .. } => 594,
            Self::Stopped { .. } => 595,
            Self::Twin { .. } => 596,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::NotConfigured | Self::OneAlone | Self::UnknownNode { .. } => Class::Usage,
            Self::UnderWay { .. } | Self::Outdated => Class::Busy,
            Self::Object { .. } | Self::GaveUp { .. } | Self::Stopped { .. } => Class::Failed,
            Self::NodeLives { .. }
            | Self::NotAgreed { .. }
            | Self::Ahead { .. }
            | Self::NotAskedFor { .. }
            | Self::Twin { .. } => Class::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotConfigured => "`cluster` in /etc/sealift/appliance.yaml makes it one; `docs/operator.md` shows all keys".into(),
            Self::Object { .. } => "see who changed it (`kubectl get --show-managed-fields`); once it is removed, the nodes write it again".into(),
            Self::UnderWay { .. } => "`sealiftctl cluster status` says how far it is; `sealiftctl rollback` gives it up, and a way back ends by `sealiftctl activate` of what is left".into(),
            Self::NotAgreed { .. } => "remove this node (`sealiftctl cluster remove`), empty its store, and let it join".into(),
            Self::Ahead { .. } => "`sealiftctl activate` of that release on this node lets all nodes have it; or empty its store, and let it join".into(),
            Self::NotAskedFor { .. } => "`sealiftctl rollback` on any node says what it means for data, and with `--yes` lets this one go back".into(),
            Self::Stopped { release, .. } => {
                let version = &release.version;
                format!("mend that, and `sealiftctl activate {version}` tries again; `sealiftctl rollback` goes back on all nodes, and says what that means for data")
            }
            Self::Twin { .. } => "give each machine a name of its own (`cluster.node`), and restart sealift-cluster.service there".into(),
            Self::Outdated => "see what it is, `sealiftctl cluster status`, and run the command again".into(),
            Self::GaveUp { .. } => "mend that, and activate it again; what ran before runs".into(),
            Self::OneAlone => "leave `--activate` and `mirror.activate` out; then `sealiftctl activate VERSION` on one of the nodes".into(),
            Self::UnknownNode { .. } => "`sealiftctl cluster status` lists all nodes".into(),
            Self::NodeLives { .. } => "stop sealift-cluster.service there first; a node that is only away needs not to be removed".into(),
        })
    }
}
