//! Connections of the registry: plain or TLS, and able to break off at an exact byte.
//!
//! A cut must be exact, or a test that counts transferred bytes means nothing. An HTTP server that fails in the
//! middle of a body throws away what it still holds in its buffers; so the body says that it wants the cut and
//! waits, the server flushes, and the connection breaks when the flush is done.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// Connections whose TLS handshake is done and that the server has not taken yet.
const READY_CONNECTIONS: usize = 16;
/// How long to leave the listening socket alone after it failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A byte stream in both directions: TCP, or TLS over it.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Breaks one connection off.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cut(Arc<AtomicBool>);

impl Cut {
    /// Breaks the connection off as soon as all that was written has been sent.
    pub(crate) fn after_flush(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// What a request handler may know of its connection.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// The registry's own port on this connection.
    pub(crate) port: u16,
    pub(crate) cut: Cut,
}

/// One connection.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    line: Line,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) && self.line.cut.0.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Accepts connections on one address.
pub(crate) struct Door {
    local: SocketAddr,
    ready: mpsc::Receiver<(Box<dyn Stream>, SocketAddr)>,
}

impl Door {
    /// Listens on `listener`, a socket of the standard library, in TLS if an acceptor is given.
    pub(crate) fn open(listener: std::net::TcpListener, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let local = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(READY_CONNECTIONS);
        tokio::spawn(accept(listener, tls, sender));
        Ok(Self { local, ready })
    }
}

/// Handshakes run beside each other, so that a client that never finishes its own holds up nobody.
async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    ready: mpsc::Sender<(Box<dyn Stream>, SocketAddr)>,
) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // The client has gone again, or the process is out of descriptors for a moment.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Answers are small and awaited; Nagle's delay would show up as latency of the client under test.
        let _ = stream.set_nodelay(true);
        let (tls, ready) = (tls.clone(), ready.clone());
        tokio::spawn(async move {
            let stream: Box<dyn Stream> = match tls {
                None => Box::new(stream),
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => Box::new(stream),
                    // Not a TLS client, or one that does not trust us: its own error says so.
                    Err(_) => return,
                },
            };
            // The server is gone when nobody takes it.
            let _ = ready.send((stream, peer)).await;
        });
    }
}

impl Listener for Door {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        match self.ready.recv().await {
            Some((stream, peer)) => {
                (Wire { stream, line: Line { port: self.local.port(), cut: Cut::default() } }, peer)
            }
            // The accepting task ended with its socket; there will be no further connection.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

impl Connected<IncomingStream<'_, Door>> for Line {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().line.clone()
    }
}
