//! A repository of an OCI registry.
//!
//! Nobody can be kept from writing there at the same time. Content and manifests of content are the same whoever writes
//! them. Two who move a channel are noticed only if the other one writes before the tag is read back: whoever read the tag
//! earlier and writes later replaces it, and neither is told. So one machine has to do it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

use sealift_archive::release::published::{Enveloped, Published, find_envelope};
use sealift_archive::{Blob, Digest, Error as ArchiveError, Progress, Reference, Source as _, Unwatched};
use sealift_fetch::{Client, Error as FetchError, Kind, Origin, Outgoing, Reach, Wanted, unless_interrupted};

use super::manifest::{self, EMPTY, MAX_NAMED};
use super::place::{Content, Place};
use crate::Error;
use crate::artifact::MANIFEST_TYPE;
use crate::in_memory::InMemory;

/// Blobs up to this size are copied out of the bundle many at a time, in its order: each would cost the frame that it
/// shares with others.
const SMALL_BYTES: u64 = 1 << 20;
/// What is held in memory of them.
const BATCH_BYTES: u64 = 32 << 20;
/// What tags of releases begin with.
const RELEASE_TAG: &str = "release-";

/// A repository, and what it takes to speak with it.
pub(super) struct Repository {
    name: String,
    reference: Reference,
    client: Client,
    runtime: Runtime,
    reach: Reach,
    interrupt: Arc<dyn Progress>,
}

impl Repository {
    pub(super) fn new(
        name: &str,
        reference: Reference,
        client: Client,
        reach: Reach,
        interrupt: Arc<dyn Progress>,
    ) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        Ok(Self { name: name.to_owned(), reference, client, runtime, reach, interrupt })
    }

    fn run<T>(&self, work: impl Future<Output = Result<T, FetchError>>) -> Result<T, Error> {
        Ok(self.runtime.block_on(unless_interrupted(&*self.interrupt, work))?)
    }

    /// Which of these blobs are missing.
    fn look(&self, blobs: &[Blob], progress: &dyn Progress) -> Result<BTreeSet<Digest>, Error> {
        self.run(self.client.missing_blobs(&self.reference, blobs, self.reach, progress))
    }

    fn tagged(&self, part: Published) -> Result<Reference, Error> {
        Ok(self.reference.tagged(&part.tag().unwrap_or_default())?)
    }

    /// Puts a manifest there, and first the blobs that it names and that are in memory.
    fn push(&self, tag: &Reference, manifest: &[u8], blobs: &[&[u8]]) -> Result<(), Error> {
        let held = Held(blobs.iter().map(|bytes| (Digest::of(bytes), bytes.to_vec())).collect());
        self.push_missing(&Arc::new(held))?;
        self.run(self.client.push_manifest(tag, MANIFEST_TYPE, manifest))?;
        Ok(())
    }

    fn push_missing(&self, held: &Arc<Held>) -> Result<(), Error> {
        let mut blobs: Vec<Blob> = held.0.values().map(|bytes| Blob::of(bytes)).collect();
        let missing = self.look(&blobs, &*self.interrupt)?;
        blobs.retain(|blob| missing.contains(&blob.digest));
        self.push_blobs(blobs, Arc::clone(held) as Arc<dyn Outgoing>, Arc::new(Unwatched))
    }

    fn push_blobs(
        &self,
        blobs: Vec<Blob>,
        content: Arc<dyn Outgoing>,
        progress: Arc<dyn Progress>,
    ) -> Result<(), Error> {
        self.run(self.client.push_blobs(&self.reference, blobs, content, progress))
    }

    fn fetch(&self, blob: Blob) -> Result<Vec<u8>, Error> {
        let origin = Origin::Registry { reference: self.reference.clone(), kind: Kind::Blob };
        let sink = Arc::new(InMemory::default());
        let progress = Arc::clone(&self.interrupt);
        self.run(self.client.fetch_all(vec![Wanted::new(blob, origin)], sink.clone(), progress))?;
        Ok(sink.take())
    }
}

