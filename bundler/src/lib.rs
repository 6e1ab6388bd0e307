//! The vendor's side: resolve, fetch, sign, pack.

pub mod bundle;
pub mod cli;
pub mod definition;
pub mod diff;
mod error;
pub mod export;
mod files;
pub mod folder;
pub mod image;
mod in_memory;
mod k3s;
pub mod keys;
mod local;
pub mod lock;
pub mod oci_layout;
pub mod sbom;
pub mod statement;
pub mod trust;

pub use error::Error;
