//! One node's part: it looks, decides, and does what takes no time; what takes long it hands out, and hears how it went.
//!
//! Where things are written down is behind [`Board`], and the node's store behind [`Home`]; so the same steps are gone in
//! tests, with a thousand mishaps.

use std::collections::BTreeMap;
use std::time::Duration;

use sealift_store::{NodeSeen, PeerAuthorities};

use super::agreement::Agreement;
use super::decide::{Act, decide};
use super::error::Error as ClusterError;
use super::record::{Lease, NodeName, Report, Trouble};
use super::view::{LeftFlux, Observer, Snapshot, Times, Versioned, View};
use super::work::Work;
use crate::Error;

/// The longest wait before what failed is tried again; the first one is a step.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Where the nodes write things down for each other.
pub trait Board {
    /// All that is written there.
    ///
    /// # Errors
    /// It cannot be reached, or read.
    fn read(&self) -> Result<Snapshot, Error>;

    /// Writes the Lease, if it is still the edition `seen`; none if it is not. Gives back which edition it is now.
    ///
    /// # Errors
    /// It cannot be reached. Whether it was written is not known then.
    fn write_lease(&self, seen: Option<&str>, lease: &Lease) -> Result<Option<String>, Error>;

    /// Writes what is agreed on, in the same way.
    ///
    /// # Errors
    /// As [`Board::write_lease`].
    fn write_agreement(&self, seen: Option<&str>, agreement: &Agreement) -> Result<Option<String>, Error>;

    /// Writes a node's own report, in the same way.
    ///
    /// # Errors
    /// As [`Board::write_lease`].
    fn write_report(
        &self,
        name: &NodeName,
        seen: Option<&str>,
        report: &Report,
    ) -> Result<Option<String>, Error>;
}

/// What a node has.
pub trait Home {
    /// How it stands, without what only the [`Member`] knows.
    ///
    /// # Errors
    /// The store cannot be read.
    fn look(&self) -> Result<Report, Error>;

    /// The board was heard, this is agreed on, so the nodes stand, and by these authorities they know each other.
    ///
    /// # Errors
    /// It cannot be written down.
    fn hear(
        &self,
        agreement: Option<&Agreement>,
        nodes: Vec<NodeSeen>,
        authorities: &PeerAuthorities,
    ) -> Result<(), Error>;
}

/// How work failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may work the next time.
    Passing(String),
    /// This node cannot do it.
    Trouble(String),
}

/// A node. What it remembers only spares it work: it may lose all of it at any time.
#[derive(Debug)]
pub struct Member {
    name: NodeName,
    times: Times,
    observer: Observer,
    /// What is under way.
    work: Option<Work>,
    /// What the coordinator's last work came to.
    done: Option<(Work, Result<(), String>)>,
    trouble: Option<Trouble>,
    /// In which run it waits, and for what.
    waits: Option<(u64, String)>,
    /// Why it takes no part, whatever the run.
    aside: Option<String>,
    /// What others have written and cannot be read.
    obstacle: Option<String>,
    /// How it has left Flux, until that is seen to be what is agreed on.
    left_flux: Option<LeftFlux>,
    /// Whether the last work was to let Flux go, and failed.
    failed_flux: bool,
    /// How often work has failed in a row, and when it is tried again.
    failed: (u32, Duration),
    /// When it last wrote about itself.
    told: Option<Duration>,
}

impl Member {
    /// The node of this name.
    #[must_use]
    pub fn new(name: NodeName, times: Times) -> Self {
        Self {
            name,
            times,
            observer: Observer::default(),
            work: None,
            done: None,
            trouble: None,
            waits: None,
            aside: None,
            obstacle: None,
            // It may have been ended while it held Flux still.
            left_flux: Some(LeftFlux::Held),
            failed_flux: false,
            failed: (0, Duration::ZERO),
            told: None,
        }
    }

