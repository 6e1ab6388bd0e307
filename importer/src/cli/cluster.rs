//! `cluster`, and what `activate` and `rollback` are on a node of one.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Subcommand;
use sealift_archive::release::CurrentRelease;
use sealift_archive::{Class, Explain as _};
use sealift_fetch::Interrupt;
use sealift_store::{Subject, Writer};
use serde::Serialize;
use time::OffsetDateTime;

use super::appliance::Appliance;
use super::output::{Lines, Output};
use super::{ActivateArgs, Cli, RollbackArgs, switch};
use crate::Error;
use crate::activation::{self, Engine, Plan};
use crate::cluster::{
    Agreement, Board, Engines, Error as ClusterError, Failure, Hands, Kubernetes, Member, NodeHome, NodeName,
    Observer, Report, Snapshot, Work,
};
use crate::config::activation::Activation;
use crate::config::{Cluster, Config};

/// How long it takes at most to notice that work has ended, or that somebody asks to stop.
const NOTICE_INTERVAL: Duration = Duration::from_millis(50);
/// How often the log tells of certificates that end soon.
const WARNING_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a person who waits is told of what is new.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(super) enum ClusterCommand {
    /// Do this node's part, until it is asked to stop; run by sealift-cluster.service
    Run,
    /// Do one step of it
    Step,
    /// Show what the nodes agree on, and how each of them stands
    Status,
    /// Forget a node that is gone for good
    Remove {
        /// What it was called
        #[arg(value_name = "NODE")]
        name: NodeName,
        /// Who may remove it; the nodes themselves need not
        #[arg(long, value_name = "FILE")]
        kubeconfig: Option<PathBuf>,
    },
}

pub(super) fn cluster(cli: &Cli, output: Output, command: &ClusterCommand) -> Result<(), Error> {
    let config = cli.config()?;
    let cluster = config.cluster.as_ref().ok_or(ClusterError::NotConfigured)?;
    let kubeconfig = match command {
        ClusterCommand::Remove { kubeconfig: Some(kubeconfig), .. } => kubeconfig,
        _ => &cluster.kubeconfig,
    };
    let board = Kubernetes::open(kubeconfig, &cluster.namespace, &cluster.times)?;
    match command {
        ClusterCommand::Run => Node { cli, output, config: &config, cluster, board: &board }.run(),
        ClusterCommand::Step => Node { cli, output, config: &config, cluster, board: &board }.step(),
        ClusterCommand::Status => {
            let told = Told::of(board.read()?);
            output.result(&told, || told.describe())
        }
        ClusterCommand::Remove { name, .. } => remove(output, cluster, &board, name),
    }
}

/// This node, as it does its part.
struct Node<'a> {
    cli: &'a Cli,
    output: Output,
    config: &'a Config,
    cluster: &'a Cluster,
    board: &'a Kubernetes,
}

