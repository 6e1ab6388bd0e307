//! What the nodes agree on: a run that leads to a release, how far it is, and what becomes of it.

use std::fmt;

use sealift_archive::Digest;
use sealift_archive::release::CurrentRelease;
use serde::{Deserialize, Serialize};

use super::record::Report;

/// Most releases that are named as steps for a node that is further behind. The vendor supports two before the newest.
const MAX_EARLIER: usize = 8;
/// Why a run came to nothing that a person turned round.
const GIVEN_UP: &str = "it was given up";

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Every live node fetches the release. Nothing has changed for anybody.
    Staging,
    /// Flux stands still, and the nodes switch.
    Activating,
    /// They have. Flux is let go, and all has to become well; nobody answers with another release any more.
    Settling,
    /// It runs. Whoever has another one is behind.
    Active,
    /// It came to nothing before any point of no return, and there is no release to go back to. Flux is let go, and it stops.
    GivingUp,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Staging => "staging",
            Self::Activating => "activating",
            Self::Settling => "settling",
            Self::Active => "active",
            Self::GivingUp => "giving up",
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
    /// The release that Flux goes on with until it is held still for this run; none once it is, or where nothing ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<CurrentRelease>,
    /// Releases that ran before, by falling sequence: the steps for a node that is further behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<CurrentRelease>,
    /// Whether it leads back. Then nothing is waited for that may be broken, and nothing turns it round by itself.
    #[serde(default)]
    pub is_return: bool,
    /// Whether a person has asked for it who knows what going back means for data. Without that, no node goes back behind its
    /// point of no return.
    #[serde(default)]
    pub is_asked_for: bool,
    /// Whether it came to nothing and stands where it is, until a person says how to go on.
    #[serde(default)]
    pub is_stopped: bool,
    /// Why it, or the run that it goes back on, came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The term of the coordinator who goes on with it. Nothing that was decided in an earlier term is written over it.
    pub term: u64,
}

impl Agreement {
    /// What runs already, written down for those who join.
    #[must_use]
    pub fn adopted(release: CurrentRelease, term: u64) -> Self {
        Self { phase: Phase::Active, ..Self::begin(1, release, None, term) }
    }

    /// The first run of a cluster in which nothing is agreed on; `from` runs on the node where it is asked for.
    #[must_use]
    pub fn first(release: CurrentRelease, from: Option<CurrentRelease>) -> Self {
        let earlier = steps_to(&release, from.iter());
        Self { earlier, settled: from.clone(), ..Self::begin(1, release, from, 0) }
    }

    /// The run that leads to another release, or once more to this one.
    #[must_use]
    pub fn next(&self, release: CurrentRelease) -> Self {
        let settled = if self.is_settled() { Some(&self.release) } else { self.settled.as_ref() }.cloned();
        if release == self.release {
            let Self { earlier, is_return, .. } = self.clone();
            return Self {
                settled,
                earlier,
                is_return,
                ..Self::begin(self.run + 1, release, self.from.clone(), self.term)
            };
        }
        let is_return = release.sequence < self.release.sequence;
        // Where nothing had run before this one, that came to nothing, there is no way back to it.
        let is_nothing = self.from.is_none() && self.is_given_up() && !is_return;
        let from = Some(&self.release).filter(|_| !is_nothing);
        // Flux is free after a first run that came to nothing, wherever the nodes are; it goes on with what they go back to.
        let is_free = self.phase == Phase::GivingUp && is_return;
        let settled = settled.or_else(|| is_free.then(|| release.clone()));
        let earlier = steps_to(&release, self.earlier.iter().chain(from));
        let begun = Self::begin(self.run + 1, release, from.cloned(), self.term);
        Self { settled, earlier, is_return, ..begun }
    }

    /// This run, in a later phase.
    #[must_use]
    pub fn entering(&self, phase: Phase) -> Self {
        Self { phase, settled: None, ..self.clone() }
    }

    /// What becomes of this run if it comes to nothing before any point of no return: the run that goes back on it. Where nothing
    /// ran before, it only ends.
    #[must_use]
    pub fn given_up(&self, reason: &str) -> Self {
        let reason = Some(reason.to_owned());
        match &self.from {
            None => Self { phase: Phase::GivingUp, reason, ..self.clone() },
            Some(from) => Self { is_return: true, reason, ..self.next(from.clone()) },
        }
    }

