//! `refs.json`: what the names of a release point at. The registry answers from it and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{API_VERSION, BlobList, FileName, MAX_REFS_BYTES, ObjectId, RepositoryName, expect_kind};
use crate::{AnyDigest, Blob, Digest, Error, Reference, Sha512, json};

const KIND: &str = "Refs";

/// Names and where they lead. The bundler writes it, the statement names its digest, and its bytes never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refs {
    api_version: String,
    kind: String,
    /// Complete reference → manifest or index: images, and charts and Flux artifacts, whose descriptors have an
    /// `artifactType`.
    #[serde(default)]
    pub images: BTreeMap<Reference, Descriptor>,
    /// Every manifest and index that is carried, with what the registry must say about it.
    #[serde(default)]
    pub manifests: BTreeMap<Digest, ManifestInfo>,
    /// Manifest → the manifests that refer to it as their subject.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub referrers: BTreeMap<Digest, Vec<Descriptor>>,
    /// Content that something names by another digest than ours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<Sha512, Digest>,
    /// Plain files by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<FileName, Descriptor>,
    /// Git repositories by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub git: BTreeMap<RepositoryName, GitRepository>,
}

/// An OCI content descriptor (image spec, descriptor.md): the fields that Sealift answers with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Descriptor {
    /// Media type of the content.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// Type of an artifact: of referrers, and of what is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Annotations, for referrers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What the registry says about a manifest besides its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestInfo {
    /// Its `Content-Type`.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A Git repository as a release carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitRepository {
    /// The ref that `HEAD` names: `refs/heads/main`. Always one of `refs`.
    pub head: String,
    /// Full ref name → object.
    pub refs: BTreeMap<String, ObjectId>,
    /// The packs that together hold every object; each is a blob of the release.
    pub packs: Vec<Digest>,
}

impl Default for Refs {
    fn default() -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            images: BTreeMap::new(),
            manifests: BTreeMap::new(),
            referrers: BTreeMap::new(),
            aliases: BTreeMap::new(),
            files: BTreeMap::new(),
            git: BTreeMap::new(),
        }
    }
}

impl Refs {
    /// Reads `refs.json`. `document` names it in errors.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::TooLarge`], or [`Error::Inconsistent`] if names could leave their place.
    pub fn parse(document: &str, bytes: &[u8]) -> Result<Self, Error> {
        expect_kind(document, bytes, MAX_REFS_BYTES, KIND)?;
        let refs: Self = json::parse(document, bytes, MAX_REFS_BYTES)?;
        if refs.to_bytes() != bytes {
            // Two spellings of one name would have become one entry, and nobody would know which.
            return Err(Error::inconsistent(document, "it is not in the form that Sealift writes"));
        }
        if let Some((one, other)) = alike(refs.files.keys()) {
            let why = format!("`{one}` and `{other}` differ only in case");
            return Err(Error::inconsistent(document, why));
        }
        for (name, repository) in &refs.git {
            if !repository.refs.contains_key(&repository.head) {
                return Err(Error::inconsistent(document, format!("HEAD of `{name}` names no ref of it")));
            }
            if let Some(wrong) = repository.refs.keys().find(|r| !is_ref_name(r)) {
                return Err(Error::inconsistent(
                    document,
                    format!("`{wrong}` of `{name}` is not a ref name"),
                ));
            }
        }
        Ok(refs)
    }

    /// Our own name of content that others may name otherwise.
    #[must_use]
    pub fn digest_of(&self, name: AnyDigest) -> Option<Digest> {
        match name {
            AnyDigest::Sha256(digest) => Some(digest),
            AnyDigest::Sha512(alias) => self.aliases.get(&alias).copied(),
        }
    }

    /// What the tag of `name` leads to, whatever digest the names have that bear it: a registry has one answer to it.
    #[must_use]
    pub fn of_tag(&self, name: &Reference) -> Option<&Descriptor> {
        let (first, target) = self.images.range(name.without_digest()..).next()?;
        first.shares_tag_with(name).then_some(target)
    }

