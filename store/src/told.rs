//! The audit log in words, for everybody who shows it.

use sealift_archive::Digest;
use sealift_archive::trust::KeyId;

use crate::audit::{Event, Record, Subject};

/// A record in words: what happened, and what there is to know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What happened, in a few words.
    pub title: String,
    /// What else is known, each with what it is.
    pub facts: Vec<(&'static str, Fact)>,
    /// Whether something went wrong.
    pub is_trouble: bool,
}

/// Something that is known, to be written as the place where it is shown allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Words, maybe from outside: names of files, what a server said.
    Words(String),
    /// A number of bytes.
    Bytes(u64),
    /// The fingerprint of a trust root, to be compared by eye.
    Fingerprint(Digest),
}

impl Told {
    fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), facts: Vec::new(), is_trouble: false }
    }

    fn trouble(title: impl Into<String>) -> Self {
        Self { is_trouble: true, ..Self::new(title) }
    }

    fn fact(mut self, label: &'static str, fact: Fact) -> Self {
        self.facts.push((label, fact));
        self
    }

    fn words(self, label: &'static str, words: impl Into<String>) -> Self {
        self.fact(label, Fact::Words(words.into()))
    }

    fn words_if(self, label: &'static str, words: Option<impl Into<String>>) -> Self {
        match words {
            Some(words) => self.words(label, words),
            None => self,
        }
    }
}

impl Record {
    /// This record in words.
    #[must_use]
    pub fn told(&self) -> Told {
        self.event.told().words_if("by", self.by.as_ref().map(ToString::to_string))
    }
}

impl Event {
    fn told(&self) -> Told {
        let before = |from: &Option<Subject>| from.as_ref().map(|from| from.name().to_string());
        match self {
            Self::TrustPinned { source, version, fingerprint } => {
                Told::new(format!("trust root version {version} was pinned"))
                    .words("from", source)
                    .fact("fingerprint", Fact::Fingerprint(*fingerprint))
            }
            Self::TrustUpdated { source, version, fingerprint } => {
                Told::new(format!("trust root version {version} came along"))
                    .words("from", source)
                    .fact("fingerprint", Fact::Fingerprint(*fingerprint))
            }
            Self::ChannelSeen { channel, version, release, .. } => {
                Told::new(format!("channel `{channel}` is at version {version}"))
                    .words("current", format!("{} (sequence {})", release.version, release.sequence))
            }
            Self::Staged { release, source, keys, trust_root } => {
                let signers = keys.iter().map(KeyId::short).collect::<Vec<_>>().join(", ");
                Told::new(format!("{} was verified and staged", release.name()))
                    .words("from", source)
                    .words("signed by", format!("{signers} (trust root version {trust_root})"))
            }
            Self::Refused { source, code, reason } => Told::trouble("a source was refused")
                .words("from", source)
                .words("reason", format!("{reason} ({code})")),
            Self::Activated { release, from } => {
                Told::new(format!("{} became active", release.name())).words_if("before", before(from))
            }
            Self::RolledBack { release, from } => {
                Told::new(format!("{} became active by a rollback", release.name()))
                    .words_if("before", before(from))
            }
            Self::Collected { releases, imports, freed_bytes } => Told::new("what nothing needs was removed")
                .fact("freed", Fact::Bytes(*freed_bytes))
                .words_if("releases", names(releases))
                .words_if("imports", names(imports)),
            Self::ActivationFailed { release, phase, reason, went_back } => {
                let end = if *went_back { "all was undone" } else { "it stopped there" };
                Told::trouble(format!("activating {} failed", release.name()))
                    .words("phase", phase)
                    .words("reason", reason)
                    .words("end", end)
            }
            Self::Failed { release, reason } => {
                Told::trouble(format!("{} failed", release.name())).words("reason", reason)
            }
            Self::Repaired { removed_blobs, mirrors } => {
                let removed = match removed_blobs {
                    0 => None,
                    1 => Some("1 changed blob".to_owned()),
                    many => Some(format!("{many} changed blobs")),
                };
                let mirrors: Vec<String> = mirrors.iter().map(ToString::to_string).collect();
                Told::new("what a check had found was repaired")
                    .words_if("removed", removed)
                    .words_if("made again", (!mirrors.is_empty()).then(|| mirrors.join(", ")))
            }
        }
    }
}

fn names(subjects: &[Subject]) -> Option<String> {
    let names: Vec<String> = subjects.iter().map(|subject| subject.name().to_string()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
