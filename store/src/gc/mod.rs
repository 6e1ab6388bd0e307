//! Retention: which releases stay, and giving back the room of everything else.
//!
//! A [`Collection`] is a plan: what goes, why, and how many bytes come free. It stays what runs, what is being activated,
//! what a rollback needs, the last releases that ran, and those that can follow; with all their content, their Git
//! repositories, and what unfinished imports have loaded so far.
//!
//! - Everything that goes loses its name before its content goes: so wherever a collection is cut short, what is left is
//!   a whole store, and the next collection does the rest.
//! - Nothing is written before something was removed, so it works on a disk without a free byte.
//! - Nothing that stays is touched: whoever serves it needs no lock and notices nothing.

#[cfg(test)]
mod full_disk;
mod keep;
mod ledger;
#[cfg(test)]
mod model;
mod plan;
mod steps;
#[cfg(test)]
mod tests;

use sealift_archive::{RepositoryName, Sequence};
use serde::Serialize;
use time::OffsetDateTime;

pub use keep::{Goes, Stays};

use crate::audit::Event;
use crate::{Disk, Error, State, Store, Subject, Unfinished, Writer, audit};
use steps::Step;

/// Which of the unfinished imports are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// Those that nobody went on with for two weeks.
    Expired,
    /// All of them.
    All,
}

/// What goes and what stays.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Collection {
    /// What goes.
    pub items: Vec<Item>,
    /// Bytes that come free in all.
    pub freed_bytes: u64,
    /// The releases that stay, by rising sequence.
    pub stays: Vec<Staying>,
    /// The unfinished imports that stay, with what they have loaded.
    pub unfinished: Vec<Unfinished>,
    /// The file system, before anything is removed.
    pub disk: Disk,
    #[serde(skip)]
    steps: Vec<Step>,
}

/// One thing that goes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// What it is.
    #[serde(flatten)]
    pub what: What,
    /// Bytes that come free with it, as the file system counts them. What several items share counts for the first of
    /// them, and what something that stays shares does not count.
    pub freed_bytes: u64,
}

/// Kinds of things that go.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "what", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum What {
    /// A release, with the content that nothing else needs.
    Release {
        /// Its place in the order.
        sequence: Sequence,
        /// Its name; none if its statement cannot be read.
        release: Option<Subject>,
        /// Its state.
        #[serde(flatten)]
        state: State,
        /// Why it goes.
        why: Goes,
    },
    /// An import that was not finished, with what it has loaded.
    Import {
        /// What is known of it; nothing if its journal cannot be read.
        import: Option<Unfinished>,
        /// Whether nobody went on with it for long.
        is_expired: bool,
    },
    /// Beginnings of blobs that nobody goes on with.
    Beginnings {
        /// How many.
        count: usize,
    },
    /// Content that no release and no import names.
    Content {
        /// How many blobs.
        blobs: usize,
    },
    /// Refs and packs of a Git repository that no release names.
    Repository {
        /// The repository.
        name: RepositoryName,
        /// How many packs.
        packs: usize,
        /// Whether no release has the repository, so that all of it goes.
        is_whole: bool,
    },
}

/// A release that stays.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Staying {
    /// The release.
    pub release: Subject,
    /// Its state.
    #[serde(flatten)]
    pub state: State,
    /// Why it stays.
    pub why: Stays,
}

impl Collection {
    /// Whether nothing goes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn event(&self) -> Event {
        let (mut releases, mut imports) = (Vec::new(), Vec::new());
        for item in &self.items {
            match &item.what {
                What::Release { release, .. } => releases.extend(release.clone()),
                What::Import { import, .. } => imports.extend(import.as_ref().map(|i| i.release.clone())),
                _ => {}
            }
        }
        Event::Collected { releases, imports, freed_bytes: self.freed_bytes }
    }
}

impl Store {
    /// Says what would be removed now.
    ///
    /// # Errors
    /// [`Error::Unaccounted`] if something that stays cannot be read, so that nobody can say what it needs;
    /// [`Error::BadPointer`], or I/O.
    pub fn plan_collection(&self, give_up: GiveUp) -> Result<Collection, Error> {
        self.plan_collection_at(audit::now(), give_up)
    }

    fn plan_collection_at(&self, now: OffsetDateTime, give_up: GiveUp) -> Result<Collection, Error> {
        plan::plan(self, now, give_up)
    }
}

/// A collection that can be carried out: whoever planned it holds the lock.
#[derive(Debug)]
pub struct Collector<'w> {
    writer: &'w Writer,
    collection: Collection,
}

impl Writer {
    /// Plans what to remove.
    ///
    /// # Errors
    /// As [`Store::plan_collection`].
    pub fn collector(&self, give_up: GiveUp) -> Result<Collector<'_>, Error> {
        Ok(Collector { writer: self, collection: self.plan_collection(give_up)? })
    }
}

impl Collector<'_> {
    /// The plan.
    #[must_use]
    pub fn collection(&self) -> &Collection {
        &self.collection
    }

    /// Removes what the plan says.
    ///
    /// # Errors
    /// I/O, or what Git says. What was not removed goes the next time.
    pub fn collect(self) -> Result<Collection, Error> {
        if self.collection.is_empty() {
            return Ok(self.collection);
        }
        // Told before it is done, as everything is; on a full disk as soon as there is room for a line.
        let told = self.writer.record(self.collection.event());
        let is_full =
            matches!(&told, Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::StorageFull);
        if !is_full {
            told?;
        }
        self.collection.steps.iter().try_for_each(|step| step.take(self.writer))?;
        if is_full {
            self.writer.record(self.collection.event())?;
        }
        Ok(self.collection)
    }
}
