//! `parity` and `repair`, and what `verify` says about parity.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use sealift_archive::medium;
pub(super) use sealift_archive::parity::Plan;
use sealift_archive::parity::{Amount, Files, LostStretch, Mender, Repaired, RepairedFile, Survey};
use sealift_archive::{Bundle, Error as ArchiveError};

use super::look::verified;
use super::output::{Lines, Output, count, path, size};
use crate::Error;

/// How many lost stretches are listed for people; JSON has all.
const STRETCHES_SHOWN: usize = 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
With 10% any tenth of the archive can be lost; with a number any so many of its volumes.
The archive is verified first: parity of damage would keep the damage.

Examples:
  sealift parity out/acme-1.5.0.tar.zst --parity 10%
  sealift parity /media/stick -o /media/stick --parity 1    any one volume may be lost")]
pub(super) struct ParityArgs {
    /// The archive, any of its volumes, or the folder that they are in
    archive: PathBuf,
    /// How much: a part of the archive (`10%`), or how many of its volumes may be lost (`1`)
    #[arg(long, value_name = "AMOUNT", default_value = "10%")]
    parity: Amount,
    /// Folder for the parity files; without it, where the archive is
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The trust folder, or root.json in it; without it, the archive is believed about who made it
    #[arg(long, value_name = "TRUST")]
    trust: Option<PathBuf>,
    /// Say what would be made, and stop
    #[arg(long)]
    plan: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Whole copies of the files that are damaged or missing are written into DIR; nothing else is changed.
Of several copies of an archive each may have what the others lost: name all folders.

Examples:
  sealift repair /media/stick/acme-1.5.0.tar.zst --into repaired/ --trust trust/
  sealift repair /media/stick1 /media/stick2 --into repaired/")]
pub(super) struct RepairArgs {
    /// The archive, any of its volumes or parity files, or folders that they are in
    #[arg(required = true, value_name = "PLACE")]
    places: Vec<PathBuf>,
    /// Folder for the repaired files
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// The trust folder, or root.json in it; without it, the archive is believed about who made it
    #[arg(long, value_name = "TRUST")]
    trust: Option<PathBuf>,
    /// Look for damage, say what would be written, and stop
    #[arg(long)]
    plan: bool,
}

pub(super) fn parity(output: Output, args: &ParityArgs) -> Result<(), Error> {
    let files = Files::find(&args.archive)?;
    let folder = files.paths().next().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
    let plan = Plan::new(files, args.parity, args.output.as_deref().unwrap_or(&folder), None)?;
    if args.plan {
        return output.result(&plan, || describe(&plan).text());
    }
    // As it is, without what might mend it.
    let bundle = verified(medium::find(&[&args.archive])?.into(), args.trust.as_deref(), output)?;
    expect_whole(&bundle, &path(&args.archive), output)?;
    make(output, &plan)?;
    output.result(&plan, || {
        describe(&plan)
            .end(&format!("next: keep them with the archive; sealift verify {}", path(&args.archive)))
    })
}

/// Makes parity beside an archive that has just been written, if that is wanted; any of its files stands for all.
pub(super) fn make_for(
    output: Output,
    archive: &Path,
    amount: Option<Amount>,
) -> Result<Option<Plan>, Error> {
    let Some(amount) = amount else { return Ok(None) };
    let folder = archive.parent().unwrap_or(Path::new(""));
    let plan = Plan::new(Files::find(archive)?, amount, folder, None)?;
    make(output, &plan)?;
    Ok(Some(plan))
}

/// The parity files that are there now.
pub(super) fn list(lines: Lines, plan: Option<&Plan>) -> Lines {
    let files = plan.into_iter().flat_map(|plan| &plan.files);
    files.fold(lines, |lines, file| {
        lines.line("parity", format!("{}  {}", path(&file.path), size(file.bytes)))
    })
}

/// Makes parity files as planned.
fn make(output: Output, plan: &Plan) -> Result<(), Error> {
    if let Some(folder) = plan.files.first().and_then(|file| file.path.parent()) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        sealift_archive::durable::create_dir_all(folder)?;
    }
    let meter = output.meter("making parity", plan.work_bytes())?;
    plan.make(&meter)?;
    meter.finish();
    Ok(())
}

