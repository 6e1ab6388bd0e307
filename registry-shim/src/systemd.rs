//! What systemd and a service say to each other: sockets handed over, that all is ready, and signs of life.
//!
//! `sd_listen_fds(3)` and `sd_notify(3)`. A message is one datagram to a Unix socket, sent without connecting to it: our unit
//! forbids `connect` altogether, since a registry that is asked has nobody to ask.

use std::env;
use std::ffi::OsStr;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

use listenfd::ListenFd;
use tokio::time::{sleep, timeout};

use crate::Error;

/// How often a sign of life is given within the time after which its absence counts as death.
const SIGNS_IN_TIME: u32 = 3;

/// The sockets that systemd listens on for us; none if it was not asked to.
pub(crate) fn sockets() -> Result<Vec<TcpListener>, Error> {
    let mut handed_over = ListenFd::from_env();
    let count = handed_over.len();
    let take = |place| match handed_over.take_tcp_listener(place) {
        Ok(Some(listener)) => Ok(listener),
        Ok(None) => Err(Error::Sockets { why: format!("socket {place} is not there") }),
        Err(error) => Err(Error::Sockets { why: error.to_string() }),
    };
    (0..count).map(take).collect()
}

/// Where systemd listens to us, if it does.
#[derive(Debug)]
pub(crate) struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
}

impl Notifier {
    /// As the environment says.
    pub(crate) fn from_env() -> Self {
        let to = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        Self { to: to.and_then(|name| open(&name)) }
    }

    /// Everything is served now.
    pub(crate) fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}\n"));
    }

    /// The end has begun.
    pub(crate) fn stopping(&self) {
        self.say("STOPPING=1\n");
    }

    /// Gives a sign of life for as long as `is_well` says so, and in time. Never ends.
    pub(crate) async fn stay_alive(&self, limit: Duration, is_well: impl AsyncFn() -> bool) {
        let interval = limit / SIGNS_IN_TIME;
        loop {
            if timeout(interval, is_well()).await == Ok(true) {
                self.say("WATCHDOG=1\n");
            } else {
                tracing::error!("this registry does not answer itself; systemd is left to think so");
            }
            sleep(interval).await;
        }
    }

    fn say(&self, message: &str) {
        let Some((socket, to)) = &self.to else { return };
        if let Err(error) = socket.send_to_addr(message.as_bytes(), to) {
            tracing::warn!(%error, "systemd cannot be told");
        }
    }
}

/// Within which time systemd wants a sign of life, if at all.
pub(crate) fn watchdog_limit() -> Option<Duration> {
    let number = |name| env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if number("WATCHDOG_PID").is_some_and(|pid| pid != u64::from(process::id())) {
        return None;
    }
    number("WATCHDOG_USEC").filter(|micros| *micros > 0).map(Duration::from_micros)
}

fn open(name: &OsStr) -> Option<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        // A name without a file.
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(name),
    };
    let socket = UnixDatagram::unbound().and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
    match (socket, address) {
        (Ok(socket), Ok(address)) => Some((socket, address)),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(%error, "systemd cannot be told");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use tokio::sync::Notify;

    use super::*;

    fn notifier() -> (tempfile::TempDir, UnixDatagram, Notifier) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        systemd.set_nonblocking(true).unwrap();
        (dir, systemd, Notifier { to: open(path.as_os_str()) })
    }

    fn said(systemd: &UnixDatagram) -> String {
        let mut messages = String::new();
        let mut message = [0; 4096];
        while let Ok(length) = systemd.recv(&mut message) {
            messages.push_str(std::str::from_utf8(&message[..length]).unwrap());
        }
        messages
    }

    #[tokio::test]
    async fn a_sign_of_life_is_given_while_all_is_well_and_not_after() {
        let (_dir, systemd, notifier) = notifier();
        let (checks, enough) = (Cell::new(0), Notify::new());
        // Well three times, then not, and then there is no answer at all.
        let check = async || {
            checks.set(checks.get() + 1);
            match checks.get() {
                1..=3 => true,
                4 => false,
                5..8 => pending().await,
                _ => {
                    enough.notify_one();
                    pending().await
                }
            }
        };
        tokio::select! {
            () = notifier.stay_alive(Duration::from_millis(30), check) => {}
            () = enough.notified() => {}
        }
        assert_eq!(said(&systemd), "WATCHDOG=1\n".repeat(3));
    }

    #[test]
    fn messages_arrive_by_path_and_by_abstract_name() {
        let (_dir, systemd, notifier) = notifier();
        notifier.ready("listening");
        notifier.stopping();
        assert_eq!(said(&systemd), "READY=1\nSTATUS=listening\nSTOPPING=1\n");

        let name = format!("sealift-test-{}", process::id());
        let systemd = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        systemd.set_nonblocking(true).unwrap();
        Notifier { to: open(OsStr::new(&format!("@{name}"))) }.stopping();
        assert_eq!(said(&systemd), "STOPPING=1\n");
        // Nobody listens: nothing is said, and nothing breaks.
        drop(systemd);
        Notifier { to: open(OsStr::new(&format!("@{name}"))) }.stopping();
        Notifier { to: None }.ready("");
    }
}
