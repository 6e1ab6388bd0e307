//! `sbom`: which packages are in it.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use sealift_archive::{Reference, durable, json};

use super::EPOCH_VARIABLE;
use super::choice::Choice;
use super::look::open;
use super::output::{Output, count, path};
use crate::sbom::{Bill, Found, Image, Plan, cyclonedx, spdx};
use crate::{Error, sbom};

/// How like two names must be for one to be meant by the other, from 0 to 1.
const LIKENESS: f64 = 0.85;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealift sbom acme-1.5.0.tar.zst --package openssl     which images hold it, in which version
  sealift sbom acme-1.5.0.tar.zst --package 'libssl*'   all that begin so
  sealift sbom acme-1.5.0.tar.zst --image ghcr.io/acme/api:1.5.0
  sealift sbom acme-1.5.0.tar.zst --format spdx -o acme-1.5.0.spdx.json

What dpkg, apk and rpm noted in the images counts, and what SBOMs say that are attached to
them. No network is used. SOURCE_DATE_EPOCH dates SPDX and CycloneDX documents (1970 without it).

Exit status 1 if no image holds the package; other statuses as for all commands.")]
pub(super) struct SbomArgs {
    /// The archive
    bundle: PathBuf,
    /// The trust folder, or root.json in it; without it, the archive is believed about who made it
    #[arg(long, value_name = "TRUST")]
    trust: Option<PathBuf>,
    #[command(flatten)]
    choice: Choice,
    /// What to write; SPDX is version 2.3, CycloneDX version 1.6, both in JSON
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Only packages of this name, or built from a source package of this name; `*` at the end stands for any end
    #[arg(long, value_name = "NAME")]
    package: Option<String>,
    /// Only this image
    #[arg(long, value_name = "REFERENCE")]
    image: Option<Reference>,
    /// File to write to, instead of standard output; one that is there is replaced
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people, or with `--json` the same for programs
    Table,
    /// SPDX 2.3
    Spdx,
    /// CycloneDX 1.6
    Cyclonedx,
}

pub(super) fn sbom(output: Output, args: &SbomArgs) -> Result<(), Error> {
    let created = created()?;
    if args.package.is_some() && args.format != Format::Table {
        return Err(sbom::Error::WholeAndPart.into());
    }
    let bundle = open(&args.bundle, args.trust.as_deref(), output)?;
    let releases = args.choice.of(&args.bundle, &bundle)?;
    let plan = Plan::of_some(&bundle, releases, args.image.as_ref())?;
    let meter = output.meter("reading layers", plan.bytes())?;
    let bills = plan.read(&meter)?;
    meter.finish();
    let document = match args.format {
        Format::Table => match &args.package {
            Some(pattern) => table(output, &only(output, &bills, pattern)?),
            None => table(output, &bills),
        },
        Format::Spdx => json::to_document(&spdx(single(args, output, &bills)?, created)),
        Format::Cyclonedx => json::to_document(&cyclonedx(single(args, output, &bills)?, created)),
    };
    match &args.output {
        Some(file) => Ok(durable::write(file, &document)?),
        None => output.bytes(&document),
    }
}

/// The date of documents.
fn created() -> Result<OffsetDateTime, Error> {
    let Ok(text) = std::env::var(EPOCH_VARIABLE) else { return Ok(OffsetDateTime::UNIX_EPOCH) };
    let seconds = text.parse().ok();
    let time = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.filter(|time| time.format(&Rfc3339).is_ok()).ok_or(sbom::Error::NotATime(text).into())
}

/// The one bill that a document is about. What could not be read is told, too, for nobody reads documents.
fn single<'a>(args: &SbomArgs, output: Output, bills: &'a [Bill]) -> Result<&'a Bill, Error> {
    let [bill] = bills else {
        return Err(sbom::Error::SeveralReleases { file: path(&args.bundle), count: bills.len() }.into());
    };
    for image in bill.uncertain() {
        for why in image.doubts() {
            let platform = image.platform.as_ref().map(|p| format!(" ({p})")).unwrap_or_default();
            output.remark(&format!("warning: {}{platform}: {why}", names(image)))?;
        }
    }
    Ok(bill)
}

