//! What can go wrong with a command on the appliance.

use std::io;
use std::path::PathBuf;

use sealift_archive::{Class, Code, Explain, ReleaseName, Sequence};

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A source with several releases, which cannot be taken apart yet.
    #[error("`{source_name}` holds {} releases ({}); this Sealift can only import one at a time", releases.len(), list(releases))]
    SeveralReleases {
        /// The source.
        source_name: String,
        /// What it holds.
        releases: Vec<ReleaseName>,
    },
    /// A source without any release.
    #[error("`{source_name}` holds no release")]
    NoRelease {
        /// The source.
        source_name: String,
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
    /// What the archive library says.
    #[error(transparent)]
    Archive(#[from] sealift_archive::Error),
    /// What the store says.
    #[error(transparent)]
    Store(#[from] sealift_store::Error),
    /// Reading or writing failed; the message names the path.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::SeveralReleases { .. } => 501,
            Self::NoRelease { .. } => 502,
            Self::NoSuchVersion { .. } => 503,
            Self::AmbiguousVersion { .. } => 504,
            Self::NotWhole { .. } => 505,
            Self::FurtherVolumes { .. } => 513,
            Self::Archive(error) => return error.code(),
            Self::Store(error) => return error.code(),
            Self::Io(_) => 599,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::SeveralReleases { .. } | Self::NoRelease { .. } | Self::NotWhole { .. } => Class::Refused,
            Self::NoSuchVersion { .. } | Self::AmbiguousVersion { .. } => Class::Usage,
            Self::FurtherVolumes { missing: error } | Self::Archive(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Io(error) if error.kind() == io::ErrorKind::StorageFull => Class::NoSpace,
            Self::Io(_) => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::SeveralReleases { .. } => {
                "ask the vendor for a bundle of the one release that you need".into()
            }
            Self::NoSuchVersion { known, .. } if known.is_empty() => {
                "import one: `sealiftctl import BUNDLE`".into()
            }
            Self::NoSuchVersion { known, .. } => format!("here are: {}", list(known)),
            Self::AmbiguousVersion { .. } => "name the sequence instead".into(),
            Self::NotWhole { can_be_repaired: true, .. } => {
                "`sealiftctl verify --repair` removes what has changed; then import the release again".into()
            }
            Self::NotWhole { .. } => "import the release again: it brings back what is missing".into(),
            Self::FurtherVolumes { .. } => {
                "put in a stick with one of them and run the command again: what is loaded stays, and sticks may come in \
                 any order; with `--wait` the import waits for them"
                    .into()
            }
            Self::Archive(error) => return error.hint(),
            Self::Store(error) => return error.hint(),
            Self::NoRelease { .. } | Self::Io(_) => return None,
        })
    }
}
