//! Read-only OCI registry, files, Git over HTTP and status page of an appliance.
//!
//! A [`Server`] answers from a store and from nothing else: every name is looked up in a closed table made from the
//! releases that lie there. It never writes, and it never dials anybody.
//!
//! - `/v2/…` is the OCI distribution API, as far as it reads;
//! - `/files/<name>` is a plain file, `/files/` the list of them;
//! - `/git/<name>.git` is a Git repository of the active release;
//! - `/peer/…` is what other nodes of a cluster fetch releases from;
//! - `/` tells a person what runs and whether all is well, `/healthz`, `/readyz` and `/metrics` tell a program.
//!
//! A change of the active release is seen by the next request.

mod access;
mod address;
mod agreed;
mod app;
mod capacity;
mod catalog;
mod cli;
mod configure;
mod content;
mod deliveries;
mod error;
mod files;
mod git;
mod html;
mod live;
mod metrics;
mod observe;
mod oci;
mod peer;
mod places;
mod range;
mod refusal;
mod server;
mod status;
mod systemd;
mod tls;

pub use cli::Options;
pub use error::Error;
pub use server::{Config, Server};
pub use tls::{Clock, IdentitySource, TlsFiles};
