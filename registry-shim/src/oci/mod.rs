//! The OCI distribution API, version 1.1, as far as it reads (opencontainers/distribution-spec, spec.md).
//!
//! Every path below `/v2/` comes to [`answer`]: it is parsed, then looked up in the catalog, and only a digest that
//! the catalog knows is ever made into a file name. Whatever would change something is refused.

mod list;
mod query;
mod refusal;
mod request;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use sealift_archive::{AnyDigest, Blob};
use serde::Serialize;

use self::query::Query;
use self::refusal::{Reason, Refusal};
use self::request::{Item, Request};
use crate::Error;
use crate::address::Address;
use crate::app::App;
use crate::catalog::Catalog;
use crate::content::{self, Content, Kept, MAX_DOCUMENT_BYTES, Place};
use crate::refusal::look_twice;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// The path of the list of repositories, behind `/v2/`. No repository has such a name.
const REPOSITORIES: &str = "_catalog";

/// What the specification calls the digest of an answer.
const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Says on whose behalf a registry answered (spec.md, "Registry Proxying").
const OCI_NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
/// What clients from before the specification look for.
const API_VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("docker-distribution-api-version"), HeaderValue::from_static("registry/2.0"));

/// Answers whatever is asked below `/v2/`.
pub(crate) async fn answer(
    State(app): State<Arc<App>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let query = Query::parse(uri.query().unwrap_or_default());
    let is_damage = |failure: &Failure| matches!(failure, Failure::Damaged(_));
    let found = look_twice(|| look_up(&app, &method, &uri, &headers, &query), is_damage).await;
    let mut response = found.unwrap_or_else(IntoResponse::into_response);
    let echo = query.namespace().ok().flatten().and_then(|host| HeaderValue::from_str(host).ok());
    response.headers_mut().extend(echo.map(|host| (OCI_NAMESPACE, host)));
    response.headers_mut().extend([API_VERSION]);
    response
}

async fn look_up(
    app: &App,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    query: &Query<'_>,
) -> Result<Response, Failure> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Refusal::new(Reason::ReadOnly, "this registry is read-only").into());
    }
    let path = uri.path().strip_prefix("/v2/").unwrap_or_default();
    if path.is_empty() {
        return Ok(([(header::CONTENT_TYPE, JSON)], "{}").into_response());
    }
    let view = app.live().view().await;
    let known = || view.catalog().ok_or_else(|| Refusal::new(Reason::NotReady, "the store cannot be read"));
    if path == REPOSITORIES {
        return Ok(list::repositories(uri, known()?, query)?);
    }
    let request = Request::parse(path)?;
    let catalog = known()?;
    let address = Address::resolve(&request.name, query.namespace()?, catalog);
    let repository = catalog.repository(&address).ok_or_else(|| {
        let why = format!("`{}/{}` is in no release here", address.host(), address.repository());
        Refusal::new(Reason::NameUnknown, why)
    })?;
    let kept = view.kept();
    let content = match &request.item {
        Item::Tag(tag) => {
            let unknown =
                || Refusal::new(Reason::ManifestUnknown, format!("no release here has the tag `{tag}`"));
            manifest(app, catalog, kept, repository.tag(tag).ok_or_else(unknown)?.into()).await?
        }
        Item::Manifest(name) => manifest(app, catalog, kept, *name).await?,
        Item::Blob(name) => blob(app, catalog, *name)?,
        Item::Tags => {
            expect_fit(app, catalog).await?;
            return Ok(list::tags(uri, &request.name, repository, query)?);
        }
        Item::Referrers(subject) => return Ok(list::referrers(catalog, *subject, query)),
    };
    let digest = content.name.digest().clone();
    let mut response = content::answer(content, method, headers, app.buffers()).await?;
    response.headers_mut().insert(DOCKER_CONTENT_DIGEST, digest);
    Ok(response)
}

/// Flux follows lists of tags as it follows Git, so on a node of a cluster they lead as well.
async fn expect_fit(app: &App, catalog: &Catalog) -> Result<(), Refusal> {
    // Without an active release there is nothing in the list.
    let Some(active) = catalog.active() else { return Ok(()) };
    let fit = app.judge().expect_fit(app.live().store(), active).await;
    fit.map_err(|why| Refusal::new(Reason::NotReady, why.message()))
}

/// A manifest; a small one from memory, where it stays once it was asked for.
async fn manifest(
    app: &App,
    catalog: &Catalog,
    kept: &Arc<Kept>,
    name: AnyDigest,
) -> Result<Content, Failure> {
    let unknown =
        || Refusal::new(Reason::ManifestUnknown, format!("no release here has the manifest `{name}`"));
    let digest = catalog.digest_of(name).ok_or_else(unknown)?;
    let media_type = content::media_type(catalog.manifest(&digest).ok_or_else(unknown)?);
    let size = catalog.blob_size(&digest).ok_or_else(unknown)?;
    let blob = Blob { digest, size };
    if size > MAX_DOCUMENT_BYTES {
        let place = Place::File(app.blob_path(&digest));
        return Ok(Content { blob, name: name.into(), place, media_type });
    }
    let document = if let Some(document) = kept.get(&digest) {
        document
    } else {
        let (kept, path) = (Arc::clone(kept), app.blob_path(&digest));
        content::blocking(move || kept.read(&path, blob)).await?
    };
    let name = if name == digest.into() { document.name } else { name.into() };
    Ok(Content { blob, name, place: Place::Memory(document.bytes), media_type })
}

/// Any content, manifests included: containerd looks for a manifest here when it was not among the manifests.
fn blob(app: &App, catalog: &Catalog, name: AnyDigest) -> Result<Content, Refusal> {
    let unknown = || Refusal::new(Reason::BlobUnknown, format!("no release here has the content `{name}`"));
    let digest = catalog.digest_of(name).ok_or_else(unknown)?;
    let size = catalog.blob_size(&digest).ok_or_else(unknown)?;
    let place = Place::File(app.blob_path(&digest));
    Ok(Content { blob: Blob { digest, size }, name: name.into(), place, media_type: content::OCTET_STREAM })
}

/// Why there is no content.
#[derive(Debug)]
enum Failure {
    /// The client may not have it, or nobody has.
    Refused(Refusal),
    /// It should be there, and cannot be read.
    Damaged(Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Damaged(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(refusal) => refusal.into_response(),
            Self::Damaged(error) => {
                error.log();
                Refusal::new(Reason::Damaged, error.to_string()).into_response()
            }
        }
    }
}

fn json(media_type: HeaderValue, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("lists of strings and descriptors serialise");
    ([(header::CONTENT_TYPE, media_type)], Body::from(body)).into_response()
}
