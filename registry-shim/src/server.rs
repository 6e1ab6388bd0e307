//! Sockets: listening, TLS, connections with limits, and an orderly end.
//!
//! A connection counts from the moment it is accepted. When there are as many as we allow, the next one waits in the
//! kernel's queue. A connection on which nothing is asked for a while is closed, so idle ones make room.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::future::join_all;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use sealift_store::Store;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::Error;
use crate::app::{App, router};
use crate::tls::{ALPN_H2, TlsFiles};

/// How many connections may be open at once, over all listeners.
const MAX_CONNECTIONS: usize = 1024;
/// How many requests one HTTP/2 connection may have under way.
const MAX_STREAMS: u32 = 64;
/// How much of an answer one connection, or one HTTP/2 stream, may hold in memory until its client takes it, in bytes.
/// A piece of content more comes in as long as there is less.
const MAX_UNSENT: usize = 64 << 10;
/// How long the header of a request may take to arrive, and a connection may idle before it.
const HEADER_LIMIT: Duration = Duration::from_secs(60);
/// How long a TLS handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long an HTTP/2 connection may be silent before it is asked whether it is still there, and may take to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long answers under way may take once the server is asked to stop.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How long to wait when the system cannot give us another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What to serve, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The store's directory.
    pub store: PathBuf,
    /// Addresses to listen on; port 0 means any free one.
    pub listen: Vec<SocketAddr>,
    /// The server's identity. Without one it speaks plain HTTP.
    pub tls: Option<TlsFiles>,
}

/// A registry that listens, and answers once it [runs](Server::run).
#[derive(Debug)]
pub struct Server {
    listeners: Vec<(TcpListener, SocketAddr)>,
    tls: Option<Arc<ServerConfig>>,
    app: Arc<App>,
}

impl Server {
    /// Opens the store and the sockets.
    ///
    /// # Errors
    /// [`Error::Store`] if there is no store, [`Error::Listen`], [`Error::Tls`], or I/O. A store that is there but
    /// damaged is no error: it is what `/readyz` and the status page are for.
    pub async fn bind(config: &Config) -> Result<Self, Error> {
        let tls = config.tls.as_ref().map(TlsFiles::load).transpose()?;
        let store = Store::open(&config.store)?;
        // Git runs in a directory of its own, so no path may depend on ours.
        let store = Store::open(&fs_err::canonicalize(store.root())?)?;
        let app = Arc::new(App::new(store));
        let mut listeners = Vec::new();
        for &address in &config.listen {
            let failed = |source| Error::Listen { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let bound = listener.local_addr().map_err(failed)?;
            listeners.push((listener, bound));
        }
        Ok(Self { listeners, tls, app })
    }

    /// Where it listens, as URLs.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.listeners.iter().map(|(_, address)| format!("{scheme}://{address}")).collect()
    }

    /// Answers requests until `stop` comes, then finishes those under way, within a limit.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let connections = GracefulShutdown::new();
        let host = Host {
            tls: self.tls.map(TlsAcceptor::from),
            router: router(self.app),
            http: http(),
            slots: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        };
        let accepting =
            join_all(self.listeners.iter().map(|(listener, _)| host.accept(listener, &connections)));
        tokio::select! {
            _ = accepting => {}
            () = stop => {}
        }
        // Whoever comes now is refused by the kernel and may go elsewhere.
        drop(self.listeners);
        if timeout(STOP_LIMIT, connections.shutdown()).await.is_err() {
            tracing::warn!("stopped before all answers were finished");
        }
    }
}

/// What every connection needs.
#[derive(Clone)]
struct Host {
    tls: Option<TlsAcceptor>,
    router: Router,
    http: Builder<TokioExecutor>,
    slots: Arc<Semaphore>,
}

impl Host {
    /// Accepts connections for as long as this is polled.
    async fn accept(&self, listener: &TcpListener, connections: &GracefulShutdown) {
        // The semaphore is never closed, so there is always a next turn.
        while let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await {
            match listener.accept().await {
                Ok((socket, _)) => {
                    tokio::spawn(self.clone().converse(socket, connections.watcher(), slot));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Answers all requests of one connection.
    async fn converse(self, socket: TcpStream, watcher: Watcher, _slot: OwnedSemaphorePermit) {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "the connection is gone already");
        }
        let Some(tls) = &self.tls else {
            return self.serve(socket, self.http.clone().http1_only(), watcher).await;
        };
        match timeout(HANDSHAKE_LIMIT, tls.accept(socket)).await {
            Ok(Ok(stream)) => {
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(ALPN_H2);
                let http = self.http.clone();
                let http = if is_http2 { http.http2_only() } else { http.http1_only() };
                self.serve(stream, http, watcher).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "no TLS handshake"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
    }

    async fn serve<S>(&self, stream: S, http: Builder<TokioExecutor>, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = TowerToHyperService::new(self.router.clone());
        let connection = http.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "connection broken off");
        }
    }
}

/// HTTP with our limits. The version is always given, so that no time passes unlimited while it is guessed.
fn http() -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT).max_buf_size(MAX_UNSENT);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buf_size(MAX_UNSENT)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL);
    http
}
