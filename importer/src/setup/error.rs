//! What can keep an appliance from being set up.

use std::io;
use std::path::PathBuf;

use sealift_archive::{Class, Code, Explain, io_hint};

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
    /// Reading or writing failed; the message names the path.
    #[error(transparent)]
    Io(#[from] io::Error),
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
            Self::Io(_) => 739,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Unreadable { .. }
            | Self::Incomplete { .. }
            | Self::Contradiction { .. }
            | Self::NobodyToAsk => Class::Usage,
            Self::GoneAway => Class::Interrupted,
            Self::Io(error) if error.kind() == io::ErrorKind::StorageFull => Class::NoSpace,
            Self::Damaged { .. } | Self::Io(_) => Class::Failed,
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
            Self::Io(error) => return io_hint(error),
        })
    }
}
