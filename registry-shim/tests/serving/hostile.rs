//! Clients that mean harm: what they send is refused or bounded, and others are answered as if they were not there.
//!
//! What concerns names and paths is in [`crate::naming`], bodies of Git requests in [`crate::git`], and clients that only hold
//! connections open in [`crate::crowd`].

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Certificate, Client, Method};
use sealift_archive::Digest;
use sealift_registry_shim::IdentitySource;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::fixture::{Content, Served, TestStore};
use crate::program::{Running, program};
use crate::tls::write_identity;

/// How long the server may take to do what it has to.
const DEADLINE: Duration = Duration::from_secs(30);
/// How many clients read as good as nothing, of how much, and what memory the program may have taken for them.
const SLOW_READERS: usize = 200;
const SLOW_BYTES: usize = 50 << 20;
const MAX_RESIDENT: u64 = 96 << 20;

fn large() -> Vec<u8> {
    (0..=250).cycle().take(3 << 20).collect()
}

fn one_image(content: &[u8]) -> TestStore {
    let store = TestStore::new();
    store.add(1, "active", &Content::default().image("ghcr.io/acme/api:1", "api").blob(content));
    store.point_at(1);
    store
}

fn blob(content: &[u8]) -> String {
    format!("/v2/ghcr.io/acme/api/blobs/{}", Digest::of(content))
}

async fn expect_others_unaffected(served: &Served, what: &str) {
    let answer = timeout(DEADLINE, served.get("/v2/ghcr.io/acme/api/manifests/1")).await;
    assert_eq!(answer.expect(what).text(), "api", "{what}");
}

