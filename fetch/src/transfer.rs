//! One blob, from a registry or web server into a sink, however often the connection breaks off.

use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE};
use sealift_archive::AnyDigest;

use crate::answer;
use crate::client::{self, Inner, Wanted};
use crate::crew::Crew;
use crate::error::{Error, Place};
use crate::feed::{Feed, Told};
use crate::header::ContentRange;
use crate::pace::Pace;
use crate::request::{Answer, Request};
use crate::retry::{Failure, Tries};
use crate::stop::Stop;

/// One blob to be transferred.
pub(crate) struct Transfer<'a> {
    pub(crate) client: &'a Inner,
    pub(crate) wanted: &'a Wanted,
    pub(crate) crew: &'a Crew,
    pub(crate) stop: &'a Stop,
}

/// How the bytes in a feed came about.
#[derive(Debug, Default)]
struct Story {
    /// They are put together from several answers, or from an earlier run and an answer.
    patched: bool,
    /// Where the last of them came from.
    place: Option<Place>,
    /// The server was found not to answer ranges as it should.
    without_ranges: bool,
}

impl Transfer<'_> {
    /// Gets the blob into the sink.
    pub(crate) async fn run(&self) -> Result<(), Error> {
        let told = Told::default();
        let (mut story, mut verdict) = self.pass(&told, false).await?;
        if story.patched && verdict.as_ref().is_err_and(is_unfit) {
            // What an earlier run left may have been damaged since, and two answers may not fit together. One
            // whole answer has no such excuse.
            tracing::warn!(digest = %self.wanted.blob.digest, "the parts do not fit: fetching it again as a whole");
            (story, verdict) = self.pass(&told, true).await?;
        }
        verdict.map_err(|error| story.refusal(error))
    }

    /// Fills a writer and has it checked. The inner result is the sink's verdict on a complete blob.
    async fn pass(
        &self,
        told: &Told,
        afresh: bool,
    ) -> Result<(Story, Result<(), sealift_archive::Error>), Error> {
        let budget = self.client.budget.clone();
        let mut feed = Feed::open(self.crew, self.wanted.blob, told.clone(), budget).await?;
        if afresh && feed.position() > 0 {
            feed.restart().await?;
        }
        let mut story = Story { patched: feed.position() > 0, ..Story::default() };
        let filled = tokio::select! {
            filled = self.fill(&mut feed, &mut story) => filled,
            interrupted = self.stop.interrupted() => Err(interrupted),
        };
        match filled {
            Ok(()) => Ok((story, feed.finish().await)),
            Err(error) => {
                feed.close().await;
                Err(error)
            }
        }
    }

    async fn fill(&self, feed: &mut Feed, story: &mut Story) -> Result<(), Error> {
        let mut tries = Tries::new(self.client.options.retry);
        let mut furthest = feed.position();
        while feed.position() < self.wanted.blob.size {
            let Err(failure) = self.piece(feed, story).await else { break };
            // Bytes that had come before count for nothing: else a server that cannot resume would be asked for
            // the same half for ever.
            tries.came(feed.position().saturating_sub(furthest));
            furthest = furthest.max(feed.position());
            tries.wait(failure).await?;
        }
        Ok(())
    }

    /// Asks for what is missing, and feeds what comes. `Ok` means that the blob is complete.
    async fn piece(&self, feed: &mut Feed, story: &mut Story) -> Result<(), Failure> {
        let size = self.wanted.blob.size;
        let from = feed.position();
        let is_manifest = self.wanted.is_manifest();
        let request = Request {
            accept: is_manifest.then_some(client::MANIFEST_TYPES),
            from: (from > 0 && !is_manifest && !story.without_ranges).then_some(from),
            ..Request::whole(self.wanted.subject())
        };
        let answer = request.send(self.client).await?;
        let Some(offset) = offset(&answer, request.from, size) else {
            story.without_ranges = true;
            let error = answer.nonsense("it brings another range than was asked for");
            return Err(if request.from.is_some() { Failure::Passing(error) } else { error.into() });
        };
        check_headers(&answer, self.wanted, offset)?;
        if offset != from {
            feed.restart().await?;
        }
        story.patched = offset > 0;
        story.place = Some(answer.place.clone());
        pour(answer, feed, size, &self.client.pace).await
    }
}

