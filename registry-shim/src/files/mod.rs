//! Plain files under the names that the vendor gave them: `/files/<name>`, and `/files/` for the list.
//!
//! A name is to a file what a tag is to a manifest: the same releases answer for it, in the same order (see
//! [`crate::catalog`]). What it leads to may change with an activation, so every answer has to be asked for again
//! (`Cache-Control: no-cache`), which its `ETag` makes cheap.
//!
//! A path is cut at its slashes and decoded after that, once; what comes out has to be a [`FileName`], and is looked
//! up in the catalog. Nothing of a path ever becomes a file name of this machine.

mod page;

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use sealift_archive::release::Descriptor;
use sealift_archive::{AnyDigest, Blob, Digest, FileName};
use serde::Serialize;

use self::page::Page;
use crate::app::App;
use crate::catalog::Catalog;
use crate::content::{self, Content, Place};
use crate::html;
use crate::refusal::{Refusal, look_twice};

/// Where the names begin.
const ROOT: &str = "/files/";

/// Answers whatever is asked below `/files/`.
pub(crate) async fn answer(
    State(app): State<Arc<App>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let found = look_twice(|| look_up(&app, &method, &uri, &headers), Refusal::is_damage).await;
    let mut response = found.unwrap_or_else(IntoResponse::into_response);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

async fn look_up(app: &App, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Response, Refusal> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Refusal::ReadOnly);
    }
    let path = uri.path().strip_prefix(ROOT).unwrap_or_default();
    let name = if path.is_empty() { None } else { Some(parse_name(path).ok_or(Refusal::NotFound)?) };
    let view = app.live().view().await;
    let catalog = view.catalog().ok_or(Refusal::NotReady)?;
    let Some(name) = name else { return Ok(list(catalog, headers)) };
    let &Descriptor { ref media_type, digest, size, .. } = catalog.file(&name).ok_or(Refusal::NotFound)?;
    let content = Content {
        blob: Blob { digest, size },
        name: AnyDigest::from(digest).into(),
        place: Place::File(app.blob_path(&digest)),
        media_type: content::media_type(media_type),
    };
    Ok(content::answer(content, method, headers, app.buffers()).await?)
}

/// The name that a path means. A slash that came encoded is part of a name, and no name has one.
fn parse_name(path: &str) -> Option<FileName> {
    let part = |part| percent_decode_str(part).decode_utf8().ok().filter(|part| !part.contains('/'));
    let parts: Vec<_> = path.split('/').map(part).collect::<Option<_>>()?;
    parts.join("/").parse().ok()
}

#[derive(Serialize)]
struct List<'a> {
    files: Vec<Entry<'a>>,
}

/// A file of the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    name: &'a FileName,
    media_type: &'a str,
    digest: Digest,
    size: u64,
}

/// What there is: a page for browsers, JSON for everybody else.
fn list(catalog: &Catalog, headers: &HeaderMap) -> Response {
    let entry = |(name, file)| {
        let &Descriptor { ref media_type, digest, size, .. } = file;
        Entry { name, media_type, digest, size }
    };
    let files: Vec<Entry<'_>> = catalog.listed_files().map(entry).collect();
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let is_browser = accepted.flat_map(|value| value.split(',')).any(|range| {
        let media_type = range.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case("text/html")
    });
    let mut response = if is_browser {
        html::respond(&Page { files: &files })
    } else {
        let body = serde_json::to_vec(&List { files }).expect("names, types, digests and sizes serialise");
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_name(header::ACCEPT));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_one_name_or_none() {
        let cases = [
            ("operator.pdf", Some("operator.pdf")),
            ("k3s/v1.36.4+k3s1/k3s", Some("k3s/v1.36.4+k3s1/k3s")),
            ("k3s/v1.36.4%2Bk3s1/k3s", Some("k3s/v1.36.4+k3s1/k3s")),
            ("%6Fperator.pdf", Some("operator.pdf")),
            ("docs%2Foperator.pdf", None),
            ("docs/", None),
            ("/docs", None),
            ("docs//a", None),
            ("docs/./a", None),
            ("docs/../a", None),
            ("docs/%2e%2e/a", None),
            ("%252e%252e/a", None),
            ("docs/a%00", None),
            ("docs/a%20b", None),
            ("docs/%ff", None),
            ("docs/%", None),
            ("docs\\a", None),
        ];
        for (path, name) in cases {
            assert_eq!(parse_name(path).as_ref().map(FileName::as_str), name, "{path}");
        }
    }
}
