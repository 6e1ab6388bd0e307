//! What an appliance is to do, in a few lines: which releases are here and how they stand, and what must not go back.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use sealift_store::{State, Store};

use super::chain::{CHAIN, ON_STICKS, made};
use super::command::Command;

const NO_SUCH_VERSION: &str = "SL0503";
const BELOW_ACTIVE: &str = "SL0310";
const BELOW_FLOOR: &str = "SL0311";
const NO_PATH: &str = "SL0312";
const NO_WAY_BACK: &str = "SL0315";
const BELOW_INSTALLED: &str = "SL0320";
const CHANNEL_BEHIND: &str = "SL0322";
const NOT_EARLIER: &str = "SL0537";
/// How many releases stay of those that ran, besides the one that runs.
const KEPT_BEFORE: usize = 2;

/// How a release stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Staged,
    /// Only seen while a switch is under way.
    Activating,
    Active,
    Retained,
}

/// An appliance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) releases: BTreeMap<u64, Standing>,
    /// The lowest release that is allowed.
    floor: u64,
    /// The highest that ever ran.
    installed: u64,
    /// The last edition of the channel that was believed.
    edition: u64,
    /// What the mirror has activated last.
    mirrored: Option<u64>,
}

/// What a command leads over, state by state, the first and the last included; and what it says: nothing, or the code of a
/// refusal.
pub(super) struct Course {
    pub(super) states: Vec<Model>,
    pub(super) refusal: Option<&'static str>,
}

impl Model {
    /// What the appliance with this store is.
    pub(super) fn of(store: &Store) -> Result<Self, sealift_store::Error> {
        let mut releases = BTreeMap::new();
        for release in store.releases()? {
            let standing = match release.state() {
                State::Staged => Standing::Staged,
                State::Activating => Standing::Activating,
                State::Active => Standing::Active,
                State::Retained => Standing::Retained,
                other @ State::Failed { .. } => panic!("release {} is {other}", release.sequence()),
            };
            releases.insert(release.sequence().get(), standing);
        }
        let counters = store.counters()?;
        let mirrored = store.last_try()?.and_then(|last| last.activated);
        Ok(Self {
            releases,
            floor: counters.floor.map_or(1, sealift_archive::Sequence::get),
            installed: counters.installed.map_or(0, sealift_archive::Sequence::get),
            edition: counters.channels.values().map(|seen| seen.version).max().unwrap_or_default(),
            mirrored: mirrored.and_then(|statement| CHAIN.number_of(&statement)),
        })
    }

    /// What a command does to it.
    pub(super) fn course(&self, command: Command) -> Course {
        let mut course = Course { states: vec![self.clone()], refusal: None };
        let end = match command {
            Command::Import { number, activate } => course.import(&[number], activate),
            Command::ImportSticks { activate } => course.import(&[ON_STICKS], activate),
            Command::Mirror { edition, activate } => course.mirror(edition, activate),
            Command::Activate(number) => self.judge_activation(number).map(|()| course.switch(number)),
            Command::RollBack(number) => self.judge_rollback(number).map(|number| course.switch(number)),
            Command::Collect { .. } => {
                let going = self.releases.keys().copied().filter(|&number| !self.stays(number));
                going.for_each(|number| course.go(|model| model.releases.retain(|&kept, _| kept != number)));
                Ok(())
            }
            Command::Repair { .. } => Ok(()),
        };
        course.refusal = end.err();
        course
    }

    pub(super) fn active(&self) -> Option<u64> {
        self.releases.iter().find(|(_, standing)| **standing == Standing::Active).map(|(number, _)| *number)
    }

    /// Whether an appliance on which something may still be under way can be on this place of a command's course.
    pub(super) fn may_become(&self, place: &Self) -> bool {
        let is_like = |(found, stands): (&Standing, &Standing)| {
            found == stands || (*found == Standing::Activating && *stands != Standing::Active)
        };
        self.releases.keys().eq(place.releases.keys())
            && self.releases.values().zip(place.releases.values()).all(is_like)
    }

    /// Whether nothing that only grows has gone back behind `before`, or ahead of `after`.
    pub(super) fn is_between(&self, before: &Self, after: &Self) -> bool {
        let is_between = |of: fn(&Self) -> u64| (of(before)..=of(after)).contains(&of(self));
        is_between(|model| model.floor)
            && is_between(|model| model.installed)
            && is_between(|model| model.edition)
    }

