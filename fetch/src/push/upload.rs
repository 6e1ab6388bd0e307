//! One blob into a repository: in one request, or in several where something on the way takes no large ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, LOCATION};
use reqwest::{Body, Method, Response, StatusCode};
use sealift_archive::{Blob, Progress, Reference};
use tokio::time::Instant;
use url::Url;

use super::may_not_write;
use super::supply::{Outgoing, Supply, Waiting};
use crate::answer;
use crate::client::Inner;
use crate::error::{Error, Place, Status};
use crate::feed::Told;
use crate::http;
use crate::request::{self, Answer, Request, Subject};
use crate::retry::Failure;

/// What blobs are sent as.
const OCTET_STREAM: &str = "application/octet-stream";
/// How much is sent in one request where a whole blob is too large for one. Proxies that limit requests commonly take 100 MB.
const CHUNK_BYTES: u64 = 16 << 20;
/// The largest least chunk of a registry that is obeyed, in bytes.
const MAX_LEAST_CHUNK_BYTES: u64 = 1 << 30;
/// The header in which registries say how much a chunk must have at least (distribution-spec 1.1).
const LEAST_CHUNK: HeaderName = HeaderName::from_static("oci-chunk-min-length");
/// How fast a registry stores what it has got, at least: so long is waited for its answer.
const STORED_BYTES_PER_SECOND: u64 = 10_000_000;

/// One blob to be pushed.
pub(super) struct Upload<'a> {
    pub(super) client: &'a Inner,
    pub(super) repository: &'a Reference,
    pub(super) blob: Blob,
    pub(super) content: &'a Arc<dyn Outgoing>,
    pub(super) progress: &'a Arc<dyn Progress>,
}

/// An upload that has begun.
struct Session {
    /// Where the registry wants to have the next request.
    url: Url,
    /// The address that was asked for it: credentials are for this one alone.
    asked: Url,
    least_chunk: u64,
}

/// What is sent in one request.
struct Sent {
    method: Method,
    /// First byte, if it is a chunk.
    from: Option<u64>,
    bytes: u64,
}

