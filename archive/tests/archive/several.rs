//! Volumes come one after the other, in any order, and what they hold is kept.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use fs_err as fs;
use sealift_archive::bundle::Unverified;
use sealift_archive::medium::{self, Found};
use sealift_archive::{
    Blob, BlobSink, BlobWriter, Bundle, Check, Digest, Error, Progress, Source as _, Unwatched,
};
use tempfile::TempDir;

use crate::fixture::{Content, StopAfter, Vendor};
use crate::shelf::Shelf;

/// Keeps blobs and parts of blobs in memory.
#[derive(Default)]
struct Keeper {
    blobs: Mutex<BTreeMap<Digest, Vec<u8>>>,
    parts: Mutex<BTreeMap<Digest, Vec<u8>>>,
}

struct KeeperWriter<'a> {
    keeper: &'a Keeper,
    blob: Blob,
    bytes: Vec<u8>,
}

impl BlobSink for Keeper {
    fn begun(&self, blob: Blob) -> Result<u64, Error> {
        Ok(self.parts.lock().unwrap().get(&blob.digest).map_or(0, |part| part.len() as u64))
    }

    fn open(&self, blob: Blob) -> Result<Box<dyn BlobWriter + '_>, Error> {
        let bytes = self.parts.lock().unwrap().remove(&blob.digest).unwrap_or_default();
        Ok(Box::new(KeeperWriter { keeper: self, blob, bytes }))
    }
}

impl BlobWriter for KeeperWriter<'_> {
    fn position(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn restart(&mut self) -> Result<(), Error> {
        self.bytes.clear();
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        let mut check = Check::new(self.blob);
        let bytes = std::mem::take(&mut self.bytes);
        check.update(&bytes)?;
        check.finish()?;
        self.keeper.blobs.lock().unwrap().insert(self.blob.digest, bytes);
        Ok(())
    }
}

impl Drop for KeeperWriter<'_> {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            let part = std::mem::take(&mut self.bytes);
            self.keeper.parts.lock().unwrap().insert(self.blob.digest, part);
        }
    }
}

/// Counts how often it is asked what it has.
#[derive(Default)]
struct Asked(AtomicUsize);

impl BlobSink for Asked {
    fn begun(&self, _: Blob) -> Result<u64, Error> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(0)
    }

    fn open(&self, _: Blob) -> Result<Box<dyn BlobWriter + '_>, Error> {
        Err(Error::Interrupted)
    }
}

#[test]
fn a_sink_is_asked_nothing_after_an_interrupt() {
    let (dir, vendor) = (TempDir::new().unwrap(), Vendor::new());
    let content = Content::of_sizes(&[1, 600, 5000]);
    let bundle = Bundle::open(&content.pack(&dir, &vendor), &vendor.root).unwrap();
    let (asked, stop) = (Asked::default(), StopAfter(AtomicU64::new(0)));
    assert!(matches!(bundle.copy_blobs(&content.all(), &asked, &stop), Err(Error::Interrupted)));
    assert_eq!(asked.0.into_inner(), 0);
}

/// A shelf from which volumes are taken one at a time; what is known of the first stays known.
struct Sticks {
    shelf: Shelf,
    front: Vec<u8>,
}

impl Sticks {
    fn new() -> Self {
        let shelf = Shelf::new();
        let mut front = fs::read(&shelf.archive).unwrap();
        let bundle = Bundle::open(&shelf.archive, &shelf.vendor.root).unwrap();
        front.truncate(usize::try_from(bundle.packing().data_offset).unwrap());
        let apart = shelf.dir.path().join("apart");
        fs::create_dir(&apart).unwrap();
        for volume in &shelf.volumes {
            fs::rename(volume, apart.join(volume.file_name().unwrap())).unwrap();
        }
        Self { shelf, front }
    }

