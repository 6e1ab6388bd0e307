//! Content whose digest nobody has told yet: files of web servers, and what is named by SHA-512.
//!
//! Content with a known digest is fetched by [`Client::fetch_all`]. Here are the two ways to learn a digest first: to
//! have the bytes, if they are few, and to let them pass by; and the question whether there is something at all.

use std::io::{self, Read};

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName};
use sealift_archive::{AnyDigest, AnyHash, Blob, Progress};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use url::Url;

use crate::answer;
use crate::client::{Client, Inner, Origin};
use crate::error::{Error, Place};
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
        self.inner().again_and_again(|| self.inner().get(url, limit)).await
    }

    /// Digest and size of a file of at most `limit` bytes, none of which is kept.
    ///
    /// A connection that breaks off is taken up again where it broke if the server names versions of its files
    /// (a strong `ETag`), so that what is hashed was one file at one time; else the file is begun again.
    ///
    /// # Errors
    /// As [`Client::get`]; `Interrupted` if `progress` says that somebody asked to stop.
    pub async fn measure(&self, url: &Url, limit: u64, progress: &dyn Progress) -> Result<Blob, Error> {
        let mut measuring = Measuring::new(self.inner(), Subject::File(url), limit, progress);
        stop::unless_interrupted(progress, measuring.run()).await
    }

    /// The blob of `size` bytes that is named `name` where it is. Its bytes are hashed and not kept.
    ///
    /// # Errors
    /// As [`Client::get`]; content of another name or size; `Interrupted`.
    pub async fn identify(
        &self,
        origin: &Origin,
        name: AnyDigest,
        size: u64,
        progress: &dyn Progress,
    ) -> Result<Blob, Error> {
        let measuring = Measuring::new(self.inner(), origin.subject(name), size, progress);
        let mut measuring = Measuring { name: Some((name, size)), ..measuring };
        stop::unless_interrupted(progress, measuring.run()).await
    }

    /// Whether the content of `size` bytes that is named `name` is to be had. Only a 404 says that it is not.
    ///
    /// # Errors
    /// What the server or the network says; [`Error::WrongLength`] if it is there and has another size.
    pub async fn offers(&self, origin: &Origin, name: AnyDigest, size: u64) -> Result<bool, Error> {
        match self.inner().again_and_again(|| self.inner().touch(origin, name, size)).await {
            Err(error) if error.is_absent() => Ok(false),
            touched => touched.map(|()| true),
        }
    }
}

impl Inner {
    async fn get(&self, url: &Url, limit: u64) -> Result<Vec<u8>, Failure> {
        let mut answer = Request::whole(Subject::File(url)).send(self).await?;
        match answer.response.status() {
            StatusCode::OK => {
                let bytes = answer.whole(limit).await?;
                self.pace.came(bytes.len()).await;
                Ok(bytes)
            }
            status => Err(answer.nonsense(format!("it is {status}, which is no file")).into()),
        }
    }

    /// Asks for the last byte only. Not by `HEAD`: the addresses to which registries redirect are often signed for `GET`.
    async fn touch(&self, origin: &Origin, name: AnyDigest, size: u64) -> Result<(), Failure> {
        let from = size.checked_sub(1);
        let answer = Request { from, ..Request::whole(origin.subject(name)) }.send(self).await?;
        let range = header(&answer, CONTENT_RANGE).and_then(ContentRange::parse);
        let announced = match answer.response.status() {
            StatusCode::PARTIAL_CONTENT => range.and_then(|range| range.complete),
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let length = header(&answer, CONTENT_RANGE).and_then(ContentRange::unsatisfied);
                Some(length.unwrap_or_default())
            }
            _ => answer.response.content_length(),
        };
        match announced {
            Some(announced) if announced != size => {
                Err(Error::WrongLength { place: Box::new(answer.place), announced, size }.into())
            }
            _ => Ok(()),
        }
    }
}

/// One file on its way through a hash.
struct Measuring<'a> {
    client: &'a Inner,
    subject: Subject<'a>,
    /// Name and size that it must have, if it is known by a name.
    name: Option<(AnyDigest, u64)>,
    limit: u64,
    progress: &'a dyn Progress,
    /// How much of the file `progress` knows of.
    told: u64,
    part: Option<Part>,
}

/// The beginning of a file.
struct Part {
    place: Box<Place>,
    hash: Hash,
    position: u64,
    /// Length of the file, if the server told it.
    size: Option<u64>,
    /// Under which name the server knows this version of the file, if it has one.
    version: Option<String>,
}

impl<'a> Measuring<'a> {
    fn new(client: &'a Inner, subject: Subject<'a>, limit: u64, progress: &'a dyn Progress) -> Self {
        Self { client, subject, name: None, limit, progress, told: 0, part: None }
    }

