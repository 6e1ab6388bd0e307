//! `verify`, and how an archive is opened to be looked at.

use std::path::Path;

use serde::Serialize;

use sealift_archive::bundle::{Damage, Findings, Unverified};
use sealift_archive::format::packing::NeededRelease;
use sealift_archive::medium::{self, Medium, Parts, Remark};
use sealift_archive::parity::Mender;
use sealift_archive::trust::KeyId;
use sealift_archive::{Bundle, Digest, ReleaseName, Source as _};

use super::VerifyArgs;
use super::output::{Lines, Output, count, size};
use super::parity::{self, Examined};
use crate::Error;
use crate::bundle::Tally;
use crate::trust::Folder;

/// How many damaged stretches are listed for people; JSON has all.
const DAMAGES_SHOWN: usize = 20;

/// What is told to whoever looks without a trust root.
const UNTRUSTED: &str =
    "note: without --trust, nothing says that this archive is from whom it claims to be from";

/// Opens an archive with a trust root, or with the one that it brings itself.
pub(super) fn open(bundle: &Path, root: Option<&Path>, output: Output) -> Result<Bundle, Error> {
    open_all(&[bundle], root, output)
}

/// Opens the archive whose volumes are in these places.
pub(super) fn open_all(
    places: &[impl AsRef<Path>],
    root: Option<&Path>,
    output: Output,
) -> Result<Bundle, Error> {
    verified(find(places, output)?, root, output)
}

/// Verifies the front of the archive on a medium.
pub(super) fn verified(
    medium: Box<dyn Medium>,
    root: Option<&Path>,
    output: Output,
) -> Result<Bundle, Error> {
    if let Some(root) = root {
        return Ok(Unverified::on(medium)?.verify(Folder::read(root)?.trusted()?)?);
    }
    output.remark(UNTRUSTED)?;
    let unverified = Unverified::on(medium)?;
    let own = unverified.own_root()?.clone();
    Ok(unverified.verify(&own)?)
}

fn find(places: &[impl AsRef<Path>], output: Output) -> Result<Box<dyn Medium>, Error> {
    let medium = medium::open_all(places)?;
    for remark in medium.remarks() {
        output.remark(&format!("note: {remark}"))?;
    }
    Ok(medium)
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
    needs: &'a [NeededRelease],
    left_out: Tally,
    volumes: Option<Parts>,
    remarks: Vec<Remark>,
    #[serde(flatten)]
    findings: Findings,
    /// What parity says, if there is some.
    parity: Option<Examined>,
}

