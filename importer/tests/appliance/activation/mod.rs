//! Activations played through with a stand-in for all that is outside: the scene, and the ways that go well.

mod failing;
mod interrupted;

use std::path::PathBuf;

use fs_err as fs;
use sealift_archive::{Sequence, Unwatched};
use sealift_importer::Error;
use sealift_importer::activation::{Engine, Error as Refusal, Phase, Plan, Switched, UnderWay};
use sealift_importer::config::activation::Activation as Config;
use sealift_importer::import::{execute, plan};
use sealift_store::status::Status;
use sealift_store::{Event, RootFile, Store};
use tempfile::TempDir;

use crate::outside::Outside;
use crate::vendor::{ACME, Offer, contents};

/// Everything that can be said, but for what takes time.
const CONFIG: &str = "
flux: {kubeconfig: /etc/rancher/k3s/k3s.yaml}
preflight: [{name: disk, command: [/bin/true]}]
hooks:
  - {name: os, command: [/hooks/os], undo: [/hooks/os, back]}
  - {name: k3s, command: [/hooks/k3s], undo: [/hooks/k3s, back], rollbackWarning: what came since is lost}
  - {name: note, command: [/hooks/note]}
health: {deadline: 1s, interval: 1s, checks: [{name: flux, flux: {}}]}
";

/// With `k3s` as the point of no return.
fn config(has_no_return: bool) -> Config {
    let config = CONFIG.replace("[/hooks/k3s]", "[/hooks/k3s], pointOfNoReturn: true");
    serde_saphyr::from_str(if has_no_return { &config } else { CONFIG }).unwrap()
}

pub(crate) struct Appliance {
    dir: TempDir,
    pub(crate) store: Store,
}

impl Appliance {
    /// Release 1 is active, releases 2 and 3 are staged; with `is_fresh`, nothing is active.
    pub(crate) fn new(is_fresh: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("store")).unwrap();
        let appliance = Self { dir, store };
        let root = RootFile { name: "root.json".to_owned(), root: ACME.root.clone(), signatures: None };
        let writer = appliance.store.lock("test").unwrap();
        writer.pin(&root).unwrap();
        drop(writer);
        for sequence in 1..=3 {
            appliance.stage(&Offer::new(&ACME, sequence, contents(sequence..sequence + 1, 10)));
            if sequence == 1 && !is_fresh {
                appliance.store.lock("test").unwrap().activate(number(1)).unwrap();
            }
        }
        appliance
    }

    pub(crate) fn stage(&self, offer: &Offer) {
        let writer = self.store.lock("test").unwrap();
        let what = plan(&writer, offer, false).unwrap();
        execute(&writer, offer, what, &Unwatched, &Engine::plain()).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn copy(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("store");
        let mut copying = std::process::Command::new("cp");
        assert!(copying.arg("--archive").arg(self.store.root()).arg(&target).status().unwrap().success());
        Self { dir, store: Store::open(&target).unwrap() }
    }

    fn activate(&self, outside: &Outside, config: &Config, sequence: u64) -> Result<Switched, Error> {
        outside.engine(config).activate(&self.store.lock("test").unwrap(), number(sequence))
    }

    fn roll_back(&self, outside: &Outside, config: &Config) -> Result<Switched, Error> {
        outside.engine(config).roll_back(&self.store.lock("test").unwrap(), None)
    }

    fn resume(&self, outside: &Outside, config: &Config) -> Result<Vec<Switched>, Error> {
        outside.engine(config).resume(&self.store.lock("test").unwrap())
    }

    pub(crate) fn states(&self) -> String {
        let releases = self.store.releases().unwrap();
        let states: Vec<_> =
            releases.iter().map(|one| format!("{} {}", one.sequence(), one.state())).collect();
        states.join(", ")
    }

    /// Why the last activation did not come to its good end, as the audit log has it: once, however often it was told.
    fn failures(&self) -> Vec<(String, String, bool)> {
        let events = self.store.audit().unwrap().into_iter().map(|record| record.event);
        let failures = events.filter_map(|event| match event {
            Event::ActivationFailed { phase, reason, went_back, .. } => Some((phase, reason, went_back)),
            _ => None,
        });
        failures.collect()
    }

    pub(crate) fn expect_nothing_left(&self, what: &str) {
        let left: Vec<_> = fs::read_dir(self.store.root().join("activation"))
            .map(|entries| entries.map(|entry| entry.unwrap().file_name()).collect())
            .unwrap_or_default();
        assert!(left.is_empty(), "{what}: {left:?} is left");
        assert_eq!(UnderWay::of(&self.store).unwrap(), None, "{what}");
        let verdict = self.store.verify(&Unwatched).unwrap();
        assert!(verdict.is_whole(), "{what}: {:?}", verdict.findings);
    }

    fn problems(&self) -> String {
        Status::of(&self.store).unwrap().problems.join("\n")
    }
}

