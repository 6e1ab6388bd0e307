//! An offer as a source of the ordinary import: missing blobs by their digests, many at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use fs_err as fs;
use sealift_archive::trust::{Signature, Trusted};
use sealift_archive::{Blob, BlobSink, Digest, Error as ArchiveError, Progress, Release, Source};

use super::Error as OnlineError;
use super::offer::Offer;
use crate::Error;

/// How much of a file is read at a time.
const READ_BYTES: usize = 256 << 10;

impl Source for Offer<'_> {
    fn name(&self) -> &str {
        self.endpoint.name()
    }

    fn releases(&self) -> &[Release] {
        &self.releases
    }

    fn trusted(&self) -> &Trusted {
        &self.trust.trusted
    }

    fn signatures(&self) -> Vec<Signature> {
        let of_releases = self.releases.iter().flat_map(|release| &release.signatures);
        self.trust.signatures.iter().chain(of_releases).cloned().collect()
    }

    fn copy_blobs(
        &self,
        wanted: &BTreeSet<Digest>,
        sink: &dyn BlobSink,
        progress: &dyn Progress,
    ) -> Result<(), ArchiveError> {
        let copied = match self.endpoint.directory() {
            Some(dir) => self.blobs(wanted).try_for_each(|blob| self.copy_file(dir, blob, sink, progress)),
            None => self.fetch(wanted, sink, progress),
        };
        copied.map_err(|error| match error {
            Error::Archive(error) => error,
            // The archive library knows no network; `unwrapped` brings it back.
            error => io::Error::other(error).into(),
        })
    }
}

impl Offer<'_> {
    /// The wanted blobs with their sizes.
    fn blobs(&self, wanted: &BTreeSet<Digest>) -> impl Iterator<Item = Blob> {
        let listed = self.releases.iter().flat_map(|release| release.blob_list.iter());
        let blobs: BTreeMap<Digest, Blob> =
            listed.filter(|blob| wanted.contains(&blob.digest)).map(|blob| (blob.digest, blob)).collect();
        blobs.into_values()
    }

    fn fetch(
        &self,
        wanted: &BTreeSet<Digest>,
        sink: &dyn BlobSink,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let mut all = Vec::new();
        for blob in self.blobs(wanted) {
            all.extend(self.endpoint.wanted(blob)?);
        }
        let fetched = self.endpoint.client.fetch_into(&self.endpoint.runtime, all, sink, progress);
        fetched.map_err(|error| match error {
            sealift_fetch::Error::Archive(error) => error.into(),
            error if error.is_absent() => {
                self.not_there(&format!("content of what it publishes: {error}")).into()
            }
            error => error.into(),
        })
    }

    fn copy_file(
        &self,
        dir: &Path,
        blob: Blob,
        sink: &dyn BlobSink,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let mut file = match fs::File::open(dir.join(blob.digest.blob_path())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.not_there(&format!("content {}", blob.digest)).into());
            }
            file => file?,
        };
        let mut writer = sink.open(blob)?;
        file.seek(SeekFrom::Start(writer.position()))?;
        progress.advance(writer.position());
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(writer.finish()?),
                n => {
                    progress.go_on()?;
                    writer.write(&buffer[..n])?;
                    progress.advance(n as u64);
                }
            }
        }
    }

    fn not_there(&self, what: &str) -> OnlineError {
        OnlineError::NotThere { source_name: self.endpoint.name().to_owned(), what: what.to_owned() }
    }
}
