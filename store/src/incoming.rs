//! An import under way: `incoming/<digest>/`, from the first byte until the release is staged.
//!
//! ```text
//! incoming/<digest>/journal    what was begun, from where, and how far it came
//! incoming/<digest>/front      of an archive in volumes: its beginning, from the first of them
//! incoming/<digest>/volumes    and the headers of those that have come
//! incoming/<digest>/release/   the release's documents; becomes releases/<sequence> by one rename
//! incoming/<digest>/git/       packs that are being checked
//! ```
//!
//! After an interruption the blobs that are whole lie under `blobs/` already; the next import of the same release
//! finds them there, from whatever source it comes; and what has come of others under `parts/`.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use fs_err as fs;
use sealift_archive::trust::{Signatures, Trusted};
use sealift_archive::{BlobList, Digest, Progress, Release, Sequence, durable};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::audit::{self, Event, Subject};
use crate::mirror::{self, Mirror};
use crate::release::{BLOB_LIST_FILE, Documents, REFS_FILE, STATEMENT_FILE};
use crate::state::Recorded;
use crate::{Error, Intake, Need, State, Store, StoredRelease, Writer, jsonl, parts};

pub(crate) const JOURNAL_FILE: &str = "journal";
const DOCUMENTS_DIR: &str = "release";
const GIT_DIR: &str = "git";

/// One line of a journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(with = "time::serde::rfc3339")]
    time: OffsetDateTime,
    #[serde(flatten)]
    step: Step,
}

/// How far an import has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
enum Step {
    /// It was begun, maybe again.
    Begun { release: Subject, source: String },
    /// Every blob is here.
    ContentComplete,
    /// Every Git mirror has what the release brings.
    GitComplete,
}

/// An import that was begun and not finished.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unfinished {
    /// The release.
    pub release: Subject,
    /// Where it was last imported from.
    pub source: String,
    /// When it was last begun.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

/// How much of a release's content is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Came {
    /// Bytes that are here and durable.
    pub bytes: u64,
    /// Bytes in all.
    pub of_bytes: u64,
}

impl Store {
    /// How much of a release has come whose import has begun; none if that has not come so far as to know how much there is.
    ///
    /// # Errors
    /// I/O.
    pub fn came(&self, import: &Unfinished) -> Result<Option<Came>, Error> {
        let dir = self.incoming_dir().join(import.release.digest.hex());
        let begun = Begun { dir, unfinished: None, last: None };
        let Some(Ok(blobs)) = begun.documents().map(|documents| documents.blob_list()) else {
            return Ok(None);
        };
        let parts: HashMap<Digest, u64> =
            parts::all(&self.parts_dir())?.into_iter().map(|(_, digest, bytes)| (digest, bytes)).collect();
        let mut came = Came { bytes: 0, of_bytes: blobs.total_bytes() };
        for blob in blobs.iter() {
            let is_whole = self.blob_path(&blob.digest).exists();
            let part = parts.get(&blob.digest).map_or(0, |bytes| *bytes.min(&blob.size));
            came.bytes += if is_whole { blob.size } else { part };
        }
        Ok(Some(came))
    }

    /// The imports that were begun and not finished, one of which may be running.
    ///
    /// # Errors
    /// I/O.
    pub fn unfinished(&self) -> Result<Vec<Unfinished>, Error> {
        let mut unfinished: Vec<_> = self.begun()?.into_iter().filter_map(|begun| begun.unfinished).collect();
        unfinished.sort_by_key(|import| import.since);
        Ok(unfinished)
    }

    /// What a release was before its state was lost, or it failed: the audit log knows whether it ran.
    fn last_standing(&self, sequence: Sequence, digest: &Digest) -> Result<State, Error> {
        if self.active_if_any()? == Some(sequence) {
            return Ok(State::Active);
        }
        Ok(if self.have_run()?.contains(digest) { State::Retained } else { State::Staged })
    }

    /// The releases that were active at some time, as far as the audit log knows.
    pub(crate) fn have_run(&self) -> Result<BTreeSet<Digest>, Error> {
        let mut ran = BTreeSet::new();
        self.each_record(|record| {
            if let Event::Activated { release, .. } | Event::RolledBack { release, .. } = record.event {
                ran.insert(release.digest);
            }
        })?;
        Ok(ran)
    }

    /// All that is under `incoming/`.
    pub(crate) fn begun(&self) -> Result<Vec<Begun>, Error> {
        let mut begun = Vec::new();
        for entry in fs::read_dir(self.incoming_dir())? {
            let dir = entry?.path();
            let journal = dir.join(JOURNAL_FILE);
            let entries: Vec<Entry> = jsonl::read(&journal)?;
            let written = || fs::metadata(&journal).and_then(|meta| meta.modified()).ok();
            let last = entries.iter().map(|entry| entry.time).max();
            let last = last.or_else(|| written().map(OffsetDateTime::from));
            let unfinished = entries.into_iter().rev().find_map(|entry| match entry.step {
                Step::Begun { release, source } => Some(Unfinished { release, source, since: entry.time }),
                _ => None,
            });
            begun.push(Begun { dir, unfinished, last });
        }
        Ok(begun)
    }
}

