//! How long work tells that it goes on, and learns that it should stop.

use crate::Error;

/// Watches work on many bytes. Implemented by a progress bar, by a log line, by a test.
pub trait Progress: Send + Sync {
    /// `bytes` more are done.
    fn advance(&self, bytes: u64);

    /// Whether somebody asked to stop.
    fn is_interrupted(&self) -> bool {
        false
    }

    /// Stops the work if somebody asked for it.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    fn go_on(&self) -> Result<(), Error> {
        if self.is_interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn advance(&self, _: u64) {}
}
