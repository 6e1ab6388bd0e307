//! The audit log: what was verified, by which key, from where, when and by whom; append only.
//!
//! A line that a crash cut short is left where it is and read by nobody: it tells of something that was not done yet, and
//! what did it next has written it down again.

use std::collections::BTreeSet;

use sealift_archive::release::CurrentRelease;
use sealift_archive::trust::KeyId;
use sealift_archive::{
    ChannelName, Digest, Product, ReleaseName, RepositoryName, Sequence, Statement, Version,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{Actor, Error, Store, Writer, jsonl};

pub(crate) const AUDIT_FILE: &str = "audit.jsonl";

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it happened, in UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// By whom; lines of older versions do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
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
    /// What a check had found was mended, as far as that goes without the vendor's bytes.
    Repaired {
        /// How many blobs were removed because they had changed.
        removed_blobs: usize,
        /// The Git mirrors that were made again.
        mirrors: BTreeSet<RepositoryName>,
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

/// The log as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// What was recorded, oldest first.
    pub records: Vec<Record>,
    /// How many lines are none that this version knows: cut short by a crash, or of a newer version.
    pub unreadable: usize,
}

impl Store {
    /// All that was recorded, oldest first.
    ///
    /// # Errors
    /// I/O.
    pub fn audit(&self) -> Result<Vec<Record>, Error> {
        Ok(self.history()?.records)
    }

    /// Takes one record after the other, oldest first; for whoever reads the log again and again, since it only grows.
    ///
    /// # Errors
    /// I/O.
    pub fn each_record(&self, take: impl FnMut(Record)) -> Result<(), Error> {
        jsonl::each(&self.root().join(AUDIT_FILE), take)?;
        Ok(())
    }

    /// All that was recorded, and how much of it nobody can read.
    ///
    /// # Errors
    /// I/O.
    pub fn history(&self) -> Result<History, Error> {
        let (records, unreadable) = jsonl::read_all(&self.root().join(AUDIT_FILE))?;
        Ok(History { records, unreadable })
    }
}

impl Writer {
    /// Records an event, who made it happen and when, durably.
    ///
    /// # Errors
    /// I/O.
    pub fn record(&self, event: Event) -> Result<(), Error> {
        let record = Record { time: now(), by: Some(Actor::current()), event };
        Ok(jsonl::append(&self.root().join(AUDIT_FILE), &record)?)
    }
}

/// Now, in UTC and whole seconds: nobody reads more of it.
#[must_use]
pub fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;
    use crate::fixture::{Content, Place};

    #[test]
    fn lines_of_older_versions_are_read() {
        let place = Place::new();
        let old = r#"{"time":"2026-11-01T10:00:00Z","event":"failed","release":{"product":"acme","version":"1.0",
            "sequence":1,"digest":"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},
            "reason":"gone"}"#;
        fs::write(place.store.root().join(AUDIT_FILE), old.replace('\n', "") + "\n").unwrap();
        let records = place.store.audit().unwrap();
        assert!(matches!(&records[0], Record { by: None, event: Event::Failed { .. }, .. }), "{records:?}");
        Content::new(1, &[b"one"]).stage(&place.writer()).unwrap();
        let records = place.store.audit().unwrap();
        assert_eq!((records.len(), records[1].by.clone()), (2, Some(Actor::current())));
    }

    #[test]
    fn a_line_that_a_crash_cut_short_costs_only_itself() {
        let place = Place::new();
        let log = place.store.root().join(AUDIT_FILE);
        let record = || place.writer().record(Event::Repaired { removed_blobs: 1, mirrors: BTreeSet::new() });
        record().unwrap();
        let text = fs::read(&log).unwrap();
        let line = text.split_inclusive(|&byte| byte == b'\n').next_back().unwrap();
        // Cut at every place, and blocks that were never written: the line's own end may be all that is missing.
        for kept in 1..line.len() {
            for tail in [&b""[..], &[0; 100]] {
                fs::write(&log, [line, &line[..kept], tail].concat()).unwrap();
                record().unwrap();
                let History { records, unreadable } = place.store.history().unwrap();
                let whole = kept + 1 == line.len() && tail.is_empty();
                let expected = if whole { (3, 0) } else { (2, 1) };
                assert_eq!((records.len(), unreadable), expected, "{kept} bytes and {} more", tail.len());
            }
        }
    }
}
