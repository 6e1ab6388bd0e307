//! What a connection has been given and its client has not taken yet, and since when.
//!
//! A piece of an answer is with the client from when the connection asks for it until the connection lets go of it: because
//! the kernel has taken it, or because nobody will. HTTP/2 may hold a piece for lack of a window, long after the body is gone
//! that it came from; so the pieces count and not the bodies.
//!
//! A client stalls when it holds pieces and takes none of them. Of HTTP/2 one stream may stand still while others go on, so
//! what counts is when the connection has let go of any.

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
    /// When one was taken last.
    last_end: Option<Instant>,
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
            open.last_end = Some(Instant::now());
        }
    }

    /// Since when the client has held something and taken nothing; none if it has taken everything.
    pub(crate) fn held_since(&self) -> Option<Instant> {
        let open = self.open();
        let (_, oldest) = open.pieces.first()?;
        Some(open.last_end.map_or(*oldest, |last_end| last_end.max(*oldest)))
    }

    /// Waits until the client has held something and taken nothing for this long. It may be known later, by as long again.
    pub(crate) async fn stalled(&self, limit: Duration) {
        loop {
            let waited = self.held_since().map_or(Duration::ZERO, |since| since.elapsed());
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

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_any_piece_goes_on() {
        const STEP: Duration = Duration::from_secs(1);
        let deliveries = Deliveries::default();
        let [first, second, third] = [(); 3].map(|()| deliveries.begin());
        let begun = Instant::now();
        assert_eq!(deliveries.held_since(), Some(begun));
        sleep(STEP).await;
        deliveries.end(second);
        assert_eq!(deliveries.held_since(), Some(begun + STEP), "the first is still there");
        sleep(STEP).await;
        for again in [first, first, third, second] {
            deliveries.end(again);
        }
        assert_eq!(deliveries.held_since(), None);
        sleep(STEP).await;
        deliveries.begin();
        assert_eq!(deliveries.held_since(), Some(begun + 3 * STEP), "it had nothing before");
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
