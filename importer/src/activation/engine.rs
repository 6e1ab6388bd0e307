//! The transaction: phase after phase, each of them in the journal before it begins.
//!
//! - What fails before the point of no return is undone in reverse by itself, and the release is a staged one again.
//! - What fails behind it, or on the way back, stops, and says so. The journal stays, and a person decides: the same
//!   command tries again from there, the other one turns round.
//! - What is only interrupted (a crash, Ctrl-C, a full disk) is gone on with by the next command, or at the next start.

use std::cell::Cell;

use sealift_archive::{Progress, Sequence};
use sealift_store::{Activation, Mark, State, Subject, Switch, Until, Writer};
use serde::Serialize;

use super::ending::{end, failed, record, stopped};
use super::gate::Gate;
use super::host::environment;
use super::programs::{ITSELF, Installer, REGISTRY};
use super::{Action, Between, Error, Flux, Host, Phase, Restart, Trouble, phase};
use crate::config::activation::Activation as Config;
use sealift_store::journal::{Begin, Goal, Journal, Stop, Turn, now};

/// Why an activation is turned round that did not fail.
const GIVEN_UP: &str = "it was given up";

/// All that an activation works with.
#[expect(missing_debug_implementations, reason = "what stands behind the traits need not be printable")]
pub struct Engine<'a> {
    /// What belongs to it.
    pub config: &'a Config,
    /// The cluster's Flux; where the configuration has none, none.
    pub flux: Option<&'a dyn Flux>,
    /// Who does what only root may do.
    pub host: &'a dyn Host,
    /// How it goes on as another edition of this program.
    pub restart: &'a dyn Restart,
    /// Who is told what happens.
    pub watcher: &'a dyn Watcher,
    /// Who may ask to stop.
    pub progress: &'a dyn Progress,
    /// Whether it is known what going back means for data.
    pub has_consent: bool,
}

/// Is told what happens.
pub trait Watcher {
    /// This happens now.
    fn tell(&self, news: &News<'_>);
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// A phase begins.
    Begins {
        /// The release that it is about; none: none was active before.
        goal: Option<&'a Subject>,
        /// The phase.
        phase: &'a Phase,
        /// Its number, from 1.
        number: usize,
        /// How many there are.
        of: usize,
    },
    /// It failed, and what was done is undone.
    GoesBack {
        /// The phase that failed.
        phase: &'a Phase,
        /// Why.
        reason: &'a str,
    },
}

/// A change of the active release that has come to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Switched {
    /// What is active now; none only after the first activation was given up.
    pub to: Option<Subject>,
    /// What was active, or was to be.
    pub from: Option<Subject>,
    /// What was done; nothing if there was nothing to do.
    pub phases: Vec<Phase>,
}

impl Switched {
    fn is_at(&self, sequence: Sequence) -> bool {
        self.to.as_ref().is_some_and(|to| to.sequence == sequence)
    }
}

