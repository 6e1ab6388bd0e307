//! How fast content may come: one limit for all connections of a client together.
//!
//! Every piece that has come is due at a time, later by what it takes at the limit than the one before it, whatever
//! connection that came on; and whoever got it waits for that time. Nothing more is read meanwhile, and TCP holds the server
//! back. Since times are counted from each other and not from when somebody woke up, no error adds up.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What was not used in the last moment may be made up for; else a server that answers late would make the rate a lower one.
const LEEWAY: Duration = Duration::from_millis(50);
/// What a connection is worth opening for, in bytes a second.
const CONNECTION_BYTES: u64 = 512 << 10;
/// So many connections there are at any rate: while one asks, another brings something.
const MIN_CONNECTIONS: usize = 2;

/// The pace of a client.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Bytes a second.
    rate: Option<NonZeroU64>,
    /// When the last piece is due.
    due: Mutex<Option<Instant>>,
}

impl Pace {
    pub(crate) fn new(rate: Option<NonZeroU64>) -> Self {
        Self { rate, due: Mutex::new(None) }
    }

    /// How many connections make sense of those that are allowed: each of them has some content in its buffers, on which
    /// nobody has waited yet.
    pub(crate) fn connections(&self, allowed: usize) -> usize {
        match self.rate {
            None => allowed,
            Some(rate) => {
                let worth = usize::try_from(rate.get() / CONNECTION_BYTES).unwrap_or(usize::MAX);
                allowed.min(worth.max(MIN_CONNECTIONS))
            }
        }
    }

    /// Waits until so many bytes were due, which have come just now.
    pub(crate) async fn came(&self, bytes: usize) {
        let Some(rate) = self.rate else { return };
        let due = {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let earliest = now.checked_sub(LEEWAY).unwrap_or(now);
            let next = due.map_or(earliest, |due| due.max(earliest)) + time_for(bytes, rate);
            *due = Some(next);
            next
        };
        tokio::time::sleep_until(due).await;
    }
}

fn time_for(bytes: usize, rate: NonZeroU64) -> Duration {
    let nanos = bytes as u128 * Duration::from_secs(1).as_nanos() / u128::from(rate.get());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(rate: u64) -> Pace {
        Pace::new(NonZeroU64::new(rate))
    }

    #[tokio::test(start_paused = true)]
    async fn all_connections_together_keep_the_rate() {
        let pace = pace(1_000_000);
        let start = Instant::now();
        let connection = |pieces: usize, bytes: usize| {
            let pace = &pace;
            async move {
                for _ in 0..pieces {
                    pace.came(bytes).await;
                }
            }
        };
        tokio::join!(connection(1_000, 1_000), connection(30, 100_000), connection(1, 1_000_000));
        let passed = start.elapsed();
        assert!((4_950..=5_001).contains(&passed.as_millis()), "5 MB at 1 MB/s: {passed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_not_made_up_for() {
        let pace = pace(1_000_000);
        pace.came(100_000).await;
        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();
        pace.came(1_000_000).await;
        assert!(start.elapsed() >= Duration::from_millis(950), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nobody_waits() {
        let start = Instant::now();
        Pace::new(None).came(usize::MAX).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[test]
    fn a_low_rate_needs_few_connections() {
        for (rate, expected) in [(0, 32), (1, 2), (10_000_000, 19), (u64::MAX, 32)] {
            assert_eq!(pace(rate).connections(32), expected, "{rate}");
        }
        assert_eq!(pace(1).connections(1), 1);
    }
}
