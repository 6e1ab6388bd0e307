//! `verify`.

use std::path::Path;

use sealift_store::{Trouble, Verdict};

use super::output::{Lines, Output, count, size};
use super::{Cli, VerifyArgs};
use crate::Error;

/// How many findings are listed for people; JSON has all.
const FINDINGS_SHOWN: usize = 20;

pub(super) fn verify(cli: &Cli, output: Output, args: &VerifyArgs) -> Result<(), Error> {
    let store = cli.store()?;
    let writer = args.discard_damaged.then(|| cli.writer("verify --discard-damaged")).transpose()?;
    let meter = cli.meter("checking", store.content_bytes()?)?;
    let verdict = store.verify(&meter)?;
    meter.finish();
    output.result(&verdict, || describe(store.root(), &verdict))?;
    if let Some(writer) = writer {
        let discarded = writer.discard(&verdict)?;
        output.remark(&format!("removed {} that had changed\n", count(discarded, "blob")))?;
    }
    if verdict.is_whole() {
        return Ok(());
    }
    Err(Error::NotWhole {
        store: cli.store.clone(),
        findings: verdict.findings.len(),
        has_changed_content: !args.discard_damaged
            && verdict.findings.iter().any(|finding| finding.kind == Trouble::Changed),
    })
}

fn describe(store: &Path, verdict: &Verdict) -> String {
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
    lines.line_if("damage", (hidden > 0).then(|| format!("and {hidden} more"))).end()
}
