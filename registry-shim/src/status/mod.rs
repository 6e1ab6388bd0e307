//! Is it alive, is it ready, and a page for people.
//!
//! The page tells what `sealiftctl status` tells, from the same picture of the store. Looking costs a few dozen files and a
//! Git process for each mirror, so whoever reloads wildly is shown what was seen a moment ago.

mod look;
mod page;
mod sections;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

pub(crate) use self::look::Looks;
use self::page::Page;
use crate::app::App;
use crate::html;

const NOT_KEPT: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The process runs.
pub(crate) async fn alive() -> Response {
    ([NOT_KEPT], "ok\n").into_response()
}

/// The store can be read as it is now, and everything that should be served is.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.live().view().await.problem() {
        None => ([NOT_KEPT], "ready\n").into_response(),
        Some(problem) => {
            (StatusCode::SERVICE_UNAVAILABLE, [NOT_KEPT], format!("{}\n", problem.text)).into_response()
        }
    }
}

/// What runs here, and is it well?
pub(crate) async fn page(State(app): State<Arc<App>>) -> Response {
    let view = app.live().view().await;
    let look = app.looks().look(app.live().store()).await;
    ([NOT_KEPT], html::respond(&Page::new(&view, &look))).into_response()
}
