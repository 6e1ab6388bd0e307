//! The way: which of the releases that a source offers are taken, in which order, and which are passed over.
//!
//! An appliance that has no release takes the newest. One that has goes, by as few steps as `upgradeFrom` allows, from the
//! active release through what is here and what is offered to the newest offer that can be reached; so one stick serves
//! every appliance from N-2 up. The floor is the highest of any verified statement, those of the source included:
//! what they withdraw is no step on the way either.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use sealift_archive::{Digest, Sequence, Statement, Version};
use serde::Serialize;

use super::{Known, Move, Situation};
use crate::{Error, State, Subject};

/// A release that a source offers, whose signatures are good.
#[derive(Clone, Copy, Debug)]
pub struct Offered<'a> {
    /// What it is.
    pub statement: &'a Statement,
    /// Digest of its statement.
    pub digest: Digest,
}

/// What importing the releases of a source comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// The release that is active now.
    pub from: Option<Subject>,
    /// The releases that it leads over, in order; the last is where it ends.
    pub stops: Vec<Stop>,
    /// Those of them that become active, one after the other, if that was asked for.
    pub activations: Vec<Subject>,
    /// The offered releases that it does not lead over.
    pub passed: Vec<Passed>,
}

/// A release on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The release.
    pub release: Subject,
    /// Its state, if it is here.
    pub here: Option<State>,
    /// Whether the source has it.
    pub is_offered: bool,
}

/// An offered release that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Passed {
    /// The release.
    #[serde(flatten)]
    pub release: Subject,
    /// Why not.
    #[serde(flatten)]
    pub why: Why,
}

/// Why a release is passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "camelCase")]
#[non_exhaustive]
pub enum Why {
    /// It is here already.
    Here,
    /// It is below the active release or, if there is none, below what ran here.
    Older,
    /// It is below the floor.
    Withdrawn,
    /// The way does not need it.
    NotNeeded,
    /// No allowed step leads to it.
    OutOfReach {
        /// The versions that would have to come first.
        missing: BTreeSet<Version>,
    },
}

impl Situation {
    /// Finds the way that an import of these releases takes; they are of one product, by rising sequence. With `activate`,
    /// every release on it is to become active in its turn.
    ///
    /// # Errors
    /// The first rule that the newest of them breaks, if none can be reached; [`Error::SequenceTaken`] for any. With
    /// `activate`, also the rule that forbids it.
    pub fn find_way(&self, offered: &[Offered<'_>], activate: bool) -> Result<Way, Error> {
        let situation = self.read_by(offered);
        offered.iter().try_for_each(|one| situation.judge_identity(&one.statement.name(), one.digest))?;
        let Some(newest) = offered.last() else { return Ok(Way::default()) };
        let map = Map::new(&situation, offered);
        let stops = match map.goal() {
            Some(goal) => {
                situation.expect_readable_active()?;
                situation.judge_product(&newest.statement.name())?;
                map.stops_to(goal)
            }
            None if map.is_here(newest.digest) => vec![map.stop(newest.statement.sequence)],
            None => return Err(map.refuse(newest)),
        };
        let is_stop = |one: &&Offered<'_>| stops.iter().any(|stop| stop.release.digest == one.digest);
        let passed = offered.iter().filter(|one| !is_stop(one)).map(|one| map.pass(one)).collect();
        let activations = if activate { map.walk(&stops)? } else { Vec::new() };
        Ok(Way { from: situation.active().map(Known::subject), stops, activations, passed })
    }

    /// The same with what the source can tell about releases that are here and cannot be read any more.
    fn read_by(&self, offered: &[Offered<'_>]) -> Self {
        let mut situation = self.clone();
        situation.unreadable.retain(|one| {
            let told = offered.iter().find(|offer| offer.digest == one.digest);
            situation
                .releases
                .extend(told.map(|told| Known::new(told.statement, told.digest, one.state.clone())));
            told.is_none()
        });
        situation.releases.sort_by_key(Known::sequence);
        situation
    }
}

/// A release that a way could lead over, here or offered.
#[derive(Debug)]
struct Place {
    release: Subject,
    upgrade_from: Vec<Version>,
    here: Option<State>,
    is_offered: bool,
    reached: Option<Reached>,
}

/// That there is a way to a place.
#[derive(Clone, Copy, Debug)]
struct Reached {
    /// How many steps it has.
    steps: usize,
    /// Where the last of them begins, unless that is the active release.
    before: Option<Sequence>,
}

impl Place {
    fn can_be_a_step(&self, floor: Option<Sequence>) -> bool {
        let is_sound = self.is_offered || self.here.as_ref().is_some_and(State::is_served);
        is_sound && Some(self.release.sequence) >= floor
    }
}

/// All releases that are here or offered, and how they can be reached from the active one.
struct Map<'s> {
    situation: &'s Situation,
    floor: Option<Sequence>,
    places: BTreeMap<Sequence, Place>,
}

impl<'s> Map<'s> {
    fn new(situation: &'s Situation, offered: &[Offered<'_>]) -> Self {
        let mut places: BTreeMap<Sequence, Place> = BTreeMap::new();
        for known in &situation.releases {
            let (release, upgrade_from) = (known.subject(), known.upgrade_from.clone());
            let here = Some(known.state.clone());
            places.insert(
                known.sequence(),
                Place { release, upgrade_from, here, is_offered: false, reached: None },
            );
        }
        for Offered { statement, digest } in offered {
            let new = || Place {
                release: Subject::new(statement, *digest),
                upgrade_from: statement.upgrade_from.clone(),
                here: None,
                is_offered: false,
                reached: None,
            };
            places.entry(statement.sequence).or_insert_with(new).is_offered = true;
        }
        let floor = offered.iter().map(|one| one.statement.floor).max().max(situation.floor);
        let mut map = Self { situation, floor, places };
        map.explore(map.floor);
        map
    }

