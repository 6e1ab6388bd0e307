//! k3s on this node: installed from a release, taken to the next one, and back.
//!
//! Each of these is a [`Plan`] made by looking at what is there, and steps that are harmless to repeat; what has been begun stands in
//! a file of ours ([`State`]), so whatever is cut off is gone on with by the same command. Nothing is believed that the
//! vendor has not signed, since k3s runs as root. k3s's own contracts (names, paths, exit statuses) are in `machine` and `places`.

mod before;
mod downgrade;
mod edition;
mod error;
mod install;
mod machine;
mod node;
mod places;
mod plan;
mod settings;
mod snapshot;
mod state;
mod status;
mod upgrade;
mod version;

pub use before::Before;
pub use edition::Edition;
pub use error::Error;
pub use node::{Node, Watcher};
pub use plan::{Plan, Step};
pub use snapshot::{Snapshot, parse_name};
pub use state::{State, UnderWay, What};
pub use status::Status;
pub use version::Version;
