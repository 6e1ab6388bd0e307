//! As a service of systemd, which a test plays: a socket handed over, messages on a Unix socket, and what is logged.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use sealift_archive::Digest;
use sealift_store::{Agreed, Store};
use serde_json::Value;
use time::OffsetDateTime;

use crate::fixture::{Content, TestStore, attempt};
use crate::program::{Running, read_some};

/// How long a message may take to come.
const MESSAGE_DEADLINE: Duration = Duration::from_secs(20);

/// systemd's end of the socket for messages.
struct Systemd {
    socket: UnixDatagram,
    dir: tempfile::TempDir,
}

impl Systemd {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = UnixDatagram::bind(dir.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(MESSAGE_DEADLINE)).expect("a deadline");
        Self { socket, dir }
    }

    /// The program as systemd starts it, with this socket as its only one.
    fn start(&self, socket: TcpListener, store: &Path, arguments: &str) -> Command {
        // As a unit does, the shell puts the socket where the protocol wants it, and says for whom it is.
        let script = format!("exec env LISTEN_FDS=1 LISTEN_PID=$$ \"$0\" {arguments} 3<&0 </dev/null");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_sealift-registry")]);
        command.stdin(Stdio::from(OwnedFd::from(socket)));
        command.env("SEALIFT_STORE", store).env("NOTIFY_SOCKET", self.dir.path().join("notify"));
        command
    }

    fn hears(&self) -> String {
        let mut message = [0; 4096];
        let length = read_some(&self.socket, &mut message).expect("a message in time");
        String::from_utf8_lossy(&message[..length]).into_owned()
    }
}

async fn get(url: &str) -> u16 {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    client.get(url).send().await.expect("an answer").status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_hands_over_a_socket_and_hears_how_it_goes() {
    let (store, systemd) = (TestStore::new(), Systemd::new());
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", socket.local_addr().expect("an address"));
    // Whoever comes before the program is there waits for it.
    let early = tokio::spawn({
        let url = format!("{url}/healthz");
        async move { get(&url).await }
    });
    let mut command = systemd.start(socket, store.dir(), "--listen 192.0.2.1:1");
    // As in a file of settings of which some are left empty.
    let settings =
        ["ALLOW", "CLIENT_CA", "NAMES", "ADDRESSES"].map(|name| format!("SEALIFT_REGISTRY_{name}"));
    command.envs(settings.map(|name| (name, ""))).env("WATCHDOG_USEC", "300000");
    let (running, urls) = Running::start(&mut command);
    assert_eq!(urls, [url.as_str()], "it listens there and nowhere else");
    assert_eq!(early.await.expect("it is asked"), 200);
    assert_eq!(systemd.hears(), format!("READY=1\nSTATUS=listening on {url}\n"));
    for _ in 0..3 {
        assert_eq!(systemd.hears(), "WATCHDOG=1\n");
    }
    running.signal(Signal::TERM);
    let last = std::iter::repeat_with(|| systemd.hears()).find(|message| message != "WATCHDOG=1\n");
    assert_eq!(last.as_deref(), Some("STOPPING=1\n"));
    let (status, log) = running.end();
    assert_eq!(status, Some(0), "{log}");
}

#[test]
fn what_cannot_be_served_on_is_told() {
    let (store, systemd) = (TestStore::new(), Systemd::new());
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut command = systemd.start(socket, store.dir(), "");
    let file = fs_err::File::open("/dev/null").expect("a file").into_parts().0;
    let output = attempt(command.stdin(Stdio::from(file)));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("error[SL0624]") && said.contains("hint: `ListenStream="), "{said}");
}

/// The program as its unit runs it as far as boots are concerned: it sees no more of `/proc` than processes, and is told what
/// this boot is called. Needs root.
fn in_this_boot(boot: &str, store: &Path) -> Command {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/units/sealift-registry.service");
    let unit = fs_err::read_to_string(unit).expect("the unit");
    assert!(unit.lines().any(|line| line == "ProcSubset=pid"), "else there is nothing to be told");
    let variable = unit.lines().find_map(|line| line.strip_prefix("Environment=")?.strip_suffix("=%b"));
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--fork",
        "--kill-child",
        "sh",
        "-c",
        "mount -t proc -o subset=pid proc /proc && exec \"$0\" \"$@\"",
    ]);
    command.arg(env!("CARGO_BIN_EXE_sealift-registry")).args(["--listen", "127.0.0.1:0", "--store"]);
    command.arg(store).env(variable.expect("the boot's name"), boot);
    command
}

/// After a start of the machine, Git waits until other nodes were heard; so one start has to be known from the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_knows_which_boot_it_is() {
    const THIS: &str = "0123456789abcdef0123456789abcdef";
    const BEFORE: &str = "fedcba9876543210fedcba9876543210";
    let store = TestStore::new();
    store.git_release(1, "active", "fleet", "one");
    store.point_at(1);
    let own = fs_err::read(store.release_dir(1).join("release.json")).expect("the statement");
    let heard_in = |boot: &str| {
        let (releases, time) = (vec![Digest::of(&own)], OffsetDateTime::UNIX_EPOCH);
        let agreed = Agreed { releases, boot_id: boot.to_owned(), time, nodes: Vec::new() };
        Store::open(store.dir()).expect("the store").write_agreed(&agreed).expect("it is written");
    };
    heard_in(BEFORE);
    let (_running, urls) = Running::start(&mut in_this_boot(THIS, store.dir()));
    let refs = format!("{}{}", urls[0], crate::git::REFS);
    assert_eq!(get(&refs).await, 503, "what was heard before the machine was started counts");
    heard_in(THIS);
    assert_eq!(get(&refs).await, 200, "it does not know its own boot");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_line_of_the_log_without_secrets() {
    let store = TestStore::new();
    store.add(1, "active", &Content::default().image("ghcr.io/acme/api:1", "api"));
    store.point_at(1);
    let mut command = crate::program::program();
    command.arg("--store").arg(store.dir()).args(["--listen", "127.0.0.1:0", "--log-format", "json"]);
    let (running, urls) = Running::start(command.env("RUST_LOG", "off,sealift_registry::access=debug"));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    for path in ["/v2/acme/api/manifests/1?ns=ghcr.io", "/v2/nothing/manifests/1?token=hidden"] {
        let request = client.get(format!("{}{path}", urls[0])).basic_auth("user", Some("hidden"));
        request.send().await.expect("an answer").bytes().await.expect("all of it");
    }
    running.signal(Signal::TERM);
    let (_, log) = running.end();
    assert!(!log.contains("hidden"), "{log}");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            let fields = &line["fields"];
            assert!(fields["micros"].is_u64() && fields["client"] == "127.0.0.1", "{line}");
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            (text(&line["level"]), text(&fields["method"]), text(&fields["path"]), fields["status"].as_u64())
        })
        .collect();
    let line = |level: &str, path: &str, status| (level.into(), "GET".into(), path.into(), Some(status));
    assert_eq!(
        told,
        [line("DEBUG", "/v2/acme/api/manifests/1", 200), line("INFO", "/v2/nothing/manifests/1", 404)]
    );
    assert_eq!(lines[0]["fields"]["bytes"], 3, "{log}");
}
