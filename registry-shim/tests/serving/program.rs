//! The program: how it starts, what it says, how it stops.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use sealift_archive::Digest;

use crate::fixture::{Content, TestStore, attempt};

/// What the kernel counts a process's time in, on every machine that we run on (`USER_HZ`).
const TICKS_A_SECOND: u64 = 100;
const STOP_DEADLINE: Duration = Duration::from_secs(5);

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealift-registry"));
    command.env_remove("SEALIFT_STORE").env_remove("RUST_LOG");
    command
}

/// What there is to read. A read that has a deadline ends at a signal, though nobody handles it (signal(7)).
pub(crate) fn read_some(stream: &impl AsFd, buffer: &mut [u8]) -> rustix::io::Result<usize> {
    retry_on_intr(|| rustix::io::read(stream, &mut *buffer))
}

/// A program that is killed if the test ends before it.
pub(crate) struct Running(Child);

impl Running {
    /// Starts it, and returns it and where it says that it listens.
    pub(crate) fn start(command: &mut Command) -> (Self, Vec<String>) {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut running = Self(child);
        let mut line = String::new();
        BufReader::new(running.0.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let urls = line.trim_end().strip_prefix("ready ").unwrap_or_else(|| panic!("it says `{line}`"));
        (running, urls.split(' ').map(str::to_owned).collect())
    }

    /// Asks it to stop.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("it runs");
    }

    /// The most memory that it has had so far: resident bytes.
    pub(crate) fn peak_resident(&self) -> u64 {
        let status = fs_err::read_to_string(format!("/proc/{}/status", self.0.id())).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak.and_then(|kibibytes| kibibytes.parse::<u64>().ok()).expect("a number") << 10
    }

    /// The number of the file that it opens next.
    pub(crate) fn next_file(&self) -> u64 {
        let is_open = |number: &u64| Path::new(&format!("/proc/{}/fd/{number}", self.0.id())).is_symlink();
        (0..=u64::MAX).find(|number| !is_open(number)).expect("a number")
    }

    /// Says from which number on it may open no file.
    pub(crate) fn limit_files(&self, count: u64) {
        let limit = Rlimit { current: Some(count), maximum: Some(count) };
        prlimit(Some(Pid::from_child(&self.0)), Resource::Nofile, limit).expect("it runs");
    }

    /// For how long it has kept a core busy.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = fs_err::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("it runs");
        // proc_pid_stat(5): the name in parentheses is the second field, `utime` and `stime` the 14th and 15th.
        let (_, fields) = stat.rsplit_once(") ").expect("a name");
        let ticks: u64 =
            fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 1000 / TICKS_A_SECOND)
    }

    /// Waits for its end, and returns its status and what it logged.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.0.try_wait().expect("a status") {
                break status;
            }
            assert!(begun.elapsed() < STOP_DEADLINE, "it does not stop");
            std::thread::yield_now();
        };
        let mut log = String::new();
        self.0.stderr.take().expect("a pipe").read_to_string(&mut log).expect("text");
        (status.code(), log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // What has ended already cannot be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn get(url: &str) -> String {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    client.get(url).send().await.expect("an answer").text().await.expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_where_it_listens_and_stops_when_asked() {
    let store = TestStore::new();
    store.add(1, "active", &Content::default().image("ghcr.io/acme/api:1", "api"));
    store.point_at(1);
    for signal in [Signal::TERM, Signal::INT] {
        let mut command = program();
        command.env("SEALIFT_STORE", store.dir());
        command.args(["--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--log-format", "json"]);
        let (running, urls) = Running::start(&mut command);
        assert_eq!(urls.len(), 2);
        for url in &urls {
            assert!(!url.ends_with(":0"), "{url}");
            assert_eq!(get(&format!("{url}/v2/acme/api/manifests/1?ns=ghcr.io")).await, "api");
        }
        running.signal(signal);
        let (status, log) = running.end();
        assert_eq!(status, Some(0), "{log}");
        for line in log.lines() {
            let entry: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            assert!(entry["level"].is_string(), "{line}");
        }
        assert!(log.contains("\"ready\"") && log.contains("stopping"), "{log}");
    }
}

#[test]
fn it_does_not_hold_up_its_end_for_idle_clients() {
    let store = TestStore::new();
    let (running, urls) =
        Running::start(program().arg("--store").arg(store.dir()).args(["--listen", "127.0.0.1:0"]));
    let address = urls[0].trim_start_matches("http://").to_owned();
    let idle: Vec<_> =
        (0..4).map(|_| std::net::TcpStream::connect(&address).expect("a connection")).collect();
    running.signal(Signal::TERM);
    let (status, log) = running.end();
    assert_eq!(status, Some(0), "{log}");
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_finishes_what_it_has_begun() {
    // More than the buffers on the way hold.
    let content = vec![5; 32 << 20];
    let store = TestStore::new();
    store.add(1, "active", &Content::default().image("ghcr.io/acme/api:1", "api").blob(&content));
    store.point_at(1);
    let mut command = program();
    command.arg("--store").arg(store.dir()).args(["--listen", "127.0.0.1:0"]);
    let (running, urls) = Running::start(&mut command);
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("{}/v2/ghcr.io/acme/api/blobs/{}", urls[0], Digest::of(&content));
    let answer = client.get(url).send().await.expect("an answer");
    running.signal(Signal::TERM);
    // It listens no more, and still sends what it has promised.
    let begun = Instant::now();
    while client.get(format!("{}/healthz", urls[0])).send().await.is_ok() {
        assert!(begun.elapsed() < STOP_DEADLINE, "it still takes requests");
    }
    assert!(answer.bytes().await.expect("all of it") == content);
    let (status, log) = running.end();
    assert_eq!(status, Some(0), "{log}");
    assert!(!log.contains("before all answers"), "{log}");
}

#[test]
fn what_keeps_it_from_starting_is_told_with_code_and_hint() {
    let store = TestStore::new();
    let empty = tempfile::tempdir().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    let run = |arguments: &[&str]| -> Output { attempt(program().args(arguments)) };
    let good = store.dir().to_str().expect("text");
    let bad = empty.path().to_str().expect("text");
    let cases: [(&[&str], i32, &str); 7] = [
        (&["--store", "/nonexistent", "--listen", "127.0.0.1:0"], 2, "error[SL0301]: `/nonexistent`"),
        (&["--store", bad, "--listen", "127.0.0.1:0"], 2, "hint: "),
        (&["--store", good, "--listen", &taken], 1, "error[SL0601]: cannot listen on 127.0.0.1"),
        (&["--store", good, "--listen", "192.0.2.1:80"], 1, "hint: use an address of this machine"),
        (&["--store", good, "--listen", "localhost"], 2, "invalid value"),
        (&["--store", good, "--tls-cert", "x"], 2, "--tls-key"),
        (&["--store", good, "--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"], 1, "error[SL0699]: "),
    ];
    for (arguments, status, expected) in cases {
        let output = run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}
