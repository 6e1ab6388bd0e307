//! The vendor's side: resolve, fetch, sign, pack.

pub mod artifact;
pub mod bundle;
pub mod chart;
pub mod cli;
pub mod definition;
mod error;
pub mod export;
pub mod flux;
pub mod folder;
pub mod image;
mod in_memory;
pub mod keys;
pub mod lock;
pub mod oci_layout;
pub mod statement;
mod tarball;
pub mod trust;

pub use error::Error;
