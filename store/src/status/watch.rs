//! Looking again and again, like a page that renews itself: what takes long to find out is kept for the next look.
//!
//! The audit log only grows, so what was read of it is not read again. What a collection would free takes a look at every
//! blob; it is looked at when the releases have changed, and else once a minute.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;
use sealift_archive::Digest;

use super::{Setbacks, Status, Verified};
use crate::audit::AUDIT_FILE;
use crate::{Error, Event, GiveUp, Record, Stamp, Store, jsonl};

/// How much of the end of the audit log is read, in bytes: tens of thousands of records. What stands before it is for whoever
/// reads the log itself.
const MAX_LOG_BYTES: u64 = 16 << 20;
/// How long it is believed what a collection would free, if the releases are as they were.
const COLLECTABLE_FOR: Duration = Duration::from_secs(60);

/// Whoever looks at a store again and again.
#[derive(Debug, Default)]
pub struct Watch {
    annals: Annals,
    collectable: Option<Collectable>,
}

impl Watch {
    /// Looks for the first time, and keeps so many of the latest records of the audit log.
    #[must_use]
    pub fn new(records: usize) -> Self {
        Self { annals: Annals { keep: records, ..Annals::default() }, collectable: None }
    }

    /// Looks at the store.
    ///
    /// # Errors
    /// I/O. What is damaged is told as a problem.
    pub fn look(&mut self, store: &Store) -> Result<Status, Error> {
        Status::seen(store, self)
    }

    /// The latest of what was recorded when it was looked last, newest first.
    pub fn latest(&self) -> impl Iterator<Item = &Record> {
        self.annals.latest.iter()
    }

    /// What the audit log says.
    pub(super) fn annals(&mut self, store: &Store) -> io::Result<&Annals> {
        self.annals.go_on(&store.root().join(AUDIT_FILE))?;
        Ok(&self.annals)
    }

    /// Bytes that a collection would free; none if that cannot be told.
    pub(super) fn collectable_bytes(&mut self, store: &Store) -> Option<u64> {
        let stamp = store.stamp().ok();
        if let Some(known) = &self.collectable
            && known.stamp == stamp
            && known.seen.elapsed() < COLLECTABLE_FOR
        {
            return known.bytes;
        }
        // What is in the way of it is a problem that is told already.
        let bytes = store.plan_collection(GiveUp::Expired).ok().map(|plan| plan.freed_bytes);
        self.collectable = Some(Collectable { stamp, seen: Instant::now(), bytes });
        bytes
    }
}

#[derive(Debug)]
struct Collectable {
    /// How the releases were.
    stamp: Option<Stamp>,
    seen: Instant,
    bytes: Option<u64>,
}

/// What the audit log says, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Annals {
    /// Which file it was, and where the next line begins, in bytes.
    inode: u64,
    offset: u64,
    /// How each release was verified last.
    pub(super) verified: BTreeMap<Digest, Verified>,
    pub(super) setbacks: Setbacks,
    /// Newest first, and no more than these.
    latest: VecDeque<Record>,
    keep: usize,
}

impl Annals {
    fn go_on(&mut self, path: &Path) -> io::Result<()> {
        let begin_anew = |inode, offset| Self { inode, offset, keep: self.keep, ..Self::default() };
        let mut file = match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                *self = begin_anew(0, 0);
                return Ok(());
            }
            file => file?,
        };
        let log = file.metadata()?;
        if log.ino() != self.inode || log.len() < self.offset {
            *self = begin_anew(log.ino(), log.len().saturating_sub(MAX_LOG_BYTES));
        }
        file.seek(SeekFrom::Start(self.offset))?;
        self.offset += jsonl::each_whole(file, |record| self.note(record))?;
        Ok(())
    }

    fn note(&mut self, record: Record) {
        if let Event::Staged { release, .. } = &record.event
            && let Some(verified) = Verified::of(&record)
        {
            self.verified.insert(release.digest, verified);
        }
        self.setbacks.note(&record.event);
        self.latest.push_front(record);
        self.latest.truncate(self.keep);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::fixture::{Content, Place};

    fn repaired(removed_blobs: usize) -> Event {
        Event::Repaired { removed_blobs, mirrors: BTreeSet::new() }
    }

    fn latest(watch: &mut Watch, place: &Place) -> Vec<Event> {
        watch.look(&place.store).unwrap();
        watch.latest().map(|record| record.event.clone()).collect()
    }

    #[test]
    fn what_was_recorded_since_the_last_look_is_added() {
        let place = Place::new();
        let log = place.store.root().join(AUDIT_FILE);
        let record = |number| place.writer().record(repaired(number)).unwrap();
        let mut watch = Watch::new(2);
        record(1);
        assert_eq!(latest(&mut watch, &place)[0], repaired(1));
        record(2);
        record(3);
        assert_eq!(latest(&mut watch, &place), [3, 2].map(repaired));
        // A line counts when it is whole: half of it may be there while it is written.
        let text = fs::read(&log).unwrap();
        record(4);
        let whole = fs::read(&log).unwrap();
        for end in [text.len() + 1, whole.len() - 1] {
            fs::write(&log, &whole[..end]).unwrap();
            assert_eq!(latest(&mut watch, &place), [3, 2].map(repaired), "{end}");
        }
        fs::write(&log, &whole).unwrap();
        assert_eq!(latest(&mut watch, &place), [4, 3].map(repaired));
        // Another log has another story.
        fs::remove_file(&log).unwrap();
        assert_eq!(latest(&mut watch, &place), []);
        record(5);
        assert_eq!(latest(&mut watch, &place), [repaired(5)]);
        assert_eq!(latest(&mut Watch::new(0), &place), []);
    }

    #[test]
    fn of_a_long_log_only_the_end_is_read() {
        const SOME: usize = 20;
        let place = Place::new();
        place.writer().record(repaired(1)).unwrap();
        let log = place.store.root().join(AUDIT_FILE);
        let line =
            fs::read(&log).unwrap().split_inclusive(|&byte| byte == b'\n').next_back().unwrap().to_vec();
        let lines = usize::try_from(MAX_LOG_BYTES).unwrap() / line.len();
        Content::new(1, &[b"one"]).stage(&place.writer()).unwrap();
        fs::write(&log, [fs::read(&log).unwrap(), line.repeat(lines - SOME)].concat()).unwrap();
        let is_verified = || Watch::new(1).look(&place.store).unwrap().releases[0].verified.is_some();
        assert!(is_verified());
        fs::write(&log, [fs::read(&log).unwrap(), line.repeat(2 * SOME)].concat()).unwrap();
        assert!(!is_verified());
        assert_eq!(latest(&mut Watch::new(1), &place), [repaired(1)]);
    }

    #[test]
    fn what_would_come_free_is_looked_at_when_the_releases_change() {
        let place = Place::new();
        let stray = |text: &[u8]| fs::write(place.store.blob_path(&Digest::of(text)), text).unwrap();
        let mut watch = Watch::default();
        let mut freed = || watch.look(&place.store).unwrap().collectable_bytes.unwrap();
        assert_eq!(freed(), 0);
        stray(b"stray");
        assert_eq!(freed(), 0, "nothing tells of it");
        Content::new(1, &[b"one"]).stage(&place.writer()).unwrap();
        assert!(freed() > 0);
    }
}
