//! Making another release the active one.
//!
//! An activation is a list of steps, each durable and each harmless to repeat. The list follows from what is recorded
//! and where `current` leads, so after a crash between any two steps a new list holds exactly what is left to do, and
//! there is no recovery of its own.

use std::fmt;

use sealift_archive::{Sequence, durable};
use serde::Serialize;

use crate::audit::{Event, Subject};
use crate::policy::{Known, Situation, Unreadable};
use crate::state::Recorded;
use crate::{Counters, Error, State, Store, StoredRelease, Writer, mirror};

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
        self.from.as_ref().is_some_and(|from| from.sequence > self.to.sequence)
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
        let Counters { product, installed, floor, channels, time } = self.counters()?;
        let mut situation = Situation { product, floor, installed, channels, time, ..Situation::default() };
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
        let recorded: Vec<_> = releases.iter().map(|r| (r.sequence(), r.recorded().clone())).collect();
        Ok(Activation {
            from: from.map(known).transpose()?.map(|known| known.subject()),
            to: target.subject(),
            steps: steps(&recorded, self.active_if_any()?, target.name.sequence),
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
        let plan = self.plan_activation(sequence);
        self.execute(self.or_failed(sequence, plan)?)
    }

    /// Goes back to the release that was active before.
    ///
    /// # Errors
    /// As [`Store::plan_rollback`]; a release that turns out to be incomplete is recorded as failed.
    pub fn roll_back(&self) -> Result<Activation, Error> {
        let sequence = self.situation()?.judge_rollback()?.name.sequence;
        let plan = self.plan_rollback();
        self.execute(self.or_failed(sequence, plan)?)
    }

    fn execute(&self, plan: Activation) -> Result<Activation, Error> {
        plan.steps.iter().try_for_each(|&step| self.take(step, &plan))?;
        Ok(plan)
    }

    fn take(&self, step: Step, plan: &Activation) -> Result<(), Error> {
        match step {
            Step::Mark { sequence, state } => {
                let release = self.release(sequence)?;
                Recorded::now(state.into(), release.digest()).write(release.dir())
            }
            Step::Point { sequence } => {
                Ok(durable::replace_link(&Store::current_target(sequence), &self.current_link())?)
            }
            Step::Account => {
                self.count(|counters| counters.install(&plan.to.product, plan.to.sequence))?;
                let (release, from) = (plan.to.clone(), plan.from.clone());
                self.record(if plan.is_back() {
                    Event::RolledBack { release, from }
                } else {
                    Event::Activated { release, from }
                })
            }
        }
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
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::fixture::{Content, Place};

    #[derive(Clone, Copy, Debug)]
    enum Command {
        Activate(u64),
        RollBack,
    }

    impl Command {
        fn plan(self, store: &Store) -> Result<Activation, Error> {
            match self {
                Self::Activate(sequence) => store.plan_activation(sequence.try_into().unwrap()),
                Self::RollBack => store.plan_rollback(),
            }
        }

        fn run(self, writer: &Writer) -> Result<Activation, Error> {
            match self {
                Self::Activate(sequence) => writer.activate(sequence.try_into().unwrap()),
                Self::RollBack => writer.roll_back(),
            }
        }
    }

    /// A store with releases 1 to 3, after these commands.
    fn place(commands: &[Command]) -> Place {
        let place = Place::new();
        let writer = place.writer();
        for sequence in 1..=3 {
            Content::new(sequence, &[format!("content {sequence}").as_bytes()]).stage(&writer).unwrap();
        }
        for command in commands {
            command.run(&writer).unwrap();
        }
        place
    }

    #[test]
    fn releases_take_turns() {
        use Command::{Activate, RollBack};
        let place = place(&[]);
        let turns: [(Command, &[&str]); 7] = [
            (Activate(1), &["1 active", "2 staged", "3 staged"]),
            (Activate(2), &["1 retained", "2 active", "3 staged"]),
            (RollBack, &["1 active", "2 retained", "3 staged"]),
            (Activate(2), &["1 retained", "2 active", "3 staged"]),
            (Activate(3), &["1 retained", "2 retained", "3 active"]),
            (Activate(1), &["1 active", "2 retained", "3 retained"]),
            (Activate(1), &["1 active", "2 retained", "3 retained"]),
        ];
        for (command, states) in turns {
            let before = place.store.stamp().unwrap();
            let done = command.run(&place.writer()).unwrap();
            assert_eq!(place.states(), states, "after {command:?}");
            assert_eq!(
                done.steps.is_empty(),
                before == place.store.stamp().unwrap(),
                "the stamp after {command:?}"
            );
        }
        let counters = place.store.counters().unwrap();
        assert_eq!(counters.installed.unwrap().get(), 3, "a rollback lowers no counter");
        let events: Vec<_> = place.store.audit().unwrap().into_iter().map(|record| record.event).collect();
        let backs = events.iter().filter(|event| matches!(event, Event::RolledBack { .. })).count();
        let forwards = events.iter().filter(|event| matches!(event, Event::Activated { .. })).count();
        assert_eq!((backs, forwards), (2, 4));
    }

    #[test]
    fn the_same_command_finishes_what_a_crash_cut_short() {
        use Command::{Activate, RollBack};
        let cases: [(&[Command], Command); 6] = [
            (&[], Activate(1)),
            (&[Activate(1)], Activate(2)),
            (&[Activate(1), Activate(2), Activate(3)], RollBack),
            (&[Activate(1), Activate(2), Activate(3)], Activate(1)),
            (&[Activate(1), Activate(2), Activate(3), RollBack], RollBack),
            (&[Activate(1), Activate(2), RollBack], Activate(2)),
        ];
        let fresh = place(&[]);
        for (before, command) in cases {
            let begin = fresh.copy();
            for earlier in before {
                earlier.run(&begin.writer()).unwrap();
            }
            let whole = begin.copy();
            let steps = command.run(&whole.writer()).unwrap().steps.len();
            for taken in 0..=steps {
                let crashed = begin.copy();
                let plan = command.plan(&crashed.store).unwrap();
                let writer = crashed.writer();
                plan.steps[..taken].iter().for_each(|&step| writer.take(step, &plan).unwrap());
                if let Some(begun) = writer.unfinished_activation().unwrap() {
                    assert_eq!((&begun.to, begun.steps.as_slice()), (&plan.to, &plan.steps[taken..]));
                } else {
                    let point = plan.steps.iter().position(|step| matches!(step, Step::Point { .. }));
                    assert!(taken == steps || point.is_some_and(|point| taken <= point));
                }
                // Once every step is taken, a second rollback is one.
                if taken < steps {
                    command.run(&writer).unwrap();
                }
                assert_eq!(crashed.states(), whole.states(), "{before:?}, {command:?}, {taken} steps");
                assert_eq!(last_move(&crashed), last_move(&whole), "{before:?}, {command:?}, {taken} steps");
            }
        }
    }

    #[test]
    fn a_rollback_gives_up_a_step_forward_that_was_begun() {
        use Command::{Activate, RollBack};
        let place = place(&[Activate(1), Activate(2)]);
        let plan = Activate(3).plan(&place.store).unwrap();
        let writer = place.writer();
        writer.take(plan.steps[0], &plan).unwrap();
        assert_eq!(place.states(), ["1 retained", "2 active", "3 activating"]);
        RollBack.run(&writer).unwrap();
        assert_eq!(place.states(), ["1 retained", "2 active", "3 staged"]);
    }

    #[test]
    fn a_release_without_its_content_fails_and_is_repaired_by_an_import() {
        let place = place(&[Command::Activate(1)]);
        let content = Content::new(2, &[b"content 2"]);
        let blob = place.store.blob_path(content.blobs.keys().next().unwrap());
        fs_err::remove_file(blob).unwrap();
        let writer = place.writer();
        let two = 2.try_into().unwrap();
        assert!(matches!(writer.activate(two), Err(Error::Incomplete { .. })));
        assert_eq!(place.states(), ["1 active", "2 failed", "3 staged"]);
        assert!(matches!(writer.activate(two), Err(Error::Failed { .. })));
        content.stage(&writer).unwrap();
        writer.activate(two).unwrap();
        assert_eq!(place.states(), ["1 retained", "2 active", "3 staged"]);
    }

    #[test]
    fn a_broken_pointer_is_mended_by_an_activation() {
        let place = place(&[Command::Activate(1), Command::Activate(2)]);
        let writer = place.writer();
        durable::replace_link(std::path::Path::new("releases/9"), &place.store.current_link()).unwrap();
        assert_eq!(place.states(), ["1 retained", "2 retained", "3 staged"]);
        Command::Activate(2).run(&writer).unwrap();
        assert_eq!(place.states(), ["1 retained", "2 active", "3 staged"]);
        assert_eq!(place.store.active().unwrap().unwrap().get(), 2);
    }

    /// What is recorded of releases 1, 2, …, and where `current` leads.
    #[derive(Clone, Debug)]
    struct Model {
        recorded: Vec<(Sequence, State)>,
        current: Option<Sequence>,
    }

    impl Model {
        fn take(&mut self, step: Step) {
            match step {
                Step::Mark { sequence, state } => {
                    let of = |recorded: &&mut (Sequence, State)| recorded.0 == sequence;
                    self.recorded.iter_mut().find(of).unwrap().1 = state.into();
                }
                Step::Point { sequence } => self.current = Some(sequence),
                Step::Account => {}
            }
        }

        fn switch(&mut self, target: Sequence, crash_after: usize) {
            let steps = steps(&self.recorded, self.current, target);
            steps.into_iter().take(crash_after).for_each(|step| self.take(step));
        }
    }

    fn sequence(number: usize) -> Sequence {
        (number as u64).try_into().unwrap()
    }

    fn any_model() -> impl Strategy<Value = Model> {
        let states = [State::Staged, State::Activating, State::Active, State::Retained];
        let recorded = vec(select(states.to_vec()), 1..6);
        (recorded, 0..6_usize).prop_map(|(states, current)| {
            let current = (1..=states.len()).contains(&current).then(|| sequence(current));
            let recorded =
                states.into_iter().enumerate().map(|(n, state)| (sequence(n + 1), state)).collect();
            Model { recorded, current }
        })
    }

    proptest! {
        #[test]
        fn whatever_was_left_behind_a_switch_ends_well(
            mut model in any_model(),
            crashes in vec((1..6_usize, 0..8_usize), 0..4),
            target in 1..6_usize,
        ) {
            let existing = |target: usize, model: &Model| sequence(1 + target % model.recorded.len());
            for (target, steps) in crashes {
                let target = existing(target, &model);
                model.switch(target, steps);
            }
            let target = existing(target, &model);
            model.switch(target, usize::MAX);
            prop_assert_eq!(model.current, Some(target));
            for (sequence, state) in &model.recorded {
                match state {
                    State::Active => prop_assert_eq!(*sequence, target),
                    State::Activating => prop_assert!(false, "{} is still activating", sequence),
                    _ => prop_assert!(*sequence != target),
                }
            }
            prop_assert!(steps(&model.recorded, model.current, target).is_empty(), "nothing is left to do");
        }
    }

    fn last_move(place: &Place) -> Option<Event> {
        let moves = |event: &Event| matches!(event, Event::Activated { .. } | Event::RolledBack { .. });
        place.store.audit().unwrap().into_iter().map(|record| record.event).rfind(moves)
    }
}
