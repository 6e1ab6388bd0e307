//! What the registry answers, as a table: built once from the releases of a store, then only looked up.
//!
//! The rules of visibility and precedence live here and nowhere else:
//! - content and manifests, by digest, come from every release that is activating, active, retained or staged;
//! - a tag, and likewise the name of a file, is answered by the activating release, else by the active one, else by
//!   the newest retained one that has it; a staged release names nothing;
//! - lists of repositories, tags and files name what the active release has, and Git comes from it alone;
//! - a repository that no visible release has is unknown. The table is closed: there is no other place to ask.
//!
//! Nothing here does I/O, so a look-up cannot fail and cannot wait.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use sealift_archive::release::Descriptor;
use sealift_archive::{
    AnyDigest, BlobList, Digest, FileName, Refs, RepositoryName, Sequence, Sha512, Statement,
};

use crate::address::{Address, HostTable, canonical_host};

/// How a visible release stands. The order is that of precedence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Standing {
    /// On its way to becoming the active one; its tags already count.
    Activating,
    /// The one that `current` names.
    Active,
    /// Was active before, and can be activated again.
    Retained,
    /// Complete and verified, waiting for its activation.
    Staged,
}

/// A visible release, as the catalog takes it in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Release<'a> {
    /// How it stands.
    pub(crate) standing: Standing,
    /// What it is.
    pub(crate) statement: &'a Statement,
    /// What its names point at.
    pub(crate) refs: &'a Refs,
    /// All its content.
    pub(crate) blobs: &'a BlobList,
}

/// Everything that is answered, by name.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    hosts: HashMap<String, HashMap<String, Repository>>,
    manifests: HashMap<Digest, Arc<str>>,
    blobs: HashMap<Digest, u64>,
    referrers: HashMap<Digest, Vec<Descriptor>>,
    aliases: HashMap<Sha512, Digest>,
    files: BTreeMap<FileName, File>,
    active: Option<Sequence>,
    git: BTreeSet<RepositoryName>,
}

/// An image repository that some visible release has.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    tags: BTreeMap<String, Tag>,
    listed: bool,
}

#[derive(Debug)]
struct Tag {
    manifest: Digest,
    listed: bool,
}

#[derive(Debug)]
struct File {
    content: Descriptor,
    listed: bool,
}

