//! Git in a release: folders that become a commit, and repositories that bring theirs.
//!
//! A repository ([`Repository`]) is carried with the history of one ref, and with the tags of commits in that
//! history; commits and tags are the original objects, so signatures verify. [`Repository::resolve`] pins it: refs,
//! and packs that together hold all that the refs lead to. A pack is pinned by its digest and by a recipe, what it
//! has to hold, from which [`Repository::rebuild`] makes the same bytes in another clone. Nothing is kept between the
//! two: a clone costs less than the images of a release, and a cache of it would be one more thing that can be stale;
//! whoever has a mirror nearby names that as the address.
//!
//! A release after another adds a small pack to the packs of the one before, so that the appliance, and who packs
//! with `--previous`, takes in only that. The packs never hold what no ref leads to any more: after a rewritten
//! history everything is packed anew.

mod address;
mod command;
mod content;
mod error;
pub mod folder;
mod pack;
mod reference;
mod remote;
mod said;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::io::Read as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use sealift_archive::release::{GitRepository, ObjectId, is_ref_name};
use sealift_archive::{Blob, Digest, Progress};

use address::Address;
use command::{Git, Input};
pub use content::Elsewhere;
pub use error::Error;
pub use pack::Packs;
use reference::{BRANCHES, Reference, TAGS};
use remote::Remote;
use said::Trouble;

/// Beginning of the names of temporary directories.
const PREFIX: &str = "sealift-git-";
/// Where the wanted ref is kept in a clone of ours.
const WANTED: &str = "refs/sealift/wanted";
/// The branch of a repository that is carried by a tag or commit.
const DEFAULT_BRANCH: &str = "main";
/// Most packs of a repository. More would make Git on the appliance slow, as it looks for an object in one after the
/// other.
const MAX_PACKS: usize = 8;
/// Packs after the first are at most so large a part of all, as each holds again what deltas would have saved.
const MAX_ADDED_SHARE: u64 = 2;

/// A repository that a release takes commits from: where it is, and which.
#[derive(Clone, Debug)]
pub struct Repository {
    address: Address,
    reference: Reference,
    environment: Vec<(OsString, OsString)>,
    allows_plain: bool,
}

/// A repository, pinned. What `refs.json` says about it is [`Self::carried`]; the rest is for making the packs again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pinned {
    /// What was asked for: the full name of a ref, or a commit.
    pub from: String,
    /// The branch that `HEAD` names: `refs/heads/main`.
    pub head: String,
    /// Full ref name → object: the branch and the tags.
    pub refs: BTreeMap<String, ObjectId>,
    /// Tags of this history that are not carried, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, String>,
    /// The packs, those of earlier releases first.
    pub packs: Vec<PinnedPack>,
}

/// A pack, and its recipe: everything that `wants` lead to, without what the `wants` of the packs before it lead to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PinnedPack {
    /// The pack.
    pub blob: Blob,
    /// Commits and tags.
    pub wants: Vec<ObjectId>,
}

/// Why a repository cannot be carried as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unfit {
    /// Its objects are named by SHA-256.
    Sha256,
    /// Its history is cut off.
    Shallow,
    /// It has left out objects that it would fetch from elsewhere.
    Partial,
    /// The ref leads to a file or folder.
    NoCommit,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "it hashes with SHA-256, which neither our mirrors nor Flux serve",
            Self::Shallow => "it is a shallow clone: its history is cut off",
            Self::Partial => "it is a partial clone: it has left out objects",
            Self::NoCommit => "the ref leads to no commit",
        })
    }
}

impl Unfit {
    /// What can be done about it.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Sha256 => "carry a folder with its content (`path:`), or a SHA-1 repository",
            Self::Shallow => {
                "name the repository that it was cloned from, or run `git fetch --unshallow` in it"
            }
            Self::Partial => {
                "name the repository that it was cloned from, or run `git fetch --refetch` in it"
            }
            Self::NoCommit => "name a branch, a commit, or a tag of a commit",
        }
    }
}

impl Pinned {
    /// What the release says about the repository.
    #[must_use]
    pub fn carried(&self) -> GitRepository {
        let packs = self.packs.iter().map(|pack| pack.blob.digest).collect();
        GitRepository { head: self.head.clone(), refs: self.refs.clone(), packs }
    }
}

