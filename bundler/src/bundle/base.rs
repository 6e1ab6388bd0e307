//! What a delta builds on: bundles, statements and receipts that were named, and which of them have what is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use fs_err as fs;

use sealift_archive::format::layout::LeftOut;
use sealift_archive::release::MAX_RECEIPT_BYTES;
use sealift_archive::{Blob, Digest, Receipt, Release, ReleaseName, Source as _, age};

use super::earlier::Earlier;
use super::error::Error as BundleError;
use super::known::{Base, Known};
use super::sealed;
use crate::Error;

/// The releases that a delta may presume.
#[derive(Debug, Default)]
pub(super) struct Bases {
    bases: Vec<Base>,
    /// Releases that a receipt names and nobody knows the content of.
    pub(super) unknown: Vec<ReleaseName>,
}

impl Bases {
    /// Reads bases: each a bundle, whose newest release is meant, a folder with a statement, or a receipt, whose releases
    /// are looked for among what is known.
    pub(super) fn read(
        paths: &[PathBuf],
        identity: Option<&Path>,
        known: &Known,
        earlier: Earlier<'_>,
    ) -> Result<Self, Error> {
        let mut all = Self::default();
        for path in paths {
            if path.is_dir() {
                all.bases.push(Base::read(path)?);
            } else if let Some(receipt) = receipt(path, identity)? {
                all.add_receipt(path, &receipt, known, earlier)?;
            } else {
                // An appliance without a release takes only the newest, so only that is sure to be there.
                all.bases.extend(earlier.open(path)?.releases().last().map(Base::from));
            }
        }
        let mut seen = BTreeSet::new();
        all.bases.retain(|base| seen.insert(base.needed.statement));
        all.bases.sort_by_key(|base| base.needed.sequence);
        Ok(all)
    }

    fn add_receipt(
        &mut self,
        path: &Path,
        receipt: &Receipt,
        known: &Known,
        earlier: Earlier<'_>,
    ) -> Result<(), Error> {
        let before = self.bases.len();
        for held in &receipt.releases {
            match known.find(&held.statement, earlier)? {
                Some(base) => self.bases.push(base),
                None => self.unknown.push(receipt.name_of(held)),
            }
        }
        if self.bases.len() > before {
            return Ok(());
        }
        let named =
            receipt.releases.iter().map(|held| format!("{} ({})", receipt.name_of(held), held.statement));
        let named: Vec<String> = named.collect();
        Err(BundleError::BadBase {
            base: path.display().to_string(),
            why: format!("nothing is known of the releases that it names: {}", named.join(", ")),
            hint: "name the folder with their statements or bundles with `--known`",
        }
        .into())
    }

    /// Decides what of these releases is left out, and which bases are needed for it: each blob is left to the newest
    /// that has it, and a base to which nothing is left is not needed.
    pub(super) fn leave_out(&self, releases: &[Release]) -> Result<LeftOut, Error> {
        self.expect_fit(releases)?;
        let mut left_out = LeftOut::default();
        let mut rest: BTreeMap<Digest, u64> = BTreeMap::new();
        for Blob { digest, size } in releases.iter().flat_map(|release| release.blob_list.iter()) {
            rest.insert(digest, size);
        }
        for base in self.bases.iter().rev() {
            let before = rest.len();
            rest.retain(|digest, size| {
                let has = base.blob_list.size(digest) == Some(*size);
                if has {
                    left_out.blobs.insert(*digest);
                }
                !has
            });
            if rest.len() < before {
                left_out.needs.push(base.needed.clone());
            }
        }
        left_out.needs.reverse();
        Ok(left_out)
    }

    fn expect_fit(&self, releases: &[Release]) -> Result<(), Error> {
        for Base { needed, .. } in &self.bases {
            let carries = |release: &Release| release.digest() == needed.statement;
            let (why, hint) = if releases.iter().any(|release| release.statement.product != needed.product) {
                ("it is of another product", "name a release of the same product")
            } else if releases.iter().any(carries) {
                ("it goes into the bundle itself", "leave it out of `--with`, or out of `--base`")
            } else {
                continue;
            };
            let base = needed.name().to_string();
            return Err(BundleError::BadBase { base, why: why.to_owned(), hint }.into());
        }
        Ok(())
    }
}

/// A file as a receipt, if it begins like one, or like one that is encrypted.
fn receipt(path: &Path, identity: Option<&Path>) -> Result<Option<Receipt>, Error> {
    let mut bytes = Vec::new();
    let limit = age::MAX_BYTES.max(MAX_RECEIPT_BYTES) as u64;
    fs::File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if age::is_sealed(&bytes) {
        bytes = sealed::open(path, &bytes, identity)?;
    } else if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Ok(None);
    }
    Ok(Some(Receipt::parse(&path.display().to_string(), &bytes)?))
}
