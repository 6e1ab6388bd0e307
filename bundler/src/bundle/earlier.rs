//! Bundles that were made before: what they hold need not be fetched, and their releases may travel along.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sealift_archive::bundle::Unverified;
use sealift_archive::format::layout::Storing;
use sealift_archive::format::packing::NeededRelease;
use sealift_archive::packer::Packer;
use sealift_archive::trust::{RoleName, Signatures, TrustRoot, Trusted};
use sealift_archive::{Blob, Bundle, Digest, Progress, Release, Source};

use super::error::Error as BundleError;
use super::known::Known;
use crate::Error;

/// Opens bundles that were made before, under whatever trust root was the newest then: their content is vouched for by who
/// signed it then, and whether their statements may travel along is asked apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Earlier<'a> {
    pub(super) trusted: &'a Trusted,
}

impl Earlier<'_> {
    pub(super) fn open(self, path: &Path) -> Result<Bundle, Error> {
        let archive = Unverified::open(path)?;
        let then = archive.head().roots.iter().next_back().map(TrustRoot::version);
        let judge = self.trusted.versions().find(|root| Some(root.version()) == then);
        Ok(archive.verify(judge.unwrap_or(self.trusted.newest()))?)
    }

    pub(super) fn open_all(self, paths: &[PathBuf]) -> Result<Vec<Bundle>, Error> {
        paths.iter().map(|path| self.open(path)).collect()
    }
}

/// The releases that travel along with a new one, each once and by rising sequence, with the signatures that count today.
pub(super) fn older_releases<'r>(
    releases: impl Iterator<Item = &'r Release>,
    new: &Release,
    root: &TrustRoot,
    known: &Known,
) -> Result<Vec<Release>, Error> {
    let mut found: BTreeMap<Digest, Release> = BTreeMap::new();
    for release in releases {
        let same = found.entry(release.digest()).or_insert_with(|| release.clone());
        let new = release.signatures.iter().filter(|signature| !same.signatures.contains(signature));
        let new: Vec<_> = new.cloned().collect();
        same.signatures.extend(new);
    }
    found.remove(&new.digest());
    let mut releases: Vec<Release> = found.into_values().collect();
    releases.sort_by_key(|release| release.statement.sequence);
    for release in &mut releases {
        expect_older(release, new)?;
        sign_again(release, root, known)?;
    }
    Ok(releases)
}

fn expect_older(other: &Release, new: &Release) -> Result<(), Error> {
    let why = if other.statement.product != new.statement.product {
        "it is of another product"
    } else if other.statement.sequence >= new.statement.sequence {
        "its sequence is not below"
    } else {
        return Ok(());
    };
    let (release, other) = (Box::new(new.statement.name()), Box::new(other.statement.name()));
    Err(BundleError::NotOlder { release, other, why }.into())
}

/// Looks for the signatures that count today, in the bundle and among what is known.
fn sign_again(release: &mut Release, root: &TrustRoot, known: &Known) -> Result<(), Error> {
    let statement = release.digest();
    let mut signatures: Signatures = release.signatures.iter().cloned().collect();
    known.signatures(&statement)?.iter().for_each(|signature| signatures.push(signature.clone()));
    let checked = root.check("release.json", &release.statement_bytes, RoleName::Release, &signatures);
    release.signers = checked.map_err(|error| match error {
        sealift_archive::Error::Unsigned { have, need, keys, .. } => {
            let release = Box::new(release.statement.name());
            BundleError::SignAgain { release, statement, have, need, keys }.into()
        }
        other => Error::from(other),
    })?;
    // What was made by anybody else is left behind.
    let counts = |key| release.signers.contains(key);
    release.signatures =
        signatures.of(&statement).into_iter().filter(|one| counts(&one.key)).cloned().collect();
    Ok(())
}

/// What earlier bundles hold of the content that is wanted, each blob from the first that has it.
#[derive(Debug, Default)]
pub(super) struct Stock {
    bundles: Vec<(Bundle, BTreeSet<Digest>)>,
}