    /// With only these volumes at hand.
    fn insert(&self, numbers: &[usize]) {
        let apart = self.shelf.dir.path().join("apart");
        for (number, volume) in (1..).zip(&self.shelf.volumes) {
            let away = apart.join(volume.file_name().unwrap());
            match (numbers.contains(&number), volume.exists()) {
                (true, false) => fs::rename(&away, volume).unwrap(),
                (false, true) => fs::rename(volume, &away).unwrap(),
                _ => {}
            }
        }
    }

    /// Copies what is missing in the keeper; says which volumes are missing in turn.
    fn copy(&self, keeper: &Keeper, progress: &dyn Progress) -> Result<Vec<u32>, Error> {
        let Found::Volumes(set) = medium::find(&[self.shelf.folder()]).unwrap() else { panic!("no volumes") };
        let set = set.with_front(self.front.clone()).unwrap();
        let bundle = Unverified::on(Box::new(set))?.verify(&self.shelf.vendor.root)?;
        let mut wanted = self.shelf.content.all();
        wanted.retain(|digest| !keeper.blobs.lock().unwrap().contains_key(digest));
        match bundle.copy_blobs(&wanted, keeper, progress) {
            Ok(()) => Ok(Vec::new()),
            Err(Error::VolumesMissing { numbers, .. }) => Ok(numbers),
            Err(error) => Err(error),
        }
    }
}

#[test]
fn sticks_may_come_in_any_order() {
    let sticks = Sticks::new();
    let count = sticks.shelf.volumes.len();
    let forward: Vec<usize> = (1..=count).collect();
    let (odd, even): (Vec<usize>, Vec<usize>) = forward.iter().partition(|number| *number % 2 == 1);
    let orders = [
        forward.clone(),
        forward.iter().rev().copied().collect(),
        [even.clone(), odd.clone()].concat(),
        [odd, vec![1, 1], even].concat(),
    ];
    for order in orders {
        let keeper = Keeper::default();
        let mut rounds = 0;
        // Whoever puts in what is asked for comes to an end: after each round of all sticks more is there.
        let mut missing = vec![0];
        for &stick in order.iter().cycle() {
            sticks.insert(&[stick]);
            missing = sticks.copy(&keeper, &Unwatched).unwrap();
            rounds += 1;
            assert!(
                !missing.contains(&u32::try_from(stick).unwrap()),
                "{order:?}: what is there is not missing"
            );
            if missing.is_empty() {
                break;
            }
            assert!(rounds < count * count, "{order:?}");
        }
        assert!(
            missing.is_empty() && *keeper.blobs.lock().unwrap() == sticks.shelf.content.blobs,
            "{order:?}"
        );
        assert!(keeper.parts.lock().unwrap().is_empty(), "{order:?}");
        if order == forward {
            assert_eq!(rounds, count, "in order each stick is put in once");
        }
    }
}

#[test]
fn whoever_brings_what_is_named_is_done_soon() {
    let sticks = Sticks::new();
    let keeper = Keeper::default();
    let count = sticks.shelf.volumes.len();
    let mut next = count;
    for round in 0.. {
        sticks.insert(&[next]);
        let missing = sticks.copy(&keeper, &Unwatched).unwrap();
        let Some(&first) = missing.first() else { break };
        next = usize::try_from(first).unwrap();
        assert!(round < 2 * count, "{missing:?}");
    }
    assert!(*keeper.blobs.lock().unwrap() == sticks.shelf.content.blobs);
}

#[test]
fn what_was_stopped_in_the_middle_of_a_blob_goes_on_there() {
    let sticks = Sticks::new();
    let keeper = Keeper::default();
    sticks.insert(&(1..=sticks.shelf.volumes.len()).collect::<Vec<_>>());
    let mut stops = 0;
    loop {
        match sticks.copy(&keeper, &StopAfter(1_500_000.into())) {
            Ok(missing) => {
                assert!(missing.is_empty());
                break;
            }
            Err(Error::Interrupted) => stops += 1,
            Err(other) => panic!("{other}"),
        }
        assert!(stops < 20, "it comes to an end");
    }
    assert!(stops >= 3, "{stops}");
    assert!(*keeper.blobs.lock().unwrap() == sticks.shelf.content.blobs);
}
