//! What an operator wants to know at a glance: what runs, what can follow, what can be gone back to, what is wrong,
//! and what to do next.

mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;

use sealift_archive::release::Inventory;
use sealift_archive::trust::KeyId;
use sealift_archive::{Digest, Product, Sequence, Version};
use serde::Serialize;
use time::OffsetDateTime;

pub use self::watch::Watch;
use crate::journal::UnderWay;
use crate::policy::Known;
use crate::space::LOW_DISK_PERCENT;
use crate::{
    Came, Disk, Error, Event, Failure, Heard, Holder, LastTry, NodeSeen, Offer, OfferState, Record, State,
    Store, StoredRelease, Subject, Unfinished, shell,
};

/// The whole picture.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The store.
    pub store: PathBuf,
    /// What runs.
    pub active: Option<Subject>,
    /// The releases that are here, the latest first.
    pub releases: Vec<Entry>,
    /// Where a rollback would lead.
    pub rollback: Option<Subject>,
    /// The lowest sequence that is allowed.
    pub floor: Option<Sequence>,
    /// The trust root.
    pub trust: Option<TrustStatus>,
    /// The file system.
    pub disk: Disk,
    /// Bytes that a collection would free; none if that cannot be told.
    pub collectable_bytes: Option<u64>,
    /// Who is changing the store.
    pub busy: Option<Holder>,
    /// The activation that is under way.
    pub activation: Option<UnderWay>,
    /// Imports that were begun and not finished.
    pub unfinished: Vec<Loading>,
    /// What came of the last try to hear from the vendor.
    pub online: Option<LastTry>,
    /// What the sticks that are plugged in offer.
    pub offers: Vec<Offer>,
    /// What the nodes of the cluster agree on, and how they stand; none on an appliance of one node.
    pub cluster: Option<Heard>,
    /// What is wrong.
    pub problems: Vec<String>,
    /// What to do next.
    pub next: Vec<String>,
}

/// A release that is here.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The product.
    pub product: Product,
    /// Its version.
    pub version: Version,
    /// Its place in the order.
    pub sequence: Sequence,
    /// Digest of its statement.
    pub digest: Digest,
    /// Its state.
    #[serde(flatten)]
    pub state: State,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// Bytes of its content; releases share some of it.
    pub content_bytes: u64,
    /// What it holds; none if that cannot be read, which is told as a problem.
    pub holds: Option<Inventory>,
    /// How it was verified; none if the audit log does not know it.
    pub verified: Option<Verified>,
}

/// By what a release was found to be the vendor's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// When it was staged.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// Where it came from.
    pub source: String,
    /// The keys of role `release` whose signatures were good.
    pub keys: Vec<KeyId>,
    /// Version of the trust root that gave them this role.
    pub trust_root: u64,
}

/// An import that was begun and not finished.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Loading {
    /// The import.
    #[serde(flatten)]
    pub import: Unfinished,
    /// How much of it is here; none if that is not known yet.
    pub came: Option<Came>,
}

impl Entry {
    fn of(release: &StoredRelease) -> Result<Self, Error> {
        let statement = release.statement()?;
        Ok(Self {
            product: statement.product,
            version: statement.version,
            sequence: release.sequence(),
            digest: release.digest(),
            state: release.state().clone(),
            since: release.since(),
            content_bytes: statement.blob_list.content_bytes,
            holds: None,
            verified: None,
        })
    }
}

impl Verified {
    fn of(record: &Record) -> Option<Self> {
        let Event::Staged { source, keys, trust_root, .. } = &record.event else { return None };
        Some(Self { time: record.time, source: source.clone(), keys: keys.clone(), trust_root: *trust_root })
    }
}

impl Loading {
    fn all(store: &Store) -> Result<Vec<Self>, Error> {
        let of = |import| Ok(Self { came: store.came(&import)?, import });
        store.unfinished()?.into_iter().map(of).collect()
    }
}

/// The pinned trust root and what followed from it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustStatus {
    /// Version of the newest root: what sources are checked against.
    pub version: u64,
    /// Its fingerprint.
    pub fingerprint: Digest,
    /// Version of the pinned root.
    pub pinned_version: u64,
    /// Its fingerprint.
    pub pinned_fingerprint: Digest,
}

