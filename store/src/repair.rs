//! Mending what a check of the store found, as far as that goes without the vendor's bytes.
//!
//! Content that has changed is worth nothing, and in the way of its own return: it is removed, and the next import of a
//! release that needs it brings it back. Git mirrors are made of blobs and refs that are here, so a damaged one is made
//! again.

use std::collections::BTreeSet;
use std::path::Path;

use fs_err as fs;
use sealift_archive::{Digest, RepositoryName, durable};
use serde::Serialize;

use crate::audit::Event;
use crate::verify::{Finding, Trouble, Verdict};
use crate::{Error, State, Writer, mirror};

/// Where packs are checked before they go into a new mirror; swept like any import without a journal.
const SCRATCH_DIR: &str = "repair";

/// What was mended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Repairs {
    /// How many blobs were removed because they had changed.
    pub removed_blobs: usize,
    /// The Git mirrors that were made again, from the content that is here.
    pub mirrors: BTreeSet<RepositoryName>,
}

impl Writer {
    /// Mends what a check found.
    ///
    /// # Errors
    /// I/O, or what Git says.
    pub fn repair(&self, verdict: &Verdict) -> Result<Repairs, Error> {
        let removed_blobs = self.remove(verdict.findings.iter().filter(|f| f.kind == Trouble::Changed))?;
        let mut repairs = Repairs { removed_blobs, ..Repairs::default() };
        for finding in verdict.findings.iter().filter(|finding| finding.kind == Trouble::Git) {
            if finding.path.is_dir() {
                fs::remove_dir_all(&finding.path)?;
            }
        }
        let scratch = self.incoming_dir().join(SCRATCH_DIR);
        repairs.mirrors = self.make_missing_mirrors(&scratch)?;
        if scratch.is_dir() {
            fs::remove_dir_all(&scratch)?;
        }
        mirror::sync(&self.git_dir())?;
        if repairs != Repairs::default() {
            let Repairs { removed_blobs, mirrors } = repairs.clone();
            self.record(Event::Repaired { removed_blobs, mirrors })?;
        }
        Ok(repairs)
    }

    /// Removes content that the disk does not give out and that can be had again. What cannot is kept: a disk that fails for
    /// the moment would take good content with it.
    ///
    /// # Errors
    /// I/O.
    pub fn remove_unreadable(
        &self,
        verdict: &Verdict,
        can_be_had: impl Fn(&Digest) -> bool,
    ) -> Result<(), Error> {
        let can_be_had = |finding: &&Finding| {
            let name = finding.path.file_name().and_then(|name| name.to_str());
            let digest = name.and_then(Digest::from_hex);
            finding.kind == Trouble::Unreadable && digest.is_some_and(|digest| can_be_had(&digest))
        };
        self.remove(verdict.findings.iter().filter(can_be_had)).map(drop)
    }

