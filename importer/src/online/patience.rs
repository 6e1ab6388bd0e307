//! Trying again: what cannot be reached now may be a little later. Appliances that failed together, because the vendor's
//! server was away, must not come back together.

use std::thread;
use std::time::{Duration, Instant};

use sealift_archive::{Class, Explain as _, Progress};

use crate::Error;

/// How long it takes at most to notice that somebody asked to stop.
const NOTICE_INTERVAL: Duration = Duration::from_millis(50);

/// When to try again, and when to give up.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often it is tried in all.
    pub tries: u32,
    /// The wait after the first failure; each further one is twice as long. A random part, up to a half, is taken off.
    pub first_wait: Duration,
}

impl Patience {
    /// Five tries in about seven minutes. Longer failures are for the timer's next run.
    pub const OF_A_TIMER: Self = Self { tries: 5, first_wait: Duration::from_secs(30) };
    /// One try.
    pub const NONE: Self = Self { tries: 1, first_wait: Duration::ZERO };

    /// Does something until it works, is refused, or was tried often enough. `tell` hears of failures that are followed by
    /// another try, and of the wait until then.
    ///
    /// # Errors
    /// The last one; or that of `tell`, or the archive's `Interrupted`.
    pub fn exercise<T>(
        self,
        progress: &dyn Progress,
        mut tell: impl FnMut(&Error, Duration) -> Result<(), Error>,
        mut once: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut tried = 1;
        loop {
            match once() {
                Err(error) if tried < self.tries && may_pass(&error) => {
                    let wait = self.wait(tried, fastrand::f64());
                    tell(&error, wait)?;
                    pause(wait, progress)?;
                    tried += 1;
                }
                result => return result,
            }
        }
    }

    fn wait(self, tried: u32, chance: f64) -> Duration {
        let full = self.first_wait.saturating_mul(1 << tried.saturating_sub(1).min(16));
        full.mul_f64(1.0 - chance / 2.0)
    }
}

fn may_pass(error: &Error) -> bool {
    matches!(error.class(), Class::Unreachable | Class::Busy)
}

fn pause(wait: Duration, progress: &dyn Progress) -> Result<(), Error> {
    let end = Instant::now() + wait;
    while Instant::now() < end {
        progress.go_on()?;
        thread::sleep(NOTICE_INTERVAL.min(wait));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sealift_archive::{Error as ArchiveError, Unwatched};

    use super::*;
    use crate::online::Error as OnlineError;

    fn away() -> Error {
        OnlineError::NotThere { source_name: "https://a.example".to_owned(), what: "it".to_owned() }.into()
    }

    fn refused() -> Error {
        ArchiveError::NotADigest("x".to_owned()).into()
    }

    fn busy_activating() -> Error {
        let cause = crate::activation::Error::StillAtWork { hook: "os".to_owned() };
        assert_eq!(cause.class(), Class::Busy);
        let version = "1.5".parse().unwrap();
        OnlineError::NotActivated { version, cause: Box::new(cause.into()) }.into()
    }

    #[test]
    fn what_may_pass_is_tried_again_and_nothing_else() {
        type Failures = &'static [fn() -> Error];
        let patience = Patience { tries: 4, first_wait: Duration::from_millis(1) };
        let cases: [(Failures, bool, usize); 5] = [
            (&[], true, 1),
            (&[away, away], true, 3),
            (&[away, refused], false, 2),
            (&[away, busy_activating], false, 2),
            (&[away, away, away, away, away], false, 4),
        ];
        for (failures, works, expected) in cases {
            let (mut tried, mut told) = (0, 0);
            let once = || {
                tried += 1;
                failures.get(tried - 1).map_or(Ok(()), |failure| Err(failure()))
            };
            let tell = |_: &Error, _| {
                told += 1;
                Ok(())
            };
            let result = patience.exercise(&Unwatched, tell, once);
            assert_eq!((result.is_ok(), tried, told), (works, expected, expected - 1));
        }
    }

    #[test]
    fn waits_double_and_are_spread() {
        let patience = Patience::OF_A_TIMER;
        for (tried, shortest, longest) in [(1, 15, 30), (2, 30, 60), (4, 120, 240)] {
            assert_eq!(patience.wait(tried, 1.0), Duration::from_secs(shortest));
            assert_eq!(patience.wait(tried, 0.0), Duration::from_secs(longest));
        }
    }

    #[test]
    fn a_wait_ends_when_somebody_asks_to_stop() {
        struct Stopped;
        impl Progress for Stopped {
            fn advance(&self, _: u64) {}
            fn is_interrupted(&self) -> bool {
                true
            }
        }
        let error =
            Patience::OF_A_TIMER.exercise(&Stopped, |_, _| Ok(()), || Err::<(), _>(away())).unwrap_err();
        assert_eq!(error.class(), Class::Interrupted);
    }
}
