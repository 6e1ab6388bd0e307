//! What can keep an appliance from being set up.

use std::io;
use std::path::PathBuf;

use sealift_archive::{Class, Code, Digest, Explain, io_hint};

use super::plan::StepName;
use super::sources::Origin;

/// Why an appliance was not set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A source that cannot be understood.
    #[error("{origin} (`{place}`) cannot be understood: {why}")]
    Unreadable {
        /// Which.
        origin: Origin,
        /// The file, device or variable.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// An answer is missing that others call for.
    #[error("no answer to `{key}`: {why}")]
    Incomplete {
        /// To what.
        key: &'static str,
        /// Why it is needed.
        why: &'static str,
    },
    /// Two answers do not go together.
    #[error("`{key}` does not go with what else was answered: {why}")]
    Contradiction {
        /// Which.
        key: &'static str,
        /// Why not.
        why: String,
    },
    /// Answers are missing, and nobody is there to give them.
    #[error("no seed says what this appliance is to be, and there is no terminal to ask at")]
    NobodyToAsk,
    /// Whoever was asked went away.
    #[error("the questions were not answered to their end")]
    GoneAway,
    /// What setup keeps is not what it has written.
    #[error("`{}` is not what was written there: {why}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is no trust root.
    #[error("the image carries no trust root, and none is pinned")]
    NoTrust,
    /// The image is another vendor's than the data disk.
    #[error("the image's trust root ({}) is another one than what is pinned here ({})", image.short(), pinned.short())]
    OtherRoot {
        /// The one that is pinned.
        pinned: Digest,
        /// The image's.
        image: Digest,
    },
    /// A change that cannot be followed.
    #[error("`{key}` cannot change any more from `{was}` to `{is}`: Kubernetes knows this node by it")]
    NotFollowed {
        /// Which answer.
        key: &'static str,
        /// What it was.
        was: String,
        /// What it is now.
        is: String,
    },
    /// The network has given no address.
    #[error("this machine has no address{}", on(cards))]
    NoAddress {
        /// Its network cards.
        cards: Vec<String>,
    },
    /// A step failed.
    #[error("step `{step}` failed: `{what}`: {why}")]
    Step {
        /// Which.
        step: StepName,
        /// What was done.
        what: String,
        /// Why it failed.
        why: String,
    },
    /// Only root may.
    #[error("to set an appliance up is root's work")]
    NotRoot,
    /// Somebody else is at it.
    #[error("setup is under way already")]
    Busy,
    /// What the store says.
    #[error(transparent)]
    Store(Box<sealift_store::Error>),
    /// Reading or writing failed; the message names the path.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// ` on ens160, ens192`
fn on(cards: &[String]) -> String {
    if cards.is_empty() { ", and no network card".to_owned() } else { format!(" on {}", cards.join(", ")) }
}

impl From<sealift_store::Error> for Error {
    fn from(error: sealift_store::Error) -> Self {
        Self::Store(Box::new(error))
    }
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::Unreadable { .. } => 720,
            Self::Incomplete { .. } => 721,
            Self::Contradiction { .. } => 722,
            Self::NobodyToAsk => 723,
            Self::GoneAway => 724,
            Self::Damaged { .. } => 725,
            Self::NoTrust => 726,
            Self::OtherRoot { .. } => 727,
            Self::NotFollowed { .. } => 728,
            Self::NoAddress { .. } => 729,
            Self::Step { .. } => 730,
            Self::Busy => 731,
            Self::NotRoot => 732,
            Self::Store(error) => return error.code(),
            Self::Io(_) => 739,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Unreadable { .. }
            | Self::Incomplete { .. }
            | Self::Contradiction { .. }
            | Self::NobodyToAsk
            | Self::NotRoot => Class::Usage,
            Self::GoneAway => Class::Interrupted,
            Self::OtherRoot { .. } | Self::NotFollowed { .. } => Class::Refused,
            Self::Busy => Class::Busy,
            Self::Store(error) => error.class(),
            Self::Io(error) if error.kind() == io::ErrorKind::StorageFull => Class::NoSpace,
            Self::Damaged { .. }
            | Self::NoTrust
            | Self::NoAddress { .. }
            | Self::Step { .. }
            | Self::Io(_) => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreadable { .. } => {
                "correct it, or take it away to be asked at the console; `docs/operator.md` shows all answers".into()
            }
            Self::Incomplete { .. } | Self::Contradiction { .. } => {
                "correct the seed and start again, or run `sealiftctl setup --ask` at a terminal".into()
            }
            Self::NobodyToAsk => {
                "run `sealiftctl setup` at the console, or give the machine a seed; `docs/operator.md` shows one".into()
            }
            Self::GoneAway => "nothing was changed; run `sealiftctl setup` again".into(),
            Self::Damaged { .. } => {
                "bring it back from a backup, or remove it: then the appliance is asked again what it is to be".into()
            }
            Self::NoTrust => "pin the vendor's: `sealiftctl trust pin ROOT.json`; then run `sealiftctl setup` again".into(),
            Self::OtherRoot { .. } => {
                "a data disk stays its vendor's: attach that vendor's system disk, or an empty data disk".into()
            }
            Self::NotFollowed { key: "network", .. } => {
                "give it the old address again; an appliance of three nodes can take this one out and let it join anew".into()
            }
            Self::NotFollowed { .. } => {
                "answer as before; an appliance of three nodes can take this one out and let it join anew".into()
            }
            Self::NoAddress { .. } => {
                "see to the network, or give it a static address: `sealiftctl setup --ask`; then run `sealiftctl setup` again".into()
            }
            Self::Step { .. } => "mend that, and run `sealiftctl setup` again: what was done stays".into(),
            Self::NotRoot => "run it as root; `--plan` may be anybody's".into(),
            Self::Busy => "wait for it: `journalctl --follow --unit sealift-first-boot`".into(),
            Self::Store(error) => return error.hint(),
            Self::Io(error) => return io_hint(error),
        })
    }
}
