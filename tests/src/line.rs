//! The line to a vendor's registry, which can be taken away and come back.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// An address at which another one is reached, as long as the line is up.
///
/// A registry that is started again gets another port, and a lock names the old one; this address stays.
#[derive(Debug)]
pub struct Line {
    address: SocketAddr,
    upstream: SocketAddr,
    up: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Line {
    /// A line to `upstream`, which is up.
    #[must_use]
    pub fn to(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((own_loopback(), 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let mut line = Self { address, upstream, up: None };
        line.listen(listener);
        line
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes it away: who comes now is refused by the system, as if nobody were at home.
    pub fn take_down(&mut self) {
        let Some((ends, accepting)) = self.up.take() else { return };
        ends.store(true, Ordering::Relaxed);
        // A last connection, so that the thread sees it. If it failed, the thread would have ended already.
        let _ = TcpStream::connect(self.address);
        accepting.join().expect("the line does not panic");
    }

    /// Brings it back, at the same address.
    pub fn bring_up(&mut self) {
        let listener = TcpListener::bind(self.address).expect("the port that was ours");
        self.listen(listener);
    }

    fn listen(&mut self, listener: TcpListener) {
        let (ends, upstream) = (Arc::new(AtomicBool::new(false)), self.upstream);
        let seen = Arc::clone(&ends);
        let accepting = thread::spawn(move || {
            for client in listener.incoming() {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(client) = client {
                    // Ends when one of both sides hangs up, at the latest with the program that is tested.
                    thread::spawn(move || join(&client, upstream));
                }
            }
        });
        self.up = Some((ends, accepting));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.take_down();
    }
}

/// A loopback address that is this process's: on the usual one somebody else could get the port while the line is down.
fn own_loopback() -> Ipv4Addr {
    // Process numbers have 22 bits.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 128 | high, middle, low)
}

fn join(client: &TcpStream, upstream: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(upstream)?;
    thread::scope(|scope| {
        scope.spawn(|| carry(client, &server));
        carry(&server, client);
    });
    Ok(())
}

/// Carries one direction to its end. An error is an end too, which the other side sees as such.
fn carry(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
