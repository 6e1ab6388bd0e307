//! What a release is: its signed statement, the list of its content, and what its names point at; and the documents that
//! speak of releases: channels, receipts, and envelopes for publishing.

mod blob_list;
mod channel;
mod inventory;
mod names;
pub mod published;
mod receipt;
mod refs;
mod statement;
mod waiver;

pub use blob_list::BlobList;
pub use channel::{Channel, ChannelName, CurrentRelease, MAX_CHANNEL_BYTES, MAX_EARLIER};
pub use inventory::{CHART_TYPE, FLUX_TYPE, Inventory, Kind};
pub use names::{
    FileName, Line, ObjectId, Platform, Product, ReleaseName, RepositoryName, Sequence, Version,
};
pub use receipt::{Held, HeldState, MAX_RECEIPT_BYTES, MAX_RECEIPT_RELEASES, Receipt, TrustCounters};
pub use refs::{Descriptor, GitRepository, ManifestInfo, Refs, alike, is_ref_name};
pub use statement::{
    BlobListSummary, Kubernetes, MAX_REFS_BYTES, MAX_STATEMENT_BYTES, OperatingSystem, Requirement, Statement,
};
pub use waiver::{Day, Waiver};

/// Version of all documents that Sealift writes.
pub const API_VERSION: &str = "sealift/v1";

use serde::Deserialize;

use crate::Error;

/// The two fields that say what a document is; read before anything else in it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypeMeta {
    api_version: String,
    kind: String,
}

/// Refuses a document of another kind or of a version that we do not know.
pub(crate) fn expect_kind(document: &str, bytes: &[u8], limit: usize, kind: &str) -> Result<(), Error> {
    let meta: TypeMeta = crate::json::parse(document, bytes, limit)?;
    if meta.kind != kind {
        return Err(Error::inconsistent(document, format!("it is a `{}`, not a `{kind}`", meta.kind)));
    }
    if meta.api_version != API_VERSION {
        let why = format!("its apiVersion is `{}`, this Sealift knows `{API_VERSION}`", meta.api_version);
        return Err(Error::inconsistent(document, why));
    }
    Ok(())
}
