//! `git upload-pack` as a child process: few at a time, for a limited time, in an environment that we made.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::HeaderMap;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use rustix::process::{Pid, Signal, kill_process_group};
use sealift_archive::{RepositoryName, Sequence};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::turns::{Turn, Turns};
use super::{advertisement, body, packet};

/// How many children may run at once. Each may keep a core busy for a while.
const MAX_CHILDREN: usize = 8;
/// How many of them for one address. Whoever does not read what a child says holds it up, so some are always for others.
const MAX_CHILDREN_OF_ONE: usize = 6;
/// How many requests may be on their way to us at once, and how many of them from one address. As long as one is, its connection
/// has a place that nobody else gets ([`crate::places`]), so it is a small part of them.
const MAX_RECEIVING: usize = 128;
const MAX_RECEIVING_OF_ONE: usize = 32;
/// How many requests may be large at once, and how many of them from one address.
const MAX_LARGE: usize = 4;
const MAX_LARGE_OF_ONE: usize = 2;
/// How long a child may run, however slowly its client reads. Of a client that does not read at all the connection ends.
const RUN_LIMIT: Duration = Duration::from_secs(5 * 60);
/// Largest piece of a child's output in memory at a time, in bytes.
const PIECE_BYTES: usize = 64 << 10;
/// How much of what a child says about its failure is kept, in bytes.
const MAX_SAID_BYTES: u64 = 2 << 10;

/// Where `git` is looked for.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Runs `git upload-pack` for clients.
#[derive(Debug)]
pub(crate) struct UploadPack {
    turns: Turns,
    receiving: Turns,
    large: Turns,
}

/// What a client wants to read.
#[derive(Debug)]
pub(crate) struct Question {
    /// The repository, for messages.
    pub(crate) repository: RepositoryName,
    /// Where it lies.
    pub(crate) dir: PathBuf,
    /// The release whose refs are shown.
    pub(crate) namespace: Sequence,
    /// Whether the client speaks protocol version 2.
    pub(crate) version_2: bool,
    /// The client's address.
    pub(crate) client: IpAddr,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Error {
    /// The request's body was refused.
    Body(body::Error),
    /// Too many children for too long.
    Busy,
    /// The child could not be run, or failed before it said anything.
    Failed(crate::Error),
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        Self::Failed(error)
    }
}

impl UploadPack {
    /// No child runs yet.
    pub(crate) fn new() -> Self {
        let turns = Turns::new(MAX_CHILDREN, MAX_CHILDREN_OF_ONE);
        let receiving = Turns::new(MAX_RECEIVING, MAX_RECEIVING_OF_ONE);
        Self { turns, receiving, large: Turns::new(MAX_LARGE, MAX_LARGE_OF_ONE) }
    }

    /// How many children run, or are about to.
    pub(crate) fn running(&self) -> usize {
        self.turns.taken()
    }

    /// The refs and what the server can do.
    pub(crate) async fn advertise(&self, question: &Question) -> Result<Answer, Error> {
        let turn = self.turn(question).await?;
        let mut running = Running::start(question, turn, &["--advertise-refs"], None)?;
        let first = running.first_packet().await?;
        Ok(Answer { first: advertisement::rewrite_first(&first).into(), running })
    }

    /// The answer to one request of a fetch.
    pub(crate) async fn negotiate(
        &self,
        question: &Question,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Answer, Error> {
        let receiving = self.receiving.try_take(question.client).ok_or(Error::Busy)?;
        let received = body::receive(headers, body, question.client, &self.large).await;
        let received = received.map_err(Error::Body)?;
        drop(receiving);
        let turn = self.turn(question).await?;
        // Not before: what is small as it arrives may be large.
        let request = received.open().map_err(Error::Body)?;
        let mut running = Running::start(question, turn, &[], Some(request))?;
        let first = match running.next_piece().await? {
            Some(first) => first,
            // A client may ask for nothing, to see whether it is let in; then this is no failure.
            None => running.end().await.map(|()| Bytes::new())?,
        };
        running.has_refused = packet::is_refusal(&first);
        Ok(Answer { first, running })
    }

    async fn turn(&self, question: &Question) -> Result<Turn, Error> {
        self.turns.take(question.client).await.ok_or(Error::Busy)
    }
}

/// What a child answers: a beginning in hand, the rest as it comes.
#[derive(Debug)]
pub(crate) struct Answer {
    first: Bytes,
    running: Running,
}

impl Answer {
    /// The answer as a body. If the child fails on the way the body ends with an error, so the connection is cut and
    /// no client takes half an answer for a whole one.
    pub(crate) fn into_body(self) -> Body {
        let first = stream::iter([Ok(self.first)]);
        let rest = stream::try_unfold(self.running, |mut running| async {
            match running.next_piece().await? {
                Some(piece) => Ok(Some((piece, running))),
                None => running.end().await.map(|()| None),
            }
        });
        Body::from_stream(first.chain(rest.inspect_err(crate::Error::log)))
    }
}

/// A child process that ends, with all its own children, when this is dropped.
#[derive(Debug)]
struct Running {
    repository: RepositoryName,
    child: Child,
    output: ChildStdout,
    said: Option<JoinHandle<String>>,
    /// It has told the client itself why there is no more, so its failure is no news.
    has_refused: bool,
    deadline: Instant,
    _turn: Turn,
}

impl Running {
    fn start(
        question: &Question,
        turn: Turn,
        arguments: &[&str],
        input: Option<Vec<u8>>,
    ) -> Result<Self, crate::Error> {
        let repository = question.repository.clone();
        let failed = |source| crate::Error::NoGit { repository: repository.clone(), source };
        let mut child = command(question)
            .args(arguments)
            .arg(&question.dir)
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .spawn()
            .map_err(failed)?;
        if let (Some(request), Some(pipe)) = (input, child.stdin.take()) {
            tokio::spawn(feed(pipe, request));
        }
        let (Some(output), Some(complaints)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(failed(io::Error::other("its output is not a pipe")));
        };
        let said = Some(tokio::spawn(listen(complaints)));
        let deadline = Instant::now() + RUN_LIMIT;
        Ok(Self { repository, child, output, said, has_refused: false, deadline, _turn: turn })
    }

