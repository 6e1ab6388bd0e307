//! The client: manifests by name, content by digest, and everything at once.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::{CONTENT_TYPE, HeaderName};
use reqwest::{Method, Response};
use sealift_archive::{AnyDigest, Blob, BlobSink, Digest, Progress, Reference, Sha512};
use serde::Deserialize;
use tokio::runtime::Runtime;
use url::Url;

use crate::batch;
use crate::crew::{self, Crew};
use crate::error::Error;
use crate::feed::Budget;
use crate::host::Host;
use crate::http::{self, Http};
use crate::options::Options;
use crate::pace::Pace;
use crate::request::{Request, Subject};
use crate::retry::{Failure, Tries};

/// The largest manifest that is read. Registries must take manifests of 4 MiB (distribution-spec, "Pushing
/// Manifests"), and clients refuse larger ones.
pub const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// The manifests and indexes that we understand, as an `Accept` header.
pub(crate) const MANIFEST_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.artifact.manifest.v1+json";

/// The header in which registries name what they send.
const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A manifest or index, exactly as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The bytes that the digest is of.
    pub bytes: Vec<u8>,
    /// What they are: as they say themselves, or else as the registry says.
    pub media_type: String,
    /// Their digest.
    pub digest: Digest,
}

/// Content that is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Digest and size.
    pub blob: Blob,
    /// The name under which a registry knows it, if that is not its digest.
    pub alias: Option<Sha512>,
    /// Where it is.
    pub origin: Origin,
}

/// Where content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a repository of a registry.
    Registry {
        /// An image in the repository, named in errors.
        reference: Reference,
        /// Under which path registries keep it.
        kind: Kind,
    },
    /// A file on a web server, at exactly this address.
    Url(Url),
}

impl Wanted {
    /// Content that is known by its digest.
    #[must_use]
    pub fn new(blob: Blob, origin: Origin) -> Self {
        Self { blob, alias: None, origin }
    }

    /// What a request for it is about.
    pub(crate) fn subject(&self) -> Subject<'_> {
        self.origin.subject(self.alias.map_or(self.blob.digest.into(), AnyDigest::from))
    }

    /// Whether it is a manifest or index, which registries do not send in parts.
    pub(crate) fn is_manifest(&self) -> bool {
        matches!(self.origin, Origin::Registry { kind: Kind::Manifest, .. })
    }
}

impl Origin {
    /// What a request for content with this name is about.
    pub(crate) fn subject(&self, name: AnyDigest) -> Subject<'_> {
        match self {
            Self::Registry { reference, kind: Kind::Manifest } => {
                Subject::Repository { reference, path: format!("manifests/{name}") }
            }
            Self::Registry { reference, kind: Kind::Blob } => {
                Subject::Repository { reference, path: format!("blobs/{name}") }
            }
            Self::Url(url) => Subject::File(url),
        }
    }
}

impl fmt::Display for Origin {
    /// As errors name it: the reference, or the address without its secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry { reference, .. } => reference.fmt(f),
            Self::Url(url) => f.write_str(&http::without_secrets(url)),
        }
    }
}

/// Under which path registries keep content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `manifests/<digest>`: manifests and indexes.
    Manifest,
    /// `blobs/<digest>`: configs, layers and all the rest.
    Blob,
}

/// Fetches from registries and web servers. Cheap to clone; clones share connections, tokens and limits.
///
/// It must be used within a tokio runtime.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) http: Http,
    pub(crate) options: Options,
    pub(crate) budget: Budget,
    pub(crate) pace: Pace,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

