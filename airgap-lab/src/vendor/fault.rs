//! What the registry is told to do wrong.
//!
//! A rule says where ([`Target`]), what ([`Fault`]) and how often. Faults are laid over an answer that is correct
//! by itself, so the registry stays honest and each fault is one change.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, RANGE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use sealift_archive::Digest;

use super::service;
use super::wire::Cut;

/// The header in which registries repeat the digest of what they send.
pub(crate) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The bytes that are sent in excess are zeros, in pieces of at most this size.
const EXTRA_PIECE_BYTES: u64 = 16 << 10;

/// Which requests a fault is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All of them.
    Any,
    /// Requests for exactly this path, without the query.
    Path(String),
    /// Requests for this blob, in any repository.
    Blob(Digest),
    /// Requests for the manifest with this tag or digest, in any repository.
    Manifest(String),
}

impl Target {
    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Path(wanted) => path == wanted,
            Self::Blob(digest) => path.ends_with(&format!("/blobs/{digest}")),
            Self::Manifest(reference) => path.ends_with(&format!("/manifests/{reference}")),
        }
    }
}

/// One way to answer wrongly, slowly or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The connection breaks off after exactly so many bytes of the body.
    Cut(u64),
    /// The body ends after so many bytes as if it were complete, and its length was not announced.
    Short(u64),
    /// Nothing more comes after so many bytes of the body, and the connection stays open.
    Stall(u64),
    /// So many bytes follow the content, and the length was not announced.
    Extra(u64),
    /// So many bytes follow the content, and the announced length counts them.
    AnnouncedExtra(u64),
    /// The first byte of the body is changed.
    OtherBytes,
    /// `Docker-Content-Digest` names other content.
    OtherDigest(Digest),
    /// `Range` is ignored.
    NoRanges,
    /// The answer does not say which version of a file it brings.
    NoEtag,
    /// A partial answer claims to begin one byte later than was asked.
    OtherRange,
    /// The answer is an error with this status, and with this `Retry-After` if given.
    Status(u16, Option<String>),
    /// The answer is a redirect to this address.
    Redirect(String),
    /// The answer is a page for people, as if all were well.
    Page,
    /// The answer comes late.
    Delay(Duration),
}

#[derive(Debug)]
struct Rule {
    target: Target,
    fault: Fault,
    left: Option<usize>,
}

/// The rules in force, in the order in which they were made.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Rule>>);

impl Faults {
    /// Applies `fault` to the next matching request.
    pub fn once(&self, target: Target, fault: Fault) {
        self.times(1, target, fault);
    }

    /// Applies `fault` to the next `count` matching requests.
    pub fn times(&self, count: usize, target: Target, fault: Fault) {
        self.add(Rule { target, fault, left: Some(count) });
    }

    /// Applies `fault` to all matching requests from now on.
    pub fn always(&self, target: Target, fault: Fault) {
        self.add(Rule { target, fault, left: None });
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn add(&self, rule: Rule) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(rule);
    }

    /// The faults for a request to `path`, which now count as used.
    pub(crate) fn take(&self, path: &str) -> Vec<Fault> {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut faults = Vec::new();
        for rule in rules.iter_mut().filter(|rule| rule.target.matches(path)) {
            if let Some(left) = &mut rule.left {
                *left -= 1;
            }
            faults.push(rule.fault.clone());
        }
        rules.retain(|rule| rule.left != Some(0));
        faults
    }
}

/// What happens before the request is looked at: a wait, a header that is overlooked, or an error at once.
pub(crate) async fn before(faults: &[Fault], headers: &mut HeaderMap) -> Option<Response> {
    for fault in faults {
        match fault {
            Fault::Delay(delay) => tokio::time::sleep(*delay).await,
            Fault::NoRanges => {
                headers.remove(RANGE);
            }
            Fault::Page => return Some(Html("<html>Please log in</html>").into_response()),
            Fault::Redirect(to) => return Some(Redirect::temporary(to).into_response()),
            Fault::Status(status, retry_after) => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let mut response = service::problem(status, "TOOMANYREQUESTS", "told to answer so");
                if let Some(Ok(value)) = retry_after.as_deref().map(HeaderValue::from_str) {
                    response.headers_mut().insert(RETRY_AFTER, value);
                }
                return Some(response);
            }
            _ => {}
        }
    }
    None
}

