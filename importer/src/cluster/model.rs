//! Three nodes with every mishap there is, in any order: crashes, partitions, writes whose answer is lost or that are lost
//! themselves, nodes that are held up between looking and acting, that lag behind, or are replaced by empty ones.
//!
//! What must never happen is asserted where it would happen; and when all mishaps are over, all has to end well.

mod api;
mod cases;
mod stops;
mod store;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use sealift_archive::Digest;

use self::api::{Api, Luck, Seen, Written, mishap};
use self::store::Store;
use super::fixture::release;
use super::{Agreement, Failure, Home as _, Member, NodeName, Phase, Report, Times, Versioned, Work};
use crate::Error;

const NODES: usize = 3;
const RELEASES: u64 = 4;
/// Between two things that happen.
const TICK: Duration = Duration::from_secs(1);
/// How long a person waits for the nodes to do it by themselves.
const ATTENTION_ROUNDS: usize = 100;

fn name(node: usize) -> NodeName {
    format!("node-{node}").parse().unwrap()
}

struct Node {
    name: NodeName,
    store: Store,
    /// None while it is down.
    member: Option<Member>,
    work: Option<Work>,
    /// It has looked, and is held up before it acts.
    held_up: Option<(Written, Duration)>,
    is_cut: bool,
}

impl Node {
    fn new(node: usize) -> Self {
        let (name, times) = (name(node), Times::default());
        let member = Some(Member::new(name.clone(), times));
        Self { name, store: Store::default(), member, work: None, held_up: None, is_cut: false }
    }
}

struct World {
    clock: Duration,
    api: RefCell<Api>,
    nodes: Vec<Node>,
    /// Flux stands still.
    is_flux_held: bool,
    /// It was let go after something else was agreed on; whoever did that holds it again.
    is_freed_late: bool,
    /// The runs that a person has asked for, knowing what going back means.
    asked: BTreeSet<u64>,
    boots: u64,
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Step(usize, Luck),
    Finish(usize, End),
    Look(usize),
    /// What it is doing to Flux is done, or not.
    Crash(usize, bool),
    Start(usize),
    Cut(usize),
    Join(usize),
    Replace(usize),
    Import(usize, u64),
    /// With consent to what going back means, or without.
    Wish(usize, u64, bool),
    Wait(u64),
}

/// How work comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Done,
    /// It may work later.
    Fails,
    /// It cannot be done.
    Cannot,
    /// The same, and a switch was behind its point of no return.
    CannotBehind,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![12 => Just(End::Done), 4 => Just(End::Fails), 1 => Just(End::Cannot), 1 => Just(End::CannotBehind)]
}

fn happening() -> impl Strategy<Value = Happens> {
    let node = 0..NODES;
    let luck = prop_oneof![8 => Just(Luck::Good), 1 => Just(Luck::AnswerLost), 1 => Just(Luck::Lost)];
    prop_oneof![
        30 => (node.clone(), luck).prop_map(|(node, luck)| Happens::Step(node, luck)),
        12 => (node.clone(), end()).prop_map(|(node, how)| Happens::Finish(node, how)),
        3 => node.clone().prop_map(Happens::Look),
        2 => (node.clone(), any::<bool>()).prop_map(|(node, is_done)| Happens::Crash(node, is_done)),
        4 => node.clone().prop_map(Happens::Start),
        1 => node.clone().prop_map(Happens::Cut),
        3 => node.clone().prop_map(Happens::Join),
        1 => node.clone().prop_map(Happens::Replace),
        3 => (node.clone(), 1..=RELEASES).prop_map(|(node, sequence)| Happens::Import(node, sequence)),
        4 => (node, 1..=RELEASES, any::<bool>())
            .prop_map(|(node, sequence, has_consent)| Happens::Wish(node, sequence, has_consent)),
        4 => (1..90_u64).prop_map(Happens::Wait),
    ]
}

impl World {
    /// A node on which release 1 runs, and two that are empty.
    fn new() -> Self {
        let mut world = Self::empty();
        world.nodes[0].store = Store::of(&[1], Some(1));
        world
    }

