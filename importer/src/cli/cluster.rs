//! `cluster`, and what `activate` and `rollback` are on a node of one.

mod told;
mod wish;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Subcommand;
use sealift_fetch::Interrupt;
use sealift_store::Writer;
use time::OffsetDateTime;

use self::told::Told;
pub(super) use self::wish::{activate, rollback};
use super::Cli;
use super::appliance::Appliance;
use super::output::Output;
use crate::Error;
use crate::activation::Engine;
use crate::cluster::{
    Board, Engines, Error as ClusterError, Failure, Hands, Kubernetes, Member, NodeHome, NodeName, Observer,
    Work,
};
use crate::config::activation::Activation;
use crate::config::{Cluster, Config};

/// How long it takes at most to notice that work has ended, or that somebody asks to stop.
const NOTICE_INTERVAL: Duration = Duration::from_millis(50);
/// How often it is looked whether a node that is to be removed says something.
const LISTEN_INTERVAL: Duration = Duration::from_secs(1);
/// How often the log tells of certificates that end soon.
const WARNING_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

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
        let home = NodeHome::open(store.clone(), self.cluster, &self.config.activation)?;
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
        let home = NodeHome::open(store.clone(), self.cluster, &self.config.activation)?;
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
        has_consent: bool,
        act: &mut dyn FnMut(&Engine<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let appliance = Appliance::new(self.cli, self.output, writer, config)?;
        act(&appliance.engine(has_consent))
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
        Work::FreeFlux { .. } | Work::ResumeFlux { .. } => "letting Flux go".to_owned(),
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
        thread::sleep(LISTEN_INTERVAL.min(cluster.times.beat));
        if board.read()?.report_version(name).is_some_and(|now| now != version) {
            return Err(ClusterError::NodeLives { name: name.clone() }.into());
        }
    }
    board.forget(name)?;
    output.result(&serde_json::json!({ "removed": name }), || format!("Node {name} is forgotten\n"))
}
