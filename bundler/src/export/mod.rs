//! `sealift export`: what an archive carries, in forms that need no Sealift. No lock-in.
//!
//! Images, charts, Flux artifacts and what refers to them become an [OCI layout](oci_layout), plain files become [files]. Git
//! comes out of an appliance with `git clone`.

mod files;
mod layout;
pub(crate) mod target;

pub use files::{files, files_bytes};
pub use layout::{oci_layout, oci_layout_bytes};
