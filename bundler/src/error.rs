//! What can go wrong on the vendor's side.

use std::path::PathBuf;

use sealift_archive::{Class, Code, Explain, Platform, Reference};

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
    /// Something that should be a chart is none, or may not be read.
    #[error("`{chart}` is no chart that can be read: {why}")]
    BadChart {
        /// The chart's folder, archive or reference.
        chart: String,
        /// What is wrong.
        why: String,
    },
    /// A values file, or a file of a chart, is not the YAML that it has to be.
    #[error("{0}")]
    NotYaml(crate::discover::Problem),
    /// Several things are wrong; each is told with its hint.
    #[error("{} things are wrong:{}", .0.len(), listed(.0))]
    Several(Vec<Error>),
    /// The archive has damage; the findings have been printed.
    #[error("`{file}` is damaged in {count} place{}", if *count == 1 { "" } else { "s" })]
    Damaged {
        /// The archive.
        file: String,
        /// How many damaged stretches there are.
        count: usize,
    },
}

impl Error {
    /// All failures of a run at once: none, the only one, or [`Error::Several`].
    ///
    /// # Errors
    /// If there are any.
    pub fn all(mut failures: Vec<Self>) -> Result<(), Self> {
        match failures.len() {
            0 => Ok(()),
            1 => Err(failures.remove(0)),
            _ => Err(Self::Several(failures)),
        }
    }
}

fn listed(errors: &[Error]) -> String {
    let lines: Vec<String> = errors.iter().map(|error| format!("\n  [{}] {error}", error.code())).collect();
    lines.concat()
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
            Self::BadChart { .. } => 440,
            Self::NotYaml(_) => 441,
            Self::Several(_) => 442,
            Self::Io(_) => 499,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Archive(error) => error.class(),
            Self::Fetch(error) => error.class(),
            Self::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => Class::NoSpace,
            Self::Io(_) | Self::Git { .. } | Self::Layout { .. } => Class::Failed,
            Self::Damaged { .. } => Class::Refused,
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Archive(error) => return error.hint(),
            Self::Fetch(error) => return error.hint(),
            Self::Definition { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
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
            Self::Damaged { .. } => {
                "copy the file again from where it came from; if it stays damaged, make a new one".into()
            }
            _ => return None,
        })
    }
}
