//! The first boot: what this machine is to be is heard from a seed, from vSphere or from a person, and then done.
//!
//! Answers come from several sources ([`sources`]), become one value ([`answers::Answers`]), and are kept on the data disk
//! ([`kept`]), so that a new system disk on an old data disk is the same appliance.

pub mod answers;
pub mod console;
mod error;
pub mod given;
pub mod kept;
pub mod places;
pub mod sources;
pub mod told;
pub mod value;

use rustix::system::uname;
use sealift_archive::{Digest, bounded};

use crate::cluster::NodeName;
use answers::Known;
pub use error::Error;
use places::Places;

/// By what systemd tells installations apart.
const MACHINE_ID: &str = "/etc/machine-id";
const MAX_ID_BYTES: u64 = 64;
/// What a machine is called that has not been named.
const NAMELESS: [&str; 2] = ["localhost", "ubuntu"];

/// What is known of this machine where nobody has said it.
///
/// # Errors
/// A token that was kept and is damaged, or I/O.
pub fn known(places: &Places, has_joined: bool) -> Result<Known, Error> {
    let name =
        uname().nodename().to_str().ok().and_then(|name| name.split('.').next()?.parse::<NodeName>().ok());
    let name = name.filter(|name| !NAMELESS.contains(&name.as_str()));
    let made_up = || -> Result<NodeName, Error> {
        let id = bounded::read(&places.at(MACHINE_ID), MAX_ID_BYTES).unwrap_or_default();
        // Not the id itself, which is nobody's business (machine-id(5)).
        let digest = Digest::of(&[b"sealift hostname ", id.as_slice()].concat()).hex();
        let damaged = |why: String| Error::Damaged { file: places.at(MACHINE_ID), why };
        format!("sealift-{digest:.6}").parse().map_err(damaged)
    };
    Ok(Known { hostname: name.map_or_else(made_up, Ok)?, token: kept::token(places)?, has_joined })
}
