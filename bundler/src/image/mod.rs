//! Container images: where they come from, what belongs to them, and how a lock pins them.
//!
//! An image is carried with everything that a client may ask for behind the gap: the index byte for byte, the children
//! that were chosen, and what refers to any of them (signatures, SBOMs, attestations), by the referrers API and by tags.
//! [`resolve_image`] finds it all, in a registry, an OCI layout or an archive of `docker save`, and pins it in a
//! [`LockedImage`]; nothing is left out in silence.

mod cosign;
mod docker_archive;
mod error;
mod gather;
pub mod layout;
mod locked;
pub mod manifest;
mod members;
mod names;
mod pin;
mod referrers;
mod resolve;
mod source;

pub use error::Error;
pub use locked::{Content, LockedImage};
pub use resolve::{Scope, resolve_image};
pub(crate) use source::local;
