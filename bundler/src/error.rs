//! What can go wrong on the vendor's side.

use std::path::PathBuf;

use sealift_archive::{Class, Code, Digest, Explain, Platform};

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
    /// Two things of a release would have one name.
    #[error("two things of the release are named `{name}`")]
    NameTwice {
        /// The name.
        name: String,
    },
    /// Two names that a file system without case takes for one.
    #[error("`{one}` and `{other}` differ only in case")]
    NamesAlike {
        /// The one.
        one: String,
        /// The other.
        other: String,
    },
    /// A file is not what it should be.
    #[error("`{file}` has the SHA-256 {} instead of {}", found.hex(), wanted.hex())]
    WrongFile {
        /// Path or URL.
        file: String,
        /// What it should have.
        wanted: Digest,
        /// What it has.
        found: Digest,
    },
    /// Something that should be a file.
    #[error("`{}` is not a file", path.display())]
    NotAFile {
        /// What it is.
        path: PathBuf,
    },
    /// A file that the checksums should vouch for.
    #[error("`{lists}` has no checksum for `{name}`, so nothing vouches for `{file}`")]
    NotListed {
        /// Path or URL of the file.
        file: String,
        /// Its name.
        name: String,
        /// The lists that were read.
        lists: String,
    },
    /// A list of checksums or images that cannot be read.
    #[error("`{file}` line {line}: {why}")]
    BadList {
        /// Path or URL.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// Content that is neither on this machine nor on any server that the lock names.
    #[error("content `{digest}` of the lock is nowhere to be had")]
    Nowhere {
        /// The content.
        digest: Digest,
    },
    /// A file that is not what it was when it was locked.
    #[error("`{}` has changed since it was locked", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A document that is not a lock of this version of Sealift.
    #[error("`{}` is a `{form}`, not a lock that this version of Sealift knows", lock.display())]
    OtherLock {
        /// The document.
        lock: PathBuf,
        /// `sealift/v1 Lock`, or what it is instead.
        form: String,
    },
    /// An archive that carries no release.
    #[error("`{}` carries no release", bundle.display())]
    NoRelease {
        /// The archive.
        bundle: PathBuf,
    },
    /// Several things are wrong; each is told.
    #[error("{} things are wrong", .0.len())]
    Several(Vec<Error>),
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
    /// The archive has damage; the findings have been printed.
    #[error("`{file}` is damaged in {count} place{}", if *count == 1 { "" } else { "s" })]
    Damaged {
        /// The archive.
        file: String,
        /// How many damaged stretches there are.
        count: usize,
    },
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
    PartOfSbom,
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

impl Error {
    /// The errors of a run as one: itself if there is only one, `None` if there are none.
    #[must_use]
    pub fn all(errors: Vec<Self>) -> Option<Self> {
        let mut flat: Vec<Self> = Vec::new();
        for error in errors {
            match error {
                Self::Several(inner) => flat.extend(inner),
                error => flat.push(error),
            }
        }
        if flat.len() > 1 { Some(Self::Several(flat)) } else { flat.pop() }
    }
}

impl Explain for Error {
    fn parts(&self) -> Vec<&dyn Explain> {
        match self {
            Self::Several(errors) => errors.iter().map(|error| error as &dyn Explain).collect(),
            _ => Vec::new(),
        }
    }

    fn code(&self) -> Code {
        Code(match self {
            Self::Archive(error) => return error.code(),
            Self::Fetch(error) => return error.code(),
            Self::Definition { .. } => 401,
            Self::NotYet { .. } => 402,
            Self::NoLock { .. } => 403,
            Self::StaleLock { .. } => 404,
            Self::NoPlatform { .. } => 405,
            Self::NameTwice { .. } => 406,
            Self::BadImage { .. } => 407,
            Self::Layout { .. } => 408,
            Self::Git { .. } => 409,
            Self::BadFolder { .. } => 410,
            Self::Exists { .. } => 411,
            Self::NoPassword { .. } => 412,
            Self::PasswordsDiffer => 413,
            Self::OtherStatement { .. } => 414,
            Self::Damaged { .. } => 415,
            Self::Several(_) => 416,
            Self::NoPackage { .. } => 420,
            Self::NoImage { .. } => 421,
            Self::PartOfSbom => 422,
            Self::SeveralReleases { .. } => 423,
            Self::NotATime(_) => 424,
            Self::NamesAlike { .. } => 460,
            Self::WrongFile { .. } => 461,
            Self::NotListed { .. } => 462,
            Self::BadList { .. } => 463,
            Self::NotAFile { .. } => 464,
            Self::Nowhere { .. } => 465,
            Self::Changed { .. } => 466,
            Self::OtherLock { .. } => 467,
            Self::NoRelease { .. } => 468,
            Self::Io(_) => 499,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Archive(error) => error.class(),
            Self::Fetch(error) => error.class(),
            Self::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => Class::NoSpace,
            Self::Io(_) | Self::Git { .. } | Self::Layout { .. } | Self::NoPackage { .. } => Class::Failed,
            Self::Damaged { .. } | Self::WrongFile { .. } => Class::Refused,
            Self::Several(errors) => {
                let first = errors.first().map_or(Class::Failed, Explain::class);
                if errors.iter().all(|error| error.class() == first) { first } else { Class::Failed }
            }
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Archive(error) => return error.hint(),
            Self::Fetch(error) => return error.hint(),
            Self::Definition { nearest: Some(nearest), .. }
            | Self::NoPackage { nearest: Some(nearest), .. } => {
                format!("did you mean `{nearest}`?")
            }
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
            Self::NameTwice { .. } | Self::NamesAlike { .. } => "give one of them another `name:`".into(),
            Self::WrongFile { .. } => {
                "fetch the file again from its publisher; if it is a new one, change the digest that it must have"
                    .into()
            }
            Self::OtherLock { .. } => "give a RELEASE.lock.json; `sealift lock` writes a new one".into(),
            Self::Changed { .. } => "run `sealift lock` again, look at what changed, and commit the result".into(),
            Self::NotListed { .. } => "give the `sha256sum` file of the same release and architecture".into(),
            Self::Nowhere { .. } => {
                "run `sealift lock` again; what lay on this machine when it was locked may be gone".into()
            }
            Self::Exists { .. } => {
                "move it away, or choose another folder; keys are never overwritten".into()
            }
            Self::NoPassword { .. } => {
                "set COSIGN_PASSWORD, or run it on a terminal and type the password".into()
            }
            Self::OtherStatement { .. } => {
                "run `sealift statement` again, and have the new statement signed with `sealift sign`".into()
            }
            Self::NoPackage { nearest: None, uncertain, .. } if *uncertain > 0 => {
                "`sealift sbom` without `--package` says which images these are, and why".into()
            }
            Self::NoPackage { .. } => "a name has to be exact; `openssl*` finds all that begin so".into(),
            Self::NoImage { images, .. } if images.is_empty() => "the archive carries no images".into(),
            Self::NoImage { images, .. } => {
                format!("it carries {}", images.join(", "))
            }
            Self::PartOfSbom => "leave one of `--package` and `--format` out".into(),
            Self::SeveralReleases { .. } => "leave `--format` out: the table shows all of them".into(),
            Self::Damaged { .. } => {
                "copy the file again from where it came from; if it stays damaged, make a new one".into()
            }
            _ => return None,
        })
    }
}
