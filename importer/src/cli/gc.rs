//! `gc`: says what nothing needs any more, and why, then removes it.

use std::fmt::Display;

use sealift_archive::release::Day;
use sealift_store::{Collection, GiveUp, Item, Staying, Subject, Unfinished, What};
use time::OffsetDateTime;

use super::Cli;
use super::output::{Lines, Output, count, shorten, size};
use crate::Error;

/// Widths of the columns, in characters; with the last one, a row has 80.
const WHAT_WIDTH: usize = 34;
const WHY_WIDTH: usize = 31;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
What stays: the release that runs and the two that ran before it, one that is being activated,
where a rollback leads, and those that can follow; unfinished imports for two weeks after the last
try. It works on a disk without a free byte, and what runs is not touched.")]
pub(super) struct GcArgs {
    /// Give up all unfinished imports, whatever their age
    #[arg(long)]
    unfinished: bool,
    #[command(flatten)]
    plan: super::PlanArgs,
}

pub(super) fn gc(cli: &Cli, output: Output, args: &GcArgs) -> Result<(), Error> {
    let give_up = if args.unfinished { GiveUp::All } else { GiveUp::Expired };
    if args.plan.plan {
        let plan = cli.store()?.plan_collection(give_up)?;
        return output.result(&plan, || describe(&plan, "would be freed"));
    }
    let writer = cli.writer("gc")?;
    let collector = writer.collector(give_up)?;
    if collector.collection().is_empty() {
        return output.result(collector.collection(), || describe(collector.collection(), ""));
    }
    output.remark(&describe(collector.collection(), "to be freed"))?;
    let done = collector.collect()?;
    output.result(&done, || format!("Freed {}\n", size(done.freed_bytes)))
}

fn describe(plan: &Collection, verb: &str) -> String {
    let mut lines = Lines::title(match plan.items.len() {
        0 => "Nothing can be removed".to_owned(),
        _ => format!("{} {verb}, {} are free now", size(plan.freed_bytes), size(plan.disk.free_bytes)),
    });
    if !plan.items.is_empty() {
        lines = lines.text("").text(row("GOES", "WHY", "FREES"));
        for item in &plan.items {
            lines = lines.text(row(what(item), why(item), size(item.freed_bytes)));
        }
    }
    if !plan.stays.is_empty() || !plan.unfinished.is_empty() {
        lines = lines.text("").text(row("STAYS", "WHY", ""));
    }
    for Staying { release, why, .. } in &plan.stays {
        lines = lines.text(row(name(release), why, ""));
    }
    for import in &plan.unfinished {
        lines = lines.text(row(of_import(import), since("begun", import.since), ""));
    }
    lines.end()
}

fn row(what: impl Display, why: impl Display, frees: impl Display) -> String {
    let (what, why) = (shorten(&what.to_string(), WHAT_WIDTH), shorten(&why.to_string(), WHY_WIDTH));
    format!("  {what:<WHAT_WIDTH$}  {why:<WHY_WIDTH$} {frees:>10}").trim_end().to_owned()
}

fn what(item: &Item) -> String {
    match &item.what {
        What::Release { release: Some(release), .. } => name(release),
        What::Release { sequence, .. } => format!("sequence {sequence}"),
        What::Import { import: Some(import), .. } => of_import(import),
        What::Import { .. } => "an import".to_owned(),
        What::Beginnings { count: number } => format!("beginnings of {}", count(*number, "blob")),
        What::Content { blobs } => count(*blobs, "blob"),
        What::Repository { name, is_whole: true, .. } => format!("Git mirror {name}"),
        What::Repository { name, packs: 0, .. } => format!("refs of Git mirror {name}"),
        What::Repository { name, packs, .. } => format!("{} of Git mirror {name}", count(*packs, "pack")),
        _ => "something".to_owned(),
    }
}

fn why(item: &Item) -> String {
    match &item.what {
        What::Release { why, .. } => why.to_string(),
        What::Import { import: Some(import), is_expired: true } => {
            since("not gone on with since", import.since)
        }
        What::Import { .. } => "given up".to_owned(),
        What::Beginnings { .. } => "no import goes on with them".to_owned(),
        What::Content { .. } | What::Repository { .. } => "no release names it".to_owned(),
        _ => String::new(),
    }
}

fn name(release: &Subject) -> String {
    format!("{} {} (sequence {})", release.product, release.version, release.sequence)
}

fn of_import(import: &Unfinished) -> String {
    format!("import of {} {}", import.release.product, import.release.version)
}

fn since(what: &str, time: OffsetDateTime) -> String {
    format!("{what} {}", Day(time.date()))
}