    /// Three nodes on which nothing runs; release 1 is on the first.
    fn empty() -> Self {
        let mut nodes: Vec<Node> = (0..NODES).map(Node::new).collect();
        nodes[0].store = Store::of(&[1], None);
        let (clock, api) = (Duration::from_secs(1000), RefCell::default());
        Self {
            clock,
            api,
            nodes,
            is_flux_held: false,
            is_freed_late: false,
            asked: BTreeSet::new(),
            boots: 0,
        }
    }

    /// The same as at first, once all have taken what runs.
    fn settled() -> Self {
        let mut world = Self::new();
        world.settle();
        world
    }

    /// The same, with a point of no return among the steps of each node.
    fn settled_with_points() -> Self {
        let mut world = Self::settled();
        world.nodes.iter_mut().for_each(|node| node.store.has_point = true);
        world
    }

    /// A release comes to a node, and a person there asks for it.
    fn ask(&mut self, node: usize, sequence: u64) {
        self.happen(Happens::Import(node, sequence));
        self.happen(Happens::Wish(node, sequence, false));
    }

    fn happen(&mut self, what: Happens) {
        self.clock += TICK;
        match what {
            Happens::Step(node, luck) => drop(self.step(node, luck)),
            Happens::Finish(node, how) => self.finish(node, how),
            Happens::Look(node) => {
                let looked = self.api.borrow().now.clone();
                let node = &mut self.nodes[node];
                if node.member.is_some() && !node.is_cut {
                    node.held_up.get_or_insert((looked, self.clock));
                }
            }
            Happens::Crash(at, is_done) => {
                match &self.nodes[at].work {
                    Some(Work::HoldFlux { .. }) if is_done => self.leave_flux(true),
                    Some(work) if work.frees_flux() && is_done => self.leave_flux(false),
                    _ => {}
                }
                let node = &mut self.nodes[at];
                (node.member, node.work, node.held_up) = (None, None, None);
            }
            Happens::Start(node) => {
                let node = &mut self.nodes[node];
                if node.member.is_none() {
                    self.boots += 1;
                    node.store.boot = self.boots;
                    node.member = Some(Member::new(node.name.clone(), Times::default()));
                }
            }
            Happens::Cut(node) => self.nodes[node].is_cut = true,
            Happens::Join(node) => self.nodes[node].is_cut = false,
            Happens::Replace(node) => {
                // Nobody sets up another machine within a minute.
                self.clock += Times::default().live;
                let has_point = self.nodes[node].store.has_point;
                self.boots += 1;
                self.nodes[node] = Node::new(node);
                self.nodes[node].store = Store { has_point, boot: self.boots, ..Store::default() };
            }
            Happens::Import(node, sequence) => {
                self.nodes[node].store.here.insert(sequence);
            }
            Happens::Wish(node, sequence, has_consent) => self.wish(node, sequence, has_consent),
            Happens::Wait(seconds) => self.clock += Duration::from_secs(seconds),
        }
        self.expect_one_answer();
    }

    fn step(&mut self, node: usize, luck: Luck) -> Result<(), Error> {
        let (clock, api) = (self.clock, &self.api);
        let node = &mut self.nodes[node];
        let Some(member) = &mut node.member else { return Ok(()) };
        let (looked, at) = node.held_up.take().unwrap_or_else(|| (api.borrow().now.clone(), clock));
        let board = Seen { api, node: node.name.clone(), looked, at, now: clock, luck, is_cut: node.is_cut };
        if let Some(work) = member.step(at, &board, &node.store)? {
            assert!(node.work.is_none(), "{work:?} is begun while {:?} is under way", node.work);
            node.work = Some(work);
        }
        Ok(())
    }

