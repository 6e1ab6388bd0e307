//! Small blobs of a bundle, held in memory: manifests, configurations. Fetched together, each frame is read once.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use sealift_archive::{Bundle, Digest, Error, Release, Source as _, Unwatched, json};

use super::package::text;
use crate::in_memory::InMemory;

/// Largest manifest, index or configuration, in bytes, as registries have it.
const MAX_DOCUMENT_BYTES: u64 = 4 << 20;
/// Most bytes of all of them. A release of a thousand images has 10 MB.
const MAX_ALL_BYTES: u64 = 512 << 20;

/// Documents by digest.
#[derive(Debug, Default)]
pub(super) struct Documents(BTreeMap<Digest, Vec<u8>>);

impl Documents {
    /// Reads these blobs, but for those that a release does not carry or that are too large for what they should be.
    ///
    /// # Errors
    /// Damage, I/O, or more than memory should hold.
    pub(super) fn fetch(
        &mut self,
        bundle: &Bundle,
        release: &Release,
        wanted: &BTreeSet<Digest>,
    ) -> Result<(), Error> {
        let size =
            |digest: &&Digest| release.blob_list.size(digest).filter(|&size| size <= MAX_DOCUMENT_BYTES);
        let wanted: BTreeSet<Digest> =
            wanted.iter().filter(|d| !self.0.contains_key(d) && size(d).is_some()).copied().collect();
        let bytes: u64 = wanted.iter().filter_map(|digest| size(&digest)).sum();
        if bytes > MAX_ALL_BYTES {
            let what = format!("the manifests and configurations of {}", release.statement.name());
            return Err(Error::TooLarge { what, size: bytes, limit: MAX_ALL_BYTES });
        }
        let sink = InMemory::default();
        bundle.copy_blobs(&wanted, &sink, &Unwatched)?;
        self.0.append(&mut sink.take_all());
        Ok(())
    }

    /// A document's bytes, if it was fetched.
    pub(super) fn bytes(&self, digest: &Digest) -> Option<&[u8]> {
        self.0.get(digest).map(Vec::as_slice)
    }

    /// A document, if it was fetched and is one.
    pub(super) fn read<T: DeserializeOwned>(&self, digest: &Digest) -> Option<T> {
        json::parse("", self.bytes(digest)?, usize::try_from(MAX_DOCUMENT_BYTES).ok()?).ok()
    }
}

/// A manifest or index (OCI image spec 1.1, Docker's schema 2): the fields that tell what is in it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Manifest {
    pub(super) artifact_type: Option<String>,
    pub(super) config: Option<Descriptor>,
    pub(super) layers: Vec<Descriptor>,
    pub(super) manifests: Vec<Descriptor>,
}

/// What a manifest points at. The digest may be of a kind that is not carried.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    digest: String,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Our own name of it, if the release carries it.
    pub(super) fn carried(&self, release: &Release) -> Option<Digest> {
        let digest = release.refs.digest_of(self.digest.parse().ok()?)?;
        release.blob_list.size(&digest).map(|_| digest)
    }

    /// The digest as it is written, for messages.
    pub(super) fn spelled(&self) -> String {
        text(self.digest.as_bytes())
    }
}
