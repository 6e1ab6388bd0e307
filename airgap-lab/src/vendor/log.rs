//! What the registry was asked, and how much it sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, RANGE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use futures_util::StreamExt;

/// One request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The port on which it came: the registry's own, or that of its mirror.
    pub port: u16,
    /// `GET`, `HEAD`, …
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The query, if there was one.
    pub query: Option<String>,
    /// The `Range` header, if there was one.
    pub range: Option<String>,
    /// The `Authorization` header, if there was one.
    pub authorization: Option<String>,
    /// The status of the answer.
    pub status: u16,
    /// How many bytes of the answer's body have been handed to the connection so far.
    pub sent: u64,
}

#[derive(Debug)]
struct Entry {
    seen: Seen,
    sent: Arc<AtomicU64>,
}

/// All requests since the start, or since they were last forgotten, in the order of their answers.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Vec<Entry>>);

impl Log {
    /// What can be noted before the request is taken apart.
    pub(crate) fn note(request: &Request, port: u16) -> Seen {
        let header = |name: HeaderName| Some(request.headers().get(name)?.to_str().ok()?.to_owned());
        Seen {
            port,
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().map(str::to_owned),
            range: header(RANGE),
            authorization: header(AUTHORIZATION),
            status: 0,
            sent: 0,
        }
    }

    /// Enters a request with its answer, whose body is counted from now on.
    pub(crate) fn enter(&self, seen: Seen, response: Response) -> Response {
        let sent = Arc::new(AtomicU64::new(0));
        let entry =
            Entry { seen: Seen { status: response.status().as_u16(), ..seen }, sent: Arc::clone(&sent) };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        let (mut parts, body) = response.into_parts();
        // A counted body no longer knows its length, so the header has to.
        match body.size_hint().exact() {
            Some(0) => return Response::from_parts(parts, body),
            Some(length) => {
                parts.headers.entry(CONTENT_LENGTH).or_insert(HeaderValue::from(length));
            }
            None => {}
        }
        let counted = body.into_data_stream().inspect(move |piece| {
            if let Ok(piece) = piece {
                sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
        });
        Response::from_parts(parts, Body::from_stream(counted))
    }

    pub(crate) fn all(&self) -> Vec<Seen> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries
            .iter()
            .map(|entry| Seen { sent: entry.sent.load(Ordering::Relaxed), ..entry.seen.clone() })
            .collect()
    }

    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
