//! `verify`, `inspect`, `export`: looking at an archive.

use std::path::Path;

use serde::Serialize;

use sealift_archive::bundle::{Findings, Unverified};
use sealift_archive::trust::KeyId;
use sealift_archive::{Bundle, Digest, ReleaseName, Source as _};

use super::output::{Lines, Output, count, path, size};
use super::{ExportArgs, Format, InspectArgs, VerifyArgs};
use crate::{Error, export, trust};

/// How many damaged stretches are listed for people; JSON has all.
const DAMAGES_SHOWN: usize = 20;

/// Opens an archive with a trust root, or with the one that it brings itself.
pub(super) fn open(bundle: &Path, root: Option<&Path>, output: Output) -> Result<Bundle, Error> {
    if let Some(root) = root {
        return Ok(Bundle::open(bundle, &trust::read(root)?.0)?);
    }
    output
        .remark("note: without --trust, nothing says that this archive is from whom it claims to be from")?;
    let unverified = Unverified::open(bundle)?;
    let own = unverified.own_root()?.clone();
    Ok(unverified.verify(&own)?)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict<'a> {
    whole: bool,
    releases: Vec<ReleaseName>,
    bytes: u64,
    trust_root: u64,
    release_keys: Vec<KeyId>,
    pack_keys: &'a [KeyId],
    #[serde(flatten)]
    findings: Findings,
}

pub(super) fn verify(output: Output, args: &VerifyArgs) -> Result<(), Error> {
    let bundle = open(&args.bundle, Some(&args.trust), output)?;
    let meter = output.meter("verifying", bundle.packing().length)?;
    let findings = bundle.check(&meter)?;
    meter.finish();
    let verdict = Verdict {
        whole: findings.damages.is_empty(),
        releases: bundle.releases().iter().map(|r| r.statement.name()).collect(),
        bytes: bundle.packing().length,
        trust_root: bundle.trust_root().version(),
        release_keys: bundle.releases().iter().flat_map(|r| r.signers.clone()).collect(),
        pack_keys: bundle.packers(),
        findings,
    };
    output.result(&verdict, || {
        let title = if verdict.whole { "Good" } else { "DAMAGED" };
        let mut lines = Lines::title(&format!("{title}: {}", path(&args.bundle)));
        for release in &verdict.releases {
            lines = lines.line("release", release);
        }
        lines = lines
            .line("signed by", short(&verdict.release_keys))
            .line("packed by", short(verdict.pack_keys))
            .line("trust root", format!("version {}", verdict.trust_root))
            .line("checked", format!("{} in {}", size(verdict.bytes), count(verdict.findings.blobs, "blob")));
        for damage in verdict.findings.damages.iter().take(DAMAGES_SHOWN) {
            let blobs: Vec<String> = damage.blobs.iter().map(Digest::short).collect();
            let place = format!("frame {}, bytes {} to {}", damage.frame, damage.start, damage.end);
            lines = lines.line("damage", format!("{place}; it costs {}", blobs.join(", ")));
        }
        let hidden = verdict.findings.damages.len().saturating_sub(DAMAGES_SHOWN);
        if hidden > 0 { lines.line("damage", format!("and {hidden} more")).text() } else { lines.text() }
    })?;
    match verdict.findings.damages.len() {
        0 => Ok(()),
        count => Err(Error::Damaged { file: path(&args.bundle), count }),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inspection<'a> {
    format: u32,
    bytes: u64,
    packing: Digest,
    trusted: bool,
    trust_roots: Vec<u64>,
    pack_keys: &'a [KeyId],
    frames: usize,
    releases: Vec<InspectedRelease<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InspectedRelease<'a> {
    digest: Digest,
    release_keys: &'a [KeyId],
    statement: &'a sealift_archive::Statement,
    refs: &'a sealift_archive::Refs,
}

pub(super) fn inspect(output: Output, args: &InspectArgs) -> Result<(), Error> {
    let bundle = open(&args.bundle, args.trust.as_deref(), output)?;
    let inspection = Inspection {
        format: bundle.packing().format,
        bytes: bundle.packing().length,
        packing: bundle.packing_digest(),
        trusted: args.trust.is_some(),
        trust_roots: bundle.roots().iter().map(sealift_archive::trust::TrustRoot::version).collect(),
        pack_keys: bundle.packers(),
        frames: bundle.contents().frames.len(),
        releases: bundle
            .releases()
            .iter()
            .map(|r| InspectedRelease {
                digest: r.digest(),
                release_keys: &r.signers,
                statement: &r.statement,
                refs: &r.refs,
            })
            .collect(),
    };
    output.result(&inspection, || describe(&args.bundle, &inspection))
}

fn describe(bundle: &Path, inspection: &Inspection<'_>) -> String {
    let mut text = Lines::title(&path(bundle))
        .line("size", size(inspection.bytes))
        .line("format", format!("{}, {} frames", inspection.format, inspection.frames))
        .line("packed by", short(inspection.pack_keys))
        .text();
    for release in &inspection.releases {
        let statement = release.statement;
        let list = |items: &[String]| if items.is_empty() { "-".to_owned() } else { items.join(", ") };
        let platforms: Vec<String> = statement.platforms.iter().map(ToString::to_string).collect();
        let upgrade: Vec<String> = statement.upgrade_from.iter().map(ToString::to_string).collect();
        let mut lines = Lines::title(&format!("\n{}", statement.name()))
            .line("digest", release.digest)
            .line("signed by", short(release.release_keys))
            .line("floor", statement.floor)
            .line("from", list(&upgrade))
            .line("platforms", if platforms.is_empty() { "all".to_owned() } else { list(&platforms) })
            .line(
                "content",
                format!("{} blobs, {}", statement.blob_list.count, size(statement.blob_list.content_bytes)),
            );
        for (name, image) in &release.refs.images {
            lines = lines.line("image", format!("{name}  {}", image.digest.short()));
        }
        for (name, repository) in &release.refs.git {
            let commit = repository.refs.get(&repository.head).map(|c| &c.as_str()[..12]).unwrap_or_default();
            lines = lines.line("git", format!("{name}  {} {commit}", repository.head));
        }
        text.push_str(&lines.text());
    }
    text
}

#[derive(Serialize)]
struct Exported<'a> {
    layout: &'a Path,
    images: usize,
}

pub(super) fn export(output: Output, args: &ExportArgs) -> Result<(), Error> {
    let Format::OciLayout = args.format;
    let bundle = open(&args.bundle, args.trust.as_deref(), output)?;
    let meter =
        output.meter("exporting", bundle.releases().iter().map(|r| r.blob_list.total_bytes()).sum())?;
    let images = export::oci_layout(&bundle, &args.output, &meter)?;
    meter.finish();
    let exported = Exported { layout: &args.output, images };
    output.result(&exported, || {
        Lines::title(&format!("Exported {} to {}", count(images, "image"), path(&args.output))).text()
    })
}

fn short(keys: &[KeyId]) -> String {
    keys.iter().map(KeyId::short).collect::<Vec<_>>().join(", ")
}