pub(super) fn verify(output: Output, args: &VerifyArgs) -> Result<(), Error> {
    let folder = Folder::read(&args.trust)?;
    let trusted = folder.trusted()?;
    let medium = find(&args.bundle, output)?;
    // What was just copied to a stick would be answered by memory.
    medium.forget_cached()?;
    let bundle = match Unverified::on(medium).and_then(|unverified| unverified.verify(trusted)) {
        Ok(bundle) => bundle,
        Err(error) => return parity::examine_unopened(output, &args.bundle, error),
    };
    let healed = bundle.medium().healed();
    let mender = Mender::of_archive(&args.bundle);
    let bundle = without_parity(bundle, &args.bundle, mender.as_ref().ok().and_then(Option::as_ref));
    let meter = output.meter("verifying", bundle.packing().length)?;
    let findings = bundle.check(&meter)?;
    meter.finish();
    let is_whole = findings.is_whole() && healed.pieces == 0;
    let parity = parity::examine(output, mender, is_whole)?;
    let verdict = Verdict {
        whole: is_whole && parity.as_ref().is_none_or(Examined::is_whole),
        releases: bundle.releases().iter().map(|r| r.statement.name()).collect(),
        bytes: bundle.packing().length,
        trust_root: bundle.trust_root().version(),
        release_keys: bundle.releases().iter().flat_map(|r| r.signers.clone()).collect(),
        pack_keys: bundle.packers(),
        needs: bundle.needs(),
        left_out: Tally::of(bundle.absent().iter()),
        volumes: bundle.medium().parts(),
        remarks: bundle.medium().remarks(),
        findings,
        parity,
    };
    output.result(&verdict, || {
        let title = match &verdict.findings {
            _ if is_whole => "Good",
            findings if findings.damages.is_empty() => "NOT WHOLE",
            _ => "DAMAGED",
        };
        let mut lines = Lines::title(&format!("{title}: {}", bundle.name()));
        for release in &verdict.releases {
            lines = lines.line("release", release);
        }
        lines = lines
            .line("signed by", short(&verdict.release_keys))
            .line("packed by", short(verdict.pack_keys))
            .line("trust root", format!("version {}", verdict.trust_root))
            .line_if("delta", delta(&bundle))
            .line("checked", format!("{} in {}", size(verdict.bytes), count(verdict.findings.blobs, "blob")));
        if let Some(volumes) = &verdict.volumes {
            lines = lines.line("volumes", told(volumes));
        }
        for damage in verdict.findings.damages.iter().take(DAMAGES_SHOWN) {
            let blobs: Vec<String> = damage.blobs.iter().map(Digest::short).collect();
            let Damage { frame, start, end, file, .. } = damage;
            let place = format!("frame {frame}, bytes {start} to {end} of {file}");
            lines = lines.line("damage", format!("{place}; it costs {}", blobs.join(", ")));
        }
        let hidden = verdict.findings.damages.len().saturating_sub(DAMAGES_SHOWN);
        if hidden > 0 {
            lines = lines.line("damage", format!("and {hidden} more"));
        }
        match &verdict.parity {
            Some(parity) => parity.describe(&args.bundle, lines).text(),
            None => lines.text(),
        }
    })?;
    if let Some(parity) = verdict.parity {
        parity.verdict(&args.bundle, verdict.findings.is_whole())?;
    }
    let (archive, absent) = (bundle.name().to_owned(), verdict.findings.absent.volumes);
    match (verdict.findings.damages.len(), verdict.volumes) {
        (0, Some(Parts { count, .. })) if !absent.is_empty() => {
            let numbers = absent.into_iter().collect();
            Err(sealift_archive::Error::VolumesMissing { archive, numbers, count }.into())
        }
        (0, _) => Ok(()),
        (count, _) => Err(Error::Damaged { file: archive, count }),
    }
}

/// The archive as it is: what parity makes up for is damage all the same. Its front has been verified, mended or not.
fn without_parity(bundle: Bundle, places: &[impl AsRef<Path>], mender: Option<&Mender>) -> Bundle {
    match (medium::find(places), mender) {
        (Ok(found), _) => bundle.with_medium(found.into()),
        (Err(_), Some(mender)) => bundle.with_medium(mender.unmended_medium()),
        (Err(_), None) => bundle,
    }
}

/// `3 of 3`, `2 of 3; not at hand: 2`
fn told(volumes: &Parts) -> String {
    let all = volumes.count as usize;
    let at_hand = all - volumes.missing.len();
    let missing: Vec<String> = volumes.missing.iter().map(ToString::to_string).collect();
    let missing =
        if missing.is_empty() { String::new() } else { format!("; not at hand: {}", missing.join(", ")) };
    format!("{at_hand} of {all}{missing}")
}

/// What a delta leaves to others; nothing, if it is none.
pub(super) fn delta(bundle: &Bundle) -> Option<String> {
    let needs: Vec<String> = bundle.needs().iter().map(|needed| needed.name().to_string()).collect();
    let absent = Tally::of(bundle.absent().iter());
    let (blobs, bytes) = (count(absent.blobs, "blob"), size(absent.bytes));
    (!needs.is_empty()).then(|| format!("needs {}; {blobs}, {bytes}, not in it", needs.join(" and ")))
}

/// Keys, as people tell them apart.
pub(super) fn short(keys: &[KeyId]) -> String {
    keys.iter().map(KeyId::short).collect::<Vec<_>>().join(", ")
}
