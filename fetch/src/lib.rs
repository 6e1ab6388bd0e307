//! Getting content over a network, checked and resumed; and putting it into registries.
//!
//! [`Client`] speaks the OCI distribution protocol (distribution-spec 1.1), and gets plain files from web servers. What it
//! fetches goes into a [`BlobSink`](sealift_archive::BlobSink), which checks each blob
//! against its digest; the client's own part is that no more than the announced bytes arrive there, that broken
//! connections are taken up again where they broke, that servers are asked no more often than they like, and that
//! an error says which of them said what.
//!
//! It is written on `reqwest` and not on `oci-client`, which knows no size limit, no `Retry-After` and no retry,
//! and into which no HTTP client that does can be put.
//!
//! [`Meter`] is the progress bar of both programs, and how they learn of Ctrl-C.

mod access;
mod answer;
mod batch;
mod client;
mod credentials;
mod crew;
mod document;
mod error;
mod feed;
mod file;
mod header;
mod host;
mod http;
pub mod meter;
mod options;
mod pace;
mod proxy;
mod push;
mod referrers;
mod request;
mod retry;
mod stop;
mod tags;
mod transfer;

pub use answer::{is_passing, shown};
pub use client::{Client, Kind, MAX_MANIFEST_BYTES, Manifest, Origin, Wanted};
pub use error::{Error, Place, Said, Status};
pub use http::{innermost, is_loopback, is_untrusted, without_secrets};

pub use meter::{Interrupt, Meter};
pub use options::{Identity, Options, Retry};
pub use proxy::Proxy;
pub use push::{Outgoing, Reach};
pub use stop::unless_interrupted;
pub use url::Url;
