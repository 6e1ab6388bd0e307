//! The registry over real connections, on stores that are made by hand: as a registry client, as Git, as a person.

mod artifacts;
mod blobs;
mod contracts;
mod files;
mod fixture;
mod git;
mod naming;
mod program;
mod releases;
mod status;
mod tls;
