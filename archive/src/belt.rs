//! Many pieces of work, one behind the other: taken in order and one at a time, done on all cores, handed on in order.
//!
//! So a medium is read from front to back, although several threads read it; and whoever gets the outcomes gets them as if
//! one thread had done everything. What is under way is bounded: each piece has a slot from when it is taken until its
//! outcome has been handed on, and there are [`Belt::slots`] of them; what the slots hold together is bounded too. A slot
//! keeps its memory from piece to piece.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::Error;

/// Most cores that check frames at a time: together they hash more than any medium gives, and each has one of up to 16 MiB
/// in memory.
const MAX_READING: usize = 12;
/// Outcomes that may wait for the one ahead of them, so that whoever is done early can go on.
const WAITING: usize = 2;
/// What the slots of frames that are being read may hold together, in bytes. A single frame may be more.
const READING_BYTES: u64 = 64 << 20;
/// Small pieces go together up to so many bytes: for threads to meet costs as much as hashing 50 KB.
const BATCH_BYTES: u64 = 512 << 10;

/// How much goes on at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Belt {
    workers: usize,
    /// Bytes that all slots may hold, unless a single batch has more.
    room: u64,
}

impl Belt {
    /// All cores at work, and one piece being read.
    pub(crate) fn reading() -> Self {
        Self { workers: rayon::current_num_threads().min(MAX_READING) + 1, room: READING_BYTES }
    }

    /// So many at work.
    pub(crate) fn of(workers: usize) -> Self {
        Self { workers: workers.max(1), room: u64::MAX }
    }

    /// How many pieces are under way at most; small ones that go together count as one.
    pub(crate) const fn slots(self) -> usize {
        self.workers + WAITING
    }

    /// Runs until there is nothing left, or until `hand_on` fails: `take` fills a slot for a job, `work` makes the outcome
    /// of it, and `hand_on`, on the thread that called, gets that with the slot. `weigh` says how many bytes a slot holds
    /// then.
    pub(crate) fn run<J, S, T>(
        self,
        jobs: impl Iterator<Item = J> + Send,
        weigh: impl Fn(&J) -> u64 + Send,
        take: impl Fn(&J, &mut S) + Sync,
        work: impl Fn(J, &mut S) -> T + Sync,
        mut hand_on: impl FnMut(T, &mut S) -> Result<(), Error>,
    ) -> Result<(), Error>
    where
        J: Send,
        S: Default + Send,
        T: Send,
    {
        let source = Mutex::new(batches(jobs, weigh).enumerate());
        let hall = Hall::<Vec<T>, Vec<S>>::new(self);
        thread::scope(|scope| {
            for _ in 0..self.workers {
                scope.spawn(|| {
                    let _leaving = Leaving(&hall);
                    loop {
                        let (number, batch, mut kept) = {
                            // Held until the pieces are there: the next ones wait behind them.
                            let mut source = lock(&source);
                            let Some((number, (weight, batch))) = source.next() else { return };
                            let Some(mut kept) = hall.free_slot(weight) else { return };
                            // The first one keeps its memory, the others are small.
                            kept.slot.resize_with(1, S::default);
                            kept.slot.resize_with(batch.len(), S::default);
                            batch.iter().zip(&mut kept.slot).for_each(|(job, slot)| take(job, slot));
                            (number, batch, kept)
                        };
                        let pairs = batch.into_iter().zip(&mut kept.slot);
                        let outcomes = pairs.map(|(job, slot)| work(job, slot)).collect();
                        hall.put_down(number, outcomes, kept);
                    }
                });
            }
            let _closing = Closing(&hall);
            while let Some((outcomes, mut kept)) = hall.pick_up() {
                let mut pairs = outcomes.into_iter().zip(&mut kept.slot);
                pairs.try_for_each(|(outcome, slot)| hand_on(outcome, slot))?;
                hall.give_back(kept);
            }
            Ok(())
        })
    }
}

/// Jobs that go together, one after the other, and what they weigh.
fn batches<J>(
    jobs: impl Iterator<Item = J>,
    weigh: impl Fn(&J) -> u64,
) -> impl Iterator<Item = (u64, Vec<J>)> {
    let mut jobs = jobs.peekable();
    std::iter::from_fn(move || {
        let first = jobs.next()?;
        let mut weight = weigh(&first);
        let mut batch = vec![first];
        while let Some(job) = jobs.next_if(|job| weight + weigh(job) <= BATCH_BYTES) {
            weight += weigh(&job);
            batch.push(job);
        }
        Some((weight, batch))
    })
}