    /// One step, at a time of a clock that never jumps. What it gives back is to be done, and its outcome told.
    ///
    /// # Errors
    /// The board cannot be reached, the store not be read, or another machine has our name: then nothing here changes.
    pub fn step(&mut self, now: Duration, board: &dyn Board, home: &dyn Home) -> Result<Option<Work>, Error> {
        let snapshot = board.read()?;
        self.observer.observe(&snapshot, now);
        self.obstacle = snapshot.obstacle();
        let agreement = snapshot.agreement.as_ref().map(|agreed| &agreed.value);
        let seen = self.observer.seen(&snapshot, &self.times, now);
        let heard = home.hear(agreement, seen, &snapshot.authorities());
        self.forget_other_runs(agreement);
        let mut own = self.report(home, agreement)?;
        self.expect_own(&own, &snapshot, now)?;
        if let Err(error) = &heard {
            own.waits.get_or_insert_with(|| error.to_string());
        }
        // A full disk does not make it mute: the others are told of it first.
        let told = self.tell(now, board, &snapshot, &own)?;
        heard?;
        self.settle_flux(agreement);
        let view = self.view(now, &snapshot, own.clone());
        for act in decide(&view) {
            match act {
                Act::HoldLease => self.hold_lease(now, board, &snapshot)?,
                Act::LeaveLease => leave_lease(board, &snapshot)?,
                Act::Agree(agreed) => {
                    let seen = snapshot.agreement.as_ref().map(|agreed| agreed.version.as_str());
                    board.write_agreement(seen, &agreed)?;
                }
                Act::Begin(work) => {
                    if matches!(work, Work::Switch { .. }) {
                        // It may be mute for a while then, so that is said before.
                        let own = Report { is_switching: true, ..own };
                        if board.write_report(&self.name, told.as_deref(), &own)?.is_none() {
                            return Ok(None);
                        }
                    }
                    self.work = Some(work.clone());
                    return Ok(Some(work));
                }
            }
        }
        Ok(None)
    }

    /// Work has come to its end.
    pub fn finish(&mut self, now: Duration, work: Work, outcome: Result<(), Failure>) {
        self.work = None;
        self.waits = None;
        self.failed_flux = false;
        let (failures, _) = self.failed;
        self.failed = match &outcome {
            Ok(()) => (0, now),
            Err(_) => (failures + 1, now + self.wait(failures)),
        };
        let run = work.run();
        self.left_flux = left_flux(&work, &outcome).or(self.left_flux);
        if work.is_coordination() {
            // A trial that may pass is no outcome: it is made again. So is letting Flux go: nothing else can be done then.
            let is_free = work.frees_flux();
            let outcome = match outcome {
                Ok(()) => Ok(()),
                Err(Failure::Trouble(reason)) if !is_free => Err(reason),
                Err(Failure::Trouble(reason) | Failure::Passing(reason)) => {
                    self.waits = Some((run, reason));
                    self.failed_flux = is_free;
                    return;
                }
            };
            self.done = Some((work, outcome));
            return;
        }
        match outcome {
            Ok(()) => self.trouble = None,
            Err(Failure::Passing(reason)) => self.waits = Some((run, reason)),
            Err(Failure::Trouble(reason)) => self.trouble = Some(Trouble { run, reason }),
        }
    }

    /// What hinders it now, for whoever watches.
    #[must_use]
    pub fn hindrance(&self) -> Option<&str> {
        let trouble = self.trouble.as_ref().map(|trouble| &trouble.reason);
        let waits = self.waits.as_ref().map(|(_, reason)| reason);
        trouble.or(waits).or(self.aside.as_ref()).or(self.obstacle.as_ref()).map(String::as_str)
    }

    fn wait(&self, failures: u32) -> Duration {
        self.times.step.saturating_mul(1 << failures.min(8)).min(LONGEST_WAIT)
    }

    /// What came of another run says nothing about this one.
    fn forget_other_runs(&mut self, agreement: Option<&Agreement>) {
        let run = agreement.map(|agreed| agreed.run);
        if self.done.as_ref().is_some_and(|(work, _)| Some(work.run()) != run) {
            self.done = None;
        }
        let is_other = |of: u64| Some(of) != run;
        if self.trouble.as_ref().is_some_and(|trouble| is_other(trouble.run)) {
            self.trouble = None;
            self.failed = (0, Duration::ZERO);
        }
        if self.waits.as_ref().is_some_and(|(of, _)| is_other(*of)) {
            self.waits = None;
            self.failed = (0, Duration::ZERO);
        }
    }

    /// What is agreed on now may be what was done to Flux here. That it is held is kept in mind until it is let go: what is agreed
    /// on may be removed meanwhile.
    fn settle_flux(&mut self, agreement: Option<&Agreement>) {
        if agreement.map_or(Some(false), Agreement::holds_flux) == Some(false) {
            self.left_flux = self.left_flux.filter(|left| *left != LeftFlux::Free);
        }
    }

