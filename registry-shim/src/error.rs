//! What can go wrong with the registry itself. What a client may not have is a `Refusal`, not an error.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;

use sealift_archive::{Class, Code, Digest, Explain, RepositoryName};

/// Why the registry could not start, or could not answer from its store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A certificate or key file does not serve.
    #[error("`{}` is not {wanted}: {why}", file.display())]
    Tls {
        /// The file.
        file: PathBuf,
        /// What was expected there.
        wanted: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Content that a release of the store has is not there or cannot be read.
    #[error("content `{digest}` of the store cannot be read")]
    Unreadable {
        /// The content.
        digest: Digest,
        /// What the system says, with the path.
        #[source]
        source: io::Error,
    },
    /// Content of the store has another length than its release says.
    #[error("content `{digest}` of the store is {found} bytes long, its release says {expected}")]
    WrongLength {
        /// The content.
        digest: Digest,
        /// What the blob list says.
        expected: u64,
        /// The length of the file.
        found: u64,
    },
    /// Content of the store is other content than its name says.
    #[error("content `{digest}` of the store is really `{found}`")]
    WrongContent {
        /// The content.
        digest: Digest,
        /// What lies there.
        found: Digest,
    },
    /// `git upload-pack` did not do its work.
    #[error("`git upload-pack` of `{repository}` failed ({status}): {said}")]
    Git {
        /// The repository.
        repository: RepositoryName,
        /// How it ended.
        status: ExitStatus,
        /// The beginning of what it wrote to standard error.
        said: String,
    },
    /// `git` could not be started or spoken to.
    #[error("cannot run `git upload-pack` of `{repository}`")]
    NoGit {
        /// The repository.
        repository: RepositoryName,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// There is no certificate authority in a directory.
    #[error("`{}` has no certificate authority", dir.display())]
    NoAuthority {
        /// The directory.
        dir: PathBuf,
    },
    /// The certificate authority of this node cannot be used.
    #[error("`{}` cannot be used as the certificate authority of this node: {why}", file.display())]
    Authority {
        /// Its certificate or key.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate authority of this node is there, and was made for other names.
    #[error("the certificate authority `{}` may not vouch for {names}", file.display())]
    NotPermitted {
        /// Its certificate.
        file: PathBuf,
        /// What it was not made for.
        names: String,
    },
    /// Clients that have to show a certificate were announced, and TLS was not.
    #[error("clients cannot show a certificate without TLS")]
    ClientsWithoutTls,
    /// Sockets that systemd has handed over cannot be used.
    #[error("systemd has handed over a socket that cannot be served on: {why}")]
    Sockets {
        /// What is wrong with it.
        why: String,
    },
    /// Files for another program cannot be made from this.
    #[error("{why}")]
    Configure {
        /// What is in the way.
        why: String,
    },
    /// This node does not know any more what the nodes of its cluster agree on.
    #[error("{silence}")]
    Unheard {
        /// Since when.
        silence: String,
    },
    /// What the store says.
    #[error(transparent)]
    Store(#[from] sealift_store::Error),
    /// Anything else with the system; the message names the place.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Error {
    /// Tells the operator what the client is only told as a status.
    pub(crate) fn log(&self) {
        tracing::error!(code = %self.code(), "{}", sealift_archive::report(self));
    }
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::Listen { .. } => 601,
            Self::Tls { .. } => 602,
            Self::Unreadable { .. } => 603,
            Self::WrongLength { .. } => 604,
            Self::Git { .. } => 605,
            Self::NoGit { .. } => 606,
            Self::WrongContent { .. } => 610,
            Self::NoAuthority { .. } => 620,
            Self::Authority { .. } => 621,
            Self::NotPermitted { .. } => 622,
            Self::ClientsWithoutTls => 623,
            Self::Sockets { .. } => 624,
            Self::Configure { .. } => 630,
            Self::Unheard { .. } => 640,
            Self::Store(error) => return error.code(),
            Self::Io(_) => 699,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Tls { .. }
            | Self::NoAuthority { .. }
            | Self::ClientsWithoutTls
            | Self::Sockets { .. }
            | Self::Configure { .. } => Class::Usage,
            Self::Authority { .. }
            | Self::NotPermitted { .. }
            | Self::WrongLength { .. }
            | Self::WrongContent { .. } => Class::Refused,
            Self::Store(error) => error.class(),
            _ => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Listen { address, source } => match source.kind() {
                io::ErrorKind::AddrInUse => {
                    format!("another program listens there; `ss -ltnp 'sport = :{}'` names it", address.port())
                }
                io::ErrorKind::AddrNotAvailable => "use an address of this machine; `ip address` lists them".into(),
                io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need CAP_NET_BIND_SERVICE; use a higher one".into()
                }
                _ => return None,
            },
            Self::Tls { .. } => "give a PEM file: `--tls-cert` the chain, leaf first; `--tls-key` its key".into(),
            Self::Unreadable { .. } | Self::WrongLength { .. } | Self::WrongContent { .. } => {
                "`sealiftctl verify` lists all damage; importing the release again brings back what is missing".into()
            }
            Self::NoGit { .. } => "Git 2.39 or later has to be installed in /usr/bin".into(),
            Self::NoAuthority { .. } => "`sealift-registry tls init` makes one".into(),
            Self::Authority { .. } => {
                "what `sealift-registry tls init` has made belongs together; to begin anew, remove `ca.crt` and `ca.key`, \
                 run `systemctl restart sealift-registry`, and give the new `ca.crt` to whoever trusted the old one"
                    .into()
            }
            Self::NotPermitted { .. } => {
                "others trust it for its names alone; to change them, put the new ones into the settings, remove `ca.crt` and \
                 `ca.key`, run `systemctl restart sealift-registry`, and give the new `ca.crt` to whoever trusted the old one"
                    .into()
            }
            Self::ClientsWithoutTls => "give `--tls-dir` as well, or leave out `--client-ca`".into(),
            Self::Sockets { .. } => "`ListenStream=` in the socket unit has to be an address and a port".into(),
            Self::Unheard { .. } => {
                "`systemctl status sealift-cluster` and `sealiftctl cluster status` say why; an appliance that is no node any \
                 more forgets it with `sealiftctl resume`"
                    .into()
            }
            Self::Store(error) => return error.hint(),
            Self::Git { .. } | Self::Configure { .. } | Self::Io(_) => return None,
        })
    }
}
