//! Places for connections: how many there are at once, and whose is taken when there is none left.
//!
//! A connection is idle while no request of it is under way: before its first header has arrived whole, in the handshake
//! too, and between requests. A request is under way from its header on until the connection has let go of the last piece of
//! its answer. When all places are taken and somebody comes, the connection that has been idle longest loses its place. If
//! none is idle, the one loses it whose client has taken nothing of what it holds for longest ([`crate::deliveries`]), once that is
//! longer than [`PATIENCE`]. Only if all go on, whoever comes waits.
//!
//! So however many connections somebody holds open, feeds a byte now and then, or takes no answer from, they are in each
//! other's way alone.
//!
//! Whoever has lost a place is still there until its task has come to its end. Only so many may be on their way out when
//! somebody is let in, so the connections that are open are counted, and not those that ought to be.
//!
//! Each connection may have one answer under way at any time. What HTTP/2 asks for beside that takes turns in room that all
//! connections share, since each answer holds a file open and a piece of it in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::capacity::Capacity;
use crate::deliveries::Deliveries;

/// How long a client may hold pieces of answers and take none before its place may go to somebody else. The kernel takes up to
/// a megabyte at a time on behalf of a client, so a slow line may take none for a while though it never rests.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often whoever waits looks whether somebody has run out of it.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// All places.
#[derive(Debug)]
pub(crate) struct Places {
    table: Mutex<Table>,
    /// Told when whoever waits for a place may find one.
    changed: Notify,
    /// Room for answers beside the first of each connection.
    beside: Arc<Semaphore>,
}

impl Places {
    /// As many as there is room for, all of them free.
    pub(crate) fn new(capacity: Capacity) -> Self {
        let beside = Arc::new(Semaphore::new(capacity.answers_beside));
        let table = Mutex::new(Table::new(capacity.connections, capacity.going));
        Self { table, changed: Notify::new(), beside }
    }

    /// Takes a place for a new connection, somebody else's if there is no other.
    pub(crate) async fn take(self: &Arc<Self>) -> Place {
        loop {
            let changed = self.changed.notified();
            let entered = self.table().enter(PATIENCE);
            if let Some((id, lost, deliveries)) = entered {
                let own = Arc::new(Semaphore::new(1));
                return Place { places: Arc::clone(self), id, lost, own, deliveries };
            }
            // That time passes is nothing that anybody tells.
            let _ = timeout(LOOK_INTERVAL, changed).await;
        }
    }

    /// Takes a place from somebody, as if somebody came and all were taken, and leaves it free.
    pub(crate) fn vacate_one(&self) {
        self.table().evict(PATIENCE);
        self.changed.notify_waiters();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a connection; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    id: u64,
    lost: Arc<Notify>,
    /// Room for one answer, which nobody else takes.
    own: Arc<Semaphore>,
    deliveries: Arc<Deliveries>,
}

impl Place {
    /// A request begins, and is under way until what comes back is dropped.
    pub(crate) fn begin(&self) -> UnderWay {
        self.places.table().begin(self.id);
        UnderWay {
            places: Arc::clone(&self.places),
            id: self.id,
            own: Arc::clone(&self.own),
            deliveries: Arc::clone(&self.deliveries),
            turn: None,
        }
    }

    /// What is with the client.
    pub(crate) fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }

    /// Waits until the place belongs to somebody else.
    pub(crate) async fn lost(&self) {
        self.lost.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.places.table().leave(self.id) {
            self.places.changed.notify_waiters();
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct UnderWay {
    places: Arc<Places>,
    id: u64,
    own: Arc<Semaphore>,
    deliveries: Arc<Deliveries>,
    turn: Option<OwnedSemaphorePermit>,
}

impl UnderWay {
    /// What is with the client, of this answer and others.
    pub(crate) fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }

    /// Waits until there is room for the answer.
    pub(crate) async fn wait_for_turn(&mut self) {
        let (own, beside) = (Arc::clone(&self.own), Arc::clone(&self.places.beside));
        let turn = tokio::select! {
            biased;
            turn = own.acquire_owned() => turn,
            turn = beside.acquire_owned() => turn,
        };
        // Neither semaphore is ever closed.
        self.turn = turn.ok();
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.places.table().end(self.id) {
            self.places.changed.notify_waiters();
        }
    }
}

/// Who has a place, and who of them has been idle since when.
///
/// Whoever has lost their place is not known here any more; of what they still do, only that they leave means anything.
#[derive(Debug)]
struct Table {
    capacity: usize,
    /// How many may have lost their place and be there all the same, when somebody is let in.
    max_going: usize,
    going: usize,
    holders: HashMap<u64, Holder>,
    /// Those that are idle, by when they became so.
    idle: BTreeMap<u64, u64>,
    /// Counts what happens: names for holders, and the order of events.
    clock: u64,
}

#[derive(Debug)]
struct Holder {
    requests: usize,
    idle_since: u64,
    lost: Arc<Notify>,
    deliveries: Arc<Deliveries>,
}

impl Table {
    fn new(capacity: usize, max_going: usize) -> Self {
        Self { capacity, max_going, going: 0, holders: HashMap::new(), idle: BTreeMap::new(), clock: 0 }
    }

    /// A place for somebody new, who is idle at first; none if all others have something under way that goes on.
    fn enter(&mut self, patience: Duration) -> Option<(u64, Arc<Notify>, Arc<Deliveries>)> {
        if self.is_full() && (self.going >= self.max_going || !self.evict(patience)) {
            return None;
        }
        let (id, lost, deliveries) = (self.tick(), Arc::<Notify>::default(), Arc::<Deliveries>::default());
        let holder = Holder {
            requests: 0,
            idle_since: id,
            lost: Arc::clone(&lost),
            deliveries: Arc::clone(&deliveries),
        };
        self.holders.insert(id, holder);
        self.idle.insert(id, id);
        Some((id, lost, deliveries))
    }

    /// Takes away the place of who has been idle longest; or else of who has held up its answers longest, if it is as long as this.
    fn evict(&mut self, patience: Duration) -> bool {
        let idle = self.idle.pop_first().map(|(_, id)| id);
        let Some(id) = idle.or_else(|| self.slowest(patience)) else { return false };
        if let Some(holder) = self.holders.remove(&id) {
            holder.lost.notify_one();
            self.going += 1;
        }
        true
    }

    fn slowest(&self, patience: Duration) -> Option<u64> {
        let waiting =
            self.holders.iter().filter_map(|(id, holder)| Some((holder.deliveries.held_since()?, *id)));
        let (since, id) = waiting.min()?;
        (since.elapsed() >= patience).then_some(id)
    }

    fn begin(&mut self, id: u64) {
        let Some(holder) = self.holders.get_mut(&id) else { return };
        holder.requests += 1;
        if holder.requests == 1 {
            self.idle.remove(&holder.idle_since);
        }
    }

    /// Whether somebody who waits may find a place now.
    fn end(&mut self, id: u64) -> bool {
        let now = self.tick();
        let Some(holder) = self.holders.get_mut(&id) else { return false };
        holder.requests -= 1;
        if holder.requests > 0 {
            return false;
        }
        holder.idle_since = now;
        self.idle.insert(now, id);
        self.is_full()
    }

    /// Whether somebody who waits may find a place now.
    fn leave(&mut self, id: u64) -> bool {
        let was_full = self.is_full();
        match self.holders.remove(&id) {
            Some(holder) => _ = self.idle.remove(&holder.idle_since),
            None => self.going -= 1,
        }
        was_full
    }

    fn is_full(&self) -> bool {
        self.holders.len() >= self.capacity
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;

    /// What happens to connections, by name.
    enum Event {
        Comes(char),
        Begins(char),
        Ends(char),
        Leaves(char),
        /// A piece of an answer is handed over.
        Gives(char),
        /// The descriptors have run out.
        Vacated,
    }

    /// Plays events with two places, and says who was left with one, and who had to go, in order. Who finds no place
    /// goes unheard.
    fn play(events: &[Event]) -> (String, String) {
        let mut table = Table::new(2, 2);
        let mut ids = BTreeMap::new();
        let mut gone = String::new();
        for event in events {
            match *event {
                Event::Comes(name) => {
                    if let Some((id, ..)) = table.enter(Duration::ZERO) {
                        ids.insert(name, id);
                    }
                }
                Event::Begins(name) => table.begin(ids[&name]),
                Event::Ends(name) => _ = table.end(ids[&name]),
                Event::Leaves(name) => {
                    table.leave(ids[&name]);
                    ids.remove(&name);
                }
                Event::Gives(name) => _ = table.holders[&ids[&name]].deliveries.begin(),
                Event::Vacated => _ = table.evict(Duration::ZERO),
            }
            for (name, id) in &ids {
                if !table.holders.contains_key(id) && !gone.contains(*name) {
                    gone.push(*name);
                }
            }
            assert!(table.holders.len() <= 2 && table.idle.len() <= table.holders.len());
        }
        let stay = ids.iter().filter(|(_, id)| table.holders.contains_key(id)).map(|(name, _)| *name);
        (stay.collect(), gone)
    }

    #[test]
    fn who_has_been_idle_longest_makes_room() {
        use Event::{Begins, Comes, Ends, Gives, Leaves, Vacated};

        let cases: [(&str, &[Event], &str, &str); 13] = [
            ("there is room", &[Comes('a'), Comes('b')], "ab", ""),
            ("the first came first", &[Comes('a'), Comes('b'), Comes('c')], "bc", "a"),
            ("one is busy", &[Comes('a'), Comes('b'), Begins('a'), Comes('c')], "ac", "b"),
            ("all are busy", &[Comes('a'), Comes('b'), Begins('a'), Begins('b'), Comes('c')], "ab", ""),
            (
                "the first was busy later",
                &[Comes('a'), Comes('b'), Begins('a'), Ends('a'), Comes('c')],
                "ac",
                "b",
            ),
            (
                "one of two requests has ended",
                &[Comes('a'), Comes('b'), Begins('a'), Begins('a'), Ends('a'), Begins('b'), Comes('c')],
                "ab",
                "",
            ),
            (
                "both of them have",
                &[
                    Comes('a'),
                    Comes('b'),
                    Begins('a'),
                    Begins('a'),
                    Ends('a'),
                    Ends('a'),
                    Begins('b'),
                    Comes('c'),
                ],
                "bc",
                "a",
            ),
            ("one has left", &[Comes('a'), Comes('b'), Leaves('a'), Comes('c')], "bc", ""),
            (
                "one has left in the middle",
                &[Comes('a'), Comes('b'), Begins('a'), Leaves('a'), Begins('b'), Comes('c')],
                "bc",
                "",
            ),
            (
                "what the lost one does counts no more",
                &[Comes('a'), Comes('b'), Comes('c'), Begins('a'), Ends('a'), Comes('d')],
                "cd",
                "ab",
            ),
            (
                "all are busy, and one does not take what it asked for",
                &[Comes('a'), Comes('b'), Begins('a'), Begins('b'), Gives('b'), Comes('c')],
                "ac",
                "b",
            ),
            (
                "the one does not for longer",
                &[Comes('a'), Comes('b'), Begins('a'), Begins('b'), Gives('b'), Gives('a'), Comes('c')],
                "ac",
                "b",
            ),
            ("no descriptors", &[Comes('a'), Vacated, Vacated, Comes('b')], "b", "a"),
        ];
        for (name, events, stay, gone) in cases {
            assert_eq!(play(events), (stay.to_owned(), gone.to_owned()), "{name}");
        }
    }

    fn places(connections: usize, answers_beside: usize) -> Arc<Places> {
        Arc::new(Places::new(Capacity { connections, answers_beside, leaving: 1, going: 2 }))
    }

    #[test]
    fn nobody_is_let_in_while_too_many_are_on_their_way_out() {
        let mut table = Table::new(1, 2);
        let mut come = || table.enter(Duration::ZERO).map(|(id, ..)| id);
        let [first, second, third, fourth] = [(); 4].map(|()| come());
        assert!(third.is_some() && fourth.is_none());
        assert!(table.leave(first.unwrap()), "somebody who waits may try again");
        assert!(table.enter(Duration::ZERO).is_some());
        assert!(table.enter(Duration::ZERO).is_none());
        table.leave(second.unwrap());
        table.leave(third.unwrap());
        assert_eq!(table.going, 0);
    }

    #[tokio::test]
    async fn whoever_waits_gets_the_first_place_that_can_be_had() {
        let places = places(1, 0);
        let first = places.take().await;
        let (one, two) = (first.begin(), first.begin());
        let mut second = pin!(places.take());
        assert!(second.as_mut().now_or_never().is_none(), "the only place is in use");
        drop(one);
        assert!(second.as_mut().now_or_never().is_none(), "it still is");
        drop(two);
        let second = second.await;
        first.lost().await;

        let _busy = second.begin();
        let mut third = pin!(places.take());
        assert!(third.as_mut().now_or_never().is_none());
        // Who has lost a place cannot give it away.
        drop(first);
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        third.await;
    }

    #[tokio::test]
    async fn answers_beside_the_first_of_a_connection_take_turns() {
        let places = places(2, 1);
        let (one, two) = (places.take().await, places.take().await);
        let [mut first, mut beside, mut waiting] = [(); 3].map(|()| one.begin());
        first.wait_for_turn().await;
        beside.wait_for_turn().await;
        assert!(waiting.wait_for_turn().now_or_never().is_none(), "there is no more room");
        two.begin().wait_for_turn().await;
        drop(beside);
        waiting.wait_for_turn().await;
        let mut next = one.begin();
        assert!(next.wait_for_turn().now_or_never().is_none());
        drop(first);
        next.wait_for_turn().await;
    }
}