impl Upload<'_> {
    /// Pushes the blob. A large one that did not get through in one request is cut from then on: what takes no large
    /// requests says so (413), or just breaks off before it could be heard.
    pub(super) async fn run(&self) -> Result<(), Error> {
        let told = Told::default();
        let is_cut = AtomicBool::new(false);
        let once = || async {
            if is_cut.load(Ordering::Relaxed) {
                return self.in_chunks(&told).await;
            }
            let is_too_large = |error: &Error| {
                matches!(error, Error::Answer { status: Status(413), .. } | Error::Unreachable { .. })
            };
            match self.whole(&told).await {
                Err(failure) if self.blob.size > CHUNK_BYTES && is_too_large(failure.error()) => {
                    is_cut.store(true, Ordering::Relaxed);
                    Err(again(failure))
                }
                done => done,
            }
        };
        self.client.again_and_again(once).await
    }

    async fn whole(&self, told: &Told) -> Result<(), Failure> {
        let session = self.begin().await?;
        let supply =
            Supply::open(Arc::clone(self.content), self.blob, told.clone(), Arc::clone(self.progress));
        let sent = Sent { method: Method::PUT, from: None, bytes: self.blob.size };
        let response = self.send(&session, self.finishing(&session), sent, &supply).await?;
        self.expect(&response, StatusCode::CREATED)
    }

    async fn in_chunks(&self, told: &Told) -> Result<(), Failure> {
        let mut session = self.begin().await?;
        let supply =
            Supply::open(Arc::clone(self.content), self.blob, told.clone(), Arc::clone(self.progress));
        let chunk = CHUNK_BYTES.max(session.least_chunk);
        let mut at = 0;
        while at < self.blob.size {
            let bytes = chunk.min(self.blob.size - at);
            let sent = Sent { method: Method::PATCH, from: Some(at), bytes };
            let response = self.send(&session, session.url.clone(), sent, &supply).await?;
            self.expect(&response, StatusCode::ACCEPTED)?;
            session.url = self.location(&response, &session.asked)?;
            at += bytes;
        }
        let sent = Sent { method: Method::PUT, from: None, bytes: 0 };
        let response = self.send(&session, self.finishing(&session), sent, &supply).await?;
        self.expect(&response, StatusCode::CREATED)
    }

    async fn begin(&self) -> Result<Session, Failure> {
        let brings = Some((OCTET_STREAM, Bytes::new()));
        let request = Request { method: Method::POST, brings, ..Request::whole(self.subject()) };
        let answer = request.send(self.client).await.map_err(|failure| failure.map(may_not_write))?;
        self.expect(&answer.response, StatusCode::ACCEPTED)?;
        // Not where that led: a redirect is followed without credentials, and so is what comes of it.
        let host = self.client.host(&self.subject().host());
        let asked = self.subject().url(&self.client.http, &host).await?;
        let url = self.location(&answer.response, &asked)?;
        let Answer { response, .. } = answer;
        let least_chunk =
            response.headers().get(LEAST_CHUNK).and_then(|least| least.to_str().ok()?.parse().ok());
        Ok(Session { url, asked, least_chunk: least_chunk.unwrap_or(0).min(MAX_LEAST_CHUNK_BYTES) })
    }

    /// Where the upload goes on.
    fn location(&self, response: &Response, asked: &Url) -> Result<Url, Error> {
        let refuse = |why: String| {
            let place = Box::new(Place::new(&self.subject(), response.url()));
            Error::BadUpload { place, why }
        };
        let Some(location) = response.headers().get(LOCATION).and_then(|location| location.to_str().ok())
        else {
            return Err(refuse("it does not say where the upload goes on".to_owned()));
        };
        let url = response
            .url()
            .join(location)
            .map_err(|_| refuse("where the upload goes on is no URL".to_owned()))?;
        if !self.client.http.allows(&url) {
            return Err(refuse(format!(
                "the upload is to go on at {}, which is not encrypted",
                http::without_secrets(&url)
            )));
        }
        if http::is_loopback(&url) && !http::is_loopback(asked) {
            return Err(refuse("a host outside may not send us to this machine".to_owned()));
        }
        Ok(url)
    }

    /// The address of the request that ends an upload.
    fn finishing(&self, session: &Session) -> Url {
        let mut url = session.url.clone();
        url.query_pairs_mut().append_pair("digest", &self.blob.digest.to_string());
        url
    }

    /// Sends a part of the blob, or nothing any more, and waits for the answer.
    async fn send(
        &self,
        session: &Session,
        url: Url,
        sent: Sent,
        supply: &Arc<Supply>,
    ) -> Result<Response, Failure> {
        let (http, subject) = (&self.client.http, self.subject());
        let host = self.client.host(&subject.host());
        let _slot = host.slot().await;
        let is_own = url.origin() == session.asked.origin();
        let pass = if is_own { host.access.pass(http, &host, &subject).await? } else { None };
        let mut request = http
            .sending_client(&url)
            .await?
            .request(sent.method, url.clone())
            .header(CONTENT_TYPE, OCTET_STREAM)
            .header(CONTENT_LENGTH, sent.bytes);
        if let Some(from) = sent.from {
            // The specification's own form: there is no unit in front.
            request = request.header(CONTENT_RANGE, format!("{from}-{}", from + sent.bytes - 1));
        }
        // With a length that is told, no transfer coding is used, which some registries do not take.
        request = request.body(Body::wrap_stream(supply.body(sent.bytes)));
        if let Some(pass) = &pass {
            request = pass.show(request);
        }
        let place = Place::new(&subject, &url);
        let answered = tokio::select! {
            answered = request.send() => answered.map_err(|error| http::failure(&error, place.clone())),
            why = self.silence(supply, sent.bytes) => {
                Err(Failure::Passing(Error::Unreachable { place: Box::new(place.clone()), why: why.to_owned() }))
            }
        };
        if let Some(cause) = supply.failure() {
            return Err(cause.into());
        }
        let response = answered?;
        if response.status().is_success() {
            return Ok(response);
        }
        let challenges = request::challenges(&response);
        let status = response.status();
        let failure = answer::failure(&host, Place::new(&subject, response.url()), response).await;
        if status == StatusCode::UNAUTHORIZED
            && is_own
            && host.access.renew(http, &host, &subject, challenges, pass.as_ref()).await?.is_some()
        {
            return Err(again(failure));
        }
        Err(match status {
            // The registry has forgotten the upload, or has got less of it than was sent.
            StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE => again(failure),
            _ => failure.map(may_not_write),
        })
    }

    /// Ends when the other side has done nothing for too long.
    async fn silence(&self, supply: &Supply, bytes: u64) -> &'static str {
        let silence = self.client.options.silence_timeout;
        let storing = silence + Duration::from_secs(bytes.max(self.blob.size) / STORED_BYTES_PER_SECOND);
        loop {
            let (until, why) = match supply.waiting() {
                Waiting::Disk => (Instant::now() + silence, "it is not the network that is slow"),
                Waiting::Network(since) => (since + silence, "it takes no more of what is sent"),
                Waiting::Answer(since) => (since + storing, "it takes too long to answer"),
            };
            if until <= Instant::now() {
                return why;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    fn expect(&self, response: &Response, wanted: StatusCode) -> Result<(), Failure> {
        let status = response.status();
        if status == wanted {
            return Ok(());
        }
        let place = Box::new(Place::new(&self.subject(), response.url()));
        let why = format!("it answered {status} to an upload, and not {wanted}");
        Err(Error::BadUpload { place, why }.into())
    }

    fn subject(&self) -> Subject<'_> {
        Subject::Written { reference: self.repository, path: "blobs/uploads/".to_owned() }
    }
}

/// The same failure of something that is begun anew.
fn again(failure: Failure) -> Failure {
    match failure {
        Failure::Final(error) | Failure::Passing(error) => Failure::Passing(error),
    }
}