pub(super) fn describe(plan: &Plan) -> Lines {
    let title = format!("Parity for {}", size(plan.archive_bytes));
    let mut lines = Lines::title(&title);
    for file in &plan.files {
        lines = lines.line("file", format!("{}  {}", path(&file.path), size(file.bytes)));
    }
    let power = format!("{} of {} pieces of each group", plan.recovery, plan.group_pieces);
    lines.line(
        "can lose",
        format!("{power}; {} with {} a piece", count(plan.groups as usize, "group"), size(plan.piece_bytes)),
    )
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RepairPlan<'a> {
    files: &'a [RepairedFile],
    #[serde(flatten)]
    survey: &'a Survey,
}

pub(super) fn repair(output: Output, args: &RepairArgs) -> Result<(), Error> {
    let mut mender = Mender::required(&args.places)?;
    let meter = output.meter("looking for damage", mender.survey_bytes())?;
    let survey = mender.survey(&meter)?;
    meter.finish();
    let files = if survey.is_repairable() { mender.repairs(&args.into) } else { Vec::new() };
    if args.plan || files.is_empty() {
        output.result(&RepairPlan { files: &files, survey: &survey }, || describe_repair(&files, &survey))?;
        return Ok(mender.expect_repairable(&survey)?);
    }
    let meter = output.meter("repairing", mender.repair_bytes(&files))?;
    let written = mender.repair(&args.into, &meter)?;
    meter.finish();
    let medium = mender.repaired_medium(&written);
    // Its tables are not needed any more; what verifies needs memory of its own.
    drop(mender);
    let bundle = verified(medium, args.trust.as_deref(), output)?;
    expect_whole(&bundle, &named(&args.places), output)?;
    let repaired = written.keep()?;
    output.result(&repaired, || conclude(&repaired))
}

fn describe_repair(files: &[RepairedFile], survey: &Survey) -> String {
    let only_parity = files.is_empty() && survey.is_repairable() && !survey.parity_damages.is_empty();
    let title = match files {
        [] if only_parity => "The archive is whole, its parity is damaged",
        [] if survey.is_repairable() => "Good: nothing to repair",
        [] => "LOST",
        _ => "To be repaired",
    };
    let lines = findings(Lines::title(title), survey);
    let write = |file: &RepairedFile| format!("{}  {}", path(&file.path), size(file.bytes));
    let lines = files.iter().fold(lines, |lines, file| lines.line("write", write(file)));
    if only_parity {
        return lines.end(
            "next: make it again, in a new folder: sealift parity ARCHIVE --output DIR --trust ROOT.json",
        );
    }
    lines.text()
}

fn conclude(repaired: &Repaired) -> String {
    let mut lines = Lines::title("Repaired, and verified whole");
    for file in &repaired.files {
        let what = match file.pieces {
            0 => "taken from another copy".to_owned(),
            pieces => format!("{} made again", count(pieces, "piece")),
        };
        lines = lines.line("written", format!("{}  {}, {what}", path(&file.path), size(file.bytes)));
    }
    lines.end("next: copy them, with the files that were whole, to another medium; this one is going bad")
}

fn expect_whole(bundle: &Bundle, place: &str, output: Output) -> Result<(), Error> {
    let meter = output.meter("verifying", bundle.packing().length)?;
    let findings = bundle.check(&meter)?;
    meter.finish();
    findings.absent.expect_none(bundle)?;
    match findings.damages.len() {
        0 => Ok(()),
        count => Err(Error::Damaged { file: place.to_owned(), count }),
    }
}

/// What `verify` says about parity.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Examined {
    /// Why the parity that is there cannot be used.
    unusable: Option<String>,
    /// Whether everything that is lost can be made again.
    repairable: bool,
    #[serde(flatten)]
    survey: Survey,
}

/// Looks at the parity of an archive, and if something is wrong with that, at all of it through its parity. `None` if there is
/// no parity.
pub(super) fn examine(
    output: Output,
    mender: Result<Option<Mender>, ArchiveError>,
    is_whole: bool,
) -> Result<Option<Examined>, Error> {
    let mut mender = match mender {
        Ok(Some(mender)) => mender,
        Ok(None) => return Ok(None),
        Err(error @ ArchiveError::BadParity { .. }) => {
            let unusable = Some(error.to_string());
            return Ok(Some(Examined { unusable, repairable: false, survey: Survey::default() }));
        }
        Err(error) => return Err(error.into()),
    };
    let bytes = if is_whole { mender.parity_bytes() } else { mender.survey_bytes() };
    let meter = output.meter("checking parity", bytes)?;
    let survey = if is_whole { mender.survey_parity(&meter)? } else { mender.survey(&meter)? };
    meter.finish();
    Ok(Some(Examined { unusable: None, repairable: survey.is_repairable(), survey }))
}

