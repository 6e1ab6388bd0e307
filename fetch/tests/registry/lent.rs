//! A sink that its owner only lends, as an import does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sealift_archive::{Class, Digest, Explain as _, Progress};
use sealift_fetch::{Client, Options, Origin, Wanted};
use sealift_lab::vendor::{Fault, Registry, Target, image};
use tokio::runtime::{Builder, Runtime};

use crate::setting::{Count, SIZE, quick};
use crate::sink::MemorySink;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Files on a web server, and what is wanted of them.
fn files(registry: &Registry, count: u64) -> (Vec<Wanted>, BTreeMap<Digest, Vec<u8>>) {
    let contents: BTreeMap<Digest, Vec<u8>> = (0..count)
        .map(|seed| image::noise(seed, SIZE / 10))
        .map(|bytes| (Digest::of(&bytes), bytes))
        .collect();
    let wanted = contents.iter().map(|(digest, bytes)| {
        let path = format!("/{}", digest.blob_path());
        let blob = registry.add_file(&path, bytes.clone());
        Wanted::new(blob, Origin::Url(registry.url(&path).parse().unwrap()))
    });
    (wanted.collect(), contents)
}

#[test]
fn everything_comes_into_a_sink_that_is_lent() {
    let registry = Registry::start().unwrap();
    let (wanted, contents) = files(&registry, 100);
    for (at, fault) in [Fault::Cut(5_000), Fault::Status(503, None), Fault::NoRanges].into_iter().enumerate()
    {
        let path = format!("/{}", wanted[at].blob.digest.blob_path());
        registry.faults().once(Target::Path(path), fault);
    }
    let (sink, progress) = (MemorySink::default(), Count::default());
    Client::new(quick()).unwrap().fetch_into(&runtime(), wanted, &sink, &progress).unwrap();
    assert_eq!(progress.bytes(), 100 * SIZE as u64 / 10);
    assert!(contents.into_iter().all(|(digest, bytes)| sink.whole(digest).unwrap() == bytes));
}

#[test]
fn a_sink_that_fails_ends_it() {
    let registry = Registry::start().unwrap();
    let (wanted, _) = files(&registry, 20);
    let sink = MemorySink::with_room(SIZE as u64 / 2);
    let client = Client::new(Options { concurrency: 2, ..quick() }).unwrap();
    let error = client.fetch_into(&runtime(), wanted, &sink, &Count::default()).unwrap_err();
    assert_eq!(error.class(), Class::NoSpace, "{error}");
    assert!(sink.count() >= 4);
}

/// Asks to stop after so many bytes.
struct Impatient(AtomicU64);

impl Progress for Impatient {
    fn advance(&self, bytes: u64) {
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(bytes), Ordering::Relaxed);
    }

    fn is_interrupted(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

#[test]
fn who_stops_gets_the_sink_back_with_what_has_come() {
    let registry = Registry::start().unwrap();
    let (wanted, _) = files(&registry, 1);
    let digest = wanted[0].blob.digest;
    registry.faults().always(Target::Any, Fault::Stall(60_000));
    let sink = MemorySink::default();
    let client = Client::new(Options { silence_timeout: Duration::from_secs(60), ..quick() }).unwrap();
    let progress = Impatient(AtomicU64::new(60_000));
    let error = client.fetch_into(&runtime(), wanted, &sink, &progress).unwrap_err();
    assert_eq!(error.class(), Class::Interrupted, "{error}");
    assert_eq!(sink.part_len(digest), 60_000);
}
