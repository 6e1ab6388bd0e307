//! The appliance's side: verify, load, activate, roll back.
//!
//! What an import does is a [`import::Plan`] first; [`import::execute`] follows it. Where the release comes from is
//! hidden behind `sealift_archive::Source`, where it goes is the business of `sealift_store`.

pub mod activation;
pub mod cli;
pub mod cluster;
pub mod config;
mod error;
pub mod flux;
pub mod import;
pub mod k3s;
mod kubernetes;
pub mod media;
pub mod online;
pub mod setup;
pub mod support;
pub mod volumes;

pub use error::Error;
