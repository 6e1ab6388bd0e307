//! `status`: one screen.

use sealift_store::{Disk, LastTry};

use super::Cli;
use super::output::{Lines, Output, cell, instant, size};
use crate::Error;
use crate::status::{Entry, Status, TrustStatus};

pub(super) fn status(cli: &Cli, output: Output) -> Result<(), Error> {
    let status = Status::of(&cli.store()?)?;
    output.result(&status, || describe(&status))
}

fn describe(status: &Status) -> String {
    let title = match &status.active {
        Some(active) => format!("{} is active", active.name()),
        None => "No release is active".to_owned(),
    };
    let mut lines = Lines::title(title);
    if !status.releases.is_empty() {
        lines = lines
            .text("")
            .text(row("SEQUENCE", "VERSION", "STATE", "SINCE", "CONTENT"))
            .text(table(&status.releases))
            .text("");
    }
    if let Some(active) = &status.active {
        let entry = status.releases.iter().find(|entry| entry.sequence == active.sequence);
        lines = lines.line_if("holds", entry.and_then(|entry| entry.holds));
        let back = status.rollback.as_ref().map_or("to nothing".to_owned(), |to| format!("to {}", to.name()));
        lines = lines.line("roll back", back);
    }
    lines = lines.line_if("floor", status.floor.map(|floor| format!("sequence {floor}")));
    lines = match &status.trust {
        Some(trust) => describe_trust(lines, trust),
        None => lines.line("trust root", "none is pinned"),
    };
    let collectable = status.collectable_bytes.filter(|&bytes| bytes > 0);
    lines = lines
        .line("disk", describe_disk(status.disk))
        .line_if("gc", collectable.map(|bytes| format!("would free {}", size(bytes))))
        .line("store", status.store.display());
    lines = lines.line_if("busy", status.busy.as_ref());
    lines = lines.line_if("online", status.online.as_ref().map(describe_online));
    for problem in &status.problems {
        lines = lines.text(format_args!("wrong: {problem}"));
    }
    lines.next(&status.next)
}

fn table(entries: &[Entry]) -> String {
    let rows = entries.iter().map(|entry| {
        row(
            &entry.sequence.to_string(),
            &cell(entry.version.as_str()),
            &entry.state.to_string(),
            &instant(entry.since),
            &size(entry.content_bytes),
        )
    });
    rows.collect::<Vec<_>>().join("\n")
}

fn row(sequence: &str, version: &str, state: &str, since: &str, content: &str) -> String {
    format!("  {sequence:>8}  {version:<18}  {state:<10}  {since:<23}  {content:>10}")
}

fn describe_trust(lines: Lines, trust: &TrustStatus) -> Lines {
    let version = if trust.version == trust.pinned_version {
        format!("version {}, pinned", trust.version)
    } else {
        format!("version {}, follows from version {}, which is pinned", trust.version, trust.pinned_version)
    };
    lines.line("trust root", version).fingerprint(&trust.fingerprint)
}

fn describe_online(last: &LastTry) -> String {
    format!("channel `{}` of {}, asked {}", last.channel, last.source, instant(last.time))
}

fn describe_disk(disk: Disk) -> String {
    let used = disk.total_bytes.saturating_sub(disk.free_bytes);
    format!("{} free, {} used", size(disk.free_bytes), size(used))
}
