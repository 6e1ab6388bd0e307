//! The vendor's side: resolve, fetch, sign, pack.

pub mod age;
pub mod artifact;
pub mod bundle;
mod capped;
pub mod chart;
pub mod check;
pub mod cli;
pub mod definition;
pub mod diff;
pub mod discover;
mod error;
pub mod export;
mod files;
#[cfg(test)]
mod fixture;
pub mod flux;
pub mod git;
pub mod image;
mod in_memory;
mod k3s;
pub mod keys;
mod local;
pub mod lock;
pub mod ova;
pub mod overlay;
pub mod publish;
pub mod sbom;
mod secrets;
mod signer;
pub mod statement;
mod tarball;
pub mod trust;
mod yaml;

pub use error::Error;
