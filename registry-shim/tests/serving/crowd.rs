//! The program among clients that only hold connections open: more than it has places for, in every way there is to be idle.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use sealift_archive::Digest;

use crate::fixture::{Content, TestStore};
use crate::program::{Running, program, read_some};

/// How many connections stand idle, unless this machine gives a process fewer descriptors.
const IDLE: u64 = 10_000;
/// How many of them come at a time.
const QUEUED: u64 = 100;
/// Descriptors that the test needs besides.
const SPARE_DESCRIPTORS: u64 = 500;
/// How many send a header of which the end never comes.
const DRIPPING: usize = 1500;
/// How long a client waits that wants something. Far less than the minute for which a connection may be idle.
const PATIENCE: Duration = Duration::from_secs(45);
/// How much memory the program may ever have taken.
const MAX_RESIDENT: u64 = 96 << 20;

/// What a client keeps sending who has no wish to finish.
const DRIP: &[u8] = b"X: 1\r\n";

/// As many descriptors as this process may have.
pub(crate) fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .expect("a process may go to its own limit");
    most
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    stream
}

fn get(address: &str, path: &str) -> Vec<u8> {
    let begun = Instant::now();
    let mut stream = connect(address);
    let request = format!("GET {path} HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it is taken");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap_or_else(|e| panic!("{path}: {e} after {:?}", begun.elapsed()));
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{path}: {}", String::from_utf8_lossy(&answer));
    answer
}

/// Whether the other end has closed.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a mode");
    match (&*stream).read(&mut [0]) {
        Ok(0) => true,
        Ok(_) => panic!("nothing was asked"),
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

#[test]
fn whoever_only_holds_connections_open_is_in_nobodys_way() {
    let content: Vec<u8> = (0..=250).cycle().take(16 << 20).collect();
    let (store, blob) = one_blob(&content);
    let manifest = "/v2/ghcr.io/acme/api/manifests/1";
    let descriptors = raise_descriptors();
    let mut command = program();
    command.arg("--store").arg(store.dir()).args(["--listen", "127.0.0.1:0"]);
    let (running, urls) = Running::start(&mut command);
    let address = urls[0].trim_start_matches("http://");

    let is_well = |when: &str| {
        for _ in 0..20 {
            assert!(get(address, manifest).ends_with(b"api"), "{when}");
        }
        assert!(get(address, &blob).ends_with(&content), "{when}");
    };
    // Somebody is in the middle of an answer all the time, and takes his time.
    let mut slow = connect(address);
    write!(slow, "GET {blob} HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n\r\n").expect("it is taken");
    slow.read_exact(&mut [0; 1024]).expect("the beginning");

    let mut idle = Vec::new();
    for number in 0..IDLE.min(descriptors.saturating_sub(SPARE_DESCRIPTORS)) {
        idle.push(connect(address));
        // Who is answered knows that all who came before are in, so the kernel's queue never overflows.
        if number % QUEUED == 0 {
            assert!(get(address, manifest).ends_with(b"api"), "beside {number} who say nothing");
        }
    }
    is_well("beside those who say nothing");

    let mut dripping: Vec<_> = (0..DRIPPING)
        .map(|_| {
            let mut stream = connect(address);
            stream.write_all(b"GET / HTTP/1.1\r\nHost: registry\r\n").expect("it is taken");
            stream
        })
        .collect();
    for _ in 0..3 {
        for stream in &mut dripping {
            // Those that had to make room cannot go on.
            let _ = stream.write_all(DRIP);
        }
        is_well("beside those who never finish a header");
    }
    // Answered once, and kept open: the next request may come at any time.
    let kept: Vec<_> = (0..DRIPPING)
        .map(|_| {
            let mut stream = connect(address);
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: registry\r\n\r\n").expect("it is taken");
            let mut answer = [0; 512];
            let length = read_some(&stream, &mut answer).expect("an answer");
            assert!(answer[..length].starts_with(b"HTTP/1.1 200 "), "{length}");
            stream
        })
        .collect();
    is_well("beside those who come back later");

    // Those who came first have had to go.
    let asked = Instant::now();
    while !idle.iter().all(is_closed) {
        assert!(asked.elapsed() < PATIENCE, "they are still there");
        std::thread::yield_now();
    }
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).expect("the rest of an answer under way");
    assert!(rest.ends_with(&content[content.len() / 2..]));
    let resident = running.peak_resident();
    assert!(resident < MAX_RESIDENT, "{resident} bytes");
    drop((kept, dripping));
}

