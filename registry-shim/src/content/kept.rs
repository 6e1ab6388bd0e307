//! Small documents in memory: manifests, which every pull asks for several times.
//!
//! A document comes in when it is first asked for, if it is as long as its release says and has its digest; it is
//! immutable, so it never has to be looked at again. When there is no room for more, what is here stays and the rest is
//! read each time. All of it goes with the catalog that it was read for.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use axum::body::Bytes;
use sealift_archive::{AnyDigest, Blob, Digest};

use super::{Name, open};
use crate::Error;

/// Largest document that is held in memory, in bytes. Manifests have one to a few kilobytes.
pub(crate) const MAX_DOCUMENT_BYTES: u64 = 256 << 10;
/// Bytes of all documents together.
const MAX_KEPT_BYTES: u64 = 6 << 20;

/// The documents that are in memory.
#[derive(Debug, Default)]
pub(crate) struct Kept(RwLock<Documents>);

#[derive(Debug, Default)]
struct Documents {
    by_digest: HashMap<Digest, Document>,
    bytes: u64,
}

/// A document, and its name ready for use.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// The digest.
    pub(crate) name: Name,
    /// The bytes.
    pub(crate) bytes: Bytes,
}

impl Kept {
    /// A document that is here.
    pub(crate) fn get(&self, digest: &Digest) -> Option<Document> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).by_digest.get(digest).cloned()
    }

    /// Reads a document from its file, and keeps it if there is room; this blocks. It has to be one of at most
    /// [`MAX_DOCUMENT_BYTES`].
    pub(crate) fn read(&self, path: &Path, blob: Blob) -> Result<Document, Error> {
        let Blob { digest, size } = blob;
        let mut bytes = Vec::new();
        let file = open(path, blob)?;
        file.take(size).read_to_end(&mut bytes).map_err(|source| Error::Unreadable { digest, source })?;
        let found = Blob::of(&bytes);
        if found.size != size {
            return Err(Error::WrongLength { digest, expected: size, found: found.size });
        }
        if found.digest != digest {
            return Err(Error::WrongContent { digest, found: found.digest });
        }
        let document = Document { name: AnyDigest::from(digest).into(), bytes: bytes.into() };
        self.insert(blob, &document);
        Ok(document)
    }

    fn insert(&self, blob: Blob, document: &Document) {
        let mut documents = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if documents.bytes + blob.size <= MAX_KEPT_BYTES
            && documents.by_digest.insert(blob.digest, document.clone()).is_none()
        {
            documents.bytes += blob.size;
        }
    }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    #[test]
    fn only_what_has_its_digest_is_read_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("document");
        let blob = Blob::of(b"manifest");
        let kept = Kept::default();
        for (damaged, said) in [
            (&b"Manifest"[..], "is really"),
            (b"manifes", "is 7 bytes long"),
            (b"manifest!", "is 9 bytes long"),
        ] {
            fs::write(&path, damaged).unwrap();
            let error = kept.read(&path, blob).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
            assert!(kept.get(&blob.digest).is_none());
        }
        fs::write(&path, b"manifest").unwrap();
        assert_eq!(kept.read(&path, blob).unwrap().bytes, "manifest");
        fs::remove_file(&path).unwrap();
        assert_eq!(kept.get(&blob.digest).unwrap().bytes, "manifest");
    }

    #[test]
    fn when_there_is_no_room_the_rest_is_read_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::default();
        let document = |n: u64| {
            let mut bytes = vec![0; usize::try_from(MAX_DOCUMENT_BYTES).unwrap()];
            bytes[..8].copy_from_slice(&n.to_le_bytes());
            bytes
        };
        let fit = MAX_KEPT_BYTES / MAX_DOCUMENT_BYTES;
        for n in (0..=fit).chain([0]) {
            let (path, bytes) = (dir.path().join(n.to_string()), document(n));
            fs::write(&path, &bytes).unwrap();
            assert_eq!(kept.read(&path, Blob::of(&bytes)).unwrap().bytes, bytes);
            assert_eq!(kept.get(&Digest::of(&bytes)).is_some(), n < fit, "{n}");
        }
        assert_eq!(kept.0.read().unwrap().bytes, MAX_KEPT_BYTES);
    }
}
