//! Sockets: listening, TLS, connections with limits, and an orderly end.
//!
//! Who may connect is decided by where a connection comes from ([`crate::access`]), before anything is read from it.
//!
//! A connection counts from the moment it is accepted. When there are as many as we allow ([`crate::capacity`]), the one that
//! has been idle longest makes room for the next ([`crate::places`]). On its way out it may finish what it is at, within limits.
//! Whoever takes nothing of an answer for too long is not waited for.

use std::borrow::Cow;
use std::convert::Infallible;
use std::io;
use std::net::{self, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::future::join_all;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use ipnet::IpNet;
use sealift_store::Store;
use time::OffsetDateTime;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use crate::Error;
use crate::access::{Access, Reception};
use crate::app::{App, router};
use crate::capacity::Capacity;
use crate::git;
use crate::metrics::Metrics;
use crate::observe::Pending;
use crate::places::{Place, Places};
use crate::tls::{ALPN_H2, IdentitySource, Tls};

/// How long a connection that has lost its place may take to finish what it is at.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);
/// How many connections may be in the handshake at once that come from elsewhere and have not yet shown who they are.
const MAX_STRANGERS: usize = 64;
/// How many requests one HTTP/2 connection may have under way or waiting: enough for whoever pulls an image layer by layer, and
/// what the headers of all that wait may hold in memory grows with it.
const MAX_STREAMS: u32 = 16;
/// How large the header of a request may be in HTTP/2, in bytes. In HTTP/1 it is [`MAX_UNSENT`], since hyper has one limit for
/// both ways, and 100 headers, hyper's own limit; to name it would cost memory for each request.
const MAX_HEADER_BYTES: u32 = 16 << 10;
/// How much of its requests' bodies one HTTP/2 connection may send before somebody has read it, in bytes.
const MAX_UNREAD: u32 = 64 << 10;
/// How much of an answer one connection, or one HTTP/2 stream, may hold in memory until its client takes it, in bytes.
/// A piece of content more comes in as long as there is less.
const MAX_UNSENT: usize = 64 << 10;
/// How long the header of a request may take to arrive, and a connection may idle before it.
const HEADER_LIMIT: Duration = Duration::from_secs(60);
/// How long a TLS handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long an HTTP/2 connection may be silent before it is asked whether it is still there, and may take to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long a client may take for a piece of an answer before its connection ends.
const STALL_LIMIT: Duration = Duration::from_secs(60);
/// How long answers under way may take once the server is asked to stop.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How often the log tells of certificates that end soon.
const WARNING_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a stranger who was refused may take to hear of it, and how many bytes it may say meanwhile.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);
const FAREWELL_BYTES: u64 = 64 << 10;
/// How long to wait when the system cannot give us another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long it has to have gone well before it is told again that it does not.
const SHORTAGE_ENDS: Duration = Duration::from_secs(60);

/// What the server asks itself, and how a good answer begins.
const SELF_CHECK: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const WELL: &[u8] = b"HTTP/1.1 200 ";
/// More than either has to say, in bytes.
const SELF_CHECK_BYTES: usize = 4 << 10;

/// What to serve, and where.
#[derive(Clone, Debug)]
pub struct Config {
    /// The store's directory.
    pub store: PathBuf,
    /// Addresses to listen on; port 0 means any free one.
    pub listen: Vec<SocketAddr>,
    /// The server's identity. Without one it speaks plain HTTP.
    pub tls: Option<IdentitySource>,
    /// Networks whose clients are let in besides this machine's own.
    pub allow: Vec<IpNet>,
    /// Certificate authorities, in PEM, of clients that are let in from everywhere else, besides those of the cluster's nodes.
    pub client_ca: Option<PathBuf>,
}

impl Config {
    /// Serves this store for this machine alone, in plain HTTP on any free port.
    #[must_use]
    pub fn new(store: PathBuf) -> Self {
        let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        Self { store, listen, tls: None, allow: Vec::new(), client_ca: None }
    }
}