/// What was found to be wrong so far.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    /// What could be read; else that is told. Only what the system says ends it all.
    fn unless<T>(&mut self, read: Result<T, Error>) -> Result<Option<T>, Error> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(Error::Io(error)) => Err(error.into()),
            Err(error) => {
                self.0.push(error.to_string());
                Ok(None)
            }
        }
    }
}

impl Status {
    /// Looks at a store; whoever does so again and again has a [`Watch`].
    ///
    /// # Errors
    /// I/O. What is damaged is told as a problem.
    pub fn of(store: &Store) -> Result<Self, Error> {
        Watch::default().look(store)
    }

    fn seen(store: &Store, watch: &mut Watch) -> Result<Self, Error> {
        let mut problems = Problems::default();
        problems.unless(store.active())?;
        let mut releases = Vec::new();
        for release in store.releases()?.iter().rev() {
            if let Some(entry) = problems.unless(Entry::of(release))? {
                let holds = problems.unless(release.refs())?.as_ref().map(Inventory::of);
                releases.push(Entry { holds, ..entry });
            }
        }
        let situation = store.situation()?;
        let active = situation.active().map(Known::subject);
        let is_active = |subject: &Subject| active.as_ref() == Some(subject);
        let rollback = situation.judge_rollback().ok().map(Known::subject).filter(|to| !is_active(to));
        let trust = match store.trust() {
            Err(Error::NotPinned { .. }) => None,
            trust => problems.unless(trust)?.map(|trust| TrustStatus {
                version: trust.newest().version(),
                fingerprint: trust.newest().digest(),
                pinned_version: trust.oldest().version(),
                pinned_fingerprint: trust.oldest().digest(),
            }),
        };
        let online = problems.unless(store.last_try())?.flatten();
        let offers = problems.unless(store.offers())?.unwrap_or_default();
        let cluster = problems.unless(store.heard())?.flatten();
        let activation = problems.unless(UnderWay::of(store))?.flatten();
        let Problems(mut problems) = problems;
        let annals = watch.annals(store)?;
        for entry in &mut releases {
            entry.verified = annals.verified.get(&entry.digest).cloned();
        }
        problems.extend(annals.setbacks.of(&releases));
        let mut status = Self {
            store: store.root().to_owned(),
            active,
            releases,
            rollback,
            floor: situation.floor,
            trust,
            disk: store.disk()?,
            collectable_bytes: watch.collectable_bytes(store),
            busy: store.holder()?,
            activation,
            unfinished: Loading::all(store)?,
            online,
            offers,
            cluster,
            problems,
            next: Vec::new(),
        };
        status.look_for_problems();
        status.next = status.what_next();
        Ok(status)
    }

    fn look_for_problems(&mut self) {
        for entry in &self.releases {
            if let State::Failed { reason } = &entry.state {
                self.problems.push(format!("{} failed: {reason}", entry.version));
            }
        }
        if self.disk.is_low() {
            self.problems.push(format!("less than {LOW_DISK_PERCENT} % of the disk is free"));
        }
        if let Some(LastTry { source, channel, failure, activated, not_activated, .. }) = &self.online {
            let told = |Failure { message, hint, .. }: &Failure| {
                let hint = hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
                format!("{message}{hint}")
            };
            let is_active = |entry: &&Entry| entry.state == State::Active && Some(entry.digest) == *activated;
            let not_activated =
                not_activated.as_ref().filter(|_| !self.releases.iter().any(|entry| is_active(&entry)));
            if let Some(why) = not_activated {
                self.problems.push(format!("what came from `{source}` was not activated: {}", told(why)));
            }
            if let Some(why) = failure.as_ref().filter(|failure| not_activated != Some(failure)) {
                self.problems
                    .push(format!("channel `{channel}` of `{source}` was not mirrored: {}", told(why)));
            }
        }
        self.problems.extend(self.cluster.iter().flat_map(problems_of_nodes));
        for offer in &self.offers {
            if let OfferState::Refused(Failure { message, hint, .. }) = &offer.state {
                let hint = hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
                self.problems.push(format!("the stick {} was refused: {message}{hint}", offer.name()));
            }
        }
        if self.busy.is_some() {
            // What looks unfinished is being done.
            return;
        }
        if let Some(under_way) = &self.activation {
            let goal = under_way.to.as_ref().map_or("the beginning", |to| to.version.as_str());
            let what = if under_way.is_forward { "activating" } else { "going back to" };
            let because = under_way.turned.as_ref().map(|why| format!(", after {why}")).unwrap_or_default();
            self.problems.push(match &under_way.stopped {
                Some(why) => format!("{what} {goal} stopped in phase {}: {why}{because}", under_way.phase),
                None => format!("{what} {goal} was interrupted in phase {}{because}", under_way.phase),
            });
        }
        let is_under_way = |entry: &Entry| self.activation.is_some() && entry.state == State::Activating;
        for entry in self.releases.iter().filter(|entry| entry.state == State::Activating) {
            if !is_under_way(entry) {
                self.problems.push(format!("activating {} was interrupted", entry.version));
            }
        }
        for Loading { import, .. } in &self.unfinished {
            let name = import.release.name();
            self.problems.push(format!("the import of {name} from `{}` is not finished", import.source));
        }
    }