    /// Says how many there were.
    fn remove<'f>(&self, findings: impl Iterator<Item = &'f Finding>) -> Result<usize, Error> {
        let mut removed = 0;
        for finding in findings {
            fs::remove_file(&finding.path)?;
            removed += 1;
        }
        durable::sync_dir(&self.blobs_dir())?;
        Ok(removed)
    }

    /// Makes the mirrors that releases lack, as far as their packs are here.
    fn make_missing_mirrors(&self, scratch: &Path) -> Result<BTreeSet<RepositoryName>, Error> {
        let mut made = BTreeSet::new();
        for release in self.releases()? {
            let (Ok(list), Ok(refs)) = (release.blob_list(), release.refs()) else { continue };
            if matches!(release.state(), State::Failed { .. }) {
                continue;
            }
            let missing: BTreeSet<_> = self.missing(&list).iter().map(|blob| blob.digest).collect();
            for mirror in mirror::of(self, release.sequence(), &refs) {
                let has_packs = mirror.packs().iter().all(|pack| !missing.contains(pack));
                if has_packs && mirror.lacks()?.is_some() {
                    mirror.prepare(scratch)?;
                    mirror.publish(scratch)?;
                    made.insert(mirror.name().clone());
                }
            }
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use sealift_archive::Unwatched;

    use super::*;
    use crate::fixture::{Content, Place};

    fn kinds(place: &Place) -> (Verdict, Vec<Trouble>) {
        let verdict = place.store.verify(&Unwatched).unwrap();
        let kinds = verdict.findings.iter().map(|finding| finding.kind).collect();
        (verdict, kinds)
    }

    /// Changes a byte of a file in place, as a disk does it, whatever hard links lead there.
    fn spoil(path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn changed_content_is_removed_and_comes_back() {
        let place = Place::new();
        let writer = place.writer();
        let content = Content::new(1, &[b"one", b"two"]);
        content.stage(&writer).unwrap();
        spoil(&place.store.blob_path(&Digest::of(b"one")));
        let (verdict, troubles) = kinds(&place);
        assert_eq!(troubles, [Trouble::Changed]);
        assert_eq!(writer.repair(&verdict).unwrap().removed_blobs, 1);
        let told = place.store.audit().unwrap().pop().unwrap().event;
        assert!(matches!(told, Event::Repaired { removed_blobs: 1, .. }), "{told:?}");
        assert_eq!(kinds(&place).1, [Trouble::Missing]);
        content.stage(&writer).unwrap();
        assert_eq!(kinds(&place).1, []);
    }

    #[test]
    fn content_that_cannot_be_read_goes_only_if_it_can_be_had_again() {
        let place = Place::new();
        let writer = place.writer();
        Content::new(1, &[b"one", b"two"]).stage(&writer).unwrap();
        let [one, two] = [&b"one"[..], b"two"].map(Digest::of);
        // A folder in place of a file: whoever opens it may, and cannot read it, root neither.
        for digest in [one, two] {
            fs::remove_file(place.store.blob_path(&digest)).unwrap();
            fs::create_dir(place.store.blob_path(&digest)).unwrap();
        }
        let (verdict, troubles) = kinds(&place);
        assert_eq!(troubles, [Trouble::Unreadable, Trouble::Unreadable]);
        assert_eq!(writer.repair(&verdict).unwrap().removed_blobs, 0);
        for digest in [one, two] {
            fs::remove_dir(place.store.blob_path(&digest)).unwrap();
            fs::write(place.store.blob_path(&digest), "").unwrap();
        }
        writer.remove_unreadable(&verdict, |digest| *digest == one).unwrap();
        assert!(!place.store.blob_path(&one).exists() && place.store.blob_path(&two).exists());
    }

    #[test]
    fn a_damaged_mirror_is_made_again() {
        let damages: [fn(&Path); 3] = [
            |mirror| fs::remove_dir_all(mirror).unwrap(),
            |mirror| fs::remove_dir_all(mirror.join("refs/namespaces/1")).unwrap(),
            |mirror| {
                let packs =
                    fs::read_dir(mirror.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
                packs.filter(|path| path.extension().unwrap() == "idx").for_each(|index| spoil(&index));
            },
        ];
        for (number, damage) in damages.into_iter().enumerate() {
            let place = Place::new();
            let writer = place.writer();
            for (sequence, commits) in [(1, 1), (2, 3)] {
                Content::with_git(sequence, commits).stage(&writer).unwrap();
            }
            damage(&place.store.git_path(&"fleet".parse().unwrap()));
            let (verdict, troubles) = kinds(&place);
            assert!(
                !troubles.is_empty() && troubles.iter().all(|&kind| kind == Trouble::Git),
                "{number}: {troubles:?}"
            );
            assert_eq!(writer.repair(&verdict).unwrap().mirrors.len(), 1, "{number}");
            assert_eq!(kinds(&place).0.findings, [], "{number}");
        }
    }

    #[test]
    fn a_pack_that_has_changed_comes_back_with_its_mirror() {
        let place = Place::new();
        let writer = place.writer();
        let content = Content::with_git(1, 2);
        content.stage(&writer).unwrap();
        spoil(&place.store.blob_path(content.blobs.keys().next().unwrap()));
        let (verdict, troubles) = kinds(&place);
        assert_eq!(troubles, [Trouble::Git, Trouble::Changed]);
        let repairs = writer.repair(&verdict).unwrap();
        assert_eq!((repairs.removed_blobs, repairs.mirrors.len()), (1, 0));
        content.stage(&writer).unwrap();
        assert_eq!(kinds(&place).0.findings, []);
    }
}
