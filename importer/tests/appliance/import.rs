//! Imports from a source in memory: what is asked of it, and what happens when it breaks off.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::vendor::{ACME, Offer, contents};
use sealift_archive::trust::{Signature, Trusted};
use sealift_archive::{
    Blob, BlobList, BlobSink, Digest, Explain as _, Progress, Release, Source, Statement, Unwatched,
};
use sealift_importer::Error;
use sealift_importer::activation::Engine;
use sealift_importer::import::{Action, execute, plan};
use sealift_store::{RootFile, State, Store, Writer};
use tempfile::TempDir;

fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(dir.path()).unwrap();
    let root = RootFile { name: "root.json".to_owned(), root: ACME.root.clone(), signatures: None };
    store.lock("test").unwrap().pin(&root).unwrap();
    (dir, store)
}

fn import(writer: &Writer, source: &dyn Source, activate: bool) -> Result<Action, Error> {
    let plan = plan(writer, source, activate)?;
    Ok(execute(writer, source, plan, &Unwatched, &Engine::plain())?.plan.steps[0].action)
}

fn state(store: &Store, sequence: u64) -> State {
    store.release(sequence.try_into().unwrap()).unwrap().state().clone()
}

/// Says stop once so many bytes have come.
struct StopAfter(AtomicU64);

impl Progress for StopAfter {
    fn advance(&self, bytes: u64) {
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(bytes), Ordering::Relaxed);
    }

    fn is_interrupted(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// A source that notes what is wanted of it, and may change it on the way.
struct Watched<'o> {
    offer: &'o Offer,
    wanted: Mutex<Vec<Digest>>,
    damage: bool,
}

impl<'o> Watched<'o> {
    fn new(offer: &'o Offer, damage: bool) -> Self {
        Self { offer, wanted: Mutex::default(), damage }
    }
}

impl Source for Watched<'_> {
    fn name(&self) -> &'static str {
        "watched"
    }
    fn releases(&self) -> &[Release] {
        self.offer.releases()
    }
    fn trusted(&self) -> &Trusted {
        self.offer.trusted()
    }
    fn signatures(&self) -> Vec<Signature> {
        self.offer.signatures()
    }
    fn copy_blobs(
        &self,
        wanted: &BTreeSet<Digest>,
        sink: &dyn BlobSink,
        progress: &dyn Progress,
    ) -> Result<(), sealift_archive::Error> {
        self.wanted.lock().unwrap().extend(wanted);
        if self.damage {
            let content = &self.offer.blobs[wanted.first().unwrap()];
            let mut writer = sink.open(Blob::of(content))?;
            let mut changed = content.clone();
            changed[0] ^= 1;
            writer.write(&changed)?;
            return writer.finish();
        }
        self.offer.copy_blobs(wanted, sink, progress)
    }
}

#[test]
fn an_interrupted_import_reads_nothing_twice() {
    let (_dir, store) = store();
    let writer = store.lock("test").unwrap();
    let offer = Offer::new(&ACME, 1, contents(0..10, 100));
    let first = plan(&writer, &offer, false).unwrap();
    let stopped =
        execute(&writer, &offer, first, &StopAfter(AtomicU64::new(400)), &Engine::plain()).unwrap_err();
    assert_eq!(stopped.class().exit_status(), 130, "{stopped}");
    assert!(store.releases().unwrap().is_empty());

    let again = Watched::new(&offer, false);
    let second = plan(&writer, &again, false).unwrap();
    assert_eq!((second.need.missing_blobs, second.need.missing_bytes), (6, 600));
    execute(&writer, &again, second, &Unwatched, &Engine::plain()).unwrap();
    assert_eq!(again.wanted.lock().unwrap().len(), 6);
    assert_eq!(state(&store, 1), State::Staged);

    let third = Watched::new(&offer, false);
    assert_eq!(import(&writer, &third, false).unwrap(), Action::Nothing);
    assert!(third.wanted.lock().unwrap().is_empty(), "what is here is not asked for");
}

#[test]
fn releases_share_content() {
    let (_dir, store) = store();
    let writer = store.lock("test").unwrap();
    import(&writer, &Offer::new(&ACME, 1, contents(0..4, 100)), true).unwrap();
    let offer = Offer::new(&ACME, 2, contents(2..6, 100));
    let next = Watched::new(&offer, false);
    import(&writer, &next, true).unwrap();
    assert_eq!(next.wanted.lock().unwrap().len(), 2);
    assert_eq!((state(&store, 1), state(&store, 2)), (State::Retained, State::Active));
}

