//! A line with latency: a TCP proxy that delivers bytes late, but as many as come.
//!
//! Each direction is a queue of pieces stamped with the time at which they are due, so a long round trip does not
//! limit throughput, as a sleep after each piece would. What a client sends first is due a round trip later than
//! the rest, because on a real line its connection would only stand by then.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::background::Background;

/// How much is read at once.
const PIECE_BYTES: usize = 64 << 10;
/// How many pieces may be on the way in one direction of one connection: at a full 64 KiB each, 32 MiB, which
/// is more than 1 GB/s for 25 ms.
const PIECES_ON_THE_WAY: usize = 512;

/// A running proxy on loopback. It ends when it is dropped, with all its connections.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    connections: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
    _server: Background,
}

impl Proxy {
    /// Starts a proxy to `upstream` over a line with this round-trip time.
    ///
    /// # Errors
    /// There is no free port, or no thread.
    pub fn start(upstream: SocketAddr, round_trip: Duration) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let [connections, bytes] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
        let line = Line { upstream, round_trip, bytes: Arc::clone(&bytes) };
        let server = Background::run("slow-line", accept(listener, line, Arc::clone(&connections)))?;
        Ok(Self { addr, connections, bytes, _server: server })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many connections were made through it.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many bytes were handed over to it so far, in both directions.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// What a line is like.
#[derive(Clone)]
struct Line {
    upstream: SocketAddr,
    round_trip: Duration,
    bytes: Arc<AtomicU64>,
}

async fn accept(listener: std::net::TcpListener, line: Line, connections: Arc<AtomicU64>) {
    // The runtime refuses a bound socket only when it is shutting down.
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((client, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(join(client, line.clone()));
    }
}

/// Passes bytes on until both sides have said all, or one of them has gone.
async fn join(client: TcpStream, Line { upstream, round_trip, bytes }: Line) {
    let stands = Instant::now() + round_trip;
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    for stream in [&client, &server] {
        // Nagle's delay would be added to the line's.
        let _ = stream.set_nodelay(true);
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let way = round_trip / 2;
    // An error is the end of the connection, which the other side sees as such.
    let _ = tokio::try_join!(
        carry(from_client, to_server, way, stands, &bytes),
        carry(from_server, to_client, way, stands, &bytes)
    );
}

/// Carries one direction: what is read now is written `way` later, and nothing is under way before `stands`.
async fn carry(
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    way: Duration,
    stands: Instant,
    bytes: &AtomicU64,
) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel(PIECES_ON_THE_WAY);
    tokio::try_join!(collect(from, sender, way, stands, bytes), deliver(receiver, to))?;
    Ok(())
}

async fn collect(
    mut from: impl AsyncRead + Unpin,
    queue: mpsc::Sender<(Instant, Bytes)>,
    way: Duration,
    stands: Instant,
    bytes: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE_BYTES);
        let read = from.read_buf(&mut buffer).await?;
        bytes.fetch_add(read as u64, Ordering::Relaxed);
        let due = Instant::now().max(stands) + way;
        // An empty piece tells the other side of the end; it takes as long as any other.
        let unwanted = queue.send((due, buffer.split().freeze())).await.is_err();
        if read == 0 || unwanted {
            return Ok(());
        }
    }
}

async fn deliver(
    mut queue: mpsc::Receiver<(Instant, Bytes)>,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    while let Some((due, piece)) = queue.recv().await {
        tokio::time::sleep_until(due).await;
        if piece.is_empty() {
            break;
        }
        to.write_all(&piece).await?;
    }
    to.shutdown().await
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::Proxy;

    const ROUND_TRIP: Duration = Duration::from_millis(100);
    /// How much later than due things may be on a busy machine, at the best of several attempts.
    const LATENESS: Duration = Duration::from_millis(90);
    const ATTEMPTS: u64 = 5;

    /// A server that sends each byte back, to one client after the other.
    fn echo() -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut reader = stream.try_clone().unwrap();
                std::io::copy(&mut reader, &mut stream).unwrap();
            }
        });
        addr
    }

    fn ping(stream: &mut TcpStream) -> Duration {
        let start = Instant::now();
        stream.write_all(b"?").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        start.elapsed()
    }

    #[test]
    fn a_question_takes_a_round_trip_and_the_first_one_two() {
        let proxy = Proxy::start(echo(), ROUND_TRIP).unwrap();
        let attempt = |_| {
            let mut stream = TcpStream::connect(proxy.addr()).unwrap();
            stream.set_nodelay(true).unwrap();
            (ping(&mut stream), ping(&mut stream))
        };
        let (firsts, seconds): (Vec<_>, Vec<_>) = (0..ATTEMPTS).map(attempt).unzip();
        let (first, second) = (firsts.iter().min().unwrap(), seconds.iter().min().unwrap());
        assert!((2 * ROUND_TRIP..2 * ROUND_TRIP + LATENESS).contains(first), "{firsts:?}");
        assert!((ROUND_TRIP..ROUND_TRIP + LATENESS).contains(second), "{seconds:?}");
        assert_eq!(proxy.connections(), ATTEMPTS);
        // Two questions and two answers each.
        assert_eq!(proxy.bytes(), 4 * ATTEMPTS);
    }

    #[test]
    fn many_bytes_take_hardly_longer_than_few() {
        const BYTES: usize = 20 << 20;
        let proxy = Proxy::start(echo(), ROUND_TRIP).unwrap();
        let mut stream = TcpStream::connect(proxy.addr()).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let start = Instant::now();
        let sending = thread::spawn(move || {
            writer.write_all(&vec![7; BYTES]).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        sending.join().unwrap();
        assert!(back.len() == BYTES && back.iter().all(|byte| *byte == 7));
        // Piece by piece, each waiting for the one before, it would be 320 pieces × 50 ms = 16 s.
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    }
}
