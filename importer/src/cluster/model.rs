//! Three nodes with every mishap there is, in any order: crashes, partitions, writes whose answer is lost or that are lost
//! themselves, nodes that are held up between looking and acting, that lag behind, or are replaced by empty ones.
//!
//! What must never happen is asserted where it would happen; and when all mishaps are over, all has to end well.

mod cases;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use sealift_archive::Digest;
use sealift_archive::release::CurrentRelease;
use sealift_store::{NodeSeen, PeerAuthorities};
use time::OffsetDateTime;

use super::{
    Agreement, Board, Failure, Home, Lease, Member, NodeName, Phase, Report, Snapshot, Times, Versioned, Work,
};
use crate::Error;

const NODES: usize = 3;
const RELEASES: u64 = 4;
/// Between two things that happen.
const TICK: Duration = Duration::from_secs(1);

fn release(sequence: u64) -> CurrentRelease {
    let version = format!("1.{sequence}").parse().unwrap();
    let statement = Digest::of(sequence.to_string().as_bytes());
    CurrentRelease { version, sequence: sequence.try_into().unwrap(), statement }
}

fn name(node: usize) -> NodeName {
    format!("node-{node}").parse().unwrap()
}

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Luck {
    Good,
    /// It is done, and nobody hears of it.
    AnswerLost,
    /// It never arrives.
    Lost,
}

fn mishap() -> Error {
    std::io::Error::other("lost").into()
}

/// What Kubernetes keeps.
#[derive(Clone, Default)]
struct Written {
    edition: u64,
    snapshot: Snapshot,
    /// When each report was written.
    told: BTreeMap<NodeName, Duration>,
}

/// What must hold is looked at here.
#[derive(Default)]
struct Api {
    now: Written,
    /// Who coordinated in each term.
    leaders: BTreeMap<u64, NodeName>,
    /// The releases to which nodes were allowed to switch.
    allowed: BTreeSet<Digest>,
}

impl Api {
    fn edition(&mut self) -> String {
        self.now.edition += 1;
        self.now.edition.to_string()
    }

    fn agree(&mut self, agreed: Agreement) -> String {
        if agreed.phase != Phase::Staging {
            self.allowed.extend(agreed.served().chain([&agreed.release]).map(|release| release.statement));
        }
        let version = self.edition();
        self.now.snapshot.agreement = Some(Versioned { version: version.clone(), value: agreed });
        version
    }
}

/// The API as one node sees it at one moment, perhaps long ago.
struct Seen<'a> {
    api: &'a RefCell<Api>,
    node: NodeName,
    looked: Written,
    at: Duration,
    now: Duration,
    luck: Luck,
    is_cut: bool,
}

impl Seen<'_> {
    fn is_same<T>(current: Option<&Versioned<T>>, seen: Option<&str>) -> bool {
        current.map(|current| current.version.as_str()) == seen
    }

    fn write(&self, is_same: bool, write: impl FnOnce(&mut Api) -> String) -> Result<Option<String>, Error> {
        if self.is_cut || self.luck == Luck::Lost {
            return Err(mishap());
        }
        let version = is_same.then(|| write(&mut self.api.borrow_mut()));
        if self.luck == Luck::AnswerLost { Err(mishap()) } else { Ok(version) }
    }

    /// What the coordinator may write.
    fn expect_allowed(&self, before: Option<&Agreement>, after: &Agreement) {
        let mut api = self.api.borrow_mut();
        let leader = api.leaders.entry(after.term).or_insert_with(|| self.node.clone());
        assert_eq!(*leader, self.node, "two coordinators in term {}", after.term);
        let Some(before) = before else { return };
        if before.phase != Phase::Staging || after.phase != Phase::Activating {
            return;
        }
        assert_eq!(before.run, after.run);
        for (name, report) in &self.looked.snapshot.reports {
            let is_live = self.at.saturating_sub(self.looked.told[name]) < Times::default().live;
            let is_left = after.is_return && report.value.trouble_in(after.run).is_some();
            assert!(
                !is_live || is_left || report.value.has(&after.release),
                "{name} lives and has not {:?}",
                after.release
            );
        }
    }
}

