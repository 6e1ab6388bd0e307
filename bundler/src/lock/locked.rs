//! The entries of a lock.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use sealift_archive::release::ObjectId;
use sealift_archive::{Blob, Digest, FileName, Reference, RepositoryName};

use crate::definition::{ImageSource, Location};

/// An image, pinned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedImage {
    /// The reference under which the appliance serves it.
    pub name: Reference,
    /// Where its content is.
    pub source: ImageSource,
    /// The index or manifest that the reference led to.
    pub target: Content,
    /// All manifests that are carried, the target among them, in an order in which they may be pushed.
    pub manifests: Vec<Content>,
    /// Configurations and layers, each once.
    pub blobs: Vec<Content>,
}

/// A piece of content with its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Content {
    /// Media type.
    pub media_type: String,
    /// Digest.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

impl Content {
    /// Digest and size.
    #[must_use]
    pub fn blob(&self) -> Blob {
        Blob { digest: self.digest, size: self.size }
    }
}

/// A folder as a Git repository, pinned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedGit {
    /// The repository's name.
    pub name: RepositoryName,
    /// The folder, relative to the definition.
    pub path: PathBuf,
    /// The branch.
    pub branch: String,
    /// The one commit.
    pub commit: ObjectId,
    /// Its date, in seconds since 1970 (`SOURCE_DATE_EPOCH` when it was locked, else 0).
    pub date: u64,
    /// The one pack.
    pub pack: Blob,
}

/// A plain file, pinned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedFile {
    /// What it is called in the release.
    pub name: FileName,
    /// Where it is.
    pub source: Location,
    /// Its content.
    pub content: Content,
}
