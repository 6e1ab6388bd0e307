//! The registry over real connections, on stores that are made by hand: as a registry client, as Git, as a person.

mod artifacts;
mod authority;
mod blobs;
mod configure;
mod contracts;
mod crowd;
mod files;
mod fixture;
mod git;
mod hostile;
mod metrics;
mod naming;
mod peer;
mod program;
mod releases;
mod service;
mod status;
mod tls;
mod turns;
