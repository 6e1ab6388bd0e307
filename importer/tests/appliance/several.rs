//! Archives of several releases, and archives that leave out what is here: what is taken, in which order, and what is
//! said if that cannot be.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;
use sealift_archive::{Bundle, Class, Digest, Explain as _, Receipt, Source as _, Unwatched};
use sealift_importer::Error;
use sealift_importer::activation::Engine;
use sealift_importer::import::{Action, Done, Plan, execute, plan};
use sealift_store::policy::Why;
use sealift_store::{Event, RootFile, Store};
use tempfile::TempDir;

use crate::vendor::{ACME, Offer, contents, pack};

/// Bytes of a blob here.
const SIZE: u64 = 10_000;

/// `acme 1.N`: each shares three of its five blobs with the one before it.
fn offer(sequence: u64) -> Offer {
    Offer::new(&ACME, sequence, contents(2 * sequence..2 * sequence + 5, usize::try_from(SIZE).unwrap()))
}

struct Appliance {
    dir: TempDir,
    store: Store,
}

impl Appliance {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("store")).unwrap();
        let root = RootFile { name: "root.json".to_owned(), root: ACME.root.clone(), signatures: None };
        store.lock("test").unwrap().pin(&root).unwrap();
        Self { dir, store }
    }

    /// With this release active, and no other here.
    fn at(sequence: u64) -> Self {
        let appliance = Self::new();
        let bundle = appliance.pack(&[sequence], &[]);
        appliance.import(&bundle, true).unwrap();
        appliance
    }

    fn pack(&self, sequences: &[u64], bases: &[u64]) -> PathBuf {
        let offers: Vec<Offer> = sequences.iter().map(|&sequence| offer(sequence)).collect();
        let bases: Vec<Offer> = bases.iter().map(|&sequence| offer(sequence)).collect();
        let target = self.dir.path().join("acme.tar.zst");
        pack(&ACME, &target, &offers.iter().collect::<Vec<_>>(), &bases.iter().collect::<Vec<_>>())
    }

    fn plan(&self, bundle: &Path, activate: bool) -> Result<Plan, Error> {
        plan(&self.store, &Bundle::open(bundle, &ACME.root).unwrap(), activate)
    }

    fn import(&self, bundle: &Path, activate: bool) -> Result<Done, Error> {
        let writer = self.store.lock("test").unwrap();
        let source = Bundle::open(bundle, &ACME.root).unwrap();
        let plan = plan(&writer, &source, activate)?;
        execute(&writer, &source, plan, &Unwatched, &Engine::plain())
    }

    fn states(&self) -> String {
        let releases = self.store.releases().unwrap();
        let states: Vec<_> =
            releases.iter().map(|one| format!("{} {}", one.sequence(), one.state())).collect();
        states.join(", ")
    }

    /// Where the blobs of a release lie that others do not have.
    fn blobs_of(&self, sequence: u64, without: &[u64]) -> Vec<PathBuf> {
        let others: BTreeSet<Digest> =
            without.iter().flat_map(|&other| offer(other).blobs.into_keys()).collect();
        let own = offer(sequence).blobs.into_keys().filter(|digest| !others.contains(digest));
        own.map(|digest| self.store.blob_path(&digest)).collect()
    }
}

#[test]
fn every_appliance_takes_from_one_archive_what_it_needs() {
    // What is active, what is taken of releases 3 to 6, blobs that are read, what is there in the end.
    let cases = [
        (None, vec![6], 5, "6 active"),
        (Some(3), vec![4, 5, 6], 6, "3 retained, 4 retained, 5 retained, 6 active"),
        (Some(4), vec![5, 6], 4, "4 retained, 5 retained, 6 active"),
        (Some(5), vec![6], 2, "5 retained, 6 active"),
        (Some(6), vec![], 0, "6 active"),
    ];
    for (active, taken, blobs, states) in cases {
        let appliance = active.map_or_else(Appliance::new, Appliance::at);
        let bundle = appliance.pack(&[3, 4, 5, 6], &[]);
        let done = appliance.import(&bundle, true).unwrap();
        let imported: Vec<u64> = done.plan.work().map(|step| step.release.sequence.get()).collect();
        assert_eq!((&imported, done.plan.need.missing_blobs), (&taken, blobs), "from {active:?}");
        assert_eq!(done.plan.need.missing_bytes, blobs as u64 * SIZE, "what is shared counts once");
        let switched: Vec<u64> =
            done.activations.iter().map(|switch| switch.to.as_ref().unwrap().sequence.get()).collect();
        assert_eq!(switched, taken, "from {active:?}");
        assert_eq!(appliance.states(), states, "from {active:?}");
        assert!(appliance.store.verify(&Unwatched).unwrap().is_whole());
        let events = appliance.store.audit().unwrap().into_iter().map(|record| record.event);
        let order: Vec<String> = events
            .filter_map(|event| match event {
                Event::Staged { release, .. } => Some(format!("staged {}", release.sequence)),
                Event::Activated { release, .. } => Some(format!("activated {}", release.sequence)),
                _ => None,
            })
            .collect();
        let told = |what: &str| taken.iter().map(|sequence| format!("{what} {sequence}")).collect::<Vec<_>>();
        assert!(order.ends_with(&[told("staged"), told("activated")].concat()), "{order:?}");
    }
}

