//! Making another release the active one.
//!
//! An activation is a list of steps, each durable and each harmless to repeat. The list follows from what is recorded
//! and where `current` leads, so after a crash between any two steps a new list holds exactly what is left to do, and
//! there is no recovery of its own.

pub mod journal;
mod phase;
mod switch;
mod under_way;

use std::fmt;
use std::io;

use fs_err as fs;
use sealift_archive::{Sequence, durable};
use serde::Serialize;

use crate::audit::{Event, Subject};
use crate::policy::{Known, Situation, Unreadable};
use crate::state::Recorded;
use crate::{Counters, Error, State, Store, StoredRelease, Writer, mirror};
pub use switch::{Switch, Until};

/// What will be done to make a release the active one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Activation {
    /// The release that will be active.
    pub to: Subject,
    /// The release that is active now.
    pub from: Option<Subject>,
    /// What will be done, in this order; empty if there is nothing to do.
    pub steps: Vec<Step>,
}

impl Activation {
    /// Whether it leads to an earlier release.
    #[must_use]
    pub fn is_back(&self) -> bool {
        leads_back(&self.to, self.from.as_ref())
    }
}

/// One durable change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "camelCase")]
#[non_exhaustive]
pub enum Step {
    /// Record a state.
    Mark {
        /// Of this release.
        sequence: Sequence,
        /// The state.
        state: Mark,
    },
    /// Let `current` lead to this release.
    Point {
        /// The release.
        sequence: Sequence,
    },
    /// Let `current` lead nowhere, as before the first activation.
    Unpoint,
    /// Raise the counters and write the audit log.
    Account,
}

/// The states that an activation records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Mark {
    /// Its activation was given up.
    Staged,
    /// Its names are answered first from now on.
    Activating,
    /// It runs.
    Active,
    /// It ran.
    Retained,
}

impl From<Mark> for State {
    fn from(mark: Mark) -> Self {
        match mark {
            Mark::Staged => Self::Staged,
            Mark::Activating => Self::Activating,
            Mark::Active => Self::Active,
            Mark::Retained => Self::Retained,
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        State::from(*self).fmt(f)
    }
}

impl Store {
    /// All that decisions about releases depend on.
    ///
    /// # Errors
    /// I/O.
    pub fn situation(&self) -> Result<Situation, Error> {
        let Counters { product, installed, floor, channels, .. } = self.counters()?;
        let mut situation = Situation { product, floor, installed, channels, ..Situation::default() };
        for release in self.releases()? {
            if release.is_being_left() {
                situation.leaving = Some(release.sequence());
            }
            match known(&release) {
                Ok(known) => situation.releases.push(known),
                Err(error @ Error::Io(_)) => return Err(error),
                Err(error) => situation.unreadable.push(Unreadable {
                    sequence: release.sequence(),
                    digest: release.digest(),
                    state: release.state().clone(),
                    why: error.to_string(),
                }),
            }
        }
        Ok(situation)
    }

    /// What activating this release would do.
    ///
    /// # Errors
    /// [`Error::NoSuchRelease`], the rule that forbids it, or [`Error::Incomplete`].
    pub fn plan_activation(&self, sequence: Sequence) -> Result<Activation, Error> {
        let target = known(&self.release(sequence)?)?;
        self.situation()?.judge_activation(&target)?;
        self.plan(&target)
    }

    /// What a rollback would do: go back to the release that was active before, or give up an activation that was
    /// begun and not finished.
    ///
    /// # Errors
    /// [`Error::NoWayBack`], or [`Error::Incomplete`].
    pub fn plan_rollback(&self) -> Result<Activation, Error> {
        self.plan(self.situation()?.judge_rollback()?)
    }

