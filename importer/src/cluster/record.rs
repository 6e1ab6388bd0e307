//! What the nodes write down for each other: what they agree on, how each of them stands, and who coordinates.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use sealift_archive::Digest;
use sealift_archive::release::CurrentRelease;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Most releases that are named as steps for a node that is further behind. The vendor supports two before the newest.
const MAX_EARLIER: usize = 8;
/// Longest name of a node, in characters: a label of DNS.
const MAX_NAME: usize = 63;
/// Why a run came to nothing that a person turned round.
const GIVEN_UP: &str = "it was given up";
/// The `ConfigMap` of a node begins so.
const OBJECT_PREFIX: &str = "sealift-node-";

/// A node of the cluster, as Kubernetes names it: a label of DNS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

impl NodeName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The `ConfigMap` in which this node reports.
    #[must_use]
    pub fn object(&self) -> String {
        format!("{OBJECT_PREFIX}{self}")
    }

    /// The node that reports in a `ConfigMap`; none if it is no report.
    pub(super) fn of_object(object: &str) -> Option<Result<Self, String>> {
        object.strip_prefix(OBJECT_PREFIX).map(str::parse)
    }
}

impl FromStr for NodeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_name = !text.is_empty()
            && text.len() <= MAX_NAME
            && text.bytes().all(|byte| is_inner(byte) || byte == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        is_name.then(|| Self(text.to_owned())).ok_or_else(|| {
            format!("`{text}` is no name of a node: at most {MAX_NAME} of a-z, 0-9 and `-`, which is neither first nor last")
        })
    }
}

impl TryFrom<String> for NodeName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Every live node fetches the release. Nothing has changed for anybody.
    Staging,
    /// Flux stands still, and the nodes switch.
    Activating,
    /// It runs. Whoever has another one is behind.
    Active,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Staging => "staging",
            Self::Activating => "activating",
            Self::Active => "active",
        })
    }
}

/// What the nodes agree on. It is replaced as a whole, by whoever has seen what it replaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agreement {
    /// Counts the runs.
    pub run: u64,
    /// How far this one is.
    pub phase: Phase,
    /// The release that it leads to.
    pub release: CurrentRelease,
    /// The release that was agreed on before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<CurrentRelease>,
    /// Releases that ran before, by falling sequence: the steps for a node that is further behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<CurrentRelease>,
    /// Whether it leads back. Then nothing is waited for that may be broken, and nothing turns it round by itself.
    #[serde(default)]
    pub is_return: bool,
    /// Whether Flux has been let go again.
    #[serde(default)]
    pub is_flux_free: bool,
    /// Why the run before it came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The term of the coordinator who goes on with it. Nothing that was decided in an earlier term is written over it.
    pub term: u64,
}

impl Agreement {
    /// What runs already, written down for those who join.
    #[must_use]
    pub fn adopted(release: CurrentRelease, term: u64) -> Self {
        Self { phase: Phase::Active, is_flux_free: true, ..Self::begin(1, release, None, term) }
    }

    /// The first run of a cluster in which nothing is agreed on; `from` runs on the node where it is asked for.
    #[must_use]
    pub fn first(release: CurrentRelease, from: Option<CurrentRelease>) -> Self {
        let earlier = steps_to(&release, from.iter());
        Self { earlier, ..Self::begin(1, release, from, 0) }
    }

    /// The run that leads to another release.
    #[must_use]
    pub fn next(&self, release: CurrentRelease) -> Self {
        let is_return = release.sequence < self.release.sequence;
        // What never came to run was nothing before.
        let from = Some(&self.release).filter(|_| !self.is_stalled());
        let earlier = steps_to(&release, self.earlier.iter().chain(from));
        let begun = Self::begin(self.run + 1, release, from.cloned(), self.term);
        Self { earlier, is_return, ..begun }
    }

    /// The run that goes back on this one. Where nothing ran before, it only stalls.
    #[must_use]
    pub fn given_up(&self, reason: &str) -> Self {
        let reason = Some(reason.to_owned());
        match &self.from {
            None => Self { reason, ..self.clone() },
            Some(from) => Self { is_return: true, reason, ..self.next(from.clone()) },
        }
    }

    /// What a person's wish for a release makes of it: this very run, if that leads there already; the way back out of it, and
    /// out of a way back that no node can go; or the next run. None if another one has to end first.
    #[must_use]
    pub fn asked_for(&self, wanted: &CurrentRelease) -> Option<Self> {
        if self.release == *wanted && !self.is_stalled() {
            return Some(self.clone());
        }
        if !self.is_under_way() {
            return Some(self.next(wanted.clone()));
        }
        let is_left = self.from.as_ref() == Some(wanted);
        is_left.then(|| if self.is_return { self.next(wanted.clone()) } else { self.given_up(GIVEN_UP) })
    }