    fn what_next(&self) -> Vec<String> {
        if self.trust.is_none() {
            return vec!["sealiftctl trust pin root.json".to_owned()];
        }
        let mut next = Vec::new();
        if self.busy.is_some() {
            return next;
        }
        if let Some(under_way) = &self.activation {
            match &under_way.to {
                Some(to) if under_way.is_forward => {
                    next.push(format!("sealiftctl activate {}", to.version));
                    next.push("sealiftctl rollback".to_owned());
                }
                _ if under_way.stopped.is_none() => next.push("sealiftctl resume".to_owned()),
                Some(to) => {
                    next.push(format!("sealiftctl activate {}", to.version));
                    next.extend(
                        under_way.from.iter().map(|from| format!("sealiftctl activate {}", from.version)),
                    );
                }
                None => next.push("sealiftctl rollback".to_owned()),
            }
            return next;
        }
        next.extend(self.offers.iter().filter_map(Offer::next));
        next.dedup();
        for entry in &self.releases {
            match entry.state {
                State::Activating => {
                    next.push(format!("sealiftctl activate {}", entry.version));
                    next.push("sealiftctl rollback".to_owned());
                }
                State::Staged if self.can_follow(entry) => {
                    next.push(format!("sealiftctl activate {}", entry.version));
                }
                _ => {}
            }
        }
        // What was imported together is finished together.
        let mut sources: Vec<&String> =
            self.unfinished.iter().map(|loading| &loading.import.source).collect();
        sources.dedup();
        next.extend(sources.into_iter().map(|source| {
            let is_online = source.contains("://");
            if is_online {
                "sealiftctl mirror".to_owned()
            } else {
                format!("sealiftctl import {}", shell::quoted(source))
            }
        }));
        if self.disk.is_low() && self.collectable_bytes.is_some_and(|bytes| bytes > 0) {
            next.push("sealiftctl gc".to_owned());
        }
        if next.is_empty() && self.releases.is_empty() {
            next.push("sealiftctl import BUNDLE".to_owned());
        }
        next
    }

    fn can_follow(&self, entry: &Entry) -> bool {
        self.active.as_ref().is_none_or(|active| active.sequence < entry.sequence)
    }
}

/// What is wrong in a cluster. A node that hears nothing cannot say anything of others.
fn problems_of_nodes(heard: &Heard) -> Vec<String> {
    if !heard.is_current() {
        return vec![format!("{}: `systemctl status sealift-cluster`", heard.silence())];
    }
    let problem = |node: &NodeSeen| match &node.hindrance {
        _ if !node.lives => Some(format!("node {} says nothing any more", node.name)),
        Some(why) => Some(format!("node {} is held up: {why}", node.name)),
        None => None,
    };
    heard.agreed.nodes.iter().filter_map(problem).collect()
}

/// Why releases that could be active are not: what the last try to activate each of them said, if it went wrong.
#[derive(Debug, Default)]
struct Setbacks(BTreeMap<Digest, String>);

impl Setbacks {
    fn note(&mut self, event: &Event) {
        match event {
            Event::ActivationFailed { release, phase, reason, went_back: true } => {
                let told = format!(
                    "activating {} failed in phase {phase}, and was undone: {reason}",
                    release.version
                );
                self.0.insert(release.digest, told);
            }
            Event::Activated { release, .. } | Event::RolledBack { release, .. } => {
                self.0.remove(&release.digest);
            }
            _ => {}
        }
    }

    fn of(&self, releases: &[Entry]) -> Vec<String> {
        let waiting = releases.iter().filter(|entry| matches!(entry.state, State::Staged | State::Retained));
        waiting.filter_map(|entry| self.0.get(&entry.digest).cloned()).collect()
    }
}