impl Stock {
    /// Looks for blobs in bundles; by size too: a manifest may lie about it, and then its registry has to answer for that.
    pub(super) fn of(bundles: Vec<Bundle>, wanted: impl Fn(&Digest) -> Option<u64>) -> Self {
        let mut taken = BTreeSet::new();
        let take = |bundle: Bundle| {
            let blobs = bundle.contents().entries.iter().map(|entry| entry.blob);
            let fits = blobs.filter(|blob| wanted(&blob.digest) == Some(blob.size)).map(|blob| blob.digest);
            let own = fits.filter(|digest| taken.insert(*digest)).collect();
            (bundle, own)
        };
        Self { bundles: bundles.into_iter().map(take).collect() }
    }

    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.bundles.iter().any(|(_, own)| own.contains(digest))
    }

    /// Refuses releases, of which the last is the new one, if content of the older ones is in no bundle.
    pub(super) fn expect_complete(
        &self,
        releases: &[Release],
        is_carried: impl Fn(&Digest) -> bool,
    ) -> Result<(), Error> {
        let Some((new, older)) = releases.split_last() else { return Ok(()) };
        // What the new release has too is looked for in other places.
        let is_lost = |blob: &Blob| {
            let digest = &blob.digest;
            is_carried(digest) && !self.has(digest) && new.blob_list.size(digest).is_none()
        };
        for release in older {
            let lost: Vec<Blob> = release.blob_list.iter().filter(is_lost).collect();
            if !lost.is_empty() {
                return Err(self.not_at_hand(release, &lost).into());
            }
        }
        Ok(())
    }

    fn not_at_hand(&self, release: &Release, lost: &[Blob]) -> BundleError {
        let lacks = |bundle: &&Bundle| lost.iter().any(|blob| bundle.absent().size(&blob.digest).is_some());
        let bundles = self.bundles.iter().map(|(bundle, _)| bundle).filter(lacks);
        let mut needs: Vec<NeededRelease> = bundles.flat_map(Source::needs).cloned().collect();
        needs.sort_by_key(|needed| needed.sequence);
        needs.dedup();
        BundleError::NotAtHand {
            release: Box::new(release.statement.name()),
            blobs: lost.len(),
            bytes: lost.iter().map(|blob| blob.size).sum(),
            needs: needs.iter().map(NeededRelease::name).collect(),
        }
    }

    /// How a blob was kept there.
    pub(super) fn storing(&self, digest: &Digest) -> Option<Storing> {
        self.bundles.iter().find(|(_, own)| own.contains(digest))?.0.storing(digest)
    }

    /// Copies what is still missing.
    pub(super) fn copy(
        &self,
        missing: &BTreeSet<Digest>,
        packer: &Packer,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        for (bundle, own) in &self.bundles {
            bundle.copy_blobs(&missing.intersection(own).copied().collect(), packer, progress)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sealift_archive::release::BlobListSummary;
    use sealift_archive::trust::{SecretKey, Signature};
    use sealift_archive::{BlobList, Explain as _, Refs, Statement};

    use super::*;
    use crate::statement;

    fn release(version: &str, sequence: u64, signers: &[&SecretKey]) -> Release {
        let (blob_list, refs) = (BlobList::default(), Refs::default());
        let refs_bytes = refs.to_bytes();
        let list = BlobListSummary { digest: Digest::of(b""), count: 0, content_bytes: 0 };
        let name = sealift_archive::ReleaseName {
            product: "acme".parse().unwrap(),
            version: version.parse().unwrap(),
            sequence: sequence.try_into().unwrap(),
        };
        let statement = Statement::new(name, list, Blob::of(&refs_bytes));
        let statement_bytes = statement.to_bytes();
        let signatures = signers.iter().map(|&key| Signature::sign(&statement_bytes, key).unwrap()).collect();
        Release { statement, statement_bytes, signatures, signers: Vec::new(), blob_list, refs, refs_bytes }
    }

    #[test]
    fn an_older_release_needs_the_signatures_of_today() {
        let [root_key, former, today] = [(); 3].map(|()| SecretKey::generate(b"").unwrap().0);
        let members = [(RoleName::Root, &root_key), (RoleName::Release, &today), (RoleName::Pack, &today)];
        let root = TrustRoot::first(&members.map(|(role, key)| (role, vec![key.public().clone()])).into());
        let root = root.unwrap();
        let (old, new) = (release("1.4", 4, &[&former]), release("1.5", 5, &[]));
        let take = |known: &Known| older_releases([&old].into_iter(), &new, &root, known);
        let error = take(&Known::default()).unwrap_err();
        let said = sealift_archive::report(&error);
        assert_eq!(error.code().to_string(), "SL0491");
        assert!(said.contains("acme 1.4 (sequence 4) has 0 of the 1 signatures"), "{said}");
        assert!(
            said.contains(&old.digest().to_string()) && said.contains(&today.public().id().short()),
            "{said}"
        );

        // Its statement, written again and signed by somebody who may.
        let dir = tempfile::tempdir().unwrap();
        statement::write(&old, &dir.path().join("below/old")).unwrap();
        let signed: Signatures =
            [Signature::sign(&old.statement_bytes, &today).unwrap()].into_iter().collect();
        signed.write_to(&dir.path().join("below/old")).unwrap();
        let known = Known::below(&[dir.path().to_owned()]).unwrap();
        let taken = take(&known).unwrap();
        assert_eq!(taken[0].signers, [today.public().id()]);
        let left: Vec<_> = taken[0].signatures.iter().map(|signature| signature.key).collect();
        assert_eq!(left, taken[0].signers, "the former signer's is left behind");
    }

    #[test]
    fn a_release_that_came_twice_travels_once() {
        let [root_key, one, two] = [(); 3].map(|()| SecretKey::generate(b"").unwrap().0);
        let role = |keys: &[&SecretKey]| keys.iter().map(|key| key.public().clone()).collect::<Vec<_>>();
        let members = [
            (RoleName::Root, role(&[&root_key])),
            (RoleName::Release, role(&[&one, &two])),
            (RoleName::Pack, role(&[&one])),
        ];
        let root = TrustRoot::first(&members.into()).unwrap();
        let new = release("1.5", 5, &[&one]);
        let releases =
            [release("1.4", 4, &[&one]), release("1.3", 3, &[&one]), release("1.4", 4, &[&two]), new.clone()];
        let taken = older_releases(releases.iter(), &new, &root, &Known::default()).unwrap();
        let told: Vec<_> = taken.iter().map(|r| (r.statement.sequence.get(), r.signatures.len())).collect();
        assert_eq!(told, [(3, 1), (4, 2)], "with the signatures of both");
    }
}
