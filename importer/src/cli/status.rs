//! `status`: one screen.

use clap::Args;
use sealift_store::{Brings, Disk, LastTry, Offer, State};
use time::OffsetDateTime;

use super::Cli;
use super::output::{Output, cell, instant, size};
use super::screen::{Rank, Screen, wrapped};
use crate::Error;
use sealift_store::status::{Entry, Status, TrustStatus};

/// How many releases, problems and commands are shown before others make room for them.
const MAIN_RELEASES: usize = 4;
const MAIN_PROBLEMS: usize = 4;
const MAIN_COMMANDS: usize = 4;
/// How many lines of a problem are shown before others make room for them.
const PROBLEM_LINES: usize = 2;
/// Under `wrong: `.
const PROBLEM_INDENT: usize = 7;

#[derive(Debug, Args)]
#[command(after_help = "\
Fits one screen of 24 lines of 80 characters; where that is too little, `--all` shows the rest.")]
pub(super) struct StatusArgs {
    /// Everything, however long
    #[arg(long, conflicts_with = "short")]
    all: bool,
    /// Three lines at most: what runs, what is wrong, what to do
    #[arg(long)]
    short: bool,
}

pub(super) fn status(cli: &Cli, output: Output, args: &StatusArgs) -> Result<(), Error> {
    let mut status = Status::of(&cli.store()?)?;
    // Whoever wants to know how things stand is told so, even by a configuration that is wrong.
    status.problems.extend(match cli.config() {
        Ok(config) => config.expiring(OffsetDateTime::now_utc()),
        Err(error) => vec![error.to_string()],
    });
    output.result(&status, || {
        if args.short {
            return brief(&status).fitted();
        }
        let screen = describe(&status, args.all);
        if args.all { screen.whole() } else { screen.fitted() }
    })
}

/// What a console has room for.
fn brief(status: &Status) -> Screen {
    let mut screen = Screen::default();
    let next = status.releases.iter().find(|entry| entry.state == State::Staged);
    let next = next.map(|entry| format!("; {} is staged", entry.version)).unwrap_or_default();
    screen.add(Rank::Main, title(status) + &next);
    if let Some(problem) = status.problems.first() {
        let more = match status.problems.len() {
            1 => String::new(),
            number => format!("(1 of {number}) "),
        };
        screen.add(Rank::Main, format!("wrong: {more}{problem}"));
    }
    if let Some(command) = status.next.first() {
        screen.add(Rank::Command, format!("next: {command}"));
    }
    screen
}

fn describe(status: &Status, all: bool) -> Screen {
    let mut screen = Screen::default();
    screen.add(Rank::Main, title(status));
    if !status.releases.is_empty() {
        screen.add(Rank::Detail, "");
        screen.add(Rank::Main, row("SEQUENCE", "VERSION", "STATE", "SINCE", "CONTENT"));
        let mut main = 0;
        for entry in &status.releases {
            let rank =
                if main < MAIN_RELEASES && matters(status, entry) { Rank::Main } else { Rank::Further };
            main += usize::from(rank == Rank::Main);
            screen.add(rank, release(entry));
        }
        screen.add(Rank::Detail, "");
    }
    details(status, &mut screen);
    for (number, problem) in status.problems.iter().enumerate() {
        let rank = if number < MAIN_PROBLEMS { Rank::Main } else { Rank::Further };
        if all {
            screen.add(rank, format!("wrong: {problem}"));
            continue;
        }
        for (row, line) in wrapped(&format!("wrong: {problem}"), PROBLEM_INDENT).into_iter().enumerate() {
            screen.add(if row < PROBLEM_LINES { rank } else { Rank::Further }, line);
        }
    }
    for (number, command) in status.next.iter().enumerate() {
        let rank = if number < MAIN_COMMANDS { Rank::Command } else { Rank::Further };
        screen.add(rank, format!("next: {command}"));
    }
    screen
}

fn title(status: &Status) -> String {
    match &status.active {
        Some(active) => format!("{} is active", active.name()),
        None => "No release is active".to_owned(),
    }
}

/// Whether somebody may want to act on it: what runs, what can follow, and where a rollback leads.
fn matters(status: &Status, entry: &Entry) -> bool {
    let is_way_back = status.rollback.as_ref().is_some_and(|to| to.sequence == entry.sequence);
    is_way_back || matches!(entry.state, State::Active | State::Activating | State::Staged)
}

fn details(status: &Status, screen: &mut Screen) {
    let mut line = |rank: Rank, label: &str, value: Option<String>| {
        if let Some(value) = value {
            screen.add(rank, format!("  {label:<11} {value}"));
        }
    };
    if let Some(active) = &status.active {
        let entry = status.releases.iter().find(|entry| entry.sequence == active.sequence);
        line(Rank::Detail, "holds", entry.and_then(|entry| entry.holds).map(|holds| holds.to_string()));
        let back = status.rollback.as_ref().map_or("to nothing".to_owned(), |to| format!("to {}", to.name()));
        line(Rank::Main, "roll back", Some(back));
    }
    line(Rank::Detail, "floor", status.floor.map(|floor| format!("sequence {floor}")));
    let version = status.trust.as_ref().map_or("none is pinned".to_owned(), trust_version);
    line(Rank::Further, "trust root", Some(version));
    if let Some(trust) = &status.trust {
        let spelt = trust.fingerprint.spelt();
        let (first, second) = spelt.split_at(spelt.len() / 2);
        line(Rank::Detail, "fingerprint", Some(first.trim().to_owned()));
        line(Rank::Detail, "", Some(second.trim().to_owned()));
    }
    line(Rank::Main, "disk", Some(room(status.disk)));
    let collectable = status.collectable_bytes.filter(|&bytes| bytes > 0);
    line(Rank::Further, "gc", collectable.map(|bytes| format!("would free {}", size(bytes))));
    line(Rank::Detail, "store", Some(status.store.display().to_string()));
    line(Rank::Main, "busy", status.busy.as_ref().map(ToString::to_string));
    for offer in &status.offers {
        let brings = offer.brings.as_ref().filter(|_| offer.is_open());
        line(Rank::Main, "stick", brings.map(|brings| stick(offer, brings)));
    }
    line(Rank::Further, "online", status.online.as_ref().map(online));
}

