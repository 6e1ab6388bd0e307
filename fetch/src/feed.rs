//! From the network to the disk: a writer on a thread of its own, fed through a short queue.
//!
//! Writers hash and write, which must not happen where the network is served. The queue is what makes memory
//! bounded: a slow disk fills it, and then nothing more is read from the network.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sealift_archive::{Blob, BlobSink, Error, Progress};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::crew::{Crew, Ending};

/// Pieces that wait for one writer. Pieces are up to some 400 KiB, the HTTP library's largest read.
pub(crate) const QUEUED_PIECES: usize = 8;
/// Bytes that wait for all writers together.
const QUEUED_BYTES: usize = 8 << 20;

/// Bounds what waits for all writers of a client together.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(QUEUED_BYTES)))
    }

    /// Waits until so many bytes may wait; they do as long as the permit lives.
    pub(crate) async fn take(&self, bytes: usize) -> OwnedSemaphorePermit {
        let bytes = u32::try_from(bytes.min(QUEUED_BYTES)).unwrap_or(u32::MAX);
        Arc::clone(&self.0).acquire_many_owned(bytes).await.expect("nobody closes this semaphore")
    }
}

/// Tells progress, and each byte only once: one that comes again after a restart is not told again.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<AtomicU64>);

impl Told {
    pub(crate) fn position(&self, position: u64, progress: &dyn Progress) {
        let before = self.0.fetch_max(position, Ordering::Relaxed);
        if position > before {
            progress.advance(position - before);
        }
    }
}

enum Step {
    Write(Bytes, OwnedSemaphorePermit),
    Restart,
    Finish,
}

/// One blob on its way into a sink.
pub(crate) struct Feed {
    position: u64,
    steps: mpsc::Sender<Step>,
    /// None once it has been waited for.
    writer: Option<Ending>,
    budget: Budget,
}

impl Feed {
    /// Opens the blob's writer, which may have a part of it already.
    pub(crate) async fn open(crew: &Crew, blob: Blob, told: Told, budget: Budget) -> Result<Self, Error> {
        let (opened, position) = oneshot::channel();
        let (steps, queue) = mpsc::channel(QUEUED_PIECES);
        let writer = crew.begin(Job { blob, told, opened, queue }).await;
        let mut feed = Self { position: 0, steps, writer: Some(writer), budget };
        match position.await {
            Ok(position) => Ok(Self { position, ..feed }),
            // It ended before it told its position, so it has an error.
            Err(_) => Err(feed.end().await.err().unwrap_or(Error::Interrupted)),
        }
    }

    /// The offset of the next byte.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Appends bytes; waits if the writer is behind.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let len = bytes.len();
        let permit = self.budget.take(len).await;
        self.step(Step::Write(bytes, permit)).await?;
        self.position += len as u64;
        Ok(())
    }

    /// Begins again at offset 0.
    pub(crate) async fn restart(&mut self) -> Result<(), Error> {
        self.step(Step::Restart).await?;
        self.position = 0;
        Ok(())
    }

    /// Has the blob checked and kept.
    pub(crate) async fn finish(mut self) -> Result<(), Error> {
        self.step(Step::Finish).await?;
        self.end().await
    }

    /// Stops here, and waits until what has come is with the sink, where a later try finds it.
    pub(crate) async fn close(self) {
        drop(self.steps);
        if let Some(writer) = self.writer {
            // Whatever went wrong first is what is told; that closing failed as well adds nothing.
            let _ = writer.await;
        }
    }

    async fn step(&mut self, step: Step) -> Result<(), Error> {
        if self.steps.send(step).await.is_ok() {
            return Ok(());
        }
        // The writer is gone, and only an error makes it go.
        Err(self.end().await.err().unwrap_or(Error::Interrupted))
    }

    /// The writer's result, once.
    async fn end(&mut self) -> Result<(), Error> {
        let Some(writer) = &mut self.writer else { return Err(Error::Interrupted) };
        let result = writer.await;
        self.writer = None;
        result
    }
}

/// What a writer's thread has to do.
pub(crate) struct Job {
    blob: Blob,
    told: Told,
    opened: oneshot::Sender<u64>,
    queue: mpsc::Receiver<Step>,
}

impl Job {
    /// Does the steps until it is told to finish or nobody is left to tell it anything.
    pub(crate) fn run(self, sink: &dyn BlobSink, progress: &dyn Progress) -> Result<(), Error> {
        let Self { blob, told, opened, mut queue } = self;
        let mut writer = sink.open(blob)?;
        told.position(writer.position(), progress);
        // If nobody waits any more, the queue is empty as well.
        let _ = opened.send(writer.position());
        while let Some(step) = queue.blocking_recv() {
            match step {
                Step::Write(bytes, permit) => {
                    writer.write(&bytes)?;
                    drop(permit);
                    told.position(writer.position(), progress);
                }
                Step::Restart => writer.restart()?,
                Step::Finish => return writer.finish(),
            }
        }
        Ok(())
    }
}
