//! `diff`: what changed.

use std::path::Path;

use super::DiffArgs;
use super::look::open;
use super::output::{Lines, Output, count, size};
use crate::Error;
use crate::definition::Definition;
use crate::diff::{Change, Difference, GitChange, Side, Tally, Version};
use crate::lock::Lock;

pub(super) fn diff(output: Output, args: &DiffArgs) -> Result<(), Error> {
    let side = |file: &Path| read(file, args.trust.as_deref(), output);
    let difference = Difference::between(&side(&args.from)?, &side(&args.to)?);
    output.result(&difference, || describe(&difference))
}

/// An archive, a lock, or the lock of a definition, by the end of its name.
fn read(file: &Path, trust: Option<&Path>, output: Output) -> Result<Side, Error> {
    match file.extension().and_then(|end| end.to_str()) {
        Some("json") => Side::of_lock(file, &Lock::load(file)?),
        Some("yaml" | "yml") => {
            let lock = Lock::read(file, &Definition::read(file)?)?;
            Side::of_lock(&Lock::path_of(file), &lock)
        }
        _ => Side::of_bundle(file, &open(file, trust, output)?),
    }
}

fn describe(difference: &Difference) -> String {
    let mut lines = Lines::title(&format!("{} -> {}", difference.from, difference.to));
    let kinds = [
        ("image", &difference.images),
        ("chart", &difference.charts),
        ("artifact", &difference.artifacts),
        ("file", &difference.files),
    ];
    for (label, changes) in kinds {
        for change in changes {
            lines = lines.line(label, told(change));
        }
    }
    for change in &difference.git {
        lines = lines.line("git", told_git(change));
    }
    let tally = |t: Tally| format!("{}, {}", count(t.blobs, "blob"), size(t.bytes));
    let content = &difference.content;
    lines
        .line("new", tally(content.added))
        .line("gone", tally(content.removed))
        .line("the same", tally(content.kept))
        .text()
}

/// `~ ghcr.io/acme/api  1.4.0 -> 1.5.0  (12 MB, was 11 MB)`
fn told(change: &Change) -> String {
    let name = &change.name;
    let called = |version: &Version| version.tag.clone().unwrap_or_else(|| version.digest.short());
    match (&change.from, &change.to) {
        (Some(from), Some(to)) if from.tag == to.tag => format!(
            "~ {name}  {}{} -> {}  ({}, was {})",
            to.tag.as_ref().map_or_else(String::new, |tag| format!("{tag}  ")),
            from.digest.short(),
            to.digest.short(),
            size(to.bytes),
            size(from.bytes)
        ),
        (Some(from), Some(to)) => {
            format!(
                "~ {name}  {} -> {}  ({}, was {})",
                called(from),
                called(to),
                size(to.bytes),
                size(from.bytes)
            )
        }
        (None, Some(to)) => format!("+ {name}  {}  ({})", called(to), size(to.bytes)),
        (Some(from), None) => format!("- {name}  {}  ({})", called(from), size(from.bytes)),
        (None, None) => name.clone(),
    }
}

fn told_git(change: &GitChange) -> String {
    let short = |object: &sealift_archive::release::ObjectId| object.as_str()[..12].to_owned();
    let (name, reference) = (&change.name, &change.reference);
    match (&change.from, &change.to) {
        (Some(from), Some(to)) => format!("~ {name}  {reference}  {} -> {}", short(from), short(to)),
        (None, Some(to)) => format!("+ {name}  {reference}  {}", short(to)),
        (Some(from), None) => format!("- {name}  {reference}  {}", short(from)),
        (None, None) => name.clone(),
    }
}
