//! `sealift diff`: what changed between two releases, told by what people know: images, charts, files, commits.
//!
//! Names are matched by what does not change with a version: the repository of an image or chart. Where each side has
//! one tag of a repository, that is one change from the one to the other.

mod packages;
mod side;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use sealift_archive::release::{Kind, ObjectId};
use sealift_archive::{Blob, Digest, Reference};

pub use packages::{Doubts, PackageChange, Uncertain};
use side::Artifact;
pub use side::Side;

/// What changed from one side to the other.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What was compared.
    pub from: String,
    /// With what.
    pub to: String,
    /// Container images.
    pub images: Vec<Change>,
    /// Helm charts.
    pub charts: Vec<Change>,
    /// Flux artifacts, and artifacts of other types.
    pub artifacts: Vec<Change>,
    /// Plain files.
    pub files: Vec<Change>,
    /// Git repositories.
    pub git: Vec<GitChange>,
    /// Packages in the images, if both sides have them at hand: archives do, locks do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packages: Option<Vec<PackageChange>>,
    /// The images that may hold more packages than that, if packages were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncertain: Option<Doubts>,
    /// All content.
    pub content: ContentChange,
}

/// Something that came, went or became another.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is called, without its version.
    pub name: String,
    /// As it was.
    pub from: Option<Version>,
    /// As it is.
    pub to: Option<Version>,
}

/// One version of something.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    /// Its tag, if it has one.
    pub tag: Option<String>,
    /// Its digest.
    pub digest: Digest,
    /// All of its content, in bytes.
    pub bytes: u64,
}

/// A ref of a Git repository that came, went or moved.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct GitChange {
    /// The repository.
    pub name: String,
    /// The full ref name.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Where it led.
    pub from: Option<ObjectId>,
    /// Where it leads.
    pub to: Option<ObjectId>,
}

/// What of the content is new.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct ContentChange {
    /// Only in the second.
    pub added: Tally,
    /// Only in the first.
    pub removed: Tally,
    /// In both.
    pub kept: Tally,
}

/// How many and how much.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Blobs.
    pub blobs: usize,
    /// Bytes.
    pub bytes: u64,
}

impl Difference {
    /// Compares two sides.
    #[must_use]
    pub fn between(from: &Side, to: &Side) -> Self {
        let of = |kinds: &[Kind]| artifacts(from, to, kinds);
        let packages = from.packages.as_ref().zip(to.packages.as_ref());
        Self {
            from: from.title.clone(),
            to: to.title.clone(),
            images: of(&[Kind::Image]),
            charts: of(&[Kind::Chart]),
            artifacts: of(&[Kind::FluxArtifact, Kind::OtherArtifact]),
            files: files(from, to),
            git: git(from, to),
            packages: packages.map(|(from, to)| packages::changes(from, to)),
            uncertain: packages
                .map(|(from, to)| Doubts { from: from.uncertain.clone(), to: to.uncertain.clone() }),
            content: content(from, to),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.images.is_empty()
            && self.charts.is_empty()
            && self.artifacts.is_empty()
            && self.files.is_empty()
            && self.git.is_empty()
            && self.content.added == Tally::default()
            && self.content.removed == Tally::default()
    }
}

fn artifacts(from: &Side, to: &Side, kinds: &[Kind]) -> Vec<Change> {
    let (before, after) = (by_repository(from, kinds), by_repository(to, kinds));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let nothing = Vec::new();
    names
        .into_iter()
        .flat_map(|name| {
            let gone = before.get(name).unwrap_or(&nothing);
            let come = after.get(name).unwrap_or(&nothing);
            changes(name, gone, come)
        })
        .collect()
}

fn by_repository<'a>(side: &'a Side, kinds: &[Kind]) -> BTreeMap<String, Vec<(&'a Reference, Artifact)>> {
    let mut by_repository: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, artifact) in &side.artifacts {
        if artifact.kind.is_some_and(|kind| kinds.contains(&kind)) {
            by_repository.entry(name.name()).or_default().push((name, *artifact));
        }
    }
    by_repository
}

/// The changes within one repository.
fn changes(name: &str, before: &[(&Reference, Artifact)], after: &[(&Reference, Artifact)]) -> Vec<Change> {
    let only = |these: &[(&Reference, Artifact)], those: &[(&Reference, Artifact)]| -> Vec<Version> {
        let is_new = |item: &&(&Reference, Artifact)| {
            those.iter().all(|other| (other.0, other.1.digest) != (item.0, item.1.digest))
        };
        these.iter().filter(is_new).map(|(name, artifact)| version(name.tag(), artifact)).collect()
    };
    let (mut gone, mut come) = (only(before, after), only(after, before));
    let mut found = Vec::new();
    let change = |from, to| Change { name: name.to_owned(), from, to };
    // The same tag first, then what is left if there is one on each side.
    let mut index = 0;
    while index < gone.len() {
        match come.iter().position(|version| version.tag == gone[index].tag) {
            Some(same) => found.push(change(Some(gone.remove(index)), Some(come.remove(same)))),
            None => index += 1,
        }
    }
    if gone.len() == 1 && come.len() == 1 {
        found.push(change(gone.pop(), come.pop()));
    }
    found.extend(gone.into_iter().map(|version| change(Some(version), None)));
    found.extend(come.into_iter().map(|version| change(None, Some(version))));
    found
}

fn version(tag: Option<&str>, artifact: &Artifact) -> Version {
    Version { tag: tag.map(str::to_owned), digest: artifact.digest, bytes: artifact.bytes }
}