/// The images that hold a package.
fn only(output: Output, bills: &[Bill], pattern: &str) -> Result<Vec<Bill>, Error> {
    let found: Vec<Bill> = bills.iter().map(|bill| bill.with_package(pattern)).collect();
    let uncertain = bills.iter().flat_map(Bill::uncertain).count();
    if found.iter().all(|bill| bill.images.is_empty()) {
        let releases: Vec<String> = bills.iter().map(|bill| bill.release.to_string()).collect();
        let releases = releases.join(", ");
        let (pattern, nearest) = (pattern.to_owned(), nearest(bills, pattern));
        return Err(sbom::Error::NoPackage { pattern, releases, uncertain, nearest }.into());
    }
    if uncertain > 0 {
        let images = count(uncertain, "image");
        output.remark(&format!(
            "note: {images} may hold more than is known; without --package, it is said why"
        ))?;
    }
    Ok(found)
}

fn nearest(bills: &[Bill], pattern: &str) -> Option<String> {
    let wanted = pattern.trim_end_matches('*');
    let packages = bills.iter().flat_map(|bill| &bill.images).flat_map(|image| &image.packages);
    let names = packages.flat_map(|found| {
        let source = found.package.source.as_ref().map(|source| source.name.as_str());
        source.into_iter().chain([found.package.name.as_str()])
    });
    let rated = names.map(|name| (strsim::jaro_winkler(name, wanted), name));
    let best = rated.filter(|(likeness, _)| *likeness > LIKENESS).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, name)| name.to_owned())
}

#[derive(Serialize)]
struct Bills<'a> {
    releases: &'a [Bill],
}

fn table(output: Output, bills: &[Bill]) -> Vec<u8> {
    if output.json {
        return json::to_document(&Bills { releases: bills });
    }
    let mut text = String::new();
    for bill in bills {
        describe(&mut text, bill).expect("a string takes all text");
    }
    text.into_bytes()
}

fn describe(text: &mut String, bill: &Bill) -> std::fmt::Result {
    let packages: usize = bill.images.iter().map(|image| image.packages.len()).sum();
    let (images, packages) = (count(bill.images.len(), "image"), count(packages, "package"));
    writeln!(text, "{}: {packages} in {images}", bill.release)?;
    for image in &bill.images {
        let platform = image.platform.as_deref().unwrap_or("-");
        let system = image.distribution.as_ref().map(ToString::to_string);
        writeln!(
            text,
            "\n{}\n  {platform}  {}  {}",
            names(image),
            system.unwrap_or("-".into()),
            image.digest
        )?;
        for why in image.doubts() {
            writeln!(text, "  warning: {why}")?;
        }
        let rows: Vec<[String; 5]> = image.packages.iter().map(|found| row(image, found)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2), width(3)];
        for [name, version, kind, source, place] in &rows {
            let [a, b, c, d] = widths;
            writeln!(text, "  {name:<a$}  {version:<b$}  {kind:<c$}  {source:<d$}  {place}")?;
        }
    }
    if !bill.others.is_empty() {
        writeln!(text, "\nNot looked into")?;
    }
    for other in &bill.others {
        writeln!(text, "  {:<14}  {}", other.kind, other.name)?;
    }
    Ok(())
}

/// Name, version, whose and for what, source package, where it was found.
fn row(image: &Image, found: &Found) -> [String; 5] {
    let package = &found.package;
    let architecture = package.architecture.as_ref().map(|a| format!(" {a}")).unwrap_or_default();
    let source = package.source.as_ref().map(|source| format!("from {}", source.name));
    let layer = found.layer.iter().filter_map(|layer| {
        let (number, of) = (image.layer_number(layer)?, image.layers.len());
        Some(format!("layer {number} of {of}, {}", layer.short()))
    });
    let attached = found.attached.iter().map(|document| format!("attached SBOM {}", document.short()));
    [
        package.name.clone(),
        package.full_version(),
        format!("{}{architecture}", package.kind),
        source.unwrap_or_default(),
        layer.chain(attached).collect::<Vec<_>>().join("; "),
    ]
}

fn names(image: &Image) -> String {
    image.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
