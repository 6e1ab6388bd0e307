//! A switch in parts, for whoever has other work to do in between: first the names of a release are answered, later
//! `current` moves, and in the end it is recorded. Before that, it can be gone back on.

use sealift_archive::Sequence;

use super::{Mark, Step, recorded, steps};
use crate::audit::Subject;
use crate::{Error, State, Writer};

/// A switch that is made in parts. Whether it is allowed was judged before; each part follows from what is recorded, so it
/// can be repeated after a crash, and left out where there is nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The release that is active at the end; none to go back to before the first activation.
    pub to: Option<Subject>,
    /// The release that is left.
    pub from: Option<Subject>,
    /// What the release that is left becomes if its activation was not finished; else it becomes a retained one.
    pub unfinished: Option<Mark>,
    /// Whether counters and audit log are to know of it: what only undoes an unfinished activation is no switch to them.
    pub is_told: bool,
}

/// How far to go with a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The release's names are answered first.
    Names,
    /// `current` leads to it.
    Pointer,
    /// All is recorded.
    End,
}

impl Switch {
    /// The steps that are left to do.
    pub(super) fn steps(
        &self,
        recorded: &[(Sequence, State)],
        current: Option<Sequence>,
        until: Until,
    ) -> Vec<Step> {
        let mut recorded = recorded.to_vec();
        let mut all = Vec::new();
        let left = self.from.as_ref().map(|from| from.sequence);
        if let (Some(sequence), Some(state)) = (left, self.unfinished) {
            let is_it = |entry: &&mut (Sequence, State)| *entry == &(sequence, State::Activating);
            if let Some(entry) = recorded.iter_mut().find(is_it) {
                entry.1 = state.into();
                all.push(Step::Mark { sequence, state });
            }
        }
        match &self.to {
            Some(to) => all.extend(steps(&recorded, current, to.sequence)),
            None if current.is_some() && current == left => all.push(Step::Unpoint),
            None => {}
        }
        let is_pointer = |step: &Step| matches!(step, Step::Point { .. } | Step::Unpoint);
        let is_within = |step: &Step| match until {
            Until::Names => !is_pointer(step) && *step != Step::Account,
            Until::Pointer => *step != Step::Account,
            Until::End => true,
        };
        let within = all.into_iter().take_while(is_within);
        within.filter(|step| self.is_told || *step != Step::Account).collect()
    }
}

impl Writer {
    /// Makes a switch up to there.
    ///
    /// # Errors
    /// I/O.
    pub fn switch(&self, switch: &Switch, until: Until) -> Result<(), Error> {
        let steps = switch.steps(&recorded(&self.releases()?), self.active_if_any()?, until);
        steps.into_iter().try_for_each(|step| self.take(step, switch.to.as_ref(), switch.from.as_ref()))
    }
}
