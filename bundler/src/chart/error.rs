//! What can go wrong with a chart, or with the repository that it comes from.

use sealift_archive::{Class, Code, Digest, Explain};

/// Why a chart cannot be carried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A chart that cannot be carried, or something that should be one.
    #[error("chart `{chart}` cannot be carried: {why}")]
    BadChart {
        /// The folder, file, address or reference, or name and version.
        chart: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file of a chart or chart repository is not what it should be.
    #[error("`{file}`{place}: {why}")]
    File {
        /// The file, or its address.
        file: String,
        /// ` line 3, column 5`, if known.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// Charts that a chart builds on are not in its folder.
    #[error("chart `{chart}` builds on what is not in its `charts/`: {}", missing.join(", "))]
    MissingDependencies {
        /// The folder.
        chart: String,
        /// The charts that it names.
        missing: Vec<String>,
    },
    /// A provenance file is about another archive than the one beside it.
    #[error("`{file}` is about another chart: it says {says}, and the chart is {found}")]
    Provenance {
        /// The provenance file.
        file: String,
        /// The digests in it.
        says: String,
        /// The digest of the archive.
        found: String,
    },
    /// A chart is not the one that the index of its repository names.
    #[error("{url} has content `{found}` instead of `{wanted}`, which the index of its repository names")]
    Digest {
        /// The chart's address.
        url: String,
        /// The digest in the index.
        wanted: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// A chart repository does not have a chart.
    #[error("{repository} has no chart `{chart}`{}", has.as_ref().map_or_else(String::new, |has| format!("; it has {has}")))]
    NoChart {
        /// The repository.
        repository: String,
        /// Name and version.
        chart: String,
        /// The versions that it has, if it knows the name.
        has: Option<String>,
        /// A name that it has and that may have been meant.
        nearest: Option<String>,
    },
    /// There is no chart repository at an address.
    #[error("there is no chart repository: {index} does not exist")]
    NoRepository {
        /// The address of its index.
        index: String,
    },
    /// A chart repository gives another chart than it was asked for.
    #[error("{url} is chart `{found}` and not `{wanted}`")]
    OtherChart {
        /// The chart's address.
        url: String,
        /// Name and version that were asked for.
        wanted: String,
        /// Name and version that the chart has.
        found: String,
    },
    /// A chart repository only points at a registry.
    #[error("chart `{chart}` is not in its repository but in a registry: {reference}")]
    Elsewhere {
        /// Name and version.
        chart: String,
        /// The reference.
        reference: String,
    },
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::BadChart { .. } => 430,
            Self::File { .. } => 431,
            Self::MissingDependencies { .. } => 432,
            Self::Provenance { .. } => 433,
            Self::Digest { .. } => 434,
            Self::NoChart { .. } => 435,
            Self::NoRepository { .. } => 436,
            Self::OtherChart { .. } => 437,
            Self::Elsewhere { .. } => 438,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::NoRepository { .. } => Class::Unreachable,
            Self::Provenance { .. } | Self::Digest { .. } | Self::OtherChart { .. } => Class::Refused,
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::BadChart { .. } | Self::File { .. } => return None,
            Self::MissingDependencies { chart, .. } => format!("run `helm dependency build {chart}`"),
            Self::Provenance { .. } => {
                "one of the two was replaced: get both again from where they came".into()
            }
            Self::Digest { .. } => {
                "the index is out of date, or the chart was replaced: ask who runs the repository".into()
            }
            Self::NoChart { nearest: Some(nearest), has: None, .. } => format!("did you mean `{nearest}`?"),
            Self::NoChart { .. } => "`name` and `version` must be those in the repository's index".into(),
            Self::NoRepository { .. } => "`repository` is the address that `helm repo add` takes".into(),
            Self::OtherChart { .. } => "the index of the repository is wrong: ask who runs it".into(),
            Self::Elsewhere { reference, .. } => {
                format!(
                    "write `- {reference}` under `charts`, with the version behind a colon if it is not there"
                )
            }
        })
    }
}
