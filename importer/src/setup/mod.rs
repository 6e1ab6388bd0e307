//! The first boot: what this machine is to be is heard from a seed, from vSphere or from a person, and then done.
//!
//! Answers come from several sources ([`sources`]), become one value ([`answers::Answers`]), and are kept on the data disk
//! ([`kept`]), so that a new system disk on an old data disk is the same appliance. What follows from them is a plan of steps
//! ([`plan`]), each of which looks first at what is there; a journal says which of them were done ([`journal`]).

pub mod answers;
mod child;
pub mod console;
mod error;
mod files;
pub mod given;
pub mod journal;
pub mod kept;
mod machine;
pub mod places;
pub mod plan;
mod run;
pub mod sources;
mod steps;
pub mod told;
pub mod value;

use rustix::system::uname;
use sealift_archive::{Digest, bounded};

use crate::cluster::NodeName;
use answers::Known;
pub use error::Error;
pub use run::{Guard, News, Watcher, execute};
pub use steps::Site;

/// Says no to answers that this appliance cannot follow any more.
///
/// # Errors
/// [`Error::NotFollowed`], or a journal that cannot be read.
pub fn follow(site: &Site) -> Result<(), Error> {
    steps::follow(site, &journal::Journal::read(&site.places)?)
}
use machine::MACHINE_ID;
use places::Places;

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
