//! An air gap with real peers, for tests that cross crates.
//!
//! A vendor's side with a registry ([`Registry`]) and real images ([`fixture`]); a gap that counts every attempt to
//! cross it ([`Namespace`]); an appliance's side with a container runtime ([`Containerd`]); and on both the programs of
//! this workspace ([`binaries`]) and those of others ([`peers`]).
//!
//! Network namespaces, mounts and containers need root. What a test needs is made by `make setup`; what is missing is
//! a failure that says so, never a skipped test. Nothing outlives the test that started it.

// A helper that cannot do its duty ends the test: there is nobody to hand an error to.
#![expect(clippy::missing_panics_doc, reason = "each helper panics when what it is asked for fails")]

pub mod binaries;
pub mod containerd;
pub mod fixture;
pub mod gap;
pub mod layout;
pub mod peers;
pub mod process;
pub mod registry;

pub use containerd::Containerd;
pub use gap::{Namespace, Side};
pub use layout::Layout;
pub use registry::Registry;

/// A directory for one test, removed with its content when dropped.
#[must_use]
pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("sealift-test-").tempdir().expect("a temporary directory")
}