impl Repository {
    /// `url` is a URL (https, http, ssh, file), `user@host:path` or a path relative to `base`; `reference` a branch,
    /// a tag, a full ref name or a commit.
    ///
    /// # Errors
    /// [`Error::Address`] if one of them cannot be that.
    pub fn new(url: &str, reference: &str, base: &Path) -> Result<Self, crate::Error> {
        let address = Address::parse(url, base)?;
        let reference = Reference::parse(reference).map_err(|why| address.refuse(why))?;
        Ok(Self { address, reference, environment: Vec::new(), allows_plain: false })
    }

    /// Whether plain HTTP may be spoken to hosts that are not this machine.
    #[must_use]
    pub fn with_plain_http(mut self, allowed: bool) -> Self {
        self.allows_plain = allowed;
        self
    }

    /// Gives Git a variable besides this process's own where it talks to the remote.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Its address, without secrets.
    #[must_use]
    pub fn name(&self) -> &str {
        self.address.shown()
    }

    /// Finds out what there is now, and packs what the packs of `previous` lack; only what is packed now comes along.
    ///
    /// The history is served as one branch: `branch`, else the one that was asked for, else `main`. Tags whose files
    /// are not all in Git, or whose names Sealift does not carry, are left out and listed.
    ///
    /// # Errors
    /// - [`Error::Address`] if it would be plain HTTP, which is not allowed
    /// - [`Error::NoRef`], [`Error::AmbiguousRef`]
    /// - [`Error::Remote`], [`Error::Access`]: it cannot be talked to
    /// - [`Error::Source`], [`Error::NotInRepository`], [`Error::BadObject`]: it cannot be carried
    /// - [`Error::Failed`], `Interrupted`, or I/O in `scratch`, which needs room for a clone
    pub fn resolve(
        &self,
        branch: Option<&str>,
        previous: Option<&Pinned>,
        scratch: &Path,
        progress: &dyn Progress,
    ) -> Result<(Pinned, Packs), crate::Error> {
        let place = TempDir::with_prefix_in(PREFIX, scratch)?;
        let git = Git { dir: place.path(), about: self.name(), progress };
        git.init()?;
        let from = self.fetch(&git)?;
        let head = match branch {
            Some(branch) => format!("{BRANCHES}{branch}"),
            None if from.starts_with(BRANCHES) => from.clone(),
            None => format!("{BRANCHES}{DEFAULT_BRANCH}"),
        };
        if !is_ref_name(&head) {
            return Err(self.address.refuse(format!("`{head}` cannot be a branch")));
        }
        let commit = git
            .commit(WANTED)?
            .ok_or_else(|| Error::Source { repository: self.name().to_owned(), why: Unfit::NoCommit })?;
        let (tags, left_out) = self.tags(&git, &commit)?;

        git.forget_refs()?;
        let annotated = tags.iter().filter(|tag| tag.is_annotated).map(|tag| tag.object.clone());
        let wants: Vec<ObjectId> = std::iter::once(commit.clone()).chain(annotated).collect();
        let mut made = Packs::new(scratch)?;
        let packs = match previous {
            Some(previous) if git.leads_to(&wants, &wanted_by(&previous.packs))? => {
                add_to(&previous.packs, &git, &wants, &mut made)?
            }
            _ => None,
        };
        let packs = match packs {
            Some(packs) => packs,
            None => pack_anew(&git, wants, &mut made)?,
        };
        let refs =
            tags.into_iter().map(|tag| (tag.name, tag.object)).chain([(head.clone(), commit)]).collect();
        Ok((Pinned { from, head, refs, left_out, packs }, made))
    }

    /// Makes pinned packs again, from the pinned commits; where the remote's refs are by now does not matter.
    ///
    /// # Errors
    /// [`Error::Gone`] if the remote no longer has a pinned object; [`Error::Repacked`] if this Git makes other
    /// packs; else as [`Self::resolve`].
    pub fn rebuild(
        &self,
        pinned: &Pinned,
        wanted: &BTreeSet<Digest>,
        scratch: &Path,
        progress: &dyn Progress,
    ) -> Result<Packs, crate::Error> {
        let mut made = Packs::new(scratch)?;
        let is_wanted = |pack: &PinnedPack| wanted.contains(&pack.blob.digest);
        let Some(last) = pinned.packs.iter().rposition(is_wanted) else { return Ok(made) };
        let place = TempDir::with_prefix_in(PREFIX, scratch)?;
        let git = Git { dir: place.path(), about: self.name(), progress };
        git.init()?;
        self.fetch_pinned(&git, pinned, &wanted_by(&pinned.packs[..=last]))?;
        git.forget_refs()?;
        for (index, pack) in pinned.packs.iter().enumerate().filter(|(_, pack)| is_wanted(pack)) {
            let haves = wanted_by(&pinned.packs[..index]);
            if made.add(&git, &pack.wants, &haves)? != Some(pack.blob) {
                let version = git.text(&["version"], Input::Nothing)?;
                return Err(Error::Repacked { repository: self.name().to_owned(), version }.into());
            }
        }
        Ok(made)
    }

