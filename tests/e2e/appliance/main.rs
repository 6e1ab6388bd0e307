//! The appliance's image, as far as it is known without building one: templates, what goes in, what must not be in, seeds, and
//! what the image does with its disk and its network.

mod data_disk;
mod firewall;
mod payload;
mod scan;
mod seeds;
mod setup;
mod templates;

use std::path::PathBuf;

/// A path in the repository.
fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
