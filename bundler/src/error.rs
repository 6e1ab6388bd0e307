//! What can go wrong on the vendor's side.

use std::path::PathBuf;

use sealift_archive::{Class, Code, Digest, Explain, ReleaseName};

use crate::{bundle, chart, git, image, ova, overlay, publish, sbom, trust};

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
    /// A container image.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// A chart.
    #[error(transparent)]
    Chart(#[from] chart::Error),
    /// A Git repository, or a folder that becomes one.
    #[error(transparent)]
    Git(#[from] git::Error),
    /// A key, or a trust folder.
    #[error(transparent)]
    Trust(#[from] trust::Error),
    /// A question about packages.
    #[error(transparent)]
    Sbom(#[from] sbom::Error),
    /// The releases that a bundle is made with.
    #[error(transparent)]
    Bundle(#[from] bundle::BundleError),
    /// Publishing a release, or a channel.
    #[error(transparent)]
    Publish(#[from] publish::Error),
    /// An appliance for vSphere.
    #[error(transparent)]
    Ova(#[from] ova::Error),
    /// An overlay.
    #[error(transparent)]
    Overlay(#[from] overlay::Error),
    /// An archive does not carry a release that was asked for.
    #[error("`{}` does not carry a release `{wanted}`", bundle.display())]
    NoSuchRelease {
        /// The archive.
        bundle: PathBuf,
        /// What was asked for.
        wanted: String,
        /// What it carries.
        releases: Vec<ReleaseName>,
    },
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
    /// Two things of a release would have one name.
    #[error("two things of the release are named `{name}`")]
    NameTwice {
        /// The name.
        name: String,
    },
    /// Two charts that would be served under one name.
    #[error("charts `{other}` and `{one}` would both be served as `{name}`")]
    TwoCharts {
        /// The name.
        name: String,
        /// The one.
        one: String,
        /// The other.
        other: String,
    },
    /// Two names that a file system without case takes for one.
    #[error("`{one}` and `{other}` differ only in case")]
    NamesAlike {
        /// The one.
        one: String,
        /// The other.
        other: String,
    },
    /// A file whose name is also that of a folder.
    #[error("`{file}` cannot be a file and the folder of `{inside}`")]
    FileAndFolder {
        /// The file.
        file: String,
        /// A file in the folder.
        inside: String,
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
    #[error("{what} of the lock is nowhere to be had{}", listed(digests))]
    Nowhere {
        /// The image, chart, folder, repository or file.
        what: String,
        /// What is missing of it.
        digests: Vec<Digest>,
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
    /// A folder holds something that no Flux artifact carries.
    #[error("`{}` cannot be in a Flux artifact: {why}", path.display())]
    BadFluxFolder {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// Something that should be a chart is none, or may not be read.
    #[error("`{chart}` is no chart that can be read: {why}")]
    UnreadableChart {
        /// The chart's folder, archive or reference.
        chart: String,
        /// What is wrong.
        why: String,
    },
    /// A values file, or a file of a chart, is not the YAML that it has to be.
    #[error("{0}")]
    NotYaml(crate::discover::Problem),
    /// What is named as an image, and cannot be fetched as it is written.
    #[error("`{reference}`, named in {place}, is no reference that can be fetched")]
    BadMention {
        /// As it is written.
        reference: String,
        /// Where.
        place: String,
    },
    /// Images are missing; they have been listed.
    #[error("{}", incomplete(*missing, *unclear))]
    Incomplete {
        /// How many are missing.
        missing: usize,
        /// How many places may name an image and could not be read.
        unclear: usize,
    },
    /// Something is older than the definition allows; it has been listed.
    #[error("{count} of what the release is made of {} older than `rebuild.maxAgeDays`, or {} not say how old {}", if *count == 1 { "is" } else { "are" }, if *count == 1 { "does" } else { "do" }, if *count == 1 { "it is" } else { "they are" })]
    TooOld {
        /// How many images and the like.
        count: usize,
    },
    /// The archive has damage; the findings have been printed.
    #[error("`{file}` is damaged in {count} place{}", if *count == 1 { "" } else { "s" })]
    Damaged {
        /// The archive.
        file: String,
        /// How many damaged stretches there are.
        count: usize,
    },
    /// The archive, or its parity, has damage that can be repaired; the findings have been printed.
    #[error(
        "{}`{file}` is damaged, and can be {} again",
        if *only_parity { "the parity of " } else { "" },
        if *only_parity { "made" } else { "made whole" }
    )]
    Repairable {
        /// The archive.
        file: String,
        /// Whether only its parity is damaged.
        only_parity: bool,
    },
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

    /// What a library or a room of this crate said, which explains itself.
    fn passed_on(&self) -> Option<&dyn Explain> {
        match self {
            Self::Archive(error) => Some(error),
            Self::Fetch(error) => Some(error),
            Self::Image(error) => Some(error),
            Self::Chart(error) => Some(error),
            Self::Git(error) => Some(error),
            Self::Sbom(error) => Some(error),
            Self::Trust(error) => Some(error),
            Self::Bundle(error) => Some(error),
            Self::Publish(error) => Some(error),
            Self::Ova(error) => Some(error),
            Self::Overlay(error) => Some(error),
            _ => None,
        }
    }
}

/// `: <digest> and 2 more`
fn listed(digests: &[Digest]) -> String {
    match digests {
        [] => String::new(),
        [one] => format!(": {one}"),
        [first, rest @ ..] => format!(": {first} and {} more", rest.len()),
    }
}

fn incomplete(missing: usize, unclear: usize) -> String {
    let s = |n: usize| if n == 1 { "" } else { "s" };
    let missing_images = format!("the release lacks {missing} image{} that it names", s(missing));
    let unclear_places = format!("{unclear} place{} may name an image and cannot be read", s(unclear));
    match (missing, unclear) {
        (_, 0) => missing_images,
        (0, _) => unclear_places,
        _ => format!("{missing_images}, and {unclear_places}"),
    }
}

impl Explain for Error {
    fn parts(&self) -> Vec<&dyn Explain> {
        match self {
            Self::Several(errors) => errors.iter().map(|error| error as &dyn Explain).collect(),
            _ => self.passed_on().map_or_else(Vec::new, Explain::parts),
        }
    }

    fn code(&self) -> Code {
        Code(match self {
            Self::Archive(error) => return error.code(),
            Self::Fetch(error) => return error.code(),
            Self::Image(error) => return error.code(),
            Self::Chart(error) => return error.code(),
            Self::Git(error) => return error.code(),
            Self::Sbom(error) => return error.code(),
            Self::Trust(error) => return error.code(),
            Self::Bundle(error) => return error.code(),
            Self::Publish(error) => return error.code(),
            Self::Ova(error) => return error.code(),
            Self::Overlay(error) => return error.code(),
            Self::Definition { .. } => 401,
            Self::TwoCharts { .. } => 402,
            Self::NoLock { .. } => 403,
            Self::StaleLock { .. } => 404,
            Self::NameTwice { .. } => 406,
            Self::Exists { .. } => 411,
            Self::NoPassword { .. } => 412,
            Self::PasswordsDiffer => 413,
            Self::OtherStatement { .. } => 414,
            Self::Damaged { .. } => 415,
            Self::Repairable { .. } => 498,
            Self::Several(_) => 416,
            Self::NamesAlike { .. } => 460,
            Self::WrongFile { .. } => 461,
            Self::NotListed { .. } => 462,
            Self::BadList { .. } => 463,
            Self::NotAFile { .. } => 464,
            Self::Nowhere { .. } => 465,
            Self::Changed { .. } => 466,
            Self::OtherLock { .. } => 467,
            Self::NoRelease { .. } => 468,
            Self::NoSuchRelease { .. } => 494,
            Self::FileAndFolder { .. } => 469,
            Self::BadFluxFolder { .. } => 439,
            Self::UnreadableChart { .. } => 440,
            Self::NotYaml(_) => 441,
            Self::BadMention { .. } => 443,
            Self::Incomplete { .. } => 444,
            Self::TooOld { .. } => 479,
            Self::Io(_) => 499,
        })
    }

    fn class(&self) -> Class {
        if let Some(error) = self.passed_on() {
            return error.class();
        }
        match self {
            Self::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => Class::NoSpace,
            Self::Io(_) | Self::Incomplete { .. } | Self::TooOld { .. } => Class::Failed,
            Self::Several(errors) => {
                let first = errors.first().map_or(Class::Failed, Explain::class);
                if errors.iter().all(|error| error.class() == first) { first } else { Class::Failed }
            }
            Self::Damaged { .. } | Self::Repairable { .. } | Self::WrongFile { .. } => Class::Refused,
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        if let Some(error) = self.passed_on() {
            return error.hint();
        }
        Some(match self {
            Self::Definition { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
            Self::Definition { nearest: None, .. } => {
                "`sealift schema` prints what a definition may hold".into()
            }
            Self::NoLock { definition, .. } | Self::StaleLock { definition, .. } => {
                format!(
                    "run `sealift lock {}`, look at what changed, and commit the result",
                    definition.display()
                )
            }
            Self::NameTwice { .. } | Self::NamesAlike { .. } | Self::FileAndFolder { .. } => "give one of them another `name:`".into(),
            Self::TooOld { .. } => {
                "build them again on a base of today; or give each a waiver under `rebuild.waivers`, with a reason and an end".into()
            }
            Self::BadMention { .. } => "write it in full, or lock it by hand under `images:`".into(),
            Self::Incomplete { missing: 0, .. } => {
                "install helm, or give the chart values that it needs under `values:`; `--allow-unclear` lets it pass".into()
            }
            Self::Incomplete { .. } => "name them under `images:`, or run `sealift lock --discover`".into(),
            Self::TwoCharts { .. } => "give one of them another name with `as:`".into(),
            Self::WrongFile { .. } => {
                "fetch the file again from its publisher; if it is a new one, change the digest that it must have"
                    .into()
            }
            Self::OtherLock { .. } => "give a RELEASE.lock.json; `sealift lock` writes a new one".into(),
            Self::Changed { .. } => "run `sealift lock` again, look at what changed, and commit the result".into(),
            Self::NotListed { .. } => "give the `sha256sum` file of the same release and architecture".into(),
            Self::NoSuchRelease { releases, .. } if releases.is_empty() => "name an archive".into(),
            Self::NoSuchRelease { releases, .. } => {
                let names: Vec<String> = releases.iter().map(ToString::to_string).collect();
                format!("it carries {}", names.join(", "))
            }
            Self::Nowhere { .. } => {
                "put it back where it lay when it was locked, take it from an earlier bundle (`--previous`), or run `sealift lock` again".into()
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
            Self::BadFluxFolder { .. } => {
                "put a file in its place, or take it out; Flux would leave it out without a word".into()
            }
            Self::Repairable { only_parity: true, .. } => {
                "the archive is whole: `sealift parity --trust ROOT.json` makes parity for it in a new folder".into()
            }
            Self::Repairable { file, .. } => {
                format!("while it can still be read: `sealift repair {file} --into DIR --trust ROOT.json`")
            }
            Self::Damaged { .. } => {
                "copy the file again from where it came from; if it stays damaged, make a new one".into()
            }
            _ => return None,
        })
    }
}