    /// The release with this digest, if this run leads to it, or forward to it once it is turned round.
    #[must_use]
    pub fn leads_to(&self, statement: &Digest) -> Option<&CurrentRelease> {
        let left = self.from.iter().filter(|_| self.is_return);
        [&self.release].into_iter().chain(left).find(|release| release.statement == *statement)
    }

    /// Whether it came to nothing, and there is nothing to go back to: a person has to begin another run.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.from.is_none() && self.reason.is_some() && self.phase != Phase::Active
    }

    /// Whether somebody has to coordinate.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.phase != Phase::Active && !self.is_stalled()
    }

    /// The releases of which a node may answer with any while this holds. None as long as a first run is under way: nothing was
    /// agreed on before that a node could be behind.
    pub fn served(&self) -> impl Iterator<Item = &CurrentRelease> {
        let from = self.from.as_ref().filter(|_| self.phase != Phase::Active);
        let release = Some(&self.release).filter(|_| self.phase == Phase::Active || self.from.is_some());
        from.into_iter().chain(release)
    }

    /// What becomes of a first run that a person takes back, as long as nothing has changed for anybody; none of another run.
    #[must_use]
    pub fn taken_back(&self) -> Option<Self> {
        let is_first = self.is_under_way() && self.from.is_none() && self.phase == Phase::Staging;
        is_first.then(|| self.given_up(GIVEN_UP))
    }

    /// Whether this release is named by it.
    #[must_use]
    pub fn names(&self, statement: &Digest) -> bool {
        let all = self.earlier.iter().chain(&self.from).chain([&self.release]);
        all.into_iter().any(|named| named.statement == *statement)
    }

    fn begin(run: u64, release: CurrentRelease, from: Option<CurrentRelease>, term: u64) -> Self {
        Self {
            run,
            phase: Phase::Staging,
            release,
            from,
            earlier: Vec::new(),
            is_return: false,
            is_flux_free: false,
            reason: None,
            term,
        }
    }
}

/// Those of these releases that are below `goal`, each once, by falling sequence.
fn steps_to<'a>(
    goal: &CurrentRelease,
    known: impl Iterator<Item = &'a CurrentRelease>,
) -> Vec<CurrentRelease> {
    let mut steps: Vec<CurrentRelease> =
        known.filter(|step| step.sequence < goal.sequence).cloned().collect();
    steps.sort_by_key(|step| std::cmp::Reverse(step.sequence));
    steps.dedup();
    steps.truncate(MAX_EARLIER);
    steps
}

/// How a node stands. Each writes only its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The statements of the releases that are there, whole.
    pub here: BTreeSet<Digest>,
    /// The release that is active there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<CurrentRelease>,
    /// Whether it is switching. Then its part of Kubernetes may be down, and it cannot say anything.
    #[serde(default)]
    pub is_switching: bool,
    /// Whether a switch has begun there that has not ended, whoever began it. Until then nothing counts as running.
    #[serde(default)]
    pub is_unsettled: bool,
    /// What it cannot do of the run under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// What hinders it now, and may pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// Where its registry answers its peers: a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The certificate of its own authority, in PEM.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ca_crt: String,
    /// When it wrote this, by its own clock; for people. Whether it lives is seen by others from its writing.
    #[serde(with = "time::serde::rfc3339")]
    pub seen: OffsetDateTime,
}

impl Report {
    /// What hinders it.
    #[must_use]
    pub fn hindrance(&self) -> Option<&str> {
        self.trouble.as_ref().map(|trouble| trouble.reason.as_str()).or(self.waits.as_deref())
    }

    /// Whether the release is there, whole.
    #[must_use]
    pub fn has(&self, release: &CurrentRelease) -> bool {
        self.here.contains(&release.statement)
    }

    /// Whether the release is active there, and the switch to it at its end. Its digest says which one it is, whatever else it
    /// is called.
    #[must_use]
    pub fn runs(&self, release: &CurrentRelease) -> bool {
        !self.is_unsettled && self.active.as_ref().is_some_and(|active| active.statement == release.statement)
    }

    /// Why it cannot follow in this run, if it cannot.
    #[must_use]
    pub fn trouble_in(&self, run: u64) -> Option<&str> {
        self.trouble.as_ref().filter(|trouble| trouble.run == run).map(|trouble| trouble.reason.as_str())
    }
}

/// What a node cannot do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The run that it is about.
    pub run: u64,
    /// Why.
    pub reason: String,
}

