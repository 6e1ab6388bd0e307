//! What can go wrong with a command on the appliance.

use std::io;
use std::path::PathBuf;

use indicatif::DecimalBytes;
use sealift_archive::age::{self, Recipient};
use sealift_archive::{Class, Code, Explain, ReleaseName, Sequence, io_hint};

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A source without any release.
    #[error("`{source_name}` holds no release")]
    NoRelease {
        /// The source.
        source_name: String,
    },
    /// A delta presumes content that is not here.
    #[error(
        "`{source_name}` is a delta and needs {}: {blobs} {}, {}, {} missing", lacks(not_here, not_whole),
        if *blobs == 1 { "blob" } else { "blobs" }, DecimalBytes(*bytes), if *blobs == 1 { "is" } else { "are" }
    )]
    BaseMissing {
        /// The source.
        source_name: String,
        /// The releases that it needs and that are not here.
        not_here: Vec<ReleaseName>,
        /// The releases that it needs and that have lost content.
        not_whole: Vec<ReleaseName>,
        /// How many blobs are missing.
        blobs: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// No release that is here has this version or sequence.
    #[error("no release with version or sequence `{wanted}` is here")]
    NoSuchVersion {
        /// As it was written.
        wanted: String,
        /// What is here.
        known: Vec<ReleaseName>,
    },
    /// Several releases have this version.
    #[error("{} releases have version `{wanted}`: sequences {}", sequences.len(), list(sequences))]
    AmbiguousVersion {
        /// As it was written.
        wanted: String,
        /// Their sequences.
        sequences: Vec<Sequence>,
    },
    /// A check of the store found damage; the findings were printed.
    #[error("`{}` is not whole: {findings} {}", store.display(), if *findings == 1 { "finding" } else { "findings" })]
    NotWhole {
        /// The store.
        store: PathBuf,
        /// How many findings there were.
        findings: usize,
        /// Whether `--repair` would help with some of it.
        can_be_repaired: bool,
    },
    /// Volumes are needed that have not come yet. What is loaded stays.
    #[error("{missing}")]
    FurtherVolumes {
        /// The archive's `VolumesMissing`.
        missing: sealift_archive::Error,
    },
    /// The appliance's configuration is not what it should be.
    #[error("`{}`{place}: {why}", file.display())]
    Config {
        /// The configuration.
        file: PathBuf,
        /// ` line 3, column 5`, if known.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// A receipt was not encrypted.
    #[error("the receipt was not encrypted for `{recipient}`: {error}")]
    NotEncrypted {
        /// For whom.
        recipient: Recipient,
        /// Why not.
        error: age::Error,
    },
    /// An encrypted receipt on a terminal.
    #[error("the receipt is encrypted, and a terminal shows text")]
    NotForTerminals,
    /// What the vendor's endpoint offers cannot be taken.
    #[error(transparent)]
    Online(#[from] crate::online::Error),
    /// What servers and the network say.
    #[error(transparent)]
    Fetch(#[from] sealift_fetch::Error),
    /// Why a stick was not taken.
    #[error(transparent)]
    Media(#[from] crate::media::Error),
    /// What is wrong with an activation.
    #[error(transparent)]
    Activation(#[from] crate::activation::Error),
    /// What the archive library says.
    #[error(transparent)]
    Archive(#[from] sealift_archive::Error),
    /// What the store says.
    #[error(transparent)]
    Store(#[from] sealift_store::Error),
    /// What the API server of the cluster says.
    #[error(transparent)]
    Flux(#[from] crate::flux::Error),
    /// What the nodes of the cluster say.
    #[error(transparent)]
    Cluster(#[from] crate::cluster::Error),
    /// Why an appliance was not set up.
    #[error(transparent)]
    Setup(#[from] crate::setup::Error),
    /// What is wrong with k3s.
    #[error(transparent)]
    K3s(Box<crate::k3s::Error>),
    /// Reading or writing failed; the message names the path.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// `acme 1.4 (sequence 4), which is not here, and acme 1.5 (sequence 5), which is not whole`
fn lacks(not_here: &[ReleaseName], not_whole: &[ReleaseName]) -> String {
    let all = |names: &[ReleaseName]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    match (not_here, not_whole) {
        ([], []) => "content that is neither in it nor here".to_owned(),
        (missing, []) => format!("{}, which is not here", all(missing)),
        ([], damaged) => format!("{}, which is here and not whole", all(damaged)),
        (missing, damaged) => {
            format!("{}, which is not here, and {}, which is here and not whole", all(missing), all(damaged))
        }
    }
}

impl From<crate::k3s::Error> for Error {
    fn from(error: crate::k3s::Error) -> Self {
        Self::K3s(Box::new(error))
    }
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::NoRelease { .. } => 502,
            Self::NoSuchVersion { .. } => 503,
            Self::AmbiguousVersion { .. } => 504,
            Self::NotWhole { .. } => 505,
            Self::BaseMissing { .. } => 509,
            Self::FurtherVolumes { .. } => 513,
            Self::Config { .. } => 520,
            Self::NotEncrypted { .. } => 580,
            Self::NotForTerminals => 581,
            Self::Media(error) => return error.code(),
            Self::Online(error) => return error.code(),
            Self::Fetch(error) => return error.code(),
            Self::Activation(error) => return error.code(),
            Self::Archive(error) => return error.code(),
            Self::Store(error) => return error.code(),
            Self::Flux(error) => return error.code(),
            Self::Cluster(error) => return error.code(),
            Self::Setup(error) => return error.code(),
            Self::K3s(error) => return error.code(),
            Self::Io(_) => 599,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::NoRelease { .. } | Self::NotWhole { .. } | Self::BaseMissing { .. } => Class::Refused,
            Self::NoSuchVersion { .. }
            | Self::AmbiguousVersion { .. }
            | Self::Config { .. }
            | Self::NotEncrypted { .. }
            | Self::NotForTerminals => Class::Usage,
            Self::FurtherVolumes { missing: error } | Self::Archive(error) => error.class(),
            Self::Media(error) => error.class(),
            Self::Online(error) => error.class(),
            Self::Fetch(error) => error.class(),
            Self::Activation(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Cluster(error) => error.class(),
            Self::Setup(error) => error.class(),
            Self::K3s(error) => error.class(),
            Self::Flux(error) => error.class(),
            Self::Io(error) if error.kind() == io::ErrorKind::StorageFull => Class::NoSpace,
            Self::Io(_) => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::BaseMissing { not_here, not_whole, .. } => {
                let first = match (not_here.as_slice(), not_whole.as_slice()) {
                    ([], []) => String::new(),
                    ([], damaged) => format!("import the bundle of {} again, or ", list(damaged)),
                    (missing, _) => format!("import the bundle of {} first, or ", list(missing)),
                };
                format!(
                    "{first}ask the vendor for a bundle that carries everything, or for one made for what is here \
                     (`sealiftctl receipt` says that)"
                )
            }
            Self::NoSuchVersion { known, .. } if known.is_empty() => {
                "import one: `sealiftctl import BUNDLE`".into()
            }
            Self::NoSuchVersion { known, .. } => format!("here are: {}", list(known)),
            Self::AmbiguousVersion { .. } => "name the sequence instead".into(),
            Self::NotWhole { can_be_repaired: true, .. } => {
                "`sealiftctl verify --repair BUNDLE` brings back what is damaged from the archive of the release".into()
            }
            Self::NotWhole { .. } => {
                "`sealiftctl verify --repair BUNDLE` with an archive of the release brings back what is missing".into()
            }
            Self::FurtherVolumes { .. } => {
                "put in a stick with one of them and run the command again: what is loaded stays, and sticks may come in \
                 any order; with `--wait` the import waits for them"
                    .into()
            }
            Self::Config { .. } => "`docs/operator.md` shows all keys".into(),
            Self::NotEncrypted { .. } => {
                "ask the vendor for the key that receipts are encrypted for; `--plain` writes one that anybody can read".into()
            }
            Self::NotForTerminals => {
                "name a file or folder with `-o`; `--plain` shows what would be encrypted".into()
            }
            Self::Media(error) => return error.hint(),
            Self::Online(error) => return error.hint(),
            Self::Fetch(error) => return crate::online::hint(error),
            Self::Activation(error) => return error.hint(),
            Self::Archive(error) => return error.hint(),
            Self::Store(error) => return error.hint(),
            Self::Flux(error) => return error.hint(),
            Self::Cluster(error) => return error.hint(),
            Self::Setup(error) => return error.hint(),
            Self::K3s(error) => return error.hint(),
            Self::Io(error) => return io_hint(error),
            Self::NoRelease { .. } => return None,
        })
    }
}
