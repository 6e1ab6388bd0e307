//! What an import leads to beyond the store: how full the disks will be once the release runs, and how long reading takes.
//!
//! A release is on the disk more than once: containerd keeps the compressed layers that it pulls from the registry, and
//! unpacks them. On a disk that is fuller than its threshold kubelet removes images that no container uses just now, those of
//! the release to come too. All of this is an estimate, and refuses nothing; room in the store is another matter, which
//! `Need` answers.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use sealift_archive::{BlobList, Digest, Release, Source};
use sealift_store::{Disk, GiveUp, Store};
use serde::Serialize;

use super::Plan;
use crate::{Error, config};

/// How much larger layers are unpacked than compressed. Measured: 2.84 times for Debian application images (287.6 MB gzip, 817 MB
/// plain), 3.00 for small ones; files that take whole blocks of the disk round that up.
const UNPACKED_TIMES: u64 = 3;
/// What a cheap stick gives, in bytes a second: about the least that USB 2 does.
const MEDIUM_BYTES_PER_SECOND: u64 = 30_000_000;
/// Where k3s and Debian's containerd keep images.
const CONTAINERD_DIRS: [&str; 2] = ["/var/lib/rancher/k3s/agent/containerd", "/var/lib/containerd"];

/// What an import leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// How full the store's file system will be once everything is loaded, in percent.
    pub store_percent: u8,
    /// What containerd adds once the release runs; none if it is not on this machine.
    pub containerd: Option<Containerd>,
    /// Bytes to be read.
    pub read_bytes: u64,
    /// How long that takes from a medium that gives [`Forecast::bytes_per_second`], in seconds.
    pub seconds: u64,
    /// The rate that this assumes.
    pub bytes_per_second: u64,
}

/// What containerd adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Containerd {
    /// Where it keeps images.
    pub dir: PathBuf,
    /// Bytes of its own copy of what the active release does not have: at most, since some of it is never pulled.
    pub copied_bytes: u64,
    /// Bytes of the same unpacked, about.
    pub unpacked_bytes: u64,
    /// How full its file system will be, in percent.
    pub percent: u8,
    /// From where on kubelet removes images, in percent.
    pub threshold_percent: u8,
    /// Bytes that a collection would free on the same file system; 0 if the store lies on another.
    pub collectable_bytes: u64,
}

impl Containerd {
    /// Whether kubelet will remove images.
    #[must_use]
    pub fn is_too_full(&self) -> bool {
        self.percent >= self.threshold_percent
    }
}

/// Says what following the plan leads to; none if it changes nothing.
///
/// # Errors
/// I/O, or a damaged document of the active release.
pub fn forecast(
    store: &Store,
    source: &dyn Source,
    plan: &Plan,
    config: &config::Disk,
) -> Result<Option<Forecast>, Error> {
    if plan.work().next().is_none() {
        return Ok(None);
    }
    let disk = store.disk()?;
    let read_bytes = plan.need.missing_bytes.saturating_sub(plan.need.begun_bytes);
    let dir = match &config.containerd {
        Some(dir) => Some(dir.clone()),
        None => CONTAINERD_DIRS.iter().map(PathBuf::from).find(|dir| dir.is_dir()),
    };
    let containerd = match dir {
        Some(dir) => Some(containerd(store, disk, source, plan, dir, config)?),
        None => None,
    };
    Ok(Some(Forecast {
        store_percent: percent_after(disk, plan.need.needed_bytes),
        containerd,
        read_bytes,
        seconds: read_bytes.div_ceil(MEDIUM_BYTES_PER_SECOND),
        bytes_per_second: MEDIUM_BYTES_PER_SECOND,
    }))
}

fn containerd(
    store: &Store,
    store_disk: Disk,
    source: &dyn Source,
    plan: &Plan,
    dir: PathBuf,
    config: &config::Disk,
) -> Result<Containerd, Error> {
    let active = match store.active()? {
        Some(sequence) => store.release(sequence)?.blob_list()?,
        None => BlobList::default(),
    };
    let to_run = |release: &&Release| {
        plan.steps.iter().any(|step| step.release.sequence == release.statement.sequence)
    };
    let layers = layers(source.releases().iter().filter(to_run), &active);
    let copied_bytes = layers.values().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
    let unpacked_bytes = copied_bytes.saturating_mul(UNPACKED_TIMES);
    let added = copied_bytes.saturating_add(unpacked_bytes);
    // It may not have been started yet; then its directory will be where the nearest one above it is.
    let there = dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
    let is_shared = fs::metadata(there)?.dev() == fs::metadata(store.root())?.dev();
    let (disk, added) = if is_shared {
        (store_disk, added.saturating_add(plan.need.needed_bytes))
    } else {
        (Disk::of(there)?, added)
    };
    let collectable = || store.plan_collection(GiveUp::Expired).map_or(0, |plan| plan.freed_bytes);
    Ok(Containerd {
        copied_bytes,
        unpacked_bytes,
        percent: percent_after(disk, added),
        threshold_percent: config.image_gc_threshold.percent(),
        collectable_bytes: if is_shared { collectable() } else { 0 },
        dir,
    })
}

/// What containerd may pull of these releases and the active one does not have: all content but manifests, files and Git packs. Which
/// of it belongs to a platform or artifact that is never pulled stands in manifests that are still to be read.
fn layers<'r>(releases: impl Iterator<Item = &'r Release>, active: &BlobList) -> BTreeMap<Digest, u64> {
    let mut layers = BTreeMap::new();
    for release in releases {
        let refs = &release.refs;
        let mut own: BTreeMap<Digest, u64> =
            release.blob_list.iter().map(|blob| (blob.digest, blob.size)).collect();
        let files = refs.files.values().map(|file| &file.digest);
        let packs = refs.git.values().flat_map(|repository| &repository.packs);
        for digest in refs.manifests.keys().chain(files).chain(packs) {
            own.remove(digest);
        }
        own.retain(|digest, _| active.size(digest).is_none());
        layers.extend(own);
    }
    layers
}

/// How full a file system is after so many more bytes, in percent, as kubelet counts: by what is available, rounded up.
fn percent_after(disk: Disk, added: u64) -> u8 {
    let available = u128::from(disk.free_bytes.saturating_sub(added));
    let percent = 100 - (available * 100 / u128::from(disk.total_bytes.max(1))).min(100);
    u8::try_from(percent).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_kubelet() {
        let cases = [
            ((100, 100), 0, 0),
            ((100, 40), 0, 60),
            ((100, 40), 25, 85),
            ((100, 40), 40, 100),
            ((100, 40), 400, 100),
            ((1000, 159), 0, 85),
            ((0, 0), 0, 100),
        ];
        for ((total_bytes, free_bytes), added, expected) in cases {
            let disk = Disk { free_bytes, total_bytes };
            assert_eq!(percent_after(disk, added), expected, "{disk:?} and {added}");
        }
    }
}