/// What `verify` says of an archive that cannot even be opened, if parity knows more about it than `error`.
pub(super) fn examine_unopened(output: Output, places: &[PathBuf], error: ArchiveError) -> Result<(), Error> {
    if !matches!(error, ArchiveError::BeyondParity { .. }) {
        return Err(error.into());
    }
    let Some(examined) = examine(output, Mender::of_archive(places), false)? else {
        return Err(error.into());
    };
    output.result(&examined, || {
        examined.describe(places, Lines::title(&format!("DAMAGED: {}", named(places)))).text()
    })?;
    examined.verdict(places, false)?;
    // Parity that cannot be used says nothing about the archive.
    Err(error.into())
}

impl Examined {
    /// Whether nothing is wrong with the archive's files or with parity.
    pub(super) fn is_whole(&self) -> bool {
        self.unusable.is_none() && self.survey.is_whole()
    }

    pub(super) fn describe(&self, places: &[PathBuf], lines: Lines) -> Lines {
        if let Some(why) = &self.unusable {
            return lines.line("parity", why);
        }
        if self.is_whole() {
            return lines.line("parity", "whole");
        }
        let lines = findings(lines, &self.survey);
        let only_parity = self.survey.damages.is_empty() && self.survey.cut.is_empty();
        if self.repairable && !only_parity {
            return lines.line("repairable", format!("yes: sealift repair {} --into DIR", typed(places)));
        }
        lines
    }

    /// What parity says is to be done, as an error. Parity that cannot be used says nothing of an archive that is not whole.
    pub(super) fn verdict(self, places: &[PathBuf], archive_is_whole: bool) -> Result<(), Error> {
        let file = typed(places);
        let only_parity = self.survey.damages.is_empty() && self.survey.cut.is_empty();
        if self.is_whole() {
            Ok(())
        } else if self.unusable.is_some() {
            if archive_is_whole { Err(Error::Repairable { file, only_parity: true }) } else { Ok(()) }
        } else if self.repairable {
            Err(Error::Repairable { file, only_parity })
        } else {
            let beyond = Box::new(self.survey.beyond);
            Err(ArchiveError::BeyondParity { archive: file, beyond, missing: Vec::new() }.into())
        }
    }
}

fn findings(mut lines: Lines, survey: &Survey) -> Lines {
    let tell = |lost: &LostStretch| {
        if lost.is_missing {
            return format!("{} is missing", lost.file);
        }
        format!("{}, bytes {} to {} ({})", lost.file, lost.start, lost.end, count(lost.pieces, "piece"))
    };
    for (label, damages) in [("lost", &survey.damages), ("parity", &survey.parity_damages)] {
        let mut seen = HashSet::new();
        let told: Vec<String> = damages.iter().map(tell).filter(|text| seen.insert(text.clone())).collect();
        let damaged = if label == "parity" { "damaged: " } else { "" };
        for text in told.iter().take(STRETCHES_SHOWN) {
            lines = lines.line(label, format!("{damaged}{text}"));
        }
        if told.len() > STRETCHES_SHOWN {
            lines = lines.line(label, format!("and {} more", told.len() - STRETCHES_SHOWN));
        }
    }
    for cut in &survey.cut {
        lines =
            lines.line("length", format!("{} has {} bytes instead of {}", cut.file, cut.found, cut.expected));
    }
    if !survey.is_repairable() {
        lines = lines.line("repairable", format!("no: {}", survey.beyond));
    }
    lines
}

/// Places as one types them, one behind the other.
fn typed(places: &[PathBuf]) -> String {
    places.iter().map(|place| path(place)).collect::<Vec<_>>().join(" ")
}

/// Places in a message: the quotes around all of them stand there.
fn named(places: &[PathBuf]) -> String {
    places.iter().map(|place| path(place)).collect::<Vec<_>>().join("`, `")
}