impl Place for Repository {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&self, part: Published) -> Result<Option<Vec<u8>>, Error> {
        let tagged = self.tagged(part)?;
        let Some(manifest) = self.run(self.client.manifest_if_any(&tagged))? else { return Ok(None) };
        Ok(Some(match find_envelope(&tagged.to_string(), &manifest.bytes)? {
            Enveloped::Here(envelope) => envelope,
            Enveloped::There(blob) => self.fetch(blob)?,
        }))
    }

    fn write(&self, part: Published, envelope: &[u8]) -> Result<(), Error> {
        self.push(&self.tagged(part)?, &manifest::of_envelope(envelope), &[EMPTY, envelope])
    }

    fn releases(&self) -> Result<Vec<Digest>, Error> {
        let tags = self.run(self.client.tags(&self.reference))?;
        let hexes = tags.iter().filter_map(|tag| tag.strip_prefix(RELEASE_TAG));
        Ok(hexes.filter_map(Digest::from_hex).collect())
    }

    fn blob(&self, digest: Digest, most: u64) -> Result<Option<Vec<u8>>, Error> {
        let size = self.run(self.client.blob_size(&self.reference, digest))?;
        let blob = size.filter(|size| *size <= most).map(|size| Blob { digest, size });
        blob.map(|blob| self.fetch(blob)).transpose()
    }

    fn missing(&self, blobs: &[Blob], progress: &dyn Progress) -> Result<BTreeSet<Digest>, Error> {
        let missing = self.look(blobs, progress)?;
        let there = blobs.iter().filter(|blob| !missing.contains(&blob.digest));
        progress.advance(there.map(|blob| blob.size).sum());
        Ok(missing)
    }

    fn passes(&self) -> u64 {
        1
    }

    fn bring(
        &self,
        blobs: &[Blob],
        content: &Arc<Content>,
        progress: &Arc<dyn Progress>,
    ) -> Result<(), Error> {
        let in_bundle = |blob: &&Blob| !content.documents.contains_key(&blob.digest);
        let wanted: BTreeSet<Digest> = blobs.iter().filter(in_bundle).map(|blob| blob.digest).collect();
        let in_order = content.bundle.contents().entries.iter().map(|entry| entry.blob);
        let (small, large): (Vec<Blob>, Vec<Blob>) =
            in_order.filter(|blob| wanted.contains(&blob.digest)).partition(|blob| blob.size <= SMALL_BYTES);
        for batch in batches(&small) {
            let sink = InMemory::default();
            let digests = batch.iter().map(|blob| blob.digest).collect();
            content.bundle.copy_blobs(&digests, &sink, &*self.interrupt)?;
            self.push_blobs(batch.to_vec(), Arc::new(Held(sink.take_all())), Arc::clone(progress))?;
        }
        let documents = blobs.iter().filter(|blob| !wanted.contains(&blob.digest));
        let rest = large.into_iter().chain(documents.copied()).collect();
        self.push_blobs(rest, Arc::clone(content) as Arc<dyn Outgoing>, Arc::clone(progress))?;
        let missing = self.look(blobs, &**progress)?;
        match missing.first() {
            None => Ok(()),
            Some(first) => Err(ArchiveError::WrittenWrong { file: format!("{}@{first}", self.name) }.into()),
        }
    }

    fn keep(&self, statement: Digest, blobs: &[Blob]) -> Result<(), Error> {
        for (number, some) in blobs.chunks(MAX_NAMED).enumerate() {
            let tag = self.reference.tagged(&format!("content-{}-{number}", statement.hex()))?;
            self.push(&tag, &manifest::of_content(some), &[EMPTY])?;
        }
        Ok(())
    }
}

/// Runs of blobs that fit into memory together.
fn batches(blobs: &[Blob]) -> impl Iterator<Item = &[Blob]> {
    let mut rest = blobs;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |blob: &&Blob| {
            bytes += blob.size;
            bytes <= BATCH_BYTES
        };
        let (batch, behind) = rest.split_at(rest.iter().take_while(fits).count());
        rest = behind;
        (!batch.is_empty()).then_some(batch)
    })
}

/// Blobs that are in memory.
struct Held(BTreeMap<Digest, Vec<u8>>);

impl Outgoing for Held {
    fn write_to(&self, blob: Blob, out: &mut dyn Write) -> Result<(), ArchiveError> {
        Ok(self.0.get(&blob.digest).map_or(Ok(()), |bytes| out.write_all(bytes))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_have_everything_and_fit() {
        let blob = |size| Blob { digest: Digest::of(b""), size };
        let cases: [(&[u64], &[usize]); 5] = [
            (&[], &[]),
            (&[0, 1], &[2]),
            (&[BATCH_BYTES, 1], &[1, 1]),
            (&[BATCH_BYTES - 1, 1, 1], &[2, 1]),
            (&[SMALL_BYTES; 65], &[32, 32, 1]),
        ];
        for (sizes, expected) in cases {
            let blobs: Vec<Blob> = sizes.iter().copied().map(blob).collect();
            assert_eq!(batches(&blobs).map(<[Blob]>::len).collect::<Vec<_>>(), expected, "{sizes:?}");
        }
    }
}
