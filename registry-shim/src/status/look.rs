//! What is seen of the store when somebody looks at the page.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealift_store::status::{Status, Watch};
use sealift_store::{Record, Stamp, Store};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

/// How long a look is good for, if the releases are as they were.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// How many records of the audit log are shown, the latest of them.
const SHOWN_RECORDS: usize = 12;

/// The last look; one is taken at a time, on one thread. Whoever comes meanwhile waits on none.
#[derive(Debug)]
pub(crate) struct Looks(Arc<Mutex<Watcher>>);

#[derive(Debug)]
struct Watcher {
    watch: Watch,
    last: Option<Arc<Look>>,
}

/// What was seen.
#[derive(Debug)]
pub(super) struct Look {
    taken: Instant,
    /// How the releases were.
    stamp: Option<Stamp>,
    /// The whole picture, or why there is none.
    pub(super) status: Result<Status, String>,
    /// The latest of what was recorded, newest first.
    pub(super) records: Vec<Record>,
}

impl Default for Looks {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Watcher { watch: Watch::new(SHOWN_RECORDS), last: None })))
    }
}

impl Looks {
    pub(super) async fn look(&self, store: &Store) -> Arc<Look> {
        let mut watcher = Arc::clone(&self.0).lock_owned().await;
        let stamp = store.stamp().ok();
        if let Some(look) = watcher.last.as_ref().filter(|look| look.is_good(stamp.as_ref())) {
            return Arc::clone(look);
        }
        let store = store.clone();
        // The lock goes along: whoever goes away leaves this look behind, and nobody else may begin one beside it.
        let looking = spawn_blocking(move || watcher.look(&store, stamp));
        looking
            .await
            .unwrap_or_else(|stopped| Arc::new(Look::new(None, Err(stopped.to_string()), Vec::new())))
    }
}

impl Watcher {
    fn look(&mut self, store: &Store, stamp: Option<Stamp>) -> Arc<Look> {
        let look = match self.watch.look(store) {
            Ok(status) => Look::new(stamp, Ok(status), self.watch.latest().cloned().collect()),
            Err(error) => Look::new(stamp, Err(sealift_archive::report(&error)), Vec::new()),
        };
        Arc::clone(self.last.insert(Arc::new(look)))
    }
}

impl Look {
    fn new(stamp: Option<Stamp>, status: Result<Status, String>, records: Vec<Record>) -> Self {
        Self { taken: Instant::now(), stamp, status, records }
    }

    fn is_good(&self, stamp: Option<&Stamp>) -> bool {
        self.stamp.as_ref() == stamp && self.taken.elapsed() < GOOD_FOR
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use fs_err as fs;
    use futures_util::FutureExt as _;
    use tokio::runtime;
    use tokio::time::timeout;

    use super::*;

    /// How many threads there are for what blocks.
    const THREADS: usize = 4;
    const DEADLINE: Duration = Duration::from_secs(20);

    #[test]
    fn whoever_goes_away_leaves_the_threads_to_others() {
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(THREADS)
            .build()
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path()).unwrap();
        // A pipe holds up whoever opens it, until somebody writes.
        let log = dir.path().join("audit.jsonl");
        let _ = fs::remove_file(&log);
        assert!(Command::new("mkfifo").arg(&log).status().unwrap().success());
        let looks = Looks::default();
        let others = runtime.block_on(async {
            for _ in 0..10 * THREADS {
                assert!(looks.look(&store).now_or_never().is_none());
            }
            timeout(DEADLINE, spawn_blocking(|| ())).await
        });
        let is_held_up = looks.0.try_lock().is_err();
        // It goes on now, and whoever looks next finds no pipe.
        let writer = fs::File::options().write(true).open(&log).unwrap();
        fs::remove_file(&log).unwrap();
        drop(writer);
        let next = runtime.block_on(async { timeout(DEADLINE, looks.look(&store)).await });
        assert!(is_held_up && others.is_ok(), "they are in the way");
        assert!(next.is_ok());
    }
}
