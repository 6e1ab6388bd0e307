//! What the registry holds: blobs by digest, and names that point at manifests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use sealift_archive::{AnyDigest, Blob, Digest, Sha512};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

/// How much of a file is read at once for an answer.
const READ_BYTES: usize = 128 << 10;

/// The bytes of one blob or manifest.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Held in memory.
    Memory(Bytes),
    /// Held in a file of this length.
    File(PathBuf, u64),
}

impl Content {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, len) => *len,
        }
    }

    /// The bytes of `range`, which lies within the content, as the body of an answer.
    pub(crate) async fn body(&self, range: Range<u64>) -> io::Result<Body> {
        match self {
            Self::Memory(bytes) => {
                // The range lies within bytes that are in memory.
                let index = |at| usize::try_from(at).map_err(io::Error::other);
                Ok(Body::from(bytes.slice(index(range.start)?..index(range.end)?)))
            }
            Self::File(path, _) => {
                let mut file = tokio::fs::File::open(path).await?;
                file.seek(SeekFrom::Start(range.start)).await?;
                let part = file.take(range.end - range.start);
                Ok(Body::from_stream(ReaderStream::with_capacity(part, READ_BYTES)))
            }
        }
    }
}

/// A manifest, as it was pushed.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) content: Content,
}

#[derive(Debug, Default)]
struct Repository {
    manifests: HashMap<Digest, (String, Content)>,
    tags: BTreeMap<String, Digest>,
    blobs: BTreeSet<Digest>,
    /// Descriptors of the manifests that name a subject, with its digest as they write it, in the order they came.
    referrers: Vec<(String, Value)>,
}

#[derive(Debug, Default)]
struct Inner {
    blobs: HashMap<Digest, Content>,
    repositories: HashMap<String, Repository>,
    files: HashMap<String, (Digest, Content)>,
    aliases: HashMap<Sha512, Digest>,
}

/// All content of one registry. A blob is kept once, but is seen only in the repositories that have it.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Where blobs are kept as files; in memory if there is none.
    dir: Option<PathBuf>,
    inner: Mutex<Inner>,
}

impl Contents {
    pub(crate) fn new(dir: Option<PathBuf>) -> io::Result<Self> {
        if let Some(dir) = &dir {
            fs_err::create_dir_all(dir)?;
        }
        Ok(Self { dir, inner: Mutex::default() })
    }

    pub(crate) fn add_blob(&self, repository: &str, bytes: Bytes) -> io::Result<Blob> {
        let blob = Blob::of(&bytes);
        let content = match &self.dir {
            None => Content::Memory(bytes),
            Some(dir) => {
                let path = dir.join(blob.digest.hex());
                fs_err::write(&path, &bytes)?;
                Content::File(path, blob.size)
            }
        };
        let mut inner = self.lock();
        inner.blobs.insert(blob.digest, content);
        inner.repository(repository).blobs.insert(blob.digest);
        Ok(blob)
    }

    /// Makes a blob of one repository visible in another. Says whether there was such a blob.
    pub(crate) fn mount(&self, digest: Digest, from: &str, to: &str) -> bool {
        let mut inner = self.lock();
        let known = inner.repositories.get(from).is_some_and(|repository| repository.blobs.contains(&digest));
        if known {
            inner.repository(to).blobs.insert(digest);
        }
        known
    }

    /// Adds a manifest, under a tag if there is one.
    pub(crate) fn add_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        bytes: Bytes,
    ) -> Digest {
        let digest = Digest::of(&bytes);
        let mut inner = self.lock();
        let repository = inner.repository(repository);
        let referrer = referrer(&bytes, media_type, digest);
        if let Some(referrer) = referrer.filter(|referrer| !repository.referrers.contains(referrer)) {
            repository.referrers.push(referrer);
        }
        repository.manifests.insert(digest, (media_type.to_owned(), Content::Memory(bytes)));
        if let Some(tag) = tag {
            repository.tags.insert(tag.to_owned(), digest);
        }
        digest
    }

    /// Puts a file at a path, in place of one that was there.
    pub(crate) fn add_file(&self, path: &str, bytes: Bytes) -> Blob {
        let blob = Blob::of(&bytes);
        self.lock().files.insert(path.to_owned(), (blob.digest, Content::Memory(bytes)));
        blob
    }

    pub(crate) fn file(&self, path: &str) -> Option<(Digest, Content)> {
        self.lock().files.get(path).cloned()
    }

    /// Makes content known under the SHA-512 of its bytes too.
    pub(crate) fn add_alias(&self, bytes: &[u8]) -> Sha512 {
        let alias = Sha512::of(bytes);
        self.lock().aliases.insert(alias, Digest::of(bytes));
        alias
    }

    /// Our own name of content.
    pub(crate) fn digest(&self, name: AnyDigest) -> Option<Digest> {
        match name {
            AnyDigest::Sha256(digest) => Some(digest),
            AnyDigest::Sha512(alias) => self.lock().aliases.get(&alias).copied(),
        }
    }

    /// The descriptors of the manifests that name `subject` so.
    pub(crate) fn referrers(&self, repository: &str, subject: AnyDigest) -> Vec<Value> {
        let (inner, subject) = (self.lock(), subject.to_string());
        let all = inner.repositories.get(repository).map_or(&[][..], |repository| &repository.referrers);
        all.iter().filter(|(named, _)| *named == subject).map(|(_, descriptor)| descriptor.clone()).collect()
    }

    pub(crate) fn blob(&self, repository: &str, digest: Digest) -> Option<Content> {
        let inner = self.lock();
        inner.repositories.get(repository)?.blobs.get(&digest)?;
        inner.blobs.get(&digest).cloned()
    }

    /// The manifest that a tag or digest names.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Option<Manifest> {
        let by_digest = reference.parse().ok().map(|name| self.digest(name));
        let inner = self.lock();
        let repository = inner.repositories.get(repository)?;
        let digest = match by_digest {
            Some(digest) => digest?,
            None => *repository.tags.get(reference)?,
        };
        let (media_type, content) = repository.manifests.get(&digest)?;
        Some(Manifest { digest, media_type: media_type.clone(), content: content.clone() })
    }

    /// The tags of a repository, sorted; `None` if there is no such repository.
    pub(crate) fn tags(&self, repository: &str) -> Option<Vec<String>> {
        Some(self.lock().repositories.get(repository)?.tags.keys().cloned().collect())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The subject of a manifest, and the manifest as the list of that subject's referrers has it (distribution-spec,
/// "Listing Referrers").
fn referrer(bytes: &[u8], media_type: &str, digest: Digest) -> Option<(String, Value)> {
    let manifest: Value = serde_json::from_slice(bytes).ok()?;
    let subject = manifest["subject"]["digest"].as_str()?.to_owned();
    let mut descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
    let artifact_type = manifest.get("artifactType").or_else(|| manifest["config"].get("mediaType"));
    for (key, value) in [("artifactType", artifact_type), ("annotations", manifest.get("annotations"))] {
        if let Some(value) = value {
            descriptor[key] = value.clone();
        }
    }
    Some((subject, descriptor))
}

impl Inner {
    fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }
}
