//! Asking the API server: one request, tried again until a deadline where that may help, and an error that says what was
//! asked and what the server said. Source: kubernetes.io, "Kubernetes API Concepts".

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity, Method, Response, StatusCode};
use sealift_fetch::{innermost, is_passing, is_untrusted, without_secrets};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use url::Url;

use super::Error;
use super::kubeconfig::{Kubeconfig, Token};

/// How long a connection may take to stand, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one answer may take. API servers give up on a request after 60 s themselves, and answer in milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// The least that a try gets, even one that begins late, or its error would say nothing.
const LEAST_TIMEOUT: Duration = Duration::from_secs(1);
/// The wait after the first try that failed; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest of them.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Largest answer, in bytes. A page of 50 objects has about 1 MB at most; one object cannot have more than 1.5 MB.
const MAX_ANSWER_BYTES: usize = 32 << 20;
/// The name under which the API server notes who set a field.
const FIELD_MANAGER: &str = "sealift";
const MERGE_PATCH: HeaderValue = HeaderValue::from_static("application/merge-patch+json");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// When an undertaking has to be over, with all its tries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// What is left.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    pub(crate) fn is_over(self) -> bool {
        self.left().is_zero()
    }
}

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    /// The verb that a Role has to allow.
    pub(crate) verb: &'static str,
    /// What it is about, for errors.
    pub(crate) resource: String,
    pub(crate) path: &'a [&'a str],
    pub(crate) query: &'a [(&'a str, &'a str)],
}

/// What becomes of what is asked for.
enum Change<'a> {
    None,
    Patch(&'a Value),
    Create(&'a Value),
    Replace(&'a Value),
    Delete,
}

impl Change<'_> {
    fn method(&self) -> Method {
        match self {
            Self::None => Method::GET,
            Self::Patch(_) => Method::PATCH,
            Self::Create(_) => Method::POST,
            Self::Replace(_) => Method::PUT,
            Self::Delete => Method::DELETE,
        }
    }

    fn body(&self) -> Option<(HeaderValue, &Value)> {
        match self {
            Self::None | Self::Delete => None,
            Self::Patch(patch) => Some((MERGE_PATCH, patch)),
            Self::Create(object) | Self::Replace(object) => Some((JSON, object)),
        }
    }
}

/// The API server.
pub(crate) struct Api {
    server: Url,
    client: Client,
    token: Option<Token>,
    runtime: Runtime,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("server", &self.address()).finish_non_exhaustive()
    }
}

impl Api {
    /// The server of a kubeconfig. Nothing is asked yet.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let kubeconfig = Kubeconfig::read(path)?;
        let bad = |why: String| Error::Kubeconfig { file: path.to_owned(), why };
        let unusable = |what: &str, error: &reqwest::Error| bad(format!("{what}: {}", innermost(error)));
        let mut builder = Client::builder()
            .user_agent(concat!("sealift/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            // What is on this machine or beside it is not to be seen by a proxy.
            .no_proxy();
        if let Some(pem) = &kubeconfig.authorities {
            let found = Certificate::from_pem_bundle(pem)
                .map_err(|error| unusable("its certificate authority", &error))?;
            if found.is_empty() {
                return Err(bad("there is no certificate in its certificate authority".to_owned()));
            }
            builder = builder.tls_certs_only(found);
        }
        if let Some(pem) = &kubeconfig.identity {
            let identity =
                Identity::from_pem(pem).map_err(|error| unusable("its client certificate or key", &error))?;
            builder = builder.identity(identity);
        }
        let client = builder.build().map_err(|error| unusable("no TLS can be set up with it", &error))?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| bad(format!("no network can be set up: {error}")))?;
        Ok(Self { server: kubeconfig.server, client, token: kubeconfig.token, runtime })
    }

    /// Where it is, as people may see it.
    pub(crate) fn address(&self) -> String {
        let shown = without_secrets(&self.server);
        shown.trim_end_matches('/').to_owned()
    }

    /// Gets a document.
    pub(crate) fn get<T: DeserializeOwned>(&self, ask: &Ask<'_>, deadline: Deadline) -> Result<T, Error> {
        let body = self.ask(ask, &Change::None, deadline)?;
        self.understand(ask, &body)
    }

    /// Changes an object by an RFC 7386 merge patch.
    pub(crate) fn patch(&self, ask: &Ask<'_>, patch: &Value, deadline: Deadline) -> Result<(), Error> {
        self.ask(ask, &Change::Patch(patch), deadline).map(drop)
    }

    /// Makes an object; the server answers 409 if there is one.
    pub(crate) fn create<T: DeserializeOwned>(
        &self,
        ask: &Ask<'_>,
        object: &Value,
        deadline: Deadline,
    ) -> Result<T, Error> {
        let body = self.ask(ask, &Change::Create(object), deadline)?;
        self.understand(ask, &body)
    }

    /// Puts an object in the place of the one that has its `resourceVersion`; the server answers 409 if that has changed.
    pub(crate) fn replace<T: DeserializeOwned>(
        &self,
        ask: &Ask<'_>,
        object: &Value,
        deadline: Deadline,
    ) -> Result<T, Error> {
        let body = self.ask(ask, &Change::Replace(object), deadline)?;
        self.understand(ask, &body)
    }

