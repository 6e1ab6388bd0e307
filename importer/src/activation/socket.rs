//! The way to root: [`Socket`] asks, `sealiftctl host-helper` answers.
//!
//! One connection is one action: a line of JSON there, a line of JSON back. systemd listens, and starts a helper for each
//! connection with the connection as its standard input (`Accept=yes`, `StandardInput=socket`). What the helper runs stands
//! in its own configuration, which only root writes; who asks is told by the kernel. When the connection ends, so does what
//! it has started.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::net::sockopt::socket_peercred;
use sealift_archive::{Error as ArchiveError, Progress};
use sealift_store::Store;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Action, Error, Host, Trouble};

/// Where the helper is asked if the configuration does not say it.
pub const DEFAULT_SOCKET: &str = "/run/sealift/host.sock";
/// Longest line, in bytes. Ours are about 100 there and 5,000 back.
const MAX_LINE_BYTES: usize = 64 << 10;
/// How often somebody who waits looks whether to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long the helper waits for a question.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a line may take to be taken from us.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the helper says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase")]
enum Answer {
    /// It is done.
    Done {
        /// The last words.
        said: String,
    },
    /// It failed.
    Failed {
        /// In these words.
        why: String,
    },
    /// It was not tried, or not to the end.
    Halted {
        /// Why.
        why: String,
    },
}

/// Asks the helper.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
}

impl Socket {
    /// Behind this socket.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn trouble(&self, why: impl Into<String>) -> Trouble {
        Error::Helper { socket: self.path.clone(), why: why.into() }.into()
    }
}

impl Host for Socket {
    fn act(&self, action: &Action, progress: &dyn Progress) -> Result<String, Trouble> {
        let stream = UnixStream::connect(&self.path);
        let mut stream = stream.map_err(|error| self.trouble(format!("cannot be reached: {error}")))?;
        let sent = send(&mut stream, action);
        // A helper that refuses us may answer before it has read anything.
        let answer = receive(&mut stream, || progress.go_on());
        match answer {
            Ok(Some(Answer::Done { said })) => Ok(said),
            Ok(Some(Answer::Failed { why })) => Err(Trouble::Failed(why)),
            Ok(Some(Answer::Halted { why })) => Err(self.trouble(format!("says: {why}"))),
            Ok(None) => match sent {
                Ok(()) => Err(self.trouble("went away without an answer")),
                Err(error) => Err(self.trouble(format!("cannot be asked: {error}"))),
            },
            Err(Broken::Stopped(error)) => Err(error.into()),
            Err(Broken::Io(error)) => Err(self.trouble(format!("cannot be understood: {error}"))),
        }
    }
}

/// Answers the one question that comes over this connection. Only root and the owner of the store may ask.
///
/// # Errors
/// [`Error::HelperRefuses`], or the connection's; whoever asked is told as well.
pub fn answer(mut stream: UnixStream, store: &Store, host: &dyn Host) -> Result<(), crate::Error> {
    let asked = expect_allowed(&stream, store).and_then(|()| question(&mut stream));
    let action = match asked {
        Ok(action) => action,
        Err(error) => {
            // If nobody listens any more, the refusal stands in our own log.
            let _ = send(&mut stream, &Answer::Halted { why: error.to_string() });
            return Err(error.into());
        }
    };
    let watch = Connection { stream: stream.try_clone()? };
    let answer = match host.act(&action, &watch) {
        Ok(said) => Answer::Done { said },
        Err(Trouble::Failed(why)) => Answer::Failed { why },
        Err(Trouble::Halted(error)) => Answer::Halted { why: sealift_archive::report(&error) },
    };
    Ok(send(&mut stream, &answer)?)
}

fn expect_allowed(stream: &UnixStream, store: &Store) -> Result<(), Error> {
    let refuse = |why: String| Error::HelperRefuses { why };
    let peer = socket_peercred(stream).map_err(|error| refuse(format!("nobody knows who asks: {error}")))?;
    let owner = fs::metadata(store.root()).map_err(|error| refuse(error.to_string()))?.uid();
    match peer.uid.as_raw() {
        uid if may_ask(uid, owner) => Ok(()),
        uid => {
            Err(refuse(format!("user {uid} is neither root nor the owner of `{}`", store.root().display())))
        }
    }
}

/// Whether a user may ask, given whose store it is.
fn may_ask(uid: u32, owner: u32) -> bool {
    uid == 0 || uid == owner
}

fn question(stream: &mut UnixStream) -> Result<Action, Error> {
    let deadline = Instant::now() + QUESTION_TIMEOUT;
    let refuse = |why: String| Error::HelperRefuses { why };
    let go_on = || if Instant::now() < deadline { Ok(()) } else { Err(ArchiveError::Interrupted) };
    match receive(stream, go_on) {
        Ok(Some(action)) => Ok(action),
        Ok(None) => Err(refuse("no question came".to_owned())),
        Err(Broken::Stopped(_)) => {
            Err(refuse(format!("no question came within {} s", QUESTION_TIMEOUT.as_secs())))
        }
        Err(Broken::Io(error)) => Err(refuse(format!("the question cannot be understood: {error}"))),
    }
}

/// Whether whoever asked is still there.
struct Connection {
    stream: UnixStream,
}

impl Progress for Connection {
    fn advance(&self, _: u64) {}

    fn is_interrupted(&self) -> bool {
        let is_over = |read: io::Result<usize>| match read {
            // It has said all; only an end is news.
            Ok(read) => read == 0,
            Err(error) => !is_wait(&error),
        };
        let ready = self.stream.set_nonblocking(true);
        let over = ready.is_err() || is_over((&self.stream).read(&mut [0; 64]));
        over || self.stream.set_nonblocking(false).is_err()
    }
}

/// Why no line came.
enum Broken {
    Stopped(ArchiveError),
    Io(io::Error),
}

fn send(stream: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    stream.write_all(&line)
}

/// The value on the next line, if one comes before the other side closes.
fn receive<T: DeserializeOwned>(
    stream: &mut UnixStream,
    go_on: impl Fn() -> Result<(), ArchiveError>,
) -> Result<Option<T>, Broken> {
    stream.set_read_timeout(Some(POLL_INTERVAL)).map_err(Broken::Io)?;
    let (mut line, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return Ok(None),
            Ok(read) => line.extend_from_slice(&piece[..read]),
            Err(error) if is_wait(&error) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(Broken::Io(error)),
        }
        if let Some(end) = line.iter().position(|&byte| byte == b'\n') {
            return serde_json::from_slice(&line[..end]).map(Some).map_err(|error| Broken::Io(error.into()));
        }
        if line.len() > MAX_LINE_BYTES {
            return Err(Broken::Io(io::Error::other(format!(
                "more than {MAX_LINE_BYTES} bytes on one line"
            ))));
        }
        go_on().map_err(Broken::Stopped)?;
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_owner_of_the_store_may_ask() {
        let cases = [(0, 998, true), (998, 998, true), (1000, 998, false), (1000, 0, false), (0, 0, true)];
        for (uid, owner, may) in cases {
            assert_eq!(may_ask(uid, owner), may, "{uid} of a store of {owner}");
        }
    }
}