    /// Notes for each place the shortest way to it; of several, the one over the latest releases.
    fn explore(&mut self, floor: Option<Sequence>) {
        let Some(active) = self.situation.active() else {
            // Nothing to step from: `upgradeFrom` does not apply, and one step leads anywhere but back.
            for (&sequence, place) in &mut self.places {
                let is_ahead = Some(sequence) >= self.situation.installed.max(floor);
                place.reached = is_ahead.then_some(Reached { steps: 1, before: None });
            }
            return;
        };
        let mut behind = vec![(active.sequence(), active.name.version.clone(), 0)];
        let above = (Bound::Excluded(active.sequence()), Bound::Unbounded);
        for (&sequence, place) in self.places.range_mut(above) {
            let before = behind.iter().filter(|(_, version, _)| place.upgrade_from.contains(version));
            let nearest = before.min_by_key(|(at, _, steps)| (*steps, Reverse(*at)));
            place.reached = nearest
                .filter(|_| place.can_be_a_step(floor))
                .map(|&(at, _, steps)| Reached { steps: steps + 1, before: (steps > 0).then_some(at) });
            if let Some(Reached { steps, .. }) = place.reached {
                behind.push((sequence, place.release.version.clone(), steps));
            }
        }
    }

    fn is_here(&self, digest: Digest) -> bool {
        self.places.values().any(|place| place.here.is_some() && place.release.digest == digest)
    }

    /// Where the way ends: at the newest offer that can be reached.
    fn goal(&self) -> Option<Sequence> {
        let mut reached = self.places.iter().filter(|(_, place)| place.is_offered && place.reached.is_some());
        reached.next_back().map(|(&goal, _)| goal)
    }

    fn stops_to(&self, goal: Sequence) -> Vec<Stop> {
        let mut stops = Vec::new();
        let mut next = Some(goal);
        while let Some(at) = next {
            stops.push(self.stop(at));
            next = self.places[&at].reached.and_then(|reached| reached.before);
        }
        stops.reverse();
        stops
    }

