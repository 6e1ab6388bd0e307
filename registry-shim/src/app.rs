//! What all requests share, and which path leads where.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{any, get};
use sealift_archive::{Digest, RepositoryName};
use sealift_store::Store;

use crate::content::Buffers;
use crate::git::{self, UploadPack};
use crate::live::Live;
use crate::{files, oci, status};

/// The store, and the children that read Git repositories from it.
#[derive(Debug)]
pub(crate) struct App {
    live: Live,
    buffers: Arc<Buffers>,
    upload_pack: UploadPack,
}

impl App {
    /// Serves this store.
    pub(crate) fn new(store: Store) -> Self {
        Self { live: Live::new(store), buffers: Arc::default(), upload_pack: UploadPack::new() }
    }

    /// What is known of the store.
    pub(crate) fn live(&self) -> &Live {
        &self.live
    }

    /// What content is read into.
    pub(crate) fn buffers(&self) -> &Arc<Buffers> {
        &self.buffers
    }

    /// Git's children.
    pub(crate) fn upload_pack(&self) -> &UploadPack {
        &self.upload_pack
    }

    /// Where content lies.
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.live.store().blob_path(digest)
    }

    /// Where the mirror of a Git repository lies.
    pub(crate) fn git_path(&self, name: &RepositoryName) -> PathBuf {
        self.live.store().git_path(name)
    }
}

/// All paths.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(status::page))
        .route("/healthz", get(status::alive))
        .route("/readyz", get(status::ready))
        .route("/v2", any(oci::answer))
        .route("/v2/", any(oci::answer))
        .route("/v2/{*path}", any(oci::answer))
        .route("/files", any(files::answer))
        .route("/files/", any(files::answer))
        .route("/files/{*path}", any(files::answer))
        .route("/git/{*path}", any(git::answer))
        .fallback(async || (StatusCode::NOT_FOUND, "there is nothing at this path\n"))
        .layer(middleware::from_fn(observe))
        .with_state(app)
}

/// Notes each request once its answer has begun.
async fn observe(request: Request, next: Next) -> Response {
    let (method, uri, begun) = (request.method().clone(), request.uri().clone(), Instant::now());
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(%method, %uri, status = response.status().as_u16(), micros, "answered");
    response
}
