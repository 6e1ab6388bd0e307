//! What can go wrong on the vendor's side.

use std::fmt;
use std::path::PathBuf;

use sealift_archive::{AnyDigest, Class, Code, Digest, Explain, Platform, Reference};

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
    NameTwice(Box<Reference>),
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
    /// Several things went wrong; each is told.
    #[error("{} things went wrong:{}", .0.len(), Listed(.0))]
    Several(Vec<Self>),
    /// An index names a manifest that is not there.
    #[error("`{index}` names {child}{}, which `{place}` does not have", for_platform(platform.as_ref()))]
    MissingChild {
        /// The index.
        index: String,
        /// The manifest.
        child: Box<AnyDigest>,
        /// What it is for, if the index says so.
        platform: Option<String>,
        /// The registry, layout or archive.
        place: String,
    },
    /// What is listed as a signature or SBOM is not there.
    #[error("`{subject}` is said to have {}{referrer}, which `{place}` does not have", as_type(artifact_type.as_ref()))]
    DanglingReferrer {
        /// What it should refer to.
        subject: String,
        /// What is missing.
        referrer: Box<AnyDigest>,
        /// What it should be, if the list says so.
        artifact_type: Option<String>,
        /// The registry, layout or archive.
        place: String,
    },
    /// Nobody can say what refers to an image.
    #[error("what refers to `{subject}` cannot be found out: {cause}")]
    Referrers {
        /// A manifest of the image.
        subject: String,
        /// Why.
        cause: Box<Self>,
    },
    /// A layer that its registry may not give away.
    #[error("`{image}` has a foreign layer, {layer}, which registries do not keep")]
    ForeignLayer {
        /// The image.
        image: String,
        /// The layer.
        layer: Box<AnyDigest>,
    },
    /// A layer that its registry may not give away, and that nobody else gives either.
    #[error("foreign layer {layer} of `{image}` is neither in `{place}` nor at {}", addresses(urls))]
    NoForeignLayer {
        /// The image.
        image: String,
        /// The layer.
        layer: Box<AnyDigest>,
        /// The registry, layout or archive.
        place: String,
        /// Where the image says that it is.
        urls: Vec<String>,
    },
    /// An archive of `docker save` does not hold what it should.
    #[error("docker archive `{}`: {why}", archive.display())]
    DockerArchive {
        /// The archive.
        archive: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// An archive that cannot be read in place.
    #[error("docker archive `{}` is compressed with {format}", archive.display())]
    CompressedArchive {
        /// The archive.
        archive: PathBuf,
        /// How it is compressed.
        format: &'static str,
        /// What undoes it.
        program: &'static str,
    },
    /// Two images would have one tag for different things.
    #[error("`{name}` would have to be {one} for one image of the release and {other} for another")]
    TagTwice {
        /// The tag.
        name: Box<Reference>,
        /// What it is for the one.
        one: Digest,
        /// What it is for the other.
        other: Digest,
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
    /// The archive has damage; the findings have been printed.
    #[error("`{file}` is damaged in {count} place{}", if *count == 1 { "" } else { "s" })]
    Damaged {
        /// The archive.
        file: String,
        /// How many damaged stretches there are.
        count: usize,
    },
}

/// One line for each error.
struct Listed<'a>(&'a [Error]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|error| write!(f, "\n  - {}: {error}", error.code()))
    }
}

fn for_platform(platform: Option<&String>) -> String {
    platform.map_or_else(String::new, |platform| format!(" for {platform}"))
}

fn as_type(artifact_type: Option<&String>) -> String {
    artifact_type.map_or_else(String::new, |artifact_type| format!("a `{artifact_type}`, "))
}

fn addresses(urls: &[String]) -> String {
    if urls.is_empty() { "any other address".to_owned() } else { urls.join(", ") }
}

impl Error {
    /// The errors of a run as one: itself if there is only one. `None` if there are none.
    #[must_use]
    pub fn all(mut errors: Vec<Self>) -> Option<Self> {
        if errors.len() > 1 { Some(Self::Several(errors)) } else { errors.pop() }
    }
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
            Self::Several(_) => 470,
            Self::MissingChild { .. } => 471,
            Self::DanglingReferrer { .. } => 472,
            Self::Referrers { .. } => 473,
            Self::ForeignLayer { .. } => 474,
            Self::NoForeignLayer { .. } => 475,
            Self::DockerArchive { .. } => 476,
            Self::CompressedArchive { .. } => 477,
            Self::TagTwice { .. } => 478,
            Self::Io(_) => 499,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Archive(error) => error.class(),
            Self::Fetch(error) => error.class(),
            Self::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => Class::NoSpace,
            Self::Io(_) | Self::Git { .. } | Self::Layout { .. } | Self::DockerArchive { .. } => {
                Class::Failed
            }
            Self::MissingChild { .. } | Self::DanglingReferrer { .. } | Self::NoForeignLayer { .. } => {
                Class::Refused
            }
            Self::Referrers { cause, .. } => cause.class(),
            Self::Several(errors) => {
                let first = errors.first().map_or(Class::Failed, Explain::class);
                if errors.iter().all(|error| error.class() == first) { first } else { Class::Failed }
            }
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
            Self::Several(errors) => return errors.iter().find_map(Explain::hint),
            Self::MissingChild { .. } => {
                "choose `platforms:` that are there, or ask who pushed or saved the image".into()
            }
            Self::DanglingReferrer { .. } => {
                "sign it again, or carry the image without what refers to it: `referrers: false`".into()
            }
            Self::Referrers { cause, .. } => {
                let without = "or carry the image without signatures and SBOMs: `referrers: false`";
                cause.hint().map_or_else(|| without.to_owned(), |hint| format!("{hint}; {without}"))
            }
            Self::ForeignLayer { .. } => {
                "if its licence allows it, carry it all the same with `foreignLayers: carry`".into()
            }
            Self::NoForeignLayer { .. } => {
                "ask who made the image; addresses without https:// are asked only with --plain-http".into()
            }
            Self::CompressedArchive { program, archive, .. } => {
                format!("it is read in place, so decompress it first: `{program} {}`", archive.display())
            }
            _ => return None,
        })
    }
}
