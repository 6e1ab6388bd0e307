//! What is seen of the store when somebody looks at the page.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sealift_store::status::{Status, Watch};
use sealift_store::{Record, Stamp, Store};
use tokio::task::spawn_blocking;

/// How long a look is good for, if the releases are as they were.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// How many records of the audit log are shown, the latest of them.
const SHOWN_RECORDS: usize = 12;

/// The last look; one is taken at a time.
#[derive(Debug)]
pub(crate) struct Looks {
    last: tokio::sync::Mutex<Option<Arc<Look>>>,
    watch: Arc<Mutex<Watch>>,
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
        Self { last: tokio::sync::Mutex::default(), watch: Arc::new(Mutex::new(Watch::new(SHOWN_RECORDS))) }
    }
}

impl Looks {
    pub(super) async fn look(&self, store: &Store) -> Arc<Look> {
        let mut last = self.last.lock().await;
        let stamp = store.stamp().ok();
        if let Some(look) = last.as_ref().filter(|look| look.is_good(stamp.as_ref())) {
            return Arc::clone(look);
        }
        let (store, watch) = (store.clone(), Arc::clone(&self.watch));
        let seen = spawn_blocking(move || see(&store, &watch)).await;
        let seen = seen.unwrap_or_else(|stopped| Err(stopped.to_string()));
        let (status, records) = match seen {
            Ok((status, records)) => (Ok(status), records),
            Err(why) => (Err(why), Vec::new()),
        };
        let look = Arc::new(Look { taken: Instant::now(), stamp, status, records });
        *last = Some(Arc::clone(&look));
        look
    }
}

impl Look {
    fn is_good(&self, stamp: Option<&Stamp>) -> bool {
        self.stamp.as_ref() == stamp && self.taken.elapsed() < GOOD_FOR
    }
}

fn see(store: &Store, watch: &Mutex<Watch>) -> Result<(Status, Vec<Record>), String> {
    let mut watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
    let status = watch.look(store).map_err(|error| sealift_archive::report(&error))?;
    Ok((status, watch.latest().cloned().collect()))
}