/// Sends bytes, and returns the status that came back before the connection was closed, if one did.
async fn status_of(served: &Served, bytes: &[u8]) -> Option<u16> {
    let address = served.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    // Who is refused in the middle of what he says may find the connection closed, and the answer lost.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("the connection is closed");
    String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_none_is_refused() {
    let store = one_image(b"");
    let served = store.serve().await;
    let get =
        |headers: &str| format!("GET /healthz HTTP/1.1\r\nHost: r\r\nConnection: close\r\n{headers}\r\n");
    let headers = |count: usize| "X: 1\r\n".repeat(count);
    let long = |bytes: usize| "a".repeat(bytes);
    let bomb = format!("Content-Length: {}\r\n", u64::MAX);
    // What is sent, the statuses that it may have, and whether there may be none.
    let cases: [(&str, String, &[u16], bool); 15] = [
        ("nothing special", get(""), &[200], false),
        ("many headers", get(&headers(90)), &[200], false),
        ("a large header", get(&format!("X: {}\r\n", long(30 << 10))), &[200], false),
        ("too many headers", get(&headers(200)), &[431], false),
        ("thousands of headers", get(&headers(50_000)), &[431], true),
        ("a header too large", get(&format!("X: {}\r\n", long(1 << 20))), &[431], true),
        ("a name too large", get(&format!("{}: 1\r\n", long(70_000))), &[400, 431], true),
        ("a path too long", format!("GET /{} HTTP/1.1\r\n\r\n", long(1 << 20)), &[414, 431], true),
        ("a body of two lengths", get("Content-Length: 1\r\nContent-Length: 2\r\n"), &[400], false),
        ("a body without end", get(&bomb), &[200, 400, 413, 431], false),
        ("NUL in a header", get("X: \0\r\n"), &[400], false),
        ("a header without name", get(": 1\r\n"), &[400], false),
        ("no method", "\0\0\0\0\r\n\r\n".to_owned(), &[400], false),
        ("a TLS handshake", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03\r\n\r\n".to_owned(), &[400], false),
        ("HTTP/2 unasked", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[400, 505], true),
    ];
    for (name, bytes, statuses, or_none) in cases {
        let status = status_of(&served, bytes.as_bytes()).await;
        assert!(status.map_or(or_none, |status| statuses.contains(&status)), "{name}: {status:?}");
        expect_others_unaffected(&served, name).await;
    }
}

fn ranges(ranges: impl IntoIterator<Item = String>) -> String {
    format!("bytes={}", ranges.into_iter().collect::<Vec<_>>().join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn many_ranges_cost_no_more_than_none() {
    let content = large();
    let store = one_image(&content);
    let served = store.serve().await;
    let path = blob(&content);
    let list = |range: &str, count| ranges(vec![range.to_owned(); count]);
    let cases = [
        ("the same", list("0-", 10_000)),
        ("overlapping", ranges((0..5000).map(|n| format!("{n}-")))),
        ("single bytes", ranges((0..5000).map(|n| format!("{n}-{n}")))),
        ("from behind", list("-1", 10_000)),
        ("all the numbers there are", list(&format!("0-{}", u64::MAX), 1000)),
    ];
    for (name, ranges) in cases {
        let answer = served.send(Method::GET, &path, &[("Range", &ranges)]).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, content.len()), "{name}");
        assert!(answer.body == content, "{name}");
    }
    // Said again and again, it is the first that counts, or none.
    let often = [("Range", "bytes=5-9"); 80];
    let answer = served.send(Method::GET, &path, &often).await;
    let expected = if answer.status == 206 { &content[5..10] } else { &content[..] };
    assert!(answer.body == expected, "{}", answer.status);
}

#[test]
fn who_reads_slowly_holds_a_few_pieces_in_memory() {
    let content = vec![7; SLOW_BYTES];
    let store = one_image(&content);
    let mut command = program();
    command.arg("--store").arg(store.dir()).args(["--listen", "127.0.0.1:0"]);
    let (running, urls) = Running::start(&mut command);
    let address = urls[0].trim_start_matches("http://");
    let request = format!("GET {} HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n", blob(&content));
    let mut readers: Vec<_> = (0..SLOW_READERS)
        .map(|_| {
            let mut reader = std::net::TcpStream::connect(address).expect("a connection");
            reader.set_read_timeout(Some(DEADLINE)).expect("a deadline");
            reader.write_all(request.as_bytes()).expect("it is taken");
            reader
        })
        .collect();
    // Kilobyte by kilobyte: what is read makes room, and the server fills it.
    for _ in 0..64 {
        for reader in &mut readers {
            reader.read_exact(&mut [0; 1 << 10]).expect("the next piece");
        }
    }
    let resident = running.peak_resident();
    assert!(resident < MAX_RESIDENT, "{resident} bytes");
    // Somebody who does read gets everything.
    let mut all = Vec::new();
    readers.pop().expect("a reader").read_to_end(&mut all).expect("the rest");
    assert!(all.ends_with(&content[1 << 20..]));
}

/// Frames of HTTP/2 (RFC 9113, section 6).
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// A setting: how much of an answer may be sent before more is asked for.
const INITIAL_WINDOW: u16 = 4;

/// A client of HTTP/2 that is bound by no rule.
struct Http2 {
    stream: TlsStream<TcpStream>,
}

/// A frame that came back.
struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Http2 {
    async fn connect(served: &Served, certificate: &[u8], settings: &[(u16, u32)]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(certificate).expect("a certificate")).expect("an authority");
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let address = served.url.trim_start_matches("https://");
        let socket = TcpStream::connect(address).await.expect("a connection");
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await.expect("a handshake");
        let mut client = Self { stream };
        client.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("it is taken");
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        assert!(client.send(SETTINGS, 0, 0, &settings).await);
        client
    }

    /// Sends a frame; false if nobody takes it any more.
    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
        let mut frame = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        frame.extend_from_slice(payload);
        let sent = async {
            self.stream.write_all(&frame).await?;
            self.stream.flush().await
        };
        timeout(DEADLINE, sent).await.is_ok_and(|sent| sent.is_ok())
    }

    async fn get(&mut self, stream: u32, path: &str) -> bool {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &question(path)).await
    }

    /// The next frame; none if the connection was closed.
    async fn frame(&mut self) -> Option<Frame> {
        let read = async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            self.stream.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            Some(Frame { kind: head[3], stream, payload })
        };
        timeout(DEADLINE, read).await.expect("a frame in time")
    }

    /// The next frame of this kind, on this stream.
    async fn frame_of(&mut self, kind: u8, stream: u32) -> Option<Frame> {
        loop {
            let frame = self.frame().await?;
            if frame.kind == kind && frame.stream == stream {
                return Some(frame);
            }
        }
    }
}