/// A directory under `incoming/`.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) dir: PathBuf,
    /// The import, if its journal names it.
    pub(crate) unfinished: Option<Unfinished>,
    /// When its journal was last written to; none if there is none.
    pub(crate) last: Option<OffsetDateTime>,
}

impl Begun {
    /// The documents of its release; none if it did not come so far as to write the last of them.
    pub(crate) fn documents(&self) -> Option<Documents> {
        let name = self.dir.file_name()?.to_str()?;
        let (dir, digest) = (self.dir.join(DOCUMENTS_DIR), Digest::from_hex(name)?);
        dir.join(STATEMENT_FILE).exists().then_some(Documents { dir, digest })
    }
}

/// An import that has been begun. It ends with [`Incoming::stage`]; dropped before, it waits for the next try.
#[derive(Debug)]
pub struct Incoming<'w> {
    writer: &'w Writer,
    release: &'w Release,
    source: String,
    dir: PathBuf,
}

impl Writer {
    /// Begins an import, or goes on with an interrupted one: writes the journal and the documents, which are
    /// verified already. `source` is what the audit log will say that it came from.
    ///
    /// # Errors
    /// The archive's `NoSpace` before anything is written, or I/O.
    pub fn begin<'w>(
        &'w self,
        release: &'w Release,
        source: &str,
        need: &Need,
    ) -> Result<Incoming<'w>, Error> {
        self.expect_room(need)?;
        let digest = release.digest();
        let dir = self.incoming_dir().join(digest.hex());
        durable::create_dir_all(&dir)?;
        let incoming = Incoming { writer: self, release, source: source.to_owned(), dir };
        let subject = Subject::new(&release.statement, digest);
        incoming.journal(Step::Begun { release: subject, source: source.to_owned() })?;
        write_documents(&incoming.dir.join(DOCUMENTS_DIR), release)?;
        Ok(incoming)
    }
}

impl Incoming<'_> {
    /// Where the missing blobs go.
    ///
    /// # Errors
    /// I/O.
    pub fn intake(&self) -> Result<Intake, Error> {
        self.intake_with(&[])
    }

    /// Where the missing blobs of several imports go that were begun together, so that their source is read once.
    ///
    /// # Errors
    /// I/O.
    pub fn intake_with(&self, others: &[Self]) -> Result<Intake, Error> {
        let mut list = self.release.blob_list.clone();
        let lists = others.iter().map(|other| &other.release.blob_list);
        lists.flat_map(BlobList::iter).try_for_each(|blob| list.insert(blob))?;
        Intake::new(&list, &self.writer.blobs_dir(), self.writer.parts_dir())
    }

    /// Makes the release a staged one: checks that its content is here, brings its Git repositories into the
    /// mirrors, and gives it its place under `releases/` by one rename. `trusted` is what the release was checked against,
    /// `root_signatures` what signs the versions that the source brought.
    ///
    /// Until the mirrors are touched, everything outside `incoming/` and `blobs/` is as it was; and they are touched
    /// only once all of their new content is known to be good.
    ///
    /// # Errors
    /// [`Error::Incomplete`], [`Error::Git`], the archive's `Interrupted`, or I/O. The next try goes on from here.
    pub fn stage(
        self,
        trusted: &Trusted,
        root_signatures: &Signatures,
        progress: &dyn Progress,
    ) -> Result<StoredRelease, Error> {
        let (writer, release) = (self.writer, self.release);
        writer.expect_content(&release.statement.name(), &release.blob_list)?;
        self.journal(Step::ContentComplete)?;
        let mirrors = mirror::of(writer, release.statement.sequence, &release.refs);
        self.publish(&mirrors, progress)?;
        self.journal(Step::GitComplete)?;
        progress.go_on()?;

        // What must not go back is raised before the release can be activated, and told before it is done: a crash
        // in between costs a second line in the log, never a missing one.
        writer.remember_roots(&self.source, trusted, root_signatures)?;
        writer.count(|counters| counters.raise_floor(&release.statement))?;
        writer.record(Event::Staged {
            release: Subject::new(&release.statement, release.digest()),
            source: self.source.clone(),
            keys: release.signers.clone(),
            trust_root: trusted.newest().version(),
        })?;
        self.settle()?;
        fs::remove_dir_all(&self.dir)?;
        writer.release(release.statement.sequence)
    }

    fn publish(&self, mirrors: &[Mirror<'_>], progress: &dyn Progress) -> Result<(), Error> {
        let scratch = self.dir.join(GIT_DIR);
        for mirror in mirrors {
            progress.go_on()?;
            mirror.prepare(&scratch)?;
        }
        for mirror in mirrors {
            mirror.publish(&scratch)?;
        }
        // Before anything relies on it.
        if mirrors.is_empty() { Ok(()) } else { mirror::sync(&self.writer.git_dir()) }
    }

    /// Gives the documents their place. If the release is there already, it is repaired, and stays what it was.
    fn settle(&self) -> Result<(), Error> {
        let (sequence, digest) = (self.release.statement.sequence, self.release.digest());
        let place = self.writer.release_dir(sequence);
        if place.is_dir() {
            write_documents(&place, self.release)?;
            let is_sound = Recorded::read(&place).is_ok_and(|r| !matches!(r.state, State::Failed { .. }));
            let state = self.writer.last_standing(sequence, &digest)?;
            return if is_sound { Ok(()) } else { Recorded::now(state, digest).write(&place) };
        }
        let documents = self.dir.join(DOCUMENTS_DIR);
        Recorded::now(State::Staged, digest).write(&documents)?;
        fs::rename(documents, &place)?;
        Ok(durable::sync_dir(&self.writer.releases_dir())?)
    }

    fn journal(&self, step: Step) -> Result<(), Error> {
        Ok(jsonl::append(&self.dir.join(JOURNAL_FILE), &Entry { time: audit::now(), step })?)
    }
}

