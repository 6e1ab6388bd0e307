//! The entries of a lock.

use serde::{Deserialize, Serialize};

use sealift_archive::release::ObjectId;
use sealift_archive::{Blob, Digest, FileName, Reference, RepositoryName};

use crate::definition::{GitSource, ImageSource, Location};
use crate::git::Pinned;

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

/// A Git repository, pinned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedGit {
    /// The repository's name.
    pub name: RepositoryName,
    /// Where its content comes from.
    pub source: GitSource,
    /// Date of the commit that is made from a folder, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<u64>,
    /// Its refs, and the packs that hold all that they lead to.
    pub pinned: Pinned,
}

impl LockedGit {
    /// The commit that `HEAD` leads to.
    #[must_use]
    pub fn commit(&self) -> Option<&ObjectId> {
        self.pinned.refs.get(&self.pinned.head)
    }
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