/// A registry that listens, and answers once it [runs](Server::run).
#[derive(Debug)]
pub struct Server {
    listeners: Vec<(TcpListener, SocketAddr)>,
    tls: Option<Arc<Tls>>,
    access: Access,
    app: Arc<App>,
}

impl Server {
    /// Opens the store and the sockets.
    ///
    /// # Errors
    /// [`Error::Store`] if there is no store, [`Error::Listen`], [`Error::Tls`] or what is wrong with this node's
    /// authority, or I/O. A store that is there but damaged is no error: it is what `/readyz` and the status page are
    /// for.
    pub async fn bind(config: &Config) -> Result<Self, Error> {
        let mut server = Self::prepare(config)?;
        for &address in &config.listen {
            let failed = |source| Error::Listen { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let bound = listener.local_addr().map_err(failed)?;
            server.listeners.push((listener, bound));
        }
        Ok(server)
    }

    /// Opens the store, and serves on sockets that somebody else has opened.
    ///
    /// # Errors
    /// Like [`bind`](Self::bind).
    pub fn adopt(config: &Config, sockets: Vec<net::TcpListener>) -> Result<Self, Error> {
        let mut server = Self::prepare(config)?;
        for socket in sockets {
            socket.set_nonblocking(true)?;
            let listener = TcpListener::from_std(socket)?;
            let bound = listener.local_addr()?;
            server.listeners.push((listener, bound));
        }
        Ok(server)
    }

    fn prepare(config: &Config) -> Result<Self, Error> {
        let client_ca = config.client_ca.as_deref();
        if client_ca.is_some() && config.tls.is_none() {
            return Err(Error::ClientsWithoutTls);
        }
        let store = Store::open(&config.store)?;
        // Git runs in a directory of its own, so no path may depend on ours.
        let store = Store::open(&fs_err::canonicalize(store.root())?)?;
        let tls = config.tls.as_ref().map(|source| Tls::load(source, client_ca, &store)).transpose()?;
        let tls = tls.map(Arc::new);
        let app = Arc::new(App::new(store, tls.clone()));
        let access = Access::new(config.allow.clone(), tls.is_some());
        Ok(Self { listeners: Vec::new(), tls, access, app })
    }

    /// Where it listens, as URLs.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.listeners.iter().map(|(_, address)| format!("{scheme}://{address}")).collect()
    }

    /// What asks this server whether it answers.
    pub(crate) fn self_check(&self) -> SelfCheck {
        SelfCheck { router: router(Arc::clone(&self.app)) }
    }

    /// Answers requests until `stop` comes, then finishes those under way, within a limit.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let capacity = Capacity::of_process();
        let host = Host {
            tls: self.tls,
            access: Arc::new(self.access),
            metrics: Arc::clone(self.app.metrics()),
            router: router(self.app),
            http: http(),
            stopped,
            places: Arc::new(Places::new(capacity)),
            leaving: Arc::new(Semaphore::new(capacity.leaving)),
            strangers: Arc::new(Semaphore::new(MAX_STRANGERS)),
        };
        let tls = host.tls.clone();
        tokio::select! {
            () = tell_of_expiry(tls.as_deref()) => {}
            _ = join_all(self.listeners.iter().map(|(listener, _)| host.accept(listener))) => {}
            () = stop => {}
        }
        // Whoever comes now is refused by the kernel and may go elsewhere.
        drop((self.listeners, host));
        stopping.send_replace(true);
        if timeout(STOP_LIMIT, stopping.closed()).await.is_err() {
            tracing::warn!("stopped before all answers were finished");
        }
    }
}

/// Warns once a day, and at the start, of certificates that end soon. Has no end.
async fn tell_of_expiry(tls: Option<&Tls>) {
    loop {
        for warning in tls.map(|tls| tls.expiring(OffsetDateTime::now_utc())).into_iter().flatten() {
            tracing::warn!("{warning}");
        }
        sleep(WARNING_INTERVAL).await;
    }
}

