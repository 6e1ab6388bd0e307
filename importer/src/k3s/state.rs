//! What we know of the k3s that we installed, and what has been begun with it: one file, replaced durably, and a lock.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use fs_err as fs;
use sealift_archive::{Digest, durable, json};
use serde::{Deserialize, Serialize};

use super::{Edition, Error};

/// Largest state, in bytes. Ours have 1 KB.
const MAX_BYTES: u64 = 64 << 10;
/// What is locked by whoever changes k3s.
const LOCK: &str = "lock";
/// Nobody but root looks into the folder: tokens are in there.
const MODE: u32 = 0o700;

/// What is known of k3s here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    /// What the install script was last run for, with success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<Edition>,
    /// With which program and settings it was last started and became ready, as one digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Digest>,
    /// What has been begun and is not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_way: Option<UnderWay>,
}

/// What has been begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnderWay {
    /// What.
    pub what: What,
    /// Where it goes.
    pub to: Edition,
    /// Where it comes from; none for a first installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Edition>,
    /// The folder with what was written down before the upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Whether the point of no return is passed: the new program may have been started, or the datastore be restored.
    #[serde(default)]
    pub is_beyond: bool,
}

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// The first installation, or one that mends.
    Install,
    /// To the next release's.
    Upgrade,
    /// Back to an earlier release's.
    Downgrade,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Install => "an installation",
            Self::Upgrade => "an upgrade",
            Self::Downgrade => "a way back",
        })
    }
}

impl State {
    /// What is written in our folder; nothing if there is none.
    pub(super) fn read(own: &Path) -> Result<Self, crate::Error> {
        let file = own.join("state.json");
        match read_json(&file)? {
            Some(state) => Ok(state),
            None => Ok(Self::default()),
        }
    }

    pub(super) fn write(&self, own: &Path) -> io::Result<()> {
        durable::write_secret(&own.join("state.json"), &json::to_document(self))
    }
}

/// A small document of ours; none if it is not there.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(file: &Path) -> Result<Option<T>, crate::Error> {
    let refuse = |why: String| Error::State { file: file.to_owned(), why };
    match fs::metadata(file) {
        Ok(is) if is.len() > MAX_BYTES => {
            return Err(refuse(format!("it is longer than {MAX_BYTES} bytes")).into());
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let value = serde_json::from_slice(&fs::read(file)?).map_err(|error| refuse(error.to_string()))?;
    Ok(Some(value))
}

/// The right to change k3s here. Programs that are started get it too, as their standard input: if this process is killed and
/// they are not, nobody begins beside them.
#[derive(Debug)]
pub(super) struct Turn(File);

impl Turn {
    pub(super) fn take(own: &Path) -> Result<Self, crate::Error> {
        let Self(file) = Self::none(own)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(Error::Busy { lock: own.join(LOCK) }.into()),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// No right: to look only.
    pub(super) fn none(own: &Path) -> Result<Self, crate::Error> {
        durable::create_dir_all(own)?;
        fs::set_permissions(own, std::fs::Permissions::from_mode(MODE))?;
        let path = own.join(LOCK);
        // Never replaced: whoever has it locked has this very file.
        fs::File::options().append(true).create(true).open(&path)?;
        Ok(Self(fs::File::open(&path)?.into()))
    }

    pub(super) fn share(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}
