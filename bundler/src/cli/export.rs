//! `export`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use sealift_archive::release::Inventory;
use sealift_archive::{Bundle, Release, ReleaseName};

use super::look::open;
use super::output::{Lines, Output, count, path};
use super::{ExportArgs, Format};
use crate::{Error, export, statement};

pub(super) fn export(output: Output, args: &ExportArgs) -> Result<(), Error> {
    let bundle = open(&args.bundle, args.trust.as_deref(), output)?;
    let releases = args.choice.of(&args.bundle, &bundle)?;
    match args.format {
        Format::OciLayout => oci_layout(output, args, &bundle, &releases),
        Format::Files => files(output, args, &bundle, &releases),
        Format::Statement => statements(output, args, &releases),
    }
}

#[derive(Serialize)]
struct ExportedLayout<'a> {
    layout: &'a Path,
    releases: Vec<ExportedRelease>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExportedRelease {
    name: ReleaseName,
    exported: Inventory,
    left_out: Inventory,
}

fn oci_layout(
    output: Output,
    args: &ExportArgs,
    bundle: &Bundle,
    releases: &[&Release],
) -> Result<(), Error> {
    let meter = output.meter("exporting", export::oci_layout_bytes(releases))?;
    export::oci_layout(bundle, releases, &args.output, &meter)?;
    meter.finish();
    let releases = releases.iter().map(|release| {
        let holds = Inventory::of(&release.refs);
        let left_out = Inventory {
            files: holds.files,
            git_repositories: holds.git_repositories,
            ..Inventory::default()
        };
        let exported = Inventory { files: 0, git_repositories: 0, ..holds };
        ExportedRelease { name: release.statement.name(), exported, left_out }
    });
    let exported = ExportedLayout { layout: &args.output, releases: releases.collect() };
    output.result(&exported, || describe(&exported))?;
    if exported.releases.iter().any(|release| release.left_out.files > 0) {
        output.remark("note: `--format files` exports the files, into a folder of their own")?;
    }
    Ok(())
}

fn describe(exported: &ExportedLayout<'_>) -> String {
    let mut lines = Lines::title(&format!("Exported to {}", path(exported.layout)));
    for release in &exported.releases {
        lines = lines.line("release", &release.name).line("exported", release.exported);
        if release.exported.attachments > 0 {
            lines = lines.line("", count(release.exported.attachments, "attachment"));
        }
        if release.left_out != Inventory::default() {
            lines = lines.line("left out", release.left_out);
        }
    }
    lines.text()
}

#[derive(Serialize)]
struct ExportedFiles<'a> {
    folder: &'a Path,
    files: Vec<PathBuf>,
}

fn files(output: Output, args: &ExportArgs, bundle: &Bundle, releases: &[&Release]) -> Result<(), Error> {
    let meter = output.meter("exporting", export::files_bytes(releases))?;
    let files = export::files(bundle, releases, &args.output, &meter)?;
    meter.finish();
    let exported = ExportedFiles { folder: &args.output, files };
    output.result(&exported, || {
        let number = count(exported.files.len(), "file");
        Lines::title(&format!("Exported {number} to {}", path(exported.folder))).text()
    })
}

#[derive(Serialize)]
struct ExportedStatements {
    statements: Vec<PathBuf>,
}

/// Writes each statement to a folder; if there are several, to one below it that is called by the sequence.
fn statements(output: Output, args: &ExportArgs, releases: &[&Release]) -> Result<(), Error> {
    let mut statements = Vec::new();
    for release in releases {
        let dir = match releases {
            [_] => args.output.clone(),
            _ => args.output.join(release.statement.sequence.to_string()),
        };
        if statement::is_in(&dir) {
            return Err(Error::Exists { path: dir });
        }
        statements.push(statement::write_signed(release, &dir)?);
    }
    let exported = ExportedStatements { statements };
    output.result(&exported, || {
        let lines = Lines::title(&format!("Exported to {}", path(&args.output)));
        exported.statements.iter().fold(lines, |lines, file| lines.line("statement", path(file))).text()
    })
}
