//! What the tests that cross crates stand on: two sides of an air gap, and the programs of this workspace on both.
//!
//! - With real peers: a vendor's registry ([`Registry`]) and real images ([`fixture`]), signatures ([`Cosign`], [`Gpg`]),
//!   charts ([`Helm`]) and repositories ([`git`]); a gap that counts every attempt to cross it ([`Namespace`]), and a
//!   stick that is carried over it ([`Stick`]); an appliance's container runtime ([`Containerd`]).
//! - With what goes wrong: a vendor whose registry can be told to fail ([`Vendor`]), an appliance whose store is looked
//!   at closely ([`Appliance`]), a line that is taken away ([`Line`]), a disk that is small ([`SmallDisk`]).
//! - On both: the programs of this workspace ([`binaries`]) and those of others ([`peers`]), run to their end, watched
//!   while they run, or measured ([`process`], [`memory`]).
//!
//! Network namespaces, mounts and containers need root. What a test needs is made by `make setup`; what is missing is
//! a failure that says so, never a skipped test. Nothing outlives the test that started it.

// A helper that cannot do its duty ends the test: there is nobody to hand an error to.
#![expect(clippy::missing_panics_doc, reason = "each helper panics when what it is asked for fails")]

pub mod appliance;
pub mod binaries;
pub mod browser;
pub mod containerd;
pub mod cosign;
pub mod disk;
pub mod fixture;
pub mod gap;
pub mod git;
pub mod gpg;
pub mod helm;
pub mod http;
pub mod layout;
pub mod line;
pub mod memory;
pub mod peers;
pub mod process;
pub mod registry;
pub mod releases;
pub mod repository;
pub mod stick;
pub mod tree;
pub mod trust;
pub mod vendor;
pub mod website;

pub use appliance::Appliance;
pub use containerd::Containerd;
pub use cosign::Cosign;
pub use disk::SmallDisk;
pub use gap::{Namespace, Side};
pub use gpg::Gpg;
pub use helm::Helm;
pub use layout::Layout;
pub use line::Line;
pub use registry::Registry;
pub use releases::Releases;
pub use repository::Repository;
pub use stick::Stick;
pub use tree::Tree;
pub use trust::Trust;
pub use vendor::Vendor;
pub use website::Website;

/// Set by `make soak`, to anything: everything is tried.
const SOAK: &str = "SEALIFT_SOAK";

/// Whether everything is to be tried, and not a part of it.
#[must_use]
pub fn is_soak() -> bool {
    std::env::var_os(SOAK).is_some_and(|value| !value.is_empty())
}

/// Says something to whoever watches the tests.
#[expect(clippy::print_stderr, reason = "what was tried is the news of some tests")]
pub fn tell(what: &str) {
    eprintln!("{what}");
}

/// A directory for one test, removed with its content when dropped.
#[must_use]
pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("sealift-test-").tempdir().expect("a temporary directory")
}
