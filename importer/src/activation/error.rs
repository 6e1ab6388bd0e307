//! Why a release does not run.

use std::io;
use std::path::PathBuf;

use sealift_archive::{Class, Code, Explain, ReleaseName, Sequence};

/// What went wrong with an activation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A check before anything was changed said no.
    #[error("{release} was not activated, and nothing was changed: {reason}")]
    Preflight {
        /// The release.
        release: Box<ReleaseName>,
        /// The check, and what it said.
        reason: String,
    },
    /// It failed where that can be undone, and was undone.
    #[error("activating {release} failed in phase {phase}, and {}: {reason}", back_at(active.as_deref()))]
    WentBack {
        /// The release.
        release: Box<ReleaseName>,
        /// The phase that failed.
        phase: String,
        /// What went wrong there.
        reason: String,
        /// What is active again.
        active: Option<Box<ReleaseName>>,
    },
    /// It failed, and a person has to say how to go on.
    #[error("the way {} stopped in phase {phase}: {reason}", to(goal.as_deref()))]
    Stopped {
        /// The release that it was to go to; none: to before the first activation.
        goal: Option<Box<ReleaseName>>,
        /// The phase that failed.
        phase: String,
        /// What went wrong there.
        reason: String,
        /// Whether it leads to a release that was not active before.
        is_forward: bool,
    },
    /// Another activation has to come to its end first.
    #[error("an activation of {under_way} is under way, so sequence {wanted} cannot be made the active one")]
    UnderWay {
        /// The release that is being activated, or gone back to.
        under_way: Box<ReleaseName>,
        /// The one that was asked for.
        wanted: Sequence,
    },
    /// The journal has something to do that the configuration does not know.
    #[error("{what} belongs to the activation that is under way, and the configuration does not have it")]
    NotConfigured {
        /// What is missing.
        what: String,
    },
    /// Going back means something for data, and nobody has said yet that this is known.
    #[error("going back to {goal} means: {}", warnings.join("; "))]
    NeedsConsent {
        /// The release that would be gone back to.
        goal: Box<ReleaseName>,
        /// What the hooks that are gone back behind say.
        warnings: Vec<String>,
    },
    /// The helper that does what only root may do did not do it.
    #[error("the helper behind `{}` {why}", socket.display())]
    Helper {
        /// Its socket.
        socket: PathBuf,
        /// What it said or did.
        why: String,
    },
    /// The helper was asked by somebody who may not ask, or for something that it does not do.
    #[error("refused: {why}")]
    HelperRefuses {
        /// Why.
        why: String,
    },
    /// What was started before is still at work.
    #[error("the hook `{hook}` cannot begin: one that was started before is still at work")]
    StillAtWork {
        /// The hook that has to wait.
        hook: String,
    },
    /// A program that the release brings cannot take the place of the installed one.
    #[error("`{}` cannot be installed: {why}", program.display())]
    Program {
        /// Where it belongs.
        program: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The new program is installed, and could not be started in place of this one.
    #[error("`{}` is installed and could not be started in place of this one: {cause}", program.display())]
    Restart {
        /// The program.
        program: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A release that is not earlier than the active one.
    #[error("{release} was not active before {active}, which is active: there is nothing to go back to")]
    NotEarlier {
        /// The release that was asked for.
        release: Box<ReleaseName>,
        /// What is active.
        active: Box<ReleaseName>,
    },
}

fn back_at(active: Option<&ReleaseName>) -> String {
    match active {
        Some(active) => format!("{active} is active as before"),
        None => "no release is active, as before".to_owned(),
    }
}

fn to(goal: Option<&ReleaseName>) -> String {
    match goal {
        Some(goal) => format!("to {goal}"),
        None => "back to before the first activation".to_owned(),
    }
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::Preflight { .. } => 525,
            Self::WentBack { .. } => 526,
            Self::Stopped { .. } => 527,
            Self::UnderWay { .. } => 528,
            Self::NotConfigured { .. } => 530,
            Self::NeedsConsent { .. } => 531,
            Self::Helper { .. } => 532,
            Self::HelperRefuses { .. } => 533,
            Self::StillAtWork { .. } => 534,
            Self::Program { .. } => 535,
            Self::Restart { .. } => 536,
            Self::NotEarlier { .. } => 537,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Preflight { .. }
            | Self::NeedsConsent { .. }
            | Self::HelperRefuses { .. }
            | Self::Program { .. }
            | Self::NotEarlier { .. } => Class::Refused,
            Self::UnderWay { .. } | Self::StillAtWork { .. } => Class::Busy,
            Self::NotConfigured { .. } => Class::Usage,
            Self::WentBack { .. } | Self::Stopped { .. } | Self::Helper { .. } | Self::Restart { .. } => {
                Class::Failed
            }
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Preflight { .. } => "mend what the check found, and run the same command again".to_owned(),
            Self::WentBack { release, .. } => {
                format!("mend that, and try again: `sealiftctl activate {}`", release.version)
            }
            Self::Stopped { goal: Some(goal), is_forward: true, .. } => format!(
                "this is behind the point of no return, so nothing was undone: mend that and try again from there with \
                 `sealiftctl activate {}`, or go back with `sealiftctl rollback`",
                goal.version
            ),
            Self::Stopped { goal: Some(goal), .. } => format!(
                "mend that, and try again from there: `sealiftctl activate {}`, or `sealiftctl resume`",
                goal.version
            ),
            Self::Stopped { goal: None, .. } => {
                "mend that, and try again from there: `sealiftctl rollback`".to_owned()
            }
            Self::UnderWay { .. } => {
                "`sealiftctl resume` goes on with it, `sealiftctl rollback` gives it up".to_owned()
            }
            Self::NotConfigured { .. } => {
                "put it back into the configuration until the activation has ended".to_owned()
            }
            Self::NeedsConsent { .. } => "if that is what you want, say so with `--yes`".to_owned(),
            Self::Helper { .. } => {
                "see `systemctl status 'sealift-host*'`; then run the same command again, it goes on there"
                    .to_owned()
            }
            Self::HelperRefuses { .. } => return None,
            Self::StillAtWork { .. } => "wait until it is done, and run the same command again".to_owned(),
            Self::Program { .. } => "ask the vendor".to_owned(),
            Self::Restart { .. } => "`sealiftctl resume` goes on".to_owned(),
            Self::NotEarlier { .. } => "`sealiftctl status` lists the releases that are here".to_owned(),
        })
    }
}

/// Why a phase did not come to its end.
#[derive(Debug)]
pub enum Trouble {
    /// It failed, in these words: what follows depends on how far the activation is.
    Failed(String),
    /// It could not be tried to its end; the same command goes on there.
    Halted(crate::Error),
}

impl<E: Into<crate::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Halted(error.into())
    }
}
