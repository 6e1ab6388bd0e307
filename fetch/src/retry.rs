//! Failures that may pass, and how long to wait for that.

use std::time::Duration;

use crate::error::Error;
use crate::options::Retry;

/// A try counts as progress if it brought this much, so that a server that sends a byte at a time cannot hold
/// us for ever.
const PROGRESS_BYTES: u64 = 256 << 10;

/// Why one try failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It would fail again.
    Final(Error),
    /// It may work the next time.
    Passing(Error),
}

impl Failure {
    /// What happened.
    pub(crate) fn error(&self) -> &Error {
        match self {
            Self::Final(error) | Self::Passing(error) => error,
        }
    }

    /// The same with another error.
    pub(crate) fn map(self, change: impl FnOnce(Error) -> Error) -> Self {
        match self {
            Self::Final(error) => Self::Final(change(error)),
            Self::Passing(error) => Self::Passing(change(error)),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl From<sealift_archive::Error> for Failure {
    fn from(error: sealift_archive::Error) -> Self {
        Self::Final(error.into())
    }
}

/// Counts the failures of one thing.
#[derive(Debug)]
pub(crate) struct Tries {
    policy: Retry,
    failed: u32,
}

impl Tries {
    pub(crate) fn new(policy: Retry) -> Self {
        Self { policy, failed: 0 }
    }

    /// `bytes` have come since the last failure.
    pub(crate) fn came(&mut self, bytes: u64) {
        if bytes >= PROGRESS_BYTES {
            self.failed = 0;
        }
    }

    /// Waits until the next try.
    ///
    /// # Errors
    /// The failure itself if it is final, and [`Error::GaveUp`] if there were enough tries.
    pub(crate) async fn wait(&mut self, failure: Failure) -> Result<(), Error> {
        let cause = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Passing(error) => error,
        };
        self.failed += 1;
        if self.failed >= self.policy.tries {
            return Err(Error::GaveUp { tries: self.failed, cause: Box::new(cause) });
        }
        let wait = self.pause(fastrand::f64());
        tracing::info!(%cause, failed = self.failed, ?wait, "trying again");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// The wait after the failures so far. `chance` in 0..1 spreads clients that failed together.
    fn pause(&self, chance: f64) -> Duration {
        let doublings = self.failed.saturating_sub(1).min(u32::BITS - 1);
        let full = self.policy.first_wait.saturating_mul(1 << doublings).min(self.policy.longest_wait);
        full.div_f64(2.0) + full.mul_f64(chance / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Retry = Retry {
        tries: 4,
        first_wait: Duration::from_millis(100),
        longest_wait: Duration::from_millis(300),
        longest_told_wait: Duration::ZERO,
    };

    #[test]
    fn waits_double_up_to_a_limit_and_are_spread() {
        for (failed, shortest, longest) in [(1, 50, 100), (2, 100, 200), (3, 150, 300), (99, 150, 300)] {
            let tries = Tries { policy: POLICY, failed };
            assert_eq!(tries.pause(0.0), Duration::from_millis(shortest), "{failed}");
            assert_eq!(tries.pause(1.0), Duration::from_millis(longest), "{failed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_gives_up_after_tries_in_a_row_that_brought_nothing() {
        let failure = || Failure::Passing(Error::Setup("refused".to_owned()));
        let mut tries = Tries::new(POLICY);
        for bytes in [0, 0, PROGRESS_BYTES, 0, PROGRESS_BYTES - 1] {
            tries.came(bytes);
            tries.wait(failure()).await.unwrap();
        }
        let error = tries.wait(failure()).await.unwrap_err();
        assert!(matches!(error, Error::GaveUp { tries: 4, .. }), "{error}");
        let last = Tries::new(POLICY).wait(Failure::Final(Error::Setup(String::new()))).await.unwrap_err();
        assert!(matches!(last, Error::Setup(_)), "{last}");
    }
}