impl Node<'_> {
    fn run(&self) -> Result<(), Error> {
        let interrupt = Interrupt::on_signals()?;
        let store = self.cli.store()?;
        let home = NodeHome::open(store.clone(), self.cluster)?;
        let mut member = Member::new(self.cluster.node.clone(), self.cluster.times);
        let (begun, mut told, mut warned) = (Instant::now(), None, None);
        thread::scope(|scope| {
            let mut under_way: Option<(Work, thread::ScopedJoinHandle<'_, Result<(), Failure>>)> = None;
            while !interrupt.is_set() {
                if warned.is_none_or(|warned: Instant| warned.elapsed() >= WARNING_INTERVAL) {
                    self.warn()?;
                    warned = Some(Instant::now());
                }
                if let Some((work, handle)) = under_way.take_if(|(_, handle)| handle.is_finished()) {
                    let broken_off = |_| Err(Failure::Trouble("it was broken off by a panic".to_owned()));
                    let outcome = handle.join().unwrap_or_else(broken_off);
                    member.finish(begun.elapsed(), work, outcome);
                }
                let stepped = member.step(begun.elapsed(), self.board, &home);
                self.tell(&mut told, stepped.as_ref().err(), &member)?;
                if let Ok(Some(work)) = stepped {
                    self.output.remark(&format!("{}\n", describe(&work)))?;
                    let (store, interrupt, wanted) = (store.clone(), interrupt.clone(), work.clone());
                    let handle = scope.spawn(move || {
                        let hands = self.hands(&store, &interrupt);
                        hands.work(&wanted, self)
                    });
                    under_way = Some((work, handle));
                }
                let next = Instant::now() + self.cluster.times.step;
                let is_done = |under_way: &Option<(Work, thread::ScopedJoinHandle<'_, _>)>| {
                    under_way.as_ref().is_some_and(|(_, handle)| handle.is_finished())
                };
                while Instant::now() < next && !interrupt.is_set() && !is_done(&under_way) {
                    thread::sleep(NOTICE_INTERVAL);
                }
            }
            Ok(())
        })
    }

    /// Says which certificates are to be renewed.
    fn warn(&self) -> Result<(), Error> {
        let warnings = self.config.expiring(OffsetDateTime::now_utc());
        warnings.iter().try_for_each(|warning| self.output.remark(&format!("{warning}\n")))
    }

    fn step(&self) -> Result<(), Error> {
        let (interrupt, store) = (Interrupt::on_signals()?, self.cli.store()?);
        let home = NodeHome::open(store.clone(), self.cluster)?;
        let mut member = Member::new(self.cluster.node.clone(), self.cluster.times);
        let begun = Instant::now();
        let work = member.step(begun.elapsed(), self.board, &home)?;
        if let Some(work) = work {
            self.output.remark(&format!("{}\n", describe(&work)))?;
            let outcome = self.hands(&store, &interrupt).work(&work, self);
            member.finish(begun.elapsed(), work, outcome);
            self.tell(&mut None, None, &member)?;
        }
        Ok(())
    }

    fn hands<'s>(&'s self, store: &'s sealift_store::Store, interrupt: &'s Interrupt) -> Hands<'s> {
        Hands { store, activation: &self.config.activation, peers: &self.cluster.peers, interrupt }
    }

    /// Says what hinders it, once.
    fn tell(&self, told: &mut Option<String>, error: Option<&Error>, member: &Member) -> Result<(), Error> {
        let now = match error {
            Some(error) => Some(self.cli.describe(error)),
            None => member.hindrance().map(str::to_owned),
        };
        if *told != now {
            let line = now.as_deref().unwrap_or("all is well again");
            self.output.remark(&format!("{line}\n"))?;
            *told = now;
        }
        Ok(())
    }
}

impl Engines for Node<'_> {
    fn with_engine(
        &self,
        writer: &Writer,
        config: &Activation,
        act: &mut dyn FnMut(&Engine<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let appliance = Appliance::new(self.cli, self.output, writer, config)?;
        // Whoever asked for the way back was told what it means.
        act(&appliance.engine(true))
    }
}

fn describe(work: &Work) -> String {
    match work {
        Work::Stage { release, from, .. } => {
            let names: Vec<&str> = from.iter().map(|peer| peer.name.as_str()).collect();
            format!("fetching {} from {}", release.version, names.join(", "))
        }
        Work::Switch { release, .. } => format!("switching to {}", release.version),
        Work::HoldFlux { .. } => "holding Flux still".to_owned(),
        Work::FreeFlux { .. } => "letting Flux go".to_owned(),
        Work::Check { release, .. } => format!("waiting until all is well with {}", release.version),
    }
}

fn remove(output: Output, cluster: &Cluster, board: &Kubernetes, name: &NodeName) -> Result<(), Error> {
    let mut observer = Observer::default();
    let begun = Instant::now();
    let before = board.read()?;
    observer.observe(&before, begun.elapsed());
    let Some(version) = before.report_version(name) else {
        return Err(ClusterError::UnknownNode { name: name.clone() }.into());
    };
    // Whoever is there says so in this time.
    output.remark(&format!(
        "listening for {} s whether it says something\n",
        (cluster.times.beat * 2).as_secs()
    ))?;
    while begun.elapsed() < cluster.times.beat * 2 {
        thread::sleep(WATCH_INTERVAL.min(cluster.times.beat));
        if board.read()?.report_version(name).is_some_and(|now| now != version) {
            return Err(ClusterError::NodeLives { name: name.clone() }.into());
        }
    }
    board.forget(name)?;
    output.result(&serde_json::json!({ "removed": name }), || format!("Node {name} is forgotten\n"))
}

