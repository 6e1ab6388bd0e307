//! `repair`, and what an import says about a medium that is going bad.

use std::path::PathBuf;

use sealift_archive::Error as ArchiveError;
use sealift_archive::bundle::Unverified;
use sealift_archive::medium::Healed;
use sealift_archive::parity::{Mender, Repaired, RepairedFile, Survey};
use serde::Serialize;

use super::Cli;
use super::output::{Lines, Output, count, size};
use crate::Error;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Needs parity files, which the vendor makes. Whole copies of what is damaged or missing are written into DIR;
nothing else is changed. What was repaired is verified against the pinned trust root.
Of several copies of an archive each may have what the others lost: name all folders.

Example:
  sealiftctl repair /media/usb --into /var/tmp/repaired")]
pub(super) struct RepairArgs {
    /// The archive, any of its volumes or parity files, or folders that they are in
    #[arg(required = true, value_name = "PLACE")]
    places: Vec<PathBuf>,
    /// Folder for the repaired files
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// Look for damage, say what would be written, and stop
    #[arg(long)]
    plan: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Plan<'a> {
    files: &'a [RepairedFile],
    #[serde(flatten)]
    survey: &'a Survey,
}

pub(super) fn repair(cli: &Cli, output: Output, args: &RepairArgs) -> Result<(), Error> {
    // Whoever trusts nobody yet learns it before anything is read.
    let trusted = cli.store()?.trust()?;
    let mut mender = Mender::required(&args.places)?;
    let meter = cli.meter("looking for damage", mender.survey_bytes())?;
    let survey = mender.survey(&meter)?;
    meter.finish();
    let files = if survey.is_repairable() { mender.repairs(&args.into) } else { Vec::new() };
    if args.plan || files.is_empty() {
        output.result(&Plan { files: &files, survey: &survey }, || describe(&files, &survey))?;
        return Ok(mender.expect_repairable(&survey)?);
    }
    let meter = cli.meter("repairing", mender.repair_bytes(&files))?;
    let written = mender.repair(&args.into, &meter)?;
    meter.finish();
    let bundle = Unverified::on(mender.repaired_medium(&written))?.verify(trusted)?;
    let meter = cli.meter("verifying", bundle.packing().length)?;
    let findings = bundle.check(&meter)?;
    meter.finish();
    findings.absent.expect_none(&bundle)?;
    if let Some(damage) = findings.damages.into_iter().next() {
        let part = format!("frame {}", damage.frame);
        return Err(
            ArchiveError::Damaged { file: damage.file, part, start: damage.start, end: damage.end }.into()
        );
    }
    let repaired = written.keep()?;
    output.result(&repaired, || conclude(&repaired, mender.files(), args))
}

fn describe(files: &[RepairedFile], survey: &Survey) -> String {
    let only_parity = files.is_empty() && survey.is_repairable() && !survey.parity_damages.is_empty();
    let title = match files {
        [] if only_parity => {
            "The archive is whole, its parity is damaged: the vendor makes it again (`sealift parity`)"
        }
        [] if survey.is_repairable() => "Good: nothing to repair",
        [] => "LOST",
        _ => "To be repaired",
    };
    let lost = format!("{}, {}", count(survey.pieces, "piece"), size(survey.bytes));
    let lines = Lines::title(title).line("lost", lost);
    let beyond = (!survey.is_repairable()).then_some(&survey.beyond);
    let lines = lines.line_if("for good", beyond);
    let write = |file: &RepairedFile| format!("{}  {}", file.path.display(), size(file.bytes));
    files.iter().fold(lines, |lines, file| lines.line("write", write(file))).end()
}

fn conclude(repaired: &Repaired, files: usize, args: &RepairArgs) -> String {
    let lines = Lines::title("Repaired, and verified whole");
    let written = |file: &RepairedFile| {
        let what = match file.pieces {
            0 => "taken from another copy".to_owned(),
            pieces => format!("{} made again", count(pieces, "piece")),
        };
        format!("{}  {}, {what}", file.path.display(), size(file.bytes))
    };
    let lines = repaired.files.iter().fold(lines, |lines, file| lines.line("written", written(file)));
    // Volumes that were whole are where they were.
    let others = if repaired.files.len() < files { args.places.as_slice() } else { &[] };
    let places = std::iter::once(&args.into).chain(others).map(|place| place.display().to_string());
    lines.next(&[format!("sealiftctl import {}", places.collect::<Vec<_>>().join(" "))])
}

/// What was done, and what the medium could not give and parity could.
#[derive(Debug, Serialize)]
pub(super) struct WithHealed<'a, T> {
    #[serde(flatten)]
    pub(super) done: &'a T,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) healed: Option<&'a Healed>,
}

impl<'a, T> WithHealed<'a, T> {
    pub(super) fn new(done: &'a T, healed: &'a Healed) -> Self {
        Self { done, healed: (healed.pieces > 0).then_some(healed) }
    }
}

/// Warns of a medium that is going bad.
pub(super) fn warn(output: Output, healed: &Healed) -> Result<(), Error> {
    if healed.pieces == 0 {
        return Ok(());
    }
    let files: Vec<String> = healed.files.iter().map(|file| format!("`{file}`")).collect();
    output.remark(&format!(
        "note: {} ({}) of {} could not be read as written and came back from parity.\n\
         This medium is going bad: `sealiftctl repair` writes a whole copy.\n",
        count(healed.pieces, "piece"),
        size(healed.bytes),
        files.join(", ")
    ))
}
