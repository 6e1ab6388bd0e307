//! Places for connections: how many there are at once, and whose is taken when there is none left.
//!
//! A connection is idle while no request of it is under way: before its first header has arrived whole, in the handshake
//! too, and between requests. A request is under way from its header on until the body of its answer is gone. When all
//! places are taken and somebody comes, the connection that has been idle longest loses its place. Only if none is idle,
//! whoever comes waits, until one ends or becomes idle.
//!
//! So however many connections somebody holds open, or feeds a byte now and then, they are in each other's way alone.
//!
//! Each connection may have one answer under way at any time. What HTTP/2 asks for beside that takes turns in room that all
//! connections share, since each answer holds a file open and a piece of it in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

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
    /// This many, all of them free, and room for this many answers beside one for each.
    pub(crate) fn new(capacity: usize, beside: usize) -> Self {
        let beside = Arc::new(Semaphore::new(beside));
        Self { table: Mutex::new(Table::new(capacity)), changed: Notify::new(), beside }
    }

    /// Takes a place for a new connection, somebody else's if there is no other.
    pub(crate) async fn take(self: &Arc<Self>) -> Place {
        loop {
            let changed = self.changed.notified();
            if let Some((id, lost)) = self.table().enter() {
                let own = Arc::new(Semaphore::new(1));
                return Place { places: Arc::clone(self), id, lost, own };
            }
            changed.await;
        }
    }

    /// Takes the place of the connection that has been idle longest, and leaves it free.
    pub(crate) fn vacate_one(&self) {
        self.table().evict();
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
}

impl Place {
    /// A request begins, and is under way until what comes back is dropped.
    pub(crate) fn begin(&self) -> UnderWay {
        self.places.table().begin(self.id);
        UnderWay { places: Arc::clone(&self.places), id: self.id, own: Arc::clone(&self.own), turn: None }
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
    turn: Option<OwnedSemaphorePermit>,
}

impl UnderWay {
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
/// Whoever has lost their place is not known here any more; what they still do changes nothing.
#[derive(Debug)]
struct Table {
    capacity: usize,
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
}

impl Table {
    fn new(capacity: usize) -> Self {
        Self { capacity, holders: HashMap::new(), idle: BTreeMap::new(), clock: 0 }
    }

    /// A place for somebody new, who is idle at first; none if all others have something under way.
    fn enter(&mut self) -> Option<(u64, Arc<Notify>)> {
        if self.is_full() && !self.evict() {
            return None;
        }
        let (id, lost) = (self.tick(), Arc::<Notify>::default());
        self.holders.insert(id, Holder { requests: 0, idle_since: id, lost: Arc::clone(&lost) });
        self.idle.insert(id, id);
        Some((id, lost))
    }

    /// Takes away the place of who has been idle longest, if anybody is.
    fn evict(&mut self) -> bool {
        let Some((_, id)) = self.idle.pop_first() else { return false };
        if let Some(holder) = self.holders.remove(&id) {
            holder.lost.notify_one();
        }
        true
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
        let Some(holder) = self.holders.remove(&id) else { return false };
        self.idle.remove(&holder.idle_since);
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
        /// The descriptors have run out.
        Vacated,
    }

    /// Plays events with two places, and says who was left with one, and who had to go, in order. Who finds no place
    /// goes unheard.
    fn play(events: &[Event]) -> (String, String) {
        let mut table = Table::new(2);
        let mut ids = BTreeMap::new();
        let mut gone = String::new();
        for event in events {
            match *event {
                Event::Comes(name) => {
                    if let Some((id, _)) = table.enter() {
                        ids.insert(name, id);
                    }
                }
                Event::Begins(name) => table.begin(ids[&name]),
                Event::Ends(name) => _ = table.end(ids[&name]),
                Event::Leaves(name) => {
                    table.leave(ids[&name]);
                    ids.remove(&name);
                }
                Event::Vacated => _ = table.evict(),
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
        use Event::{Begins, Comes, Ends, Leaves, Vacated};

        let cases: [(&str, &[Event], &str, &str); 11] = [
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
            ("no descriptors", &[Comes('a'), Vacated, Vacated, Comes('b')], "b", "a"),
        ];
        for (name, events, stay, gone) in cases {
            assert_eq!(play(events), (stay.to_owned(), gone.to_owned()), "{name}");
        }
    }

    #[tokio::test]
    async fn whoever_waits_gets_the_first_place_that_can_be_had() {
        let places = Arc::new(Places::new(1, 0));
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
        let places = Arc::new(Places::new(2, 1));
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
