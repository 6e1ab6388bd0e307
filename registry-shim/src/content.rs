//! Stored content as an HTTP answer: exact bytes, streamed in pieces, whole or in part.
//!
//! Content is immutable and its digest is its `ETag`, so conditional requests are decided without looking at the disk.
//! A file is read on blocking threads, a piece at a time and only when the client has taken the piece before: a slow
//! client holds a file handle and one piece, but no thread. A file that is not as long as its release says is never
//! sent; one that ends early while it is being sent ends the connection, so no client takes a part for the whole.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use axum::body::{Body, Bytes};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use fs_err as fs;
use futures_util::stream;
use sealift_archive::{AnyDigest, Blob};
use tokio::task::spawn_blocking;

use crate::Error;
use crate::range::Part;

/// Largest piece of a file in memory at a time, in bytes.
const PIECE_BYTES: u64 = 256 << 10;

/// What is said about content of which nothing is known.
pub(crate) const OCTET_STREAM: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Content of the store, with what has to be said about it.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    /// Digest and size, as the blob list has them.
    pub(crate) blob: Blob,
    /// The digest by which the client knows it: its `ETag`.
    pub(crate) name: AnyDigest,
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// Its `Content-Type`.
    pub(crate) media_type: HeaderValue,
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
) -> Result<Response, Error> {
    let etag = etag(content.name);
    if is_known_to_client(request, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let part = match request.get(header::RANGE).and_then(|range| range.to_str().ok()) {
        // Ranges are defined for GET alone (RFC 9110, section 14.2).
        Some(range) if method == Method::GET && may_send_part(request, &etag) => {
            Part::of(range, content.blob.size)
        }
        _ => Part::Whole,
    };
    let size = content.blob.size;
    let mut headers = HeaderMap::from_iter([
        (header::ETAG, etag),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
    ]);
    let (status, bytes) = match part {
        Part::Whole => (StatusCode::OK, 0..size),
        Part::Bytes(range) => {
            let place = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            headers.insert(header::CONTENT_RANGE, ascii(place));
            (StatusCode::PARTIAL_CONTENT, range)
        }
        Part::Unsatisfiable => {
            headers.insert(header::CONTENT_RANGE, ascii(format!("bytes */{size}")));
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response());
        }
    };
    headers.insert(header::CONTENT_TYPE, content.media_type.clone());
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.end - bytes.start));
    let wants_body = method != Method::HEAD;
    let body = blocking(move || read(&content.path, content.blob, bytes, wants_body)).await?;
    Ok((status, headers, body).into_response())
}

/// The `ETag` of content: strong, as the bytes behind a digest never change.
fn etag(digest: AnyDigest) -> HeaderValue {
    ascii(format!("\"{digest}\""))
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

/// Opens the file and reads the first piece, so that damage is known before the status is sent.
fn read(path: &Path, blob: Blob, bytes: Range<u64>, wants_body: bool) -> Result<Body, Error> {
    let unreadable = |source| Error::Unreadable { digest: blob.digest, source };
    let mut file = fs::File::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?.len();
    if found != blob.size {
        return Err(Error::WrongLength { digest: blob.digest, expected: blob.size, found });
    }
    if !wants_body {
        return Ok(Body::empty());
    }
    if bytes.start > 0 {
        file.seek(SeekFrom::Start(bytes.start)).map_err(unreadable)?;
    }
    let mut rest = Rest { file, left: bytes.end - bytes.start };
    let first = rest.next_piece().map_err(unreadable)?;
    if rest.left == 0 {
        return Ok(Body::from(first));
    }
    Ok(Body::from_stream(stream::try_unfold((Some(first), rest), |(in_hand, mut rest)| async {
        match in_hand {
            Some(piece) => Ok(Some((piece, (None, rest)))),
            None if rest.left == 0 => Ok(None),
            None => blocking(move || rest.next_piece().map(|piece| Some((piece, (None, rest))))).await,
        }
    })))
}

/// What is still to be read of a file.
#[derive(Debug)]
struct Rest {
    file: fs::File,
    left: u64,
}

impl Rest {
    fn next_piece(&mut self) -> io::Result<Bytes> {
        let length = self.left.min(PIECE_BYTES);
        let mut piece = Vec::with_capacity(usize::try_from(length).map_err(io::Error::other)?);
        (&mut self.file).take(length).read_to_end(&mut piece)?;
        if piece.len() as u64 == length {
            self.left -= length;
            Ok(piece.into())
        } else {
            let why = format!("`{}` ended {} bytes too early", self.file.path().display(), self.left);
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, why))
        }
    }
}

/// Does blocking work where it holds up nobody else.
async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
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
        let etag = etag(HELLO.parse().unwrap());
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
        let etag = etag(HELLO.parse().unwrap());
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

    #[test]
    fn a_file_that_shrinks_while_it_is_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let size = PIECE_BYTES + 10;
        fs::write(&path, vec![7; usize::try_from(size).unwrap()]).unwrap();
        let mut rest = Rest { file: fs::File::open(&path).unwrap(), left: size };
        assert_eq!(rest.next_piece().unwrap().len() as u64, PIECE_BYTES);
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(PIECE_BYTES + 9).unwrap();
        assert_eq!(rest.next_piece().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