/// `activate` on a node of a cluster: the release that all nodes are to have.
pub(super) fn activate(
    cli: &Cli,
    output: Output,
    config: &Config,
    cluster: &Cluster,
    args: &ActivateArgs,
) -> Result<(), Error> {
    let store = cli.store()?;
    let sequence = switch::find(&store, &args.version)?;
    // What is under way, and the way out of a way back, need no plan of this node: its own journal would be in the way.
    if !args.plan.plan
        && let Some(agreed) = under_way(cluster)?
        && let Some(wanted) = agreed.leads_to(&store.release(sequence)?.digest())
    {
        return Request { output, cluster, wanted: wanted.clone(), from: None }.make();
    }
    let plan = Plan::activation(&store, &config.activation, sequence)?;
    if args.plan.plan {
        return output.result(&plan, || switch::describe(&plan));
    }
    expect_consent(&plan, args.consent.yes)?;
    Request { output, cluster, wanted: named(&plan.to), from: plan.from.as_ref().map(named) }.make()
}

/// `rollback` on a node of a cluster: the release before, on all nodes; or what is under way is given up.
pub(super) fn rollback(
    cli: &Cli,
    output: Output,
    config: &Config,
    cluster: &Cluster,
    args: &RollbackArgs,
) -> Result<(), Error> {
    let store = cli.store()?;
    let target = args.version.as_ref().map(|version| switch::find(&store, version)).transpose()?;
    let agreed = if args.plan.plan { None } else { under_way(cluster)? };
    if target.is_none() && agreed.as_ref().is_some_and(|agreed| agreed.taken_back().is_some()) {
        return take_back(output, cluster);
    }
    // A way back that is under way is waited for; any other run is turned round.
    if let Some(agreed) = agreed
        && let Some(wanted) = if agreed.is_return { Some(agreed.release) } else { agreed.from }
        && target.is_none_or(|target| target == wanted.sequence)
    {
        return Request { output, cluster, wanted, from: None }.make();
    }
    let plan = Plan::rollback(&store, &config.activation, target)?;
    if args.plan.plan {
        return output.result(&plan, || switch::describe(&plan));
    }
    expect_consent(&plan, args.consent.yes)?;
    Request { output, cluster, wanted: named(&plan.to), from: plan.from.as_ref().map(named) }.make()
}

/// Ends a first run, before which nothing was agreed on.
fn take_back(output: Output, cluster: &Cluster) -> Result<(), Error> {
    let board = Kubernetes::open(&cluster.kubeconfig, &cluster.namespace, &cluster.times)?;
    let agreed = board.read()?.agreement.ok_or(ClusterError::Outdated)?;
    let ended = agreed.value.taken_back().ok_or(ClusterError::Outdated)?;
    board.write_agreement(Some(&agreed.version), &ended)?.ok_or(ClusterError::Outdated)?;
    let told = Told::of(board.read()?);
    output.result(&told, || told.describe())
}

/// The run that is under way, if one is.
fn under_way(cluster: &Cluster) -> Result<Option<Agreement>, Error> {
    let board = Kubernetes::open(&cluster.kubeconfig, &cluster.namespace, &cluster.times)?;
    let agreed = board.read()?.agreement.map(|agreed| agreed.value);
    Ok(agreed.filter(Agreement::is_under_way))
}

fn expect_consent(plan: &Plan, has_consent: bool) -> Result<(), Error> {
    if has_consent || plan.warnings.is_empty() {
        return Ok(());
    }
    let (goal, warnings) = (Box::new(plan.to.name()), plan.warnings.clone());
    Err(activation::Error::NeedsConsent { goal, warnings }.into())
}

fn named(subject: &Subject) -> CurrentRelease {
    let (version, sequence, statement) = (subject.version.clone(), subject.sequence, subject.digest);
    CurrentRelease { version, sequence, statement }
}

/// What a person asks all nodes for.
struct Request<'a> {
    output: Output,
    cluster: &'a Cluster,
    wanted: CurrentRelease,
    /// What is active here.
    from: Option<CurrentRelease>,
}

