//! The steps: from what is answered and what is there to what has to be done.

mod configuration;
mod content;
mod host;
mod kubernetes;
mod registry;

use std::cell::OnceCell;
use std::net::IpAddr;
use std::path::PathBuf;

use sealift_archive::Digest;

use super::Error;
use super::answers::Answers;
use super::files::Files;
use super::given::RoleName;
use super::journal::Journal;
use super::machine;
use super::places::Places;
use super::plan::{StepName, Work};
use crate::cluster::NodeName;
pub(super) use kubernetes::K3S_TOKEN;
pub(super) use registry::REGISTRY_DIR;

/// The appliance that is set up.
#[derive(Debug)]
pub struct Site {
    /// Where things are.
    pub places: Places,
    /// The store.
    pub store: PathBuf,
    /// What it is to be.
    pub answers: Answers,
    /// Where our own programs are.
    pub programs: PathBuf,
    address: OnceCell<IpAddr>,
    system_disk: Digest,
}

impl Site {
    /// An appliance with these answers.
    #[must_use]
    pub fn new(places: Places, store: PathBuf, answers: Answers, programs: PathBuf) -> Self {
        let system_disk = machine::system_disk(&places);
        Self { places, store, answers, programs, address: OnceCell::new(), system_disk }
    }

    /// The address of this node. With time, it is waited for.
    pub(super) fn address(&self, has_time: bool) -> Result<IpAddr, Error> {
        if let Some(address) = self.address.get() {
            return Ok(*address);
        }
        let address = machine::address(&self.places, &self.answers, has_time)?;
        Ok(*self.address.get_or_init(|| address))
    }

    pub(super) fn owner(&self) -> Option<(u32, u32)> {
        machine::owner(&self.store)
    }

    pub(super) fn system_disk(&self) -> Digest {
        self.system_disk
    }

    fn name(&self) -> &NodeName {
        &self.answers.hostname
    }

    fn is_alone(&self) -> bool {
        self.answers.role.name() == RoleName::Single
    }
}

/// Says no to answers that cannot be followed any more: Kubernetes and its etcd know a node by its name and its address.
///
/// # Errors
/// [`Error::NotFollowed`].
pub(super) fn follow(site: &Site, journal: &Journal) -> Result<(), Error> {
    let Some(node) = &journal.node else { return Ok(()) };
    let refuse = |key: &'static str, was: &str, is: &str| {
        Err(Error::NotFollowed { key, was: was.to_owned(), is: is.to_owned() })
    };
    let role = site.answers.role.name();
    // One that was alone may become the first of three.
    let has_grown = (node.role, role) == (RoleName::Single, RoleName::First);
    if node.name != *site.name() {
        return refuse("hostname", node.name.as_str(), site.name().as_str());
    }
    if node.role != role && !has_grown {
        return refuse("role", node.role.as_str(), role.as_str());
    }
    match site.address(false) {
        Ok(address) if address != node.address => {
            refuse("network", &node.address.to_string(), &address.to_string())
        }
        _ => Ok(()),
    }
}

/// What a step consists of now.
pub(super) fn work(site: &Site, step: StepName, journal: &Journal, files: &Files) -> Result<Work, Error> {
    let mut work = Work::default();
    match step {
        StepName::Host => host::host(site, files, &mut work)?,
        StepName::Firewall => host::firewall(site, &mut work)?,
        StepName::Trust => content::trust(site, &mut work)?,
        StepName::Store => content::store(site, &mut work)?,
        StepName::Registry => registry::registry(site, &mut work)?,
        StepName::Configuration => configuration::configuration(site, files, &mut work)?,
        StepName::Release => content::release(site, &mut work)?,
        StepName::K3s => kubernetes::k3s(site, journal, &mut work)?,
        StepName::Flux => kubernetes::flux(site, &mut work)?,
    }
    Ok(work)
}
