//! What a person asks all nodes for: `activate` and `rollback` on a node of a cluster.

use std::thread;
use std::time::Duration;

use sealift_archive::release::CurrentRelease;
use sealift_archive::{Class, Explain as _, ReleaseName};
use sealift_fetch::Interrupt;
use sealift_store::{Store, Subject};

use super::super::output::Output;
use super::super::{ActivateArgs, Cli, RollbackArgs, switch};
use super::told::Told;
use crate::Error;
use crate::activation::{self, Plan};
use crate::cluster::{Agreement, Board, Error as ClusterError, Kubernetes, Phase, Snapshot};
use crate::config::activation::Activation;
use crate::config::{Cluster, Config};

/// How often a person who waits is told of what is new.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// `activate`: the release that all nodes are to have.
pub(in super::super) fn activate(
    cli: &Cli,
    output: Output,
    config: &Config,
    cluster: &Cluster,
    args: &ActivateArgs,
) -> Result<(), Error> {
    let person = Person { output, config, cluster, store: &cli.store()? };
    let sequence = switch::find(person.store, &args.version)?;
    let has_consent = args.consent.yes;
    // What is not at its end, and the way out of a way back, need no plan of this node: its own journal would be in the way.
    if !args.plan.plan
        && let Some(agreed) = open_run(&read(cluster)?)
        && let Some(wanted) = agreed.leads_to(&person.store.release(sequence)?.digest())
    {
        return person.ask(wanted, None, has_consent);
    }
    let plan = Plan::activation(person.store, &config.activation, sequence)?;
    if args.plan.plan { person.show(&plan) } else { person.ask_as_planned(&plan, has_consent) }
}

/// `rollback`: the release before, on all nodes; or what is not at its end is given up.
pub(in super::super) fn rollback(
    cli: &Cli,
    output: Output,
    config: &Config,
    cluster: &Cluster,
    args: &RollbackArgs,
) -> Result<(), Error> {
    let person = Person { output, config, cluster, store: &cli.store()? };
    let target = args.version.as_ref().map(|version| switch::find(person.store, version)).transpose()?;
    let has_consent = args.consent.yes;
    let agreed = if args.plan.plan { None } else { open_run(&read(cluster)?) };
    if target.is_none() && agreed.as_ref().is_some_and(|agreed| agreed.taken_back().is_some()) {
        return take_back(output, cluster);
    }
    // A way back that is under way is waited for; any other run is turned round.
    if let Some(agreed) = agreed
        && let Some(wanted) = if agreed.is_return { Some(&agreed.release) } else { agreed.from.as_ref() }
        && target.is_none_or(|target| target == wanted.sequence)
    {
        let is_known = agreed.is_return && agreed.is_asked_for;
        // As long as releases are only fetched, nothing is lost; without consent, nothing can be.
        let is_harmless = agreed.is_harmless();
        if !is_known && !is_harmless {
            person.expect_consent(wanted, has_consent)?;
        }
        return person.ask(wanted, None, has_consent || !is_harmless);
    }
    let plan = Plan::rollback(person.store, &config.activation, target)?;
    if args.plan.plan { person.show(&plan) } else { person.ask_as_planned(&plan, has_consent) }
}

/// Ends a first run, before which nothing was agreed on.
fn take_back(output: Output, cluster: &Cluster) -> Result<(), Error> {
    let board = open(cluster)?;
    let agreed = board.read()?.agreement.ok_or(ClusterError::Outdated)?;
    let ended = agreed.value.taken_back().ok_or(ClusterError::Outdated)?;
    board.write_agreement(Some(&agreed.version), &ended)?.ok_or(ClusterError::Outdated)?;
    let told = Told::of(board.read()?);
    output.result(&told, || told.describe())
}

fn open(cluster: &Cluster) -> Result<Kubernetes, Error> {
    Kubernetes::open(&cluster.kubeconfig, &cluster.namespace, &cluster.times)
}

fn read(cluster: &Cluster) -> Result<Snapshot, Error> {
    open(cluster)?.read()
}

/// The run that is not at its end, if one is not: it is under way, has stopped, or is a way back that some node does not follow
/// unasked.
fn open_run(snapshot: &Snapshot) -> Option<Agreement> {
    let agreed = snapshot.agreement.as_ref().map(|agreed| &agreed.value)?;
    let lacks_consent = snapshot.reports.values().any(|report| agreed.lacks_consent(&report.value));
    (agreed.is_under_way() || agreed.is_stopped || lacks_consent).then(|| agreed.clone())
}