/// What happens to a correct answer on its way out.
pub(crate) fn after(faults: &[Fault], cut: &Cut, mut response: Response) -> Response {
    for fault in faults {
        response = spoil(fault, cut, response);
    }
    response
}

fn spoil(fault: &Fault, cut: &Cut, mut response: Response) -> Response {
    let headers = response.headers_mut();
    match fault {
        Fault::NoRanges | Fault::Status(..) | Fault::Redirect(_) | Fault::Page | Fault::Delay(_) => response,
        Fault::NoEtag => {
            headers.remove(ETAG);
            response
        }
        Fault::OtherDigest(digest) => {
            if let Ok(value) = HeaderValue::from_str(&digest.to_string()) {
                headers.insert(DOCKER_CONTENT_DIGEST, value);
            }
            response
        }
        Fault::OtherRange => {
            let shifted = headers.get(CONTENT_RANGE).and_then(|value| shift(value.to_str().ok()?));
            if let Some(value) = shifted {
                headers.insert(CONTENT_RANGE, value);
            }
            response
        }
        Fault::Cut(bytes) => {
            let cut = cut.clone();
            with_body(response, *bytes, |head| {
                head.chain(stream::once(async move {
                    cut.after_flush();
                    std::future::pending().await
                }))
            })
        }
        Fault::Stall(bytes) => with_body(response, *bytes, |head| head.chain(stream::pending())),
        Fault::Short(bytes) => {
            headers.remove(CONTENT_LENGTH);
            with_body(response, *bytes, |head| head)
        }
        Fault::Extra(bytes) => {
            headers.remove(CONTENT_LENGTH);
            with_body(response, u64::MAX, |all| all.chain(zeros(*bytes)))
        }
        Fault::AnnouncedExtra(bytes) => {
            let length =
                headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
            if let Some(length) = length {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length + bytes));
            }
            with_body(response, u64::MAX, |all| all.chain(zeros(*bytes)))
        }
        Fault::OtherBytes => with_body(response, u64::MAX, |all| {
            all.enumerate()
                .map(|(index, piece)| if index == 0 { piece.map(|piece| flip_first(&piece)) } else { piece })
        }),
    }
}

type Piece = Result<Bytes, axum::Error>;

/// Replaces the body by what `change` makes of its first `bytes` bytes.
fn with_body<S>(
    response: Response,
    bytes: u64,
    change: impl FnOnce(stream::BoxStream<'static, Piece>) -> S,
) -> Response
where
    S: Stream<Item = Piece> + Send + 'static,
{
    let (parts, body) = response.into_parts();
    let head = first_bytes(body.into_data_stream(), bytes).boxed();
    Response::from_parts(parts, Body::from_stream(change(head)))
}

fn first_bytes(body: BodyDataStream, bytes: u64) -> impl Stream<Item = Piece> + Send {
    stream::unfold((body, bytes), |(mut body, left)| async move {
        if left == 0 {
            return None;
        }
        let piece = body.next().await?.map(|mut piece| {
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            piece
        });
        let taken = piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Some((piece, (body, left - taken)))
    })
}

fn zeros(bytes: u64) -> impl Stream<Item = Piece> + Send {
    stream::unfold(bytes, |left| async move {
        let piece = left.min(EXTRA_PIECE_BYTES);
        // At most `EXTRA_PIECE_BYTES`, so it fits.
        let zeros = Bytes::from(vec![0; usize::try_from(piece).unwrap_or_default()]);
        (piece > 0).then(|| (Ok(zeros), left - piece))
    })
}

fn flip_first(piece: &Bytes) -> Bytes {
    let mut changed = piece.to_vec();
    if let Some(first) = changed.first_mut() {
        *first ^= 1;
    }
    Bytes::from(changed)
}

/// `bytes 5-9/10` becomes `bytes 6-9/10`.
fn shift(content_range: &str) -> Option<HeaderValue> {
    let (first, rest) = content_range.strip_prefix("bytes ")?.split_once('-')?;
    let first: u64 = first.parse().ok()?;
    HeaderValue::from_str(&format!("bytes {}-{rest}", first + 1)).ok()
}