impl Catalog {
    /// The table for these releases, in whatever order they come.
    pub(crate) fn new(releases: &[Release<'_>]) -> Self {
        let mut by_precedence = releases.to_vec();
        by_precedence.sort_by_key(|release| (release.standing, Reverse(release.statement.sequence)));
        let mut catalog = Self::default();
        let mut media_types = BTreeSet::new();
        for release in &by_precedence {
            catalog.add_content(release, &mut media_types);
            catalog.add_names(release);
        }
        catalog
    }

    /// The names of the active release's repositories, sorted: of all hosts, or of one, each as one asks for it.
    pub(crate) fn repository_names(&self, namespace: Option<&str>) -> Vec<String> {
        let wanted = namespace.map(canonical_host);
        let hosts = self.hosts.iter().filter(|(host, _)| wanted.is_none_or(|wanted| wanted == *host));
        let listed = hosts.flat_map(|(host, repositories)| {
            repositories.iter().filter(|(_, found)| found.listed).map(move |(name, _)| (host, name))
        });
        let mut names: Vec<String> = listed
            .map(|(host, name)| {
                let is_understood = Address::resolve(name, namespace, self).host() == host;
                if is_understood { name.clone() } else { format!("{host}/{name}") }
            })
            .collect();
        names.sort_unstable();
        names
    }

    /// The repository at an address.
    pub(crate) fn repository(&self, address: &Address<'_>) -> Option<&Repository> {
        self.hosts.get(address.host())?.get(address.repository())
    }

    /// Our own name of content, whichever way it was named.
    pub(crate) fn digest_of(&self, name: AnyDigest) -> Option<Digest> {
        match name {
            AnyDigest::Sha256(digest) => Some(digest),
            AnyDigest::Sha512(alias) => self.aliases.get(&alias).copied(),
        }
    }

    /// The media type of a manifest.
    pub(crate) fn manifest(&self, digest: &Digest) -> Option<&Arc<str>> {
        self.manifests.get(digest)
    }

    /// The size of any content, manifests included, in bytes.
    pub(crate) fn blob_size(&self, digest: &Digest) -> Option<u64> {
        self.blobs.get(digest).copied()
    }

    /// The manifests that have this one as their subject.
    pub(crate) fn referrers(&self, subject: &Digest) -> &[Descriptor] {
        self.referrers.get(subject).map_or(&[], Vec::as_slice)
    }

    /// The file of this name.
    pub(crate) fn file(&self, name: &FileName) -> Option<&Descriptor> {
        self.files.get(name).map(|file| &file.content)
    }

    /// The active release's files by name, each as it is answered.
    pub(crate) fn listed_files(&self) -> impl Iterator<Item = (&FileName, &Descriptor)> {
        self.files.iter().filter(|(_, file)| file.listed).map(|(name, file)| (name, &file.content))
    }

    /// The active release.
    pub(crate) fn active(&self) -> Option<Sequence> {
        self.active
    }

    /// The active release, if it has this Git repository: the namespace to answer from.
    pub(crate) fn git(&self, name: &RepositoryName) -> Option<Sequence> {
        self.active.filter(|_| self.git.contains(name))
    }

    fn add_content(&mut self, release: &Release<'_>, media_types: &mut BTreeSet<Arc<str>>) {
        for blob in release.blobs.iter() {
            self.blobs.entry(blob.digest).or_insert(blob.size);
        }
        for (&digest, info) in &release.refs.manifests {
            // Thousands of manifests share a handful of media types.
            let media_type = match media_types.get(info.media_type.as_str()) {
                Some(known) => Arc::clone(known),
                None => Arc::from(info.media_type.as_str()),
            };
            media_types.insert(Arc::clone(&media_type));
            self.manifests.entry(digest).or_insert(media_type);
        }
        for (&alias, &digest) in &release.refs.aliases {
            self.aliases.entry(alias).or_insert(digest);
        }
        for (&subject, descriptors) in &release.refs.referrers {
            let known = self.referrers.entry(subject).or_default();
            for descriptor in descriptors {
                if known.iter().all(|k| k.digest != descriptor.digest) {
                    known.push(descriptor.clone());
                }
            }
        }
    }

    fn add_names(&mut self, release: &Release<'_>) {
        let is_active = release.standing == Standing::Active;
        let names_count = release.standing != Standing::Staged;
        for (reference, descriptor) in &release.refs.images {
            let address = Address::new(reference.host(), reference.repository());
            let (host, repository) = (address.host().to_owned(), address.repository().to_owned());
            let repository = self.hosts.entry(host).or_default().entry(repository).or_default();
            repository.listed |= is_active;
            if let Some(tag) = reference.tag().filter(|_| names_count) {
                let tag = repository
                    .tags
                    .entry(tag.to_owned())
                    .or_insert(Tag { manifest: descriptor.digest, listed: false });
                tag.listed |= is_active;
            }
        }
        for (name, content) in release.refs.files.iter().filter(|_| names_count) {
            let file = self
                .files
                .entry(name.clone())
                .or_insert_with(|| File { content: content.clone(), listed: false });
            file.listed |= is_active;
        }
        if is_active {
            self.active = Some(release.statement.sequence);
            self.git.extend(release.refs.git.keys().cloned());
        }
    }
}

impl HostTable for Catalog {
    fn has_host(&self, host: &str) -> bool {
        self.hosts.contains_key(host)
    }
}

impl Repository {
    /// The manifest that a tag names.
    pub(crate) fn tag(&self, tag: &str) -> Option<Digest> {
        self.tags.get(tag).map(|tag| tag.manifest)
    }

