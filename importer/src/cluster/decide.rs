//! What a node does next: a pure function of what it sees. Whatever it answers is harmless to repeat, and nothing of it is
//! remembered anywhere but in what is written down and in the store, so a node may be killed at any time.
//!
//! Every node, for itself:
//! - fetches the release that is agreed on, if it is not here;
//! - switches to it once the phase says so: one node after the other, on the way back and to catch up as well, so that a
//!   step that restarts k3s never takes more than one member from etcd. A release that is not agreed on is never activated.
//!
//! The coordinator, who is whoever holds the Lease, as long as a run is under way:
//! - claims the agreement for its term, so that nothing of an earlier coordinator comes after;
//! - waits until every live node has the release, holds Flux still, and lets the nodes switch;
//! - when they have, lets Flux go, waits until all is well, and says that the release is active;
//! - if a node cannot follow, or all is not well, begins the run that leads back.

use sealift_archive::release::CurrentRelease;

use super::record::{Agreement, NodeName, Phase, Report};
use super::view::{Hold, View};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Take the Lease, or renew it.
    HoldLease,
    /// Let others have the Lease.
    LeaveLease,
    /// Write this in the place of what was seen as agreed on.
    Agree(Box<Agreement>),
    /// Begin long work. There is never more than one.
    Begin(Work),
}

/// What takes long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Fetch the release, and what leads to it, from these nodes.
    Stage {
        /// The run.
        run: u64,
        /// The release.
        release: CurrentRelease,
        /// What may have to come before it.
        earlier: Vec<CurrentRelease>,
        /// Who has it.
        from: Vec<Peer>,
    },
    /// Make the release the active one here.
    Switch {
        /// The run.
        run: u64,
        /// The release.
        release: CurrentRelease,
        /// What may have to come before it.
        earlier: Vec<CurrentRelease>,
        /// What was agreed on before.
        from: Option<CurrentRelease>,
    },
    /// Hold Flux still.
    HoldFlux {
        /// The run.
        run: u64,
    },
    /// Let Flux go, and look.
    FreeFlux {
        /// The run.
        run: u64,
    },
    /// See whether all is well.
    Check {
        /// The run.
        run: u64,
        /// The release that has to be well.
        release: CurrentRelease,
    },
}

/// A node that a release can be fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: NodeName,
    /// Where its registry is: a URL.
    pub address: String,
    /// The certificate of its own authority, in PEM.
    pub ca_crt: String,
}

impl Work {
    /// The run that it is for.
    #[must_use]
    pub fn run(&self) -> u64 {
        match self {
            Self::Stage { run, .. }
            | Self::Switch { run, .. }
            | Self::HoldFlux { run }
            | Self::FreeFlux { run }
            | Self::Check { run, .. } => *run,
        }
    }

    /// Whether only the coordinator does it.
    #[must_use]
    pub fn is_coordination(&self) -> bool {
        matches!(self, Self::HoldFlux { .. } | Self::FreeFlux { .. } | Self::Check { .. })
    }
}

/// What this node does next, in this order.
#[must_use]
pub fn decide(view: &View) -> Vec<Act> {
    let mut acts = coordinate(view);
    let is_begun = acts.iter().any(|act| matches!(act, Act::Begin(_)));
    if !is_begun && !view.is_busy {
        acts.extend(follow(view).map(Act::Begin));
    }
    acts
}

/// What every node does for itself.
fn follow(view: &View) -> Option<Work> {
    let agreed = view.agreement.as_ref().filter(|agreed| !agreed.is_stalled())?;
    let own = view.nodes.get(&view.me)?;
    // Going forward, a node that cannot follow turns the run round, and does not try again.
    let is_patient = agreed.is_return || agreed.phase == Phase::Active;
    let may_try = view.may_retry && (is_patient || own.trouble_in(agreed.run).is_none());
    if own.runs(&agreed.release) || !may_try {
        return None;
    }
    let (run, release, earlier) = (agreed.run, agreed.release.clone(), agreed.earlier.clone());
    if !own.has(&release) {
        let has_it = view.nodes.iter().filter(|(_, report)| report.has(&release));
        let peer = |(name, report): (&NodeName, &Report)| {
            let (name, ca_crt) = (name.clone(), report.ca_crt.clone());
            Some(Peer { name, address: report.address.clone()?, ca_crt })
        };
        let from: Vec<Peer> = has_it.filter_map(peer).collect();
        return (!from.is_empty()).then_some(Work::Stage { run, release, earlier, from });
    }
    let is_turn = agreed.phase != Phase::Staging && is_turn(view, agreed);
    is_turn.then_some(Work::Switch { run, release, earlier, from: agreed.from.clone() })
}

/// Whether nobody else is switching, and all nodes that come before this one have switched. On the way back, and once the
/// release is active, those that are hindered are not waited for: they would keep others where all is not well.
fn is_turn(view: &View, agreed: &Agreement) -> bool {
    let is_impatient = agreed.is_return || agreed.phase == Phase::Active;
    let is_passed =
        |report: &Report| has_switched(report, agreed) || is_impatient && report.hindrance().is_some();
    view.nodes.iter().all(|(name, report)| *name == view.me || !report.is_switching)
        && view.nodes.range(..&view.me).all(|(_, report)| is_passed(report))
}

