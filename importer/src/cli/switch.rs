//! `activate` and `rollback`.

use sealift_archive::{ReleaseName, Sequence};
use sealift_store::{Activation, Step, Store, Subject};

use super::output::{Lines, Output};
use super::{ActivateArgs, Cli, PlanArgs};
use crate::Error;

pub(super) fn activate(cli: &Cli, output: Output, args: &ActivateArgs) -> Result<(), Error> {
    if args.plan.plan {
        let store = cli.store()?;
        let plan = store.plan_activation(find(&store, &args.version)?)?;
        return output.result(&plan, || describe(&plan));
    }
    let writer = cli.writer(&format!("activate {}", args.version))?;
    let done = writer.activate(find(&writer, &args.version)?)?;
    output.result(&done, || conclude(&done))
}

pub(super) fn rollback(cli: &Cli, output: Output, args: &PlanArgs) -> Result<(), Error> {
    if args.plan {
        let plan = cli.store()?.plan_rollback()?;
        return output.result(&plan, || describe(&plan));
    }
    let done = cli.writer("rollback")?.roll_back()?;
    output.result(&done, || conclude(&done))
}

/// The release that a person means: by its version, or else by its sequence.
fn find(store: &Store, wanted: &str) -> Result<Sequence, Error> {
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

fn describe(plan: &Activation) -> String {
    let lines = heading(plan, "will be active", "is active already");
    plan.steps
        .iter()
        .fold(lines, |lines, step| match step {
            Step::Mark { sequence, state } => {
                lines.line("record", format_args!("sequence {sequence} is {state}"))
            }
            Step::Point { sequence } => lines.line("point", format_args!("current -> releases/{sequence}")),
            Step::Account => lines.line("record", "the switch, in the audit log"),
            _ => lines,
        })
        .end()
}

fn conclude(done: &Activation) -> String {
    heading(done, "is active", "is active already; nothing was to be done").end()
}

fn heading(activation: &Activation, changed: &str, unchanged: &str) -> Lines {
    let name = activation.to.name();
    if activation.steps.is_empty() {
        return Lines::title(format_args!("{name} {unchanged}"));
    }
    let before = activation.from.as_ref().filter(|from| **from != activation.to).map(Subject::name);
    Lines::title(format_args!("{name} {changed}")).line_if("before", before)
}