/// A request's header (RFC 7541): what has a place in the static table by that, the rest as it is.
fn question(path: &str) -> Vec<u8> {
    const GET_HTTPS: [u8; 2] = [0x82, 0x87];
    const PATH: u8 = 0x04;
    const AUTHORITY_R: [u8; 3] = [0x01, 1, b'r'];
    let length = u8::try_from(path.len()).ok().filter(|length| *length < 127).expect("a short path");
    [&GET_HTTPS[..], &AUTHORITY_R, &[PATH, length], path.as_bytes()].concat()
}

/// A header that the other end has to keep; 1,003 bytes.
fn filler() -> Vec<u8> {
    // 0x7f: the length goes on in the next bytes, 127 + 0x68 + 0x06 * 128 = 999.
    [&[0, 1, b'x', 0x7f, 0xe8, 0x06][..], &[b'a'; 999]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_flood_are_cut_off() {
    let (content, dir) = (large(), tempfile::tempdir().expect("a directory"));
    let store = one_image(&content);
    let files = write_identity(dir.path(), "server");
    let pem = fs_err::read(&files.certificate).expect("a file");
    let trusting = Client::builder().tls_certs_only([Certificate::from_pem(&pem).expect("a certificate")]);
    let served = store.serve_with(Some(IdentitySource::Files(files)), trusting).await;

    let mut sound = Http2::connect(&served, &pem, &[]).await;
    assert!(sound.get(1, "/healthz").await);
    let answer = sound.frame_of(HEADERS, 1).await.expect("an answer");
    assert_eq!(answer.payload[0], 0x88, "the status is 200");

    // More headers than we keep: that request is refused, and no other.
    let mut large_header = question("/healthz");
    (0..15).for_each(|_| large_header.extend(filler()));
    assert!(sound.send(HEADERS, END_STREAM, 3, &large_header).await);
    assert!(sound.send(CONTINUATION, END_HEADERS, 3, &filler().repeat(8)).await);
    let refused = sound.frame_of(HEADERS, 3).await.expect("an answer");
    assert!(refused.payload[0] != 0x88, "the status is not 200");
    assert!(sound.get(5, "/healthz").await);
    assert!(sound.frame_of(HEADERS, 5).await.is_some());
    expect_others_unaffected(&served, "a large header").await;

    // A header that never ends.
    let mut flood = Http2::connect(&served, &pem, &[]).await;
    assert!(flood.send(HEADERS, END_STREAM, 1, &question("/healthz")).await);
    let mut sent = 0;
    while sent < 100_000 && flood.send(CONTINUATION, 0, 1, &filler()).await {
        sent += 1;
    }
    assert!(sent < 100_000, "it is taken without end");
    expect_others_unaffected(&served, "a header without end").await;

    // Requests that are taken back at once, as fast as they can be written.
    let mut reset = Http2::connect(&served, &pem, &[(INITIAL_WINDOW, 0)]).await;
    let cancel = 8_u32.to_be_bytes();
    for stream in (1..4000).step_by(2) {
        if !(reset.get(stream, &blob(&content)).await && reset.send(RST_STREAM, 0, stream, &cancel).await) {
            break;
        }
    }
    expect_others_unaffected(&served, "requests taken back").await;

    // Requests side by side of which nobody takes the answers: some wait, and more are refused.
    let mut many = Http2::connect(&served, &pem, &[(INITIAL_WINDOW, 0)]).await;
    for stream in (1..200).step_by(2) {
        assert!(many.get(stream, &blob(&content)).await);
    }
    let refused = many.frame_of(RST_STREAM, 199).await.expect("it is refused");
    assert_eq!(refused.payload, 7_u32.to_be_bytes(), "REFUSED_STREAM");
    expect_others_unaffected(&served, "many requests").await;
}
