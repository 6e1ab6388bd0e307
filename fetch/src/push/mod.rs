//! Putting content into a registry: the push half of the distribution protocol (distribution-spec 1.1, "Push").
//!
//! Content is asked for before it is sent, and what is there is not sent again: a run that was interrupted goes on with the
//! first blob that is missing. An upload that breaks off is begun anew with its blob's first byte, as few registries can do
//! better. All requests of a run show one pass, for reading and writing.

mod supply;
mod upload;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Method, StatusCode};
use sealift_archive::{Blob, Digest, Progress, Reference};

use crate::client::{Client, Inner};
use crate::error::{Error, Status};
use crate::request::{Request, Subject};
use crate::retry::Failure;
use crate::stop::{Stop, unless_interrupted};
pub use supply::Outgoing;
use upload::Upload;

/// Uploads under way at the same time: enough to hide the answers' delay, and few enough for the memory of their pieces.
const MAX_UPLOADS: usize = 8;
/// What a registry says to an account that may read and not write.
const MAY_NOT: [Status; 3] = [Status(401), Status(403), Status(405)];

/// What an account has to be let do when content is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Reading alone.
    Read,
    /// Writing too, which comes next: the same pass is good for both.
    Write,
}

impl Client {
    /// The size of a blob in the repository, in bytes; `None` if it does not have it.
    ///
    /// # Errors
    /// What the registry or the network says.
    pub async fn blob_size(&self, repository: &Reference, digest: Digest) -> Result<Option<u64>, Error> {
        let subject = || Subject::Repository { reference: repository, path: format!("blobs/{digest}") };
        self.inner().again_and_again(|| self.inner().size_of(subject())).await
    }

    /// Which of these blobs the repository does not have. One with another size than this one is missing.
    ///
    /// # Errors
    /// What the registry or the network says, or `Interrupted`.
    pub async fn missing_blobs(
        &self,
        repository: &Reference,
        blobs: &[Blob],
        reach: Reach,
        progress: &dyn Progress,
    ) -> Result<BTreeSet<Digest>, Error> {
        let client = self.inner();
        let looked = stream::iter(blobs)
            .map(|blob| async move {
                let is_there = client.again_and_again(|| client.has(repository, *blob, reach)).await?;
                Ok::<_, Error>((blob.digest, is_there))
            })
            .buffer_unordered(client.options.concurrency.max(1));
        let looking = async {
            let mut looked = std::pin::pin!(looked);
            let mut missing = BTreeSet::new();
            while let Some(found) = looked.next().await {
                let (digest, is_there) = found?;
                if !is_there {
                    missing.insert(digest);
                }
            }
            Ok(missing)
        };
        unless_interrupted(progress, looking).await
    }

    /// Puts these blobs into the repository, many at the same time, whether they are there or not.
    ///
    /// After a failure nothing new is begun, what is under way is finished, and all failures are told together.
    ///
    /// # Errors
    /// What the registry, the network and the content's owner say, or `Interrupted`.
    pub async fn push_blobs(
        &self,
        repository: &Reference,
        blobs: Vec<Blob>,
        content: Arc<dyn Outgoing>,
        progress: Arc<dyn Progress>,
    ) -> Result<(), Error> {
        let client = self.inner();
        let stop = Stop::new();
        let (content, progress, stop) = (&content, &progress, &stop);
        let pushing = stream::iter(blobs)
            .map(|blob| async move {
                if !stop.may_begin() {
                    return None;
                }
                let upload = Upload { client, repository, blob, content, progress };
                let done = tokio::select! {
                    done = upload.run() => done,
                    interrupted = stop.interrupted() => Err(interrupted),
                };
                let error = done.err()?;
                stop.begin_nothing();
                Some(error)
            })
            .buffer_unordered(client.options.concurrency.clamp(1, MAX_UPLOADS))
            .filter_map(std::future::ready)
            .collect::<Vec<Error>>();
        let mut failures = tokio::select! {
            failures = pushing => failures,
            never = stop.watch(&**progress) => match never {},
        };
        if stop.is_interrupted() {
            return Err(sealift_archive::Error::Interrupted.into());
        }
        // That one of them may not be written says it of all.
        if let Some(refused) = failures.iter().position(|error| matches!(error, Error::MayNotWrite { .. })) {
            return Err(failures.swap_remove(refused));
        }
        Error::all(failures).map_or(Ok(()), Err)
    }

    /// Puts a manifest under the tag of a reference, and reads it back: it has to be this one, byte for byte.
    ///
    /// # Errors
    /// What the registry or the network says; [`Error::OtherManifest`] if something else is there afterwards.
    pub async fn push_manifest(
        &self,
        tagged: &Reference,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest, Error> {
        let client = self.inner();
        let content = Bytes::copy_from_slice(bytes);
        client.again_and_again(|| client.put_manifest(tagged, media_type, content.clone())).await?;
        let found = self.manifest(tagged).await?;
        if found.bytes != bytes {
            let (reference, wanted) = (tagged.to_string(), Digest::of(bytes));
            return Err(Error::OtherManifest { reference, wanted, found: found.digest });
        }
        Ok(found.digest)
    }
}

impl Inner {
    async fn has(&self, reference: &Reference, blob: Blob, reach: Reach) -> Result<bool, Failure> {
        let path = format!("blobs/{}", blob.digest);
        let size = match reach {
            Reach::Read => self.size_of(Subject::Repository { reference, path }).await?,
            Reach::Write => {
                let size = self.size_of(Subject::Written { reference, path }).await;
                size.map_err(|failure| failure.map(may_not_write))?
            }
        };
        Ok(size == Some(blob.size))
    }

    async fn size_of(&self, blob: Subject<'_>) -> Result<Option<u64>, Failure> {
        let request = Request { method: Method::HEAD, ..Request::whole(blob) };
        let answer = match request.send(self).await {
            Ok(answer) => answer,
            // The storage behind a registry may have lost what the registry knows of.
            Err(Failure::Final(Error::Answer { status, .. } | Error::SentAstray { status, .. }))
                if status == Status(404) =>
            {
                return Ok(None);
            }
            Err(failure) => return Err(failure),
        };
        let length = answer.response.headers().get(CONTENT_LENGTH);
        Ok(length.and_then(|length| length.to_str().ok()?.parse().ok()))
    }

    async fn put_manifest(&self, tagged: &Reference, media_type: &str, bytes: Bytes) -> Result<(), Failure> {
        let tag = tagged.tag().unwrap_or_default();
        let subject = Subject::Written { reference: tagged, path: format!("manifests/{tag}") };
        let request =
            Request { method: Method::PUT, brings: Some((media_type, bytes)), ..Request::whole(subject) };
        let answer = request.send(self).await.map_err(|failure| failure.map(may_not_write))?;
        match answer.response.status() {
            StatusCode::CREATED => Ok(()),
            status => Err(answer.nonsense(format!("it answered {status} to a manifest")).into()),
        }
    }
}

/// Tells a refusal to write from one to read.
fn may_not_write(error: Error) -> Error {
    match error {
        Error::Answer { place, status, said } if MAY_NOT.contains(&status) => {
            Error::MayNotWrite { place, status, said }
        }
        other => other,
    }
}