    /// The first packet of an advertisement. That there is none is a failure.
    async fn first_packet(&mut self) -> Result<Vec<u8>, crate::Error> {
        match timeout_at(self.deadline, packet::read(&mut self.output)).await {
            Ok(Ok(Some(first))) => Ok(first),
            Ok(Ok(None)) => {
                self.end().await?;
                Err(self.broken(io::ErrorKind::UnexpectedEof.into()))
            }
            Ok(Err(error)) => Err(self.broken(error)),
            Err(late) => Err(self.broken(late.into())),
        }
    }

    /// The next bytes; none when the child has no more to say.
    async fn next_piece(&mut self) -> Result<Option<Bytes>, crate::Error> {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        match timeout_at(self.deadline, self.output.read_buf(&mut piece)).await {
            Ok(Ok(0)) => Ok(None),
            Ok(Ok(_)) => Ok(Some(piece.into())),
            Ok(Err(error)) => Err(self.broken(error)),
            Err(late) => Err(self.broken(late.into())),
        }
    }

    /// Waits for the child to end, and says whether it did its work.
    async fn end(&mut self) -> Result<(), crate::Error> {
        let status = match timeout_at(self.deadline, self.child.wait()).await {
            Ok(Ok(status)) if status.success() || self.has_refused => return Ok(()),
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return Err(self.broken(error)),
            Err(late) => return Err(self.broken(late.into())),
        };
        let said = match self.said.take() {
            Some(said) => said.await.unwrap_or_default(),
            None => String::new(),
        };
        Err(crate::Error::Git { repository: self.repository.clone(), status, said })
    }

    fn broken(&self, source: io::Error) -> crate::Error {
        crate::Error::NoGit { repository: self.repository.clone(), source }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Tokio would kill the child alone, and leave the `pack-objects` behind that it has started. There is an id
        // only as long as nobody has waited for the child, so it cannot have become somebody else's.
        let group = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            // If there is no such group any more, there is nothing to end.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// `git upload-pack` in an environment of which nothing is inherited.
fn command(question: &Question) -> Command {
    let dir = question.dir.as_os_str();
    let mut command = Command::new("git");
    command
        .args(["upload-pack", "--strict", "--stateless-rpc"])
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        // Neither this machine's configuration nor anybody's.
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_NAMESPACE", question.namespace.to_string())
        .env("GIT_CONFIG_COUNT", "3")
        // What was advertised before an activation may be asked for after it.
        .env("GIT_CONFIG_KEY_0", "uploadpack.allowAnySHA1InWant")
        .env("GIT_CONFIG_VALUE_0", "true")
        // The store may belong to another user than the one who serves it.
        .env("GIT_CONFIG_KEY_1", "safe.directory")
        .env("GIT_CONFIG_VALUE_1", dir)
        // How many children run is our decision; how many threads each has must not multiply it.
        .env("GIT_CONFIG_KEY_2", "pack.threads")
        .env("GIT_CONFIG_VALUE_2", "1")
        .current_dir("/")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if question.version_2 {
        command.env("GIT_PROTOCOL", "version=2");
    }
    command
}

/// Hands the request over. A child that ends before it has read everything says itself why.
async fn feed(mut pipe: ChildStdin, request: Vec<u8>) {
    if let Err(error) = pipe.write_all(&request).await {
        tracing::debug!(%error, "git upload-pack did not read its request");
    }
}

/// Keeps the beginning of what a child complains about, and lets it say the rest to nobody.
async fn listen(mut complaints: tokio::process::ChildStderr) -> String {
    let mut said = Vec::new();
    let heard = (&mut complaints).take(MAX_SAID_BYTES).read_to_end(&mut said).await;
    if heard.is_ok() {
        // Whether the rest can be read makes no difference: it is only taken so that the child is not held up.
        let _ = tokio::io::copy(&mut complaints, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&said).trim().replace('\n', "; ")
}
