//! One request to a registry or web server, until it is let in and answered.

use std::fmt;

use bytes::Bytes;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, IF_RANGE, RANGE, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode, Url};
use sealift_archive::Reference;
use tokio::sync::OwnedSemaphorePermit;

use crate::access::Pass;
use crate::answer::{self, BodyError};
use crate::client::Inner;
use crate::error::{Error, Place};
use crate::header::Challenge;
use crate::host::Host;
use crate::http::{self, Http};
use crate::retry::Failure;

/// What a request is about.
#[derive(Clone, Debug)]
pub(crate) enum Subject<'a> {
    /// Content of a repository in a registry.
    Repository {
        /// The repository, and whom it is for.
        reference: &'a Reference,
        /// Behind the name of the repository: `blobs/sha256:…`.
        path: String,
    },
    /// The same in a repository that is written to: that needs another pass.
    Written {
        /// The repository, and whom it is for.
        reference: &'a Reference,
        /// Behind the name of the repository: `blobs/uploads/`.
        path: String,
    },
    /// A file on a web server.
    File(&'a Url),
}

impl Subject<'_> {
    /// The host as references and Docker's configuration name it: `docker.io`, `charts.example.com:8443`.
    pub(crate) fn host(&self) -> String {
        match self {
            Self::Repository { reference, .. } | Self::Written { reference, .. } => {
                reference.host().to_owned()
            }
            Self::File(url) => http::authority(url),
        }
    }

    /// What one pass opens: a repository of the host for reading or for both, or all of its files.
    pub(crate) fn realm(&self) -> String {
        match self {
            Self::Repository { reference, .. } => format!("repository:{}:pull", reference.repository()),
            Self::Written { reference, .. } => format!("repository:{}:pull,push", reference.repository()),
            // The scheme counts: what was shown over TLS is not shown without it unasked.
            Self::File(url) => url.origin().ascii_serialization(),
        }
    }

    /// Whether a request to this address asks the same question. Some registries are a front that sends each request
    /// on to another registry (`registry.k8s.io` does), and web servers move; what these say of it counts. A storage
    /// service keeps content under names of its own, and knows nothing of what a registry has.
    fn is_asked_at(&self, url: &Url) -> bool {
        match self {
            Self::Repository { path, .. } | Self::Written { path, .. } => {
                let path = path.split_once('?').map_or(path.as_str(), |(path, _)| path);
                let question = url.path().strip_prefix("/v2/").and_then(|rest| rest.strip_suffix(path));
                question.is_some_and(|repository| repository.ends_with('/'))
            }
            Self::File(asked) => last_segment(asked).is_some_and(|name| last_segment(url) == Some(name)),
        }
    }

    /// Where it is asked for.
    pub(crate) async fn url(&self, http: &Http, host: &Host) -> Result<Url, Error> {
        match self {
            Self::Repository { reference, path } | Self::Written { reference, path } => {
                host.url(http, &format!("{}/{path}", reference.repository())).await
            }
            Self::File(url) => {
                http.expect_fit(url)?;
                Ok((*url).clone())
            }
        }
    }
}

impl fmt::Display for Subject<'_> {
    /// As errors name it: the reference, or the address without its secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository { reference, .. } | Self::Written { reference, .. } => reference.fmt(f),
            Self::File(url) => f.write_str(&http::without_secrets(url)),
        }
    }
}

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) subject: Subject<'a>,
    /// `GET`, `HEAD` for what an answer would say of itself, or one that brings something.
    pub(crate) method: Method,
    /// What it brings, and its media type.
    pub(crate) brings: Option<(&'a str, Bytes)>,
    /// The media types that are welcome.
    pub(crate) accept: Option<&'a str>,
    /// The offset from which on content is wanted, if not from its beginning.
    pub(crate) from: Option<u64>,
    /// The version of which a part is wanted; of any other one all is (RFC 9110, 13.1.5).
    pub(crate) version: Option<&'a str>,
}

/// A successful answer, or "no such range" if a range was asked for.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) place: Place,
    /// Held as long as the answer is read.
    _slot: OwnedSemaphorePermit,
}

