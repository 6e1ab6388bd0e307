//! What can go wrong between this appliance and the API server of its cluster.

use std::path::PathBuf;

use sealift_archive::{Class, Code, Explain};

/// Why the cluster could not be asked, or does not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kubeconfig is not what it should be.
    #[error("`{}`: {why}", file.display())]
    Kubeconfig {
        /// The kubeconfig, or a file that it names.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The kubeconfig wants what is not done here, such as running a program for a token.
    #[error("`{}` asks for `{what}`, which Sealift does not do", file.display())]
    NotDone {
        /// The kubeconfig.
        file: PathBuf,
        /// The key in it.
        what: &'static str,
    },
    /// No connection, or no answer in time.
    #[error("the Kubernetes API at {server} cannot be reached: {why}")]
    Unreachable {
        /// Its address.
        server: String,
        /// What the network said.
        why: String,
    },
    /// The server's certificate is not one that the kubeconfig vouches for.
    #[error("the certificate of the Kubernetes API at {server} is not trusted: {why}")]
    Untrusted {
        /// Its address.
        server: String,
        /// What is wrong with the certificate.
        why: String,
    },
    /// The server does not know who asks.
    #[error("the Kubernetes API at {server} does not accept our credentials{}", colon(said))]
    Unauthorized {
        /// Its address.
        server: String,
        /// What it said.
        said: String,
    },
    /// The server knows who asks, and does not let them.
    #[error("the Kubernetes API at {server} does not let us `{verb}` {resource}{}", colon(said))]
    Forbidden {
        /// Its address.
        server: String,
        /// The verb, as rules of a Role write it.
        verb: &'static str,
        /// What it was about: plural and group, or a path.
        resource: String,
        /// What it said.
        said: String,
    },
    /// The server said no.
    #[error(
        "the Kubernetes API at {server} answered {status} when asked to `{verb}` {resource}{}",
        colon(said)
    )]
    Answer {
        /// Its address.
        server: String,
        /// The HTTP status.
        status: u16,
        /// The verb.
        verb: &'static str,
        /// What it was about.
        resource: String,
        /// What it said.
        said: String,
    },
    /// An answer that is no answer of a Kubernetes API, or one too large.
    #[error("the Kubernetes API at {server} gave an answer about {resource} that is not understood: {why}")]
    NotUnderstood {
        /// Its address.
        server: String,
        /// What it was about.
        resource: String,
        /// What is wrong with it.
        why: String,
    },
    /// Objects are not as they were just made.
    #[error("{object} of the cluster at {server} does not stay {wanted}")]
    Unsettled {
        /// The address of the API server.
        server: String,
        /// One of the objects.
        object: String,
        /// What it should be.
        wanted: &'static str,
    },
}

/// What a server said, behind a colon; nothing if it said nothing.
fn colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

impl Error {
    /// The HTTP status, if it was neither a success nor one that has an error of its own.
    pub(crate) fn status(&self) -> Option<u16> {
        if let Self::Answer { status, .. } = self { Some(*status) } else { None }
    }
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::Kubeconfig { .. } => 545,
            Self::NotDone { .. } => 546,
            Self::Unreachable { .. } => 547,
            Self::Untrusted { .. } => 548,
            Self::Unauthorized { .. } => 549,
            Self::Forbidden { .. } => 550,
            Self::Answer { .. } => 551,
            Self::NotUnderstood { .. } => 552,
            Self::Unsettled { .. } => 553,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Kubeconfig { .. } | Self::NotDone { .. } => Class::Usage,
            Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::Answer { .. }
            | Self::NotUnderstood { .. } => Class::Unreachable,
            Self::Unsettled { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Kubeconfig { .. } => {
                "`activation.flux.kubeconfig` and `cluster.kubeconfig` in the configuration name the file"
                    .into()
            }
            Self::NotDone { .. } => {
                "give it a kubeconfig with a client certificate or a token, such as the one k3s writes".into()
            }
            Self::Unreachable { .. } => "see whether the cluster runs: `systemctl status k3s`".into(),
            Self::Untrusted { .. } => {
                "the kubeconfig may belong to another cluster, or to one before a reset".into()
            }
            Self::Unauthorized { .. } => {
                "the certificate or token of the kubeconfig may have expired: renew it".into()
            }
            Self::Forbidden { verb, resource, .. } => {
                format!("give the kubeconfig's user a role that allows `{verb}` on {resource}")
            }
            Self::Unsettled { .. } => {
                "somebody else changes it; see who: `kubectl get --show-managed-fields`".into()
            }
            Self::Answer { .. } | Self::NotUnderstood { .. } => return None,
        })
    }
}
