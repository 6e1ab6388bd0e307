//! Stopping: because somebody asked for it, or because something failed and the rest is in vain.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use sealift_archive::Progress;
use tokio::sync::watch;

use crate::error::Error;

/// How often a [`Progress`] is asked whether somebody wants to stop: a person takes it for at once.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// Everything goes on.
    Going,
    /// What is under way is finished, and nothing new is begun.
    Ending,
    /// Everything stops where it is.
    Interrupted,
}

/// What the parts of one run tell each other about stopping.
#[derive(Debug)]
pub(crate) struct Stop(watch::Sender<State>);

impl Stop {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(State::Going))
    }

    /// Nothing new is to be begun.
    pub(crate) fn begin_nothing(&self) {
        self.0.send_modify(|state| *state = State::Ending.max(*state));
    }

    /// Whether something new may be begun.
    pub(crate) fn may_begin(&self) -> bool {
        *self.0.borrow() == State::Going
    }

    /// Waits until everything has to stop, and is the error that says so.
    pub(crate) async fn interrupted(&self) -> Error {
        // The sender is `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|state| *state == State::Interrupted).await;
        sealift_archive::Error::Interrupted.into()
    }

    /// Whether everything has to stop.
    pub(crate) fn is_interrupted(&self) -> bool {
        *self.0.borrow() == State::Interrupted
    }

    /// Watches for somebody who asks to stop; to be run beside the work.
    pub(crate) async fn watch(&self, progress: &dyn Progress) -> Infallible {
        interruption(progress).await;
        self.0.send_replace(State::Interrupted);
        std::future::pending().await
    }
}

/// Does `work`, and drops it when somebody asks to stop.
///
/// # Errors
/// The work's own, or `Interrupted`.
pub async fn unless_interrupted<T, E: From<sealift_archive::Error>>(
    progress: &dyn Progress,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::select! {
        result = work => result,
        () = interruption(progress) => Err(sealift_archive::Error::Interrupted.into()),
    }
}

async fn interruption(progress: &dyn Progress) {
    while !progress.is_interrupted() {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
