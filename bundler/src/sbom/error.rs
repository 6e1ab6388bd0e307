//! What can be wrong with a question about the packages of a release.

use sealift_archive::{Class, Code, Explain};

/// Why there is no SBOM, or no answer from it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No image holds a package that was asked for.
    #[error("no image of {releases} holds a package `{pattern}`{}", match *uncertain {
        0 => String::new(),
        1 => "; 1 image may hold more than is known".to_owned(),
        many => format!("; {many} images may hold more than is known"),
    })]
    NoPackage {
        /// What was asked for.
        pattern: String,
        /// The releases that were looked at.
        releases: String,
        /// Images without a package database, or of which something could not be read.
        uncertain: usize,
        /// The name that may have been meant.
        nearest: Option<String>,
    },
    /// A release has no image of this name.
    #[error("there is no image `{image}`")]
    NoImage {
        /// What was asked for.
        image: String,
        /// What there is.
        images: Vec<String>,
    },
    /// A whole SBOM was asked for, and at the same time a part of it.
    #[error("an SBOM is about all packages, and `--package` about one")]
    WholeAndPart,
    /// An SBOM is about one release, and an archive carries more.
    #[error("`{file}` carries {count} releases, and an SBOM is about one")]
    SeveralReleases {
        /// The archive.
        file: String,
        /// How many there are.
        count: usize,
    },
    /// `SOURCE_DATE_EPOCH` is no time.
    #[error("SOURCE_DATE_EPOCH is `{0}`, not a number of seconds since 1970")]
    NotATime(String),
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::NoPackage { .. } => 420,
            Self::NoImage { .. } => 421,
            Self::WholeAndPart => 422,
            Self::SeveralReleases { .. } => 423,
            Self::NotATime(_) => 424,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::NoPackage { .. } => Class::Failed,
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoPackage { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
            Self::NoPackage { uncertain, .. } if *uncertain > 0 => {
                "`sealift sbom` without `--package` says which images these are, and why".into()
            }
            Self::NoPackage { .. } => "a name has to be exact; `openssl*` finds all that begin so".into(),
            Self::NoImage { images, .. } if images.is_empty() => "the archive carries no images".into(),
            Self::NoImage { images, .. } => {
                format!("it carries {}", images.join(", "))
            }
            Self::WholeAndPart => "leave one of `--package` and `--format` out".into(),
            Self::SeveralReleases { .. } => {
                "name one with `--release`, or leave `--format` out: the table shows all of them".into()
            }
            Self::NotATime(_) => return None,
        })
    }
}
