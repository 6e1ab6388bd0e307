//! Which releases may be imported, activated or gone back to, and which news is believed: a pure function of what is here
//! and what is offered.
//!
//! - A release is taken if it is above the active one, at or above the floor, of the product that is installed, and on a
//!   path that its `upgradeFrom` allows, judged from the active release through staged steps. An appliance without an
//!   active release has nothing to step from, so `upgradeFrom` does not apply there; but what ran once is not gone behind.
//! - Activation goes one allowed step forward, or back to a release that was active before.
//! - A channel is believed if its version is not below one that was seen before, and if it has not expired. The floor is the
//!   highest of any channel or statement that was believed.
//! - Versions are names, order is by sequence alone, and a sequence is given to one statement for good. So an emergency
//!   return to older content is a new statement with a higher sequence.

#[cfg(test)]
mod cases;
mod channel;
mod way;

use std::collections::{BTreeMap, BTreeSet};

use sealift_archive::{ChannelName, Digest, Product, ReleaseName, Sequence, Statement, Version};

pub use channel::{Freshness, Reach, SeenChannel};
pub use way::{Offered, Passed, Stop, Way, Why};

use crate::{Error, State, Subject};

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
    /// The highest sequence that was ever active.
    pub installed: Option<Sequence>,
    /// The channels that were believed, as they were seen last.
    pub channels: BTreeMap<ChannelName, SeenChannel>,
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
            Some(active) => {
                Err(self.no_path(target.name.clone(), active, &target.upgrade_from, BTreeSet::new()))
            }
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
                Err(refuse(format!(
                    "{} is active, and {}, which ran before it, is below the floor, which is sequence {floor}",
                    active.name, newest.name
                )))
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

    /// A sequence belongs to one statement for good: to the one that is here, or the one that a channel names.
    fn judge_identity(&self, offered: &ReleaseName, digest: Digest) -> Result<(), Error> {
        let known = self.releases.iter().filter(|known| known.sequence() == offered.sequence);
        let known =
            known.map(|known| (known.digest, format!("{}, which is {} here", known.name, known.state)));
        let unreadable = self.unreadable.iter().filter(|one| one.sequence == offered.sequence);
        let unreadable =
            unreadable.map(|one| (one.digest, "a release that is here and cannot be read".to_owned()));
        let named = self.channels.iter().filter(|(_, seen)| seen.release.sequence == offered.sequence);
        let named = named
            .map(|(name, seen)| (seen.release.statement, format!("the release that channel `{name}` names")));
        match known.chain(unreadable).chain(named).find(|(stored, _)| *stored != digest) {
            Some((stored, holder)) => {
                let (offered, offered_digest) = (Box::new(offered.clone()), digest);
                Err(Error::SequenceTaken { offered, offered_digest, stored, holder })
            }
            None => Ok(()),
        }
    }

    /// Nothing goes behind the release that is active, nor, if none is, behind one that was.
    fn judge_order(&self, offered: &ReleaseName) -> Result<(), Error> {
        match (self.active(), self.installed) {
            (Some(active), _) if active.sequence() > offered.sequence => {
                let (offered, active) = (Box::new(offered.clone()), Box::new(active.name.clone()));
                Err(Error::BelowActive { offered, active })
            }
            (None, Some(installed)) if installed > offered.sequence => {
                Err(Error::BelowInstalled { offered: Box::new(offered.clone()), installed })
            }
            _ => Ok(()),
        }
    }

    fn judge_product(&self, name: &ReleaseName) -> Result<(), Error> {
        match &self.product {
            Some(installed) if *installed != name.product => Err(Error::OtherProduct {
                offered: Box::new(name.clone()),
                installed: installed.clone(),
                active: self.active_name(),
            }),
            _ => Ok(()),
        }
    }

    fn judge_floor(&self, name: &ReleaseName) -> Result<(), Error> {
        match self.floor {
            Some(floor) if name.sequence < floor => {
                Err(Error::BelowFloor { offered: Box::new(name.clone()), floor, active: self.active_name() })
            }
            _ => Ok(()),
        }
    }

    fn active_name(&self) -> Option<Box<ReleaseName>> {
        self.active().map(|active| Box::new(active.name.clone()))
    }

    fn no_path(
        &self,
        offered: ReleaseName,
        active: &Known,
        upgrade_from: &[Version],
        missing: BTreeSet<Version>,
    ) -> Error {
        let is_here = |version: &&Version| {
            let later = self.releases.iter().filter(|known| known.sequence() > active.sequence());
            later.filter(|known| known.state.is_served()).any(|known| known.name.version == **version)
        };
        Error::NoPath {
            offered: Box::new(offered),
            active: Box::new(active.name.clone()),
            here: upgrade_from.iter().filter(is_here).cloned().collect(),
            upgrade_from: upgrade_from.to_vec(),
            missing,
        }
    }
}

/// A release below the active one can only have begun its activation if it was active before.
fn was_active(known: &Known) -> bool {
    matches!(known.state, State::Retained | State::Activating)
}
