//! What a release is, how it is stored in a file, and who may sign it.
//!
//! No network and no async: everything here works on bytes, files and blocking readers. The file's norm is
//! `FORMAT.md` beside this crate.

pub mod age;
mod any_digest;
mod belt;
pub mod bounded;
pub mod bundle;
pub mod chain;
mod digest;
pub mod digest_tag;
pub mod durable;
mod error;
mod explain;
pub mod format;
mod hashed;
pub mod json;
pub mod making;
pub mod medium;
pub mod packer;
pub mod parity;
mod progress;
pub mod reference;
pub mod release;
mod source;
pub mod split;
pub mod trust;

pub use any_digest::{AnyDigest, AnyHash, Sha512};
pub use bundle::Bundle;
pub use digest::{Blob, Check, Digest, VerifyingReader};
pub use error::Error;
pub use explain::{Class, Code, Explain, io_hint, report, report_json};
pub use format::Malformed;
pub use hashed::Hashed;
pub use progress::{Progress, Unwatched};
pub use reference::{INTERNAL_HOST, Reference};
pub use release::{
    BlobList, Channel, ChannelName, FileName, Platform, Product, Receipt, Refs, ReleaseName, RepositoryName,
    Sequence, Statement, Version,
};
pub use source::{BlobSink, BlobWriter, Release, Source, copy_blob};
