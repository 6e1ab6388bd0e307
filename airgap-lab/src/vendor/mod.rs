//! The vendor's side of the gap: a registry in this process, images to put into it, and a slow line to it.
//!
//! [`Registry`] speaks the OCI distribution protocol (pull, and push as far as clients need it) on a free port of
//! loopback, and plain files at any other path. It can be told to fail in all the ways that registries do ([`Fault`]),
//! and it remembers what it was asked ([`Seen`]).

mod access;
mod content;
mod fault;
pub mod image;
mod log;
mod proxy;
mod pull;
mod push;
mod registry;
mod service;
mod wire;

pub use access::Access;
pub use fault::{Fault, Faults, Target};
pub use image::Image;
pub use log::Seen;
pub use proxy::Proxy;
pub use registry::{Config, Referrers, Registry};
