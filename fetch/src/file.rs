//! Files of web servers, whose digest nobody has told yet.
//!
//! A file with a known digest is fetched like any other content, by [`Client::fetch_all`] from an
//! [`Origin::Url`](crate::Origin::Url). Here are the two ways to learn a digest first: to have the bytes, if they
//! are few, and to let them pass by.

use std::io::{self, Read};

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName};
use sealift_archive::{Blob, Progress};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use url::Url;

use crate::answer;
use crate::client::{Client, Inner};
use crate::error::Error;
use crate::feed::{Budget, QUEUED_PIECES};
use crate::header::ContentRange;
use crate::request::{Answer, Request, Subject};
use crate::retry::{Failure, Tries};
use crate::stop;

impl Client {
    /// A small file, at most `limit` bytes of it.
    ///
    /// # Errors
    /// What the server or the network says; [`Error::is_absent`] tells whether there is no such file.
    pub async fn get(&self, url: &Url, limit: u64) -> Result<Vec<u8>, Error> {
        let mut tries = Tries::new(self.inner().options.retry);
        loop {
            match self.inner().get(url, limit).await {
                Ok(bytes) => return Ok(bytes),
                Err(failure) => tries.wait(failure).await?,
            }
        }
    }

    /// Digest and size of a file of at most `limit` bytes, none of which is kept.
    ///
    /// A connection that breaks off is taken up again where it broke if the server names versions of its files
    /// (a strong `ETag`), so that what is hashed was one file at one time; else the file is begun again.
    ///
    /// # Errors
    /// As [`Client::get`]; `Interrupted` if `progress` says that somebody asked to stop.
    pub async fn measure(&self, url: &Url, limit: u64, progress: &dyn Progress) -> Result<Blob, Error> {
        let mut measuring = Measuring { client: self.inner(), url, limit, progress, told: 0, part: None };
        stop::unless_interrupted(progress, measuring.run()).await
    }
}

impl Inner {
    async fn get(&self, url: &Url, limit: u64) -> Result<Vec<u8>, Failure> {
        let mut answer = Request::whole(Subject::File(url)).send(self).await?;
        match answer.response.status() {
            StatusCode::OK => answer.whole(limit).await,
            status => Err(answer.nonsense(format!("it is {status}, which is no file")).into()),
        }
    }
}

/// One file on its way through a hash.
struct Measuring<'a> {
    client: &'a Inner,
    url: &'a Url,
    limit: u64,
    progress: &'a dyn Progress,
    /// How much of the file `progress` knows of.
    told: u64,
    part: Option<Part>,
}

/// The beginning of a file.
struct Part {
    hash: Hash,
    position: u64,
    /// Length of the file, if the server told it.
    size: Option<u64>,
    /// Under which name the server knows this version of the file, if it has one.
    version: Option<String>,
}

impl Measuring<'_> {
    async fn run(&mut self) -> Result<Blob, Error> {
        let mut tries = Tries::new(self.client.options.retry);
        loop {
            let furthest = self.told;
            match self.piece().await {
                Ok(whole) => return Ok(whole.hash.finish().await?),
                Err(failure) => {
                    // As for blobs: what had come before counts for nothing.
                    tries.came(self.told - furthest);
                    tries.wait(failure).await?;
                }
            }
        }
    }

    /// Asks for what is missing, and hashes what comes. `Ok` means that the file has ended.
    async fn piece(&mut self) -> Result<Part, Failure> {
        let resumable = self.part.take().filter(|part| part.version.is_some() && part.position > 0);
        let request = Request {
            from: resumable.as_ref().map(|part| part.position),
            version: resumable.as_ref().and_then(|part| part.version.as_deref()),
            ..Request::whole(Subject::File(self.url))
        };
        let answer = request.send(self.client).await?;
        let mut part = match (answer.response.status(), resumable) {
            (StatusCode::OK, _) => Part::begin(&answer, self.client.budget.clone()),
            (StatusCode::PARTIAL_CONTENT, Some(part)) if part.goes_on_with(&answer) => part,
            // Without its part it begins again.
            (_, Some(_)) => {
                return Err(Failure::Passing(answer.nonsense("it brings another range than was asked for")));
            }
            (status, None) => {
                return Err(answer.nonsense(format!("it is {status}, which is no file")).into());
            }
        };
        if part.size.is_some_and(|size| size > self.limit) {
            return Err(Error::TooLong { place: Box::new(answer.place), limit: self.limit }.into());
        }
        match self.pour(answer, &mut part).await {
            Ok(()) => Ok(part),
            Err(failure) => {
                self.part = Some(part);
                Err(failure)
            }
        }
    }

    /// Hashes an answer's body, never more than the file may have.
    async fn pour(&mut self, mut answer: Answer, part: &mut Part) -> Result<(), Failure> {
        let limit = part.size.unwrap_or(self.limit);
        loop {
            let why = match answer.response.chunk().await {
                Ok(Some(bytes)) if bytes.len() as u64 > limit - part.position => {
                    return Err(Error::TooLong { place: Box::new(answer.place), limit }.into());
                }
                Ok(Some(bytes)) => {
                    part.position += bytes.len() as u64;
                    part.hash.update(bytes).await?;
                    self.progress.advance(part.position.saturating_sub(self.told));
                    self.told = self.told.max(part.position);
                    continue;
                }
                Ok(None) if part.size.is_none_or(|size| size == part.position) => return Ok(()),
                // An error behind the last byte takes nothing away.
                Err(_) if part.size == Some(part.position) => return Ok(()),
                Ok(None) => "the answer ended".to_owned(),
                Err(error) => answer::broken_off(&error),
            };
            let (received, size) = (part.position, part.size.unwrap_or(part.position));
            let place = Box::new(answer.place);
            return Err(Failure::Passing(Error::BrokenOff { place, received, size, why }));
        }
    }
}

