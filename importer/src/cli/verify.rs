//! `verify`.

use std::path::Path;

use sealift_store::{Repairs, Trouble, Verdict};
use serde::Serialize;

use super::output::{Lines, Output, count, size};
use super::{Cli, VerifyArgs};
use crate::Error;

/// How many findings are listed for people; JSON has all.
const FINDINGS_SHOWN: usize = 20;

pub(super) fn verify(cli: &Cli, output: Output, args: &VerifyArgs) -> Result<(), Error> {
    let store = cli.store()?;
    let writer = args.repair.then(|| cli.writer("verify --repair")).transpose()?;
    let meter = cli.meter("checking", store.content_bytes()?)?;
    let verdict = store.verify(&meter)?;
    meter.finish();
    let repairs = writer.map(|writer| writer.repair(&verdict)).transpose()?;
    let checked = Checked { verdict: &verdict, repairs: repairs.as_ref() };
    output.result(&checked, || describe(store.root(), &checked))?;
    if verdict.is_whole() {
        return Ok(());
    }
    Err(Error::NotWhole {
        store: cli.store.clone(),
        findings: verdict.findings.len(),
        can_be_repaired: repairs.is_none()
            && verdict.findings.iter().any(|finding| matches!(finding.kind, Trouble::Changed | Trouble::Git)),
    })
}

/// What was found and, if that was asked for, mended.
#[derive(Serialize)]
struct Checked<'a> {
    #[serde(flatten)]
    verdict: &'a Verdict,
    repairs: Option<&'a Repairs>,
}

fn describe(store: &Path, checked: &Checked<'_>) -> String {
    let verdict = checked.verdict;
    let title =
        if verdict.is_whole() { "Good: the store is whole" } else { "DAMAGED: the store is not whole" };
    let unused = (verdict.unused_blobs > 0)
        .then(|| format!("{}, of an interrupted import", count(verdict.unused_blobs, "blob")));
    let mut lines = Lines::title(title)
        .line("releases", verdict.releases)
        .line("checked", format_args!("{} in {}", size(verdict.bytes), count(verdict.blobs, "blob")))
        .line_if("unused", unused);
    for finding in verdict.findings.iter().take(FINDINGS_SHOWN) {
        let path = finding.path.strip_prefix(store).unwrap_or(&finding.path);
        lines = lines.line("damage", path.display()).line("", &finding.what);
    }
    let hidden = verdict.findings.len().saturating_sub(FINDINGS_SHOWN);
    lines = lines.line_if("damage", (hidden > 0).then(|| format!("and {hidden} more")));
    let Some(repairs) = checked.repairs else { return lines.end() };
    let mirrors = repairs.mirrors.iter().map(|name| format!("the Git mirror `{name}` was made again"));
    let removed = (repairs.removed_blobs > 0)
        .then(|| format!("{} that had changed: removed", count(repairs.removed_blobs, "blob")));
    removed.into_iter().chain(mirrors).fold(lines, |lines, done| lines.line("repaired", done)).end()
}
