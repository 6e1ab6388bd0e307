use std::future::pending;

use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::get;
use futures_util::stream;
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;

use super::*;

/// What a connection may hold on its way, in bytes.
const ON_THE_WAY: usize = 1 << 10;
/// An answer.
const PIECES: usize = 16;
const PIECE_BYTES: usize = 64 << 10;
/// Frames of HTTP/2 (RFC 9113, section 6).
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_OF_ALL: u8 = 5;

#[tokio::test]
async fn a_server_that_says_anything_but_yes_is_not_well() {
    let check = |router: Router| SelfCheck { router: router.fallback(async || StatusCode::NOT_FOUND) };
    assert!(check(Router::new().route("/healthz", get(async || "ok"))).is_well().await);
    assert!(!check(Router::new()).is_well().await);
    let failing = get(async || StatusCode::SERVICE_UNAVAILABLE);
    assert!(!check(Router::new().route("/healthz", failing)).is_well().await);
    let silent = check(Router::new().route("/healthz", get(async || pending::<StatusCode>().await)));
    assert!(timeout(Duration::from_millis(50), silent.is_well()).await.is_err());
}

/// Serves one connection of a server that nobody stops, and returns its client's end and what ends with it.
async fn connect(http: Builder<TokioExecutor>) -> (DuplexStream, JoinHandle<()>) {
    let (client, served, _) = connect_to_places(http).await;
    (client, served)
}

async fn connect_to_places(http: Builder<TokioExecutor>) -> (DuplexStream, JoinHandle<()>, Arc<Places>) {
    let (ours, theirs) = duplex(ON_THE_WAY);
    let pieces = || stream::iter((0..PIECES).map(|_| Ok::<_, Infallible>(vec![7; PIECE_BYTES])));
    let router = Router::new().route("/", get(async move || Body::from_stream(pieces())));
    let (stopping, stopped) = watch::channel(false);
    let host = Host {
        tls: None,
        access: Arc::new(Access::new(Vec::new(), false)),
        metrics: Arc::default(),
        router,
        http: http.clone(),
        stopped,
        places: Arc::new(Places::new(Capacity::of_process())),
        leaving: Arc::new(Semaphore::new(1)),
        strangers: Arc::new(Semaphore::new(1)),
    };
    let places = Arc::clone(&host.places);
    let place = places.take().await;
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let served = tokio::spawn(async move {
        host.serve(theirs, peer, http, &place).await;
        drop(stopping);
    });
    (ours, served, places)
}

async fn send(client: &mut DuplexStream, kind: u8, flags: u8, stream: u8, payload: &[u8]) -> io::Result<()> {
    let length = u8::try_from(payload.len()).unwrap();
    let frame = [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat();
    client.write_all(&frame).await
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_nothing_of_an_answer_is_not_waited_for() {
    let (mut client, served) = connect(http().http1_only()).await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    client.read_exact(&mut [0; 100]).await.unwrap();
    let begun = Instant::now();
    served.await.unwrap();
    let took = begun.elapsed();
    assert!(took >= STALL_LIMIT && took < 2 * STALL_LIMIT, "{took:?}");

    // Whoever takes a little now and then is.
    let (mut client, served) = connect(http().http1_only()).await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut piece = vec![0; PIECE_BYTES];
    for _ in 1..PIECES {
        client.read_exact(&mut piece).await.unwrap();
        sleep(STALL_LIMIT / 4).await;
        assert!(!served.is_finished());
    }
    client.read_to_end(&mut piece).await.unwrap();
    served.await.unwrap();
}

/// Says that it is there, and reads all frames of two answers, but opens no window for the one, and for the other only so often.
/// Returns how long it was waited for.
async fn close_the_window(mut openings: u8) -> Duration {
    const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];
    const GET_ROOT: [u8; 6] = [0x82, 0x87, 0x84, 0x01, 1, b'x'];
    const ONE_PIECE: [u8; 4] = [0, 1, 0, 0];
    let (mut client, served) = connect(http().http2_only()).await;
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    send(&mut client, SETTINGS, 0, 0, &NO_WINDOW).await.unwrap();
    for stream in [1, 3] {
        send(&mut client, HEADERS, END_OF_ALL, stream, &GET_ROOT).await.unwrap();
    }
    let (begun, mut pings) = (Instant::now(), 0);
    let mut head = [0; 9];
    while client.read_exact(&mut head).await.is_ok() {
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        client.read_exact(&mut payload).await.unwrap();
        if head[3] == PING && head[4] != ACK {
            pings += 1;
            // The last one comes when the time is up.
            if send(&mut client, PING, ACK, 0, &payload).await.is_err() {
                break;
            }
            if openings > 0 {
                openings -= 1;
                for stream in [0, 3] {
                    send(&mut client, WINDOW_UPDATE, 0, stream, &ONE_PIECE).await.unwrap();
                }
            }
        }
    }
    served.await.unwrap();
    assert!(pings > 0, "it was asked whether it is there");
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn nor_is_whoever_closes_the_window() {
    let took = close_the_window(0).await;
    assert!(took >= STALL_LIMIT && took < 2 * STALL_LIMIT, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn one_answer_may_stand_still_while_another_goes_on() {
    const OPENINGS: u8 = 8;
    let took = close_the_window(OPENINGS).await;
    let goes_on = u32::from(OPENINGS) * PING_INTERVAL;
    assert!(took >= goes_on + STALL_LIMIT && took < goes_on + 2 * STALL_LIMIT, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_has_not_asked_yet_makes_room() {
    let all: [(_, &[u8]); 5] = [
        (http().http1_only(), b""),
        (http().http1_only(), b"GET / HTTP/1.1\r\nHost: "),
        (http().http2_only(), b""),
        (http().http2_only(), b"PRI * HTTP/2.0\r\n"),
        (http().http2_only(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
    ];
    for (http, said) in all {
        let (mut client, served, places) = connect_to_places(http).await;
        client.write_all(said).await.unwrap();
        places.vacate_one();
        let ended = timeout(2 * LEAVE_LIMIT, served).await;
        assert!(ended.is_ok(), "{}", String::from_utf8_lossy(said));
    }
}
