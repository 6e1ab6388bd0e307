//! Snapshots that a person asks for, each with the token without which it is of no use.

use std::path::PathBuf;

use sealift_archive::{Blob, durable, json};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::before::{read_token, save};
use super::state::read_json;
use super::{Error, Node, Version};

/// Our folder's folder.
const FOLDER: &str = "snapshots";
/// Longest name, in characters.
const MAX_NAME: usize = 40;

/// A snapshot of etcd, with its token.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Snapshot {
    /// The folder that both are in.
    pub folder: PathBuf,
    /// What ran.
    pub version: Version,
    /// The snapshot.
    pub content: Blob,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
}

impl Node<'_> {
    /// Saves etcd now.
    ///
    /// # Errors
    /// What is in the way.
    pub fn save_snapshot(&self, name: &str) -> Result<Snapshot, crate::Error> {
        let installed = self.state()?.installed.ok_or(Error::NotInstalled)?;
        let time = OffsetDateTime::now_utc();
        let name = format!("{name}-{}", time.unix_timestamp());
        let folder = self.own().join(FOLDER).join(&name);
        durable::create_dir_all(&folder)?;
        durable::write_secret(&folder.join("token"), &read_token(&self.places)?)?;
        let content = save(&self.machine()?, &name, &folder)?;
        let snapshot = Snapshot { folder, version: installed.version, content, time };
        durable::write_secret(&snapshot.folder.join("record.json"), &json::to_document(&snapshot))?;
        Ok(snapshot)
    }

    /// Those that are there and whole, oldest first.
    pub(super) fn snapshots(&self) -> Result<Vec<Snapshot>, crate::Error> {
        let entries = match fs_err::read_dir(self.own().join(FOLDER)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found: Vec<Snapshot> = Vec::new();
        for entry in entries {
            found.extend(read_json(&entry?.path().join("record.json"))?);
        }
        found.sort_by_key(|snapshot| snapshot.time);
        Ok(found)
    }
}

/// A name that a snapshot may have.
///
/// # Errors
/// The rule.
pub fn parse_name(text: &str) -> Result<String, String> {
    let is_name = (1..=MAX_NAME).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte))
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    is_name
        .then(|| text.to_owned())
        .ok_or_else(|| format!("at most {MAX_NAME} of a-z, 0-9, `.` and `-`, which are not first"))
}