    /// What is left to do of a switch that has reached its release: `current` leads there, and a crash came before all of
    /// that was recorded. Nothing of a release that cannot be read, until that is repaired.
    ///
    /// # Errors
    /// I/O.
    pub fn unfinished_activation(&self) -> Result<Option<Activation>, Error> {
        let releases = self.releases()?;
        let Some(active) = releases.iter().find(|release| *release.state() == State::Active) else {
            return Ok(None);
        };
        let is_left = releases.iter().any(StoredRelease::is_being_left);
        if !is_left && *active.recorded() != State::Activating {
            return Ok(None);
        }
        match known(active) {
            Ok(active) => Ok(Some(self.switch_to(&active)?)),
            Err(error @ Error::Io(_)) => Err(error),
            Err(_) => Ok(None),
        }
    }

    fn plan(&self, target: &Known) -> Result<Activation, Error> {
        self.expect_complete(&self.release(target.name.sequence)?)?;
        self.switch_to(target)
    }

    fn switch_to(&self, target: &Known) -> Result<Activation, Error> {
        let releases = self.releases()?;
        let from = releases
            .iter()
            .find(|release| release.is_being_left())
            .or_else(|| releases.iter().find(|release| *release.recorded() == State::Active));
        Ok(Activation {
            from: from.map(known).transpose()?.map(|known| known.subject()),
            to: target.subject(),
            steps: steps(&recorded(&releases), self.active_if_any()?, target.name.sequence),
        })
    }