    fn judge_activation(&self, number: u64) -> Result<(), &'static str> {
        let standing = *self.releases.get(&number).ok_or(NO_SUCH_VERSION)?;
        match self.active() {
            Some(active) if active == number => Ok(()),
            _ if number < self.floor => Err(BELOW_FLOOR),
            None => Ok(()),
            Some(active) if number < active && standing == Standing::Retained => Ok(()),
            Some(active) if number < active => Err(BELOW_ACTIVE),
            Some(active) if made(number).follows.contains(&active) => Ok(()),
            Some(_) => Err(NO_PATH),
        }
    }

    fn judge_rollback(&self, number: Option<u64>) -> Result<u64, &'static str> {
        let Some(number) = number else {
            return self.way_back().filter(|&number| number >= self.floor).ok_or(NO_WAY_BACK);
        };
        self.judge_activation(number)?;
        self.active().filter(|&active| number <= active).map(|_| number).ok_or(NOT_EARLIER)
    }

    fn way_back(&self) -> Option<u64> {
        self.ran_before().next()
    }

    fn ran_before(&self) -> impl Iterator<Item = u64> {
        let before = self.releases.range(..self.active().unwrap_or_default()).rev();
        before.filter(|(_, standing)| **standing == Standing::Retained).map(|(number, _)| *number)
    }

    fn stays(&self, number: u64) -> bool {
        let is_ahead = self.active().is_none_or(|active| number > active);
        self.active() == Some(number)
            || self.ran_before().take(KEPT_BEFORE).any(|kept| kept == number)
            || is_ahead && number >= self.floor
    }

    /// The way to the newest of these that can be reached: the shortest, and of several the one over the latest releases.
    fn way(&self, offered: &[u64]) -> Result<Vec<u64>, &'static str> {
        let newest = *offered.last().expect("something is offered");
        let floor = offered.iter().map(|&number| made(number).floor).max().max(Some(self.floor)).unwrap_or(1);
        let active = self.active();
        let mut ways: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let here = self.releases.keys().chain(offered).copied().collect::<std::collections::BTreeSet<_>>();
        for number in here.into_iter().filter(|&number| number >= floor) {
            let way = match active {
                None => (number >= self.installed).then(Vec::new),
                Some(active) if number <= active => None,
                Some(active) => {
                    let before = made(number).follows.iter();
                    let ways = before.filter_map(|before| {
                        if *before == active { Some(Vec::new()) } else { ways.get(before).cloned() }
                    });
                    ways.min_by_key(|way| (way.len(), Reverse(way.last().copied())))
                }
            };
            ways.extend(way.map(|way| (number, [way, vec![number]].concat())));
        }
        let reached = offered.iter().rev().find_map(|number| ways.remove(number));
        match (reached, active) {
            (Some(way), _) => Ok(way),
            (None, _) if self.releases.contains_key(&newest) => Ok(vec![newest]),
            (None, Some(active)) if newest < active => Err(BELOW_ACTIVE),
            (None, None) if newest < self.installed => Err(BELOW_INSTALLED),
            (None, _) if newest < floor => Err(BELOW_FLOOR),
            (None, _) => Err(NO_PATH),
        }
    }
}

impl Course {
    fn now(&self) -> &Model {
        self.states.last().expect("it begins somewhere")
    }

    fn go(&mut self, step: impl FnOnce(&mut Model)) {
        let mut next = self.now().clone();
        step(&mut next);
        self.states.push(next);
    }

    fn switch(&mut self, number: u64) {
        self.go(|model| {
            if let Some(active) = model.active() {
                model.releases.insert(active, Standing::Retained);
            }
            model.releases.insert(number, Standing::Active);
            model.installed = model.installed.max(number);
        });
    }

    fn walk(&mut self, way: &[u64]) {
        for &number in way {
            self.switch(number);
        }
    }

    fn stage(&mut self, way: &[u64]) {
        for &number in way {
            if !self.now().releases.contains_key(&number) {
                self.go(|model| {
                    model.releases.insert(number, Standing::Staged);
                    model.floor = model.floor.max(made(number).floor);
                });
            }
        }
    }

    fn import(&mut self, offered: &[u64], activate: bool) -> Result<(), &'static str> {
        let before = self.now().clone();
        let way = before.way(offered)?;
        if activate {
            // An import never goes back.
            match (way[0], before.active()) {
                (first, Some(active)) if first < active && before.releases[&first] == Standing::Retained => {
                    return Err(if first < before.floor { BELOW_FLOOR } else { BELOW_ACTIVE });
                }
                (first, _) if before.releases.contains_key(&first) => before.judge_activation(first)?,
                _ => {}
            }
        }
        self.stage(&way);
        let is_there = before.active() == way.last().copied();
        if activate && !is_there {
            self.walk(&way);
        }
        Ok(())
    }

    fn mirror(&mut self, edition: u64, activate: bool) -> Result<(), &'static str> {
        let before = self.now().clone();
        if edition < before.edition {
            return Err(CHANNEL_BEHIND);
        }
        self.go(|model| {
            model.edition = edition;
            model.floor = model.floor.max(made(edition).floor);
        });
        let is_wanted = activate && before.mirrored != Some(edition);
        let is_staged = before.releases.get(&edition) == Some(&Standing::Staged);
        let active = before.active();
        let is_here = before.releases.contains_key(&edition) && !(is_wanted && is_staged);
        if is_here || active.is_some_and(|active| active > edition) {
            return Ok(());
        }
        // What the channel names on the way from the active one, each of which can follow the one before it.
        let offered: Vec<u64> = match active {
            Some(active) if !made(edition).follows.contains(&active) => (active + 1..=edition).collect(),
            _ => vec![edition],
        };
        let way = self.now().way(&offered)?;
        self.stage(&way);
        if is_wanted {
            self.go(|model| model.mirrored = Some(edition));
            self.import(&way, true)?;
        }
        Ok(())
    }
}
