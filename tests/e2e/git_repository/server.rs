//! A Git server on loopback: `git http-backend` behind a door that may want a password.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// What is asked of whoever comes.
#[derive(Clone, Copy)]
pub(crate) enum Door {
    Open,
    /// A user name and a password.
    Locked(&'static str, &'static str),
    /// Nobody ever gets an answer.
    Silent,
}

/// Serves the repositories below a directory; ended when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(root: &Path, door: Door) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stopped = Arc::new(AtomicBool::new(false));
        let (root, seen) = (root.to_owned(), stopped.clone());
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                let root = root.clone();
                // Whoever hangs up in the middle has a reason, and the test tells it.
                std::thread::spawn(move || drop(answer(stream, &root, door)));
            }
        });
        Self { address, stopped, thread: Some(thread) }
    }

    /// The address of a repository.
    pub(crate) fn url(&self, repository: &str) -> String {
        format!("http://{}/{repository}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes whoever waits for the next client.
        drop(TcpStream::connect(self.address));
        self.thread.take().map(JoinHandle::join);
    }
}

/// Answers one request, and hangs up (RFC 3875 to the other side).
fn answer(mut stream: TcpStream, root: &Path, door: Door) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    match door {
        Door::Open => {}
        // Until the client gives up.
        Door::Silent => return stream.read_to_end(&mut Vec::new()).map(drop),
        Door::Locked(user, password) => {
            let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
            if header("authorization") != expected {
                return stream.write_all(
                    b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\n\
                      Content-Length: 0\r\nConnection: close\r\n\r\n",
                );
            }
        }
    }
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let length = header("content-length");
    let mut body = vec![0; length.parse().unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let mut backend = Command::new("git");
    backend.arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    backend.env("REQUEST_METHOD", method).env("PATH_INFO", path).env("QUERY_STRING", query);
    backend.env("CONTENT_LENGTH", &length).env("CONTENT_TYPE", header("content-type"));
    backend.env("HTTP_CONTENT_ENCODING", header("content-encoding"));
    backend.env("GIT_PROTOCOL", header("git-protocol"));
    backend
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut backend = backend.spawn()?;
    if let Some(mut stdin) = backend.stdin.take() {
        stdin.write_all(&body)?;
    }
    let output = backend.wait_with_output()?.stdout;
    let text = String::from_utf8_lossy(&output[..output.len().min(1000)]).into_owned();
    let status = text.strip_prefix("Status: ").and_then(|rest| rest.lines().next()).unwrap_or("200 OK");
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n")?;
    stream.write_all(&output)
}
