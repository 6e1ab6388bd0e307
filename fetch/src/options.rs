//! What a caller may choose about fetching.

use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use crate::proxy::Proxy;

/// How to reach registries, and how long to insist.
#[derive(Clone, Debug)]
pub struct Options {
    /// Falls back to plain HTTP where a registry does not speak TLS. Loopback hosts never need this.
    pub plain_http: bool,
    /// PEM files with certificates to trust beside those of the system.
    pub ca_files: Vec<PathBuf>,
    /// The same, as PEM; may be empty.
    pub ca_pem: Vec<u8>,
    /// Who we are to servers that want to know it by a certificate.
    pub identity: Option<Identity>,
    /// The directory with Docker's `config.json`; if not given, `DOCKER_CONFIG` or `~/.docker`.
    pub docker_config: Option<PathBuf>,
    /// The proxy that leads outside, in place of the one that the environment names.
    pub proxy: Option<Proxy>,
    /// Whether no proxy is asked, whatever the environment names: for machines beside this one.
    pub direct: bool,
    /// The most content that all connections together bring, in bytes a second; headers do not count.
    pub rate: Option<NonZeroU64>,
    /// Requests to one host at the same time. At least one; fewer are made where `rate` is low.
    pub concurrency: usize,
    /// How long a connection may take to stand, TLS included.
    pub connect_timeout: Duration,
    /// How long a server may be silent, before its answer or in the middle of it.
    pub silence_timeout: Duration,
    /// When to try again.
    pub retry: Retry,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            plain_http: false,
            ca_files: Vec::new(),
            ca_pem: Vec::new(),
            identity: None,
            docker_config: None,
            proxy: None,
            direct: false,
            rate: None,
            // Enough to fill a line of 50 ms with small blobs and questions; registries commonly take more.
            concurrency: 32,
            connect_timeout: Duration::from_secs(10),
            silence_timeout: Duration::from_secs(30),
            retry: Retry::default(),
        }
    }
}

/// A client's certificate and its key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub enum Identity {
    /// In files, read when the client is made.
    Files {
        /// The chain, the client's own certificate first.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// In memory: the chain, the client's own certificate first, and its private key.
    Memory(Vec<u8>),
}

impl fmt::Debug for Identity {
    /// Without what is in memory: it is a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files { certificate, key } => {
                f.debug_struct("Files").field("certificate", certificate).field("key", key).finish()
            }
            Self::Memory(_) => f.write_str("Memory"),
        }
    }
}

/// When to try again, and when to give up.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Tries in a row that bring nothing new before it is given up. At least one.
    pub tries: u32,
    /// The wait after the first failed try; each further one is twice as long, give or take a random part.
    pub first_wait: Duration,
    /// The longest of these waits.
    pub longest_wait: Duration,
    /// The longest wait that a registry may ask for (`Retry-After`). If it wants a longer one, that is an error.
    pub longest_told_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            tries: 6,
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(10),
            longest_told_wait: Duration::from_secs(120),
        }
    }
}
