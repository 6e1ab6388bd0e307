//! The audit log: what was verified, by which key, from where, and when; append only.

use sealift_archive::release::CurrentRelease;
use sealift_archive::trust::KeyId;
use sealift_archive::{ChannelName, Digest, Product, ReleaseName, Sequence, Statement, Version};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{Error, Store, Writer, jsonl};

pub(crate) const AUDIT_FILE: &str = "audit.jsonl";

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it happened, in UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What the log records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Event {
    /// A trust root was pinned.
    TrustPinned {
        /// The file that it came from.
        source: String,
        /// Its version.
        version: u64,
        /// Its fingerprint.
        fingerprint: Digest,
    },
    /// A newer trust root came along and followed from the one known before.
    TrustUpdated {
        /// Where it came from.
        source: String,
        /// Its version.
        version: u64,
        /// Its fingerprint.
        fingerprint: Digest,
    },
    /// A newer edition of a channel was believed.
    ChannelSeen {
        /// The channel.
        channel: ChannelName,
        /// Its version.
        version: u64,
        /// Digest of the document.
        digest: Digest,
        /// The release that it names.
        release: CurrentRelease,
    },
    /// A release was verified and staged.
    Staged {
        /// The release.
        release: Subject,
        /// Where it came from.
        source: String,
        /// The keys of role `release` whose signatures were good.
        keys: Vec<KeyId>,
        /// Version of the trust root that gave them this role.
        trust_root: u64,
    },
    /// A source was refused.
    Refused {
        /// The source.
        source: String,
        /// The error's code.
        code: String,
        /// The error.
        reason: String,
    },
    /// A release became the active one by a step forward.
    Activated {
        /// The release.
        release: Subject,
        /// What was active before.
        from: Option<Subject>,
    },
    /// A release became the active one by a step back.
    RolledBack {
        /// The release.
        release: Subject,
        /// What was active before.
        from: Option<Subject>,
    },
    /// What nothing needs was removed.
    Collected {
        /// The releases that went.
        releases: Vec<Subject>,
        /// The imports that were given up.
        imports: Vec<Subject>,
        /// Bytes that came free.
        freed_bytes: u64,
    },
    /// A release was to become the active one, and something was in the way.
    ActivationFailed {
        /// The release.
        release: Subject,
        /// The phase in which it failed.
        phase: String,
        /// What went wrong.
        reason: String,
        /// Whether all that was done is undone; else it stopped there.
        went_back: bool,
    },
    /// A release turned out to be incomplete.
    Failed {
        /// The release.
        release: Subject,
        /// What is wrong with it.
        reason: String,
    },
}

/// A release, as the log names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The product.
    pub product: Product,
    /// Its version.
    pub version: Version,
    /// Its place in the order.
    pub sequence: Sequence,
    /// Digest of its statement.
    pub digest: Digest,
}

impl Subject {
    /// The release that this statement describes.
    #[must_use]
    pub fn new(statement: &Statement, digest: Digest) -> Self {
        let ReleaseName { product, version, sequence } = statement.name();
        Self { product, version, sequence, digest }
    }

    /// The release's name.
    #[must_use]
    pub fn name(&self) -> ReleaseName {
        ReleaseName { product: self.product.clone(), version: self.version.clone(), sequence: self.sequence }
    }
}

impl Store {
    /// All that was recorded, oldest first.
    ///
    /// # Errors
    /// I/O.
    pub fn audit(&self) -> Result<Vec<Record>, Error> {
        Ok(jsonl::read(&self.root().join(AUDIT_FILE))?)
    }
}

impl Writer {
    /// Records an event, durably.
    ///
    /// # Errors
    /// I/O.
    pub fn record(&self, event: Event) -> Result<(), Error> {
        let record = Record { time: now(), event };
        Ok(jsonl::append(&self.root().join(AUDIT_FILE), &record)?)
    }
}

/// Now, in UTC and whole seconds: nobody reads more of it.
pub(crate) fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now)
}
