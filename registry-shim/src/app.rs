//! What all requests share, and which path leads where.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{any, get};
use sealift_archive::{Digest, RepositoryName};
use sealift_store::Store;

use crate::agreed::Judge;
use crate::content::Buffers;
use crate::git::{self, UploadPack};
use crate::live::Live;
use crate::metrics::{self, Metrics};
use crate::status::Looks;
use crate::tls::{Identity, Tls};
use crate::{files, oci, peer, status};

/// The store, and the children that read Git repositories from it.
#[derive(Debug)]
pub(crate) struct App {
    live: Live,
    buffers: Arc<Buffers>,
    upload_pack: UploadPack,
    judge: Arc<Judge>,
    looks: Looks,
    metrics: Arc<Metrics>,
    tls: Option<Arc<Tls>>,
}

impl App {
    /// Serves this store, and speaks TLS in this way, if it does.
    pub(crate) fn new(store: Store, tls: Option<Arc<Tls>>) -> Self {
        Self {
            live: Live::new(store),
            buffers: Arc::default(),
            upload_pack: UploadPack::new(),
            judge: Arc::default(),
            looks: Looks::default(),
            metrics: Arc::default(),
            tls,
        }
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

    /// Whether this node may say what is active.
    pub(crate) fn judge(&self) -> &Arc<Judge> {
        &self.judge
    }

    /// What the status page shows.
    pub(crate) fn looks(&self) -> &Looks {
        &self.looks
    }

    /// What has happened since the start.
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// How we speak TLS, if we do.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_deref()
    }

    /// Who we are, if we speak TLS.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.tls().map(|tls| &**tls.identity())
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
        .route("/metrics", get(metrics::answer))
        .route("/v2", any(oci::answer))
        .route("/v2/", any(oci::answer))
        .route("/v2/{*path}", any(oci::answer))
        .route("/files", any(files::answer))
        .route("/files/", any(files::answer))
        .route("/files/{*path}", any(files::answer))
        .route("/git/{*path}", any(git::answer))
        .route("/peer/{*path}", any(peer::answer))
        .fallback(async || (StatusCode::NOT_FOUND, "there is nothing at this path\n"))
        .with_state(app)
}
