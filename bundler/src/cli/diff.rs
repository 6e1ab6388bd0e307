//! `diff`: what changed.

use std::path::Path;

use sealift_archive::Source as _;

use super::DiffArgs;
use super::choice::find;
use super::look::open;
use super::output::{Lines, Output, count, size};
use crate::Error;
use crate::definition::Definition;
use crate::diff::{Change, Difference, GitChange, PackageChange, Side, Tally, Version};
use crate::lock::Lock;
use crate::sbom::Plan;

pub(super) fn diff(output: Output, args: &DiffArgs) -> Result<(), Error> {
    let is_archive = |file: &Path| !matches!(end(file), Some("json" | "yaml" | "yml"));
    // Locks do not know what is in layers.
    let packages = !args.no_packages && is_archive(&args.from) && is_archive(&args.to);
    let side = |file: &Path, release: &Option<String>| {
        let release = release.as_deref();
        read(&Wanted { file, release, trust: args.trust.as_deref(), packages }, output)
    };
    let (from, to) = (side(&args.from, &args.from_release)?, side(&args.to, &args.to_release)?);
    let difference = Difference::between(&from, &to);
    if let Some(doubts) = &difference.uncertain {
        for (title, images) in [(&difference.from, &doubts.from), (&difference.to, &doubts.to)] {
            if !images.is_empty() {
                let images = count(images.len(), "image");
                output.remark(&format!(
                    "note: {images} of {title} may hold more packages than is known; `sealift sbom` says why"
                ))?;
            }
        }
    }
    output.result(&difference, || describe(&difference))
}

/// One of the two that are compared.
struct Wanted<'a> {
    file: &'a Path,
    /// Which release of an archive.
    release: Option<&'a str>,
    trust: Option<&'a Path>,
    packages: bool,
}

/// An archive, a lock, or the lock of a definition, by the end of its name.
fn read(wanted: &Wanted<'_>, output: Output) -> Result<Side, Error> {
    let &Wanted { file, release, trust, packages } = wanted;
    match end(file) {
        Some("json" | "yaml" | "yml") if release.is_some() => {
            let wanted = release.unwrap_or_default().to_owned();
            Err(Error::NoSuchRelease { bundle: file.to_owned(), wanted, releases: Vec::new() })
        }
        Some("json") => Side::of_lock(file, &Lock::load(file)?),
        Some("yaml" | "yml") => {
            let lock = Lock::read(file, &Definition::read(file)?)?;
            Side::of_lock(&Lock::path_of(file), &lock)
        }
        _ => {
            let bundle = open(file, trust, output)?;
            let newest = || Error::NoRelease { bundle: file.to_owned() };
            let release = match release {
                Some(release) => find(file, &bundle, release)?,
                None => bundle.releases().last().ok_or_else(newest)?,
            };
            let side = Side::of_release(&bundle, release)?;
            if !packages {
                return Ok(side);
            }
            let plan = Plan::of_some(&bundle, [release], None)?;
            let meter = output.meter("reading layers", plan.bytes())?;
            let bills = plan.read(&meter)?;
            meter.finish();
            Ok(match bills.last() {
                Some(bill) => side.with_packages(bill),
                None => side,
            })
        }
    }
}

fn end(file: &Path) -> Option<&str> {
    file.extension()?.to_str()
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
    for change in difference.packages.iter().flatten() {
        lines = lines.line("package", told_package(change));
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

fn told_package(change: &PackageChange) -> String {
    let images = count(change.images, "image");
    let (name, kind, from, to) = (&change.name, &change.kind, change.from.join(", "), change.to.join(", "));
    match (from.as_str(), to.as_str()) {
        ("", to) => format!("+ {name}  {to}  ({kind}, {images})"),
        (from, "") => format!("- {name}  {from}  ({kind}, {images})"),
        (from, to) => format!("~ {name}  {from} -> {to}  ({kind}, {images})"),
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
