//! From the disk to the network: a blob's owner writes it on a thread of its own, into a short queue.
//!
//! The queue is what makes memory bounded: a slow network fills it, and then nothing more is read from the disk.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use sealift_archive::{Blob, Error, Progress};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::feed::Told;

/// Largest piece that is handed on, in bytes.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for the network.
const QUEUED_PIECES: usize = 8;

/// Content that can be sent, each blob from its beginning and as often as it takes.
pub trait Outgoing: Send + Sync {
    /// Writes a blob out. What `out` says is passed on: nobody may want the rest.
    ///
    /// # Errors
    /// I/O, or whatever is wrong with the blob.
    fn write_to(&self, blob: Blob, out: &mut dyn Write) -> Result<(), Error>;
}

/// One blob on its way out, from its first byte to its last.
pub(super) struct Supply {
    queue: tokio::sync::Mutex<Queue>,
    state: Mutex<State>,
    told: Told,
    progress: Arc<dyn Progress>,
}

struct Queue {
    pieces: mpsc::Receiver<Result<Bytes, Error>>,
    /// What is left of a piece that was cut.
    rest: Bytes,
    /// Bytes that were handed on.
    position: u64,
}

/// What is waited for, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiting {
    /// The network waits for the disk.
    Disk,
    /// The disk waits for the network, which took a piece at this time.
    Network(Instant),
    /// Everybody waits for the registry's answer.
    Answer(Instant),
}

struct State {
    waiting: Waiting,
    failure: Option<Error>,
}

impl Supply {
    /// Has the blob written from its first byte on.
    pub(super) fn open(
        content: Arc<dyn Outgoing>,
        blob: Blob,
        told: Told,
        progress: Arc<dyn Progress>,
    ) -> Arc<Self> {
        let (sender, pieces) = mpsc::channel(QUEUED_PIECES);
        tokio::task::spawn_blocking(move || {
            let mut pipe = Pipe { queue: sender, position: 0 };
            let end = match content.write_to(blob, &mut pipe) {
                Ok(()) if pipe.position == blob.size => return,
                Ok(()) => {
                    Error::WrongSize { digest: blob.digest, announced: blob.size, found: pipe.position }
                }
                Err(error) => error,
            };
            // If nobody takes it, nobody wanted the rest, and that is all that went wrong.
            let _ = pipe.queue.blocking_send(Err(end));
        });
        let queue = Queue { pieces, rest: Bytes::new(), position: 0 };
        let state = State { waiting: Waiting::Network(Instant::now()), failure: None };
        Arc::new(Self { queue: tokio::sync::Mutex::new(queue), state: Mutex::new(state), told, progress })
    }

    /// The next `bytes` bytes, as the body of a request that is made now.
    pub(super) fn body(
        self: &Arc<Self>,
        bytes: u64,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        self.wait_for_others(bytes);
        stream::unfold((Arc::clone(self), bytes), |(supply, left)| async move {
            if left == 0 {
                return None;
            }
            let piece = supply.next(left).await;
            let left = left - piece.as_ref().map_or(0, |piece| piece.len() as u64);
            supply.wait_for_others(left);
            Some((piece, (supply, left)))
        })
    }

    /// What is waited for.
    pub(super) fn waiting(&self) -> Waiting {
        self.state().waiting
    }

    /// What went wrong on the side of the disk, if anything did.
    pub(super) fn failure(&self) -> Option<Error> {
        self.state().failure.take()
    }

    async fn next(&self, most: u64) -> io::Result<Bytes> {
        let mut queue = self.queue.lock().await;
        if queue.rest.is_empty() {
            self.state().waiting = Waiting::Disk;
            queue.rest = match queue.pieces.recv().await {
                Some(Ok(piece)) => piece,
                end => {
                    // It is told by its owner's error; the network only hears that there is no more.
                    self.state().failure = Some(end.and_then(Result::err).unwrap_or(Error::Interrupted));
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            };
        }
        let len = queue.rest.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        let piece = queue.rest.split_to(len);
        queue.position += len as u64;
        self.told.position(queue.position, &*self.progress);
        Ok(piece)
    }

    /// It is no longer the disk that is waited for; `left` bytes of a request are still to be handed on.
    fn wait_for_others(&self, left: u64) {
        let now = Instant::now();
        self.state().waiting = if left == 0 { Waiting::Answer(now) } else { Waiting::Network(now) };
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a blob's owner writes to.
struct Pipe {
    queue: mpsc::Sender<Result<Bytes, Error>>,
    position: u64,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIECE_BYTES)];
        if !piece.is_empty() {
            let piece = Bytes::copy_from_slice(piece);
            self.queue.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        self.position += piece.len() as u64;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
