//! Switches, whole and cut short.

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

fn take(writer: &Writer, step: Step, plan: &Activation) {
    writer.take(step, Some(&plan.to), plan.from.as_ref()).unwrap();
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
            plan.steps[..taken].iter().for_each(|&step| take(&writer, step, &plan));
            let left = writer.unfinished_activation().unwrap();
            let point = plan.steps.iter().position(|step| matches!(step, Step::Point { .. }));
            let is_cut_short = taken < steps && point.is_none_or(|point| taken > point);
            // It may be told twice, never not at all.
            assert_eq!(left.is_some(), is_cut_short, "{before:?}, {command:?}, {taken} steps");
            assert!(left.is_none_or(|left| left.steps.ends_with(&plan.steps[taken..])));
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
    take(&writer, plan.steps[0], &plan);
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
#[derive(Clone, Debug, PartialEq)]
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
            Step::Unpoint => self.current = None,
            Step::Account => {}
        }
    }

    fn switch(&mut self, target: Sequence, crash_after: usize) {
        let steps = steps(&self.recorded, self.current, target);
        steps.into_iter().take(crash_after).for_each(|step| self.take(step));
    }

    /// As it is in the end, with no more than one release active and nothing begun.
    fn settle(&mut self, active: Option<Sequence>) {
        for (sequence, state) in &mut self.recorded {
            match state {
                State::Activating => *state = State::Staged,
                State::Active if Some(*sequence) != active => *state = State::Retained,
                _ => {}
            }
        }
        self.current = None;
        if let Some(active) = active {
            self.switch(active, usize::MAX);
        }
    }

    /// Makes one part of a switch, or as many steps of it as there are before the crash.
    fn part(&mut self, switch: &Switch, until: Until, crash_after: usize) {
        let steps = switch.steps(&self.recorded, self.current, until);
        steps.into_iter().take(crash_after).for_each(|step| self.take(step));
    }

    fn state(&self, sequence: Sequence) -> State {
        self.recorded.iter().find(|entry| entry.0 == sequence).unwrap().1.clone()
    }
}

fn subject(sequence: Sequence) -> Subject {
    let (product, version) = ("acme".parse().unwrap(), format!("1.{sequence}").parse().unwrap());
    Subject { product, version, sequence, digest: sealift_archive::Digest::of(b"") }
}

fn sequence(number: usize) -> Sequence {
    (number as u64).try_into().unwrap()
}

fn any_model() -> impl Strategy<Value = Model> {
    let states = [State::Staged, State::Activating, State::Active, State::Retained];
    let recorded = vec(select(states.to_vec()), 1..6);
    (recorded, 0..6_usize).prop_map(|(states, current)| {
        let current = (1..=states.len()).contains(&current).then(|| sequence(current));
        let recorded = states.into_iter().enumerate().map(|(n, state)| (sequence(n + 1), state)).collect();
        Model { recorded, current }
    })
}

/// A switch, part by part.
const PARTS: [Until; 3] = [Until::Names, Until::Pointer, Until::End];

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

    #[test]
    fn a_switch_in_parts_ends_as_one_at_once_or_is_undone(
        mut model in any_model(),
        from in 0..6_usize,
        to in 1..6_usize,
        crashes in vec((0..2_usize, 0..4_usize), 0..4),
        is_finished: bool,
        crash_on_the_way_back in 0..5_usize,
    ) {
        let existing = |number: usize| sequence(1 + number % model.recorded.len());
        let (from, to) = ((from > 0).then(|| existing(from)), existing(to));
        prop_assume!(from != Some(to));
        model.settle(from);
        let settled = model.clone();
        let was = if settled.state(to) == State::Retained { Mark::Retained } else { Mark::Staged };
        let forward = Switch { to: Some(subject(to)), from: from.map(subject), unfinished: None, is_told: true };
        let back = Switch { to: from.map(subject), from: Some(subject(to)), unfinished: Some(was), is_told: false };
        for (until, steps) in crashes {
            model.part(&forward, PARTS[until], steps);
        }
        if is_finished {
            for until in PARTS {
                model.part(&forward, until, usize::MAX);
            }
            let mut whole = settled;
            whole.switch(to, usize::MAX);
            prop_assert_eq!(model, whole);
        } else {
            model.part(&back, Until::End, crash_on_the_way_back);
            for until in PARTS {
                model.part(&back, until, usize::MAX);
            }
            prop_assert_eq!(model, settled);
        }
    }
}

fn last_move(place: &Place) -> Option<Event> {
    let moves = |event: &Event| matches!(event, Event::Activated { .. } | Event::RolledBack { .. });
    place.store.audit().unwrap().into_iter().map(|record| record.event).rfind(moves)
}
