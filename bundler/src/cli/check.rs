//! `check`: whether all images are there that the release's charts and folders name.

use sealift_fetch::{Meter, unless_interrupted};

use super::CheckArgs;
use super::bundle::run;
use super::output::{Lines, Output, count};
use crate::Error;
use crate::check::{self, Order, Report};
use crate::definition::Definition;
use crate::discover::Helm;
use crate::lock::Lock;

pub(super) fn check(output: Output, args: &CheckArgs) -> Result<(), Error> {
    let definition = Definition::read(&args.definition)?;
    let lock = Lock::read(&args.definition, &definition)?;
    let client = args.network.client()?;
    let helm = args.rendering.helm();
    let order = Order {
        client: &client,
        definition: &definition,
        file: &args.definition,
        lock: &lock,
        helm: helm.as_ref(),
    };
    // It reads little; this one is here for Ctrl-C.
    let meter = Meter::of_command("checking", 0, true)?;
    let checking = async { Ok(check::check(&order).await) };
    let report = run(unless_interrupted(&meter, checking))???;
    output.result(&report, || describe(&report, helm.as_ref()))?;
    let unclear = if args.allow_unclear { 0 } else { report.unclear.len() };
    match (report.missing.len(), unclear) {
        (0, 0) => Ok(()),
        (missing, unclear) => Err(Error::Incomplete { missing, unclear }),
    }
}

fn describe(report: &Report, helm: Option<&Helm>) -> String {
    let title = if report.is_complete() { "Complete" } else { "NOT COMPLETE" };
    let rendered = if helm.is_some() { "rendered by helm" } else { "read without helm" };
    let found = count(report.found, "image");
    let mut lines = Lines::title(&format!("{title}: charts and folders name {found} ({rendered})"));
    for missing in &report.missing {
        lines = lines.line("missing", &missing.reference);
        for place in &missing.places {
            lines = lines.line("", format!("  {place}"));
        }
    }
    for unclear in &report.unclear {
        lines = lines.line("unclear", format!("{}: {}", unclear.place, unclear.why));
    }
    for name in &report.unnamed {
        lines = lines.line("unnamed", format!("{name}  nothing names it"));
    }
    lines.text()
}
