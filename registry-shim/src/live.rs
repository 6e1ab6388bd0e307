//! The catalog of the moment: read from the store when it is new, and again as soon as the store has changed.
//!
//! Every request compares the store's stamp, a few system calls, with that of the catalog in memory. So a change of
//! the active release is seen by the next request, and no request that begins after a change is answered from before
//! it. When the store has changed one request reads it while the others wait.
//!
//! Damage does not take down more than it must: a release whose documents cannot be read is left out and named. If it
//! is the active one, or if the store itself cannot be read, what was known before stays in service; without
//! anything known before there is no catalog, rather than one that answers with another release's tags.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sealift_archive::release::Inventory;
use sealift_archive::{BlobList, Explain as _, Refs, ReleaseName, Sequence, Statement};
use sealift_store::{Error, Stamp, State, Store, StoredRelease};
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::catalog::{Catalog, Release, Standing};
use crate::content::Kept;

/// How often reading is begun again because the store has changed meanwhile, before the last reading is taken: the
/// next request then sees the change.
const MAX_READINGS: usize = 5;

/// How long a failure is believed before the same store is read again.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// A store, and what is known of it.
#[derive(Debug)]
pub(crate) struct Live {
    store: Store,
    view: RwLock<Arc<View>>,
    reading: Mutex<()>,
}

/// What is known of a store at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// Of the store that was read; none if the store could not be read at all.
    stamp: Option<Stamp>,
    catalog: Option<Arc<Catalog>>,
    /// What was asked for since.
    kept: Arc<Kept>,
    releases: Arc<[ReleaseView]>,
    problem: Option<Problem>,
}

/// A release, as people are told about it.
#[derive(Clone, Debug)]
pub(crate) struct ReleaseView {
    /// Its place in the order.
    pub(crate) sequence: Sequence,
    /// How it stands.
    pub(crate) state: State,
    /// Since when.
    pub(crate) since: OffsetDateTime,
    /// What is in it, or why that cannot be read.
    pub(crate) summary: Result<Summary, String>,
}

/// What is in a release.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Summary {
    /// Product, version and sequence.
    pub(crate) name: ReleaseName,
    /// What there is in it.
    pub(crate) inventory: Inventory,
    /// Bytes of all its content together.
    pub(crate) content_bytes: u64,
}

/// Why the store could not be read.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// The error, and what to do about it.
    pub(crate) text: String,
    seen: Instant,
}

impl Live {
    /// Reads the store for the first time.
    pub(crate) fn new(store: Store) -> Self {
        let view = RwLock::new(Arc::new(View::read(&store, &View::default())));
        Self { store, view, reading: Mutex::new(()) }
    }

    /// The store.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// What is known now.
    pub(crate) async fn view(&self) -> Arc<View> {
        if let Some(view) = self.unchanged() {
            return view;
        }
        let _turn = self.reading.lock().await;
        // Whoever had the turn before has perhaps read what we want to know.
        if let Some(view) = self.unchanged() {
            return view;
        }
        let (store, before) = (self.store.clone(), self.known());
        let reading = spawn_blocking(move || Arc::new(View::read(&store, &before)));
        match reading.await {
            Ok(view) => {
                *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&view);
                view
            }
            Err(error) => {
                tracing::error!(%error, "reading the store was broken off");
                self.known()
            }
        }
    }

    fn known(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is known, if that is still how the store is.
    fn unchanged(&self) -> Option<Arc<View>> {
        let view = self.known();
        // These few system calls block, for less time than handing them to another thread would take.
        let same = self.store.stamp().ok() == view.stamp;
        let due = match &view.problem {
            Some(problem) => problem.seen.elapsed() >= RETRY_INTERVAL,
            None => view.stamp.is_none(),
        };
        (same && !due).then_some(view)
    }
}

impl View {
    /// The table to answer from. There is none if the store could never be read.
    pub(crate) fn catalog(&self) -> Option<&Catalog> {
        self.catalog.as_deref()
    }

    /// The documents in memory that belong to the table.
    pub(crate) fn kept(&self) -> &Arc<Kept> {
        &self.kept
    }

    /// All releases of the store, by rising sequence, the failed ones too.
    pub(crate) fn releases(&self) -> &[ReleaseView] {
        &self.releases
    }

    /// Why the store cannot be read as it is now, if so.
    pub(crate) fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }

    /// Reads the store; `before` is what to go on with if that fails. Blocks.
    fn read(store: &Store, before: &Self) -> Self {
        let mut readings = MAX_READINGS;
        loop {
            let stamp = store.stamp().ok();
            let reading = read_releases(store);
            readings -= 1;
            if readings > 0 && store.stamp().ok() != stamp {
                continue;
            }
            return match reading {
                Ok((catalog, releases)) => {
                    let active = releases.iter().find(|r| r.state == State::Active).map(|r| r.sequence.get());
                    tracing::info!(releases = releases.len(), active, "store read");
                    let (catalog, kept) = (Some(Arc::new(catalog)), Arc::default());
                    Self { stamp, catalog, kept, releases: releases.into(), problem: None }
                }
                Err(error) => {
                    let text = sealift_archive::report(&error);
                    if before.problem.as_ref().is_none_or(|known| known.text != text) {
                        tracing::error!(code = %error.code(), %error, "store cannot be read; serving what was known before");
                    }
                    Self { stamp, problem: Some(Problem { text, seen: Instant::now() }), ..before.clone() }
                }
            };
        }
    }
}

/// The documents of a release, in memory until there is a catalog of them.
struct Documents {
    standing: Standing,
    statement: Statement,
    refs: Refs,
    blobs: BlobList,
}

fn read_releases(store: &Store) -> Result<(Catalog, Vec<ReleaseView>), Error> {
    let mut views = Vec::new();
    let mut served = Vec::new();
    for release in store.releases()? {
        let (sequence, state, since) = (release.sequence(), release.state().clone(), release.since());
        let summary = match read_release(&release) {
            Ok((summary, documents)) => {
                served.extend(documents);
                Ok(summary)
            }
            Err(error) if state == State::Active => return Err(error),
            Err(error) => {
                tracing::error!(code = %error.code(), %error, %sequence, "release left out");
                Err(sealift_archive::report(&error))
            }
        };
        views.push(ReleaseView { sequence, state, since, summary });
    }
    let releases: Vec<Release<'_>> = served.iter().map(Documents::as_release).collect();
    Ok((Catalog::new(&releases), views))
}

fn read_release(release: &StoredRelease) -> Result<(Summary, Option<Documents>), Error> {
    let (statement, refs) = (release.statement()?, release.refs()?);
    let summary = Summary {
        name: statement.name(),
        inventory: Inventory::of(&refs),
        content_bytes: statement.blob_list.content_bytes,
    };
    let Some(standing) = standing(release.state()) else { return Ok((summary, None)) };
    let blobs = release.blob_list()?;
    Ok((summary, Some(Documents { standing, statement, refs, blobs })))
}

/// How a release stands in the catalog, if it is visible at all.
fn standing(state: &State) -> Option<Standing> {
    Some(match state {
        State::Activating => Standing::Activating,
        State::Active => Standing::Active,
        State::Retained => Standing::Retained,
        State::Staged => Standing::Staged,
        State::Failed { .. } => return None,
    })
}

impl Documents {
    fn as_release(&self) -> Release<'_> {
        Release { standing: self.standing, statement: &self.statement, refs: &self.refs, blobs: &self.blobs }
    }
}
