//! Stored content as an HTTP answer: exact bytes, whole or in part.
//!
//! Content is immutable and its digest is its `ETag`, so conditional requests are decided without looking at the disk.
//! A file that is not as long as its release says is never sent; one that ends early while it is being sent ends the
//! connection, so no client takes a part for the whole. Small documents that are asked for often are held in memory,
//! once they were read and their digest was right ([`Kept`]).

mod buffers;
mod kept;
mod pieces;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use fs_err as fs;
use sealift_archive::{AnyDigest, Blob};
use tokio::task::spawn_blocking;

pub(crate) use self::buffers::Buffers;
pub(crate) use self::kept::{Kept, MAX_DOCUMENT_BYTES};
use self::pieces::Pieces;
use crate::Error;
use crate::range::Part;

/// What is said about content of which nothing is known.
pub(crate) const OCTET_STREAM: HeaderValue = HeaderValue::from_static("application/octet-stream");

const BYTES: HeaderValue = HeaderValue::from_static("bytes");
/// Room for the headers of an answer, so that their table does not grow while it is filled.
const HEADERS: usize = 12;

/// Content of the store, with what has to be said about it.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    /// Digest and size, as the blob list has them.
    pub(crate) blob: Blob,
    /// The digest by which the client knows it.
    pub(crate) name: Name,
    /// Where it is.
    pub(crate) place: Place,
    /// Its `Content-Type`.
    pub(crate) media_type: HeaderValue,
}

/// Where content is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In a file of the store.
    File(PathBuf),
    /// In memory, checked.
    Memory(Bytes),
}

/// A digest, written as headers want it.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    digest: HeaderValue,
    etag: HeaderValue,
}

impl Name {
    /// The digest alone.
    pub(crate) fn digest(&self) -> &HeaderValue {
        &self.digest
    }
}

impl From<AnyDigest> for Name {
    fn from(digest: AnyDigest) -> Self {
        // Strong, as the bytes behind a digest never change.
        Self { digest: ascii(digest.to_string()), etag: ascii(format!("\"{digest}\"")) }
    }
}

/// A `Content-Type` from a document of a release.
pub(crate) fn media_type(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(OCTET_STREAM)
}

/// Answers a GET or HEAD for this content.
///
/// # Errors
/// [`Error::Unreadable`] or [`Error::WrongLength`] if the store is damaged.
pub(crate) async fn answer(
    content: Content,
    method: &Method,
    request: &HeaderMap,
    buffers: &Arc<Buffers>,
) -> Result<Response, Error> {
    let Content { blob, name: Name { etag, .. }, place, media_type } = content;
    if is_known_to_client(request, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let part = match request.get(header::RANGE).and_then(|range| range.to_str().ok()) {
        // Ranges are defined for GET alone (RFC 9110, section 14.2).
        Some(range) if method == Method::GET && may_send_part(request, &etag) => Part::of(range, blob.size),
        _ => Part::Whole,
    };
    let mut headers = Headers::with_etag(etag);
    let (status, bytes) = match part {
        Part::Whole => (StatusCode::OK, 0..blob.size),
        Part::Bytes(range) => {
            let place = format!("bytes {}-{}/{}", range.start, range.end - 1, blob.size);
            headers.add(header::CONTENT_RANGE, ascii(place));
            (StatusCode::PARTIAL_CONTENT, range)
        }
        Part::Unsatisfiable => {
            headers.add(header::CONTENT_RANGE, ascii(format!("bytes */{}", blob.size)));
            return Ok(headers.answer(StatusCode::RANGE_NOT_SATISFIABLE, Body::empty()));
        }
    };
    headers.add(header::CONTENT_TYPE, media_type);
    headers.add(header::CONTENT_LENGTH, HeaderValue::from(bytes.end - bytes.start));
    let wants_body = method != Method::HEAD;
    let body = match place {
        Place::Memory(_) if !wants_body => Body::empty(),
        Place::Memory(all) => Body::from(part_of(&all, &bytes)),
        Place::File(path) => {
            let buffers = Arc::clone(buffers);
            blocking(move || read(&path, blob, wants_body.then_some(bytes), buffers)).await?
        }
    };
    Ok(headers.answer(status, body))
}

/// The headers of an answer.
struct Headers(HeaderMap);

impl Headers {
    fn with_etag(etag: HeaderValue) -> Self {
        let mut headers = Self(HeaderMap::with_capacity(HEADERS));
        headers.add(header::ETAG, etag);
        headers.add(header::ACCEPT_RANGES, BYTES);
        headers
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.append(name, value);
    }

    fn answer(self, status: StatusCode, body: Body) -> Response {
        let mut response = Response::new(body);
        (*response.status_mut(), *response.headers_mut()) = (status, self.0);
        response
    }
}

/// These bytes, which lie within; the whole without a copy.
fn part_of(all: &Bytes, bytes: &Range<u64>) -> Bytes {
    let place = |offset: u64| usize::try_from(offset).map_or(all.len(), |offset| offset.min(all.len()));
    all.slice(place(bytes.start)..place(bytes.end))
}

/// `If-None-Match`: the client has this content already.
fn is_known_to_client(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let tags = request.get_all(header::IF_NONE_MATCH);
    tags.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim).any(
        // The comparison is weak here (RFC 9110, section 13.1.2).
        |tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag,
    )
}

