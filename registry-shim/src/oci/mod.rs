//! The OCI distribution API, version 1.1, as far as it reads (opencontainers/distribution-spec, spec.md).
//!
//! Every path below `/v2/` comes to [`answer`]: it is parsed, then looked up in the catalog, and only a digest that
//! the catalog knows is ever made into a file name. Whatever would change something is refused.

mod refusal;
mod request;

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use sealift_archive::reference::is_host;
use sealift_archive::release::Descriptor;
use sealift_archive::{Blob, Digest};
use serde::Serialize;
use url::form_urlencoded;

use self::refusal::{Reason, Refusal};
use self::request::{Item, Request};
use crate::address::Address;
use crate::app::App;
use crate::catalog::{Catalog, Repository};
use crate::content::{self, Content};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const OCTET_STREAM: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// Clients compare it as a whole, so no parameter may follow.
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// Says on whose behalf a registry answered (spec.md, "Registry Proxying").
const OCI_NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
/// Says which filters a list of referrers went through (spec.md, "Listing Referrers").
const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
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
    let mut response = match look_up(&app, &method, &uri, &headers, &query).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    };
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
) -> Result<Response, Refusal> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Refusal::new(Reason::ReadOnly, "this registry is read-only"));
    }
    let path = uri.path().strip_prefix("/v2/").unwrap_or_default();
    if path.is_empty() {
        return Ok(([(header::CONTENT_TYPE, JSON)], "{}").into_response());
    }
    let request = Request::parse(path)?;
    let view = app.live().view().await;
    let catalog = view.catalog().ok_or_else(|| Refusal::new(Reason::NotReady, "the store cannot be read"))?;
    let address = Address::resolve(&request.name, query.namespace()?, catalog);
    let repository = catalog.repository(&address).ok_or_else(|| {
        let why = format!("`{}/{}` is in no release here", address.host(), address.repository());
        Refusal::new(Reason::NameUnknown, why)
    })?;
    let content = match &request.item {
        Item::Tag(tag) => {
            let unknown =
                || Refusal::new(Reason::ManifestUnknown, format!("no release here has the tag `{tag}`"));
            manifest(app, catalog, repository.tag(tag).ok_or_else(unknown)?)?
        }
        Item::Manifest(digest) => manifest(app, catalog, *digest)?,
        Item::Blob(digest) => blob(app, catalog, *digest)?,
        Item::Tags => return tags(uri, &request.name, repository, query),
        Item::Referrers(subject) => return Ok(referrers(catalog.referrers(subject), query)),
    };
    content::answer(content, method, headers).await.map_err(|error| {
        error.log();
        Refusal::new(Reason::Damaged, error.to_string())
    })
}

fn manifest(app: &App, catalog: &Catalog, digest: Digest) -> Result<Content, Refusal> {
    let unknown =
        || Refusal::new(Reason::ManifestUnknown, format!("no release here has the manifest `{digest}`"));
    let media_type = catalog.manifest(&digest).ok_or_else(unknown)?;
    let size = catalog.blob_size(&digest).ok_or_else(unknown)?;
    let media_type = HeaderValue::from_str(media_type).unwrap_or(OCTET_STREAM);
    Ok(Content { blob: Blob { digest, size }, path: app.blob_path(&digest), media_type })
}

/// Any content, manifests included: containerd looks for a manifest here when it was not among the manifests.
fn blob(app: &App, catalog: &Catalog, digest: Digest) -> Result<Content, Refusal> {
    let unknown = || Refusal::new(Reason::BlobUnknown, format!("no release here has the content `{digest}`"));
    let size = catalog.blob_size(&digest).ok_or_else(unknown)?;
    Ok(Content { blob: Blob { digest, size }, path: app.blob_path(&digest), media_type: OCTET_STREAM })
}

#[derive(Serialize)]
struct TagList<'a> {
    name: &'a str,
    tags: Vec<&'a str>,
}

fn tags(uri: &Uri, name: &str, repository: &Repository, query: &Query<'_>) -> Result<Response, Refusal> {
    let limit = query.page_size()?;
    let mut rest = repository.tags_after(query.get("last"));
    let tags: Vec<&str> = rest.by_ref().take(limit).collect();
    let next = match tags.last() {
        Some(last) if rest.next().is_some() => Some(query.next_page(uri.path(), limit, last)),
        _ => None,
    };
    let mut response = json(JSON, &TagList { name, tags });
    // The path came in as a URI and the query is encoded, so this is always a header value.
    let link = next.and_then(|page| HeaderValue::try_from(format!("<{page}>; rel=\"next\"")).ok());
    response.headers_mut().extend(link.map(|link| (header::LINK, link)));
    Ok(response)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReferrersIndex<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<&'a Descriptor>,
}

fn referrers(all: &[Descriptor], query: &Query<'_>) -> Response {
    let wanted = query.get("artifactType").filter(|wanted| !wanted.is_empty());
    let manifests = all
        .iter()
        .filter(|d| wanted.is_none_or(|wanted| d.artifact_type.as_deref() == Some(wanted)))
        .collect();
    let index = ReferrersIndex { schema_version: 2, media_type: INDEX_TYPE, manifests };
    let mut response = json(HeaderValue::from_static(INDEX_TYPE), &index);
    let applied = wanted.map(|_| (OCI_FILTERS_APPLIED, HeaderValue::from_static("artifactType")));
    response.headers_mut().extend(applied);
    response
}

fn json(media_type: HeaderValue, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("lists of strings and descriptors serialise");
    ([(header::CONTENT_TYPE, media_type)], Body::from(body)).into_response()
}

/// The parameters of a request; of one that comes twice, the first counts.
struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    fn parse(query: &'a str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| &**value)
    }

    /// The host on whose behalf the client asks. An empty one is none.
    fn namespace(&self) -> Result<Option<&str>, Refusal> {
        match self.get("ns").filter(|host| !host.is_empty()) {
            Some(host) if !is_host(host) => {
                Err(Refusal::new(Reason::NameInvalid, "the namespace is not the name of a host"))
            }
            host => Ok(host),
        }
    }

    /// How many entries the client wants; all of them if it does not say.
    fn page_size(&self) -> Result<usize, Refusal> {
        self.get("n").map_or(Ok(usize::MAX), |n| {
            n.parse().map_err(|_| Refusal::new(Reason::PageInvalid, "`n` is not a number of entries"))
        })
    }

    /// Where the list goes on behind `last`.
    fn next_page(&self, path: &str, limit: usize, last: &str) -> String {
        let mut next = form_urlencoded::Serializer::new(format!("{path}?"));
        next.append_pair("n", &limit.to_string()).append_pair("last", last);
        if let Ok(Some(host)) = self.namespace() {
            next.append_pair("ns", host);
        }
        next.finish()
    }
}
