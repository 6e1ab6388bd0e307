//! Who plays in the demo and in the lab: a vendor, an appliance, and clients that are not ours, all with the real programs.

mod client;
mod programs;
mod stage;

pub(crate) use programs::{Programs, json, run, text};
pub(crate) use stage::{Appliance, Vendor};

/// The registry that the images are called after; nothing listens there.
pub(crate) const NAMED_HOST: &str = "registry.acme.example";
