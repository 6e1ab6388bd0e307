//! The two sides of the air gap, and the namespace behind it, for tests.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use sealift_lab::gap;
pub use sealift_lab::gap::OWN_ADDRESS;

/// Which side of the gap a program runs on.
#[derive(Debug, Clone, Copy)]
pub enum Side<'a> {
    /// The vendor's: this machine as it is.
    Vendor,
    /// The appliance's: behind the gap.
    Appliance(&'a Namespace),
}

impl Side<'_> {
    /// A command that runs on this side.
    #[must_use]
    pub fn command(self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Side::Vendor => Command::new(program),
            Side::Appliance(namespace) => namespace.command(program),
        }
    }
}

/// [`gap::Namespace`]; the test fails where something fails.
#[derive(Debug)]
pub struct Namespace(gap::Namespace);

impl Namespace {
    /// Makes a namespace. Needs root.
    #[must_use]
    pub fn new() -> Self {
        Self(gap::Namespace::new().unwrap_or_else(|error| panic!("{error}; run: make test")))
    }

    /// Its name, for whoever lays a cable to it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// A command that runs in this namespace.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.0.command(program)
    }

    /// The same for a program that finds in `hosts` what others find in `/etc/hosts`.
    #[must_use]
    pub fn command_with_hosts(&self, hosts: &Path, program: impl AsRef<OsStr>) -> Command {
        self.0.command_with_hosts(hosts, program)
    }

    /// Does something on a thread of its own in this namespace; threads that it starts are there too.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.0.inside(work).expect("root may go there")
    }

    /// How many packets tried to leave since the namespace was made.
    #[must_use]
    pub fn escaped_packets(&self) -> u64 {
        self.0.escaped_packets().expect("nft shows the counter")
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}
