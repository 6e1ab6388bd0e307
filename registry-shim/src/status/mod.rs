//! Is it alive, is it ready, and a page for people.
//!
//! The page tells what `sealiftctl status` tells, from the same picture of the store. Looking costs a few dozen files, and now
//! and then all blobs and a Git process for each mirror ([`sealift_store::status::Watch`]), so whoever reloads wildly is shown
//! what was seen a moment ago.

mod look;
mod page;
mod sections;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use time::OffsetDateTime;

pub(crate) use self::look::Looks;
use self::page::Page;
use crate::app::App;
use crate::html;
use crate::tls::{Facts, Identity};

/// An answer that is about this moment.
pub(crate) const NOT_KEPT: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The process runs, and answers. Nothing else is looked at: whoever restarts it because of this must not do so because
/// of a disk.
pub(crate) async fn alive() -> Response {
    ([NOT_KEPT], "ok\n").into_response()
}

/// The store can be read as it is now, and everything that should be served is, to clients that look at certificates. An
/// appliance that has no release yet is ready: it answers what there is to answer.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    let view = app.live().view().await;
    let mut problems: Vec<_> = view.problem().iter().map(|problem| problem.text.clone()).collect();
    problems.extend(app.identity().and_then(unfit));
    if problems.is_empty() {
        return ([NOT_KEPT], "ready\n").into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, [NOT_KEPT], format!("{}\n", problems.join("\n"))).into_response()
}

/// Why clients that look at certificates do not take ours, or its authority's, by this clock.
fn unfit(identity: &Identity) -> Option<String> {
    let now = OffsetDateTime::now_utc();
    let (own, authority) = (identity.facts(), identity.authority());
    let mut all =
        [("certificate", Some(&own)), ("certificate of this node's authority", authority)].into_iter();
    all.find_map(|(what, facts)| {
        let Facts { not_before, not_after, .. } = facts?;
        let counts = (*not_before..*not_after).contains(&now);
        (!counts).then(|| {
            format!("by this clock the {what} does not count: it does from {not_before} to {not_after}")
        })
    })
}

/// What runs here, and is it well?
pub(crate) async fn page(State(app): State<Arc<App>>) -> Response {
    let view = app.live().view().await;
    let look = app.looks().look(app.live().store()).await;
    let page = Page::new(&view, &look, app.tls());
    ([NOT_KEPT], html::respond(&page)).into_response()
}