#[test]
fn what_is_not_taken_is_said() {
    let appliance = Appliance::at(4);
    let bundle = appliance.pack(&[3, 4, 5, 7], &[]);
    let plan = appliance.plan(&bundle, false).unwrap();
    assert_eq!(plan.release.sequence.get(), 5, "as far as it goes");
    let passed: Vec<_> = plan.passed_over.iter().map(|one| (one.release.sequence.get(), &one.why)).collect();
    let lacking = Why::OutOfReach { missing: ["1.6".parse().unwrap()].into() };
    assert_eq!(passed, [(3, &Why::Older), (4, &Why::Here), (7, &lacking)]);
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["passedOver"][2]["version"], "1.7");
    assert_eq!(
        (&json["passedOver"][2]["why"], &json["passedOver"][2]["missing"][0]),
        (&"outOfReach".into(), &"1.6".into())
    );
    assert_eq!(
        (&json["steps"][0]["action"], &json["steps"][0]["release"]["sequence"]),
        (&"import".into(), &5.into())
    );

    let far = Appliance::at(1);
    let error = far.plan(&bundle, false).unwrap_err();
    assert_eq!((error.code().to_string().as_str(), error.class()), ("SL0312", Class::Refused));
    let said = error.to_string();
    assert!(said.contains("acme 1.7 (sequence 7) cannot follow acme 1.1 (sequence 1)"), "{said}");
    assert!(said.ends_with("it can only follow 1.6"), "{said}");
}

#[test]
fn what_was_interrupted_between_two_steps_is_finished() {
    let appliance = Appliance::at(3);
    let bundle = appliance.pack(&[4, 5, 6], &[]);
    let source = Bundle::open(&bundle, &ACME.root).unwrap();
    let writer = appliance.store.lock("test").unwrap();
    // As if the power went when the first was staged and the second was not.
    let first = pack(&ACME, &appliance.dir.path().join("first.tar.zst"), &[&offer(4)], &[]);
    let first = Bundle::open(&first, &ACME.root).unwrap();
    let only = plan(&writer, &first, true).unwrap();
    execute(&writer, &first, only, &Unwatched, &Engine::plain()).unwrap();
    for release in &source.releases()[1..] {
        let need = writer.need(&[release]).unwrap();
        drop(writer.begin(release, "stick", &need).unwrap());
    }
    drop(writer);
    assert_eq!(appliance.store.unfinished().unwrap().len(), 2);
    let done = appliance.import(&bundle, true).unwrap();
    assert_eq!((done.outcomes.len(), appliance.store.unfinished().unwrap().len()), (2, 0));
    assert_eq!(appliance.states(), "3 retained, 4 retained, 5 retained, 6 active");
}

#[test]
fn damage_in_a_later_step_activates_none() {
    let appliance = Appliance::at(3);
    let bundle = appliance.pack(&[4, 5], &[]);
    let before = appliance.store.stamp().unwrap();
    let source = Bundle::open(&bundle, &ACME.root).unwrap();
    let new: BTreeSet<Digest> = source.added_by(&source.releases()[1]).map(|blob| blob.digest).collect();
    let entry = source.contents().entries.iter().find(|entry| new.contains(&entry.blob.digest)).unwrap();
    let frame = source.contents().frames[entry.frame as usize];
    let mut bytes = fs::read(&bundle).unwrap();
    let place = usize::try_from(source.packing().data_offset + frame.offset).unwrap() + 700;
    bytes[place] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    assert_eq!(appliance.import(&bundle, true).unwrap_err().code().to_string(), "SL0112");
    assert_eq!((appliance.states().as_str(), appliance.store.stamp().unwrap()), ("3 active", before));
}

