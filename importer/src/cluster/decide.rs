//! What a node does next: a pure function of what it sees. Whatever it answers is harmless to repeat, and nothing of it is
//! remembered anywhere but in what is written down and in the store, so a node may be killed at any time.
//!
//! Every node, for itself:
//! - fetches the release that is agreed on, if it is not here;
//! - switches to it once the phase says so: one node after the other, on the way back and to catch up as well, so that a
//!   step that restarts k3s never takes more than one member from etcd. A release that is not agreed on is never activated;
//! - undoes what it did to Flux too late, when another coordinator wanted something else already.
//!
//! The coordinator, who is whoever holds the Lease, as long as a run is under way:
//! - claims the agreement for its term, so that nothing of an earlier coordinator comes after;
//! - waits until every live node has the release, holds Flux still, and lets the nodes switch;
//! - when they have, lets Flux go, waits until all is well, and says that the release is active;
//! - if a node cannot follow, or all is not well, begins the run that leads back. Behind a point of no return it lets the run
//!   stop instead, with Flux as it is, and a person says how to go on.

use sealift_archive::release::CurrentRelease;

use super::agreement::{Agreement, Phase};
use super::record::{NodeName, Report};
use super::view::{Hold, LeftFlux, View};
use super::work::{Peer, Work};

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

/// What this node does next, in this order.
#[must_use]
pub fn decide(view: &View) -> Vec<Act> {
    let mut acts = coordinate(view);
    // What is agreed on anew is looked at before anything follows from it.
    let is_all = acts.iter().any(|act| matches!(act, Act::Begin(_) | Act::Agree(_)));
    if !is_all && !view.is_busy && view.may_retry {
        // Neither keeps the other for ever.
        let own = follow(view).filter(|_| view.failed_flux);
        acts.extend(own.or_else(|| mend_flux(view)).or_else(|| follow(view)).map(Act::Begin));
    }
    acts
}

/// What was done to Flux here may have come after what another coordinator did, who wanted something else.
fn mend_flux(view: &View) -> Option<Work> {
    let (run, wanted) = match &view.agreement {
        Some(agreed) => (agreed.run, agreed.holds_flux()?),
        None => (0, false),
    };
    match (view.left_flux?, wanted) {
        (LeftFlux::Held, true) | (LeftFlux::Free, false) => None,
        (_, true) => Some(Work::HoldFlux { run }),
        (_, false) => Some(Work::ResumeFlux { run }),
    }
}

/// What every node does for itself.
fn follow(view: &View) -> Option<Work> {
    let agreed = view.agreement.as_ref().filter(|agreed| !agreed.is_given_up())?;
    let own = view.nodes.get(&view.me).filter(|own| !agreed.leaves_aside(own))?;
    // What turns the run round is not tried again.
    let may_try = agreed.is_lenient() || own.trouble_in(agreed.run).is_none();
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
    let (from, is_asked_for) = (agreed.from.clone(), agreed.is_asked_for);
    is_turn.then_some(Work::Switch { run, release, earlier, from, is_asked_for })
}

/// Whether nobody else is switching, and all nodes that come before this one have switched. Where that concerns them alone, those
/// that are hindered are not waited for: they would keep others where all is not well.
fn is_turn(view: &View, agreed: &Agreement) -> bool {
    let is_passed = |report: &Report| {
        has_switched(report, agreed) || agreed.is_lenient() && report.is_hindered_in(agreed.run)
    };
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
    let Some(own) = view.nodes.get(&view.me) else { return false };
    let is_begun = matches!(agreed.phase, Phase::Activating | Phase::Settling);
    let is_able = !is_begun
        || own.has(&agreed.release)
        || !view.nodes.values().any(|report| report.runs(&agreed.release));
    is_able && !agreed.leaves_aside(own)
}

/// What runs on every live node that runs anything, if nothing is agreed on: the cluster was one node before.
fn may_adopt(view: &View) -> Option<&CurrentRelease> {
    let own = view.nodes.get(&view.me)?.active.as_ref()?;
    view.nodes.values().filter_map(|report| report.active.as_ref()).all(|active| active == own).then_some(own)
}

