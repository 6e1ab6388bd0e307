//! How much is tried, and by how many hands.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use sealift_tests::{is_soak, tell};

/// How many failures are told.
const MAX_TOLD: usize = 8;

/// `few` of these, two or more, evenly from the first to the last; all of them in a long run.
pub(crate) fn choose<T>(all: Vec<T>, few: usize) -> Vec<T> {
    if is_soak() { all } else { evenly(all, few) }
}

fn evenly<T>(all: Vec<T>, few: usize) -> Vec<T> {
    if all.len() <= few {
        return all;
    }
    let last = all.len() - 1;
    let chosen: BTreeSet<usize> = (0..few).map(|number| number * last / (few - 1)).collect();
    all.into_iter().enumerate().filter(|(number, _)| chosen.contains(number)).map(|(_, one)| one).collect()
}

/// Tries all of these, two or more at a time; the test fails if one of them says what is wrong.
pub(crate) fn sweep<T: Sync>(what: &str, all: &[T], attempt: impl Fn(&T) -> Result<(), String> + Sync) {
    assert!(!all.is_empty(), "{what}: there is nothing to try");
    let begun = Instant::now();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let hands = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..hands {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(failure) = attempt(one) {
                        failures.lock().expect("nobody panics here").push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("nobody panics here");
    tell(&format!(
        "{what}: {} tried, {} failed, {:.1} s",
        all.len(),
        failures.len(),
        begun.elapsed().as_secs_f64()
    ));
    let told: Vec<String> = failures.iter().take(MAX_TOLD).cloned().collect();
    assert!(failures.is_empty(), "{what}: {} of {} failed:\n{}", failures.len(), all.len(), told.join("\n"));
}

#[test]
fn a_few_are_the_first_the_last_and_some_between() {
    assert_eq!(evenly((0..100).collect(), 4), [0, 33, 66, 99]);
    assert_eq!(evenly((0..9).collect(), 8), [0, 1, 2, 3, 4, 5, 6, 8]);
    assert_eq!(evenly(vec![7, 8], 8), [7, 8]);
}

#[test]
#[should_panic(expected = "there is nothing to try")]
fn nothing_is_not_enough() {
    sweep("nothing", &[], |(): &()| Ok(()));
}
