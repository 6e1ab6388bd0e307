//! Which commit is meant: what a definition says, and what a remote has.

use std::collections::{BTreeMap, BTreeSet};

use sealift_archive::release::{ObjectId, is_ref_name};

use super::Unfit;
use crate::{Error, git};

/// Below these the branches and tags are.
pub(super) const BRANCHES: &str = "refs/heads/";
pub(super) const TAGS: &str = "refs/tags/";
/// Characters of an object's name where Git hashes with SHA-256.
const SHA256_CHARS: usize = 64;
/// How like a name has to be to be suggested, from 0 to 1, and how many are.
const LIKENESS: f64 = 0.75;
const MAX_SUGGESTIONS: usize = 5;

/// What a definition says: `v3`, `refs/tags/v3`, or a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// The name of a branch or tag.
    Short(String),
    /// A ref by its full name.
    Full(String),
    /// A commit by all its characters.
    Commit(ObjectId),
}

impl Reference {
    /// Reads what stands under `ref`.
    ///
    /// # Errors
    /// Why it can be no ref.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(commit) = text.parse() {
            return Ok(Self::Commit(commit));
        }
        let full = if text.starts_with("refs/") { text.to_owned() } else { format!("{BRANCHES}{text}") };
        if text.starts_with('-') || !is_ref_name(&full) {
            return Err(format!(
                "its `ref` is `{text}`, which can be neither a branch nor a tag nor a commit"
            ));
        }
        Ok(if text.starts_with("refs/") { Self::Full(full) } else { Self::Short(text.to_owned()) })
    }
}

/// The branches and tags of a remote.
#[derive(Debug, Default)]
pub(super) struct Listing(BTreeSet<String>);

impl Listing {
    /// Reads what `git ls-remote` prints.
    ///
    /// # Errors
    /// [`git::Error::Source`] for a repository that hashes with SHA-256.
    pub(super) fn parse(repository: &str, text: &str) -> Result<Self, Error> {
        let entries = text.lines().filter_map(|line| line.split_once('\t'));
        if entries.clone().any(|(object, _)| object.len() == SHA256_CHARS) {
            return Err(git::Error::Source { repository: repository.to_owned(), why: Unfit::Sha256 }.into());
        }
        // `refs/tags/v1^{}` is what the tag leads to.
        Ok(Self(entries.map(|(_, name)| name.to_owned()).filter(|name| !name.ends_with("^{}")).collect()))
    }

    /// The full name of a branch or tag.
    ///
    /// # Errors
    /// [`git::Error::NoRef`] with names that are like it; [`git::Error::AmbiguousRef`].
    pub(super) fn full_name(&self, repository: &str, short: &str) -> Result<String, Error> {
        let found: Vec<String> = [BRANCHES, TAGS]
            .map(|kind| format!("{kind}{short}"))
            .into_iter()
            .filter(|n| self.0.contains(n))
            .collect();
        match <[String; 1]>::try_from(found) {
            Ok([name]) => Ok(name),
            Err(none) if none.is_empty() => Err(self.lacks(repository, short)),
            Err(both) => Err(git::Error::AmbiguousRef {
                repository: repository.to_owned(),
                reference: short.to_owned(),
                names: both,
            }
            .into()),
        }
    }

    /// The error that says that there is no such ref, and what there is.
    pub(super) fn lacks(&self, repository: &str, wanted: &str) -> Error {
        let short_of = |name: &str| {
            name.strip_prefix(BRANCHES).or_else(|| name.strip_prefix(TAGS)).unwrap_or(name).to_owned()
        };
        let short = short_of(wanted);
        let likeness: BTreeMap<String, f64> = self
            .0
            .iter()
            .map(|name| (short_of(name), strsim::jaro_winkler(&short, &short_of(name))))
            .filter(|(_, likeness)| *likeness >= LIKENESS)
            .collect();
        let mut near: Vec<(String, f64)> = likeness.into_iter().collect();
        near.sort_by(|a, b| b.1.total_cmp(&a.1));
        let near = near.into_iter().map(|(name, _)| name).take(MAX_SUGGESTIONS).collect();
        git::Error::NoRef { repository: repository.to_owned(), reference: wanted.to_owned(), near }.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ref_is_short_or_full_or_a_commit() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let cases = [
            ("v3", Reference::Short("v3".to_owned())),
            ("release/1.5", Reference::Short("release/1.5".to_owned())),
            ("refs/pull/7/head", Reference::Full("refs/pull/7/head".to_owned())),
            (commit, Reference::Commit(commit.parse().unwrap())),
        ];
        for (text, expected) in cases {
            assert_eq!(Reference::parse(text), Ok(expected), "{text}");
        }
        for wrong in ["", "-x", "a..b", "refs/heads/", "v1^{}", "a b", "a:b", "v1~1", "refs/x.lock"] {
            assert!(Reference::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_leads_to_one_ref_or_to_advice() {
        let object = "1".repeat(40);
        let lines = ["heads/main", "heads/v2", "tags/v2", "tags/v2^{}", "tags/v3.0.1", "heads/release/1.5"];
        let text: String = lines.map(|name| format!("{object}\trefs/{name}\n")).concat();
        let listing = Listing::parse("x", &text).unwrap();
        let cases = [
            ("main", "refs/heads/main"),
            ("v3.0.1", "refs/tags/v3.0.1"),
            ("v2", "both a branch and a tag"),
            ("v3.0", "has no `v3.0`"),
            ("v3.0", "did you mean `v3.0.1`"),
            ("HEAD", "has no `HEAD`"),
        ];
        for (short, expected) in cases {
            let said = listing.full_name("x", short).unwrap_or_else(|e| sealift_archive::report(&e));
            assert!(said.contains(expected), "{short}: {said}");
        }
        let said =
            Listing::parse("x", &format!("{}\trefs/heads/main\n", "1".repeat(64))).unwrap_err().to_string();
        assert!(said.contains("SHA-256"), "{said}");
    }
}
