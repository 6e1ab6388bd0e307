//! Which releases may be imported, activated or gone back to: a pure function of what is here and what is offered.
//!
//! A release is taken if it is above the active one, at or above the floor, of the product that is installed, and on
//! a path that its `upgradeFrom` allows, judged from the active release through staged steps. Activation goes one
//! allowed step forward, or back to a release that was active before. An appliance without an active release has
//! nothing to step from, so `upgradeFrom` does not apply there.

mod way;

use std::collections::BTreeSet;

use sealift_archive::{Digest, Product, ReleaseName, Sequence, Statement, Version};

use crate::{Error, State, Subject};
pub use way::{Offered, Passed, Stop, Way, Why};

/// A release that is here.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its name.
    pub name: ReleaseName,
    /// Digest of its statement.
    pub digest: Digest,
    /// The versions that it can follow.
    pub upgrade_from: Vec<Version>,
    /// Its state.
    pub state: State,
}

impl Known {
    /// What a statement says of a release that is in this state.
    #[must_use]
    pub fn new(statement: &Statement, digest: Digest, state: State) -> Self {
        Self { name: statement.name(), digest, upgrade_from: statement.upgrade_from.clone(), state }
    }

    /// The release, as logs and plans name it.
    #[must_use]
    pub fn subject(&self) -> Subject {
        let name = self.name.clone();
        Subject { product: name.product, version: name.version, sequence: name.sequence, digest: self.digest }
    }

    fn sequence(&self) -> Sequence {
        self.name.sequence
    }
}

/// A release that is here, with a statement that is damaged.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Its place in the order.
    pub sequence: Sequence,
    /// Digest of the statement that it had.
    pub digest: Digest,
    /// Its state.
    pub state: State,
    /// What is wrong with its statement.
    pub why: String,
}

/// All that a decision depends on.
#[derive(Clone, Debug, Default)]
pub struct Situation {
    /// The product that is installed.
    pub product: Option<Product>,
    /// The lowest sequence that is allowed.
    pub floor: Option<Sequence>,
    /// The releases that are here, by rising sequence.
    pub releases: Vec<Known>,
    /// Those of them that cannot be read. Only the import that brings them back has anything to do with them.
    pub unreadable: Vec<Unreadable>,
    /// The release that was active until a switch that is not finished yet.
    pub leaving: Option<Sequence>,
}

/// What an activation would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// It is active already.
    Stay,
    /// A step to a later release, or the first one.
    Forward,
    /// A step back to a release that was active before.
    Back,
}

impl Situation {
    /// The active release.
    #[must_use]
    pub fn active(&self) -> Option<&Known> {
        self.releases.iter().find(|known| known.state == State::Active)
    }