/// What the coordinator does.
fn coordinate(view: &View) -> Vec<Act> {
    let wanted = match &view.agreement {
        Some(agreed) => agreed.is_under_way() && may_lead(view, agreed),
        None => may_adopt(view).is_some(),
    };
    match (wanted, view.hold) {
        (true, Hold::Free | Hold::Due) => vec![Act::HoldLease],
        (true, Hold::Ours) => lead(view).into_iter().collect(),
        (false, Hold::Ours | Hold::Due) => vec![Act::LeaveLease],
        (_, Hold::Theirs) | (false, Hold::Free) => Vec::new(),
    }
}

/// Whether this node can see a run to its end. One that came back in the middle, without the release, cannot look whether all
/// is well with it; it leaves that to those who run it, if there are any.
fn may_lead(view: &View, agreed: &Agreement) -> bool {
    let has_it = view.nodes.get(&view.me).is_some_and(|own| own.has(&agreed.release));
    agreed.phase != Phase::Activating
        || has_it
        || !view.nodes.values().any(|report| report.runs(&agreed.release))
}

/// What runs on every live node that runs anything, if nothing is agreed on: the cluster was one node before.
fn may_adopt(view: &View) -> Option<&CurrentRelease> {
    let own = view.nodes.get(&view.me)?.active.as_ref()?;
    view.nodes.values().filter_map(|report| report.active.as_ref()).all(|active| active == own).then_some(own)
}

fn lead(view: &View) -> Option<Act> {
    let agree = |agreed: Agreement| Some(Act::Agree(Box::new(agreed)));
    let Some(agreed) = &view.agreement else {
        return agree(Agreement::adopted(may_adopt(view)?.clone(), view.term));
    };
    if agreed.term != view.term {
        return agree(Agreement { term: view.term, ..agreed.clone() });
    }
    if let Some(reason) = trouble(view, agreed) {
        return agree(agreed.given_up(&reason));
    }
    let run = agreed.run;
    match agreed.phase {
        Phase::Active => None,
        Phase::Staging if !all_have_it(view, agreed) => None,
        Phase::Staging => match outcome(view, &Work::HoldFlux { run }) {
            None => begin(view, Work::HoldFlux { run }),
            // Where Flux cannot be reached on the way back either, the nodes still go back.
            Some(Err(reason)) if !agreed.is_return => {
                agree(agreed.given_up(&format!("Flux does not stand still: {reason}")))
            }
            Some(_) => agree(Agreement { phase: Phase::Activating, ..agreed.clone() }),
        },
        Phase::Activating if !all_have_switched(view, agreed) => None,
        Phase::Activating if !agreed.is_flux_free => match outcome(view, &Work::FreeFlux { run }) {
            Some(Ok(())) => agree(Agreement { is_flux_free: true, ..agreed.clone() }),
            _ => begin(view, Work::FreeFlux { run }),
        },
        Phase::Activating if agreed.is_return => agree(Agreement { phase: Phase::Active, ..agreed.clone() }),
        Phase::Activating => {
            let check = Work::Check { run, release: agreed.release.clone() };
            match outcome(view, &check) {
                None => begin(view, check),
                Some(Ok(())) => agree(Agreement { phase: Phase::Active, ..agreed.clone() }),
                Some(Err(reason)) => agree(agreed.given_up(reason)),
            }
        }
    }
}

/// What this work came to, if it was the last that was done.
fn outcome<'a>(view: &'a View, work: &Work) -> Option<&'a Result<(), String>> {
    view.done.as_ref().filter(|(done, _)| done == work).map(|(_, outcome)| outcome)
}

fn begin(view: &View, work: Work) -> Option<Act> {
    (!view.is_busy && view.may_retry).then_some(Act::Begin(work))
}

/// Why a run that leads forward has to be given up: what a live node cannot do.
fn trouble(view: &View, agreed: &Agreement) -> Option<String> {
    if agreed.is_return {
        return None;
    }
    let mut troubled =
        view.nodes.iter().filter_map(|(name, report)| Some((name, report.trouble_in(agreed.run)?)));
    troubled.next().map(|(name, reason)| format!("node {name}: {reason}"))
}

fn all_have_it(view: &View, agreed: &Agreement) -> bool {
    view.nodes.values().all(|report| report.has(&agreed.release) || is_left(report, agreed))
}

fn all_have_switched(view: &View, agreed: &Agreement) -> bool {
    // Somebody has to: where only nodes are left that cannot, nothing runs.
    view.nodes.values().any(|report| report.runs(&agreed.release))
        && view.nodes.values().all(|report| has_switched(report, agreed))
}

/// Whether a node has switched, or is not waited for: it came back in the middle, without the release.
fn has_switched(report: &Report, agreed: &Agreement) -> bool {
    report.runs(&agreed.release) || !report.has(&agreed.release) || is_left(report, agreed)
}

/// On the way back, a node that cannot follow is left behind: it would keep all others where all is not well.
fn is_left(report: &Report, agreed: &Agreement) -> bool {
    agreed.is_return && report.trouble_in(agreed.run).is_some()
}