pub(crate) fn number(sequence: u64) -> Sequence {
    sequence.try_into().unwrap()
}

const FORWARD: [&str; 8] = [
    "flux check",
    "flux suspend",
    "run os 2",
    "run k3s 2",
    "run note 2",
    "flux resume",
    "flux poke",
    "flux ready",
];
const BACK: [&str; 6] = ["flux suspend", "undo k3s 1", "undo os 1", "flux resume", "flux poke", "flux ready"];
pub(crate) const OLD: &str = "1 active, 2 staged, 3 staged";
pub(crate) const NEW: &str = "1 retained, 2 active, 3 staged";

#[test]
fn there_and_back() {
    let appliance = Appliance::new(false);
    let config = config(true);
    let planned = Plan::activation(&appliance.store, &config, number(2)).unwrap();
    let outside = Outside::default();
    let done = appliance.activate(&outside, &config, 2).unwrap();
    assert_eq!(done.phases, planned.phases);
    let phases: Vec<String> = done.phases.iter().map(Phase::to_string).collect();
    let wanted =
        "preflight, suspend, serve, hook `os`, hook `k3s`, hook `note`, point, resume, health, conclude";
    assert_eq!(phases.join(", "), wanted);
    assert_eq!(outside.calls(), FORWARD);
    assert_eq!(appliance.states(), NEW);
    appliance.expect_nothing_left("there");
    assert_eq!(appliance.activate(&outside, &config, 2).unwrap().phases, [], "a second time");

    let plan = Plan::rollback(&appliance.store, &config, None).unwrap();
    assert_eq!(plan.warnings, ["what came since is lost"]);
    let outside = Outside::default();
    let mut unaware = outside.engine(&config);
    unaware.has_consent = false;
    let writer = appliance.store.lock("test").unwrap();
    let refused = unaware.roll_back(&writer, None).unwrap_err();
    assert!(matches!(&refused, Error::Activation(Refusal::NeedsConsent { .. })), "{refused}");
    assert!(refused.to_string().contains("what came since is lost"), "{refused}");
    drop(writer);
    assert_eq!((appliance.states().as_str(), outside.calls().len()), (NEW, 0));
    assert_eq!(appliance.roll_back(&outside, &config).unwrap().phases, plan.phases);
    assert_eq!(outside.calls(), BACK);
    assert_eq!(appliance.states(), "1 active, 2 retained, 3 staged");
    appliance.expect_nothing_left("back");
    assert_eq!(appliance.failures(), []);
    let refused = outside.engine(&config).roll_back(&appliance.store.lock("test").unwrap(), Some(number(2)));
    assert!(matches!(refused, Err(Error::Activation(Refusal::NotEarlier { .. }))), "{refused:?}");
}

#[test]
fn several_steps_each_with_its_gate() {
    let fresh = Appliance::new(false);
    let config = config(true);
    let walk = |appliance: &Appliance, outside: &Outside| {
        let writer = appliance.store.lock("test").unwrap();
        outside.engine(&config).walk(&writer, &[number(2), number(3)])
    };
    let appliance = fresh.copy();
    let outside = Outside::default();
    assert_eq!(walk(&appliance, &outside).unwrap().len(), 2);
    assert_eq!(outside.calls().iter().filter(|call| *call == "flux ready").count(), 2);
    assert_eq!(appliance.states(), "1 retained, 2 retained, 3 active");
    appliance.expect_nothing_left("both");

    // Whatever interrupts it, the rest of the way is gone at the next start.
    for patience in 1.. {
        let appliance = fresh.copy();
        if walk(&appliance, &Outside::patient(patience)).is_ok() {
            assert!(patience > 20);
            break;
        }
        appliance.resume(&Outside::default(), &config).unwrap();
        assert_eq!(appliance.states(), "1 retained, 2 retained, 3 active", "after {patience}");
        appliance.expect_nothing_left("both, at last");
    }

    // What is not well ends the way there.
    let appliance = fresh.copy();
    walk(&appliance, &Outside::failing("run os 3")).unwrap_err();
    assert_eq!(appliance.states(), NEW);
    appliance.expect_nothing_left("the first");
    let appliance = fresh.copy();
    walk(&appliance, &Outside::failing("run os 2")).unwrap_err();
    assert_eq!(appliance.states(), OLD);
    appliance.expect_nothing_left("none");
}