    fn finish(&mut self, at: usize, how: End) {
        let Some(work) = self.nodes[at].work.take() else { return };
        let outcome = match how {
            End::Done => self.succeed(at, &work),
            End::Fails => Err(Failure::Passing("later".to_owned())),
            End::Cannot | End::CannotBehind => Err(Failure::Trouble("no".to_owned())),
        };
        let store = &mut self.nodes[at].store;
        match &work {
            Work::Switch { release, .. } if outcome.is_err() => {
                let (sequence, before) =
                    (release.sequence.get(), store.begun.filter(|(_, is_past)| *is_past));
                let is_forward = store.active.is_none_or(|active| active < sequence);
                let is_past = how == End::CannotBehind && store.has_point && is_forward;
                store.begun = before.filter(|_| !is_past).or(Some((sequence, is_past)));
            }
            // Half of it may be done.
            Work::HoldFlux { .. } => self.leave_flux(true),
            _ => {}
        }
        let member = self.nodes[at].member.as_mut().expect("what works is up");
        member.finish(self.clock, work, outcome);
    }

    fn succeed(&mut self, at: usize, work: &Work) -> Result<(), Failure> {
        match work {
            Work::Stage { release, from, .. } => {
                let sequence = release.sequence.get();
                let serves = |node: &Node| {
                    node.member.is_some() && !node.is_cut && node.store.here.contains(&sequence)
                };
                if !self
                    .nodes
                    .iter()
                    .any(|node| from.iter().any(|peer| peer.name == node.name) && serves(node))
                {
                    return Err(Failure::Passing("nobody has it".to_owned()));
                }
                self.nodes[at].store.here.insert(sequence);
            }
            Work::Switch { run, release, is_asked_for, .. } => {
                let api = self.api.borrow();
                assert!(api.allowed.contains(&release.statement), "{release:?} was never agreed on");
                assert!(!is_asked_for || self.asked.contains(run), "nobody has asked for run {run}");
                let store = &mut self.nodes[at].store;
                assert!(store.here.contains(&release.sequence.get()), "{release:?} is not here");
                if store.beyond().is_some_and(|beyond| beyond > release.sequence.get()) && !is_asked_for {
                    return Err(Failure::Trouble("nobody has asked for it".to_owned()));
                }
                (store.active, store.begun) = (Some(release.sequence.get()), None);
            }
            Work::Check { release, .. } => {
                if !self.nodes[at].store.here.contains(&release.sequence.get()) {
                    return Err(Failure::Passing("it is not here".to_owned()));
                }
            }
            Work::HoldFlux { .. } => self.leave_flux(true),
            Work::FreeFlux { .. } | Work::ResumeFlux { .. } => self.leave_flux(false),
        }
        Ok(())
    }

    fn leave_flux(&mut self, is_held: bool) {
        let agreed = self.api.borrow().now.snapshot.agreement.clone();
        let wanted = agreed.and_then(|agreed| agreed.value.holds_flux());
        (self.is_flux_held, self.is_freed_late) = (is_held, !is_held && wanted != Some(false));
    }

    /// Flux applies whatever it asks first.
    fn expect_one_answer(&self) {
        let api = self.api.borrow();
        let agreed = api.now.snapshot.agreement.iter().map(|agreed| &agreed.value);
        let served: BTreeSet<Digest> = agreed.flat_map(Agreement::served).map(|one| one.statement).collect();
        let is_held = self.is_flux_held || self.is_freed_late;
        assert!(is_held || served.len() < 2, "Flux is free: {:?}", api.now.snapshot.agreement);
    }

    /// A person on this node asks for a release that is here.
    fn wish(&mut self, node: usize, sequence: u64, has_consent: bool) {
        let store = &self.nodes[node].store;
        if !store.here.contains(&sequence) {
            return;
        }
        let mut api = self.api.borrow_mut();
        let agreed = api.now.snapshot.agreement.as_ref().map(|agreed| agreed.value.clone());
        let wanted = release(sequence);
        let next = match &agreed {
            Some(agreed) => agreed.asked_for(&wanted, has_consent),
            None => Some(Agreement::first(wanted, store.active.map(release))),
        };
        let is_refused =
            |next: &Agreement| agreed.as_ref().is_some_and(|agreed| next.leads_back_unasked(agreed));
        if let Some(next) = next.filter(|next| Some(next) != agreed.as_ref() && !is_refused(next)) {
            self.asked.extend(next.is_asked_for.then_some(next.run));
            api.agree(next);
        }
    }