    async fn run(&mut self) -> Result<Blob, Error> {
        let mut tries = Tries::new(self.client.options.retry);
        loop {
            let furthest = self.told;
            match self.piece().await {
                Ok(whole) => return self.verdict(whole).await,
                Err(failure) => {
                    // As for blobs: what had come before counts for nothing.
                    tries.came(self.told - furthest);
                    tries.wait(failure).await?;
                }
            }
        }
    }

    async fn verdict(&self, whole: Part) -> Result<Blob, Error> {
        let place = whole.place;
        let (blob, found) = whole.hash.finish().await?;
        match (self.name, found) {
            (Some((wanted, _)), Some(found)) if wanted != found => {
                Err(Error::WrongContent { place, wanted: Box::new(wanted), found: Box::new(found) })
            }
            (Some((_, size)), _) if size != blob.size => {
                Err(Error::WrongLength { place, announced: blob.size, size })
            }
            _ => Ok(blob),
        }
    }

    /// Asks for what is missing, and hashes what comes. `Ok` means that the file has ended.
    async fn piece(&mut self) -> Result<Part, Failure> {
        // What has a name by its content is the same each time.
        let is_fixed = |part: &Part| part.version.is_some() || self.name.is_some();
        let resumable = self.part.take().filter(|part| is_fixed(part) && part.position > 0);
        let request = Request {
            from: resumable.as_ref().map(|part| part.position),
            version: resumable.as_ref().and_then(|part| part.version.as_deref()),
            ..Request::whole(self.subject.clone())
        };
        let answer = request.send(self.client).await?;
        let mut part = match (answer.response.status(), resumable) {
            (StatusCode::OK, _) => {
                Part::begin(&answer, self.name.map(|(name, _)| name), self.client.budget.clone())
            }
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
                    self.client.pace.came(bytes.len()).await;
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
    fn begin(answer: &Answer, name: Option<AnyDigest>, budget: Budget) -> Self {
        let version = header(answer, ETAG).filter(|etag| is_strong(etag)).map(str::to_owned);
        let size = header(answer, CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let place = Box::new(answer.place.clone());
        Self { place, hash: Hash::begin(name, budget), position: 0, size, version }
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
    hashed: JoinHandle<io::Result<Hashed>>,
    budget: Budget,
}

type Piece = (Bytes, OwnedSemaphorePermit);
/// The content, and its digest of the kind that was asked for.
type Hashed = (Blob, Option<AnyDigest>);

impl Hash {
    /// Hashes for our own name, and for one of the same kind as `name`.
    fn begin(name: Option<AnyDigest>, budget: Budget) -> Self {
        let (pieces, waiting) = mpsc::channel(QUEUED_PIECES);
        let mut queue = Queue { pieces: waiting, piece: None, second: name.map(AnyDigest::hash) };
        let hashed = tokio::task::spawn_blocking(move || {
            let blob = Blob::of_reader(&mut queue)?;
            Ok((blob, queue.second.map(AnyHash::finish)))
        });
        Self { pieces, hashed, budget }
    }

    async fn update(&self, bytes: Bytes) -> Result<(), sealift_archive::Error> {
        let permit = self.budget.take(bytes.len()).await;
        // Hashing ends only with its queue, or with the runtime.
        self.pieces.send((bytes, permit)).await.map_err(|_| sealift_archive::Error::Interrupted)
    }

    async fn finish(self) -> Result<Hashed, sealift_archive::Error> {
        drop(self.pieces);
        Ok(self.hashed.await.map_err(|_| sealift_archive::Error::Interrupted)??)
    }
}

/// What waits to be hashed, as a reader.
struct Queue {
    pieces: mpsc::Receiver<Piece>,
    piece: Option<Piece>,
    second: Option<AnyHash>,
}

impl Read for Queue {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.piece.as_ref().is_none_or(|(bytes, _)| bytes.is_empty()) {
            self.piece = self.pieces.blocking_recv();
            if self.piece.is_none() {
                return Ok(0);
            }
        }
        let Some((bytes, _)) = &mut self.piece else { return Ok(0) };
        let taken = bytes.split_to(buf.len().min(bytes.len()));
        buf[..taken.len()].copy_from_slice(&taken);
        if let Some(second) = &mut self.second {
            second.update(&taken);
        }
        Ok(taken.len())
    }
}

#[cfg(test)]
mod tests {
    use sealift_archive::Sha512;

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
            let name = AnyDigest::from(Sha512::of(b"some other"));
            let hash = Hash::begin(Some(name), Budget::new());
            let mut rest = Bytes::from(bytes.clone());
            for size in sizes {
                hash.update(rest.split_to(*size)).await.unwrap();
            }
            let expected = (Blob::of(&bytes), Some(name.same_kind_of(&bytes)));
            assert_eq!(hash.finish().await.unwrap(), expected, "{sizes:?}");
        }
    }
}
