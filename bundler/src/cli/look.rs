//! `verify`, and how an archive is opened to be looked at.

use std::path::Path;

use serde::Serialize;

use sealift_archive::bundle::{Findings, Unverified};
use sealift_archive::format::packing::NeededRelease;
use sealift_archive::trust::KeyId;
use sealift_archive::{Bundle, Digest, ReleaseName, Source as _};

use super::VerifyArgs;
use super::output::{Lines, Output, count, path, size};
use crate::bundle::Tally;
use crate::{Error, trust};

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
    needs: &'a [NeededRelease],
    absent: Tally,
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
        needs: bundle.needs(),
        absent: Tally::of(bundle.absent().iter()),
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
            .line_if("delta", delta(&bundle))
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