impl Request<'_> {
    /// Writes it down, and waits until the nodes have done it.
    fn make(&self) -> Result<(), Error> {
        let Cluster { kubeconfig, namespace, times, .. } = self.cluster;
        let board = Kubernetes::open(kubeconfig, namespace, times)?;
        let snapshot = board.read()?;
        let agreed = snapshot.agreement.as_ref().map(|agreed| &agreed.value);
        let next = match agreed {
            Some(agreed) => agreed.asked_for(&self.wanted).ok_or_else(|| {
                let release = Box::new(agreed.release.clone());
                ClusterError::UnderWay { run: agreed.run, release }
            })?,
            None => Agreement::first(self.wanted.clone(), self.from.clone()),
        };
        if agreed != Some(&next) {
            let seen = snapshot.agreement.as_ref().map(|agreed| agreed.version.as_str());
            if board.write_agreement(seen, &next)?.is_none() {
                return Err(ClusterError::Outdated.into());
            }
        }
        let told = self.watch(&board, &next)?;
        self.output.result(&told, || told.describe())
    }

    fn watch(&self, board: &Kubernetes, begun: &Agreement) -> Result<Told, Error> {
        let (interrupt, mut said) = (Interrupt::on_signals()?, None);
        loop {
            let told = match board.read() {
                // It may be down while this node switches; the nodes go on by themselves.
                Err(error) if error.class() == Class::Unreachable && !interrupt.is_set() => {
                    thread::sleep(WATCH_INTERVAL);
                    continue;
                }
                snapshot => Told::of(snapshot?),
            };
            let agreed = told.agreement.as_ref().filter(|agreed| agreed.run >= begun.run);
            match agreed {
                Some(agreed) if agreed.run == begun.run && agreed.is_stalled() || agreed.run > begun.run => {
                    let reason =
                        agreed.reason.clone().unwrap_or_else(|| "something else was asked for".to_owned());
                    return Err(
                        ClusterError::GaveUp { release: Box::new(self.wanted.clone()), reason }.into()
                    );
                }
                Some(agreed) if !agreed.is_under_way() => return Ok(told),
                _ => {}
            }
            let news = agreed.map(|agreed| agreed.phase);
            if news != said {
                said = news;
                self.output.remark(&told.describe())?;
            }
            if interrupt.is_set() {
                return Err(sealift_archive::Error::Interrupted.into());
            }
            thread::sleep(WATCH_INTERVAL.min(self.cluster.times.step));
        }
    }
}

/// What the nodes have written down.
#[derive(Serialize)]
struct Told {
    agreement: Option<Agreement>,
    coordinator: Option<String>,
    nodes: Vec<NodeTold>,
    /// What else is written there and cannot be read.
    unreadable: Option<String>,
}

#[derive(Serialize)]
struct NodeTold {
    name: NodeName,
    /// Whether it runs what is agreed on.
    agrees: bool,
    #[serde(flatten)]
    report: Report,
}

impl Told {
    fn of(snapshot: Snapshot) -> Self {
        let unreadable = snapshot.obstacle();
        let agreement = snapshot.agreement.map(|agreed| agreed.value);
        let told = |(name, report): (NodeName, crate::cluster::Versioned<Report>)| {
            let report = report.value;
            let agrees = agreement.as_ref().is_some_and(|agreed| report.runs(&agreed.release));
            NodeTold { name, agrees, report }
        };
        let nodes = snapshot.reports.into_iter().map(told).collect();
        let coordinator = snapshot.lease.and_then(|lease| lease.value.holder);
        Self { agreement, coordinator, nodes, unreadable }
    }

    fn describe(&self) -> String {
        let lines = match &self.agreement {
            None => Lines::title("Nothing is agreed on"),
            Some(agreed) => {
                let CurrentRelease { version, sequence, .. } = &agreed.release;
                Lines::title(format_args!(
                    "{version} (sequence {sequence}) is {}, run {}",
                    agreed.phase, agreed.run
                ))
                .line_if("before", agreed.from.as_ref().map(|from| from.version.as_str()))
                .line_if("because", agreed.reason.as_ref())
            }
        };
        let lines = lines.line_if("led by", self.coordinator.as_ref());
        let lines = lines.line_if("passed over", self.unreadable.as_ref());
        self.nodes.iter().fold(lines, |lines, node| lines.line(node.name.as_str(), node.describe())).end()
    }
}

impl NodeTold {
    fn describe(&self) -> String {
        let active = match &self.report.active {
            Some(active) => format!("runs {}", active.version),
            None => "runs nothing".to_owned(),
        };
        let behind = match (self.agrees, self.report.is_unsettled) {
            (true, _) => "",
            (false, true) => ", in the middle of a switch",
            (false, false) => ", which is not what is agreed on",
        };
        let seen = super::output::instant(self.report.seen);
        let trouble = self.report.trouble.as_ref().map(|trouble| trouble.reason.as_str());
        let why = trouble.or(self.report.waits.as_deref()).map(|why| format!(": {why}")).unwrap_or_default();
        format!("{active}{behind}; seen {seen}{why}")
    }
}
