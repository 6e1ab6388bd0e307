//! How an activation ends, or stops, and what is told of that.

use sealift_archive::Sequence;
use sealift_store::{Event, Writer};

use super::{Error, Phase, Switched};
use sealift_store::journal::{Goal, Journal, Stop};

/// The way is gone to its end.
pub(super) fn end(writer: &Writer, journal: Journal, then: &[Sequence]) -> Result<Switched, crate::Error> {
    let (to, from) = journal.ends();
    let phases = journal.leg.phases.clone();
    let switched = Switched { to: to.cloned(), from: from.cloned(), phases };
    let Some(turn) = journal.leg.turn.clone().filter(|turn| turn.goal == Goal::From) else {
        if then.is_empty() {
            journal.remove()?;
        }
        return Ok(switched);
    };
    let event = match switched.to.clone().filter(|_| turn.is_told) {
        Some(release) => Event::RolledBack { release, from: switched.from.clone() },
        None => failed(&journal, turn.place.clone(), turn.reason.clone(), true),
    };
    record(writer, &journal, event)?;
    let release = Box::new(journal.begin.to.name());
    journal.remove()?;
    let (phase, reason) = (turn.place, turn.reason);
    if !turn.is_by_itself {
        return Ok(switched);
    }
    Err(if phase == Phase::Preflight.to_string() {
        Error::Preflight { release, reason }.into()
    } else {
        let active = switched.to.map(|to| Box::new(to.name()));
        Error::WentBack { release, phase, reason, active }.into()
    })
}

/// That it has stopped.
pub(super) fn stopped(journal: &Journal, stop: &Stop) -> Error {
    Error::Stopped {
        goal: journal.ends().0.map(|goal| Box::new(goal.name())),
        phase: stop.place.clone(),
        reason: stop.reason.clone(),
        is_forward: journal.is_forward(),
    }
}

pub(super) fn failed(journal: &Journal, phase: String, reason: String, went_back: bool) -> Event {
    Event::ActivationFailed { release: journal.begin.to.clone(), phase, reason, went_back }
}

/// Writes it into the audit log, unless a run before a crash has done so.
pub(super) fn record(writer: &Writer, journal: &Journal, event: Event) -> Result<(), crate::Error> {
    let records = writer.audit()?;
    let mut since = records.iter().rev().take_while(|record| record.time >= journal.begin.time);
    if since.any(|record| record.event == event) { Ok(()) } else { Ok(writer.record(event)?) }
}