fn lead(view: &View) -> Option<Act> {
    let Some(agreed) = &view.agreement else {
        return Some(agree(Agreement::adopted(may_adopt(view)?.clone(), view.term)));
    };
    if agreed.term != view.term {
        return Some(agree(Agreement { term: view.term, ..agreed.clone() }));
    }
    if let Some(reason) = trouble(view, agreed) {
        return Some(fail(view, agreed, &reason));
    }
    let enter = |phase| Some(agree(agreed.entering(phase)));
    let free = Work::FreeFlux { run: agreed.run };
    match agreed.phase {
        Phase::Staging if all_have_it(view, agreed) => {
            let hold = Work::HoldFlux { run: agreed.run };
            match outcome(view, &hold) {
                None => begin(view, hold),
                // Where Flux cannot be reached on the way back either, the nodes still go back.
                Some(Err(reason)) if !agreed.is_return => {
                    Some(fail(view, agreed, &format!("Flux does not stand still: {reason}")))
                }
                Some(_) => enter(Phase::Activating),
            }
        }
        Phase::Activating if all_have_switched(view, agreed) => enter(Phase::Settling),
        Phase::Settling => {
            let check = Work::Check { run: agreed.run, release: agreed.release.clone() };
            match (outcome(view, &check), outcome(view, &free)) {
                (Some(Err(reason)), _) => Some(fail(view, agreed, reason)),
                (Some(Ok(())), _) => enter(Phase::Active),
                (None, Some(Ok(()))) if agreed.is_return => enter(Phase::Active),
                (None, Some(Ok(()))) => begin(view, check),
                (None, _) => begin(view, free),
            }
        }
        Phase::GivingUp => match outcome(view, &free) {
            Some(Ok(())) => Some(agree(Agreement { is_stopped: true, ..agreed.clone() })),
            _ => begin(view, free),
        },
        // It waits for others, or is done.
        Phase::Staging | Phase::Activating | Phase::Active => None,
    }
}

fn agree(agreed: Agreement) -> Act {
    Act::Agree(Box::new(agreed))
}

fn begin(view: &View, work: Work) -> Option<Act> {
    (!view.is_busy && view.may_retry).then_some(Act::Begin(work))
}

/// A run that leads forward comes to nothing. Going back behind a point of no return may cost data, so a person decides on that;
/// where nothing has begun, whoever is behind one was there before, and does not go back unasked.
fn fail(view: &View, agreed: &Agreement, reason: &str) -> Act {
    let is_past = parties(view, agreed).any(|(_, report)| agreed.is_past_return(report));
    agree(if is_past && !agreed.is_unbegun() { agreed.stopped(reason) } else { agreed.given_up(reason) })
}

/// What this work came to, if it was the last that was done.
fn outcome<'a>(view: &'a View, work: &Work) -> Option<&'a Result<(), String>> {
    view.done.as_ref().filter(|(done, _)| done == work).map(|(_, outcome)| outcome)
}

/// The live nodes that a run is about.
fn parties<'a>(view: &'a View, agreed: &'a Agreement) -> impl Iterator<Item = (&'a NodeName, &'a Report)> {
    view.nodes.iter().filter(|(_, report)| !agreed.leaves_aside(report))
}

/// Why a run comes to nothing: what a live node cannot do.
fn trouble(view: &View, agreed: &Agreement) -> Option<String> {
    if agreed.is_lenient() {
        return None;
    }
    let mut troubled =
        parties(view, agreed).filter_map(|(name, report)| Some((name, report.trouble_in(agreed.run)?)));
    troubled.next().map(|(name, reason)| format!("node {name}: {reason}"))
}

fn all_have_it(view: &View, agreed: &Agreement) -> bool {
    parties(view, agreed).all(|(_, report)| report.has(&agreed.release) || is_left(report, agreed))
}

fn all_have_switched(view: &View, agreed: &Agreement) -> bool {
    // Somebody has to: where only nodes are left that cannot, nothing runs.
    view.nodes.values().any(|report| report.runs(&agreed.release))
        && view.nodes.values().all(|report| has_switched(report, agreed))
}

/// Whether a node has switched, or is not waited for: it came back in the middle, without the release, or runs a later one.
fn has_switched(report: &Report, agreed: &Agreement) -> bool {
    report.runs(&agreed.release)
        || !report.has(&agreed.release)
        || is_left(report, agreed)
        || agreed.leaves_aside(report)
}

/// On the way back, a node that cannot follow, be it only for now, is left behind: it would keep all others where all is not
/// well. It catches up later.
fn is_left(report: &Report, agreed: &Agreement) -> bool {
    agreed.is_return && report.is_hindered_in(agreed.run)
}