    /// Removes an object.
    pub(crate) fn delete(&self, ask: &Ask<'_>, deadline: Deadline) -> Result<(), Error> {
        self.ask(ask, &Change::Delete, deadline).map(drop)
    }

    fn understand<T: DeserializeOwned>(&self, ask: &Ask<'_>, body: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(body)
            .map_err(|error| self.odd(ask, format!("it is not what it should be: {error}")))
    }

    /// Waits, but not longer than there is time.
    pub(crate) fn pause(&self, wait: Duration, deadline: Deadline) {
        self.runtime.block_on(async { tokio::time::sleep(wait.min(deadline.left())).await });
    }

    /// An answer that is not understood.
    pub(crate) fn odd(&self, ask: &Ask<'_>, why: String) -> Error {
        Error::NotUnderstood { server: self.address(), resource: ask.resource.clone(), why }
    }

    fn ask(&self, ask: &Ask<'_>, change: &Change<'_>, deadline: Deadline) -> Result<Vec<u8>, Error> {
        let mut wait = FIRST_WAIT;
        self.runtime.block_on(async {
            loop {
                let (told, error) = match self.try_once(ask, change, deadline).await {
                    Ok(body) => return Ok(body),
                    Err(Failure::Final(error)) => return Err(error),
                    Err(Failure::Passing { wait: told, error }) => (told, error),
                };
                let next = told.unwrap_or(wait);
                if next >= deadline.left() {
                    return Err(error);
                }
                tokio::time::sleep(next).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        })
    }

    async fn try_once(
        &self,
        ask: &Ask<'_>,
        change: &Change<'_>,
        deadline: Deadline,
    ) -> Result<Vec<u8>, Failure> {
        let mut request = self.client.request(change.method(), self.url(ask, change.body().is_some()));
        request = request.timeout(deadline.left().clamp(LEAST_TIMEOUT, ANSWER_TIMEOUT));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.text().map_err(Failure::Final)?);
        }
        if let Some((media_type, body)) = change.body() {
            request = request.header(CONTENT_TYPE, media_type).body(body.to_string());
        }
        let mut response = request.send().await.map_err(|error| self.no_answer(&error))?;
        if response.status().is_success() {
            return match body(&mut response, MAX_ANSWER_BYTES).await {
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) => {
                    let why = format!("it is longer than {MAX_ANSWER_BYTES} bytes");
                    Err(Failure::Final(self.odd(ask, why)))
                }
                Err(error) => Err(self.no_answer(&error)),
            };
        }
        Err(self.refusal(ask, response).await)
    }

    fn url(&self, ask: &Ask<'_>, has_body: bool) -> Url {
        let mut url = self.server.clone();
        url.path_segments_mut().expect("an http address has a path").pop_if_empty().extend(ask.path);
        if !ask.query.is_empty() || has_body {
            let mut pairs = url.query_pairs_mut();
            pairs.extend_pairs(ask.query);
            if has_body {
                pairs.append_pair("fieldManager", FIELD_MANAGER);
            }
        }
        url
    }

    fn no_answer(&self, error: &reqwest::Error) -> Failure {
        let server = self.address();
        let why = innermost(error);
        if is_untrusted(error) {
            return Failure::Final(Error::Untrusted { server, why });
        }
        let why = if error.is_timeout() { "it takes too long to answer".to_owned() } else { why };
        Failure::Passing { wait: None, error: Error::Unreachable { server, why } }
    }

    async fn refusal(&self, ask: &Ask<'_>, mut response: Response) -> Failure {
        let status = response.status();
        let told = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = body(&mut response, MAX_ANSWER_BYTES).await.ok().flatten().unwrap_or_default();
        let (server, verb, resource, said) = (self.address(), ask.verb, ask.resource.clone(), said_by(&body));
        match status {
            StatusCode::UNAUTHORIZED => Failure::Final(Error::Unauthorized { server, said }),
            StatusCode::FORBIDDEN => Failure::Final(Error::Forbidden { server, verb, resource, said }),
            _ => {
                let error = Error::Answer { server, status: status.as_u16(), verb, resource, said };
                if is_passing(status) {
                    Failure::Passing { wait: told.map(Duration::from_secs), error }
                } else {
                    Failure::Final(error)
                }
            }
        }
    }
}

/// Why one try failed.
enum Failure {
    /// It would fail again.
    Final(Error),
    /// It may work the next time, after a wait that the server may have named.
    Passing { wait: Option<Duration>, error: Error },
}

/// A whole body, or nothing if it is longer than `limit` bytes.
async fn body(response: &mut Response, limit: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if bytes.len() + piece.len() > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Some(bytes))
}

/// The message of a Kubernetes `Status`, or the first line of another text, short and fit for a terminal.
fn said_by(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Status {
        message: String,
    }
    match serde_json::from_slice::<Status>(body) {
        Ok(status) => shown(&status.message),
        Err(_) => shown(String::from_utf8_lossy(body).trim().lines().next().unwrap_or_default()),
    }
}

/// A text from outside: one line, no control characters, not too long.
pub(crate) fn shown(text: &str) -> String {
    sealift_fetch::shown(&text.trim().replace(['\n', '\r', '\t'], " "))
}