    /// Judges the activation of a release that is here.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn judge_activation(&self, target: &Known) -> Result<Move, Error> {
        match &target.state {
            State::Active => return Ok(Move::Stay),
            State::Failed { reason } => {
                let release = Box::new(target.name.clone());
                return Err(Error::Failed { release, reason: reason.clone() });
            }
            State::Staged | State::Activating | State::Retained => {}
        }
        self.expect_readable_active()?;
        self.judge_product(&target.name)?;
        self.judge_floor(&target.name)?;
        match self.active() {
            None => Ok(Move::Forward),
            Some(active) if target.sequence() < active.sequence() => {
                if was_active(target) {
                    return Ok(Move::Back);
                }
                let (offered, active) = (Box::new(target.name.clone()), Box::new(active.name.clone()));
                Err(Error::BelowActive { offered, active })
            }
            Some(active) if target.upgrade_from.contains(&active.name.version) => Ok(Move::Forward),
            Some(active) => Err(no_path(target.name.clone(), active, &target.upgrade_from)),
        }
    }

    /// Finds the release that a rollback leads to: the newest below the active one that was active before and is
    /// not below the floor. If a step forward was begun and not finished, it is only given up, and if a step back was
    /// begun and has reached its release, it is only finished: the active release stays.
    ///
    /// # Errors
    /// [`Error::NoWayBack`].
    pub fn judge_rollback(&self) -> Result<&Known, Error> {
        let refuse = |why: String| Error::NoWayBack { why };
        self.expect_readable_active()?;
        let active = self.active().ok_or_else(|| refuse("no release is active".to_owned()))?;
        let is_begun =
            |known: &Known| known.state == State::Activating && known.sequence() > active.sequence();
        if self.releases.iter().any(is_begun) || self.leaving.is_some_and(|left| left > active.sequence()) {
            return Ok(active);
        }
        let earlier: Vec<&Known> = self
            .releases
            .iter()
            .filter(|known| known.sequence() < active.sequence() && was_active(known))
            .collect();
        match earlier.last() {
            None => Err(refuse(format!("no release that was active before {} is here", active.name))),
            Some(newest) if self.floor.is_some_and(|floor| newest.sequence() < floor) => {
                let floor = self.floor.map(|floor| floor.to_string()).unwrap_or_default();
                Err(refuse(format!("{} is below the floor, which is sequence {floor}", newest.name)))
            }
            Some(newest) => Ok(newest),
        }
    }

    /// Without the statement of the active release, nobody can say what may follow it.
    fn expect_readable_active(&self) -> Result<(), Error> {
        match self.unreadable.iter().find(|one| one.state == State::Active) {
            Some(active) => {
                Err(Error::ActiveUnreadable { sequence: active.sequence, why: active.why.clone() })
            }
            None => Ok(()),
        }
    }

    fn judge_product(&self, name: &ReleaseName) -> Result<(), Error> {
        match &self.product {
            Some(installed) if *installed != name.product => {
                Err(Error::OtherProduct { offered: Box::new(name.clone()), installed: installed.clone() })
            }
            _ => Ok(()),
        }
    }

    fn judge_floor(&self, name: &ReleaseName) -> Result<(), Error> {
        match self.floor {
            Some(floor) if name.sequence < floor => {
                Err(Error::BelowFloor { offered: Box::new(name.clone()), floor })
            }
            _ => Ok(()),
        }
    }
}

/// A release below the active one can only have begun its activation if it was active before.
fn was_active(known: &Known) -> bool {
    matches!(known.state, State::Retained | State::Activating)
}

