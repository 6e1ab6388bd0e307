//! What a connection has been given and its client has not taken yet, and since when.
//!
//! A piece of an answer is with the client from when the connection asks for it until the connection lets go of it: because
//! the kernel has taken it, or because nobody will. HTTP/2 may hold a piece for lack of a window, long after the body is gone
//! that it came from; so the pieces count and not the bodies.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The pieces of answers that are with one client.
#[derive(Debug, Default)]
pub(crate) struct Deliveries(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    /// Number of the next piece.
    next: u64,
    /// By rising number, and so by time.
    pieces: Vec<(u64, Instant)>,
}

impl Deliveries {
    /// A piece is handed over, and has this number.
    pub(crate) fn begin(&self) -> u64 {
        let now = Instant::now();
        let mut open = self.open();
        let number = open.next;
        open.next += 1;
        open.pieces.push((number, now));
        number
    }

    /// The connection has let go of it.
    pub(crate) fn end(&self, number: u64) {
        let mut open = self.open();
        if let Ok(place) = open.pieces.binary_search_by_key(&number, |(number, _)| *number) {
            open.pieces.remove(place);
        }
    }

    /// Since when the client has the piece that it has had longest; none if it has taken everything.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.open().pieces.first().map(|(_, since)| *since)
    }

    /// Waits until the client has had a piece for this long. It may be known later, by as long again.
    pub(crate) async fn stalled(&self, limit: Duration) {
        loop {
            let waited = self.oldest().map_or(Duration::ZERO, |since| since.elapsed());
            match limit.checked_sub(waited) {
                Some(left) if !left.is_zero() => sleep(left).await,
                _ => return,
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn the_oldest_is_the_first_that_is_still_open() {
        let deliveries = Deliveries::default();
        let [first, second, third] = [(); 3].map(|()| deliveries.begin());
        let since = deliveries.oldest();
        deliveries.end(second);
        assert_eq!(deliveries.oldest(), since);
        deliveries.end(first);
        assert!(deliveries.oldest() > since);
        deliveries.end(first);
        deliveries.end(third);
        assert_eq!(deliveries.oldest(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_stalls_only_with_something_in_its_hands() {
        const LIMIT: Duration = Duration::from_secs(20);
        let deliveries = Deliveries::default();
        assert!(timeout(3 * LIMIT, deliveries.stalled(LIMIT)).await.is_err(), "it has nothing");
        let piece = deliveries.begin();
        deliveries.stalled(LIMIT).await;
        deliveries.end(piece);
        assert!(timeout(3 * LIMIT, deliveries.stalled(LIMIT)).await.is_err(), "it has taken it");
    }
}