/// `If-Range`: the part is wanted only if the rest, which the client has, is of the same content.
fn may_send_part(request: &HeaderMap, etag: &HeaderValue) -> bool {
    request.get(header::IF_RANGE).is_none_or(|wanted| wanted == etag)
}

/// Opens the file, and begins to read `wanted` of it.
fn read(path: &Path, blob: Blob, wanted: Option<Range<u64>>, buffers: Arc<Buffers>) -> Result<Body, Error> {
    let file = open(path, blob)?;
    let Some(bytes) = wanted else { return Ok(Body::empty()) };
    let unreadable = |source| Error::Unreadable { digest: blob.digest, source };
    Pieces::new(file, bytes, buffers).into_body().map_err(unreadable)
}

/// Opens a file that has to be as long as its release says.
fn open(path: &Path, blob: Blob) -> Result<fs::File, Error> {
    let unreadable = |source| Error::Unreadable { digest: blob.digest, source };
    let file = fs::File::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?.len();
    if found == blob.size {
        Ok(file)
    } else {
        Err(Error::WrongLength { digest: blob.digest, expected: blob.size, found })
    }
}

/// Does blocking work where it holds up nobody else.
pub(crate) async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<io::Error> + Send + 'static,
{
    spawn_blocking(work).await.unwrap_or_else(|stopped| Err(io::Error::other(stopped).into()))
}

/// A header value made of digests and numbers.
pub(crate) fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digests and numbers are visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn headers(name: &header::HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_client_that_has_the_content_is_told_so() {
        let Name { etag, .. } = HELLO.parse::<AnyDigest>().unwrap().into();
        let quoted = format!("\"{HELLO}\"");
        let cases: [(&[&str], bool); 8] = [
            (&[], false),
            (&[&quoted], true),
            (&[&format!("W/{quoted}")], true),
            (&[&format!("\"other\", {quoted}")], true),
            (&["\"other\"", &quoted], true),
            (&["*"], true),
            (&[HELLO], false),
            (&["\"other\""], false),
        ];
        for (values, expected) in cases {
            assert_eq!(
                is_known_to_client(&headers(&header::IF_NONE_MATCH, values), &etag),
                expected,
                "{values:?}"
            );
        }
    }

    #[test]
    fn a_part_is_sent_only_of_the_same_content() {
        let Name { etag, .. } = HELLO.parse::<AnyDigest>().unwrap().into();
        let quoted = format!("\"{HELLO}\"");
        let cases: [(&[&str], bool); 5] = [
            (&[], true),
            (&[&quoted], true),
            (&[&format!("W/{quoted}")], false),
            (&["\"other\""], false),
            (&["Wed, 21 Oct 2026 07:28:00 GMT"], false),
        ];
        for (values, expected) in cases {
            assert_eq!(may_send_part(&headers(&header::IF_RANGE, values), &etag), expected, "{values:?}");
        }
    }
}