impl Board for Seen<'_> {
    fn read(&self) -> Result<Snapshot, Error> {
        if self.is_cut { Err(mishap()) } else { Ok(self.looked.snapshot.clone()) }
    }

    fn write_lease(&self, seen: Option<&str>, lease: &Lease) -> Result<Option<String>, Error> {
        let is_same = Self::is_same(self.api.borrow().now.snapshot.lease.as_ref(), seen);
        self.write(is_same, |api| {
            let version = api.edition();
            api.now.snapshot.lease = Some(Versioned { version: version.clone(), value: lease.clone() });
            version
        })
    }

    fn write_agreement(&self, seen: Option<&str>, agreed: &Agreement) -> Result<Option<String>, Error> {
        let is_same = Self::is_same(self.api.borrow().now.snapshot.agreement.as_ref(), seen);
        if is_same && !self.is_cut && self.luck != Luck::Lost {
            let before = self.looked.snapshot.agreement.as_ref();
            self.expect_allowed(before.map(|before| &before.value), agreed);
        }
        self.write(is_same, |api| api.agree(agreed.clone()))
    }

    fn write_report(
        &self,
        name: &NodeName,
        seen: Option<&str>,
        report: &Report,
    ) -> Result<Option<String>, Error> {
        assert_eq!(*name, self.node, "each writes its own");
        let is_same = self.api.borrow().now.snapshot.report_version(name) == seen;
        self.write(is_same, |api| {
            api.now.snapshot.unreadable.remove(&name.object());
            let version = api.edition();
            api.now.told.insert(name.clone(), self.now);
            let written = Versioned { version: version.clone(), value: report.clone() };
            api.now.snapshot.reports.insert(name.clone(), written);
            version
        })
    }
}

/// A node's store.
#[derive(Clone, Default)]
struct Store {
    here: BTreeSet<u64>,
    active: Option<u64>,
    /// A switch has failed, and lies there in the middle.
    is_unsettled: bool,
    heard: RefCell<Option<Agreement>>,
    /// The disk is full.
    is_full: bool,
}

impl Home for Store {
    fn look(&self) -> Result<Report, Error> {
        Ok(Report {
            here: self.here.iter().map(|sequence| release(*sequence).statement).collect(),
            active: self.active.map(release),
            is_switching: false,
            is_unsettled: self.is_unsettled,
            trouble: None,
            waits: None,
            address: Some("https://here:5443".to_owned()),
            ca_crt: String::new(),
            seen: OffsetDateTime::UNIX_EPOCH,
        })
    }

    fn hear(
        &self,
        agreement: Option<&Agreement>,
        _: Vec<NodeSeen>,
        _: &PeerAuthorities,
    ) -> Result<(), Error> {
        if self.is_full {
            return Err(mishap());
        }
        *self.heard.borrow_mut() = agreement.cloned();
        Ok(())
    }
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
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Step(usize, Luck),
    /// Work comes to its end: 0 it is done, 1 it fails and may work later, else it cannot be done.
    Finish(usize, u8),
    Look(usize),
    Crash(usize),
    Start(usize),
    Cut(usize),
    Join(usize),
    Replace(usize),
    Import(usize, u64),
    Wish(usize, u64),
    Wait(u64),
}

fn happening() -> impl Strategy<Value = Happens> {
    let node = 0..NODES;
    let luck = prop_oneof![8 => Just(Luck::Good), 1 => Just(Luck::AnswerLost), 1 => Just(Luck::Lost)];
    prop_oneof![
        30 => (node.clone(), luck).prop_map(|(node, luck)| Happens::Step(node, luck)),
        12 => (node.clone(), prop_oneof![6 => Just(0_u8), 2 => Just(1), 1 => Just(2)])
            .prop_map(|(node, how)| Happens::Finish(node, how)),
        3 => node.clone().prop_map(Happens::Look),
        2 => node.clone().prop_map(Happens::Crash),
        4 => node.clone().prop_map(Happens::Start),
        1 => node.clone().prop_map(Happens::Cut),
        3 => node.clone().prop_map(Happens::Join),
        1 => node.clone().prop_map(Happens::Replace),
        3 => (node.clone(), 1..=RELEASES).prop_map(|(node, sequence)| Happens::Import(node, sequence)),
        4 => (node, 1..=RELEASES).prop_map(|(node, sequence)| Happens::Wish(node, sequence)),
        4 => (1..90_u64).prop_map(Happens::Wait),
    ]
}

impl World {
    /// A node on which release 1 runs, and two that are empty.
    fn new() -> Self {
        let mut nodes: Vec<Node> = (0..NODES).map(Node::new).collect();
        nodes[0].store = Store { here: [1].into(), active: Some(1), ..Store::default() };
        Self { clock: Duration::from_secs(1000), api: RefCell::default(), nodes }
    }

    /// The same, once all have taken what runs.
    fn settled() -> Self {
        let mut world = Self::new();
        world.settle();
        world
    }

    /// A release comes to a node, and a person there asks for it.
    fn ask(&mut self, node: usize, sequence: u64) {
        self.happen(Happens::Import(node, sequence));
        self.happen(Happens::Wish(node, sequence));
    }