impl Client {
    /// A client with these options.
    ///
    /// # Errors
    /// A CA file cannot be used.
    pub fn new(options: Options) -> Result<Self, Error> {
        let http = Http::new(&options)?;
        let pace = Pace::new(options.rate);
        let options = Options { concurrency: pace.connections(options.concurrency), ..options };
        Ok(Self(Arc::new(Inner { http, options, budget: Budget::new(), pace, hosts: Mutex::default() })))
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// The manifest or index that a reference names, by its digest if it has one and else by its tag.
    ///
    /// # Errors
    /// What the registry or the network says; other content than was named; more than [`MAX_MANIFEST_BYTES`].
    pub async fn manifest(&self, reference: &Reference) -> Result<Manifest, Error> {
        self.0.again_and_again(|| self.0.manifest(reference)).await
    }

    /// The same, or `None` if the registry says that there is no such manifest. Only a 404 says so.
    ///
    /// It is asked for in a way that costs nothing where it is absent: Docker Hub counts a `GET` of a manifest as a
    /// pull, and a `HEAD` not.
    ///
    /// # Errors
    /// As [`Client::manifest`].
    pub async fn manifest_if_any(&self, reference: &Reference) -> Result<Option<Manifest>, Error> {
        // What else goes wrong is for the real request to tell: the answer to a `HEAD` has no words.
        if self.0.head(reference).await.is_err_and(|failure| failure.error().is_absent()) {
            return Ok(None);
        }
        match self.manifest(reference).await {
            Err(error) if error.is_absent() => Ok(None),
            manifest => manifest.map(Some),
        }
    }

    /// Gets everything that is wanted into the sink, many at the same time and each digest once.
    ///
    /// What the sink has a part of goes on there. After a failure nothing new is begun, what is under way is
    /// finished, and all failures are told together. When `progress` says that somebody asked to stop, all
    /// stops within a moment, and what has come stays in the sink. If the future is dropped, writers are
    /// closed a moment later on their own threads.
    ///
    /// # Errors
    /// What the servers, the network and the sink say, or `Interrupted`.
    pub async fn fetch_all(
        &self,
        wanted: Vec<Wanted>,
        sink: Arc<dyn BlobSink + Send + Sync>,
        progress: Arc<dyn Progress>,
    ) -> Result<(), Error> {
        let crew = Crew::Shared { sink, progress: Arc::clone(&progress) };
        batch::fetch_all(&self.0, wanted, crew, &*progress).await
    }

    /// The same for a caller that only lends its sink, and waits on a thread of its own. The client must not have been used
    /// with another runtime before: connections live with theirs.
    ///
    /// # Errors
    /// As [`Client::fetch_all`], or no thread can be had.
    pub fn fetch_into(
        &self,
        runtime: &Runtime,
        wanted: Vec<Wanted>,
        sink: &dyn BlobSink,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        crew::lend(self.0.options.concurrency, sink, progress, |crew| {
            runtime.block_on(batch::fetch_all(&self.0, wanted, crew, progress))
        })
    }
}

impl Inner {
    /// What is known of a host, from now on if nothing was.
    pub(crate) fn host(&self, name: &str) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.entry(name.to_owned()).or_insert_with(|| Arc::new(Host::new(name, &self.options)));
        Arc::clone(host)
    }

    /// Does something until it works or is in vain.
    pub(crate) async fn again_and_again<T, F>(&self, once: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut tries = Tries::new(self.options.retry);
        loop {
            match once().await {
                Ok(it) => return Ok(it),
                Err(failure) => tries.wait(failure).await?,
            }
        }
    }

    async fn head(&self, reference: &Reference) -> Result<(), Failure> {
        let request = Request { method: Method::HEAD, ..manifest_request(reference) };
        request.send(self).await.map(|_| ())
    }

    async fn manifest(&self, reference: &Reference) -> Result<Manifest, Failure> {
        let mut answer = manifest_request(reference).send(self).await?;
        let bytes = answer.whole(MAX_MANIFEST_BYTES).await?;
        self.pace.came(bytes.len()).await;
        let place = Box::new(answer.place.clone());
        let digest = Digest::of(&bytes);
        for wanted in [reference.digest(), named_digest(&answer.response)].into_iter().flatten() {
            let found = wanted.same_kind_of(&bytes);
            if wanted != found {
                let (wanted, found) = (Box::new(wanted), Box::new(found));
                return Err(Error::WrongContent { place, wanted, found }.into());
            }
        }
        match media_type(&bytes, &answer.response) {
            Some(media_type) => Ok(Manifest { bytes, media_type, digest }),
            None => Err(answer.nonsense("it does not say what kind of manifest it is").into()),
        }
    }
}

fn manifest_request(reference: &Reference) -> Request<'_> {
    let named = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or_default().to_owned(),
    };
    let subject = Subject::Repository { reference, path: format!("manifests/{named}") };
    Request { accept: Some(MANIFEST_TYPES), ..Request::whole(subject) }
}

/// The digest that an answer claims for its content. Digests of other kinds are not ours to judge.
pub(crate) fn named_digest(response: &Response) -> Option<AnyDigest> {
    response.headers().get(DOCKER_CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}

/// The part of all kinds of manifests that says which kind it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typed {
    media_type: Option<String>,
}

/// The digest vouches for what a manifest says of itself, so that comes before what the registry says.
fn media_type(bytes: &[u8], response: &Response) -> Option<String> {
    let own = serde_json::from_slice::<Typed>(bytes).ok().and_then(|typed| typed.media_type);
    own.or_else(|| {
        let field = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
        Some(field.split(';').next()?.trim().to_ascii_lowercase())
    })
}
