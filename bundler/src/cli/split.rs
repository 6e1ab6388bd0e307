//! `split` and `join`.

use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use sealift_archive::parity::Amount;
pub(super) use sealift_archive::split::Done;
use sealift_archive::split::{self, Plan, Planned};
use sealift_archive::{Bundle, Source as _, durable, making};
use serde::Serialize;

use super::look::open_all;
use super::output::{Lines, Output, count, path, size};
use super::parity;
use super::{JoinArgs, SplitArgs};
use crate::{Error, bundle};

/// Numbers of volumes, as they are typed: `2`, `2-4`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbers(RangeInclusive<u32>);

impl FromStr for Numbers {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(Self(first..=last)),
            _ => Err("write one number, or the first and the last: `2`, `2-4`"),
        }
    }
}

pub(super) fn split(output: Output, args: &SplitArgs) -> Result<(), Error> {
    let bundle = open_all(&args.bundle, args.trust.as_deref(), output)?;
    let only = args.only.as_ref().map(|numbers| numbers.0.clone());
    let name = split::name_of(&bundle);
    let order = split::Order { dir: &args.output, name: &name, size: args.volume_size, only };
    let planned = split::plan_split(&bundle, &order)?;
    if args.plan {
        return output.result(&planned.plan, || describe(&planned.plan));
    }
    let done = execute(output, "splitting", planned)?;
    let title = format!("Split {}", bundle.name());
    protect(output, done, args.parity, &title, &args.output)
}

/// Makes parity for volumes, if that is wanted, and tells what was done.
fn protect(
    output: Output,
    done: Done,
    amount: Option<Amount>,
    title: &str,
    place: &Path,
) -> Result<(), Error> {
    let first = done.files.first().map_or(place, |file| &file.path);
    let parity = parity::make_for(output, first, amount)?;
    let protected = Protected { done, parity };
    output.result(&protected, || {
        let lines = list(Lines::title(title), &protected.done);
        let lines = parity::list(lines, protected.parity.as_ref());
        end(lines, &protected.done, place)
    })
}

/// Volumes and their parity.
#[derive(Serialize)]
struct Protected {
    #[serde(flatten)]
    done: Done,
    #[serde(skip_serializing_if = "Option::is_none")]
    parity: Option<parity::Plan>,
}

pub(super) fn join(output: Output, args: &JoinArgs) -> Result<(), Error> {
    let bundle = open_all(&args.volumes, args.trust.as_deref(), output)?;
    let target = if durable::is_folder(&args.output) {
        args.output.join(format!("{}.tar.zst", split::name_of(&bundle)))
    } else {
        args.output.clone()
    };
    let planned = split::plan_join(&bundle, &target)?;
    if args.plan {
        return output.result(&planned.plan, || describe(&planned.plan));
    }
    let done = execute(output, "joining", planned)?;
    output.result(&done, || conclude(&format!("Joined {}", bundle.name()), &done, &target))
}

/// Goes on where a bundle was packed and not yet cut.
pub(super) fn resume(
    output: Output,
    packed: &Bundle,
    size: split::VolumeSize,
    parity: Option<Amount>,
) -> Result<(), Error> {
    let done = replace(output, packed, size)?;
    let place = Path::new(packed.name()).parent().unwrap_or(Path::new("."));
    protect(output, done, parity, "The archive was packed before", place)
}

/// Refuses to begin what cannot end for want of room; the archive is there until its volumes are. What an earlier try
/// occupies counts as free.
pub(super) fn expect_room(plan: &bundle::Plan) -> Result<(), Error> {
    let dir = plan.path.parent().filter(|dir| dir.is_dir()).unwrap_or(Path::new("."));
    let earlier = |ending| making::occupied_bytes(&making::beside(&plan.path, ending));
    Ok(making::expect_room(dir, plan.disk_bytes, earlier(".partial") + earlier(".partial.spool"))?)
}

/// Cuts an archive into volumes beside it, and removes it once all of them have been read back.
pub(super) fn replace(output: Output, bundle: &Bundle, size: split::VolumeSize) -> Result<Done, Error> {
    let archive = Path::new(bundle.name());
    let dir = durable::parent_of(archive);
    let order = split::Order { dir, name: &split::name_of(bundle), size, only: None };
    let done = execute(output, "splitting", split::plan_split(bundle, &order)?)?;
    fs_err::remove_file(archive)?;
    durable::sync_dir(dir)?;
    Ok(done)
}

fn execute(output: Output, what: &str, planned: Planned<'_>) -> Result<Done, Error> {
    let meter = output.meter(what, planned.plan.work_bytes())?;
    let done = planned.execute(&meter)?;
    meter.finish();
    Ok(done)
}

fn describe(plan: &Plan) -> String {
    let mut lines = Lines::title(&plan.source).line("length", size(plan.bytes));
    for file in &plan.files {
        let there = if file.is_there { ", is there" } else { "" };
        lines = lines.line("file", format!("{}  {}{there}", path(&file.path), size(file.bytes)));
    }
    lines.line("disk", format!("{} needed, {} free", size(plan.write_bytes), size(plan.free_bytes))).text()
}

/// The files that are there now.
pub(super) fn list(lines: Lines, done: &Done) -> Lines {
    done.files.iter().fold(lines, |lines, file| {
        let there = if file.was_there { ", was there" } else { "" };
        lines.line("file", format!("{}  {}{there}", path(&file.path), size(file.bytes)))
    })
}

fn conclude(title: &str, done: &Done, place: &Path) -> String {
    end(list(Lines::title(title), done), done, place)
}

fn end(lines: Lines, done: &Done, place: &Path) -> String {
    lines
        .line("read back", count(done.files.len(), "file"))
        .end(&format!("next: sealift verify {} --trust TRUST", path(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_one_or_a_run() {
        let cases = [
            ("2", Some(2..=2)),
            ("2-4", Some(2..=4)),
            ("3-3", Some(3..=3)),
            ("0", None),
            ("0-2", None),
            ("4-2", None),
            ("", None),
            ("-", None),
            ("2-", None),
            ("2,3", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Numbers>().ok().map(|numbers| numbers.0), expected, "{text}");
        }
    }
}