    /// What becomes of it behind a point of no return.
    #[must_use]
    pub fn stopped(&self, reason: &str) -> Self {
        Self { is_stopped: true, reason: Some(reason.to_owned()), ..self.clone() }
    }

    /// What a person's wish for a release makes of it: this very run, if that leads there already; the way back out of it, and
    /// out of a way back that no node can go; or the next run. None if another one has to end first. `has_consent` says that the
    /// person knows what going back means for data.
    #[must_use]
    pub fn asked_for(&self, wanted: &CurrentRelease, has_consent: bool) -> Option<Self> {
        let is_same = self.release == *wanted;
        let is_news = has_consent && self.is_return && !self.is_asked_for;
        if is_same && !self.is_given_up() && !is_news {
            return Some(self.clone());
        }
        let is_left = self.from.as_ref() == Some(wanted);
        let next = if !self.is_under_way() || is_same || self.is_return && is_left {
            self.next(wanted.clone())
        } else if is_left {
            self.given_up(GIVEN_UP)
        } else {
            return None;
        };
        Some(Self { is_asked_for: has_consent, ..next })
    }

    /// Whether a person who writes this in the place of `before` leads the nodes back, whatever runs where it is asked for, and has
    /// not said to know what that means for data. As long as a release was only fetched, there is nothing to go back on.
    #[must_use]
    pub fn leads_back_unasked(&self, before: &Self) -> bool {
        self.is_return && !self.is_asked_for && self != before && !before.is_harmless()
    }

    /// Whether it can be given up without a loss: releases are only fetched.
    #[must_use]
    pub fn is_harmless(&self) -> bool {
        self.phase == Phase::Staging && !self.is_return && !self.is_stopped
    }

    /// The release with this digest, if this run leads to it, or forward to it once it is turned round.
    #[must_use]
    pub fn leads_to(&self, statement: &Digest) -> Option<&CurrentRelease> {
        let left = self.from.iter().filter(|_| self.is_return);
        [&self.release].into_iter().chain(left).find(|release| release.statement == *statement)
    }

    /// Whether it came to nothing: nobody follows it any more.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.is_stopped || self.phase == Phase::GivingUp
    }

    /// Whether somebody has to coordinate.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.phase != Phase::Active && !self.is_stopped
    }

    /// Whether what one node cannot do concerns that node alone: all have switched, or they go back from where all is not well.
    #[must_use]
    pub fn is_lenient(&self) -> bool {
        self.is_return || !matches!(self.phase, Phase::Staging | Phase::Activating)
    }

    /// Whether Flux has to stand still, or to be free; none where that changes.
    #[must_use]
    pub fn holds_flux(&self) -> Option<bool> {
        let is_fixed = self.phase != Phase::Staging || self.is_stopped && self.settled.is_some();
        is_fixed.then_some(self.phase == Phase::Activating)
    }

    /// The releases of which a node may answer with any while this holds: one as long as Flux is free, which would apply whichever
    /// it asks first. None until the nodes have switched for the first time: nothing was agreed on before that a node could be
    /// behind.
    pub fn served(&self) -> impl Iterator<Item = &CurrentRelease> {
        let alone = if self.is_settled() { Some(&self.release) } else { self.settled.as_ref() };
        let from = self.from.as_ref().filter(|_| alone.is_none());
        alone.into_iter().chain(from.into_iter().flat_map(|from| [from, &self.release]))
    }

    /// Whether nobody has to go back if it comes to nothing: Flux goes on with what it would go back to.
    #[must_use]
    pub fn is_unbegun(&self) -> bool {
        self.phase == Phase::Staging && self.settled.is_some() && self.settled == self.from
    }

    /// What becomes of a first run that a person takes back, as long as nothing has changed for anybody; none of another run.
    #[must_use]
    pub fn taken_back(&self) -> Option<Self> {
        let is_first = self.is_under_way() && self.from.is_none() && self.phase == Phase::Staging;
        is_first.then(|| self.given_up(GIVEN_UP))
    }

    /// Whether a later release runs on a node than was agreed on, before or now. It does not go back, as nobody has asked for
    /// that; what becomes of it is a matter for a person.
    #[must_use]
    pub fn leaves_aside(&self, report: &Report) -> bool {
        report.active.as_ref().is_some_and(|active| is_ahead(active, &self.release, self.from.as_ref()))
    }

    /// Whether a node does not follow it back, as that is behind its point of no return and nobody has asked for it.
    #[must_use]
    pub fn lacks_consent(&self, report: &Report) -> bool {
        let is_behind = |beyond| beyond > self.release.sequence;
        self.is_return && !self.is_asked_for && report.beyond.is_some_and(is_behind)
    }

    /// Whether a node would have to go back behind its point of no return if this run were gone back on.
    #[must_use]
    pub fn is_past_return(&self, report: &Report) -> bool {
        report.beyond.is_some_and(|beyond| match &self.from {
            Some(from) => beyond > from.sequence,
            None => beyond >= self.release.sequence,
        })
    }

    /// Whether the nodes have switched, and all that Flux may be told is the release.
    fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Settling | Phase::Active)
    }

    fn begin(run: u64, release: CurrentRelease, from: Option<CurrentRelease>, term: u64) -> Self {
        Self {
            run,
            phase: Phase::Staging,
            release,
            from,
            settled: None,
            earlier: Vec::new(),
            is_return: false,
            is_asked_for: false,
            is_stopped: false,
            reason: None,
            term,
        }
    }
}