    /// The document's bytes: what the statement hashes and the store keeps.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        json::to_document(self)
    }

    /// Checks that everything named here is on the blob list, with the same size, and that a tag names one thing.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] with the first name that leads nowhere.
    pub fn check_against(&self, document: &str, list: &BlobList) -> Result<(), Error> {
        for (name, wanted) in self.named() {
            match list.size(&wanted.digest) {
                Some(size) if wanted.size == size => {}
                found => {
                    let why = match found {
                        Some(size) => {
                            format!("`{name}` is {} bytes here, {size} on the blob list", wanted.size)
                        }
                        None => format!("`{name}` names {}, which is not on the blob list", wanted.digest),
                    };
                    return Err(Error::inconsistent(document, why));
                }
            }
        }
        for (alias, digest) in &self.aliases {
            if list.size(digest).is_none() {
                let why = format!("{alias} is {digest}, which is not on the blob list");
                return Err(Error::inconsistent(document, why));
            }
        }
        let missing = self.git.iter().flat_map(|(name, r)| r.packs.iter().map(move |p| (name, p)));
        for (name, pack) in missing {
            if list.size(pack).is_none() {
                let why = format!("pack {pack} of `{name}` is not on the blob list");
                return Err(Error::inconsistent(document, why));
            }
        }
        for (reference, descriptor) in &self.images {
            if reference.digest().is_some_and(|named| self.digest_of(named) != Some(descriptor.digest)) {
                let why = format!("`{reference}` names {}", descriptor.digest);
                return Err(Error::inconsistent(document, why));
            }
            if let Some(other) = self.of_tag(reference).filter(|other| other.digest != descriptor.digest) {
                let why = format!("the tag of `{reference}` names {} too", other.digest);
                return Err(Error::inconsistent(document, why));
            }
            if !self.manifests.contains_key(&descriptor.digest) {
                let why =
                    format!("`{reference}` names {}, which is not among the manifests", descriptor.digest);
                return Err(Error::inconsistent(document, why));
            }
        }
        Ok(())
    }

    fn named(&self) -> impl Iterator<Item = (String, Blob)> + '_ {
        let blob = |d: &Descriptor| Blob { digest: d.digest, size: d.size };
        let images = self.images.iter().map(move |(name, d)| (name.to_string(), blob(d)));
        let manifests =
            self.manifests.iter().map(|(&digest, m)| (digest.to_string(), Blob { digest, size: m.size }));
        let referrers = self.referrers.iter().flat_map(move |(subject, list)| {
            list.iter().map(move |d| (format!("a referrer of {subject}"), blob(d)))
        });
        let files = self.files.iter().map(move |(name, d)| (name.to_string(), blob(d)));
        images.chain(manifests).chain(referrers).chain(files)
    }
}

/// Two names that a file system without case takes for one: a stick's, or a Mac's.
#[must_use]
pub fn alike<'a>(names: impl Iterator<Item = &'a FileName>) -> Option<(&'a FileName, &'a FileName)> {
    let mut seen = BTreeMap::new();
    names
        .map(|name| (seen.insert(name.as_str().to_ascii_lowercase(), name), name))
        .find_map(|(before, name)| before.filter(|before| *before != name).map(|before| (before, name)))
}