/// Where workers and the one who hands on meet.
struct Hall<T, S> {
    floor: Mutex<Floor<T, S>>,
    /// There is a slot. Only the worker who is about to take something waits for that.
    slot: Condvar,
    /// The outcome is there that is wanted next.
    outcome: Condvar,
}

struct Floor<T, S> {
    /// The one that was used last is the last.
    free: Vec<Kept<S>>,
    /// What all slots hold, and what they may.
    held: u64,
    room: u64,
    done: BTreeMap<usize, (T, Kept<S>)>,
    /// The number that is handed on next.
    wanted: usize,
    workers: usize,
    /// Nobody wants what is not done yet.
    closed: bool,
}

/// A slot, and the bytes that it may hold, used or not.
#[derive(Default)]
struct Kept<S> {
    bytes: u64,
    slot: S,
}

impl<T, S: Default> Floor<T, S> {
    /// The slot for a batch of this weight. If there is no room for that, memory is let go that is not in use.
    fn take_slot(&mut self, weight: u64) -> Option<Kept<S>> {
        loop {
            let bytes = self.free.last()?.bytes;
            let others = self.held - bytes;
            // One that is larger than all the room is let in when it is alone.
            if others == 0 || others + weight.max(bytes) <= self.room {
                let slot = self.free.pop()?.slot;
                self.held = others + weight.max(bytes);
                return Some(Kept { bytes: weight.max(bytes), slot });
            }
            let idle = self.free.iter_mut().find(|kept| kept.bytes > 0)?;
            self.held -= idle.bytes;
            *idle = Kept::default();
        }
    }
}

impl<T, S: Default> Hall<T, S> {
    fn new(belt: Belt) -> Self {
        let free = std::iter::repeat_with(Kept::default).take(belt.slots()).collect();
        let floor = Floor {
            free,
            held: 0,
            room: belt.room,
            done: BTreeMap::new(),
            wanted: 0,
            workers: belt.workers,
            closed: false,
        };
        Self { floor: Mutex::new(floor), slot: Condvar::new(), outcome: Condvar::new() }
    }

    /// Waits for a slot and for room; `None` once nobody wants more.
    fn free_slot(&self, weight: u64) -> Option<Kept<S>> {
        let mut floor = lock(&self.floor);
        while !floor.closed {
            match floor.take_slot(weight) {
                None => floor = self.slot.wait(floor).unwrap_or_else(PoisonError::into_inner),
                kept => return kept,
            }
        }
        None
    }

    fn put_down(&self, number: usize, outcome: T, kept: Kept<S>) {
        let mut floor = lock(&self.floor);
        floor.done.insert(number, (outcome, kept));
        if number == floor.wanted {
            self.outcome.notify_one();
        }
    }

    /// Waits for the next outcome; `None` if it does not come any more.
    fn pick_up(&self) -> Option<(T, Kept<S>)> {
        let mut floor = lock(&self.floor);
        loop {
            let wanted = floor.wanted;
            match floor.done.remove(&wanted) {
                None if floor.workers > 0 => {
                    floor = self.outcome.wait(floor).unwrap_or_else(PoisonError::into_inner);
                }
                found => {
                    floor.wanted += 1;
                    return found;
                }
            }
        }
    }

    fn give_back(&self, kept: Kept<S>) {
        lock(&self.floor).free.push(kept);
        self.slot.notify_one();
    }
}

impl<T, S> Hall<T, S> {
    /// Has everybody look again who waits.
    fn alter(&self, alter: impl FnOnce(&mut Floor<T, S>)) {
        alter(&mut lock(&self.floor));
        self.slot.notify_all();
        self.outcome.notify_all();
    }
}

/// A worker leaves: at the end, or because of a panic, behind which nobody must wait for what it had in hand.
struct Leaving<'a, T, S>(&'a Hall<T, S>);

impl<T, S> Drop for Leaving<'_, T, S> {
    fn drop(&mut self) {
        self.0.alter(|floor| {
            floor.workers -= 1;
            floor.closed |= thread::panicking();
        });
    }
}

/// Nobody is there any more to hand on: at the end, after an error or a panic.
struct Closing<'a, T, S>(&'a Hall<T, S>);

impl<T, S> Drop for Closing<'_, T, S> {
    fn drop(&mut self) {
        self.0.alter(|floor| floor.closed = true);
    }
}