    fn stop(&self, at: Sequence) -> Stop {
        let Place { release, here, is_offered, .. } = &self.places[&at];
        Stop { release: release.clone(), here: here.clone(), is_offered: *is_offered }
    }

    /// What becomes active on a way. Where it is more than one stop, each is an allowed step from the one before.
    fn walk(&self, stops: &[Stop]) -> Result<Vec<Subject>, Error> {
        let Some(first) = stops.first() else { return Ok(Vec::new()) };
        // What has failed is brought back before its turn comes.
        let state = first.here.clone().filter(State::is_served).unwrap_or(State::Staged);
        let upgrade_from = self.places[&first.release.sequence].upgrade_from.clone();
        let first = Known { name: first.release.name(), digest: first.release.digest, upgrade_from, state };
        match self.situation.judge_activation(&first)? {
            Move::Stay => Ok(Vec::new()),
            Move::Forward => Ok(stops.iter().map(|stop| stop.release.clone()).collect()),
            // An import never goes back: whoever takes the wrong stick must not change what runs.
            Move::Back => {
                let active =
                    self.situation.active().map_or_else(|| first.name.clone(), |known| known.name.clone());
                Err(Error::BelowActive { offered: Box::new(first.name), active: Box::new(active) })
            }
        }
    }

    fn pass(&self, one: &Offered<'_>) -> Passed {
        let sequence = one.statement.sequence;
        let why = if self.is_here(one.digest) {
            Why::Here
        } else if self.situation.judge_order(&one.statement.name()).is_err() {
            Why::Older
        } else if Some(sequence) < self.floor {
            Why::Withdrawn
        } else if self.places[&sequence].reached.is_some() {
            Why::NotNeeded
        } else {
            Why::OutOfReach { missing: self.missing_before(sequence) }
        };
        Passed { release: Subject::new(one.statement, one.digest), why }
    }

    /// Why there is no way to the newest offer.
    fn refuse(mut self, newest: &Offered<'_>) -> Error {
        let name = newest.statement.name();
        // What the source itself withdraws counts as well.
        let situation = Situation { floor: self.floor, ..self.situation.clone() };
        let judged = situation
            .expect_readable_active()
            .and_then(|()| situation.judge_product(&name))
            .and_then(|()| situation.judge_order(&name))
            .and_then(|()| situation.judge_floor(&name));
        let active = match (judged, situation.active()) {
            (Err(error), _) => return error,
            (Ok(()), Some(active)) => active,
            // Without an active release, nothing but the floor can be in the way of what passed all of this.
            (Ok(()), None) => {
                let floor = situation.floor.unwrap_or(name.sequence);
                return Error::BelowFloor { offered: Box::new(name), floor, active: None };
            }
        };
        let missing = self.missing_before(name.sequence);
        self.explore(None);
        if self.places[&name.sequence].reached.is_some() {
            // There is a way, but over a release that is withdrawn.
            let stops = self.stops_to(name.sequence);
            let judged = stops.iter().try_for_each(|stop| situation.judge_floor(&stop.release.name()));
            if let Err(error) = judged {
                return error;
            }
        }
        situation.no_path(name, active, &newest.statement.upgrade_from, missing)
    }

    /// The versions that would have to be here or offered for a way to this release.
    fn missing_before(&self, sequence: Sequence) -> BTreeSet<Version> {
        let above = self.situation.active().map(Known::sequence);
        let is_step =
            |place: &&Place| Some(place.release.sequence) > above && place.can_be_a_step(self.floor);
        let (mut missing, mut seen, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![sequence]);
        while let Some(at) = open.pop() {
            for version in self.places[&at].upgrade_from.iter().filter(|_| !seen.contains(&at)) {
                let mut earlier = self.places.range(..at).map(|(_, place)| place).filter(is_step);
                match earlier.rfind(|place| place.release.version == *version) {
                    Some(place) => open.push(place.release.sequence),
                    None => drop(missing.insert(version.clone())),
                }
            }
            seen.insert(at);
        }
        missing
    }
}

#[cfg(test)]
mod tests;
