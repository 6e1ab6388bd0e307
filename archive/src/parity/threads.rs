//! Work on several threads, each with working memory of its own.
//!
//! Threads of our own and not rayon's: mending is asked for by whoever reads an archive, often from one of rayon's
//! threads and under a lock. A thread of rayon that waits takes up other work meanwhile, such as reading the next frame,
//! and would come to the same lock again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::Error;

/// Most threads: from here on the medium is slower than the work.
const MAX_THREADS: usize = 8;

/// How many threads to use for work of which each needs so much memory.
pub(super) fn count(bytes_each: usize, bytes_in_all: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    cores.min(MAX_THREADS).min(bytes_in_all / bytes_each.max(1)).max(1)
}

/// Does all jobs, in about their order, one thread for each worker. The first error stops all.
pub(super) fn each<W: Send, J: Send>(
    workers: &mut [W],
    jobs: impl IntoIterator<Item = J, IntoIter: Send>,
    work: impl Fn(&mut W, J) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let jobs = Mutex::new(jobs.into_iter());
    let failed = AtomicBool::new(false);
    let (jobs, failed, work) = (&jobs, &failed, &work);
    let run = move |worker: &mut W| {
        while !failed.load(Ordering::Relaxed) {
            let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(job) = next else { break };
            work(worker, job).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = workers.iter_mut().map(|worker| scope.spawn(move || run(worker))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            // All are waited for, and the first error counts.
            .fold(Ok(()), Result::and)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn all_jobs_are_done_unless_one_fails() {
        let sum = AtomicU32::new(0);
        let mut workers = [0_u32; 3];
        each(&mut workers, 1..=100_u32, |done, job| {
            *done += 1;
            sum.fetch_add(job, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
        assert_eq!((sum.into_inner(), workers.iter().sum::<u32>()), (5050, 100));

        let seen = AtomicU32::new(0);
        let failed = each(&mut [(); 2], 0..1_000_000_u32, |(), job| {
            seen.fetch_add(1, Ordering::Relaxed);
            if job == 10 { Err(Error::Interrupted) } else { Ok(()) }
        });
        assert!(matches!(failed, Err(Error::Interrupted)));
        assert!(seen.into_inner() < 1_000_000);
    }

    #[test]
    fn memory_bounds_the_threads() {
        assert_eq!(count(10, 10), 1);
        assert_eq!(count(100, 10), 1);
        assert!((1..=MAX_THREADS).contains(&count(0, 1000)));
    }
}