    /// Whether all content of a release is here. Looks at sizes and refs, and reads no content.
    ///
    /// # Errors
    /// I/O.
    pub fn is_complete(&self, release: &StoredRelease) -> Result<bool, Error> {
        match self.expect_complete(release) {
            Ok(()) => Ok(true),
            Err(Error::Incomplete { .. } | Error::Damaged { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn expect_complete(&self, release: &StoredRelease) -> Result<(), Error> {
        let name = release.statement()?.name();
        self.expect_content(&name, &release.blob_list()?)?;
        for mirror in mirror::of(self, release.sequence(), &release.refs()?) {
            if let Some(lack) = mirror.lacks()? {
                return Err(Error::Incomplete {
                    release: Box::new(name),
                    missing: format!("{lack} is missing"),
                });
            }
        }
        Ok(())
    }
}

impl Writer {
    /// Makes this release the active one.
    ///
    /// # Errors
    /// As [`Store::plan_activation`]; a release that turns out to be incomplete is recorded as failed.
    pub fn activate(&self, sequence: Sequence) -> Result<Activation, Error> {
        self.execute(self.expect_activation(sequence)?)
    }

    /// Goes back to the release that was active before.
    ///
    /// # Errors
    /// As [`Store::plan_rollback`]; a release that turns out to be incomplete is recorded as failed.
    pub fn roll_back(&self) -> Result<Activation, Error> {
        self.execute(self.expect_rollback()?)
    }

    /// What activating this release would do, for whoever is about to do it.
    ///
    /// # Errors
    /// As [`Store::plan_activation`]; a release that turns out to be incomplete is recorded as failed.
    pub fn expect_activation(&self, sequence: Sequence) -> Result<Activation, Error> {
        let plan = self.plan_activation(sequence);
        self.or_failed(sequence, plan)
    }

    /// What a rollback would do, for whoever is about to do it.
    ///
    /// # Errors
    /// As [`Store::plan_rollback`]; a release that turns out to be incomplete is recorded as failed.
    pub fn expect_rollback(&self) -> Result<Activation, Error> {
        let sequence = self.situation()?.judge_rollback()?.name.sequence;
        let plan = self.plan_rollback();
        self.or_failed(sequence, plan)
    }

    fn execute(&self, plan: Activation) -> Result<Activation, Error> {
        let (to, from) = (Some(&plan.to), plan.from.as_ref());
        plan.steps.iter().try_for_each(|&step| self.take(step, to, from))?;
        Ok(plan)
    }

    /// Takes a step of the switch from one release to another.
    fn take(&self, step: Step, to: Option<&Subject>, from: Option<&Subject>) -> Result<(), Error> {
        match step {
            Step::Mark { sequence, state } => self.mark(sequence, state),
            Step::Point { sequence } => self.point(sequence),
            Step::Unpoint => self.unpoint(),
            // Only a switch to a release has this step.
            Step::Account => to.map_or(Ok(()), |to| self.account(to, from)),
        }
    }

    fn mark(&self, sequence: Sequence, state: Mark) -> Result<(), Error> {
        let release = self.release(sequence)?;
        Recorded::now(state.into(), release.digest()).write(release.dir())
    }

    fn point(&self, sequence: Sequence) -> Result<(), Error> {
        Ok(durable::replace_link(&Store::current_target(sequence), &self.current_link())?)
    }

    fn unpoint(&self) -> Result<(), Error> {
        match fs::remove_file(self.current_link()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(durable::sync_dir(self.root())?),
        }
    }

    fn account(&self, to: &Subject, from: Option<&Subject>) -> Result<(), Error> {
        self.count(|counters| counters.install(&to.product, to.sequence))?;
        let is_back = leads_back(to, from);
        let (release, from) = (to.clone(), from.cloned());
        self.record(if is_back {
            Event::RolledBack { release, from }
        } else {
            Event::Activated { release, from }
        })
    }

    fn or_failed(&self, sequence: Sequence, plan: Result<Activation, Error>) -> Result<Activation, Error> {
        if let Err(Error::Incomplete { missing, .. }) = &plan {
            let release = self.release(sequence)?;
            // The active release keeps running with what is there; only `current` says that it is active.
            if *release.state() != State::Active {
                let failed = State::Failed { reason: missing.clone() };
                Recorded::now(failed, release.digest()).write(release.dir())?;
                let subject = Subject::new(&release.statement()?, release.digest());
                self.record(Event::Failed { release: subject, reason: missing.clone() })?;
            }
        }
        plan
    }
}

/// What is recorded of each release.
fn recorded(releases: &[StoredRelease]) -> Vec<(Sequence, State)> {
    releases.iter().map(|release| (release.sequence(), release.recorded().clone())).collect()
}

fn leads_back(to: &Subject, from: Option<&Subject>) -> bool {
    from.is_some_and(|from| from.sequence > to.sequence)
}

fn known(release: &StoredRelease) -> Result<Known, Error> {
    Ok(Known::new(&release.statement()?, release.digest(), release.state().clone()))
}

/// The steps that make `target` the active release, given what is recorded of each and where `current` leads.
///
/// The last step is that the release which was active before is recorded as retained. So as long as a release that
/// `current` does not lead to is recorded as active, the switch away from it is not finished.
fn steps(recorded: &[(Sequence, State)], current: Option<Sequence>, target: Sequence) -> Vec<Step> {
    let mark = |sequence, state| Step::Mark { sequence, state };
    let is_recorded = |state: &State| recorded.contains(&(target, state.clone()));
    let others_recorded = |state: State| {
        recorded
            .iter()
            .filter(move |(sequence, recorded)| *sequence != target && *recorded == state)
            .map(|r| r.0)
    };
    let mut steps = Vec::new();
    for given_up in others_recorded(State::Activating) {
        // What began its activation below the active release had been active before; see `policy`.
        let had_run = current.is_some_and(|current| given_up <= current);
        steps.push(mark(given_up, if had_run { Mark::Retained } else { Mark::Staged }));
    }
    if current != Some(target) {
        if !is_recorded(&State::Activating) {
            steps.push(mark(target, Mark::Activating));
        }
        steps.push(Step::Point { sequence: target });
    }
    if current != Some(target) || !is_recorded(&State::Active) {
        steps.push(Step::Account);
        steps.push(mark(target, Mark::Active));
    }
    steps.extend(others_recorded(State::Active).map(|left| mark(left, Mark::Retained)));
    steps
}

#[cfg(test)]
mod tests;
