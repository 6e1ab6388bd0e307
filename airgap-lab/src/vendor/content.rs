//! What the registry holds: blobs by digest, and names that point at manifests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use sealift_archive::{Blob, Digest};
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
}

#[derive(Debug, Default)]
struct Inner {
    blobs: HashMap<Digest, Content>,
    repositories: HashMap<String, Repository>,
    files: HashMap<String, (Digest, Content)>,
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

    pub(crate) fn blob(&self, repository: &str, digest: Digest) -> Option<Content> {
        let inner = self.lock();
        inner.repositories.get(repository)?.blobs.get(&digest)?;
        inner.blobs.get(&digest).cloned()
    }

    /// The manifest that a tag or digest names.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Option<Manifest> {
        let inner = self.lock();
        let repository = inner.repositories.get(repository)?;
        let digest = match reference.parse() {
            Ok(digest) => digest,
            Err(_) => *repository.tags.get(reference)?,
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

impl Inner {
    fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }
}