    /// The active release's tags behind `last` (from the first on, without it), sorted.
    pub(crate) fn tags_after(&self, last: Option<&str>) -> impl Iterator<Item = &str> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.tags
            .range::<str, _>((from, Bound::Unbounded))
            .filter(|(_, tag)| tag.listed)
            .map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealift_archive::release::{BlobListSummary, GitRepository, ManifestInfo};
    use sealift_archive::{Blob, ReleaseName};

    /// A release in which each `(reference, content)` is an image, and whose Git repository is called `git`.
    struct Content {
        standing: Standing,
        statement: Statement,
        refs: Refs,
        blobs: BlobList,
    }

    fn content(standing: Standing, sequence: u64, git: &str, images: &[(&str, &str)]) -> Content {
        let (mut refs, mut blobs) = (Refs::default(), BlobList::default());
        for (reference, text) in images {
            let blob = Blob::of(text.as_bytes());
            blobs.insert(blob).unwrap();
            refs.images.insert(reference.parse().unwrap(), descriptor(text));
            refs.manifests.insert(
                blob.digest,
                ManifestInfo { media_type: "text/manifest".to_owned(), size: blob.size },
            );
            let referrer = descriptor(&format!("signature of {text}"));
            refs.referrers.insert(blob.digest, vec![referrer]);
        }
        let repository = GitRepository { head: String::new(), refs: BTreeMap::new(), packs: Vec::new() };
        refs.git.insert(git.parse().unwrap(), repository);
        let name = ReleaseName {
            product: "acme".parse().unwrap(),
            version: sequence.to_string().parse().unwrap(),
            sequence: sequence.try_into().unwrap(),
        };
        let summary = BlobListSummary { digest: Digest::of(b""), count: 0, content_bytes: 0 };
        Content { standing, statement: Statement::new(name, summary, Blob::of(b"")), refs, blobs }
    }

    fn descriptor(text: &str) -> Descriptor {
        let Blob { digest, size } = Blob::of(text.as_bytes());
        let media_type = "text/manifest".to_owned();
        Descriptor { media_type, digest, size, artifact_type: None, annotations: BTreeMap::new() }
    }

    fn catalog(contents: &[Content]) -> Catalog {
        let releases: Vec<_> = contents
            .iter()
            .map(|Content { standing, statement, refs, blobs }| Release {
                standing: *standing,
                statement,
                refs,
                blobs,
            })
            .collect();
        Catalog::new(&releases)
    }

    fn five_releases() -> Catalog {
        catalog(&[
            content(
                Standing::Staged,
                6,
                "six",
                &[("a.io/x:1", "x6"), ("a.io/x:6", "x6"), ("a.io/staged:1", "s6")],
            ),
            content(Standing::Activating, 5, "five", &[("a.io/x:1", "x5"), ("a.io/x:5", "x5")]),
            content(
                Standing::Retained,
                2,
                "two",
                &[("a.io/x:1", "x2"), ("a.io/x:2", "x2"), ("a.io/old:1", "o2")],
            ),
            content(Standing::Retained, 3, "three", &[("a.io/x:1", "x3"), ("a.io/x:2", "x3")]),
            content(Standing::Active, 4, "four", &[("a.io/x:1", "x4"), ("a.io/x:4", "x4")]),
        ])
    }

    #[test]
    fn a_tag_is_answered_by_the_first_in_precedence() {
        let catalog = five_releases();
        let cases = [
            ("x", "1", Some("x5")),
            ("x", "2", Some("x3")),
            ("x", "4", Some("x4")),
            ("x", "5", Some("x5")),
            ("x", "6", None),
            ("old", "1", Some("o2")),
            ("staged", "1", None),
        ];
        for (repository, tag, expected) in cases {
            let address = Address::new("a.io", repository);
            let found = catalog.repository(&address).expect(repository).tag(tag);
            assert_eq!(found, expected.map(|text| Digest::of(text.as_bytes())), "{repository}:{tag}");
        }
        assert!(catalog.repository(&Address::new("b.io", "x")).is_none());
        assert!(catalog.repository(&Address::new("a.io", "y")).is_none());
    }