impl Engine<'_> {
    /// Makes a release the active one, or goes on with that.
    ///
    /// # Errors
    /// The rule that forbids it; [`Error`]; `Interrupted`.
    pub fn activate(&self, writer: &Writer, sequence: Sequence) -> Result<Switched, crate::Error> {
        self.first(writer, sequence, &[])
    }

    /// Makes releases the active one, one after the other: each has to be well before the next one's turn.
    ///
    /// # Errors
    /// As [`Engine::activate`]; the releases before the one that failed stay.
    pub fn walk(&self, writer: &Writer, way: &[Sequence]) -> Result<Vec<Switched>, crate::Error> {
        let Some((&first, then)) = way.split_first() else { return Ok(Vec::new()) };
        let mut done = vec![self.first(writer, first, then)?];
        self.follow(writer, then, &mut done)?;
        Ok(done)
    }

    /// Goes back to the release that was active before, or to this one; gives up what was begun.
    ///
    /// # Errors
    /// The store's `NoWayBack`; [`Error`]; `Interrupted`.
    pub fn roll_back(&self, writer: &Writer, to: Option<Sequence>) -> Result<Switched, crate::Error> {
        let (journal, ended) = self.under_way(writer)?;
        // A rollback that lacked nothing but its record is this one, not one before another.
        if let Some(ended) = ended.filter(|ended| to.is_none_or(|to| ended.is_at(to))) {
            return Ok(ended);
        }
        let Some(journal) = journal else {
            let plan = match to {
                None => writer.expect_rollback()?,
                Some(sequence) => expect_back(writer.expect_activation(sequence)?)?,
            };
            return self.begin(writer, plan, &[]);
        };
        let goal = if journal.begin.is_back() { Goal::To } else { Goal::From };
        if let Some(wanted) = to
            && Some(wanted) != release(&journal, goal).map(|subject| subject.sequence)
        {
            return Err(under_way(&journal, wanted).into());
        }
        self.toward(writer, journal, goal, &[])
    }

    /// Goes on with what was interrupted, if anything was. What has stopped stays where it is.
    ///
    /// # Errors
    /// As [`Engine::activate`]; [`Error::Stopped`].
    pub fn resume(&self, writer: &Writer) -> Result<Vec<Switched>, crate::Error> {
        let Some(journal) = Journal::read(writer)? else { return Ok(Vec::new()) };
        if let Some(stop) = &journal.stop {
            return Err(stopped(&journal, stop).into());
        }
        let then = if journal.goal() == Goal::To { journal.begin.then.clone() } else { Vec::new() };
        let mut done = vec![self.run(writer, journal, &then)?];
        self.follow(writer, &then, &mut done)?;
        Ok(done)
    }

    fn first(
        &self,
        writer: &Writer,
        sequence: Sequence,
        then: &[Sequence],
    ) -> Result<Switched, crate::Error> {
        let Some(journal) = self.under_way(writer)?.0 else {
            return self.begin(writer, writer.expect_activation(sequence)?, then);
        };
        let is_wanted = |goal| release(&journal, goal).is_some_and(|subject| subject.sequence == sequence);
        let goal = [Goal::To, Goal::From].into_iter().find(|&goal| is_wanted(goal));
        let goal = goal.ok_or_else(|| under_way(&journal, sequence))?;
        // What was interrupted on the way back first comes to its end; then it can be tried again.
        let goal = if journal.is_first_leg() || journal.stop.is_some() { goal } else { journal.goal() };
        self.toward(writer, journal, goal, then)
    }

    /// The steps after the first one. The journal of the one before stands until the next one's takes its place, so that a
    /// crash between the two does not end the way.
    fn follow(
        &self,
        writer: &Writer,
        mut then: &[Sequence],
        done: &mut Vec<Switched>,
    ) -> Result<(), crate::Error> {
        while let Some((&next, rest)) = then.split_first() {
            let plan = match writer.expect_activation(next) {
                Ok(plan) => plan,
                Err(error) => {
                    Journal::read(writer)?.map_or(Ok(()), Journal::remove)?;
                    return Err(error.into());
                }
            };
            done.push(self.begin(writer, plan, rest)?);
            then = rest;
        }
        Ok(())
    }

    /// What is under way, once what only lacks its last line has got it; and that, if it led back.
    fn under_way(&self, writer: &Writer) -> Result<(Option<Journal>, Option<Switched>), crate::Error> {
        match Journal::read(writer)? {
            Some(journal) if *journal.leg.phase() == Phase::Conclude && journal.stop.is_none() => {
                let leads_back = !journal.is_forward();
                let ended = self.run(writer, journal, &[])?;
                Ok((None, Some(ended).filter(|_| leads_back)))
            }
            journal => Ok((journal, None)),
        }
    }

    fn begin(&self, writer: &Writer, plan: Activation, then: &[Sequence]) -> Result<Switched, crate::Error> {
        let is_back = plan.is_back();
        let Activation { to, from, steps } = plan;
        if steps.is_empty() || from.as_ref() == Some(&to) {
            // Nothing changes for anybody; at the most, what an earlier program left is put in order.
            let from = from.filter(|from| *from != to);
            let switch = Switch { to: Some(to), from, unfinished: None, is_told: true };
            writer.switch(&switch, Until::End)?;
            Journal::read(writer)?.map_or(Ok(()), Journal::remove)?;
            return Ok(Switched { to: switch.to, from: switch.from, phases: Vec::new() });
        }
        let phases = if is_back {
            self.expect_consent(&to, |_| true)?;
            phase::back(self.config)
        } else {
            phase::forward(
                self.config,
                Installer::new(writer, &self.config.programs)?.differing(to.sequence)?,
            )
        };
        let has_run = match writer.release(to.sequence)?.state() {
            State::Retained => true,
            State::Activating => is_back,
            _ => false,
        };
        let begin = Begin { time: now(), to, from, has_run, phases, then: then.to_vec() };
        let journal = Journal::begin(writer, begin)?;
        self.run(writer, journal, then)
    }

    /// Goes on to this one of the two releases.
    fn toward(
        &self,
        writer: &Writer,
        mut journal: Journal,
        goal: Goal,
        then: &[Sequence],
    ) -> Result<Switched, crate::Error> {
        if journal.goal() != goal {
            let is_past = journal.begun_phases().any(Phase::is_no_return);
            let is_back = journal.begin.is_back();
            let is_rollback = goal == Goal::From && is_past && !is_back;
            if is_rollback {
                let target = writer.situation()?.judge_rollback()?.subject();
                self.expect_consent(&target, |hook| journal.begun_phases().any(|phase| is_of(phase, hook)))?;
            }
            let phases = match (goal, is_back) {
                (Goal::From, false) => self.undo(&journal, true)?,
                (Goal::To, true) => phase::back(self.config),
                (Goal::To, false) | (Goal::From, true) => phase::forward_again(self.config),
            };
            let (place, reason) = match journal.stop.take() {
                Some(stop) => (stop.place, stop.reason),
                None => (journal.leg.phase().to_string(), GIVEN_UP.to_owned()),
            };
            journal.turn(Turn {
                time: now(),
                goal,
                place,
                reason,
                is_by_itself: false,
                is_told: is_rollback,
                phases,
            })?;
        }
        self.run(writer, journal, then)
    }

    /// Goes the rest of the way. Where releases follow, the journal stays for the next one to take its place.
    fn run(
        &self,
        writer: &Writer,
        mut journal: Journal,
        then: &[Sequence],
    ) -> Result<Switched, crate::Error> {
        loop {
            let reason = match self.leg(writer, &mut journal) {
                Ok(()) => return end(writer, journal, then),
                Err(Trouble::Halted(error)) => return Err(error),
                Err(Trouble::Failed(reason)) => reason,
            };
            let place = journal.leg.phase().to_string();
            let has_no_return = journal.leg.begun().iter().any(Phase::is_no_return);
            if journal.is_first_leg() && !journal.begin.is_back() && !has_no_return {
                self.watcher.tell(&News::GoesBack { phase: journal.leg.phase(), reason: &reason });
                let phases = self.undo(&journal, false)?;
                let (goal, is_by_itself, is_told) = (Goal::From, true, false);
                journal.turn(Turn { time: now(), goal, place, reason, is_by_itself, is_told, phases })?;
            } else {
                let stop = Stop { time: now(), place, reason };
                journal.stop(stop.clone())?;
                record(writer, &journal, failed(&journal, stop.place.clone(), stop.reason.clone(), false))?;
                return Err(stopped(&journal, &stop).into());
            }
        }
    }

    /// Phase after phase, up to the next change of direction.
    fn leg(&self, writer: &Writer, journal: &mut Journal) -> Result<(), Trouble> {
        if journal.stop.is_some() {
            journal.enter(journal.leg.at)?;
        }
        let begun = journal.leg.at;
        loop {
            self.progress.go_on()?;
            let phase = journal.leg.phase().clone();
            let (number, of) = (journal.leg.at + 1, journal.leg.phases.len());
            self.watcher.tell(&News::Begins { goal: journal.ends().0, phase: &phase, number, of });
            let is_untouched = Cell::new(false);
            let said = self.act(writer, journal, &phase, &is_untouched).inspect_err(|_| {
                // What was begun before a crash may have changed something.
                journal.leg.is_untouched = is_untouched.get() && journal.leg.at > begun;
            })?;
            journal.note(said)?;
            if number == of {
                return Ok(());
            }
            journal.enter(number)?;
            if matches!(&phase, Phase::SelfUpdate { programs } if programs.iter().any(|name| name == ITSELF))
            {
                let program = Installer::new(writer, &self.config.programs)?.path(ITSELF);
                return Err(self.restart.restart(&program).into());
            }
        }
    }

    /// Does what belongs to a phase, and gives back what was said. `is_untouched` is set if it failed and has certainly changed
    /// nothing.
    fn act(
        &self,
        writer: &Writer,
        journal: &Journal,
        phase: &Phase,
        is_untouched: &Cell<bool>,
    ) -> Result<String, Trouble> {
        let (to, from) = journal.ends();
        let between = Between { to: to.map(|to| to.sequence), from: from.map(|from| from.sequence) };
        let host = |action: Action| self.host.act(&action, self.progress);
        let gate = |environment| Gate { flux: self.flux, environment, progress: self.progress };
        match phase {
            Phase::SelfUpdate { programs } => {
                host(Action::InstallPrograms { release: journal.begin.to.sequence })?;
                if programs.iter().any(|name| name == REGISTRY) {
                    return host(Action::RestartRegistry);
                }
            }
            Phase::Preflight => {
                let environment = environment(writer, "preflight", between)?;
                gate(&environment).preflight(&self.config.preflight)?;
            }
            Phase::Gate => {
                let environment = environment(writer, "health", between)?;
                gate(&environment).wait(&self.config.health)?;
            }
            Phase::Suspend => self.flux()?.suspend().map_err(|error| {
                is_untouched.set(error.is_untouched);
                in_words(*error.cause)
            })?,
            Phase::Resume => {
                let flux = self.flux()?;
                flux.resume().and_then(|()| flux.poke()).map_err(in_words)?;
            }
            Phase::Hook { name, .. } => return host(Action::RunHook { name: name.clone(), between }),
            Phase::Undo { name } => return host(Action::UndoHook { name: name.clone(), between }),
            Phase::Serve => writer.switch(&switch(journal), Until::Names)?,
            Phase::Point => writer.switch(&switch(journal), Until::Pointer)?,
            Phase::Conclude => writer.switch(&switch(journal), Until::End)?,
        }
        Ok(String::new())
    }

    fn flux(&self) -> Result<&dyn Flux, Trouble> {
        Ok(self.flux.ok_or_else(|| Error::NotConfigured { what: "`flux`".to_owned() })?)
    }

    /// The way back from where the journal is. What an earlier way has begun may not have been undone to its end, and undoing
    /// twice is harmless.
    fn undo(&self, journal: &Journal, is_asked_for: bool) -> Result<Vec<Phase>, Error> {
        let begun: Vec<Phase> = journal.begun_phases().cloned().collect();
        for begun in &begun {
            if let Phase::Hook { name, .. } = begun
                && self.config.hooks.find(name).is_none()
            {
                return Err(Error::NotConfigured { what: format!("the hook `{name}`") });
            }
        }
        Ok(phase::undo(self.config, &begun, is_asked_for))
    }

    /// Refuses to go back behind hooks that have something to say about it, as long as nobody knows it.
    fn expect_consent(&self, goal: &Subject, is_behind: impl Fn(&str) -> bool) -> Result<(), Error> {
        let warnings = warnings(self.config, is_behind);
        if self.has_consent || warnings.is_empty() {
            return Ok(());
        }
        Err(Error::NeedsConsent { goal: Box::new(goal.name()), warnings })
    }
}