impl Part {
    /// Nothing yet of what the answer brings.
    fn begin(answer: &Answer, budget: Budget) -> Self {
        let version = header(answer, ETAG).filter(|etag| is_strong(etag)).map(str::to_owned);
        let size = header(answer, CONTENT_LENGTH).and_then(|length| length.parse().ok());
        Self { hash: Hash::begin(budget), position: 0, size, version }
    }

    /// Whether the answer brings all that is missing, and nothing else.
    fn goes_on_with(&self, answer: &Answer) -> bool {
        header(answer, CONTENT_RANGE).and_then(ContentRange::parse).is_some_and(|range| {
            let sizes = [self.size, range.complete];
            range.first == self.position
                && sizes.iter().any(Option::is_some)
                && sizes.iter().flatten().all(|size| size.checked_sub(1) == Some(range.last))
        })
    }
}

fn header(answer: &Answer, name: HeaderName) -> Option<&str> {
    answer.response.headers().get(name)?.to_str().ok()
}

/// Whether two files with this name are the same bytes (RFC 9110, 8.8.3). Only such a name may ask for parts.
fn is_strong(etag: &str) -> bool {
    etag.len() >= 2 && etag.starts_with('"') && etag.ends_with('"')
}

/// Hashes on a thread of its own, behind a short queue, as writers do.
struct Hash {
    pieces: mpsc::Sender<Piece>,
    blob: JoinHandle<io::Result<Blob>>,
    budget: Budget,
}

type Piece = (Bytes, OwnedSemaphorePermit);

impl Hash {
    fn begin(budget: Budget) -> Self {
        let (pieces, queue) = mpsc::channel(QUEUED_PIECES);
        let queue = Queue { queue, piece: None };
        Self { pieces, blob: tokio::task::spawn_blocking(|| Blob::of_reader(queue)), budget }
    }

    async fn update(&self, bytes: Bytes) -> Result<(), sealift_archive::Error> {
        let permit = self.budget.take(bytes.len()).await;
        // Hashing ends only with its queue, or with the runtime.
        self.pieces.send((bytes, permit)).await.map_err(|_| sealift_archive::Error::Interrupted)
    }

    async fn finish(self) -> Result<Blob, sealift_archive::Error> {
        drop(self.pieces);
        Ok(self.blob.await.map_err(|_| sealift_archive::Error::Interrupted)??)
    }
}

/// What waits to be hashed, as a reader.
struct Queue {
    queue: mpsc::Receiver<Piece>,
    piece: Option<Piece>,
}

impl Read for Queue {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.piece.as_ref().is_none_or(|(bytes, _)| bytes.is_empty()) {
            self.piece = self.queue.blocking_recv();
            if self.piece.is_none() {
                return Ok(0);
            }
        }
        let Some((bytes, _)) = &mut self.piece else { return Ok(0) };
        let taken = bytes.split_to(buf.len().min(bytes.len()));
        buf[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strong_names_of_versions_ask_for_parts() {
        for (etag, strong) in
            [("\"5f\"", true), ("\"\"", true), ("W/\"5f\"", false), ("5f", false), ("\"", false)]
        {
            assert_eq!(is_strong(etag), strong, "{etag}");
        }
    }

    #[tokio::test]
    async fn pieces_of_any_size_are_hashed_in_their_order() {
        let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        for sizes in [&[300_000][..], &[1, 0, 7, 99_992, 200_000]] {
            let hash = Hash::begin(Budget::new());
            let mut rest = Bytes::from(bytes.clone());
            for size in sizes {
                hash.update(rest.split_to(*size)).await.unwrap();
            }
            assert_eq!(hash.finish().await.unwrap(), Blob::of(&bytes), "{sizes:?}");
        }
    }
}