fn files(from: &Side, to: &Side) -> Vec<Change> {
    both(&from.files, &to.files)
        .filter(|(_, before, after)| before.map(|f| f.digest) != after.map(|f| f.digest))
        .map(|(name, before, after)| Change {
            name: name.to_string(),
            from: before.map(|file| version(None, file)),
            to: after.map(|file| version(None, file)),
        })
        .collect()
}

fn git(from: &Side, to: &Side) -> Vec<GitChange> {
    let none = BTreeMap::new();
    both(&from.git, &to.git)
        .flat_map(|(name, before, after)| {
            both(before.unwrap_or(&none), after.unwrap_or(&none))
                .filter(|(_, before, after)| before != after)
                .map(|(reference, before, after)| GitChange {
                    name: name.to_string(),
                    reference: reference.clone(),
                    from: before.cloned(),
                    to: after.cloned(),
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The keys of two maps, with what each has under it.
fn both<'a, K: Ord, V>(
    one: &'a BTreeMap<K, V>,
    other: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, Option<&'a V>, Option<&'a V>)> {
    let keys: BTreeSet<&K> = one.keys().chain(other.keys()).collect();
    keys.into_iter().map(|key| (key, one.get(key), other.get(key)))
}

fn content(from: &Side, to: &Side) -> ContentChange {
    let tally = |blobs: &mut dyn Iterator<Item = Blob>| {
        blobs.fold(Tally::default(), |t, b| Tally { blobs: t.blobs + 1, bytes: t.bytes + b.size })
    };
    let is_in = |side: &Side, blob: &Blob| side.blobs.size(&blob.digest).is_some();
    ContentChange {
        added: tally(&mut to.blobs.iter().filter(|blob| !is_in(from, blob))),
        removed: tally(&mut from.blobs.iter().filter(|blob| !is_in(to, blob))),
        kept: tally(&mut to.blobs.iter().filter(|blob| is_in(from, blob))),
    }
}

#[cfg(test)]
mod tests {
    use sealift_archive::BlobList;

    use super::*;

    /// A side with images by `name=content`, files likewise and one branch.
    fn side(images: &[&str], files: &[&str], commit: char) -> Side {
        let mut blobs = BlobList::default();
        let mut artifact = |text: &str, kind| {
            let (name, content) = text.split_once('=').unwrap();
            let blob = Blob::of(content.as_bytes());
            blobs.insert(blob).unwrap();
            (name.to_owned(), Artifact { kind, digest: blob.digest, bytes: blob.size })
        };
        let images: Vec<_> = images.iter().map(|text| artifact(text, Some(Kind::Image))).collect();
        let files: Vec<_> = files.iter().map(|text| artifact(text, None)).collect();
        let refs =
            BTreeMap::from([("refs/heads/main".to_owned(), commit.to_string().repeat(40).parse().unwrap())]);
        Side {
            title: commit.to_string(),
            artifacts: images.into_iter().map(|(name, a)| (name.parse().unwrap(), a)).collect(),
            files: files.into_iter().map(|(name, a)| (name.parse().unwrap(), a)).collect(),
            git: BTreeMap::from([("fleet".parse().unwrap(), refs)]),
            packages: None,
            blobs,
        }
    }

    fn told(changes: &[Change]) -> Vec<String> {
        let version = |v: &Option<Version>| match v {
            Some(v) => v.tag.clone().unwrap_or_else(|| v.digest.short()),
            None => "-".to_owned(),
        };
        changes.iter().map(|c| format!("{} {} {}", c.name, version(&c.from), version(&c.to))).collect()
    }

    #[test]
    fn changes_are_told_by_repository() {
        let from =
            side(&["a.io/x:1=one", "a.io/y:1=y", "a.io/z:1=z", "a.io/m:1=m1", "a.io/m:2=m2"], &[], 'a');
        let to = side(
            &["a.io/x:2=two", "a.io/y:1=y", "a.io/new:1=new", "a.io/m:1=m1b", "a.io/m:3=m3", "a.io/m:4=m4"],
            &[],
            'a',
        );
        let difference = Difference::between(&from, &to);
        let expected = [
            "a.io/m 1 1",
            "a.io/m 2 -",
            "a.io/m - 3",
            "a.io/m - 4",
            "a.io/new - 1",
            "a.io/x 1 2",
            "a.io/z 1 -",
        ];
        assert_eq!(told(&difference.images), expected);
        assert_eq!(difference.content.kept, Tally { blobs: 1, bytes: 1 });
        assert_eq!(difference.content.added, Tally { blobs: 5, bytes: 3 + 3 + 3 + 2 + 2 });
        assert!(difference.git.is_empty() && !difference.is_none());
    }

    #[test]
    fn files_and_refs_are_told_by_name() {
        let from = side(&[], &["a.txt=a", "b.txt=b", "c.txt=c"], 'a');
        let to = side(&[], &["a.txt=a", "b.txt=B", "d.txt=d"], 'b');
        let difference = Difference::between(&from, &to);
        let names: Vec<(&str, bool, bool)> =
            difference.files.iter().map(|c| (c.name.as_str(), c.from.is_some(), c.to.is_some())).collect();
        assert_eq!(names, [("b.txt", true, true), ("c.txt", true, false), ("d.txt", false, true)]);
        assert_eq!(difference.git.len(), 1);
        assert_eq!(difference.git[0].to.as_ref().unwrap().as_str(), "b".repeat(40));
        assert!(Difference::between(&to, &to).is_none());
    }
}
