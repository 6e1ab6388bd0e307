//! What can go wrong on the vendor's side.

use std::path::PathBuf;

use sealift_archive::{Class, Code, Digest, Explain, Platform, Reference};

/// Why a command of `sealift` failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An archive, a document or a key.
    #[error(transparent)]
    Archive(#[from] sealift_archive::Error),
    /// A registry.
    #[error(transparent)]
    Fetch(#[from] sealift_fetch::Error),
    /// Reading or writing a file; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The definition is not what it should be.
    #[error("`{}`{place}: {why}", file.display())]
    Definition {
        /// The definition.
        file: PathBuf,
        /// ` line 3, column 5`, if known.
        place: String,
        /// What is wrong.
        why: String,
        /// The key that may have been meant.
        nearest: Option<String>,
    },
    /// The definition asks for something that this version cannot do.
    #[error("`{}` asks for `{what}`, which this version of Sealift does not carry yet", file.display())]
    NotYet {
        /// The definition.
        file: PathBuf,
        /// The key.
        what: &'static str,
    },
    /// There is no lock.
    #[error("`{}` is missing", lock.display())]
    NoLock {
        /// Where it should be.
        lock: PathBuf,
        /// The definition that it belongs to.
        definition: PathBuf,
    },
    /// The lock was made from something else.
    #[error("`{}` is stale: {why}", lock.display())]
    StaleLock {
        /// The lock.
        lock: PathBuf,
        /// The definition that it belongs to.
        definition: PathBuf,
        /// What has changed since.
        why: String,
    },
    /// An index has no child for a platform that was asked for.
    #[error("`{image}` has nothing for platform `{platform}`; it has {has}")]
    NoPlatform {
        /// The image.
        image: String,
        /// The platform.
        platform: Platform,
        /// What there is.
        has: String,
    },
    /// Two images of a release would have one name.
    #[error("two images of the release are named `{0}`")]
    NameTwice(Reference),
    /// Something about an image that cannot be carried.
    #[error("`{image}` cannot be carried: {why}")]
    BadImage {
        /// The image.
        image: String,
        /// What is wrong with it.
        why: String,
    },
    /// An OCI layout does not hold what it was asked for.
    #[error("OCI layout `{}`: {why}", layout.display())]
    Layout {
        /// Its folder.
        layout: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Git did not do what it was asked to.
    #[error("`git {command}` failed for `{}`: {said}", folder.display())]
    Git {
        /// The folder to be packed.
        folder: PathBuf,
        /// The subcommand.
        command: String,
        /// What git said.
        said: String,
    },
    /// A folder holds something that a Git commit of ours does not carry.
    #[error("`{}` cannot be carried: {why}", path.display())]
    BadFolder {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// A file that would be overwritten.
    #[error("`{}` is there already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// There is no password and nobody to ask for one.
    #[error("there is no password for `{file}`")]
    NoPassword {
        /// The key file.
        file: String,
    },
    /// Two passwords that should be one.
    #[error("the two passwords differ")]
    PasswordsDiffer,
    /// A signed statement that is about something else.
    #[error("`{}` is not what the statement is about", file.display())]
    OtherStatement {
        /// The statement.
        file: PathBuf,
    },
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
    ChartFile {
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
    ChartDigest {
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
    ChartElsewhere {
        /// Name and version.
        chart: String,
        /// The reference.
        reference: String,
    },
    /// A folder holds something that no Flux artifact carries.
    #[error("`{}` cannot be in a Flux artifact: {why}", path.display())]
    BadFluxFolder {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The archive has damage; the findings have been printed.
    #[error("`{file}` is damaged in {count} place{}", if *count == 1 { "" } else { "s" })]
    Damaged {
        /// The archive.
        file: String,
        /// How many damaged stretches there are.
        count: usize,
    },
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::Archive(error) => return error.code(),
            Self::Fetch(error) => return error.code(),
            Self::Definition { .. } => 401,
            Self::NotYet { .. } => 402,
            Self::NoLock { .. } => 403,
            Self::StaleLock { .. } => 404,
            Self::NoPlatform { .. } => 405,
            Self::NameTwice(_) => 406,
            Self::BadImage { .. } => 407,
            Self::Layout { .. } => 408,
            Self::Git { .. } => 409,
            Self::BadFolder { .. } => 410,
            Self::Exists { .. } => 411,
            Self::NoPassword { .. } => 412,
            Self::PasswordsDiffer => 413,
            Self::OtherStatement { .. } => 414,
            Self::Damaged { .. } => 415,
            Self::BadChart { .. } => 430,
            Self::ChartFile { .. } => 431,
            Self::MissingDependencies { .. } => 432,
            Self::Provenance { .. } => 433,
            Self::ChartDigest { .. } => 434,
            Self::NoChart { .. } => 435,
            Self::NoRepository { .. } => 436,
            Self::OtherChart { .. } => 437,
            Self::ChartElsewhere { .. } => 438,
            Self::BadFluxFolder { .. } => 439,
            Self::Io(_) => 499,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Archive(error) => error.class(),
            Self::Fetch(error) => error.class(),
            Self::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => Class::NoSpace,
            Self::Io(_) | Self::Git { .. } | Self::Layout { .. } => Class::Failed,
            Self::Damaged { .. }
            | Self::Provenance { .. }
            | Self::ChartDigest { .. }
            | Self::OtherChart { .. } => Class::Refused,
            Self::NoRepository { .. } => Class::Unreachable,
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Archive(error) => return error.hint(),
            Self::Fetch(error) => return error.hint(),
            Self::Definition { nearest: Some(nearest), .. }
            | Self::NoChart { nearest: Some(nearest), has: None, .. } => format!("did you mean `{nearest}`?"),
            Self::Definition { nearest: None, .. } => {
                "`sealift schema` prints what a definition may hold".into()
            }
            Self::NotYet { .. } => {
                "leave it out; images and Git folders are what this version carries".into()
            }
            Self::NoLock { definition, .. } | Self::StaleLock { definition, .. } => {
                format!(
                    "run `sealift lock {}`, look at what changed, and commit the result",
                    definition.display()
                )
            }
            Self::NoPlatform { .. } => "change `platforms:`, or use an image that has it".into(),
            Self::NameTwice(_) => "give one of them another `name:`".into(),
            Self::Exists { .. } => {
                "move it away, or choose another folder; keys are never overwritten".into()
            }
            Self::NoPassword { .. } => {
                "set COSIGN_PASSWORD, or run it on a terminal and type the password".into()
            }
            Self::OtherStatement { .. } => {
                "run `sealift statement` again, and have the new statement signed with `sealift sign`".into()
            }
            Self::MissingDependencies { chart, .. } => format!("run `helm dependency build {chart}`"),
            Self::Provenance { .. } => {
                "one of the two was replaced: get both again from where they came".into()
            }
            Self::ChartDigest { .. } => {
                "the index is out of date, or the chart was replaced: ask who runs the repository".into()
            }
            Self::NoChart { .. } => "`name` and `version` must be those in the repository's index".into(),
            Self::NoRepository { .. } => "`repository` is the address that `helm repo add` takes".into(),
            Self::OtherChart { .. } => "the index of the repository is wrong: ask who runs it".into(),
            Self::ChartElsewhere { reference, .. } => {
                format!(
                    "write `- {reference}` under `charts`, with the version behind a colon if it is not there"
                )
            }
            Self::BadFluxFolder { .. } => {
                "put a file in its place, or take it out; Flux would leave it out without a word".into()
            }
            Self::Damaged { .. } => {
                "copy the file again from where it came from; if it stays damaged, make a new one".into()
            }
            _ => return None,
        })
    }
}
