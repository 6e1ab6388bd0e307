//! The phases of an activation.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One phase; each is harmless to repeat. The journal holds them, so names only ever come to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Phase {
    /// Sealift's own programs, where the release brings others.
    SelfUpdate {
        /// Their names.
        programs: Vec<String>,
    },
    /// Checks before anything is changed.
    Preflight,
    /// Flux stands still from now on.
    Suspend,
    /// The release's names are answered first from now on.
    Serve,
    /// A step on the host.
    Hook {
        /// Its name in the configuration.
        name: String,
        /// Whether a failure is no longer undone by itself once it has begun.
        #[serde(default)]
        point_of_no_return: bool,
    },
    /// A step on the host, undone.
    Undo {
        /// Its name in the configuration.
        name: String,
    },
    /// `current` leads to the release: registry and Git have switched.
    Point,
    /// Flux goes on, and looks for what is new.
    Resume,
    /// Waiting until everything is well.
    Gate,
    /// The switch is recorded.
    Conclude,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SelfUpdate { .. } => f.write_str("self-update"),
            Self::Preflight => f.write_str("preflight"),
            Self::Suspend => f.write_str("suspend"),
            Self::Serve => f.write_str("serve"),
            Self::Hook { name, .. } => write!(f, "hook `{name}`"),
            Self::Undo { name } => write!(f, "undo of `{name}`"),
            Self::Point => f.write_str("point"),
            Self::Resume => f.write_str("resume"),
            Self::Gate => f.write_str("health"),
            Self::Conclude => f.write_str("conclude"),
        }
    }
}

impl Phase {
    /// Whether it is, or is behind, the point of no return once it has begun.
    #[must_use]
    pub fn is_no_return(&self) -> bool {
        matches!(self, Self::Hook { point_of_no_return: true, .. })
    }
}