    /// Fetches what was asked for into [`WANTED`]; gives back its full name.
    fn fetch(&self, git: &Git<'_>) -> Result<String, crate::Error> {
        let remote = Remote::new(self, *git)?;
        let listing = remote.list()?;
        match &self.reference {
            Reference::Short(short) => {
                let full = listing.full_name(self.name(), short)?;
                remote.fetch(&[(&full, WANTED)])?;
                Ok(full)
            }
            Reference::Full(full) => match remote.fetch(&[(full, WANTED)]) {
                Err(error) if is_absent(&error) => Err(listing.lacks(self.name(), full)),
                fetched => fetched.map(|()| full.clone()),
            },
            Reference::Commit(commit) => {
                if !fetch_commit(git, &remote, commit)? {
                    return Err(listing.lacks(self.name(), commit.as_str()));
                }
                Ok(commit.to_string())
            }
        }
    }

    /// Fetches these objects with all that they lead to: by the ref that they came from, as every server gives that
    /// away; if it has moved elsewhere, by their own names.
    fn fetch_pinned(&self, git: &Git<'_>, pinned: &Pinned, objects: &[ObjectId]) -> Result<(), crate::Error> {
        let remote = Remote::new(self, *git)?;
        match Reference::parse(&pinned.from).map_err(|why| self.address.refuse(why))? {
            Reference::Commit(commit) => drop(fetch_commit(git, &remote, &commit)?),
            Reference::Short(name) | Reference::Full(name) => match remote.fetch(&[(&name, WANTED)]) {
                Err(error) if !is_absent(&error) => return Err(error),
                _ => {}
            },
        }
        remote.fetch_objects(&git.missing(objects)?)
    }

    /// The tags of commits in the history of `commit`, and those among them that are left out, with the reason.
    ///
    /// # Errors
    /// [`Error::NotInRepository`] if `commit` itself is not whole.
    fn tags(
        &self,
        git: &Git<'_>,
        commit: &ObjectId,
    ) -> Result<(Vec<Tag>, BTreeMap<String, String>), crate::Error> {
        let mut tags = git.tags_in(commit)?;
        let tips: BTreeSet<&ObjectId> = tags.iter().map(|tag| &tag.object).chain([commit]).collect();
        let gaps = content::gaps(git, &tips.into_iter().cloned().collect::<Vec<_>>())?;
        if let Some(gap) = gaps.get(commit) {
            return Err(Error::NotInRepository {
                repository: self.name().to_owned(),
                commit: commit.clone(),
                path: gap.path.clone(),
                what: gap.what,
            }
            .into());
        }
        let mut left_out = BTreeMap::new();
        tags.retain(|tag| {
            let why = match gaps.get(&tag.object) {
                _ if !is_ref_name(&tag.name) => "its name is not plain ASCII".to_owned(),
                Some(gap) => format!("`{}` is {}", gap.path, gap.what),
                None => return true,
            };
            left_out.insert(tag.name.clone(), why);
            false
        });
        Ok((tags, left_out))
    }
}

/// Whether a remote has a commit; then it is fetched into [`WANTED`].
fn fetch_commit(git: &Git<'_>, remote: &Remote<'_>, commit: &ObjectId) -> Result<bool, crate::Error> {
    match remote.fetch(&[(commit.as_str(), WANTED)]) {
        Err(crate::Error::Git(Error::Remote { .. })) => {}
        fetched => return fetched.map(|()| true),
    }
    // Some servers give away only what a ref names. Then whatever a branch or tag leads to is looked through here.
    remote.fetch(&[("refs/heads/*", "refs/sealift/heads/*"), ("refs/tags/*", "refs/tags/*")])?;
    if !git.missing(std::slice::from_ref(commit))?.is_empty() {
        return Ok(false);
    }
    git.run(&["update-ref", WANTED, commit.as_str()], Input::Nothing)?;
    Ok(true)
}

fn is_absent(error: &crate::Error) -> bool {
    matches!(error, crate::Error::Git(Error::Remote { said, .. }) if Trouble::of(said) == Trouble::Absent)
}

/// A tag of a clone.
struct Tag {
    name: String,
    object: ObjectId,
    is_annotated: bool,
}

