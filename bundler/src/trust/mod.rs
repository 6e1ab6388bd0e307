//! Who may sign: the keys of a vendor, and the versions of its trust root.
//!
//! A vendor keeps them in one [folder](Folder). A new version is a draft until enough root keys of the version before and of
//! its own have signed it; [`init`], [`rotate`] and [`revoke`] make drafts, [`Folder::sign`] signs them.

mod error;
mod folder;
mod init;
mod known;
mod rotate;
mod version;

pub use error::Error;
pub use folder::Folder;
pub use init::{Initialised, Members, init};
pub use known::{Known, Lapsed};
pub use rotate::{Change, KeyName, Rotated, Threshold, revoke, rotate};
pub use version::{Lack, Version};
