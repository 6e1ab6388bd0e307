//! The state of a release: what its `state` file records, and what that means together with `current`.
//!
//! `incoming → staged → activating → active → retained`, or `failed`. The file is written before an arrow is acted
//! on. `current` alone says which release is active, so a crash between the pointer and the files leaves nothing
//! in doubt: [`State::derive`] reads what is meant.

use std::fmt;
use std::io;
use std::path::Path;

use sealift_archive::{Digest, bounded, durable, json};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{Error, audit};

/// Name of the file in a release's directory.
pub(crate) const STATE_FILE: &str = "state";
/// Largest `state` file, in bytes; a reason for a failure is the longest part of it.
const MAX_STATE_BYTES: usize = 64 << 10;

/// What a release is to this appliance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum State {
    /// Complete and verified; has never been active, or its activation was given up.
    Staged,
    /// Its activation has begun: its names are answered before those of the active release.
    Activating,
    /// The release that runs: `current` leads to it.
    Active,
    /// It was active before, and can be again.
    Retained,
    /// It cannot be activated.
    Failed {
        /// What went wrong.
        reason: String,
    },
}

impl State {
    /// What a recorded state means, given whether `current` leads to this release.
    pub(crate) fn derive(recorded: Self, is_current: bool) -> Self {
        match recorded {
            _ if is_current => Self::Active,
            // The pointer has moved on, and then the power went.
            Self::Active => Self::Retained,
            other => other,
        }
    }

    /// Whether its content is answered for by the registry.
    #[must_use]
    pub fn is_served(&self) -> bool {
        match self {
            Self::Staged | Self::Activating | Self::Active | Self::Retained => true,
            Self::Failed { .. } => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Staged => "staged",
            Self::Activating => "activating",
            Self::Active => "active",
            Self::Retained => "retained",
            Self::Failed { .. } => "failed",
        })
    }
}

/// The `state` file: the state that was last recorded, when, and for which statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recorded {
    /// The state.
    #[serde(flatten)]
    pub(crate) state: State,
    /// When it was recorded.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) since: OffsetDateTime,
    /// Digest of the release's statement: it vouches for the other files here, and tells if that one is damaged.
    pub(crate) release: Digest,
}

impl Recorded {
    /// `release` enters this state now.
    pub(crate) fn now(state: State, release: Digest) -> Self {
        Self { state, since: audit::now(), release }
    }

    /// Writes the file, durably.
    pub(crate) fn write(&self, release_dir: &Path) -> Result<(), Error> {
        Ok(durable::write(&release_dir.join(STATE_FILE), &json::to_document(self))?)
    }

    /// Reads the file in a release's directory.
    pub(crate) fn read(release_dir: &Path) -> Result<Self, Error> {
        let path = release_dir.join(STATE_FILE);
        let bytes = read_or_damaged(&path, MAX_STATE_BYTES as u64)?;
        Ok(json::parse(&path.display().to_string(), &bytes, MAX_STATE_BYTES)?)
    }
}

/// Reads a file that belongs to every release: if it is not there, or no file, that is damage. Of one that is larger than
/// `limit` as much comes as shows that.
pub(crate) fn read_or_damaged(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    bounded::read(path, limit).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::damaged(path, "it is missing"),
        io::ErrorKind::InvalidInput => Error::damaged(path, "it is not a file"),
        _ => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_no_file_of_a_release() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", dir.path().join(STATE_FILE)).unwrap();
        let said = Recorded::read(dir.path()).unwrap_err();
        assert!(matches!(&said, Error::Damaged { why, .. } if why == "it is not a file"), "{said}");
    }
}