    fn report(&mut self, home: &dyn Home, agreement: Option<&Agreement>) -> Result<Report, Error> {
        let own = home.look()?;
        let is_aside = agreement.is_some_and(|agreed| agreed.leaves_aside(&own));
        let later = own.active.clone().filter(|_| is_aside);
        self.aside = later.map(|active| ClusterError::Ahead { active: Box::new(active) }.to_string());
        let waits = self.waits.as_ref().map(|(_, reason)| reason).or(self.aside.as_ref()).cloned();
        let trouble = self.trouble.clone();
        let is_switching = matches!(self.work, Some(Work::Switch { .. }));
        Ok(Report { is_switching, trouble, waits, ..own })
    }

    /// Two machines of one name would write over each other for ever, and both switch when it is the turn of one.
    fn expect_own(&self, own: &Report, snapshot: &Snapshot, now: Duration) -> Result<(), Error> {
        // What stood there before is of a former machine, or boot, of this name.
        let is_foreign = |report: &Report| self.told.is_some() && report.boot_id != own.boot_id;
        let mut living = self.observer.living(snapshot, &self.times, now);
        if living.any(|(name, report)| *name == self.name && is_foreign(report)) {
            return Err(ClusterError::Twin { name: self.name.clone() }.into());
        }
        Ok(())
    }

    /// Writes its own report if there is news, or to say that it lives. Gives back which edition it is now, if that is known.
    fn tell(
        &mut self,
        now: Duration,
        board: &dyn Board,
        snapshot: &Snapshot,
        own: &Report,
    ) -> Result<Option<String>, Error> {
        let written = snapshot.reports.get(&self.name);
        let is_same = |written: &&Versioned<Report>| {
            Report { seen: written.value.seen, ..own.clone() } == written.value
        };
        let is_due = self.told.is_none_or(|told| now.saturating_sub(told) >= self.times.beat);
        if let Some(written) = written.filter(is_same).filter(|_| !is_due) {
            return Ok(Some(written.version.clone()));
        }
        // No other machine writes it: if it was another edition, an answer was lost, and the next step writes over that.
        let version = board.write_report(&self.name, snapshot.report_version(&self.name), own)?;
        if version.is_some() {
            self.told = Some(now);
        }
        Ok(version)
    }

    fn view(&self, now: Duration, snapshot: &Snapshot, own: Report) -> View {
        let living = self.observer.living(snapshot, &self.times, now);
        let mut nodes: BTreeMap<NodeName, Report> =
            living.map(|(name, report)| (name.clone(), report.clone())).collect();
        nodes.insert(self.name.clone(), own);
        View {
            me: self.name.clone(),
            hold: self.observer.hold(&self.name, snapshot, &self.times, now),
            term: snapshot.lease.as_ref().map_or(0, |lease| lease.value.term),
            agreement: snapshot.agreement.as_ref().map(|agreed| agreed.value.clone()),
            nodes,
            is_busy: self.work.is_some(),
            may_retry: now >= self.failed.1,
            done: self.done.clone(),
            left_flux: self.left_flux,
            failed_flux: self.failed_flux,
        }
    }

    fn hold_lease(&mut self, now: Duration, board: &dyn Board, snapshot: &Snapshot) -> Result<(), Error> {
        let seen = snapshot.lease.as_ref();
        let holder = Some(self.name.as_str().to_owned());
        let term = match seen.map(|seen| &seen.value) {
            Some(lease) if lease.holder == holder => lease.term,
            lease => lease.map_or(0, |lease| lease.term) + 1,
        };
        let version = seen.map(|seen| seen.version.as_str());
        if let Some(version) = board.write_lease(version, &Lease { holder, term })? {
            self.observer.renewed(version, now);
        }
        Ok(())
    }
}

/// How this work leaves Flux. What failed may be half done; that it cannot be held is not tried for ever.
fn left_flux(work: &Work, outcome: &Result<(), Failure>) -> Option<LeftFlux> {
    match (work, outcome) {
        (Work::HoldFlux { .. }, Err(Failure::Passing(_))) => Some(LeftFlux::Unknown),
        (Work::HoldFlux { .. }, _) => Some(LeftFlux::Held),
        (work, _) if !work.frees_flux() => None,
        (_, Err(_)) => Some(LeftFlux::Unknown),
        (_, Ok(())) => Some(LeftFlux::Free),
    }
}

fn leave_lease(board: &dyn Board, snapshot: &Snapshot) -> Result<(), Error> {
    if let Some(Versioned { version, value }) = &snapshot.lease {
        board.write_lease(Some(version), &Lease { holder: None, term: value.term })?;
    }
    Ok(())
}