/// A limit on open files that leaves room for 16 connections.
const FEW_FILES: u64 = 128;
/// How many clients want something of a program that has so few, and how many more want nothing.
const TOO_MANY: usize = 20;
const IDLE_BESIDE: usize = 60;
/// How long a program may be without a file to open, and what it may cost the processor meanwhile.
const OUTAGE: Duration = Duration::from_secs(1);
const MAX_CPU_OF_OUTAGE: Duration = Duration::from_millis(300);

/// A store with an image and a blob, and the blob's path.
fn one_blob(content: &[u8]) -> (TestStore, String) {
    let store = TestStore::new();
    store.add(1, "active", &Content::default().image("ghcr.io/acme/api:1", "api").blob(content));
    store.point_at(1);
    (store, format!("/v2/ghcr.io/acme/api/blobs/{}", Digest::of(content)))
}

/// Asks for something large, and takes only the beginning of it.
fn stall(address: &str, path: &str) -> TcpStream {
    let mut stream = connect(address);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: registry\r\n\r\n").expect("it is taken");
    stream
}

#[test]
fn who_takes_no_answer_makes_room_and_no_more_are_let_in_than_can_be_answered() {
    let content = vec![7; 16 << 20];
    let (store, blob) = one_blob(&content);
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -n {FEW_FILES} && exec \"$0\" \"$@\"")])
        .arg(program().get_program());
    command.arg("--store").arg(store.dir()).args(["--listen", "127.0.0.1:0"]).env("RUST_LOG", "info");
    let (running, urls) = Running::start(&mut command);
    let address = urls[0].trim_start_matches("http://");
    let stalled: Vec<_> = (0..TOO_MANY).map(|_| stall(address, &blob)).collect();
    let idle: Vec<_> = (0..IDLE_BESIDE).map(|_| connect(address)).collect();
    for _ in 0..5 {
        assert!(get(address, "/v2/ghcr.io/acme/api/manifests/1").ends_with(b"api"));
        assert!(get(address, &blob).ends_with(&content));
    }
    running.signal(Signal::TERM);
    drop((stalled, idle));
    let (status, log) = running.end();
    assert_eq!(status, Some(0), "{log}");
    assert!(
        log.contains("by the limit on open files") && !log.contains("no connection can be taken"),
        "{log}"
    );
}

#[test]
fn without_a_file_to_open_it_waits_and_then_goes_on() {
    let (store, blob) = one_blob(&vec![7; 16 << 20]);
    let mut command = program();
    command.arg("--store").arg(store.dir()).args(["--listen", "127.0.0.1:0"]);
    let (running, urls) = Running::start(&mut command);
    let address = urls[0].trim_start_matches("http://");
    let busy: Vec<_> = (0..3)
        .map(|_| {
            let mut busy = stall(address, &blob);
            busy.read_exact(&mut [0; 1024]).expect("the beginning");
            busy
        })
        .collect();
    // Somebody takes the rest of them away.
    running.limit_files(running.next_file());
    let before = running.cpu_time();
    let mut waiting = connect(address);
    waiting.write_all(b"GET /healthz HTTP/1.1\r\nHost: registry\r\n\r\n").expect("it is taken");
    waiting.set_read_timeout(Some(OUTAGE)).expect("a deadline");
    let mut answer = [0; 512];
    assert!(read_some(&waiting, &mut answer).is_err(), "there is no file for its connection");
    let cost = running.cpu_time().saturating_sub(before);
    assert!(cost < MAX_CPU_OF_OUTAGE, "{cost:?}");

    drop(busy);
    waiting.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    let freed = Instant::now();
    let length = read_some(&waiting, &mut answer).expect("an answer");
    assert!(answer[..length].starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer[..length]));
    assert!(freed.elapsed() < OUTAGE, "{:?}", freed.elapsed());
    assert!(get(address, "/v2/ghcr.io/acme/api/manifests/1").ends_with(b"api"));
    running.signal(Signal::TERM);
    let (status, log) = running.end();
    assert_eq!((status, log.matches("no connection can be taken").count()), (Some(0), 1), "{log}");
}