/// What the mutexes guard is changed in one step each, so a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Squares of numbers: what was taken, and what was handed on.
    fn squares(workers: usize, numbers: usize, until: usize) -> (Vec<usize>, Vec<usize>, Result<(), Error>) {
        // Some go together, some alone.
        let weights = [BATCH_BYTES, 1, 2, BATCH_BYTES / 2, BATCH_BYTES * 2];
        let (taken, mut handed_on) = (Mutex::new(Vec::new()), Vec::new());
        let ended = Belt::of(workers).run(
            0..numbers,
            |number| weights[number % weights.len()],
            |&number, slot| {
                *slot = number;
                lock(&taken).push(number);
            },
            |number: usize, slot: &mut usize| number * *slot,
            |square, _| {
                if handed_on.len() == until {
                    return Err(Error::Interrupted);
                }
                handed_on.push(square);
                Ok(())
            },
        );
        (taken.into_inner().unwrap(), handed_on, ended)
    }

    #[test]
    fn everything_is_taken_and_handed_on_in_order() {
        for workers in [1, 2, 3, 16] {
            for numbers in [0, 1, 2, 1000] {
                let (taken, squares, ended) = squares(workers, numbers, usize::MAX);
                assert!(taken.into_iter().eq(0..numbers), "{numbers} on {workers}");
                assert!(squares.into_iter().eq((0..numbers).map(|n| n * n)), "{numbers} on {workers}");
                ended.unwrap();
            }
        }
    }

    #[test]
    fn no_more_is_under_way_than_there_are_slots() {
        let belt = Belt::of(4);
        let (under_way, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let take = |_: &usize, (): &mut ()| {
            let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
        };
        let hand_on = |(), (): &mut ()| {
            under_way.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        };
        belt.run(0..10_000_usize, |_| BATCH_BYTES, take, |_, (): &mut ()| (), hand_on).unwrap();
        assert!((1..=belt.slots()).contains(&most.into_inner()));
    }

    #[test]
    fn no_more_bytes_are_under_way_than_there_is_room_for() {
        const ROOM: u64 = 10 * BATCH_BYTES;
        let belt = Belt { room: ROOM, ..Belt::of(20) };
        let weigh = |number: &u64| if *number == 500 { 3 * ROOM } else { BATCH_BYTES * (1 + number % 4) };
        let (under_way, most) = (Mutex::new(0), Mutex::new(0));
        let take = |number: &u64, (): &mut ()| {
            let mut now = lock(&under_way);
            assert!(*now + weigh(number) <= ROOM || *now == 0, "{number} beside {now} bytes");
            *now += weigh(number);
            let mut most = lock(&most);
            *most = (*now).max(*most);
        };
        let hand_on = |number, (): &mut ()| {
            *lock(&under_way) -= weigh(&number);
            Ok(())
        };
        belt.run(0..1000_u64, weigh, take, |number, (): &mut ()| number, hand_on).unwrap();
        assert_eq!(most.into_inner().unwrap(), 3 * ROOM);
    }

    #[test]
    fn whoever_hands_on_may_stop() {
        for workers in [1, 8] {
            let (taken, squares, ended) = squares(workers, 1000, 5);
            assert_eq!(squares, [0, 1, 4, 9, 16]);
            assert!(matches!(ended, Err(Error::Interrupted)));
            // No batch of these has more than three.
            assert!(taken.len() <= 6 + 3 * Belt::of(workers).slots(), "{} taken", taken.len());
        }
    }

    #[test]
    fn a_panic_ends_everything_wherever_it_is() {
        let panics = |taking: usize, working: usize, handing_on: usize| {
            let at = |number: usize, place| assert_ne!(number, place, "as the test wants it");
            let run = || {
                Belt::of(3).run(
                    0..100_usize,
                    |number| BATCH_BYTES / (1 + *number as u64 % 3),
                    |&number, (): &mut ()| at(number, taking),
                    |number, (): &mut ()| {
                        at(number, working);
                        number
                    },
                    |number, (): &mut ()| {
                        at(number, handing_on);
                        Ok(())
                    },
                )
            };
            catch_unwind(AssertUnwindSafe(run)).is_err()
        };
        for place in [0, 50, 99] {
            assert!(panics(place, 100, 100), "taking {place}");
            assert!(panics(100, place, 100), "working on {place}");
            assert!(panics(100, 100, place), "handing on {place}");
        }
        assert!(!panics(100, 100, 100));
    }
}