/// Everything that packs were made to hold.
fn wanted_by(packs: &[PinnedPack]) -> Vec<ObjectId> {
    packs.iter().flat_map(|pack| pack.wants.iter().cloned()).collect()
}

/// The packs there were and, if they lack something, one more. None if they had better be packed anew.
fn add_to(
    packs: &[PinnedPack],
    git: &Git<'_>,
    wants: &[ObjectId],
    made: &mut Packs,
) -> Result<Option<Vec<PinnedPack>>, crate::Error> {
    let mut packs = packs.to_vec();
    let haves = wanted_by(&packs);
    let wants: Vec<ObjectId> = wants.iter().filter(|want| !haves.contains(want)).cloned().collect();
    if !wants.is_empty()
        && let Some(blob) = made.add(git, &wants, &haves)?
    {
        packs.push(PinnedPack { blob, wants });
    }
    let bytes = |packs: &[PinnedPack]| packs.iter().map(|pack| pack.blob.size).sum::<u64>();
    let is_fit = !packs.is_empty()
        && packs.len() <= MAX_PACKS
        && bytes(&packs[1..]).saturating_mul(MAX_ADDED_SHARE) <= bytes(&packs);
    Ok(is_fit.then_some(packs))
}

fn pack_anew(git: &Git<'_>, wants: Vec<ObjectId>, made: &mut Packs) -> Result<Vec<PinnedPack>, crate::Error> {
    made.clear()?;
    let blob = made.add(git, &wants, &[])?;
    Ok(blob.map(|blob| PinnedPack { blob, wants }).into_iter().collect())
}

impl Git<'_> {
    /// Whether a ref is there.
    fn has_ref(&self, name: &str) -> Result<bool, crate::Error> {
        Ok(!self.text(&["for-each-ref", "--count=1", name], Input::Nothing)?.is_empty())
    }

    /// The commit that a ref leads to, by way of however many tags.
    fn commit(&self, name: &str) -> Result<Option<ObjectId>, crate::Error> {
        // Without `--batch-check` a ref to something else would be an error like any other.
        let answer =
            self.text(&["cat-file", "--batch-check"], Input::Text(&format!("{name}^{{commit}}\n")))?;
        let is_commit = |answer: &&str| answer.split(' ').nth(1) == Some("commit");
        Ok(Some(&*answer).filter(is_commit).and_then(|answer| answer.split(' ').next()?.parse().ok()))
    }

    /// Deletes all refs: `pack-objects` writes what tags lead to before the rest, and which tags there are is nothing
    /// that a pack may depend on.
    fn forget_refs(&self) -> Result<(), crate::Error> {
        let refs = self.run(&["for-each-ref", "--format=delete %(refname)"], Input::Nothing)?;
        self.run(&["update-ref", "--stdin"], Input::File(refs.into_inner()))?;
        Ok(())
    }

    /// Which of these objects are not there.
    fn missing(&self, objects: &[ObjectId]) -> Result<Vec<ObjectId>, crate::Error> {
        let answer =
            self.text(&["cat-file", "--batch-check"], Input::Text(&pack::revisions(objects, &[])))?;
        Ok(answer.lines().filter_map(|line| line.strip_suffix(" missing")?.parse().ok()).collect())
    }

    /// Whether `tips` lead to all of `objects`, and to all that those lead to.
    fn leads_to(&self, tips: &[ObjectId], objects: &[ObjectId]) -> Result<bool, crate::Error> {
        if !self.missing(objects)?.is_empty() {
            return Ok(false);
        }
        let walk = ["rev-list", "--objects", "--no-object-names", "--stdin"];
        let rest = self.run(&walk, Input::Text(&pack::revisions(objects, tips)))?;
        Ok(rest.bytes().next().transpose()?.is_none())
    }

    /// The tags that lead to commits in the history of `commit`.
    fn tags_in(&self, commit: &ObjectId) -> Result<Vec<Tag>, crate::Error> {
        let merged = format!("--merged={commit}");
        let format = "--format=%(objecttype) %(objectname) %(refname)";
        let listing = self.text(&["for-each-ref", &merged, format, TAGS], Input::Nothing)?;
        let parse = |line: &str| {
            let (kind, rest) = line.split_once(' ')?;
            let (object, name) = rest.split_once(' ')?;
            Some(Tag { name: name.to_owned(), object: object.parse().ok()?, is_annotated: kind == "tag" })
        };
        Ok(listing.lines().filter_map(parse).collect())
    }
}
