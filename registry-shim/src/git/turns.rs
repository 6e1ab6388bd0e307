//! Turns at something that only few may do at once, of which no client gets all: whoever takes the most leaves some to others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a request waits for its turn before it is sent away.
const WAIT_LIMIT: Duration = Duration::from_secs(5);

/// Turns at one thing.
#[derive(Debug)]
pub(crate) struct Turns {
    count: usize,
    count_of_one: usize,
    all: Arc<Semaphore>,
    /// The shares of those who have a turn or wait for one.
    shares: Mutex<HashMap<IpAddr, Weak<Semaphore>>>,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _of_all: OwnedSemaphorePermit,
    _of_share: OwnedSemaphorePermit,
}

impl Turns {
    /// So many in all, and so many for one address.
    pub(crate) fn new(count: usize, count_of_one: usize) -> Self {
        Self { count, count_of_one, all: Arc::new(Semaphore::new(count)), shares: Mutex::default() }
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.count - self.all.available_permits()
    }

    /// A turn, if there is one now.
    pub(crate) fn try_take(&self, client: IpAddr) -> Option<Turn> {
        let of_share = self.share(client).try_acquire_owned().ok()?;
        let of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Turn { _of_all: of_all, _of_share: of_share })
    }

    /// Waits for a turn; none if that takes too long.
    pub(crate) async fn take(&self, client: IpAddr) -> Option<Turn> {
        let share = self.share(client);
        let take = async {
            // Whoever has used up its share does not stand in line for the rest.
            let of_share = share.acquire_owned().await?;
            let of_all = Arc::clone(&self.all).acquire_owned().await?;
            Ok::<_, AcquireError>(Turn { _of_all: of_all, _of_share: of_share })
        };
        timeout(WAIT_LIMIT, take).await.ok()?.ok()
    }

    fn share(&self, client: IpAddr) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&client).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.count_of_one));
        shares.insert(client, Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn nobody_gets_all_of_them() {
        let turns = Turns::new(3, 2);
        let [one, other] = [1, 2].map(|last| IpAddr::from([10, 42, 0, last]));
        let first = turns.take(one).await.unwrap();
        let _second = turns.take(one).await.unwrap();
        let mut third = pin!(turns.take(one));
        assert!(third.as_mut().now_or_never().is_none(), "that is its share");
        let of_other = turns.take(other).await.unwrap();
        assert_eq!(turns.taken(), 3);
        assert!(turns.take(other).now_or_never().is_none(), "there are no more");
        assert!([one, other].iter().all(|client| turns.try_take(*client).is_none()), "now or later");
        drop(first);
        let _third = third.await.unwrap();
        drop(of_other);
        assert_eq!((turns.taken(), turns.shares.lock().unwrap().len()), (2, 2));
        let _again = turns.take(IpAddr::from([10, 42, 0, 3])).await.unwrap();
        assert_eq!(turns.shares.lock().unwrap().len(), 2, "whoever has gone is forgotten");
    }
}