#[test]
fn damage_on_the_way_changes_nothing() {
    let (_dir, store) = store();
    let writer = store.lock("test").unwrap();
    import(&writer, &Offer::new(&ACME, 1, contents(0..1, 100)), true).unwrap();
    let before = (store.stamp().unwrap(), store.counters().unwrap());
    let offer = Offer::with(&ACME, 2, contents(1..3, 100), |statement, _| {
        statement.floor = 2.try_into().unwrap();
    });
    let error = import(&writer, &Watched::new(&offer, true), true).unwrap_err();
    assert_eq!(error.code().to_string(), "SL0105", "{error}");
    assert_eq!((store.stamp().unwrap(), store.counters().unwrap()), before);
    import(&writer, &offer, true).unwrap();
    assert_eq!(state(&store, 2), State::Active);
}

#[test]
fn a_switch_that_was_cut_short_is_finished() {
    let (_dir, store) = store();
    let writer = store.lock("test").unwrap();
    let offer = Offer::new(&ACME, 1, contents(0..1, 100));
    import(&writer, &offer, true).unwrap();
    // As if the power went when `current` had moved.
    let file = store.release(1.try_into().unwrap()).unwrap().dir().join("state");
    let recorded = fs_err::read_to_string(&file).unwrap();
    let cut_short = recorded.replace("active", "activating");
    fs_err::write(&file, &cut_short).unwrap();
    import(&writer, &offer, false).unwrap();
    assert_eq!(fs_err::read_to_string(&file).unwrap(), cut_short, "not unless that was asked for");
    import(&writer, &offer, true).unwrap();
    assert!(fs_err::read_to_string(&file).unwrap().contains("\"active\""));
    let switches = store.audit().unwrap().into_iter();
    let switches =
        switches.filter(|record| matches!(record.event, sealift_store::Event::Activated { .. })).count();
    assert_eq!(switches, 2, "told again, rather than never");
}

#[test]
fn a_release_that_lost_content_is_brought_back() {
    let (_dir, store) = store();
    let writer = store.lock("test").unwrap();
    let offer = Offer::new(&ACME, 1, contents(0..3, 100));
    import(&writer, &offer, true).unwrap();
    fs_err::remove_file(store.blob_path(offer.blobs.keys().next().unwrap())).unwrap();
    let dir = store.release(1.try_into().unwrap()).unwrap().dir().to_owned();
    for file in ["refs.json", "release.json"] {
        fs_err::remove_file(dir.join(file)).unwrap();
    }
    let source = Watched::new(&offer, false);
    assert_eq!(import(&writer, &source, false).unwrap(), Action::Repair);
    assert_eq!(source.wanted.lock().unwrap().len(), 1);
    assert_eq!(state(&store, 1), State::Active);
    assert!(store.verify(&Unwatched).unwrap().is_whole());
}

type Change = fn(&mut Statement, &mut BlobList);

#[test]
fn what_cannot_be_done_is_said_by_the_plan() {
    let (_dir, store) = store();
    let writer = store.lock("test").unwrap();
    for sequence in [4, 5] {
        import(&writer, &Offer::new(&ACME, sequence, contents(0..1, 100)), true).unwrap();
    }
    let cases: [(u64, bool, Change, &str); 7] = [
        (3, false, |_, _| (), "SL0310"),
        (4, true, |_, _| (), "SL0310"),
        (5, false, |statement, _| statement.platforms.push("linux/arm64".parse().unwrap()), "SL0309"),
        (7, false, |_, _| (), "SL0312"),
        (6, false, |statement, _| statement.product = "other".parse().unwrap(), "SL0308"),
        (
            6,
            false,
            |_, list| list.insert(Blob { digest: Digest::of(b"huge"), size: 1 << 60 }).unwrap(),
            "SL0119",
        ),
        (6, true, |_, _| (), "ok"),
    ];
    for (sequence, activate, change, expected) in cases {
        let offer = Offer::with(&ACME, sequence, contents(0..1, 100), change);
        let said = plan(&writer, &offer, activate).map_or_else(|e| e.code().to_string(), |_| "ok".to_owned());
        assert_eq!(said, expected, "sequence {sequence}");
    }
    // What is staged on the way becomes active in its turn.
    import(&writer, &Offer::new(&ACME, 6, contents(0..1, 100)), false).unwrap();
    let ahead = Offer::new(&ACME, 7, contents(0..1, 100));
    let plan = plan(&writer, &ahead, true).unwrap();
    let switches: Vec<u64> = plan.activations.iter().map(|switch| switch.to.sequence.get()).collect();
    assert_eq!((plan.steps.len(), switches), (1, vec![6, 7]));
}
