//! Lists: of repositories, of tags, and of what refers to a manifest.

use axum::http::Uri;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::response::Response;
use sealift_archive::AnyDigest;
use sealift_archive::release::Descriptor;
use serde::Serialize;

use super::query::Query;
use super::refusal::Refusal;
use super::{JSON, json};
use crate::catalog::{Catalog, Repository};

/// Clients compare it as a whole, so no parameter may follow.
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
/// Says which filters a list of referrers went through (spec.md, "Listing Referrers").
const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

#[derive(Serialize)]
struct RepositoryList<'a> {
    repositories: Vec<&'a str>,
}

/// The active release's repositories. Not in the specification; what the reference implementation answers.
pub(super) fn repositories(uri: &Uri, catalog: &Catalog, query: &Query<'_>) -> Result<Response, Refusal> {
    let names = catalog.repository_names(query.namespace()?);
    let last = query.get("last");
    let rest = names.iter().map(String::as_str).filter(|name| last.is_none_or(|last| *name > last));
    let (repositories, link) = page(rest, uri, query)?;
    Ok(with_link(json(JSON, &RepositoryList { repositories }), link))
}

#[derive(Serialize)]
struct TagList<'a> {
    name: &'a str,
    tags: Vec<&'a str>,
}

/// The active release's tags of a repository, which the client called `name`.
pub(super) fn tags(
    uri: &Uri,
    name: &str,
    repository: &Repository,
    query: &Query<'_>,
) -> Result<Response, Refusal> {
    let (tags, link) = page(repository.tags_after(query.get("last")), uri, query)?;
    Ok(with_link(json(JSON, &TagList { name, tags }), link))
}

/// As much of a list as the client wants, and where it goes on if there is more (spec.md, "Listing Tags").
fn page<'a>(
    mut rest: impl Iterator<Item = &'a str>,
    uri: &Uri,
    query: &Query<'_>,
) -> Result<(Vec<&'a str>, Option<HeaderValue>), Refusal> {
    let limit = query.page_size()?;
    let entries: Vec<&str> = rest.by_ref().take(limit).collect();
    let next = match entries.last() {
        Some(last) if rest.next().is_some() => Some(query.next_page(uri.path(), limit, last)),
        _ => None,
    };
    // The path came in as a URI and the query is encoded, so this is always a header value.
    let link = next.and_then(|page| HeaderValue::try_from(format!("<{page}>; rel=\"next\"")).ok());
    Ok((entries, link))
}

fn with_link(mut response: Response, link: Option<HeaderValue>) -> Response {
    response.headers_mut().extend(link.map(|link| (header::LINK, link)));
    response
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReferrersIndex<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<&'a Descriptor>,
}

/// What refers to `subject`: nothing, if nobody has heard of it.
pub(super) fn referrers(catalog: &Catalog, subject: AnyDigest, query: &Query<'_>) -> Response {
    let all = catalog.digest_of(subject).map_or(&[][..], |subject| catalog.referrers(&subject));
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
