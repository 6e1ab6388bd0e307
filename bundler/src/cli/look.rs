//! `verify`, and how an archive is opened to be looked at.

use std::path::Path;

use serde::Serialize;

use sealift_archive::bundle::{Findings, Unverified};
use sealift_archive::parity::Mender;
use sealift_archive::trust::KeyId;
use sealift_archive::{Bundle, Digest, ReleaseName, Source as _, medium};

use super::VerifyArgs;
use super::output::{Lines, Output, count, path, size};
use super::parity::{self, Examined};
use crate::{Error, trust};

/// How many damaged stretches are listed for people; JSON has all.
const DAMAGES_SHOWN: usize = 20;

/// What is told to whoever looks without a trust root.
pub(super) const UNTRUSTED: &str =
    "note: without --trust, nothing says that this archive is from whom it claims to be from";

/// Opens an archive with a trust root, or with the one that it brings itself.
pub(super) fn open(bundle: &Path, root: Option<&Path>, output: Output) -> Result<Bundle, Error> {
    if let Some(root) = root {
        return Ok(Bundle::open(bundle, &trust::read(root)?.0)?);
    }
    output.remark(UNTRUSTED)?;
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
    /// What parity says, if there is some.
    parity: Option<Examined>,
}

pub(super) fn verify(output: Output, args: &VerifyArgs) -> Result<(), Error> {
    let bundle = match open(&args.bundle, Some(&args.trust), output) {
        Ok(bundle) => bundle,
        Err(error) => return parity::examine_unopened(output, &args.bundle, error),
    };
    let mender = Mender::of_archive(&[&args.bundle]);
    let healed = bundle.medium().healed();
    // What parity makes up for is damage all the same: behind the front the archive is looked at as it is.
    let bundle = match (medium::find(&[&args.bundle]), &mender) {
        (Ok(found), _) => bundle.with_medium(found.into()),
        (Err(_), Ok(Some(mender))) => bundle.with_medium(mender.unmended_medium()),
        (Err(_), _) => bundle,
    };
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
        findings,
        parity,
    };
    output.result(&verdict, || {
        let title = if is_whole { "Good" } else { "DAMAGED" };
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
        if hidden > 0 {
            lines = lines.line("damage", format!("and {hidden} more"));
        }
        match &verdict.parity {
            Some(parity) => parity.describe(&args.bundle, lines).text(),
            None => lines.text(),
        }
    })?;
    if let Some(parity) = verdict.parity {
        parity.verdict(&args.bundle)?;
    }
    match verdict.findings.damages.len() {
        0 => Ok(()),
        count => Err(Error::Damaged { file: path(&args.bundle), count }),
    }
}

/// Keys, as people tell them apart.
pub(super) fn short(keys: &[KeyId]) -> String {
    keys.iter().map(KeyId::short).collect::<Vec<_>>().join(", ")
}
