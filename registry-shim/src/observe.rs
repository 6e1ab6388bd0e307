//! What is noted of each request: counted always, and logged where somebody wants to know.
//!
//! This stands around everything that answers. A request is over when the connection has let go of the last piece of its
//! answer, or when its client went away; until then it is under way ([`crate::places`]), and each piece is with the client
//! ([`crate::deliveries`]). The log names the path without its query, and no header: neither has secrets in it that we would
//! know of.

use std::io::IoSlice;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::header::{self, HeaderValue};
use axum::http::{Method, Request, Response, Uri};
use hyper::body::{Body, Buf, Frame, SizeHint};

use crate::metrics::{ABANDONED, Metrics, Route};
use crate::places::UnderWay;

/// Who logs requests: what went well at level `debug`, what was refused at `info`, what failed at `warn`.
const TARGET: &str = "sealift_registry::access";
/// How much of a path is logged, in bytes.
const MAX_LOGGED_PATH: usize = 512;

/// A request under way; noted when dropped.
#[derive(Debug)]
pub(crate) struct Pending {
    metrics: Arc<Metrics>,
    client: IpAddr,
    method: Method,
    uri: Uri,
    begun: Instant,
    under_way: UnderWay,
    status: u16,
    bytes: AtomicU64,
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
            status: ABANDONED,
            bytes: AtomicU64::new(0),
        }
    }

    /// Waits until there is room for the answer.
    pub(crate) async fn wait_for_turn(&mut self) {
        self.under_way.wait_for_turn().await;
    }

    /// The answer, to be noted at its end.
    pub(crate) fn answer<B>(mut self, response: Response<B>) -> Response<Noted<B>> {
        self.status = response.status().as_u16();
        let mut response = response.map(|inner| Noted { inner, pending: Arc::new(self) });
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    fn log(&self, bytes: u64, took: Duration) {
        let Self { client, method, uri, status, .. } = self;
        macro_rules! log {
            ($level:ident) => {{
                let path = beginning(uri.path());
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                tracing::$level!(target: TARGET, %client, %method, path, status, bytes, micros, "answered");
            }};
        }
        match status {
            500.. => log!(warn),
            400.. => log!(info),
            _ => log!(debug),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let (bytes, took) = (*self.bytes.get_mut(), self.begun.elapsed());
        self.metrics.answered(Route::of(self.uri.path()), self.status, bytes, took);
        self.log(bytes, took);
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

/// A body of which the end is noted.
#[derive(Debug)]
pub(crate) struct Noted<B> {
    inner: B,
    pending: Arc<Pending>,
}

impl<B: Body + Unpin> Body for Noted<B> {
    type Data = Piece<B::Data>;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        Poll::Ready(frame.map(|frame| Ok(frame?.map_data(|data| Piece::new(data, &self.pending)))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A piece of an answer, on its way to the client until it is dropped.
#[derive(Debug)]
pub(crate) struct Piece<D> {
    data: D,
    number: u64,
    pending: Arc<Pending>,
}

impl<D: Buf> Piece<D> {
    fn new(data: D, pending: &Arc<Pending>) -> Self {
        pending.bytes.fetch_add(data.remaining() as u64, Ordering::Relaxed);
        Self { data, number: pending.under_way.deliveries().begin(), pending: Arc::clone(pending) }
    }
}

impl<D> Drop for Piece<D> {
    fn drop(&mut self) {
        self.pending.under_way.deliveries().end(self.number);
    }
}

impl<D: Buf> Buf for Piece<D> {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.data.chunks_vectored(slices)
    }

    fn advance(&mut self, count: usize) {
        self.data.advance(count);
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.data.copy_to_bytes(length)
    }
}
