//! `history`: the audit log, for people.

use sealift_store::{Event, Record, Subject};

use super::Cli;
use super::output::{Lines, Output, instant, keys, size};
use crate::Error;

pub(super) fn history(cli: &Cli, output: Output) -> Result<(), Error> {
    let records = cli.store()?.audit()?;
    output.result(&records, || match records.as_slice() {
        [] => "Nothing has happened here yet\n".to_owned(),
        records => records.iter().map(describe).collect(),
    })
}

fn describe(record: &Record) -> String {
    let title = |what: String| Lines::title(format_args!("{}  {what}", instant(record.time)));
    let before = |from: &Option<Subject>| from.as_ref().map(Subject::name);
    let lines = match &record.event {
        Event::TrustPinned { source, version, fingerprint } => {
            title(format!("trust root version {version} was pinned"))
                .line("from", source)
                .fingerprint(fingerprint)
        }
        Event::TrustUpdated { source, version, fingerprint } => {
            title(format!("trust root version {version} came along"))
                .line("from", source)
                .fingerprint(fingerprint)
        }
        Event::ChannelSeen { channel, version, release, .. } => {
            title(format!("channel `{channel}` is at version {version}"))
                .line("current", format_args!("{} (sequence {})", release.version, release.sequence))
        }
        Event::Staged { release, source, keys: signers, trust_root } => {
            title(format!("{} was verified and staged", release.name()))
                .line("from", source)
                .line("signed by", format_args!("{} (trust root version {trust_root})", keys(signers)))
        }
        Event::Refused { source, code, reason } => {
            title("a source was refused".to_owned()).line("from", source).line(code, reason)
        }
        Event::Activated { release, from } => {
            title(format!("{} became active", release.name())).line_if("before", before(from))
        }
        Event::RolledBack { release, from } => {
            title(format!("{} became active by a rollback", release.name())).line_if("before", before(from))
        }
        Event::Collected { releases, imports, freed_bytes } => {
            let names = |subjects: &[Subject]| {
                let names: Vec<String> = subjects.iter().map(|subject| subject.name().to_string()).collect();
                (!names.is_empty()).then(|| names.join(", "))
            };
            title(format!("what nothing needs was removed: {}", size(*freed_bytes)))
                .line_if("releases", names(releases))
                .line_if("imports", names(imports))
        }
        Event::ActivationFailed { release, phase, reason, went_back } => {
            let end = if *went_back { "all was undone" } else { "it stopped there" };
            title(format!("activating {} failed", release.name()))
                .line("phase", phase)
                .line("reason", reason)
                .line("end", end)
        }
        Event::Failed { release, reason } => {
            title(format!("{} failed", release.name())).line("reason", reason)
        }
        other => title(format!("{other:?}")),
    };
    lines.end()
}
