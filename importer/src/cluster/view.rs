//! What a node sees at one moment: what all have written down, who lives, and how it stands itself.
//!
//! Clocks of appliances differ and jump, so no time that another node has written is ever compared. Whether a node lives, and
//! whether a Lease has run out, is seen from how long its writing has not changed, by this node's own steady clock. A node that
//! has just begun to look takes everybody for alive, and every Lease for fresh: that can only cost time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sealift_store::{NodeSeen, PeerAuthorities};

use super::agreement::Agreement;
use super::record::{Lease, NodeName, Report};
use super::work::Work;

/// How much of what hinders a node is told to people, in characters.
const MAX_HINDRANCE: usize = 300;

/// Something that others may replace meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// Which edition this is; only whoever knows it may replace it.
    pub version: String,
    /// What is written there.
    pub value: T,
}

/// All that is written down.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Who coordinates.
    pub lease: Option<Versioned<Lease>>,
    /// What is agreed on.
    pub agreement: Option<Versioned<Agreement>>,
    /// How the nodes stand.
    pub reports: BTreeMap<NodeName, Versioned<Report>>,
    /// What should be a node's report and cannot be read, and why not; by the name of the object. Nothing follows from it but
    /// that a person should know: whoever writes nonsense must not stop the others.
    pub unreadable: BTreeMap<String, Versioned<String>>,
}

impl Snapshot {
    /// Which edition of its report a node, or somebody in its name, has written, whether it can be read or not.
    #[must_use]
    pub fn report_version(&self, name: &NodeName) -> Option<&str> {
        let readable = self.reports.get(name).map(|report| &report.version);
        let unreadable = || self.unreadable.get(&name.object()).map(|object| &object.version);
        readable.or_else(unreadable).map(String::as_str)
    }

    /// By which authorities the nodes know each other, those that are away too.
    #[must_use]
    pub fn authorities(&self) -> PeerAuthorities {
        self.reports.iter().map(|(name, report)| (name, report.value.ca_crt.clone())).collect()
    }

    /// What cannot be read, in one line.
    #[must_use]
    pub fn obstacle(&self) -> Option<String> {
        let lines: Vec<&str> = self.unreadable.values().map(|object| object.value.as_str()).collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    }
}

/// How long things last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Between two steps.
    pub step: Duration,
    /// After so long a node says again that it lives.
    pub beat: Duration,
    /// A node that has said nothing for so long is not waited for.
    pub live: Duration,
    /// The same for one that said that it switches: a step that restarts k3s takes its time.
    pub switch: Duration,
    /// A Lease that was not renewed for so long may be taken.
    pub lease: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let [step, beat, live, switch, lease] = [3, 10, 60, 300, 30].map(Duration::from_secs);
        Self { step, beat, live, switch, lease }
    }
}

/// What a node sees.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name.
    pub me: NodeName,
    /// How the Lease stands.
    pub hold: Hold,
    /// The term of the Lease.
    pub term: u64,
    /// What is agreed on.
    pub agreement: Option<Agreement>,
    /// The nodes that live, itself among them, as it knows itself.
    pub nodes: BTreeMap<NodeName, Report>,
    /// Whether long work is under way here.
    pub is_busy: bool,
    /// Whether what failed here may be tried again now.
    pub may_retry: bool,
    /// What the coordinator's last work here came to.
    pub done: Option<(Work, Result<(), String>)>,
    /// How this node has left Flux, until that is seen to be what is agreed on.
    pub left_flux: Option<LeftFlux>,
    /// Whether the last work here was to let Flux go, and failed.
    pub failed_flux: bool,
}

/// How a node has left Flux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftFlux {
    /// Held still.
    Held,
    /// Free.
    Free,
    /// Something between: it could not be reached any more.
    Unknown,
}

/// How the Lease stands to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Somebody else holds it.
    Theirs,
    /// Nobody holds it, or nobody any more.
    Free,
    /// It is ours, and has to be renewed before anything is done in its name.
    Due,
    /// It is ours.
    Ours,
}

/// Notes when what others have written was last seen to change.
#[derive(Debug, Default)]
pub struct Observer {
    reports: BTreeMap<NodeName, (String, Duration)>,
    lease: Option<(String, Duration)>,
    /// Our own Lease, and when we began to write it.
    renewed: Option<(String, Duration)>,
}

impl Observer {
    /// Takes in what is written down `now`, by a clock that never jumps.
    pub fn observe(&mut self, snapshot: &Snapshot, now: Duration) {
        self.reports.retain(|name, _| snapshot.reports.contains_key(name));
        for (name, Versioned { version, .. }) in &snapshot.reports {
            let seen = self.reports.entry(name.clone()).or_insert_with(|| (version.clone(), now));
            if seen.0 != *version {
                *seen = (version.clone(), now);
            }
        }
        let version = snapshot.lease.as_ref().map(|lease| &lease.version);
        if version != self.lease.as_ref().map(|(version, _)| version) {
            self.lease = version.map(|version| (version.clone(), now));
        }
    }

    /// We have written the Lease; we had begun to at `began`.
    pub fn renewed(&mut self, version: String, began: Duration) {
        self.renewed = Some((version, began));
    }

    /// The nodes that have written something lately.
    pub fn living<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        times: &'a Times,
        now: Duration,
    ) -> impl Iterator<Item = (&'a NodeName, &'a Report)> {
        let lives = move |name: &NodeName, report: &Report| {
            let patience = if report.is_switching { times.switch } else { times.live };
            self.reports.get(name).is_some_and(|(_, seen)| now.saturating_sub(*seen) < patience)
        };
        let reports = snapshot.reports.iter().map(|(name, report)| (name, &report.value));
        reports.filter(move |(name, report)| lives(name, report))
    }

    /// All nodes that have ever written something, for people.
    #[must_use]
    pub fn seen(&self, snapshot: &Snapshot, times: &Times, now: Duration) -> Vec<NodeSeen> {
        let living: BTreeSet<&NodeName> = self.living(snapshot, times, now).map(|(name, _)| name).collect();
        let seen = |(name, Versioned { value: report, .. }): (&NodeName, &Versioned<Report>)| NodeSeen {
            name: name.to_string(),
            active: report.active.as_ref().map(|active| active.version.clone()),
            lives: living.contains(name),
            hindrance: report.hindrance().map(|why| why.chars().take(MAX_HINDRANCE).collect()),
        };
        snapshot.reports.iter().map(seen).collect()
    }

    /// How the Lease stands to us.
    #[must_use]
    pub fn hold(&self, me: &NodeName, snapshot: &Snapshot, times: &Times, now: Duration) -> Hold {
        let Some(Versioned { version, value }) = &snapshot.lease else { return Hold::Free };
        match &value.holder {
            None => Hold::Free,
            Some(holder) if holder == me.as_str() => match &self.renewed {
                // Others wait for as long as it lasts; we stop half way, whatever holds us up.
                Some((ours, began)) if ours == version && now.saturating_sub(*began) < times.lease / 2 => {
                    Hold::Ours
                }
                _ => Hold::Due,
            },
            Some(_) => match &self.lease {
                Some((seen, since)) if seen == version && now.saturating_sub(*since) >= times.lease => {
                    Hold::Free
                }
                _ => Hold::Theirs,
            },
        }
    }
}
