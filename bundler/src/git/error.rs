//! What can go wrong with a repository or folder that a release takes commits from.

use std::path::PathBuf;

use sealift_archive::release::ObjectId;
use sealift_archive::{Class, Code, Explain};

use super::{Elsewhere, Unfit};

/// Why a repository or folder cannot be carried as Git.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Git did not do what it was asked to.
    #[error("`{}` failed for `{about}`: {said}", format!("git {command}").trim_end())]
    Failed {
        /// The folder or repository to be packed.
        about: String,
        /// The subcommand.
        command: String,
        /// What git said.
        said: String,
    },
    /// A folder holds something that a Git commit of ours does not carry.
    #[error("`{}` cannot be carried: {why}", path.display())]
    BadFolder {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The address of a Git repository, or the ref that is wanted from it, is not to be used.
    #[error("the Git repository `{address}` cannot be used: {why}")]
    Address {
        /// The address.
        address: String,
        /// Why.
        why: String,
    },
    /// A Git repository cannot be fetched from.
    #[error("fetching from `{repository}` failed: {said}")]
    Remote {
        /// Its address.
        repository: String,
        /// What Git and the server said.
        said: String,
    },
    /// A Git repository wants credentials, or other ones.
    #[error("`{repository}` lets us not in: {said}")]
    Access {
        /// Its address.
        repository: String,
        /// What Git and the server said.
        said: String,
    },
    /// A Git repository does not have the ref.
    #[error("`{repository}` has no `{reference}`")]
    NoRef {
        /// Its address.
        repository: String,
        /// What was asked for.
        reference: String,
        /// Branches and tags of which one may have been meant.
        near: Vec<String>,
    },
    /// A name is that of a branch and of a tag.
    #[error("`{reference}` of `{repository}` is both a branch and a tag")]
    AmbiguousRef {
        /// The repository's address.
        repository: String,
        /// What was asked for.
        reference: String,
        /// Their full names.
        names: Vec<String>,
    },
    /// A Git repository of a kind that cannot be carried.
    #[error("`{repository}` cannot be carried: {why}")]
    Source {
        /// Its address.
        repository: String,
        /// Why.
        why: Unfit,
    },
    /// A commit names content that its repository does not hold.
    #[error("`{repository}` cannot be carried: `{path}` in commit {commit} is {what}")]
    NotInRepository {
        /// The repository's address.
        repository: String,
        /// The commit.
        commit: ObjectId,
        /// The first such path.
        path: String,
        /// What it is.
        what: Elsewhere,
    },
    /// An object breaks Git's rules, and the appliance would refuse it.
    #[error("`{repository}` holds an object that breaks Git's rules: {said}")]
    BadObject {
        /// The repository's address.
        repository: String,
        /// What Git said about the object.
        said: String,
    },
    /// A repository has lost what was locked.
    #[error("`{repository}` no longer has {object}, which was locked")]
    Gone {
        /// Its address.
        repository: String,
        /// A commit or tag.
        object: ObjectId,
    },
    /// The same objects in another pack.
    #[error("{version} on this machine packs `{repository}` into other bytes than where it was locked")]
    Repacked {
        /// The repository's address.
        repository: String,
        /// The version of Git.
        version: String,
    },
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::Failed { .. } => 409,
            Self::BadFolder { .. } => 410,
            Self::Address { .. } => 450,
            Self::Remote { .. } => 451,
            Self::Access { .. } => 452,
            Self::NoRef { .. } => 453,
            Self::AmbiguousRef { .. } => 454,
            Self::Source { .. } => 455,
            Self::NotInRepository { .. } => 456,
            Self::BadObject { .. } => 457,
            Self::Gone { .. } => 458,
            Self::Repacked { .. } => 459,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Failed { .. } => Class::Failed,
            Self::Remote { .. } | Self::Access { .. } => Class::Unreachable,
            Self::BadObject { .. } => Class::Refused,
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Failed { .. } | Self::BadFolder { .. } => return None,
            Self::Address { .. } => {
                "an address is an https, http, ssh or file URL, `user@host:path`, or a path; credentials are Git's own \
                 (`git help credentials`)"
                    .into()
            }
            Self::Remote { repository, .. } => format!(
                "see what `git ls-remote {repository}` says; many servers say \"not found\" to who may not look"
            ),
            Self::Access { repository, .. } => format!(
                "give Git the credentials, by a credential helper (`git help credentials`) or, for ssh, by a \
                 key in the agent and the server in `known_hosts`, until `git ls-remote {repository}` asks nothing"
            ),
            Self::NoRef { near, .. } if near.is_empty() => {
                "name a branch, a tag, a ref by its full name (`refs/…`), or a commit by all of its 40 characters"
                    .into()
            }
            Self::NoRef { near, .. } => format!("did you mean {}?", backticked(near)),
            Self::AmbiguousRef { names, .. } => format!("write {}", backticked(names)),
            Self::Source { why, .. } => why.hint().into(),
            Self::NotInRepository { what, .. } => what.hint().into(),
            Self::BadObject { .. } => {
                "mend the file in a folder; for a history, ask who keeps it, or carry a folder with its content (`path:`)"
                    .into()
            }
            Self::Gone { .. } => {
                "its history was rewritten: run `sealift lock` again and look at what changed, or push the object \
                 back"
                .into()
            }
            Self::Repacked { .. } => {
                "use the Git that it was locked with, or take the pack from an earlier bundle (`--previous`), or \
                 run `sealift lock` again without the lock of an earlier release"
                    .into()
            }
        })
    }
}

/// `a` or `b` or `c`
fn backticked(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
}
