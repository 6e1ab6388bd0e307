//! What is noted of each request: counted always, and logged where somebody wants to know.
//!
//! This stands around everything that answers. An answer is noted when the last of it was sent, or when its client
//! went away. The log names the path without its query, and no header: neither has secrets in it that we would know of.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::http::header::{self, HeaderValue};
use axum::http::{Method, Request, Response, StatusCode, Uri};
use hyper::body::{Body, Buf as _, Frame, SizeHint};

use crate::metrics::{Metrics, Route};
use crate::places::UnderWay;

/// Who logs requests: what went well at level `debug`, what was refused at `info`, what failed at `warn`.
const TARGET: &str = "sealift_registry::access";
/// How much of a path is logged, in bytes.
const MAX_LOGGED_PATH: usize = 512;

/// A request under way.
#[derive(Debug)]
pub(crate) struct Pending {
    metrics: Arc<Metrics>,
    client: IpAddr,
    method: Method,
    uri: Uri,
    begun: Instant,
    under_way: UnderWay,
}

impl Pending {
    /// Begins when its header is here.
    pub(crate) fn new<B>(
        metrics: &Arc<Metrics>,
        client: IpAddr,
        request: &Request<B>,
        under_way: UnderWay,
    ) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            client,
            method: request.method().clone(),
            uri: request.uri().clone(),
            begun: Instant::now(),
            under_way,
        }
    }

    /// Waits until there is room for the answer.
    pub(crate) async fn wait_for_turn(&mut self) {
        self.under_way.wait_for_turn().await;
    }

    /// The answer, to be noted at its end.
    pub(crate) fn answer<B>(self, response: Response<B>) -> Response<Noted<B>> {
        let note = Note { status: response.status(), bytes: 0, pending: self };
        let mut response = response.map(|inner| Noted { inner, note });
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

/// What is known of an answer. Noted when dropped, as the body that it belongs to is.
#[derive(Debug)]
struct Note {
    pending: Pending,
    status: StatusCode,
    bytes: u64,
}

impl Drop for Note {
    fn drop(&mut self) {
        let Pending { metrics, uri, begun, .. } = &self.pending;
        let took = begun.elapsed();
        metrics.answered(Route::of(uri.path()), self.status, self.bytes, took);
        self.log(took);
    }
}

/// As much of a path as is logged. A path may hold letters of several bytes.
fn beginning(path: &str) -> &str {
    let mut end = path.len().min(MAX_LOGGED_PATH);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    &path[..end]
}

impl Note {
    fn log(&self, took: Duration) {
        macro_rules! log {
            ($level:ident) => {{
                let Pending { client, method, uri, .. } = &self.pending;
                let path = beginning(uri.path());
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                let (status, bytes) = (self.status.as_u16(), self.bytes);
                tracing::$level!(target: TARGET, %client, %method, path, status, bytes, micros, "answered");
            }};
        }
        match self.status.as_u16() {
            500.. => log!(warn),
            400.. => log!(info),
            _ => log!(debug),
        }
    }
}

/// A body of which the end is noted.
#[derive(Debug)]
pub(crate) struct Noted<B> {
    inner: B,
    note: Note,
}

impl<B: Body + Unpin> Body for Noted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.note.bytes += data.remaining() as u64;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
