//! The pull half of the OCI distribution protocol (distribution-spec, "Pulling").

use std::ops::Range;

use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, LINK, RANGE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sealift_archive::{AnyDigest, Digest};
use serde_json::json;
use url::form_urlencoded;

use super::content::{Content, Contents};
use super::fault::DOCKER_CONTENT_DIGEST;
use super::image::INDEX;
use super::service;

/// The media type of bytes that are just bytes.
const OCTETS: &str = "application/octet-stream";

/// Answers a request for a manifest by tag or digest.
pub(crate) async fn manifest(contents: &Contents, repository: &str, reference: &str) -> Response {
    let Some(manifest) = contents.manifest(repository, reference) else {
        return service::problem(
            StatusCode::NOT_FOUND,
            "MANIFEST_UNKNOWN",
            &format!("manifest unknown: {reference}"),
        );
    };
    whole(&manifest.content, manifest.digest, &manifest.media_type).await
}

/// Answers a request for a blob, or for a range of it.
pub(crate) async fn blob(
    contents: &Contents,
    repository: &str,
    name: AnyDigest,
    headers: &HeaderMap,
) -> Response {
    let found = contents.digest(name).and_then(|digest| Some((digest, contents.blob(repository, digest)?)));
    let Some((digest, content)) = found else {
        return service::problem(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", &format!("blob unknown: {name}"));
    };
    ranged(&content, digest, headers).await
}

/// Answers a request for a plain file, or for a range of it if it still is the version that the request means.
pub(crate) async fn file(contents: &Contents, path: &str, headers: &HeaderMap) -> Response {
    let Some((digest, content)) = contents.file(path) else {
        return service::problem(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "there is nothing here");
    };
    let version = format!("\"{}\"", digest.short());
    let is_meant = headers.get(IF_RANGE).is_none_or(|wanted| wanted.as_bytes() == version.as_bytes());
    let mut response = if is_meant {
        ranged(&content, digest, headers).await
    } else {
        whole(&content, digest, OCTETS).await
    };
    response.headers_mut().remove(DOCKER_CONTENT_DIGEST);
    insert(&mut response, ETAG, &version);
    response
}

async fn ranged(content: &Content, digest: Digest, headers: &HeaderMap) -> Response {
    let size = content.len();
    let asked = headers.get(RANGE).and_then(|value| parse_range(value.to_str().ok()?, size));
    match asked {
        None => whole(content, digest, OCTETS).await,
        Some(range) if range.is_empty() => {
            let mut response =
                service::problem(StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", "no such range");
            insert(&mut response, CONTENT_RANGE, &format!("bytes */{size}"));
            response
        }
        Some(range) => {
            let content_range = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            let mut response = part(content, range, digest, OCTETS).await;
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            insert(&mut response, CONTENT_RANGE, &content_range);
            response
        }
    }
}

/// Answers a request for the manifests that refer to another one; in pages, if they have a size.
pub(crate) fn referrers(
    contents: &Contents,
    repository: &str,
    subject: AnyDigest,
    page: Option<usize>,
    query: &str,
) -> Response {
    let all = contents.referrers(repository, subject);
    let behind = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "last");
    let from: usize = behind.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let listed: Vec<_> = all.iter().skip(from).take(page.unwrap_or(usize::MAX)).collect();
    let end = from + listed.len();
    let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).to_string();
    let mut response = ([(CONTENT_TYPE, INDEX)], list).into_response();
    if end < all.len() {
        let next = format!("</v2/{repository}/referrers/{subject}?last={end}>; rel=\"next\"");
        insert(&mut response, LINK, &next);
    }
    response
}

/// Answers a request for the tags of a repository.
pub(crate) fn tags(contents: &Contents, repository: &str) -> Response {
    match contents.tags(repository) {
        None => service::problem(
            StatusCode::NOT_FOUND,
            "NAME_UNKNOWN",
            &format!("repository unknown: {repository}"),
        ),
        Some(tags) => {
            let list = json!({"name": repository, "tags": tags}).to_string();
            ([(CONTENT_TYPE, "application/json")], list).into_response()
        }
    }
}

async fn whole(content: &Content, digest: Digest, media_type: &str) -> Response {
    part(content, 0..content.len(), digest, media_type).await
}

async fn part(content: &Content, range: Range<u64>, digest: Digest, media_type: &str) -> Response {
    let length = range.end - range.start;
    let body = match content.body(range).await {
        Ok(body) => body,
        Err(error) => {
            return service::problem(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", &error.to_string());
        }
    };
    let mut response = Response::new(body);
    insert(&mut response, CONTENT_TYPE, media_type);
    insert(&mut response, DOCKER_CONTENT_DIGEST, &digest.to_string());
    insert(&mut response, ACCEPT_RANGES, "bytes");
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn insert(response: &mut Response, name: HeaderName, value: &str) {
    // Only media types come from outside; one that is no header value is left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The single range of a `Range` header as an interval; empty if it lies behind the end. What is not understood
/// is as if it were not there (RFC 9110, 14.2).
fn parse_range(header: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        let suffix: u64 = last.parse().ok()?;
        return Some(size.saturating_sub(suffix)..size);
    }
    let first: u64 = first.parse().ok()?;
    let end = if last.is_empty() { size } else { last.parse::<u64>().ok()?.saturating_add(1).min(size) };
    Some(first.min(end)..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_defines_them() {
        let cases = [
            ("bytes=0-", Some(0..10)),
            ("bytes=4-", Some(4..10)),
            ("bytes=4-5", Some(4..6)),
            ("bytes=4-99", Some(4..10)),
            ("bytes=-3", Some(7..10)),
            ("bytes=-99", Some(0..10)),
            ("bytes=10-", Some(10..10)),
            ("bytes=99-", Some(10..10)),
            ("bytes=1-2,4-5", None),
            ("lines=1-2", None),
            ("bytes=a-b", None),
        ];
        for (header, expected) in cases {
            assert_eq!(parse_range(header, 10), expected, "{header}");
        }
    }
}
