//! A registry, a client that does not wait long, and a sink.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sealift_archive::{Blob, Progress, Reference};
use sealift_fetch::{Client, Error, Kind, Options, Origin, Retry, Url, Wanted};
use sealift_lab::vendor::{Config, Registry, image};
use tempfile::TempDir;

use crate::sink::MemorySink;

/// The repository of most tests.
pub(crate) const REPOSITORY: &str = "acme/app";
/// The size of most blobs: large enough that it comes in many pieces.
pub(crate) const SIZE: usize = 1_000_000;

/// Counts what it is told.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Progress for Count {
    fn advance(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Everything that a test needs.
pub(crate) struct Setting {
    pub(crate) registry: Registry,
    pub(crate) sink: Arc<MemorySink>,
    pub(crate) progress: Arc<Count>,
    pub(crate) client: Client,
    /// No test reads the Docker configuration of who runs it.
    _docker_config: TempDir,
}

impl Setting {
    pub(crate) fn new() -> Self {
        Self::with(Config::default(), "{}")
    }

    /// A registry of some kind, and a client with this Docker configuration, in which `REGISTRY` stands for it.
    pub(crate) fn with(config: Config, docker_config: &str) -> Self {
        let registry = Registry::start_with(config).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let docker_config = docker_config.replace("REGISTRY", &registry.addr().to_string());
        fs_err::write(dir.path().join("config.json"), docker_config).unwrap();
        let client = Client::new(Options { docker_config: Some(dir.path().to_owned()), ..quick() }).unwrap();
        Self { registry, sink: Arc::default(), progress: Arc::default(), client, _docker_config: dir }
    }

    /// Puts a blob into the registry.
    pub(crate) fn blob(&self, seed: u64) -> (Wanted, Vec<u8>) {
        let bytes = image::noise(seed, SIZE);
        let blob = self.registry.add_blob(REPOSITORY, bytes.clone()).unwrap();
        (self.wanted(blob), bytes)
    }

    pub(crate) fn wanted(&self, blob: Blob) -> Wanted {
        self.wanted_from("acme/app:1.0", blob)
    }

    pub(crate) fn wanted_from(&self, image: &str, blob: Blob) -> Wanted {
        Wanted::new(blob, Origin::Registry { reference: self.reference(image), kind: Kind::Blob })
    }

    /// Puts a plain file where [`Setting::url`] names it.
    pub(crate) fn file(&self, seed: u64) -> (Wanted, Vec<u8>) {
        let bytes = image::noise(seed, SIZE);
        let path = format!("/files/{seed}");
        let blob = self.registry.add_file(&path, bytes.clone());
        (Wanted::new(blob, Origin::Url(self.url(&path))), bytes)
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        self.registry.url(path).parse().unwrap()
    }

    pub(crate) fn reference(&self, rest: &str) -> Reference {
        self.registry.name(rest).parse().unwrap()
    }

    pub(crate) async fn fetch(&self, wanted: Vec<Wanted>) -> Result<(), Error> {
        self.client.fetch_all(wanted, self.sink.clone(), self.progress.clone()).await
    }

    /// The `Range` headers and statuses of all requests for a blob, in their order.
    pub(crate) fn requests_for(&self, wanted: &Wanted) -> Vec<(Option<String>, u16)> {
        let end = wanted.blob.digest.to_string();
        let seen = self.registry.seen().into_iter().filter(|seen| seen.path.ends_with(&end));
        seen.map(|seen| (seen.range, seen.status)).collect()
    }

    /// How many bytes the registry sent for a blob.
    pub(crate) fn sent_for(&self, wanted: &Wanted) -> u64 {
        let end = wanted.blob.digest.to_string();
        self.registry.seen().iter().filter(|seen| seen.path.ends_with(&end)).map(|seen| seen.sent).sum()
    }
}

/// Options with which failures take milliseconds.
pub(crate) fn quick() -> Options {
    Options {
        silence_timeout: Duration::from_millis(400),
        retry: Retry {
            tries: 3,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(5),
            longest_told_wait: Duration::from_secs(5),
        },
        ..Options::default()
    }
}
