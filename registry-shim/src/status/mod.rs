//! Is it alive, is it ready, and a page for people.

mod page;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sealift_store::Store;
use tokio::task::spawn_blocking;

use self::page::{Page, TrustLine};
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
    let trust = read(&app, |store| {
        let trusted = store.trust()?;
        let newest = trusted.newest();
        Ok(TrustLine { version: newest.version(), fingerprint: newest.digest() })
    });
    let (trust, offers) = (trust.await, read(&app, Store::offers).await);
    let page = Page { releases: view.releases(), problem: view.problem(), offers, trust };
    ([NOT_KEPT], html::respond(&page)).into_response()
}

/// Reads something of the store, or says why that cannot be read.
async fn read<T: Send + 'static>(
    app: &App,
    read: impl FnOnce(&Store) -> Result<T, sealift_store::Error> + Send + 'static,
) -> Result<T, String> {
    let store = app.live().store().clone();
    match spawn_blocking(move || read(&store)).await {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(stopped) => Err(stopped.to_string()),
    }
}
