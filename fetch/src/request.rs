//! One request to a registry, until it is let in and answered.

use std::sync::Arc;

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, RANGE, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode, Url};
use sealift_archive::Reference;
use tokio::sync::OwnedSemaphorePermit;

use crate::access::Pass;
use crate::answer;
use crate::error::{Error, Place};
use crate::header::Challenge;
use crate::host::Host;
use crate::http::{self, Http};
use crate::retry::Failure;

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// The repository, and whom it is for.
    pub(crate) reference: &'a Reference,
    /// Behind the name of the repository: `blobs/sha256:…`.
    pub(crate) path: String,
    /// The media types that are welcome.
    pub(crate) accept: Option<&'a str>,
    /// The offset from which on content is wanted, if not from its beginning.
    pub(crate) from: Option<u64>,
}

/// A successful answer, or "no such range" if a range was asked for.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) place: Place,
    /// Held as long as the answer is read.
    _slot: OwnedSemaphorePermit,
}

impl Request<'_> {
    /// Makes the request.
    pub(crate) async fn send(&self, http: &Http, host: &Arc<Host>) -> Result<Answer, Failure> {
        let slot = host.slot().await;
        let url = host.url(http, &format!("{}/{}", self.reference.repository(), self.path)).await?;
        let pass = host.access.pass(http, host, self.reference).await?;
        let mut response = self.send_with(http, &url, pass.as_ref()).await?;
        // After a redirect it is somebody else who asks who we are, and our credentials are not for them.
        if response.status() == StatusCode::UNAUTHORIZED && response.url().origin() == url.origin() {
            let challenges = challenges(&response);
            // Reading the refusal keeps the connection for the next request.
            let refusal = answer::failure(host, self.place(&response), response).await;
            match host.access.renew(http, host, self.reference, challenges, pass.as_ref()).await? {
                Some(pass) => response = self.send_with(http, &url, Some(&pass)).await?,
                None => return Err(refusal),
            }
        }
        let place = self.place(&response);
        let no_such_range = self.from.is_some() && response.status() == StatusCode::RANGE_NOT_SATISFIABLE;
        if response.status().is_success() || no_such_range {
            Ok(Answer { response, place, _slot: slot })
        } else {
            Err(answer::failure(host, place, response).await)
        }
    }

    async fn send_with(&self, http: &Http, url: &Url, pass: Option<&Pass>) -> Result<Response, Failure> {
        // A compressed answer would have another digest.
        let mut request = http.client(url).get(url.clone()).header(ACCEPT_ENCODING, "identity");
        if let Some(accept) = self.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(from) = self.from {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if let Some(pass) = pass {
            request = pass.show(request);
        }
        request.send().await.map_err(|error| http::failure(&error, Place::new(self.reference, url)))
    }

    fn place(&self, response: &Response) -> Place {
        Place::new(self.reference, response.url())
    }
}

impl Answer {
    /// Refuses it: it is not what the protocol wants.
    pub(crate) fn nonsense(self, why: impl Into<String>) -> Failure {
        Failure::Final(Error::BadAnswer { place: Box::new(self.place), why: why.into() })
    }
}

fn challenges(response: &Response) -> Vec<Challenge> {
    let fields = response.headers().get_all(WWW_AUTHENTICATE).iter();
    fields.filter_map(|field| field.to_str().ok()).flat_map(Challenge::parse).collect()
}