/// Whether a name follows the rules of `git check-ref-format` that matter for a path below `refs/`.
#[must_use]
pub fn is_ref_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_graphic() && !b"~^:?*[\\".contains(&b);
    name.starts_with("refs/")
        && !name.contains("@{")
        && !name.contains("..")
        && name.bytes().all(allowed)
        && name.split('/').all(|part| {
            let lock = std::path::Path::new(part).extension().is_some_and(|e| e == "lock");
            !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && !lock
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_must_lead_somewhere() {
        let manifest = Blob::of(b"{}");
        let media_type = "application/vnd.oci.image.manifest.v1+json".to_owned();
        let descriptor = Descriptor {
            media_type: media_type.clone(),
            digest: manifest.digest,
            size: manifest.size,
            artifact_type: None,
            annotations: BTreeMap::new(),
        };
        let mut refs = Refs::default();
        refs.images.insert("ghcr.io/acme/api:1".parse().unwrap(), descriptor);
        let mut list = BlobList::default();
        assert!(refs.check_against("refs", &list).unwrap_err().to_string().contains("not on the blob list"));
        list.insert(manifest).unwrap();
        assert!(
            refs.check_against("refs", &list).unwrap_err().to_string().contains("not among the manifests")
        );
        refs.manifests.insert(manifest.digest, ManifestInfo { media_type, size: manifest.size });
        refs.check_against("refs", &list).unwrap();
        assert_eq!(Refs::parse("refs", &refs.to_bytes()).unwrap(), refs);
    }

    #[test]
    fn a_tag_names_one_thing_whatever_digests_stand_behind_it() {
        let (mut refs, mut list) = (Refs::default(), BlobList::default());
        let mut add = |name: &str, text: &str| {
            let Blob { digest, size } = Blob::of(text.as_bytes());
            let (media_type, annotations) = ("text/manifest".to_owned(), BTreeMap::new());
            list.insert(Blob { digest, size }).unwrap();
            refs.manifests.insert(digest, ManifestInfo { media_type: media_type.clone(), size });
            let name = name.replace("DIGEST", &digest.to_string()).parse().unwrap();
            refs.images
                .insert(name, Descriptor { media_type, digest, size, artifact_type: None, annotations });
            refs.check_against("refs", &list)
        };
        add("ghcr.io/acme/api:1@DIGEST", "one").unwrap();
        add("ghcr.io/acme/api:1", "one").unwrap();
        for apart in [
            "ghcr.io/acme/api:2@DIGEST",
            "ghcr.io/acme/api@DIGEST",
            "ghcr.io/acme/web:1",
            "quay.io/acme/api:1",
        ] {
            add(apart, "another").unwrap();
        }
        let said = add("ghcr.io/acme/api:1@DIGEST", "another").unwrap_err().to_string();
        assert!(said.contains("the tag of `ghcr.io/acme/api:1"), "{said}");
    }

    #[test]
    fn files_and_aliases_lead_somewhere_and_names_stay_apart() {
        let blob = Blob::of(b"hello");
        let file = Descriptor {
            media_type: "text/plain".to_owned(),
            digest: blob.digest,
            size: blob.size,
            artifact_type: None,
            annotations: BTreeMap::new(),
        };
        let mut refs = Refs::default();
        refs.files.insert("docs/a.txt".parse().unwrap(), file.clone());
        refs.aliases.insert(Sha512::of(b"hello"), blob.digest);
        let empty = BlobList::default();
        assert!(refs.check_against("refs", &empty).is_err());
        let mut list = BlobList::default();
        list.insert(blob).unwrap();
        refs.check_against("refs", &list).unwrap();
        assert_eq!(Refs::parse("refs", &refs.to_bytes()).unwrap(), refs);
        assert_eq!(refs.digest_of(Sha512::of(b"hello").into()), Some(blob.digest));
        assert_eq!(refs.digest_of(Sha512::of(b"other").into()), None);
        refs.aliases.insert(Sha512::of(b"other"), Digest::of(b"other"));
        assert!(refs.check_against("refs", &list).unwrap_err().to_string().contains("sha512:"));

        refs.files.insert("Docs/A.txt".parse().unwrap(), file);
        let said = Refs::parse("refs", &refs.to_bytes()).unwrap_err().to_string();
        assert!(said.contains("differ only in case"), "{said}");
    }

    #[test]
    fn refs_stay_below_refs() {
        for good in ["refs/heads/main", "refs/tags/v1.0", "refs/heads/a/b-c"] {
            assert!(is_ref_name(good), "{good}");
        }
        for wrong in
            ["HEAD", "refs/../x", "refs/heads/", "refs//a", "refs/heads/a b", "refs/heads/.a", "refs/a.lock"]
        {
            assert!(!is_ref_name(wrong), "{wrong}");
        }
    }
}
