//! `check`: whether all images are there that the release's charts and folders name, and none is too old.

use time::OffsetDateTime;

use serde_json::Value;

use sealift_archive::release::Day;
use sealift_fetch::{Meter, unless_interrupted};

use super::CheckArgs;
use super::bundle::run;
use super::output::{Lines, Output, count};
use crate::Error;
use crate::age::{Ages, Old};
use crate::check::{self, Order, Report};
use crate::definition::Definition;
use crate::discover::Helm;
use crate::lock::Lock;
use crate::overlay::{Drifts, Fault};

/// Changes and findings of an overlay that people are shown; JSON has all.
const CHANGES_SHOWN: usize = 50;
/// How much of a value is shown.
const VALUE_CHARACTERS: usize = 30;

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
    let today = Day(OffsetDateTime::now_utc().date());
    // It reads little; this one is here for Ctrl-C.
    let meter = Meter::of_command("checking", 0, true)?;
    let report = run(unless_interrupted(&meter, check::check(&order, today)))??;
    let unclear = if args.allow_unclear { 0 } else { report.unclear.len() };
    let missing = report.missing.len();
    let old = report.ages.iter().flat_map(Ages::refused).count();
    let incomplete = (missing + unclear > 0).then_some(Error::Incomplete { missing, unclear });
    let too_old = (old > 0).then_some(Error::TooOld { count: old });
    let drifted = report.overlays.iter().flat_map(Drifts::errors).map(Error::from);
    let refused: Vec<Error> = too_old.into_iter().chain(drifted).collect();
    let title = match &incomplete {
        Some(_) => "NOT COMPLETE",
        None if !refused.is_empty() => "REFUSED",
        None if report.is_complete() => "Complete",
        None => "Complete, as far as it is clear",
    };
    output.result(&report, || describe(title, &report, helm.as_ref()))?;
    Error::all(incomplete.into_iter().chain(refused).collect()).map_or(Ok(()), Err)
}

fn describe(title: &str, report: &Report, helm: Option<&Helm>) -> String {
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
    for old in report.ages.iter().flat_map(|ages| &ages.old) {
        let label = if old.waiver.is_some() { "waived" } else { "too old" };
        lines = lines.line(label, describe_age(old));
    }
    for idle in report.ages.iter().flat_map(|ages| &ages.idle) {
        lines = lines.line("waiver", format!("{}  until {}: nothing needs it", idle.name, idle.until));
    }
    for drift in report.overlays.iter().flat_map(|drifts| &drifts.overlays) {
        let keys = count(drift.changes.len(), "key");
        lines = lines.line("overlay", format!("{}  {keys} of at most {}", drift.overlay, drift.max_keys));
        for change in drift.changes.iter().take(CHANGES_SHOWN) {
            let mark = if change.is_listed { "" } else { "  NOT LISTED" };
            let [base, overlay] = [&change.base, &change.overlay].map(|value| clipped(&told(value.as_ref())));
            lines =
                lines.line("", format!("{}{mark}", change.key)).line("", format!("  {base} -> {overlay}"));
        }
        let hidden = drift.changes.len().saturating_sub(CHANGES_SHOWN);
        if hidden > 0 {
            lines = lines.line("", format!("and {hidden} more"));
        }
    }
    let findings = report.overlays.iter().flat_map(|drifts| &drifts.findings);
    for finding in findings.filter(|finding| finding.fault != Fault::NotListed).take(CHANGES_SHOWN) {
        lines = lines.line("refused", finding);
    }
    lines.text()
}

/// A value as JSON has it.
fn told(value: Option<&Value>) -> String {
    value.map_or_else(|| "not there".to_owned(), ToString::to_string)
}

/// As much as fits beside another on a line of a terminal.
fn clipped(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARACTERS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn describe_age(old: &Old) -> String {
    let age = match (old.built, old.days) {
        (Some(built), Some(days)) => format!("{days} days: built {built}"),
        _ => "it does not say when it was built".to_owned(),
    };
    let why = old.waiver.as_ref().map(|waiver| format!("; until {}: {}", waiver.until, waiver.reason));
    format!("{}  {age}{}", old.name, why.unwrap_or_default())
}
