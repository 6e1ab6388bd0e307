//! What can be wrong with what a vendor publishes.

use std::path::PathBuf;

use sealift_archive::release::CurrentRelease;
use sealift_archive::{ChannelName, Class, Code, Digest, Explain, ReleaseName, Version};

use crate::activation::Error as Activation;

/// Why nothing is taken from the vendor's endpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody said where to mirror from.
    #[error("no source to mirror from is configured: this appliance is offline")]
    NotConfigured,
    /// The endpoint does not know the channel.
    #[error("`{source_name}` has no channel `{name}`")]
    NoChannel {
        /// The endpoint.
        source_name: String,
        /// The channel.
        name: ChannelName,
    },
    /// One channel stands in the place of another.
    #[error("`{source_name}` serves channel `{found}` as channel `{wanted}`")]
    OtherChannel {
        /// The endpoint.
        source_name: String,
        /// The channel that was asked for.
        wanted: ChannelName,
        /// The one that came.
        found: ChannelName,
    },
    /// Something that the vendor signed is not there.
    #[error("`{source_name}` does not have {what}")]
    NotThere {
        /// The endpoint.
        source_name: String,
        /// What is missing.
        what: String,
    },
    /// Another statement stands in the place of one.
    #[error("`{source_name}` serves {found} as the statement {wanted}")]
    OtherStatement {
        /// The endpoint.
        source_name: String,
        /// The digest by which it was asked for.
        wanted: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// The channel calls a release by another name than its own statement does.
    #[error(
        "channel `{name}` says that {} is version {} with sequence {}, but that is the statement of {found}",
        said.statement, said.version, said.sequence
    )]
    OtherRelease {
        /// The channel.
        name: ChannelName,
        /// What it says.
        said: Box<CurrentRelease>,
        /// Whose statement that is.
        found: Box<ReleaseName>,
    },
    /// A tag of the repository leads to something else than a document of ours.
    #[error("`{reference}` is no document that `sealift publish` wrote: {why}")]
    NotPublished {
        /// The tag.
        reference: String,
        /// What is wrong with it.
        why: String,
    },
    /// No other node could be used to take a release from.
    #[error("{release} could be taken from no peer{}", reasons(failures))]
    NoPeer {
        /// Its statement.
        release: Digest,
        /// Why not, by peer.
        failures: Vec<Failed>,
    },
    /// The authority of this node cannot make a certificate to show to other nodes.
    #[error("`{}` makes no certificate for other nodes: {why}", file.display())]
    Authority {
        /// Its certificate or key.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A release that was staged did not become active. It is not tried again without a person.
    #[error("{cause}")]
    NotActivated {
        /// The release.
        version: Version,
        /// What went wrong.
        cause: Box<crate::Error>,
    },
}

/// A peer that was no help.
#[derive(Debug)]
pub struct Failed {
    /// Who: a URL.
    pub peer: String,
    /// Why.
    pub error: crate::Error,
}

/// `: https://node-b:5443/peer: … (SL0558); https://node-c:5443/peer: … (SL0204)`
fn reasons(failures: &[Failed]) -> String {
    let reason = |(at, Failed { peer, error }): (usize, &Failed)| {
        let before = if at == 0 { ':' } else { ';' };
        format!("{before} {peer}: {error} ({})", error.code())
    };
    failures.iter().enumerate().map(reason).collect()
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::NotActivated { cause, .. } => return cause.code(),
            Self::NotConfigured => 555,
            Self::NoChannel { .. } => 556,
            Self::OtherChannel { .. } => 557,
            Self::NotThere { .. } => 558,
            Self::OtherStatement { .. } => 559,
            Self::OtherRelease { .. } => 560,
            Self::NotPublished { .. } => 561,
            Self::NoPeer { .. } => 582,
            Self::Authority { .. } => 651,
        })
    }

    fn class(&self) -> Class {
        match self {
            // Waiting does not help: the next try only says that it is here.
            Self::NotActivated { cause, .. } => match cause.class() {
                Class::Busy | Class::Unreachable => Class::Failed,
                class => class,
            },
            Self::NotConfigured | Self::Authority { .. } => Class::Usage,
            // One that is away, or has it not yet, may have it the next time.
            Self::NoPeer { failures, .. }
                if failures.iter().any(|failed| failed.error.class() == Class::Unreachable) =>
            {
                Class::Unreachable
            }
            // It may be there the next time.
            Self::NoChannel { .. } | Self::NotThere { .. } => Class::Unreachable,
            _ => Class::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotActivated { version, cause } => match &**cause {
                crate::Error::Activation(Activation::Stopped { .. } | Activation::WentBack { .. }) => return cause.hint(),
                _ => format!(
                    "mend that, then `sealiftctl activate {version}`: without a person it is activated only once"
                ),
            },
            Self::NotConfigured => {
                "name the vendor's endpoint as `mirror.source` in /etc/sealift/appliance.yaml, or import from a stick"
                    .into()
            }
            Self::NoChannel { .. } => {
                "check `mirror.source` and `mirror.channel` in the configuration; to an account without rights, a private place \
                 looks empty too"
                    .into()
            }
            Self::OtherChannel { .. } | Self::OtherStatement { .. } | Self::NotPublished { .. } => {
                "whoever serves it mixes up what the vendor published: tell the vendor, and do not follow it until then".into()
            }
            Self::NotThere { .. } => {
                "the vendor may still be publishing it: the next run tries again; if it stays away, tell the vendor".into()
            }
            Self::NoPeer { .. } => {
                "check that the nodes run, let this one in, and have the release; whoever sends something else than what was asked for is to be \
                 looked at (`sealiftctl verify` there)"
                    .into()
            }
            Self::Authority { .. } => {
                "`ca.crt` and `ca.key` are what `sealift-registry tls init` has made, and `cluster.peers.authority` is their folder; \
                 with certificates of another kind, name one as `cluster.peers.identity`"
                    .into()
            }
            Self::OtherRelease { .. } => "the vendor signed a channel with a mistake in it: ask for its next edition".into(),
        })
    }
}

/// What to do about an error of fetching, in the words of the appliance's configuration.
pub(crate) fn hint(error: &sealift_fetch::Error) -> Option<String> {
    use sealift_fetch::Error as Fetch;
    Some(match error {
        Fetch::GaveUp { cause, .. } => return hint(cause),
        Fetch::Several(errors) => return errors.iter().find_map(hint),
        Fetch::Untrusted { .. } => {
            "if it is a private server, name its CA's certificate in the configuration: as `mirror.caFile`, of another node as \
             `cluster.peers.caFile`"
                .into()
        }
        Fetch::ClosedOut { .. } => {
            "that node hears of this one's authority once sealift-cluster.service runs on both, and keeps it while Kubernetes is \
             away; without a cluster its `SEALIFT_REGISTRY_CLIENT_CA` names this node's ca.crt. The clocks of both have to agree"
                .into()
        }
        Fetch::NotTls { .. } | Fetch::BadUrl { .. } => {
            "an https:// address is wanted; `mirror.plainHttp` in the configuration allows plain HTTP".into()
        }
        Fetch::Unreachable { .. } => {
            "check the network, the name of the host, and `mirror.proxy` in the configuration; the next run tries again".into()
        }
        Fetch::Login { host, .. } => account(host),
        Fetch::Answer { place, status, .. } if matches!(status.0, 401 | 403) => account(&place.host),
        error => return error.hint(),
    })
}

fn account(host: &str) -> String {
    format!(
        "put the account for `{host}` into the config.json in `mirror.dockerConfig` (`docker --config DIR login {host}`)"
    )
}