/// Who coordinates: a Lease of `coordination.k8s.io/v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// The node that holds it, if one does.
    pub holder: Option<String>,
    /// How often it was taken.
    pub term: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(sequence: u64) -> CurrentRelease {
        let version = format!("1.{sequence}").parse().unwrap();
        CurrentRelease {
            version,
            sequence: sequence.try_into().unwrap(),
            statement: Digest::of(&sequence.to_le_bytes()),
        }
    }

    #[test]
    fn a_name_is_a_label() {
        for name in ["a", "node-1", "0", &"x".repeat(63)] {
            assert!(name.parse::<NodeName>().is_ok(), "{name}");
        }
        for name in ["", "-a", "a-", "A", "a.b", "a/b", "a_b", "é", "../x", &"x".repeat(64)] {
            assert!(name.parse::<NodeName>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_run_remembers_the_steps_that_lead_to_it() {
        let mut agreed = Agreement::adopted(release(1), 1);
        for sequence in 2..=11 {
            agreed = Agreement { phase: Phase::Active, ..agreed.next(release(sequence)) };
        }
        let sequences =
            |agreed: &Agreement| agreed.earlier.iter().map(|one| one.sequence.get()).collect::<Vec<_>>();
        assert_eq!(sequences(&agreed), [10, 9, 8, 7, 6, 5, 4, 3]);
        assert_eq!((agreed.run, agreed.is_return), (11, false));
        let back = agreed.next(release(9));
        assert_eq!((sequences(&back), back.is_return), (vec![8, 7, 6, 5, 4, 3], true));
        assert!(back.names(&release(11).statement) && !back.names(&release(12).statement));
    }

    #[test]
    fn what_comes_to_nothing_goes_back_or_stalls() {
        let run = Agreement::first(release(2), Some(release(1)));
        let back = run.given_up("no");
        assert_eq!((back.run, back.release.clone(), back.is_return), (2, release(1), true));
        assert_eq!(back.from, Some(release(2)));
        assert!(!back.is_stalled() && back.is_under_way());
        let first = Agreement::first(release(2), None);
        let stalled = first.given_up("no");
        assert_eq!((stalled.run, stalled.is_stalled(), stalled.is_under_way()), (1, true, false));
        let again = stalled.next(release(2));
        assert!(again.from.is_none() && again.is_under_way() && again.run == 2);
    }

    #[test]
    fn a_person_may_turn_every_run_round() {
        let forward = Agreement::first(release(2), Some(release(1)));
        let back = forward.asked_for(&release(1)).unwrap();
        assert_eq!((back.run, back.is_return, back.release.clone()), (2, true, release(1)));
        let again = back.asked_for(&release(2)).unwrap();
        assert_eq!((again.run, again.is_return, again.release.clone()), (3, false, release(2)));
        assert_eq!(again.from, Some(release(1)));
        let statements = |run: &Agreement| [1, 2].map(|one| run.leads_to(&release(one).statement).is_some());
        assert_eq!([&forward, &back, &again].map(statements), [[false, true], [true, true], [false, true]]);
        for run in [forward, back, again] {
            assert_eq!(run.asked_for(&run.release), Some(run.clone()), "it is under way");
            assert_eq!(run.asked_for(&release(3)), None);
            let done = Agreement { phase: Phase::Active, ..run };
            assert_eq!(done.asked_for(&release(3)).map(|next| next.run), Some(done.run + 1));
        }
        let stalled = Agreement::first(release(2), None).given_up("no");
        assert_eq!(stalled.asked_for(&release(2)).map(|next| next.run), Some(2));
    }

    #[test]
    fn what_is_served_follows_the_phase() {
        let run = Agreement::first(release(2), Some(release(1)));
        let served = |phase| {
            let run = Agreement { phase, ..run.clone() };
            run.served().map(|one| one.sequence.get()).collect::<Vec<_>>()
        };
        assert_eq!(served(Phase::Staging), [1, 2]);
        assert_eq!(served(Phase::Activating), [1, 2]);
        assert_eq!(served(Phase::Active), [2]);
        let first = Agreement::first(release(2), None);
        assert_eq!(first.served().count(), 0, "what runs goes on being served");
        let stalled = first.taken_back().unwrap();
        assert!(stalled.is_stalled() && stalled.served().count() == 0);
        assert!(run.taken_back().is_none() && stalled.taken_back().is_none());
    }

    #[test]
    fn what_a_later_edition_adds_is_passed_over() {
        let mut written = serde_json::to_value(Agreement::first(release(2), None)).unwrap();
        written["mood"] = "good".into();
        assert_eq!(serde_json::from_value::<Agreement>(written).unwrap(), Agreement::first(release(2), None));
    }
}
