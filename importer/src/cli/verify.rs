//! `verify`.

use std::path::{Path, PathBuf};

use sealift_archive::Error as ArchiveError;
use sealift_archive::medium::Healed;
use sealift_store::{Finding, Repairs, Store, Trouble, Verdict, Writer};
use serde::Serialize;

use super::import::{open, source_name};
use super::output::{Lines, Output, count, size};
use super::repair::warn;
use super::{Cli, VerifyArgs};
use crate::Error;
use crate::import::{Mend, mend, plan_mend};
use crate::volumes::Search;

/// How many findings are listed for people; JSON has all.
const FINDINGS_SHOWN: usize = 20;

pub(super) fn verify(cli: &Cli, output: Output, args: &VerifyArgs) -> Result<(), Error> {
    let store = cli.store()?;
    let writer = args.repair.as_ref().map(|_| cli.writer("verify --repair")).transpose()?;
    let verdict = check(cli, &store)?;
    let repairs = writer.as_ref().map(|writer| writer.repair(&verdict)).transpose()?;
    let mut checked =
        Checked { verdict: &verdict, repairs: repairs.as_ref(), brought_back: None, left: None };
    let (left, healed);
    if let (Some(writer), Some(places @ [_, ..]), false) =
        (&writer, args.repair.as_deref(), verdict.is_whole())
    {
        (checked.brought_back, healed) = bring_back(cli, output, writer, places, &verdict)?;
        warn(output, &healed)?;
        // Said is only what was looked at.
        left = check(cli, &store)?;
        checked.left = Some(&left.findings);
    }
    output.result(&checked, || describe(store.root(), &checked))?;
    let left = checked.left.unwrap_or(&verdict.findings);
    if left.is_empty() {
        return Ok(());
    }
    Err(Error::NotWhole {
        store: cli.store.clone(),
        findings: left.len(),
        can_be_repaired: repairs.is_none()
            && left.iter().any(|finding| matches!(finding.kind, Trouble::Changed | Trouble::Git)),
    })
}

fn check(cli: &Cli, store: &Store) -> Result<Verdict, Error> {
    let meter = cli.meter("checking", store.content_bytes()?)?;
    let verdict = store.verify(&meter)?;
    meter.finish();
    Ok(verdict)
}

/// Fetches again what these places have of what is damaged or missing.
fn bring_back(
    cli: &Cli,
    output: Output,
    writer: &Writer,
    places: &[PathBuf],
    verdict: &Verdict,
) -> Result<(Option<Mend>, Healed), Error> {
    let mut search = Search::new(places.to_vec());
    let bundle = open(writer, &mut search, output)?;
    let plan = plan_mend(writer, &bundle, &source_name(places)?, verdict)?;
    search.keep(writer, &bundle, plan.releases.iter().map(|release| &release.digest))?;
    let meter = cli.meter("bringing back", plan.need.missing_bytes.saturating_sub(plan.need.begun_bytes))?;
    match mend(writer, &bundle, &plan, &meter) {
        Err(Error::Archive(missing @ ArchiveError::VolumesMissing { .. })) => {
            return Err(Error::FurtherVolumes { missing });
        }
        mended => mended?,
    }
    meter.finish();
    // With its packs back, a mirror can be made again.
    writer.repair(&Verdict::default())?;
    Ok((Some(plan), bundle.medium().healed()))
}

/// What was found and, if that was asked for, mended.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked<'a> {
    #[serde(flatten)]
    verdict: &'a Verdict,
    repairs: Option<&'a Repairs>,
    /// What came back from a source.
    #[serde(skip_serializing_if = "Option::is_none")]
    brought_back: Option<Mend>,
    /// What is still wrong after that.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<&'a [Finding]>,
}

fn describe(store: &Path, checked: &Checked<'_>) -> String {
    let verdict = checked.verdict;
    let title = match checked.left {
        _ if verdict.is_whole() => "Good: the store is whole",
        Some([]) => "Mended: the store was damaged, and is whole again",
        _ => "DAMAGED: the store is not whole",
    };
    let unused = (verdict.unused_blobs > 0)
        .then(|| format!("{}, of an interrupted import", count(verdict.unused_blobs, "blob")));
    let mut lines = Lines::title(title)
        .line("releases", verdict.releases)
        .line("checked", format_args!("{} in {}", size(verdict.bytes), count(verdict.blobs, "blob")))
        .line_if("unused", unused);
    let place =
        |finding: &Finding| finding.path.strip_prefix(store).unwrap_or(&finding.path).display().to_string();
    for finding in verdict.findings.iter().take(FINDINGS_SHOWN) {
        lines = lines.line("damage", place(finding)).line("", &finding.what);
    }
    let hidden = verdict.findings.len().saturating_sub(FINDINGS_SHOWN);
    lines = lines.line_if("damage", (hidden > 0).then(|| format!("and {hidden} more")));
    let Some(repairs) = checked.repairs else { return lines.end() };
    let mirrors = repairs.mirrors.iter().map(|name| format!("the Git mirror `{name}` was made again"));
    let removed = (repairs.removed_blobs > 0)
        .then(|| format!("{} that had changed: removed", count(repairs.removed_blobs, "blob")));
    let lines = removed.into_iter().chain(mirrors).fold(lines, |lines, done| lines.line("repaired", done));
    let Some(Mend { source, need, .. }) = &checked.brought_back else { return lines.end() };
    let brought =
        format!("{}, {} from {source}", count(need.missing_blobs, "blob"), size(need.missing_bytes));
    let lines = lines.line("repaired", format_args!("{brought}: brought back"));
    let left = checked.left.unwrap_or_default().iter().take(FINDINGS_SHOWN);
    left.fold(lines, |lines, finding| lines.line("still", place(finding)).line("", &finding.what)).end()
}
