//! `history`: the audit log, for people.

use std::str::FromStr;

use clap::Args;
use sealift_store::{Fact, History, Record};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime};

use super::Cli;
use super::output::{Lines, Output, count, instant, size};
use crate::Error;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealiftctl history --since 7d             the last week
  sealiftctl history --since 2026-11-01
  sealiftctl history --json --since 2026-11-01T08:00:00Z")]
pub(super) struct HistoryArgs {
    /// Only what happened since then: a date, a time, or so long ago (`90m`, `12h`, `7d`), in UTC
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
}

pub(super) fn history(cli: &Cli, output: Output, args: &HistoryArgs) -> Result<(), Error> {
    let History { mut records, unreadable } = cli.store()?.history()?;
    if let Some(Since(since)) = args.since {
        records.retain(|record| record.time >= since);
    }
    if unreadable > 0 {
        let lines = count(unreadable, "line");
        output.remark(&format!(
            "note: {lines} of the audit log cannot be read, and {} left out\n",
            if unreadable == 1 { "is" } else { "are" }
        ))?;
    }
    output.result(&records, || match (records.as_slice(), args.since) {
        ([], None) => "Nothing has happened here yet\n".to_owned(),
        ([], Some(Since(since))) => format!("Nothing has happened here since {}\n", instant(since)),
        (records, _) => records.iter().map(describe).collect(),
    })
}

/// A point in time, as people write it.
#[derive(Clone, Copy, Debug)]
struct Since(OffsetDateTime);

impl FromStr for Since {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::before(OffsetDateTime::now_utc(), text)
            .ok_or("write a date (2026-11-01), a time (2026-11-01T08:00:00Z), or so long ago (90m, 12h, 7d)")
    }
}

impl Since {
    fn before(now: OffsetDateTime, text: &str) -> Option<Self> {
        if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
            return Some(Self(time));
        }
        if let Ok(date) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
            return Some(Self(date.midnight().assume_utc()));
        }
        let unit = text.chars().last()?;
        let number: u32 = text[..text.len() - unit.len_utf8()].parse().ok()?;
        let number = i64::from(number);
        let ago = match unit {
            'm' => Duration::minutes(number),
            'h' => Duration::hours(number),
            'd' => Duration::days(number),
            _ => return None,
        };
        now.checked_sub(ago).map(Self)
    }
}

fn describe(record: &Record) -> String {
    let told = record.told();
    let lines = Lines::title(format_args!("{}  {}", instant(record.time), told.title));
    let add = |lines: Lines, (label, fact)| match fact {
        Fact::Words(words) => lines.line(label, words),
        Fact::Bytes(bytes) => lines.line(label, size(bytes)),
        Fact::Fingerprint(digest) => lines.fingerprint(&digest),
    };
    told.facts.into_iter().fold(lines, add).end()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_time_is_a_date_a_time_or_so_long_ago() {
        let now = datetime!(2026-11-23 12:00 UTC);
        let cases = [
            ("2026-11-01", Some(datetime!(2026-11-01 0:00 UTC))),
            ("2026-11-01T08:00:00+01:00", Some(datetime!(2026-11-01 7:00 UTC))),
            ("90m", Some(datetime!(2026-11-23 10:30 UTC))),
            ("12h", Some(datetime!(2026-11-23 0:00 UTC))),
            ("7d", Some(datetime!(2026-11-16 12:00 UTC))),
            ("4294967295d", None),
            ("-1d", None),
            ("7", None),
            ("7 days", None),
            ("d", None),
            ("é", None),
            ("", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(Since::before(now, text).map(|since| since.0), wanted, "{text}");
        }
    }
}
