//! What can go wrong on the vendor's side.

use std::path::PathBuf;

use sealift_archive::release::ObjectId;

use sealift_archive::{AnyDigest, Class, Code, Digest, Explain, Platform, Reference};

use crate::git::{Elsewhere, Unfit};

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
    /// Several things are wrong; each is told.
    #[error("{} things are wrong", .0.len())]
    Several(Vec<Error>),
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
    #[error("`{}` failed for `{about}`: {said}", format!("git {command}").trim_end())]
    Git {
        /// The folder or repository to be packed.
        about: String,
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
    /// The address of a Git repository, or the ref that is wanted from it, is not to be used.
    #[error("the Git repository `{address}` cannot be used: {why}")]
    GitAddress {
        /// The address.
        address: String,
        /// Why.
        why: String,
    },
    /// A Git repository cannot be fetched from.
    #[error("fetching from `{repository}` failed: {said}")]
    GitRemote {
        /// Its address.
        repository: String,
        /// What Git and the server said.
        said: String,
    },
    /// A Git repository wants credentials, or other ones.
    #[error("`{repository}` lets us not in: {said}")]
    GitAccess {
        /// Its address.
        repository: String,
        /// What Git and the server said.
        said: String,
    },
    /// A Git repository does not have the ref.
    #[error("`{repository}` has no `{reference}`")]
    NoGitRef {
        /// Its address.
        repository: String,
        /// What was asked for.
        reference: String,
        /// Branches and tags of which one may have been meant.
        near: Vec<String>,
    },
    /// A name is that of a branch and of a tag.
    #[error("`{reference}` of `{repository}` is both a branch and a tag")]
    AmbiguousGitRef {
        /// The repository's address.
        repository: String,
        /// What was asked for.
        reference: String,
        /// Their full names.
        names: Vec<String>,
    },
    /// A Git repository of a kind that cannot be carried.
    #[error("`{repository}` cannot be carried: {why}")]
    GitSource {
        /// Its address.
        repository: String,
        /// Why.
        why: Unfit,
    },
    /// A commit names content that its repository does not hold.
    #[error("`{repository}` cannot be carried: `{path}` in commit {commit} is {what}")]
    NotInGit {
        /// The repository's address.
        repository: String,
        /// The commit.
        commit: ObjectId,
        /// The first such path.
        path: String,
        /// What it is.
        what: Elsewhere,
    },
    /// An object breaks Git's rules, and the appliance would refuse it.
    #[error("`{repository}` holds an object that breaks Git's rules: {said}")]
    BadGitObject {
        /// The repository's address.
        repository: String,
        /// What Git said about the object.
        said: String,
    },
    /// A repository has lost what was locked.
    #[error("`{repository}` no longer has {object}, which was locked")]
    GitGone {
        /// Its address.
        repository: String,
        /// A commit or tag.
        object: ObjectId,
    },
    /// The same objects in another pack.
    #[error("{version} on this machine packs `{repository}` into other bytes than where it was locked")]
    GitRepacked {
        /// The repository's address.
        repository: String,
        /// The version of Git.
        version: String,
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

fn for_platform(platform: Option<&String>) -> String {
    platform.map_or_else(String::new, |platform| format!(" for {platform}"))
}

fn as_type(artifact_type: Option<&String>) -> String {
    artifact_type.map_or_else(String::new, |artifact_type| format!("a `{artifact_type}`, "))
}

fn addresses(urls: &[String]) -> String {
    if urls.is_empty() { "any other address".to_owned() } else { urls.join(", ") }
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
            _ => Vec::new(),
        }
    }

    fn code(&self) -> Code {
        Code(match self {
            Self::Archive(error) => return error.code(),
            Self::Fetch(error) => return error.code(),
            Self::Definition { .. } => 401,
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
            Self::GitAddress { .. } => 450,
            Self::GitRemote { .. } => 451,
            Self::GitAccess { .. } => 452,
            Self::NoGitRef { .. } => 453,
            Self::AmbiguousGitRef { .. } => 454,
            Self::GitSource { .. } => 455,
            Self::NotInGit { .. } => 456,
            Self::BadGitObject { .. } => 457,
            Self::GitGone { .. } => 458,
            Self::GitRepacked { .. } => 459,
            Self::TwoCharts { .. } => 402,
            Self::NamesAlike { .. } => 460,
            Self::WrongFile { .. } => 461,
            Self::NotListed { .. } => 462,
            Self::BadList { .. } => 463,
            Self::NotAFile { .. } => 464,
            Self::Nowhere { .. } => 465,
            Self::Changed { .. } => 466,
            Self::OtherLock { .. } => 467,
            Self::NoRelease { .. } => 468,
            Self::FileAndFolder { .. } => 469,
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
            Self::MissingChild { .. } => 471,
            Self::DanglingReferrer { .. } => 472,
            Self::Referrers { .. } => 473,
            Self::ForeignLayer { .. } => 474,
            Self::NoForeignLayer { .. } => 475,
            Self::DockerArchive { .. } => 476,
            Self::CompressedArchive { .. } => 477,
            Self::TagTwice { .. } => 478,
            Self::UnreadableChart { .. } => 440,
            Self::NotYaml(_) => 441,
            Self::BadMention { .. } => 443,
            Self::Incomplete { .. } => 444,
            Self::Io(_) => 499,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Archive(error) => error.class(),
            Self::Fetch(error) => error.class(),
            Self::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => Class::NoSpace,
            Self::Io(_)
            | Self::Git { .. }
            | Self::Layout { .. }
            | Self::DockerArchive { .. }
            | Self::NoPackage { .. }
            | Self::Incomplete { .. } => Class::Failed,
            Self::Referrers { cause, .. } => cause.class(),
            Self::GitRemote { .. } | Self::GitAccess { .. } | Self::NoRepository { .. } => Class::Unreachable,
            Self::Several(errors) => {
                let first = errors.first().map_or(Class::Failed, Explain::class);
                if errors.iter().all(|error| error.class() == first) { first } else { Class::Failed }
            }
            Self::Damaged { .. }
            | Self::WrongFile { .. }
            | Self::BadGitObject { .. }
            | Self::Provenance { .. }
            | Self::ChartDigest { .. }
            | Self::OtherChart { .. }
            | Self::MissingChild { .. }
            | Self::DanglingReferrer { .. }
            | Self::NoForeignLayer { .. } => Class::Refused,
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Archive(error) => return error.hint(),
            Self::Fetch(error) => return error.hint(),
            Self::Definition { nearest: Some(nearest), .. }
            | Self::NoPackage { nearest: Some(nearest), .. }
            | Self::NoChart { nearest: Some(nearest), has: None, .. } => format!("did you mean `{nearest}`?"),
            Self::Definition { nearest: None, .. } => {
                "`sealift schema` prints what a definition may hold".into()
            }
            Self::NoLock { definition, .. } | Self::StaleLock { definition, .. } => {
                format!(
                    "run `sealift lock {}`, look at what changed, and commit the result",
                    definition.display()
                )
            }
            Self::NoPlatform { .. } => "change `platforms:`, or use an image that has it".into(),
            Self::NameTwice { .. } | Self::NamesAlike { .. } | Self::FileAndFolder { .. } => "give one of them another `name:`".into(),
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
            Self::GitAddress { .. } => {
                "an address is an https, http, ssh or file URL, `user@host:path`, or a path; credentials are Git's own \
                 (`git help credentials`)"
                    .into()
            }
            Self::GitRemote { repository, .. } => format!(
                "see what `git ls-remote {repository}` says; many servers say \"not found\" to who may not look"
            ),
            Self::GitAccess { repository, .. } => format!(
                "give Git the credentials, by a credential helper (`git help credentials`) or, for ssh, by a \
                 key in the agent and the server in `known_hosts`, until `git ls-remote {repository}` asks nothing"
            ),
            Self::NoGitRef { near, .. } if near.is_empty() => {
                "name a branch, a tag, a ref by its full name (`refs/…`), or a commit by all of its 40 characters"
                    .into()
            }
            Self::NoGitRef { near, .. } => format!("did you mean {}?", backticked(near)),
            Self::AmbiguousGitRef { names, .. } => format!("write {}", backticked(names)),
            Self::GitSource { why, .. } => why.hint().into(),
            Self::NotInGit { what, .. } => what.hint().into(),
            Self::BadGitObject { .. } => {
                "ask who keeps the repository to mend its history; or carry a folder with its content (`path:`)"
                    .into()
            }
            Self::GitGone { .. } => {
                "its history was rewritten: run `sealift lock` again and look at what changed, or push the object \
                 back"
                .into()
            }
            Self::GitRepacked { .. } => {
                "use the Git that it was locked with, or take the pack from an earlier bundle (`--previous`), or \
                 run `sealift lock` again without the lock of an earlier release"
                    .into()
            }
            Self::MissingChild { .. } => {
                "choose `platforms:` that are there, or ask who pushed or saved the image".into()
            }
            Self::DanglingReferrer { .. } => {
                "sign it again, or carry the image without what refers to it: `referrers: false`".into()
            }
            Self::Referrers { cause, .. } => {
                let without = "carry the image without signatures and SBOMs: `referrers: false`";
                cause.hint().map_or_else(|| without.to_owned(), |hint| format!("{hint}; or {without}"))
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

/// `a` or `b` or `c`
fn backticked(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
}