#[test]
fn what_lost_content_is_brought_back_on_the_way() {
    let appliance = Appliance::at(3);
    let lost = appliance.blobs_of(3, &[4]);
    fs::remove_file(&lost[0]).unwrap();
    // It is active, so the way does not lead over it; but the archive has what it lost.
    let bundle = appliance.pack(&[3, 4], &[]);
    let done = appliance.import(&bundle, false).unwrap();
    let actions: Vec<_> =
        done.plan.steps.iter().map(|step| (step.release.sequence.get(), step.action)).collect();
    assert_eq!(actions, [(3, Action::Repair), (4, Action::Import)]);
    assert!(appliance.store.verify(&Unwatched).unwrap().is_whole());
    // What an archive cannot mend is no reason not to take the rest of it.
    fs::remove_file(&lost[0]).unwrap();
    let bundle = appliance.pack(&[4, 5], &[3]);
    let done = appliance.import(&bundle, false).unwrap();
    let actions: Vec<_> =
        done.plan.steps.iter().map(|step| (step.release.sequence.get(), step.action)).collect();
    assert_eq!(actions, [(4, Action::Nothing), (5, Action::Import)]);
}

#[test]
fn a_delta_is_taken_where_its_base_is() {
    let appliance = Appliance::at(3);
    let full = fs::metadata(appliance.pack(&[4, 5], &[])).unwrap().len();
    let delta = appliance.pack(&[4, 5], &[3]);
    assert!(fs::metadata(&delta).unwrap().len() + 2 * SIZE < full);
    let done = appliance.import(&delta, true).unwrap();
    assert_eq!(done.plan.needs[0].sequence.get(), 3);
    assert_eq!(appliance.states(), "3 retained, 4 retained, 5 active");
    assert!(appliance.store.verify(&Unwatched).unwrap().is_whole());
    // What counts is the content, and release 5 has all of it.
    let delta = appliance.pack(&[6], &[4, 5]);
    fs::remove_dir_all(appliance.store.release(4.try_into().unwrap()).unwrap().dir()).unwrap();
    appliance.import(&delta, true).unwrap();
    assert_eq!(appliance.states(), "3 retained, 5 retained, 6 active");
}

#[test]
fn a_delta_without_its_base_is_refused_before_anything_is_written() {
    type Harm = fn(&Appliance);
    let cases: [(&str, Appliance, Harm, &str, &str); 3] = [
        (
            "the base is not here",
            Appliance::new(),
            |_| (),
            "SL0509 needs acme 1.3 (sequence 3), which is not here: 3 blobs, 30.00 kB, are missing",
            "import the bundle of acme 1.3 (sequence 3) first",
        ),
        (
            "the base has lost content",
            Appliance::at(3),
            |appliance| fs::remove_file(&appliance.blobs_of(3, &[2])[0]).unwrap(),
            "SL0509 needs acme 1.3 (sequence 3), which is here and not whole: 1 blob, 10.00 kB, is missing",
            "import the bundle of acme 1.3 (sequence 3) again",
        ),
        (
            "it could not follow what is here",
            Appliance::at(2),
            |_| (),
            "SL0312 acme 1.4 (sequence 4) cannot follow acme 1.2 (sequence 2)",
            "import and activate 1.3 first",
        ),
    ];
    for (name, appliance, harm, expected, hint) in cases {
        let delta = appliance.pack(&[4], &[3]);
        harm(&appliance);
        let before = appliance.store.stamp().unwrap();
        let error = appliance.import(&delta, true).unwrap_err();
        let said = error.to_string();
        let said = said.split_once("is a delta and ").map_or(said.as_str(), |(_, said)| said);
        assert!(format!("{} {said}", error.code()).starts_with(expected), "{name}: {error}");
        assert!(error.hint().unwrap().starts_with(hint), "{name}: {:?}", error.hint());
        assert_eq!((error.class(), appliance.store.stamp().unwrap()), (Class::Refused, before), "{name}");
        assert_eq!(fs::read_dir(appliance.dir.path().join("store/incoming")).unwrap().count(), 0, "{name}");
    }
}

#[test]
fn a_receipt_tells_a_vendor_what_may_be_left_out() {
    let appliance = Appliance::at(3);
    appliance.import(&appliance.pack(&[4], &[]), false).unwrap();
    let bytes = appliance.store.receipt().unwrap().to_bytes();
    assert!(bytes.len() < 1_000, "{}", bytes.len());
    let receipt = Receipt::parse("receipt", &bytes).unwrap();
    let held: Vec<u64> = receipt.releases.iter().map(|held| held.sequence.get()).collect();
    assert_eq!(held, [3, 4]);
    assert_eq!(receipt.releases[0].statement, offer(3).release.digest());
    let delta = appliance.pack(&[5], &held);
    assert_eq!(Bundle::open(&delta, &ACME.root).unwrap().contents().entries.len(), 2);
    appliance.import(&delta, true).unwrap();
    assert_eq!(appliance.states(), "3 retained, 4 retained, 5 active");
}
