//! The entries of a lock.

use serde::{Deserialize, Serialize};

use sealift_archive::release::ObjectId;
use sealift_archive::{FileName, RepositoryName};

use crate::definition::{GitSource, Location};
use crate::git::Pinned;
use crate::image::Content;

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
