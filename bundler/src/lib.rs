//! The vendor's side: resolve, fetch, sign, pack.

pub mod bundle;
pub mod cli;
pub mod definition;
pub mod discover;
mod error;
pub mod export;
pub mod folder;
pub mod image;
mod in_memory;
pub mod keys;
pub mod lock;
pub mod oci_layout;
pub mod statement;
pub mod trust;

pub use error::Error;