impl<'a> Request<'a> {
    /// A request for all of something, whatever it is.
    pub(crate) fn whole(subject: Subject<'a>) -> Self {
        Self { subject, method: Method::GET, brings: None, accept: None, from: None, version: None }
    }

    /// Makes the request.
    pub(crate) async fn send(&self, client: &Inner) -> Result<Answer, Failure> {
        let (http, host) = (&client.http, &client.host(&self.subject.host()));
        let slot = host.slot().await;
        let url = self.subject.url(http, host).await?;
        let pass = host.access.pass(http, host, &self.subject).await?;
        let mut response = self.send_with(http, &url, pass.as_ref()).await?;
        // After a redirect it is somebody else who asks who we are, and our credentials are not for them.
        if response.status() == StatusCode::UNAUTHORIZED && response.url().origin() == url.origin() {
            let challenges = challenges(&response);
            // Reading the refusal keeps the connection for the next request.
            let refusal = answer::failure(host, self.place(&response), response).await;
            match host.access.renew(http, host, &self.subject, challenges, pass.as_ref()).await? {
                Some(pass) => response = self.send_with(http, &url, Some(&pass)).await?,
                None => return Err(refusal),
            }
        }
        let place = self.place(&response);
        let no_such_range = self.from.is_some() && response.status() == StatusCode::RANGE_NOT_SATISFIABLE;
        if response.status().is_success() || no_such_range {
            return Ok(Answer { response, place, _slot: slot });
        }
        let is_astray = *response.url() != url && !self.subject.is_asked_at(response.url());
        let failure = answer::failure(host, place, response).await;
        Err(failure.map(|error| match error {
            Error::Answer { place, status, said } if is_astray => {
                Error::SentAstray { asked: host.name().to_owned(), place, status, said }
            }
            other => other,
        }))
    }

    async fn send_with(&self, http: &Http, url: &Url, pass: Option<&Pass>) -> Result<Response, Failure> {
        // A compressed answer would have another digest.
        let mut request =
            http.client(url).request(self.method.clone(), url.clone()).header(ACCEPT_ENCODING, "identity");
        if let Some(accept) = self.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(from) = self.from {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if let Some(version) = self.version {
            request = request.header(IF_RANGE, version);
        }
        if let Some((media_type, bytes)) = &self.brings {
            request = request.header(CONTENT_TYPE, *media_type).body(bytes.clone());
        }
        if let Some(pass) = pass {
            request = pass.show(request);
        }
        let error = match request.send().await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let place = Place::new(&self.subject, url);
        match http.why_closed_out(url, &error).await {
            Some(why) => Err(Failure::Final(Error::ClosedOut { place: Box::new(place), why })),
            None => Err(http::failure(&error, place)),
        }
    }

    fn place(&self, response: &Response) -> Place {
        Place::new(&self.subject, response.url())
    }
}

impl Answer {
    /// Refuses it: it is not what the protocol wants.
    pub(crate) fn nonsense(self, why: impl Into<String>) -> Error {
        Error::BadAnswer { place: Box::new(self.place), why: why.into() }
    }

    /// Reads all of it into memory, at most `limit` bytes.
    pub(crate) async fn whole(&mut self, limit: u64) -> Result<Vec<u8>, Failure> {
        let announced = self.response.content_length();
        let body = match announced {
            Some(length) if length > limit => Err(BodyError::TooLong),
            _ => answer::body(&mut self.response, limit).await,
        };
        let place = || Box::new(self.place.clone());
        body.map_err(|error| match error {
            BodyError::TooLong => Error::TooLong { place: place(), limit }.into(),
            BodyError::BrokenOff { received, why } => {
                let size = announced.unwrap_or(received);
                Failure::Passing(Error::BrokenOff { place: place(), received, size, why })
            }
        })
    }
}

/// The name of a file; `None` for a folder.
fn last_segment(url: &Url) -> Option<&str> {
    url.path_segments()?.next_back().filter(|name| !name.is_empty())
}

/// What a refusal wants to be shown.
pub(crate) fn challenges(response: &Response) -> Vec<Challenge> {
    let fields = response.headers().get_all(WWW_AUTHENTICATE).iter();
    fields.filter_map(|field| field.to_str().ok()).flat_map(Challenge::parse).collect()
}
