//! `online.json`: what came of the last try to hear from the vendor. It is replaced by each try. A
//! program of an earlier edition passes over what a later one adds.

use fs_err as fs;
use sealift_archive::{ChannelName, Digest, Explain, durable, json};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{Error, Store, Writer, audit};

pub(crate) const ONLINE_FILE: &str = "online.json";
/// Largest file, in bytes.
const MAX_ONLINE_BYTES: usize = 64 << 10;
/// Longest words of an error that are kept, in characters: one may list a thousand blobs.
const MAX_WORDS: usize = 2_000;

/// The last try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastTry {
    /// When it ended.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// Who was asked: a URL.
    pub source: String,
    /// The channel that was asked for.
    pub channel: ChannelName,
    /// What went wrong, if anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The statement of the release that was last activated without a person. It is not tried again without one, or a release
    /// that fails its checks would be activated every hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated: Option<Digest>,
    /// Why that release did not become active, until it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_activated: Option<Failure>,
}

/// An error, as it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its code: `SL0324`.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// What an error says.
    #[must_use]
    pub fn of(error: &dyn Explain) -> Self {
        Self {
            code: error.code().to_string(),
            message: error.to_string().chars().take(MAX_WORDS).collect(),
            hint: error.hint(),
        }
    }
}

impl LastTry {
    /// A try that ends now.
    #[must_use]
    pub fn new(source: &str, channel: ChannelName, failure: Option<&dyn Explain>) -> Self {
        let failure = failure.map(Failure::of);
        Self {
            time: audit::now(),
            source: source.to_owned(),
            channel,
            failure,
            activated: None,
            not_activated: None,
        }
    }
}

impl Store {
    /// The last try; none if there was none.
    ///
    /// # Errors
    /// I/O, or a file that is damaged.
    pub fn last_try(&self) -> Result<Option<LastTry>, Error> {
        let path = self.root().join(ONLINE_FILE);
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(json::parse(&path.display().to_string(), &fs::read(&path)?, MAX_ONLINE_BYTES)?))
    }
}

impl Writer {
    /// Records the last try, in place of the one before.
    ///
    /// # Errors
    /// I/O.
    pub fn record_try(&self, last: &LastTry) -> Result<(), Error> {
        Ok(durable::write(&self.root().join(ONLINE_FILE), &json::to_document(last))?)
    }
}