    fn happen(&mut self, what: Happens) {
        self.clock += TICK;
        match what {
            Happens::Step(node, luck) => self.step(node, luck),
            Happens::Finish(node, how) => self.finish(node, how),
            Happens::Look(node) => {
                let looked = self.api.borrow().now.clone();
                let node = &mut self.nodes[node];
                if node.member.is_some() && !node.is_cut {
                    node.held_up.get_or_insert((looked, self.clock));
                }
            }
            Happens::Crash(node) => {
                let node = &mut self.nodes[node];
                (node.member, node.work, node.held_up) = (None, None, None);
            }
            Happens::Start(node) => {
                let node = &mut self.nodes[node];
                node.member.get_or_insert_with(|| Member::new(node.name.clone(), Times::default()));
            }
            Happens::Cut(node) => self.nodes[node].is_cut = true,
            Happens::Join(node) => self.nodes[node].is_cut = false,
            Happens::Replace(node) => {
                // Nobody sets up another machine within a minute.
                self.clock += Times::default().live;
                self.nodes[node] = Node::new(node);
            }
            Happens::Import(node, sequence) => {
                self.nodes[node].store.here.insert(sequence);
            }
            Happens::Wish(node, sequence) => self.wish(node, sequence),
            Happens::Wait(seconds) => self.clock += Duration::from_secs(seconds),
        }
    }

    fn step(&mut self, node: usize, luck: Luck) {
        let (clock, api) = (self.clock, &self.api);
        let node = &mut self.nodes[node];
        let Some(member) = &mut node.member else { return };
        let (looked, at) = node.held_up.take().unwrap_or_else(|| (api.borrow().now.clone(), clock));
        let board = Seen { api, node: node.name.clone(), looked, at, now: clock, luck, is_cut: node.is_cut };
        if let Ok(Some(work)) = member.step(at, &board, &node.store) {
            assert!(node.work.is_none(), "{work:?} is begun while {:?} is under way", node.work);
            node.work = Some(work);
        }
    }

    fn finish(&mut self, at: usize, how: u8) {
        let Some(work) = self.nodes[at].work.take() else { return };
        let outcome = match how {
            0 => self.succeed(at, &work),
            1 => Err(Failure::Passing("later".to_owned())),
            _ => Err(Failure::Trouble("no".to_owned())),
        };
        let node = &mut self.nodes[at];
        if matches!(work, Work::Switch { .. }) {
            node.store.is_unsettled = outcome.is_err();
        }
        let member = node.member.as_mut().expect("what works is up");
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
            Work::Switch { release, .. } => {
                let api = self.api.borrow();
                assert!(api.allowed.contains(&release.statement), "{release:?} was never agreed on");
                let store = &mut self.nodes[at].store;
                assert!(store.here.contains(&release.sequence.get()), "{release:?} is not here");
                store.active = Some(release.sequence.get());
            }
            Work::Check { release, .. } => {
                if !self.nodes[at].store.here.contains(&release.sequence.get()) {
                    return Err(Failure::Passing("it is not here".to_owned()));
                }
            }
            Work::HoldFlux { .. } | Work::FreeFlux { .. } => {}
        }
        Ok(())
    }

    /// A person on this node asks for a release that is here.
    fn wish(&mut self, node: usize, sequence: u64) {
        let mut api = self.api.borrow_mut();
        let agreed = api.now.snapshot.agreement.as_ref().map(|agreed| agreed.value.clone());
        let (Some(agreed), true) = (agreed, self.nodes[node].store.here.contains(&sequence)) else { return };
        let wanted = release(sequence);
        if let Some(next) = agreed.asked_for(&wanted).filter(|next| *next != agreed) {
            api.agree(next);
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
            && active.iter().all(|active| *active == Some(agreed.release.sequence.get()));
        if is_settled { Ok(()) } else { Err(format!("{active:?}, held by {held:?}: {agreed:?}")) }
    }

    /// Lets everybody work in turn until all is well.
    fn settle(&mut self) {
        self.heal();
        for _ in 0..400 {
            self.rounds(&[0, 1, 2], 1);
            if self.is_settled().is_ok() {
                return;
            }
        }
        self.is_settled().expect("all is well in the end");
    }

    /// Everybody works for so many rounds.
    fn rounds(&mut self, nodes: &[usize], rounds: usize) {
        for _ in 0..rounds {
            for &node in nodes {
                self.happen(Happens::Step(node, Luck::Good));
                self.happen(Happens::Finish(node, 0));
            }
        }
    }

    /// Everybody works until this node has begun to switch.
    fn until_switching(&mut self, node: usize) {
        let is_switching = |world: &Self| matches!(world.nodes[node].work, Some(Work::Switch { .. }));
        while !is_switching(self) {
            for other in 0..NODES {
                self.happen(Happens::Step(other, Luck::Good));
                if other != node || !is_switching(self) {
                    self.happen(Happens::Finish(other, 0));
                }
            }
        }
    }

    fn active(&self) -> Vec<Option<u64>> {
        self.nodes.iter().map(|node| node.store.active).collect()
    }

    fn agreed(&self) -> Agreement {
        self.api.borrow().now.snapshot.agreement.clone().expect("something is agreed on").value
    }
}