    /// A person on the first node does what the cluster's status says.
    fn attend(&mut self) {
        let Some(agreed) = self.api.borrow().now.snapshot.agreement.clone().map(|agreed| agreed.value) else {
            return;
        };
        let wanted = agreed.release.sequence.get();
        let reports: Vec<Report> = self.nodes.iter().map(|node| node.store.look().unwrap()).collect();
        for (node, report) in reports.iter().enumerate() {
            if agreed.leaves_aside(report) {
                self.happen(Happens::Replace(node));
                self.happen(Happens::Import(node, wanted));
            }
        }
        if agreed.is_stopped {
            self.happen(Happens::Wish(0, wanted, false));
        } else if reports.iter().any(|report| agreed.lacks_consent(report)) {
            self.happen(Happens::Wish(0, wanted, true));
        }
    }

    /// All mishaps are over.
    fn heal(&mut self) {
        for node in 0..NODES {
            self.happen(Happens::Join(node));
            self.happen(Happens::Start(node));
        }
    }

    fn is_settled(&self) -> Result<(), String> {
        let api = self.api.borrow();
        let Some(Versioned { value: agreed, .. }) = &api.now.snapshot.agreement else {
            return Err("nothing is agreed on".to_owned());
        };
        let held = api.now.snapshot.lease.as_ref().and_then(|lease| lease.value.holder.clone());
        let active = self.active();
        let is_settled = !agreed.is_under_way()
            && held.is_none()
            && !self.is_flux_held
            && !agreed.is_stopped
            && active.iter().all(|active| *active == Some(agreed.release.sequence.get()));
        if is_settled {
            Ok(())
        } else {
            Err(format!("{active:?}, held by {held:?}, Flux held: {}: {agreed:?}", self.is_flux_held))
        }
    }

    /// Lets everybody work in turn until all is well, and a person help where that is needed.
    fn settle(&mut self) {
        self.heal();
        for round in 1..400 {
            self.rounds(&[0, 1, 2], 1);
            if self.is_settled().is_ok() {
                return;
            }
            if round % ATTENTION_ROUNDS == 0 {
                self.attend();
            }
        }
        self.is_settled().expect("all is well in the end");
    }

    /// Everybody works for so many rounds.
    fn rounds(&mut self, nodes: &[usize], rounds: usize) {
        for _ in 0..rounds {
            for &node in nodes {
                self.happen(Happens::Step(node, Luck::Good));
                self.happen(Happens::Finish(node, End::Done));
            }
        }
    }

    /// Everybody works until this node has begun to switch, and the others have seen that.
    fn until_switching(&mut self, node: usize) {
        self.until(&[0, 1, 2], |at, work| at == node && matches!(work, Work::Switch { .. }));
        (0..NODES).filter(|other| *other != node).for_each(|other| self.rounds(&[other], 1));
    }

    /// These nodes work until one of them has begun work of a kind; gives back which one.
    fn until(&mut self, nodes: &[usize], is_wanted: impl Fn(usize, &Work) -> bool) -> usize {
        for _ in 0..100 {
            for &node in nodes {
                self.happen(Happens::Step(node, Luck::Good));
                if self.nodes[node].work.as_ref().is_some_and(|work| is_wanted(node, work)) {
                    return node;
                }
                self.happen(Happens::Finish(node, End::Done));
            }
        }
        panic!("{:?}", self.agreed());
    }

    fn active(&self) -> Vec<Option<u64>> {
        self.nodes.iter().map(|node| node.store.active).collect()
    }

    fn agreed(&self) -> Agreement {
        self.api.borrow().now.snapshot.agreement.clone().expect("something is agreed on").value
    }
}