fn release(entry: &Entry) -> String {
    row(
        &entry.sequence.to_string(),
        &cell(entry.version.as_str()),
        &entry.state.to_string(),
        &instant(entry.since),
        &size(entry.content_bytes),
    )
}

fn row(sequence: &str, version: &str, state: &str, since: &str, content: &str) -> String {
    format!("  {sequence:>8}  {version:<18}  {state:<10}  {since:<23}  {content:>10}")
}

fn trust_version(trust: &TrustStatus) -> String {
    if trust.version == trust.pinned_version {
        format!("version {}, pinned", trust.version)
    } else {
        format!("version {}, follows from version {}, which is pinned", trust.version, trust.pinned_version)
    }
}

fn online(last: &LastTry) -> String {
    format!("channel `{}` of {}, asked {}", last.channel, last.source, instant(last.time))
}

fn stick(offer: &Offer, Brings { release, .. }: &Brings) -> String {
    format!("{} offers {}; {}", offer.device, release.name(), offer.state)
}

fn room(disk: Disk) -> String {
    let used = disk.total_bytes.saturating_sub(disk.free_bytes);
    format!("{} free, {} used", size(disk.free_bytes), size(used))
}

#[cfg(test)]
mod tests {
    use sealift_archive::Digest;
    use sealift_archive::release::Inventory;
    use sealift_store::Subject;

    use super::*;

    /// A store that has seen much: releases from the newest down, of which one runs.
    fn crowded(releases: u64, problems: usize, commands: usize) -> Status {
        let entry = |sequence: u64| Entry {
            product: "acme-appliance".parse().unwrap(),
            version: format!("1.{sequence}.0-with-a-name-that-is-long").parse().unwrap(),
            sequence: sequence.try_into().unwrap(),
            digest: Digest::of(&sequence.to_le_bytes()),
            state: match sequence {
                _ if sequence == releases => State::Staged,
                _ if sequence + 1 == releases => State::Active,
                3 => State::Failed { reason: "gone".to_owned() },
                _ => State::Retained,
            },
            since: OffsetDateTime::UNIX_EPOCH,
            content_bytes: 12_345_678_901,
            holds: Some(Inventory { images: 40, charts: 12, ..Inventory::default() }),
            verified: None,
        };
        let subject = |sequence: u64| {
            let Entry { product, version, sequence, digest, .. } = entry(sequence);
            Subject { product, version, sequence, digest }
        };
        let trust = Digest::of(b"root");
        Status {
            store: "/var/lib/sealift".into(),
            active: Some(subject(releases - 1)),
            releases: (1..=releases).rev().map(entry).collect(),
            rollback: Some(subject(releases - 2)),
            floor: 2.try_into().ok(),
            trust: Some(TrustStatus { version: 4, fingerprint: trust, pinned_version: 1, pinned_fingerprint: trust }),
            disk: Disk { free_bytes: 1 << 30, total_bytes: 1 << 36 },
            collectable_bytes: Some(1 << 33),
            busy: None,
            activation: None,
            unfinished: Vec::new(),
            online: None,
            offers: Vec::new(),
            cluster: None,
            problems: (1..=problems)
                .map(|n| format!("{n}: the import of acme-appliance 1.9.0 (sequence 9) from `/media/stick/with/a/folder` is not finished, and this goes on for longer than anybody reads"))
                .collect(),
            next: (1..=commands).map(|n| format!("sealiftctl import /media/stick{n}")).collect(),
        }
    }

    #[test]
    fn however_much_there_is_it_is_one_screen() {
        insta::assert_snapshot!("calm", describe(&crowded(4, 0, 1), false).fitted());
        insta::assert_snapshot!("crowded", describe(&crowded(40, 12, 6), false).fitted());
        insta::assert_snapshot!("short", brief(&crowded(40, 12, 6)).fitted());
        for (releases, problems, commands) in [(3, 0, 0), (5, 3, 2), (40, 0, 0), (40, 40, 40), (3, 40, 1)] {
            let status = crowded(releases, problems, commands);
            let text = describe(&status, false).fitted();
            assert!(
                text.lines().count() <= 23 && text.lines().all(|line| line.chars().count() <= 80),
                "{text}"
            );
            for must in ["is active", "roll back   to", "  staged", "free"] {
                assert!(text.contains(must), "{must}: {text}");
            }
            let told = text.matches("wrong: ").count();
            assert!(told >= problems.min(MAIN_PROBLEMS), "{told} of {problems} problems: {text}");
            let all = describe(&status, true).whole();
            assert_eq!((all.matches("wrong: ").count(), all.matches("next: ").count()), (problems, commands));
            assert!(all.lines().count() as u64 >= releases && !all.contains("(more:"));
            assert!(brief(&status).fitted().lines().count() <= 3);
        }
    }
}
