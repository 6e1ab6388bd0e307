//! `activate`, `rollback`, `resume`, and the helper of them that is root. An appliance that is configured as no node, and was one,
//! leaves its cluster with any of them.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use sealift_archive::{ReleaseName, Sequence};
use sealift_store::{Store, Subject, Writer};

use super::appliance::{Appliance, describe as phase};
use super::output::{Lines, Output};
use super::{ActivateArgs, Cli, RollbackArgs};
use crate::Error;
use crate::activation::{Direct, Plan, Switched, answer};
use crate::config::Config;

pub(super) fn activate(cli: &Cli, output: Output, args: &ActivateArgs) -> Result<(), Error> {
    let config = cli.config()?;
    if let Some(cluster) = &config.cluster {
        return super::cluster::activate(cli, output, &config, cluster, args);
    }
    if args.plan.plan {
        let store = cli.store()?;
        let plan = Plan::activation(&store, &config.activation, find(&store, &args.version)?)?;
        return output.result(&plan, || describe(&plan));
    }
    let writer = cli.writer(&format!("activate {}", args.version))?;
    leave_cluster(&config, &writer)?;
    let appliance = Appliance::new(cli, output, &writer, &config.activation)?;
    let done = appliance.engine(args.consent.yes).activate(&writer, find(&writer, &args.version)?)?;
    output.result(&done, || conclude(&done))
}

pub(super) fn rollback(cli: &Cli, output: Output, args: &RollbackArgs) -> Result<(), Error> {
    let config = cli.config()?;
    if let Some(cluster) = &config.cluster {
        return super::cluster::rollback(cli, output, &config, cluster, args);
    }
    let target = |store: &Store| args.version.as_ref().map(|version| find(store, version)).transpose();
    if args.plan.plan {
        let store = cli.store()?;
        let plan = Plan::rollback(&store, &config.activation, target(&store)?)?;
        return output.result(&plan, || describe(&plan));
    }
    let writer = cli.writer("rollback")?;
    leave_cluster(&config, &writer)?;
    let appliance = Appliance::new(cli, output, &writer, &config.activation)?;
    let done = appliance.engine(args.consent.yes).roll_back(&writer, target(&writer)?)?;
    output.result(&done, || conclude(&done))
}

/// On a node of a cluster, all may have gone back meanwhile. The daemon hears that first; it is started anew after an update,
/// which ends here as well.
pub(super) fn resume(cli: &Cli, output: Output, alone: bool) -> Result<(), Error> {
    let config = cli.config()?;
    let activation = match &config.cluster {
        Some(_) if !alone => {
            let none: [Switched; 0] = [];
            return output.result(&none, || "This node goes on when it has heard the others\n".to_owned());
        }
        Some(_) => config.activation.of_node(),
        None => config.activation.clone(),
    };
    let writer = cli.writer("resume")?;
    leave_cluster(&config, &writer)?;
    let appliance = Appliance::new(cli, output, &writer, &activation)?;
    let done = appliance.engine(false).resume(&writer)?;
    output.result(&done, || match done.as_slice() {
        [] => "No activation was interrupted\n".to_owned(),
        done => done.iter().map(conclude).collect(),
    })
}

/// Forgets the cluster of which this appliance is no node any more. Whether it is one, only a configuration says that is there: a new
/// system disk may still be without it.
pub(super) fn leave_cluster(config: &Config, writer: &Writer) -> Result<(), Error> {
    if config.is_written() && config.cluster.is_none() { Ok(writer.leave_cluster()?) } else { Ok(()) }
}

/// Answers the connection that systemd gives it as its standard input.
pub(super) fn host_helper(cli: &Cli) -> Result<(), Error> {
    let config = cli.config()?.activation;
    let store = cli.store()?;
    let stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    answer(stream, &store, &Direct::new(&store, &config))
}

/// The release that a person means: by its version, or else by its sequence.
pub(super) fn find(store: &Store, wanted: &str) -> Result<Sequence, Error> {
    let known: Vec<ReleaseName> = store.situation()?.releases.into_iter().map(|known| known.name).collect();
    let by_version: Vec<Sequence> =
        known.iter().filter(|name| name.version.as_str() == wanted).map(|name| name.sequence).collect();
    match by_version.as_slice() {
        [one] => return Ok(*one),
        [] => {}
        _ => return Err(Error::AmbiguousVersion { wanted: wanted.to_owned(), sequences: by_version }),
    }
    let by_sequence = known.iter().map(|name| name.sequence).find(|sequence| sequence.to_string() == wanted);
    by_sequence.ok_or_else(|| Error::NoSuchVersion { wanted: wanted.to_owned(), known })
}

pub(super) fn describe(plan: &Plan) -> String {
    let lines = heading(
        Some(&plan.to),
        plan.from.as_ref(),
        if plan.phases.is_empty() { "is active already" } else { "will be active" },
    );
    let lines = plan.warnings.iter().fold(lines, |lines, warning| lines.line("means", warning));
    let phases = plan.phases.iter().map(phase).enumerate();
    phases.fold(lines, |lines, (number, phase)| lines.line(&format!("{}", number + 1), phase)).end()
}

fn conclude(done: &Switched) -> String {
    let is_unchanged = done.phases.is_empty();
    let what = if is_unchanged { "is active already; nothing was to be done" } else { "is active" };
    heading(done.to.as_ref(), done.from.as_ref(), what).end()
}

fn heading(to: Option<&Subject>, from: Option<&Subject>, what: &str) -> Lines {
    let title = match to {
        Some(to) => format!("{} {what}", to.name()),
        None => "No release is active".to_owned(),
    };
    let before = from.filter(|from| Some(*from) != to).map(Subject::name);
    Lines::title(title).line_if("before", before)
}