/// What going back behind these hooks means for data.
pub(super) fn warnings(config: &Config, is_behind: impl Fn(&str) -> bool) -> Vec<String> {
    let behind = config.hooks.iter().filter(|hook| is_behind(&hook.name));
    behind.filter_map(|hook| hook.rollback_warning.clone()).collect()
}

/// Refuses what is no way back.
pub(super) fn expect_back(plan: Activation) -> Result<Activation, Error> {
    match &plan.from {
        Some(from) if plan.is_back() || *from == plan.to => Ok(plan),
        from => {
            let release = Box::new(plan.to.name());
            let active = Box::new(from.as_ref().unwrap_or(&plan.to).name());
            Err(Error::NotEarlier { release, active })
        }
    }
}

fn is_of(phase: &Phase, hook: &str) -> bool {
    matches!(phase, Phase::Hook { name, .. } if name == hook)
}

fn release(journal: &Journal, goal: Goal) -> Option<&Subject> {
    match goal {
        Goal::To => Some(&journal.begin.to),
        Goal::From => journal.begin.from.as_ref(),
    }
}

fn under_way(journal: &Journal, wanted: Sequence) -> Error {
    Error::UnderWay { under_way: Box::new(journal.begin.to.name()), wanted }
}

fn in_words(error: crate::Error) -> Trouble {
    match error {
        halted @ crate::Error::Archive(sealift_archive::Error::Interrupted) => Trouble::Halted(halted),
        other => Trouble::Failed(other.to_string()),
    }
}

/// The store's part on this way.
fn switch(journal: &Journal) -> Switch {
    let (to, from) = journal.ends();
    let is_told = journal.goal() == Goal::To;
    // Going back on it, the release becomes again what it was; what is left on the way there did run.
    let unfinished = if is_told || journal.begin.has_run { Mark::Retained } else { Mark::Staged };
    Switch { to: to.cloned(), from: from.cloned(), unfinished: Some(unfinished), is_told }
}