/// What every connection needs.
#[derive(Clone)]
struct Host {
    tls: Option<Arc<Tls>>,
    access: Arc<Access>,
    metrics: Arc<Metrics>,
    router: Router,
    http: Builder<TokioExecutor>,
    /// True once the server is asked to stop. As long as somebody has it, a connection is there.
    stopped: watch::Receiver<bool>,
    places: Arc<Places>,
    leaving: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

impl Host {
    /// Accepts connections for as long as this is polled.
    async fn accept(&self, listener: &TcpListener) {
        let mut short_at: Option<Instant> = None;
        loop {
            // A place is taken, maybe from somebody, only when there is somebody to give it to.
            match listener.accept().await {
                Ok((socket, peer)) => {
                    let place = self.places.take().await;
                    tokio::spawn(self.clone().converse(socket, peer, place));
                }
                Err(error) if is_about_the_client(&error) => {
                    tracing::debug!(%error, "a client went away before it was let in");
                }
                Err(error) => {
                    let is_told =
                        short_at.replace(Instant::now()).is_some_and(|at| at.elapsed() < SHORTAGE_ENDS);
                    if !is_told {
                        tracing::warn!(%error, "no connection can be taken for the time being");
                    }
                    // Most likely there are no descriptors left, and somebody idle has one.
                    self.places.vacate_one();
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Answers all requests of one connection, if its client is let in.
    async fn converse(self, socket: TcpStream, peer: SocketAddr, place: Place) {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "the connection is gone already");
        }
        let _counted = self.metrics.connected();
        let reception = match socket.local_addr() {
            Ok(local) => self.access.receive(peer.ip(), local.ip()),
            Err(_) => Reception::None,
        };
        match (reception, &self.tls) {
            (Reception::Open, None) => {
                self.serve(socket, peer, self.http.clone().http1_only(), &place).await;
            }
            (Reception::Open, Some(tls)) => {
                if let Ok(stream) = handshake(tls.open(), socket, peer, &place).await {
                    self.serve_tls(stream, peer, &place).await;
                }
            }
            (Reception::Verified, Some(tls)) => {
                match self.handshake_of_stranger(tls, socket, peer, &place).await {
                    Ok(stream) => self.serve_tls(stream, peer, &place).await,
                    Err(why) => self.refuse(peer, &why),
                }
            }
            (Reception::None, _) | (Reception::Verified, None) => self.refuse(peer, "from elsewhere"),
        }
    }

    /// Lets a stranger show a certificate, or says why it is not let in. Those who say nothing take each other's room, and
    /// nobody else's.
    async fn handshake_of_stranger(
        &self,
        tls: &Tls,
        socket: TcpStream,
        peer: SocketAddr,
        place: &Place,
    ) -> Result<TlsStream<TcpStream>, Cow<'static, str>> {
        let _room = self.strangers.try_acquire().map_err(|_| "too many are in the handshake")?;
        let verified = tls.verified().ok_or("no certificate would let it in")?;
        match handshake(verified, socket, peer, place).await {
            Ok(stream) => Ok(stream),
            Err(Some((why, socket))) => {
                part(socket).await;
                Err(format!("it shows no certificate that lets it in: {why}").into())
            }
            Err(None) => Err("no handshake in the time that there was".into()),
        }
    }

    fn refuse(&self, peer: SocketAddr, why: &str) {
        self.metrics.refused();
        tracing::info!(%peer, why, "not let in");
    }

    async fn serve_tls(&self, stream: TlsStream<TcpStream>, peer: SocketAddr, place: &Place) {
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(ALPN_H2);
        let http = self.http.clone();
        let http = if is_http2 { http.http2_only() } else { http.http1_only() };
        self.serve(stream, peer, http, place).await;
    }

    async fn serve<S>(&self, stream: S, peer: SocketAddr, http: Builder<TokioExecutor>, place: &Place)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (answering, client) = (TowerToHyperService::new(self.router.clone()), peer.ip().to_canonical());
        let service = service_fn(move |mut request: Request<Incoming>| {
            git::introduce(client, &mut request);
            let mut pending = Pending::new(&self.metrics, client, &request, place.begin());
            let answer = answering.call(request);
            async move {
                pending.wait_for_turn().await;
                Ok::<_, Infallible>(pending.answer(answer.await?))
            }
        });
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let mut stopped = self.stopped.clone();
        let ended = tokio::select! {
            ended = &mut connection => ended,
            _ = async { stopped.wait_for(|stopped| *stopped).await.is_ok() } => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = place.deliveries().stalled(STALL_LIMIT) => {
                tracing::info!(%peer, "does not take what it has asked for");
                return;
            }
            () = place.lost() => {
                tracing::debug!(%peer, "idle or held up for longest, and somebody needs the place");
                let Ok(_leaving) = self.leaving.try_acquire() else { return };
                connection.as_mut().graceful_shutdown();
                timeout(LEAVE_LIMIT, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection broken off");
        }
    }
}

/// Whether a connection could not be taken because of itself, so that the next one may be (`accept(2)`, "Error handling").
fn is_about_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable, PermissionDenied,
    };
    let kinds =
        [ConnectionAborted, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable, PermissionDenied];
    kinds.contains(&error.kind())
}

/// Asks the server whether it answers, past the sockets: a server that has as many clients as it takes is well.
#[derive(Clone, Debug)]
pub(crate) struct SelfCheck {
    router: Router,
}

impl SelfCheck {
    /// Whether it does. May take as long as it takes.
    pub(crate) async fn is_well(&self) -> bool {
        let (mut ours, theirs) = duplex(SELF_CHECK_BYTES);
        let service = TowerToHyperService::new(self.router.clone());
        let http = http().http1_only();
        let answering = http.serve_connection(TokioIo::new(theirs), service);
        let mut answer = Vec::new();
        let asking = async {
            ours.write_all(SELF_CHECK).await?;
            ours.read_to_end(&mut answer).await
        };
        let (answered, asked) = tokio::join!(answering, asking);
        answered.is_ok() && asked.is_ok() && answer.starts_with(WELL)
    }
}

/// Speaks TLS with a client, if it can; else says why not, if one of them did, and gives back the socket.
async fn handshake(
    config: Arc<ServerConfig>,
    socket: TcpStream,
    peer: SocketAddr,
    place: &Place,
) -> Result<TlsStream<TcpStream>, Option<(io::Error, TcpStream)>> {
    let shaken = tokio::select! {
        shaken = timeout(HANDSHAKE_LIMIT, TlsAcceptor::from(config).accept(socket).into_fallible()) => shaken,
        () = place.lost() => {
            tracing::debug!(%peer, "no TLS handshake yet, and somebody needs the place");
            return Err(None);
        }
    };
    match shaken {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err((error, socket))) => {
            tracing::debug!(%peer, %error, "no TLS handshake");
            Err(Some((error, socket)))
        }
        Err(_) => {
            tracing::debug!(%peer, "TLS handshake took too long");
            Err(None)
        }
    }
}

/// Lets a client hear what was said last: as long as something of it is unread, the kernel would take that back.
async fn part(mut socket: TcpStream) {
    let farewell = async {
        socket.shutdown().await?;
        tokio::io::copy(&mut socket.take(FAREWELL_BYTES), &mut tokio::io::sink()).await
    };
    // Whoever has not gone by now has had its time.
    let _ = timeout(FAREWELL_LIMIT, farewell).await;
}

/// HTTP with our limits. The version is always given, so that no time passes unlimited while it is guessed.
fn http() -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT).max_buf_size(MAX_UNSENT);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buf_size(MAX_UNSENT)
        .max_header_list_size(MAX_HEADER_BYTES)
        .initial_stream_window_size(MAX_UNREAD)
        .initial_connection_window_size(MAX_UNREAD)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL);
    http
}

#[cfg(test)]
mod tests;