    #[test]
    fn a_digest_is_answered_from_every_visible_release() {
        let catalog = five_releases();
        for text in ["x2", "x3", "x4", "x5", "x6", "s6", "o2"] {
            let digest = Digest::of(text.as_bytes());
            assert_eq!(catalog.blob_size(&digest), Some(2), "{text}");
            assert_eq!(catalog.manifest(&digest).map(|m| &**m), Some("text/manifest"), "{text}");
            let referrers: Vec<_> = catalog.referrers(&digest).iter().map(|d| d.digest).collect();
            assert_eq!(referrers, [Digest::of(format!("signature of {text}").as_bytes())], "{text}");
        }
        let other = Digest::of(b"other");
        assert_eq!((catalog.blob_size(&other), catalog.manifest(&other).is_some()), (None, false));
        assert!(catalog.referrers(&other).is_empty());
    }

    #[test]
    fn tag_lists_and_git_are_those_of_the_active_release() {
        let catalog = five_releases();
        let tags = |repository, last| -> Vec<&str> {
            catalog.repository(&Address::new("a.io", repository)).unwrap().tags_after(last).collect()
        };
        assert_eq!(tags("x", None), ["1", "4"]);
        assert_eq!(tags("x", Some("1")), ["4"]);
        assert_eq!(tags("x", Some("11")), ["4"]);
        assert!(tags("x", Some("4")).is_empty());
        assert!(tags("old", None).is_empty() && tags("staged", None).is_empty());

        let namespaces = ["two", "three", "four", "five", "six"].map(|n| catalog.git(&n.parse().unwrap()));
        assert_eq!(namespaces.map(|n| n.map(Sequence::get)), [None, None, Some(4), None, None]);
    }

    #[test]
    fn without_an_active_release_nothing_is_listed() {
        let catalog = catalog(&[content(Standing::Activating, 1, "one", &[("a.io/x:1", "x1")])]);
        let repository = catalog.repository(&Address::new("a.io", "x")).unwrap();
        assert!(repository.tag("1").is_some());
        assert_eq!(repository.tags_after(None).count(), 0);
        assert_eq!(catalog.git(&"one".parse().unwrap()), None);
    }

    #[test]
    fn docker_hub_has_one_name_in_the_table() {
        let catalog = catalog(&[content(
            Standing::Active,
            1,
            "one",
            &[("nginx:1", "n"), ("registry-1.docker.io/redis:1", "r"), ("docker.io/acme/api:1", "a")],
        )]);
        for (host, repository) in
            [("docker.io", "nginx"), ("index.docker.io", "library/redis"), ("docker.io", "acme/api")]
        {
            assert!(catalog.repository(&Address::new(host, repository)).is_some(), "{host}/{repository}");
        }
        assert!(catalog.has_host("docker.io") && !catalog.has_host("registry-1.docker.io"));
    }

    #[test]
    fn a_referrer_that_several_releases_carry_is_told_once() {
        let one = content(Standing::Active, 2, "one", &[("a.io/x:1", "x")]);
        let mut two = content(Standing::Retained, 1, "one", &[("a.io/x:1", "x")]);
        two.refs.referrers.get_mut(&Digest::of(b"x")).unwrap().push(descriptor("sbom"));
        let catalog = catalog(&[two, one]);
        let referrers: Vec<_> = catalog.referrers(&Digest::of(b"x")).iter().map(|d| d.digest).collect();
        assert_eq!(referrers, [Digest::of(b"signature of x"), Digest::of(b"sbom")]);
    }
}