impl Story {
    /// What the sink's verdict means for the one who sent the content.
    fn refusal(self, error: sealift_archive::Error) -> Error {
        match (error, self.place) {
            (sealift_archive::Error::WrongContent { wanted, found }, Some(place)) => {
                let (wanted, found) = (Box::new(wanted.into()), Box::new(found.into()));
                Error::WrongContent { place: Box::new(place), wanted, found }
            }
            (error, _) => Error::Archive(error),
        }
    }
}

fn is_unfit(error: &sealift_archive::Error) -> bool {
    use sealift_archive::Error::{WrongContent, WrongSize};
    matches!(error, WrongContent { .. } | WrongSize { .. })
}

/// Where in the blob the answer begins; `None` if it is not what was asked for.
fn offset(answer: &Answer, asked: Option<u64>, size: u64) -> Option<u64> {
    match (answer.response.status(), asked) {
        // A server may always send the whole.
        (StatusCode::OK, _) => Some(0),
        (StatusCode::PARTIAL_CONTENT, Some(from)) => {
            let field = answer.response.headers().get(CONTENT_RANGE)?;
            let range = ContentRange::parse(field.to_str().ok()?)?;
            let fits = range.first == from
                && range.last == size - 1
                && range.complete.is_none_or(|complete| complete == size);
            fits.then_some(from)
        }
        _ => None,
    }
}

/// Refuses by what the answer says of itself, before any of it is read.
fn check_headers(answer: &Answer, wanted: &Wanted, offset: u64) -> Result<(), Failure> {
    let place = || Box::new(answer.place.clone());
    let header = |name| answer.response.headers().get(name)?.to_str().ok()?.parse::<u64>().ok();
    if let Some(announced) = header(CONTENT_LENGTH)
        && announced != wanted.blob.size - offset
    {
        let announced = offset.saturating_add(announced);
        return Err(Error::WrongLength { place: place(), announced, size: wanted.blob.size }.into());
    }
    let contradicts = |found: &AnyDigest| match found {
        AnyDigest::Sha256(found) => *found != wanted.blob.digest,
        // Of that kind we may know nothing.
        AnyDigest::Sha512(found) => wanted.alias.is_some_and(|alias| alias != *found),
    };
    match client::named_digest(&answer.response).filter(contradicts) {
        Some(found) => {
            let (wanted, found) = (Box::new(wanted.blob.digest.into()), Box::new(found));
            Err(Error::WrongContent { place: place(), wanted, found }.into())
        }
        None => Ok(()),
    }
}

/// Feeds an answer's body, never more than `size` bytes in all.
async fn pour(mut answer: Answer, feed: &mut Feed, size: u64, limit: &Pace) -> Result<(), Failure> {
    loop {
        let left = size - feed.position();
        let why = match answer.response.chunk().await {
            Ok(Some(bytes)) if bytes.len() as u64 > left => {
                return Err(Error::TooLong { place: Box::new(answer.place), limit: size }.into());
            }
            Ok(Some(bytes)) => {
                limit.came(bytes.len()).await;
                feed.write(bytes).await?;
                continue;
            }
            // An error behind the last byte takes nothing away.
            Ok(None) | Err(_) if left == 0 => return Ok(()),
            Ok(None) => "the answer ended".to_owned(),
            Err(error) => answer::broken_off(&error),
        };
        let place = Box::new(answer.place);
        return Err(Failure::Passing(Error::BrokenOff { place, received: feed.position(), size, why }));
    }
}
