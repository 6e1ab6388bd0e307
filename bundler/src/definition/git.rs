//! One Git repository of a release: a folder that becomes one commit, or a repository with its history.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sealift_archive::RepositoryName;
use sealift_archive::release::is_ref_name;

/// A Git repository: what it is called and what is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "GitObject", into = "GitObject")]
#[schemars(with = "GitObject")]
pub struct Git {
    /// Served as `/git/<name>.git`.
    pub name: RepositoryName,
    /// Where its content comes from.
    pub source: GitSource,
    /// The branch that `HEAD` names, if the definition says so.
    pub branch: Option<String>,
}

/// Where the content of a Git repository comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum GitSource {
    /// A folder, relative to the definition: it becomes one commit without parents.
    Folder(PathBuf),
    /// A repository, with its commits and tags.
    #[serde(rename_all = "camelCase")]
    Repository {
        /// What `git clone` takes; a path is relative to the definition.
        url: String,
        /// A branch, a tag, a full ref name or a commit.
        reference: String,
    },
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GitObject {
    /// Served as `/git/<name>.git`.
    name: RepositoryName,
    /// A folder, relative to the definition: it becomes one commit without parents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    /// A repository, with its commits and tags: what `git clone` takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// What of the repository is carried: a branch, a tag, a full ref name or a commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r#ref: Option<String>,
    /// The branch that holds the commit; `main`, or the one that `ref` names, if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
}

impl TryFrom<GitObject> for Git {
    type Error = String;

    fn try_from(object: GitObject) -> Result<Self, String> {
        let source = match (object.path, object.url, object.r#ref) {
            (Some(path), None, None) => GitSource::Folder(path),
            (None, Some(url), Some(reference)) => GitSource::Repository { url, reference },
            (None, Some(_), None) => {
                return Err("a repository needs a `ref`: a branch, a tag or a commit".into());
            }
            _ => return Err("a Git repository has a `path`, or a `url` and a `ref`".into()),
        };
        if let Some(wrong) = object.branch.as_ref().filter(|b| !is_ref_name(&format!("refs/heads/{b}"))) {
            return Err(format!("`{wrong}` cannot be a branch"));
        }
        Ok(Self { name: object.name, source, branch: object.branch })
    }
}

impl From<Git> for GitObject {
    fn from(git: Git) -> Self {
        let (path, url, r#ref) = match git.source {
            GitSource::Folder(path) => (Some(path), None, None),
            GitSource::Repository { url, reference } => (None, Some(url), Some(reference)),
        };
        Self { name: git.name, path, url, r#ref, branch: git.branch }
    }
}