/// What going back means for data, wherever the nodes are.
fn warnings(config: &Activation) -> Vec<String> {
    config.hooks.iter().filter_map(|hook| hook.rollback_warning.clone()).collect()
}

fn expect_consent(goal: ReleaseName, warnings: &[String], has_consent: bool) -> Result<(), Error> {
    if has_consent || warnings.is_empty() {
        return Ok(());
    }
    Err(activation::Error::NeedsConsent { goal: Box::new(goal), warnings: warnings.to_vec() }.into())
}

fn named(subject: &Subject) -> CurrentRelease {
    let (version, sequence, statement) = (subject.version.clone(), subject.sequence, subject.digest);
    CurrentRelease { version, sequence, statement }
}

/// Who asks all nodes for something, at one of them.
struct Person<'a> {
    output: Output,
    config: &'a Config,
    cluster: &'a Cluster,
    store: &'a Store,
}

impl Person<'_> {
    fn show(&self, plan: &Plan) -> Result<(), Error> {
        self.output.result(plan, || switch::describe(plan))
    }

    /// Asks for what was planned on this node, by whoever knows what that means for data.
    fn ask_as_planned(&self, plan: &Plan, has_consent: bool) -> Result<(), Error> {
        expect_consent(plan.to.name(), &plan.warnings, has_consent)?;
        let (wanted, from) = (named(&plan.to), plan.from.as_ref().map(named));
        let is_back = from.as_ref().is_some_and(|from| from.sequence > wanted.sequence);
        self.ask(&wanted, from, has_consent || is_back)
    }

    /// Writes down that this release is wanted, and waits until the nodes have it. `from` is active here; `has_consent` says that
    /// it is known what going back means for data.
    fn ask(
        &self,
        wanted: &CurrentRelease,
        from: Option<CurrentRelease>,
        has_consent: bool,
    ) -> Result<(), Error> {
        let board = open(self.cluster)?;
        let snapshot = board.read()?;
        let agreed = snapshot.agreement.as_ref().map(|agreed| &agreed.value);
        let mut next = if let Some(agreed) = agreed {
            agreed.asked_for(wanted, has_consent).ok_or_else(|| {
                let release = Box::new(agreed.release.clone());
                ClusterError::UnderWay { run: agreed.run, release }
            })?
        } else {
            Agreement { is_asked_for: has_consent, ..Agreement::first(wanted.clone(), from) }
        };
        // It may be no way back for this node, which is behind, and be one for all others.
        if agreed.is_some_and(|agreed| next.leads_back_unasked(agreed)) {
            self.expect_consent(wanted, has_consent)?;
            next.is_asked_for = true;
        }
        if agreed != Some(&next) {
            let seen = snapshot.agreement.as_ref().map(|agreed| agreed.version.as_str());
            if board.write_agreement(seen, &next)?.is_none() {
                return Err(ClusterError::Outdated.into());
            }
        }
        let told = self.watch(&board, &next, wanted)?;
        self.output.result(&told, || told.describe())
    }

    /// Whoever asks knows what going back means for data, wherever the nodes are.
    fn expect_consent(&self, wanted: &CurrentRelease, has_consent: bool) -> Result<(), Error> {
        let product = self.store.release(wanted.sequence)?.statement()?.product;
        let CurrentRelease { version, sequence, .. } = wanted.clone();
        let goal = ReleaseName { product, version, sequence };
        expect_consent(goal, &warnings(&self.config.activation), has_consent)
    }

    fn watch(&self, board: &Kubernetes, begun: &Agreement, wanted: &CurrentRelease) -> Result<Told, Error> {
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
                Some(agreed) if agreed.is_stopped || agreed.run > begun.run => {
                    return Err(unfulfilled(wanted, agreed, begun).into());
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

/// Why the run did not lead there. One that stopped before anything had changed for good is as one that was gone back on.
fn unfulfilled(wanted: &CurrentRelease, agreed: &Agreement, begun: &Agreement) -> ClusterError {
    let release = Box::new(wanted.clone());
    let reason = agreed.reason.clone().unwrap_or_else(|| "something else was asked for".to_owned());
    if agreed.run == begun.run && agreed.phase != Phase::GivingUp {
        ClusterError::Stopped { release, reason }
    } else {
        ClusterError::GaveUp { release, reason }
    }
}
