//! Numbers for Prometheus, at `/metrics`.
//!
//! A request costs a few atomic additions: everything that is counted has its place in an array, found by what kind of
//! path it is and what the answer's status is. Names, labels and text are made when somebody asks for the numbers, and so
//! is everything that can be looked up at that moment.

mod histogram;
mod route;
mod text;

use std::array;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse, Response};
use sealift_store::State as ReleaseState;

use self::histogram::Histogram;
pub(crate) use self::route::Route;
use self::text::Moment;
use crate::app::App;
use crate::tls::{Identity, Tls};

/// The format's name (`OpenMetrics` 1.0, "Content-Type").
const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// The status of a request of which nobody was there any more to hear the answer: the client went away, or we ended the
/// connection.
pub(crate) const ABANDONED: u16 = 499;

/// What we answer with; whatever else there may be is counted together.
const STATUSES: [u16; 16] =
    [200, 206, 304, 400, 403, 404, 405, 406, 408, 412, 413, 415, 416, ABANDONED, 500, 503];

/// What has happened since the start.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    routes: [Answers; Route::ALL.len()],
    connections: Connections,
}

/// Answers on one kind of path.
#[derive(Debug)]
struct Answers {
    /// By place in [`STATUSES`], and one more for the others.
    statuses: [AtomicU64; STATUSES.len() + 1],
    bytes: AtomicU64,
    seconds: Histogram,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            statuses: array::from_fn(|_| AtomicU64::new(0)),
            bytes: AtomicU64::new(0),
            seconds: Histogram::default(),
        }
    }
}

#[derive(Debug, Default)]
struct Connections {
    taken: AtomicU64,
    ended: AtomicU64,
    refused: AtomicU64,
}

impl Metrics {
    /// Counts an answer that has come to its end.
    pub(crate) fn answered(&self, route: Route, status: u16, bytes: u64, took: Duration) {
        let answers = &self.routes[route as usize];
        let status = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len());
        answers.statuses[status].fetch_add(1, Ordering::Relaxed);
        answers.bytes.fetch_add(bytes, Ordering::Relaxed);
        answers.seconds.observe(took);
    }

    /// Counts a connection for as long as what comes back is kept.
    pub(crate) fn connected(self: &Arc<Self>) -> Connected {
        self.connections.taken.fetch_add(1, Ordering::Relaxed);
        Connected(Arc::clone(self))
    }

    /// Counts a client that was not let in.
    pub(crate) fn refused(&self) {
        self.connections.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection that is counted.
#[derive(Debug)]
pub(crate) struct Connected(Arc<Metrics>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// All numbers, as text.
pub(crate) async fn answer(State(app): State<Arc<App>>) -> Response {
    let view = app.live().view().await;
    let active = view.releases().iter().find(|release| release.state == ReleaseState::Active);
    let moment = Moment {
        is_store_readable: view.problem().is_none() && view.catalog().is_some(),
        active_sequence: active.map(|release| release.sequence),
        releases: view.releases().len(),
        git_children: app.upload_pack().running(),
        certificate: app.identity().map(Identity::facts),
        authority: app.identity().and_then(|identity| identity.authority().cloned()),
        client_authorities: app.tls().map(Tls::client_authorities).unwrap_or_default(),
    };
    let body = text::render(Arc::clone(app.metrics()), moment);
    ([(header::CONTENT_TYPE, CONTENT_TYPE), crate::status::NOT_KEPT], body).into_response()
}
