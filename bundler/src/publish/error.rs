//! What can keep a release from being published, or a channel from being moved.

use std::path::PathBuf;

use sealift_archive::{ChannelName, Class, Code, Digest, Explain, Product, ReleaseName, Sequence};

/// Why nothing was published, or why a channel stays as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A place in which nothing can be published.
    #[error("nothing can be published in `{place}`: {why}")]
    BadPlace {
        /// As it was written.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something that is no file has the name of one.
    #[error("`{}` is no plain file", path.display())]
    InTheWay {
        /// What it is.
        path: PathBuf,
    },
    /// The trust root of somebody else is published in the same place.
    #[error("another trust root is published in `{place}` as version {version}")]
    OtherRoot {
        /// The place.
        place: String,
        /// The version.
        version: u64,
    },
    /// No release of this version is published.
    #[error("no release {wanted} is published in `{place}`")]
    NotPublished {
        /// What was asked for.
        wanted: String,
        /// The place.
        place: String,
        /// What is published there.
        releases: Vec<ReleaseName>,
    },
    /// A release of which content is missing or damaged.
    #[error(
        "{release} is not whole in `{place}`: {count} of its blobs are missing or damaged, such as {first}"
    )]
    NotWhole {
        /// The release.
        release: Box<ReleaseName>,
        /// The place.
        place: String,
        /// How many blobs.
        count: usize,
        /// One of them.
        first: Digest,
    },
    /// A channel that would name an older release than it does.
    #[error("channel `{channel}` names {current}, and cannot go back to {wanted}")]
    GoesBack {
        /// The channel.
        channel: ChannelName,
        /// What it names.
        current: Box<ReleaseName>,
        /// What it was to name.
        wanted: Box<ReleaseName>,
    },
    /// A floor that appliances would not believe, or that withdraws the release itself.
    #[error("the floor of channel `{channel}` cannot be {floor}: {why}")]
    BadFloor {
        /// The channel.
        channel: ChannelName,
        /// The floor.
        floor: Sequence,
        /// The reason.
        why: String,
    },
    /// A channel that nobody has published yet.
    #[error("there is no channel `{channel}` in `{place}` yet")]
    NoChannel {
        /// The channel.
        channel: ChannelName,
        /// The place.
        place: String,
    },
    /// A channel of another product.
    #[error("channel `{channel}` is of `{found}`, and not of `{wanted}`")]
    OtherProduct {
        /// The channel.
        channel: ChannelName,
        /// Its product.
        found: Product,
        /// The product of the release.
        wanted: Product,
    },
    /// A draft that no longer follows what is published.
    #[error("`{}` can no longer be published: {why}", file.display())]
    StaleDraft {
        /// The draft.
        file: PathBuf,
        /// What has happened since.
        why: String,
    },
    /// A command line with a word too few or too many.
    #[error("{} is wanted, and nothing else", if *names_release { "a version and a place" } else { "just a place" })]
    WrongWords {
        /// Whether a release is to be named.
        names_release: bool,
    },
    /// A channel was changed by somebody else at the same time.
    #[error("channel `{channel}` in `{place}` was changed by somebody else meanwhile")]
    Overtaken {
        /// The channel.
        channel: ChannelName,
        /// The place.
        place: String,
    },
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::BadPlace { .. } => 418,
            Self::InTheWay { .. } => 419,
            Self::OtherRoot { .. } => 425,
            Self::NotPublished { .. } => 426,
            Self::NotWhole { .. } => 427,
            Self::GoesBack { .. } => 428,
            Self::BadFloor { .. } => 429,
            Self::NoChannel { .. } => 445,
            Self::OtherProduct { .. } => 446,
            Self::StaleDraft { .. } => 447,
            Self::Overtaken { .. } => 448,
            Self::WrongWords { .. } => 449,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::OtherRoot { .. }
            | Self::NotWhole { .. }
            | Self::GoesBack { .. }
            | Self::OtherProduct { .. } => Class::Refused,
            Self::Overtaken { .. } => Class::Busy,
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::BadPlace { .. } => {
                "give a folder that a web server serves, or a repository: `oci://registry.example.com/acme/appliance`".into()
            }
            Self::InTheWay { .. } => "move it away".into(),
            Self::OtherRoot { .. } => "each vendor publishes in a place of its own: is this the right one, and the right --trust?".into(),
            Self::NotPublished { releases, .. } if releases.is_empty() => "`sealift publish` puts a release there".into(),
            Self::NotPublished { releases, .. } => {
                let names: Vec<String> = releases.iter().map(ToString::to_string).collect();
                format!("published are {}; `sealift publish` adds another one", names.join(", "))
            }
            Self::NotWhole { .. } => "run `sealift publish` with its bundle again: it brings what is missing; or withdraw an earlier release with `--floor`".into(),
            Self::GoesBack { .. } => {
                "appliances never go back; in an emergency, release the older content again with a higher sequence".into()
            }
            Self::BadFloor { .. } => "leave `--floor` out to keep the floor as it is".into(),
            Self::NoChannel { .. } => "name a release to begin it with: `sealift promote VERSION …`".into(),
            Self::OtherProduct { .. } => "publish each product in a place of its own".into(),
            Self::StaleDraft { .. } => "make a new draft, and have that one signed".into(),
            Self::WrongWords { .. } => "see `sealift promote --help`".into(),
            Self::Overtaken { .. } => "see `sealift channel show`; let one machine do it, and run the command again".into(),
        })
    }
}