fn no_path(offered: ReleaseName, active: &Known, upgrade_from: &[Version]) -> Error {
    Error::NoPath {
        offered: Box::new(offered),
        active: Box::new(active.name.clone()),
        upgrade_from: upgrade_from.to_vec(),
        missing: BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use sealift_archive::release::BlobListSummary;
    use sealift_archive::{Blob, Explain as _};

    use super::*;

    /// `acme 1.N` with sequence N, which can follow `acme 1.(N-1)` unless told otherwise.
    pub(super) fn statement(product: &str, sequence: u64, upgrade_from: &[u64]) -> Statement {
        let version = |n: u64| format!("1.{n}").parse::<Version>().unwrap();
        let name = ReleaseName {
            product: product.parse().unwrap(),
            version: version(sequence),
            sequence: sequence.try_into().unwrap(),
        };
        let nothing = BlobListSummary { digest: Digest::of(b""), count: 0, content_bytes: 0 };
        let mut statement = Statement::new(name, nothing, Blob::of(b""));
        statement.upgrade_from = upgrade_from.iter().map(|&n| version(n)).collect();
        statement
    }

    pub(super) fn digest_of(statement: &Statement) -> Digest {
        Digest::of(&statement.to_bytes())
    }

    pub(super) fn here(sequence: u64, state: State) -> Known {
        let statement = statement("acme", sequence, &[sequence.saturating_sub(1)]);
        Known::new(&statement, digest_of(&statement), state)
    }

    pub(super) fn failed() -> State {
        State::Failed { reason: "content is missing".to_owned() }
    }

    pub(super) fn situation(floor: u64, releases: &[(u64, State)]) -> Situation {
        Situation {
            product: (!releases.is_empty()).then(|| "acme".parse().unwrap()),
            floor: floor.try_into().ok(),
            releases: releases.iter().map(|(sequence, state)| here(*sequence, state.clone())).collect(),
            unreadable: Vec::new(),
            leaving: None,
        }
    }

    fn leaving(sequence: u64, situation: Situation) -> Situation {
        Situation { leaving: sequence.try_into().ok(), ..situation }
    }

    /// `ok …`, or the code and the message of the error.
    fn said<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
        result.map_or_else(|e| format!("{} {e}", e.code()), |verdict| format!("ok {verdict:?}"))
    }

    #[test]
    fn what_follows_an_unreadable_release_is_not_judged() {
        let four = here(4, State::Active);
        let (sequence, digest, state) = (four.sequence(), four.digest, four.state.clone());
        let mut situation = situation(1, &[(3, State::Retained), (5, State::Staged)]);
        situation.unreadable.push(Unreadable { sequence, digest, state, why: "it is missing".to_owned() });
        let cases = [
            ("a step forward", said(situation.judge_activation(&situation.releases[1]))),
            ("a step back", said(situation.judge_rollback())),
        ];
        for (name, said) in cases {
            assert!(said.contains("SL0318"), "{name}: {said}");
        }
    }

    #[test]
    fn an_activation_is_one_step() {
        use State::{Activating, Active, Retained, Staged};
        let cases = [
            ("the first", situation(1, &[(7, Staged)]), 7, "ok Forward"),
            ("one step", situation(1, &[(4, Active), (5, Staged)]), 5, "ok Forward"),
            ("finish it", situation(1, &[(4, Active), (5, Activating)]), 5, "ok Forward"),
            ("again what was gone back from", situation(1, &[(4, Active), (5, Retained)]), 5, "ok Forward"),
            ("two steps", situation(1, &[(4, Active), (5, Staged), (6, Staged)]), 6, "SL0312"),
            ("already", situation(1, &[(4, Active)]), 4, "ok Stay"),
            ("back", situation(1, &[(3, Retained), (4, Active)]), 3, "ok Back"),
            ("finish going back", situation(1, &[(3, Activating), (4, Active)]), 3, "ok Back"),
            ("back to what never ran", situation(1, &[(3, Staged), (4, Active)]), 3, "SL0310"),
            ("back below the floor", situation(4, &[(3, Retained), (4, Active)]), 3, "SL0311"),
            ("a failed one", situation(1, &[(4, Active), (5, failed())]), 5, "SL0313"),
        ];
        for (name, situation, target, expected) in cases {
            let target = situation.releases.iter().find(|known| known.name.sequence.get() == target).unwrap();
            let said = said(situation.judge_activation(target));
            assert!(said.contains(expected), "{name}: {said}");
        }
    }

    #[test]
    fn a_rollback_leads_to_what_ran_before() {
        use State::{Activating, Active, Retained, Staged};
        let cases = [
            ("one step", situation(1, &[(3, Retained), (4, Active)]), "ok 3"),
            ("the newest", situation(1, &[(2, Retained), (3, Retained), (4, Active), (5, Retained)]), "ok 3"),
            ("never to a staged one", situation(1, &[(2, Retained), (3, Staged), (4, Active)]), "ok 2"),
            ("finish it", situation(1, &[(2, Retained), (3, Activating), (4, Active)]), "ok 3"),
            (
                "finish it, on the way from 5",
                leaving(5, situation(1, &[(3, Retained), (4, Active), (5, Retained)])),
                "ok 4",
            ),
            (
                "undo a step forward, on the way from 3",
                leaving(3, situation(1, &[(3, Retained), (4, Active)])),
                "ok 3",
            ),
            ("give up a step forward", situation(1, &[(3, Retained), (4, Active), (5, Activating)]), "ok 4"),
            ("nothing ran before", situation(1, &[(4, Active), (5, Staged)]), "SL0315"),
            ("nothing runs", situation(1, &[(4, Staged)]), "SL0315"),
            ("not below the floor", situation(4, &[(3, Retained), (4, Active)]), "is below the floor"),
        ];
        for (name, situation, expected) in cases {
            let said = said(situation.judge_rollback().map(|known| known.name.sequence.get()));
            assert!(said.contains(expected), "{name}: {said}");
        }
    }
}
