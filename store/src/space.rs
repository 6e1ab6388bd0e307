//! How much room an import takes, said before its first byte.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sealift_archive::{Blob, BlobList, Digest, Release, ReleaseName};
use serde::Serialize;

use crate::{Collection, Error, GiveUp, Store, parts};

/// An index file is rarely larger than a quarter of its pack, and never much smaller than a few blocks.
const INDEX_SHARE: u64 = 4;
const MIN_INDEX_BYTES: u64 = 64 << 10;
/// What a file takes at least, and what its size is rounded up to, on the file systems in use.
const BLOCK_BYTES: u64 = 4 << 10;
/// What else is written: documents, refs, the directory entries of the blobs; and so that the disk is not full after.
const MARGIN_BYTES: u64 = 64 << 20;

/// What is missing of some releases, and whether there is room for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Need {
    /// The blobs that are not here yet.
    #[serde(skip)]
    pub missing: Vec<Blob>,
    /// How many they are.
    pub missing_blobs: usize,
    /// Their bytes.
    pub missing_bytes: u64,
    /// How many of these bytes are here already, of blobs that have come in part.
    pub begun_bytes: u64,
    /// Bytes that the import takes in all.
    pub needed_bytes: u64,
    /// Bytes that are free.
    pub free_bytes: u64,
}

/// Bytes of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// Bytes that this user can still write.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// Below this share of free space, in percent, the next import may not fit, and kubelet begins to evict.
pub(crate) const LOW_DISK_PERCENT: u64 = 10;

impl Disk {
    /// Whether too little is free.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.free_bytes < self.total_bytes / 100 * LOW_DISK_PERCENT
    }

    /// The file system of a directory.
    ///
    /// # Errors
    /// I/O.
    pub fn of(dir: &Path) -> Result<Self, Error> {
        let stat = rustix::fs::statvfs(dir).map_err(std::io::Error::from)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Self { free_bytes: bytes(stat.f_bavail), total_bytes: bytes(stat.f_blocks) })
    }
}

impl Store {
    /// The file system that holds the store.
    ///
    /// # Errors
    /// I/O.
    pub fn disk(&self) -> Result<Disk, Error> {
        Disk::of(self.root())
    }

    /// The blobs of a list that are not here. What is here with the right size was checked before it got its name.
    #[must_use]
    pub fn missing(&self, list: &BlobList) -> Vec<Blob> {
        let is_here = |blob: &Blob| {
            let meta = Path::metadata(&self.blob_path(&blob.digest));
            meta.is_ok_and(|meta| meta.is_file() && meta.len() == blob.size)
        };
        list.iter().filter(|blob| !is_here(blob)).collect()
    }

    /// What an import of these releases takes, all of them together: what they share counts once.
    ///
    /// # Errors
    /// The archive's `Inconsistent` if two of them give one blob two sizes, or I/O.
    pub fn need(&self, releases: &[&Release]) -> Result<Need, Error> {
        self.need_of(releases, |_| true)
    }

    /// The same, where only some of what is missing is to be had.
    ///
    /// # Errors
    /// As [`Store::need`].
    pub fn need_of(
        &self,
        releases: &[&Release],
        is_at_hand: impl Fn(&Digest) -> bool,
    ) -> Result<Need, Error> {
        let mut list = BlobList::default();
        releases
            .iter()
            .flat_map(|release| release.blob_list.iter())
            .try_for_each(|blob| list.insert(blob))?;
        let mut missing = self.missing(&list);
        missing.retain(|blob| is_at_hand(&blob.digest));
        let missing_bytes = missing.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.size));
        let begun_bytes = self.begun_bytes(&missing)?;
        let blocks =
            missing.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.size.div_ceil(BLOCK_BYTES)));
        let repositories = releases.iter().flat_map(|release| release.refs.git.values());
        let packs: BTreeSet<&Digest> = repositories.flat_map(|repository| &repository.packs).collect();
        let index_bytes = packs
            .into_iter()
            .map(|pack| MIN_INDEX_BYTES.max(list.size(pack).unwrap_or(0) / INDEX_SHARE))
            .fold(0, u64::saturating_add);
        Ok(Need {
            missing_blobs: missing.len(),
            missing,
            missing_bytes,
            begun_bytes,
            needed_bytes: blocks
                .saturating_mul(BLOCK_BYTES)
                .saturating_sub(begun_bytes)
                .saturating_add(index_bytes)
                .saturating_add(MARGIN_BYTES),
            free_bytes: self.disk()?.free_bytes,
        })
    }

    fn begun_bytes(&self, missing: &[Blob]) -> Result<u64, Error> {
        let begun: BTreeMap<Digest, u64> = parts::all(&self.parts_dir())?
            .into_iter()
            .map(|(_, digest, durable)| (digest, durable))
            .collect();
        Ok(missing.iter().filter_map(|blob| Some(*begun.get(&blob.digest)?.min(&blob.size))).sum())
    }

    /// Refuses a need that there is no room for.
    ///
    /// # Errors
    /// The archive's `NoSpace`, with both numbers; [`Error::NoRoom`] if a collection would free some.
    pub fn expect_room(&self, need: &Need) -> Result<(), Error> {
        if need.needed_bytes <= need.free_bytes {
            return Ok(());
        }
        let place = self.root().display().to_string();
        let (needed, free) = (need.needed_bytes, need.free_bytes);
        let no_space = sealift_archive::Error::NoSpace { place, needed, free };
        match self.plan_collection(GiveUp::Expired) {
            Ok(Collection { freed_bytes: collectable @ 1.., .. }) => {
                let still_missing = needed.saturating_sub(free).saturating_sub(collectable);
                Err(Error::NoRoom { no_space, collectable, still_missing })
            }
            // Why nothing can be removed is news for whoever asks for that.
            Ok(_) | Err(_) => Err(no_space.into()),
        }
    }

    /// Says what of a release that is here is missing after all.
    ///
    /// # Errors
    /// [`Error::Incomplete`], a document that is damaged, or I/O.
    pub(crate) fn expect_content(&self, name: &ReleaseName, list: &BlobList) -> Result<(), Error> {
        let missing = self.missing(list);
        let Some(first) = missing.first() else { return Ok(()) };
        let what = match missing.len() {
            1 => format!("content {} is missing", first.digest),
            count => format!("{count} blobs are missing, the first is {}", first.digest),
        };
        Err(Error::Incomplete { release: Box::new(name.clone()), missing: what })
    }
}