/// Removes the packs that an interrupted import was checking; its journal and documents stay.
pub(crate) fn remove_scratch(dir: &Path) -> Result<(), Error> {
    let scratch = dir.join(GIT_DIR);
    if scratch.is_dir() {
        fs::remove_dir_all(scratch)?;
    }
    Ok(())
}

fn write_documents(dir: &Path, release: &Release) -> Result<(), Error> {
    durable::create_dir_all(dir)?;
    release.signatures.iter().cloned().collect::<Signatures>().write_to(dir)?;
    durable::write(&dir.join(BLOB_LIST_FILE), release.blob_list.to_text().as_bytes())?;
    durable::write(&dir.join(REFS_FILE), &release.refs_bytes)?;
    Ok(durable::write(&dir.join(STATEMENT_FILE), &release.statement_bytes)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sealift_archive::{BlobSink as _, Unwatched};

    use super::*;
    use crate::fixture::{Content, Place, ROOT};
    use crate::sweep;

    /// Every path below a directory, with what is there, except for the parts of a store that may grow on the way.
    fn outside_incoming(store: &Store) -> BTreeMap<PathBuf, Vec<u8>> {
        fn walk(dir: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    found.insert(path.clone(), fs::read(&path).unwrap());
                }
            }
        }
        let mut found = BTreeMap::new();
        for dir in [store.releases_dir(), store.git_dir(), store.trust_dir()] {
            walk(&dir, &mut found);
        }
        found
    }

    #[test]
    fn an_interrupted_import_keeps_what_is_whole_and_goes_on() {
        let place = Place::new();
        let content = Content::new(1, &[b"one", b"two", b"three"]);
        let before = outside_incoming(&place.store);
        {
            let writer = place.writer();
            let need = writer.need(&[&content.release]).unwrap();
            assert_eq!((need.missing_blobs, need.missing_bytes), (3, 11));
            let incoming = writer.begin(&content.release, "first try", &need).unwrap();
            let intake = incoming.intake().unwrap();
            let mut whole = intake.open(need.missing[0]).unwrap();
            whole.write(&content.blobs[&need.missing[0].digest]).unwrap();
            whole.finish().unwrap();
            intake.open(need.missing[1]).unwrap().write(b"t").unwrap();
        }
        assert_eq!(outside_incoming(&place.store), before);
        assert!(place.states().is_empty());
        let unfinished = place.store.unfinished().unwrap();
        assert_eq!(unfinished.len(), 1);
        assert_eq!((unfinished[0].source.as_str(), unfinished[0].release.sequence.get()), ("first try", 1));

        let need = place.store.need(&[&content.release]).unwrap();
        assert_eq!(need.missing_blobs, 2);
        content.stage(&place.writer()).unwrap();
        assert_eq!(place.states(), ["1 staged"]);
        assert!(place.store.unfinished().unwrap().is_empty());
        assert_eq!(fs::read_dir(place.store.incoming_dir()).unwrap().count(), 0);
    }

    #[test]
    fn an_import_that_lacks_content_is_not_staged() {
        let place = Place::new();
        let content = Content::new(1, &[b"one"]);
        let writer = place.writer();
        let need = writer.need(&[&content.release]).unwrap();
        let incoming = writer.begin(&content.release, "test", &need).unwrap();
        let error = incoming.stage(&(&*ROOT).into(), &Signatures::default(), &Unwatched).unwrap_err();
        assert!(matches!(error, Error::Incomplete { .. }), "{error}");
        assert!(place.states().is_empty());
    }

    #[test]
    fn too_little_room_is_said_before_anything_is_written() {
        let place = Place::new();
        let content = Content::new(1, &[b"one"]);
        let writer = place.writer();
        let need = writer.need(&[&content.release]).unwrap();
        let full = Need { free_bytes: need.needed_bytes - 1, ..need.clone() };
        let said = writer.begin(&content.release, "test", &full).unwrap_err().to_string();
        assert!(
            said.contains(&format!("has {} bytes free, {} are needed", full.free_bytes, full.needed_bytes))
        );
        assert_eq!(fs::read_dir(place.store.incoming_dir()).unwrap().count(), 0);
        let enough = Need { free_bytes: need.needed_bytes, ..need };
        assert!(writer.begin(&content.release, "test", &enough).is_ok());
    }

    #[test]
    fn the_floor_rises_with_what_is_staged() {
        let place = Place::new();
        let writer = place.writer();
        for (sequence, floor, expected) in [(2, 2, 2), (3, 1, 2), (4, 4, 4)] {
            let raise = |s: &mut sealift_archive::Statement| s.floor = floor.try_into().unwrap();
            Content::with(sequence, &[], sealift_archive::Refs::default(), raise).stage(&writer).unwrap();
            assert_eq!(place.store.counters().unwrap().floor.unwrap().get(), expected);
        }
    }

    #[test]
    fn an_interrupted_repair_is_kept_until_nothing_is_missing() {
        let place = Place::new();
        let content = Content::new(1, &[b"one"]);
        let release = &content.release;
        content.stage(&place.writer()).unwrap();
        let blob = place.store.blob_path(&sealift_archive::Digest::of(b"one"));
        fs::remove_file(&blob).unwrap();
        let writer = place.writer();
        drop(writer.begin(release, "repair", &writer.need(&[release]).unwrap()).unwrap());
        writer.keep_front(&release.digest(), b"front").unwrap();
        drop(writer);
        let is_kept = || {
            drop(place.writer());
            place.store.incoming_dir().join(release.digest().hex()).is_dir()
        };
        assert!(is_kept());
        fs::write(&blob, b"one").unwrap();
        let dir = place.store.release_dir(release.statement.sequence);
        Recorded::now(State::Failed { reason: "a test".to_owned() }, release.digest()).write(&dir).unwrap();
        assert!(is_kept());
        Recorded::now(State::Staged, release.digest()).write(&dir).unwrap();
        assert!(!is_kept());
    }

    #[test]
    fn whoever_locks_next_clears_away_what_a_crash_left() {
        let place = Place::new();
        let (old, new) = (Content::new(1, &[b"one"]), Content::new(2, &[b"two"]));
        let writer = place.writer();
        new.stage(&writer).unwrap();
        for content in [&old, &new] {
            let need = writer.need(&[&content.release]).unwrap();
            let incoming = writer.begin(&content.release, "crash", &need).unwrap();
            fs::create_dir(incoming.dir.join(GIT_DIR)).unwrap();
        }
        let root = place.store.root();
        fs::create_dir(root.join(".tmpLink")).unwrap();
        for name in ["trust/.tmpA", "trust/signatures/.tmpB", "releases/2/.tmpC", "incoming/0/x"] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), "").unwrap();
        }
        let beside = place.store.incoming_dir().join(old.release.digest().hex()).join("release/.tmpD");
        let locks =
            ["git/a.git/config.lock", "git/a.git/refs/namespaces/1/HEAD.lock"].map(|name| root.join(name));
        for path in locks.iter().chain([&beside]) {
            durable::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let part = |content: &[u8], durable: u64| {
            root.join("parts").join(format!("{}.{durable}", sealift_archive::Digest::of(content).hex()))
        };
        let (begun, kept, staged) = (part(b"one", 0), part(b"one", 2), part(b"two", 2));
        for path in [&begun, &kept, &staged] {
            fs::write(path, "on").unwrap();
        }
        drop(writer);
        let _writer = place.writer();
        assert_eq!([begun, kept, staged].map(|path| path.exists()), [false, true, false]);
        let incoming: Vec<_> = fs::read_dir(place.store.incoming_dir()).unwrap().collect();
        assert_eq!(incoming.len(), 1, "what is staged, or has no journal, is gone: {incoming:?}");
        let names = fs::read_dir(incoming[0].as_ref().unwrap().path()).unwrap().count();
        assert_eq!(names, 2, "the journal and the documents stay");
        assert!(
            !outside_incoming(&place.store).keys().any(|path| sweep::is_temporary(path.file_name().unwrap()))
        );
        assert!(!root.join(".tmpLink").exists());
        assert!(!locks.iter().chain([&beside]).any(|path| path.exists()));
    }
}