/// Whether what is `active` on a node is later than both releases of a run.
pub(super) fn is_ahead(
    active: &CurrentRelease,
    release: &CurrentRelease,
    from: Option<&CurrentRelease>,
) -> bool {
    let latest = from.map_or(release.sequence, |from| from.sequence.max(release.sequence));
    active.sequence > latest
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

#[cfg(test)]
mod tests {
    use super::super::fixture::release;
    use super::*;

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
        let again = back.next(release(9));
        assert_eq!(
            (sequences(&again), again.is_return, again.from),
            (vec![8, 7, 6, 5, 4, 3], true, back.from)
        );
    }

    #[test]
    fn what_comes_to_nothing_goes_back_or_stops() {
        let run = Agreement::first(release(2), Some(release(1)));
        let back = run.given_up("no");
        assert_eq!((back.run, back.release.clone(), back.is_return), (2, release(1), true));
        assert_eq!((back.from.clone(), back.is_asked_for), (Some(release(2)), false));
        assert!(!back.is_given_up() && back.is_under_way());
        let first = Agreement::first(release(2), None).given_up("no");
        assert_eq!(
            (first.run, first.phase, first.is_under_way()),
            (1, Phase::GivingUp, true),
            "Flux is let go"
        );
        let stopped = Agreement { is_stopped: true, ..first };
        // Where the run came from, whether it stops, what is asked for then, and where that comes from.
        let cases = [
            (&stopped, 2, None),
            (&stopped, 3, None),
            (&stopped, 1, Some(2)),
            (&run.stopped("no"), 2, Some(1)),
            (&run.stopped("no"), 1, Some(2)),
            (&run.stopped("no"), 3, Some(2)),
        ];
        for (stopped, wanted, from) in cases {
            assert!(stopped.is_given_up() && !stopped.is_under_way());
            let next = stopped.asked_for(&release(wanted), false).unwrap();
            assert_eq!(
                (next.run, next.from.clone()),
                (stopped.run + 1, from.map(release)),
                "{stopped:?} {wanted}"
            );
            assert!(next.is_under_way() && next.is_return == (wanted == 1), "{next:?}");
        }
    }

    #[test]
    fn a_person_may_turn_every_run_round() {
        let forward = Agreement::first(release(2), Some(release(1)));
        let back = forward.asked_for(&release(1), true).unwrap();
        assert_eq!((back.run, back.is_return, back.release.clone()), (2, true, release(1)));
        let again = back.asked_for(&release(2), false).unwrap();
        assert_eq!((again.run, again.is_return, again.release.clone()), (3, false, release(2)));
        assert_eq!(again.from, Some(release(1)));
        let statements = |run: &Agreement| [1, 2].map(|one| run.leads_to(&release(one).statement).is_some());
        assert_eq!([&forward, &back, &again].map(statements), [[false, true], [true, true], [false, true]]);
        for run in [forward, back, again] {
            assert_eq!(run.asked_for(&run.release, true), Some(run.clone()), "it is under way");
            assert_eq!(run.asked_for(&release(3), true), None);
            let done = Agreement { phase: Phase::Active, ..run };
            assert_eq!(done.asked_for(&release(3), true).map(|next| next.run), Some(done.run + 1));
        }
    }

    #[test]
    fn a_way_back_that_began_by_itself_can_be_asked_for() {
        let back = Agreement::first(release(2), Some(release(1))).given_up("no");
        assert_eq!(back.asked_for(&release(1), false), Some(back.clone()));
        let asked = back.asked_for(&release(1), true).unwrap();
        assert_eq!((asked.run, asked.is_return, asked.is_asked_for), (3, true, true));
        assert_eq!((&asked.release, &asked.from), (&back.release, &back.from));
        assert_eq!(asked.asked_for(&release(1), true), Some(asked));
    }

    #[test]
    fn nobody_leads_all_back_without_consent() {
        let run = Agreement::first(release(2), Some(release(1)));
        let at = |phase| Agreement { phase, ..run.clone() };
        // What is agreed on, what is asked for, and whether that needs consent.
        let cases = [
            (at(Phase::Active), 1, true),
            (at(Phase::Active), 2, false),
            (at(Phase::Active), 3, false),
            (at(Phase::Activating), 1, true),
            (at(Phase::Staging), 1, false),
            (run.stopped("no"), 1, true),
            (at(Phase::Activating).given_up("no"), 1, false),
            (at(Phase::Activating).given_up("no"), 2, false),
        ];
        for (agreed, wanted, needs_consent) in cases {
            let next = |has_consent| agreed.asked_for(&release(wanted), has_consent).unwrap();
            assert_eq!(next(false).leads_back_unasked(&agreed), needs_consent, "{agreed:?} {wanted}");
            assert!(!next(true).leads_back_unasked(&agreed), "{agreed:?} {wanted}");
        }
    }

    #[test]
    fn what_is_served_follows_the_phase() {
        let run = Agreement::first(release(2), Some(release(1)));
        let served = |run: &Agreement, phase| {
            let run = if phase == Phase::Staging { run.clone() } else { run.entering(phase) };
            run.served().map(|one| one.sequence.get()).collect::<Vec<_>>()
        };
        let first = Agreement::first(release(2), None);
        // Of a run, and of a first one, for which what runs goes on being served until all have switched.
        let cases: [(Phase, &[u64], &[u64]); 5] = [
            (Phase::Staging, &[1], &[]),
            (Phase::Activating, &[1, 2], &[]),
            (Phase::Settling, &[2], &[2]),
            (Phase::Active, &[2], &[2]),
            (Phase::GivingUp, &[1, 2], &[]),
        ];
        for (phase, of_run, of_first) in cases {
            assert_eq!(
                (served(&run, phase), served(&first, phase)),
                (of_run.to_vec(), of_first.to_vec()),
                "{phase}"
            );
        }
        // On the way back, and out of it, as long as Flux is held; and after a wish once it was let go.
        let back = run.entering(Phase::Activating).given_up("no");
        let again = back.asked_for(&release(2), false).unwrap();
        let on = run.entering(Phase::Settling).given_up("no");
        let cases: [(&Agreement, &[u64]); 3] = [(&back, &[1, 2]), (&again, &[1, 2]), (&on, &[2])];
        for (agreed, wanted) in cases {
            let mut sequences: Vec<u64> = agreed.served().map(|one| one.sequence.get()).collect();
            sequences.sort_unstable();
            assert_eq!(sequences, wanted, "{agreed:?}");
        }
        let ended = first.taken_back().unwrap();
        assert_eq!(ended.phase, Phase::GivingUp);
        assert!(run.taken_back().is_none() && ended.taken_back().is_none());
    }

    #[test]
    fn what_a_later_edition_adds_is_passed_over() {
        let mut written = serde_json::to_value(Agreement::first(release(2), None)).unwrap();
        written["mood"] = "good".into();
        assert_eq!(serde_json::from_value::<Agreement>(written).unwrap(), Agreement::first(release(2), None));
    }
}
