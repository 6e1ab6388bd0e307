//! Whose threads write what is fetched, and where to.
//!
//! Writers block, so each runs on a thread that serves no network. Whoever shares its sink leaves them to tokio; whoever
//! only lends it gets threads that end before it has to take the sink back.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use sealift_archive::{BlobSink, Error, Progress};
use tokio::sync::{mpsc, oneshot};

use crate::feed::Job;

/// What becomes of a writer. It panics if the writer did.
pub(crate) type Ending = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Threads for writers.
pub(crate) enum Crew {
    /// Tokio's for blocking work.
    Shared {
        /// Where content goes.
        sink: Arc<dyn BlobSink + Send + Sync>,
        /// Who is told.
        progress: Arc<dyn Progress>,
    },
    /// Those of [`lend`], which wait for something to do.
    Lent(mpsc::Sender<Order>),
}

/// A job, and who waits for its end.
type Order = (Job, oneshot::Sender<Result<(), Error>>);

impl Crew {
    /// Has a job begun, as soon as there is a thread for it.
    pub(crate) async fn begin(&self, job: Job) -> Ending {
        match self {
            Self::Shared { sink, progress } => {
                let (sink, progress) = (Arc::clone(sink), Arc::clone(progress));
                let task = tokio::task::spawn_blocking(move || job.run(&*sink, &*progress));
                Box::pin(async {
                    match task.await {
                        Ok(result) => result,
                        Err(error) => match error.try_into_panic() {
                            Ok(panic) => std::panic::resume_unwind(panic),
                            // The runtime is shutting down.
                            Err(_) => Err(Error::Interrupted),
                        },
                    }
                })
            }
            Self::Lent(orders) => {
                let (ended, end) = oneshot::channel();
                // Without threads the order is dropped with its sender, and its end says so.
                let _ = orders.send((job, ended)).await;
                // Nobody answers after a panic, which goes on where the threads are waited for.
                Box::pin(async { end.await.unwrap_or(Err(Error::Interrupted)) })
            }
        }
    }
}

/// Does `work` with a crew of so many threads, which write into a sink that they borrow.
pub(crate) fn lend<T>(
    threads: usize,
    sink: &dyn BlobSink,
    progress: &dyn Progress,
    work: impl FnOnce(Crew) -> Result<T, crate::Error>,
) -> Result<T, crate::Error> {
    let (orders, waiting) = mpsc::channel::<Order>(1);
    let waiting = &Mutex::new(waiting);
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
    // The sender goes into the scope: when it goes, the threads do.
    thread::scope(move |scope| {
        for _ in 0..threads.max(1) {
            let write = move || {
                while let Some((job, ended)) = next() {
                    // If nobody waits any more, the error was told already.
                    let _ = ended.send(job.run(sink, progress));
                }
            };
            thread::Builder::new()
                .name("write".to_owned())
                .spawn_scoped(scope, write)
                .map_err(Error::from)?;
        }
        work(Crew::Lent(orders))
    })
}
