//! Activations played through: where each of their phases fails, and where the power goes before or after each line of the
//! journal.

use std::path::PathBuf;

use fs_err as fs;
use sealift_archive::{Class, Explain as _, Sequence, Unwatched};
use sealift_importer::Error;
use sealift_importer::activation::{Engine, Error as Refusal, Phase, Plan, Switched, UnderWay};
use sealift_importer::config::activation::Activation as Config;
use sealift_importer::import::{execute, plan};
use sealift_importer::online::may_activate;
use sealift_importer::status::Status;
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

/// A phase that fails, what stands in the log of it, and which calls follow.
const FAILURES: [(&str, &str, &[&str]); 6] = [
    ("flux suspend", "suspend", &["flux resume", "flux poke"]),
    ("run os", "hook `os`", &["undo os 1", "flux resume", "flux poke"]),
    ("run k3s", "hook `k3s`", &["undo k3s 1", "undo os 1", "flux resume", "flux poke"]),
    ("run note", "hook `note`", &["undo k3s 1", "undo os 1", "flux resume", "flux poke"]),
    ("flux poke", "resume", &["flux suspend", "undo k3s 1", "undo os 1", "flux resume", "flux poke"]),
    ("flux ready", "health", &["flux suspend", "undo k3s 1", "undo os 1", "flux resume", "flux poke"]),
];

#[test]
fn what_fails_before_the_point_of_no_return_is_undone() {
    let fresh = Appliance::new(false);
    let config = config(false);
    for (failing, phase, undone) in FAILURES {
        let appliance = fresh.copy();
        let outside = Outside::failing_once(failing);
        let error = appliance.activate(&outside, &config, 2).unwrap_err();
        let Error::Activation(Refusal::WentBack { phase: told, reason, active, .. }) = &error else {
            panic!("{failing}: {error}")
        };
        assert_eq!(told, phase);
        assert_eq!(active.as_ref().unwrap().sequence, number(1), "{failing}");
        assert!(error.hint().unwrap().contains("sealiftctl activate 1.2") && error.class() == Class::Failed);
        let calls = outside.calls();
        let failed_at = calls.iter().position(|call| call.starts_with(failing)).unwrap();
        assert_eq!(calls[..=failed_at], FORWARD[..=failed_at], "{failing}");
        assert_eq!(calls[failed_at + 1..], *undone, "{failing}");
        assert_eq!(appliance.states(), OLD, "{failing}");
        assert_eq!(appliance.failures(), [(phase.to_owned(), reason.clone(), true)], "{failing}");
        let problems = appliance.problems();
        assert!(problems.contains(reason.as_str()) && problems.contains(phase), "{failing}: {problems}");
        appliance.expect_nothing_left(failing);
        appliance.activate(&Outside::default(), &config, 2).unwrap();
        assert_eq!(appliance.states(), NEW, "{failing}, then again");
        assert!(!appliance.problems().contains("failed"), "{failing}: it is forgotten");
    }
}

#[test]
fn what_fails_behind_the_point_of_no_return_stops_until_somebody_decides() {
    let fresh = Appliance::new(false);
    let config = config(true);
    for (failing, phase, undone) in &FAILURES[2..] {
        let stopped = fresh.copy();
        let outside = Outside::failing(failing);
        let error = stopped.activate(&outside, &config, 2).unwrap_err();
        let Error::Activation(Refusal::Stopped { phase: told, reason, is_forward: true, .. }) = &error else {
            panic!("{failing}: {error}")
        };
        assert_eq!(told, phase);
        let hint = error.hint().unwrap();
        assert!(hint.contains("sealiftctl activate 1.2") && hint.contains("sealiftctl rollback"), "{hint}");
        assert!(outside.calls().last().unwrap().starts_with(failing), "nothing was undone");
        assert_eq!(stopped.failures(), [((*phase).to_owned(), reason.clone(), false)]);
        let status = Status::of(&stopped.store).unwrap();
        let problems = status.problems.join("\n");
        assert!(problems.contains(reason.as_str()) && problems.contains(phase), "{failing}: {problems}");
        assert_eq!(status.next, ["sealiftctl activate 1.2", "sealiftctl rollback"]);
        // At the next start, nothing is done without a person.
        let resumed = stopped.resume(&Outside::default(), &config).unwrap_err();
        assert!(matches!(resumed, Error::Activation(Refusal::Stopped { .. })), "{failing}: {resumed}");
        // Another release has to wait.
        let other = stopped.activate(&Outside::default(), &config, 3).unwrap_err();
        assert!(matches!(other, Error::Activation(Refusal::UnderWay { .. })), "{failing}: {other}");

        let again = stopped.copy();
        let outside = Outside::default();
        again.activate(&outside, &config, 2).unwrap();
        let failed_at = FORWARD.iter().position(|call| call.starts_with(failing)).unwrap();
        // Flux goes on and is told to look in one phase.
        let from = if *failing == "flux poke" { failed_at - 1 } else { failed_at };
        assert_eq!(outside.calls(), FORWARD[from..], "{failing}, and on");
        assert_eq!(again.states(), NEW, "{failing}, and on");
        again.expect_nothing_left(failing);

        let back = stopped.copy();
        let outside = Outside::default();
        back.roll_back(&outside, &config).unwrap();
        assert_eq!(outside.calls(), [undone, &["flux ready"][..]].concat(), "{failing}, and back");
        assert_eq!(back.states(), OLD, "{failing}, and back");
        back.expect_nothing_left(failing);
        let is_told = |event: &Event| matches!(event, Event::RolledBack { release, .. } if release.sequence == number(1));
        assert!(back.store.audit().unwrap().iter().any(|record| is_told(&record.event)), "{failing}");
    }
}

#[test]
fn what_fails_on_the_way_back_stops_and_leaves_both_ways_open() {
    let active = Appliance::new(false);
    let config = config(false);
    active.activate(&Outside::default(), &config, 2).unwrap();
    let failures = ["flux suspend", "undo k3s", "undo os", "flux resume", "flux poke", "flux ready"];
    for failing in failures {
        let stopped = active.copy();
        let error = stopped.roll_back(&Outside::failing(failing), &config).unwrap_err();
        let is_back = matches!(&error, Error::Activation(Refusal::Stopped { is_forward: false, .. }));
        assert!(is_back, "{failing}: {error}");
        assert_eq!(stopped.failures().len(), 1, "{failing}");

        let back = stopped.copy();
        back.roll_back(&Outside::default(), &config).unwrap();
        assert_eq!(back.states(), "1 active, 2 retained, 3 staged", "{failing}, and on");
        back.expect_nothing_left(failing);

        let forward = stopped.copy();
        let outside = Outside::default();
        forward.activate(&outside, &config, 2).unwrap();
        assert_eq!(outside.calls(), FORWARD[1..], "{failing}, and forward again");
        assert_eq!(forward.states(), NEW, "{failing}, and forward again");
        forward.expect_nothing_left(failing);
    }
}

#[test]
fn a_way_back_that_fails_by_itself_is_gone_on_with_or_turned_again() {
    let fresh = Appliance::new(false);
    let config = config(false);
    let stuck = fresh.copy();
    // The health gate fails, and then a step on the way back.
    let outside = Outside { also_failing: Some("undo k3s"), ..Outside::failing("flux ready") };
    let error = stuck.activate(&outside, &config, 2).unwrap_err();
    assert!(matches!(&error, Error::Activation(Refusal::Stopped { is_forward: false, .. })), "{error}");
    assert_eq!(stuck.failures().len(), 1);
    let problems = stuck.problems();
    assert!(problems.contains("undo k3s 1 does not work") && problems.contains("phase health"), "{problems}");

    let back = stuck.copy();
    let error = back.roll_back(&Outside::default(), &config).unwrap_err();
    assert!(
        matches!(&error, Error::Activation(Refusal::WentBack { .. })),
        "it ends as it would have: {error}"
    );
    assert_eq!(back.states(), OLD);
    back.expect_nothing_left("back");

    let forward = stuck.copy();
    forward.activate(&Outside::default(), &config, 2).unwrap();
    assert_eq!(forward.states(), NEW);
    forward.expect_nothing_left("forward");
}

#[test]
fn a_second_turn_forgets_nothing_that_was_begun() {
    let appliance = Appliance::new(false);
    let config = config(false);
    let outside = Outside { also_failing: Some("undo k3s"), ..Outside::failing("flux ready") };
    appliance.activate(&outside, &config, 2).unwrap_err();
    appliance.activate(&Outside::failing("flux suspend"), &config, 2).unwrap_err();
    let outside = Outside::default();
    appliance.roll_back(&outside, &config).unwrap();
    assert_eq!(outside.calls(), BACK);
    assert_eq!(appliance.states(), OLD);
    appliance.expect_nothing_left("back");
}

#[test]
fn an_import_leaves_what_has_stopped_to_a_person() {
    let fresh = Appliance::new(false);
    let config = config(true);
    fresh.activate(&Outside::failing("flux ready"), &config, 2).unwrap_err();
    let two = Offer::new(&ACME, 2, contents(2..3, 10));
    let three = Offer::new(&ACME, 3, contents(3..4, 10));
    let activations = |appliance: &Appliance, offer: &Offer| {
        let planned = plan(&appliance.store, offer, true)?;
        Ok::<_, Error>(planned.activations.iter().map(|one| one.to.sequence.get()).collect::<Vec<_>>())
    };
    let expect_refused = |appliance: &Appliance, offer: &Offer, what: &str| {
        let refused = activations(appliance, offer).unwrap_err();
        assert!(matches!(&refused, Error::Activation(Refusal::UnderWay { .. })), "{what}: {refused}");
        assert_eq!(
            plan(&appliance.store, offer, false).unwrap().activations.len(),
            0,
            "{what}: it is only staged"
        );
    };
    expect_refused(&fresh, &three, "forward");
    assert_eq!(activations(&fresh, &two).unwrap(), [2], "the same command goes on");
    let statement = three.release.digest();
    assert!(!may_activate(&fresh.store, &statement));

    let turned = fresh.copy();
    turned.roll_back(&Outside::failing("flux suspend"), &config).unwrap_err();
    expect_refused(&turned, &three, "back");
    let before = fs::read(turned.store.activation_journal()).unwrap();
    assert!(activations(&turned, &two).unwrap_or_default().is_empty(), "the rollback is not turned round");
    assert_eq!(fs::read(turned.store.activation_journal()).unwrap(), before);
    turned.roll_back(&Outside::default(), &config).unwrap();
    assert!(may_activate(&turned.store, &statement));
    assert_eq!(activations(&turned, &three).unwrap(), [2, 3]);

    // What was only interrupted is gone on with by the same command, also on the way to a later release.
    let interrupted = Appliance::new(false);
    interrupted.activate(&Outside::patient(4), &config, 2).unwrap_err();
    assert_eq!(activations(&interrupted, &three).unwrap(), [2, 3]);
}

#[test]
fn flux_that_is_away_or_refuses_is_known_before_anything_changes() {
    let fresh = Appliance::new(false);
    let text: Vec<&str> = CONFIG.lines().filter(|line| !line.contains("preflight")).collect();
    let config: Config = serde_saphyr::from_str(&text.join("\n")).unwrap();
    let appliance = fresh.copy();
    let outside = Outside { also_failing: Some("flux resume"), ..Outside::failing("flux check") };
    let error = appliance.activate(&outside, &config, 2).unwrap_err();
    assert!(matches!(&error, Error::Activation(Refusal::Preflight { .. })), "{error}");
    assert_eq!((outside.calls(), appliance.states().as_str()), (vec!["flux check".to_owned()], OLD));
    appliance.expect_nothing_left("it is away");

    // It goes away just then: nothing was suspended, so nothing has to be resumed.
    let away = || Outside {
        also_failing: Some("flux resume"),
        is_untouched: true,
        ..Outside::failing("flux suspend")
    };
    let appliance = fresh.copy();
    let error = appliance.activate(&away(), &config, 2).unwrap_err();
    assert!(matches!(&error, Error::Activation(Refusal::WentBack { .. })), "{error}");
    assert_eq!(appliance.states(), OLD);
    appliance.expect_nothing_left("it went away");

    // Unless what ran before a crash may have suspended something.
    let appliance = fresh.copy();
    let interrupted = appliance.activate(&Outside::patient(2), &config, 2).unwrap_err();
    assert_eq!(interrupted.class(), Class::Interrupted);
    let error = appliance.resume(&away(), &config).unwrap_err();
    assert!(matches!(&error, Error::Activation(Refusal::Stopped { .. })), "{error}");
}

#[test]
fn a_preflight_check_that_says_no_changes_nothing() {
    let appliance = Appliance::new(false);
    let text = CONFIG.replace("[/bin/true]", "[/bin/sh, -c, \"echo no room for $SEALIFT_VERSION; exit 1\"]");
    let config: Config = serde_saphyr::from_str(&text).unwrap();
    let before = appliance.store.stamp().unwrap();
    let outside = Outside::default();
    let error = appliance.activate(&outside, &config, 2).unwrap_err();
    assert!(matches!(&error, Error::Activation(Refusal::Preflight { .. })), "{error}");
    assert_eq!((error.code().to_string().as_str(), error.class()), ("SL0525", Class::Refused));
    assert!(error.to_string().ends_with("`disk`: no room for 1.2 (exit status: 1)"), "{error}");
    assert_eq!(outside.calls(), [""; 0]);
    assert_eq!(appliance.store.stamp().unwrap(), before);
    assert_eq!(appliance.failures()[0].0, "preflight");
    assert!(appliance.problems().contains("no room for 1.2"));
    appliance.expect_nothing_left("preflight");
}

#[test]
fn the_first_activation_is_undone_to_nothing() {
    let fresh = Appliance::new(true);
    let config = config(false);
    let appliance = fresh.copy();
    let outside = Outside::failing("flux ready");
    let error = appliance.activate(&outside, &config, 2).unwrap_err();
    assert!(matches!(&error, Error::Activation(Refusal::WentBack { active: None, .. })), "{error}");
    assert!(outside.calls().contains(&"undo os -".to_owned()));
    assert_eq!(appliance.states(), fresh.states());
    appliance.expect_nothing_left("nothing");

    let appliance = fresh.copy();
    let interrupted = appliance.activate(&Outside::patient(6), &config, 2).unwrap_err();
    assert_eq!(interrupted.class(), Class::Interrupted);
    let done = appliance.roll_back(&Outside::default(), &config).unwrap();
    assert_eq!(done.to, None);
    assert_eq!(appliance.states(), fresh.states());
    appliance.expect_nothing_left("given up");
}

/// What the power cut left of the journal.
#[derive(Clone, Copy, Debug)]
enum Left {
    /// All of it.
    All,
    /// All but half of the last line.
    Half,
    /// All but the last line: what it says was not done yet, what comes before it was.
    AllButOne,
}

type Command = fn(&Appliance, &Outside, &Config) -> Result<(), Error>;
/// Its name, where it begins, what is done, what fails in it, what is done after the crash, and how it ends.
type Crash<'a> = (&'static str, &'a Appliance, Command, Option<&'static str>, Command, &'static str);

#[test]
fn a_crash_at_any_line_is_gone_on_with() {
    let fresh = Appliance::new(false);
    let forward = config(true);
    let active = fresh.copy();
    active.activate(&Outside::default(), &forward, 2).unwrap();
    let activate: Command = |appliance, outside, config| appliance.activate(outside, config, 2).map(drop);
    let roll_back: Command = |appliance, outside, config| appliance.roll_back(outside, config).map(drop);
    let resume: Command = |appliance, outside, config| appliance.resume(outside, config).map(drop);
    let back = "1 active, 2 retained, 3 staged";
    let cases: [Crash<'_>; 6] = [
        ("forward, again", &fresh, activate, None, activate, NEW),
        ("forward, resume", &fresh, activate, None, resume, NEW),
        ("forward, rollback", &fresh, activate, None, roll_back, OLD),
        ("forward, fails", &fresh, activate, Some("run os"), resume, OLD),
        ("back, again", &active, roll_back, None, roll_back, back),
        ("back, resume", &active, roll_back, None, resume, back),
    ];
    for (name, begin, command, failing, after, end) in cases {
        for patience in 1.. {
            let mut crashes = 0;
            for left in [Left::All, Left::Half, Left::AllButOne] {
                let what = format!("{name}, crash {patience}, {left:?}");
                let appliance = begin.copy();
                let outside = Outside { failing, ..Outside::patient(patience) };
                let cut = command(&appliance, &outside, &forward);
                let is_crash = matches!(&cut, Err(error) if error.class() == Class::Interrupted);
                crashes += usize::from(is_crash);
                if !is_crash || !cut_journal(&appliance.store, left) {
                    continue;
                }
                let on = after(&appliance, &Outside { failing, ..Outside::default() }, &forward);
                let has_ended = UnderWay::of(&appliance.store).unwrap().is_none();
                assert!(has_ended, "{what}: {on:?}");
                // Where the last phase was done already, giving it up comes too late.
                if name == "forward, rollback" && appliance.states() == "1 active, 2 retained, 3 staged" {
                    assert!(on.is_ok(), "{what}: {on:?}");
                } else {
                    assert_eq!(appliance.states(), end, "{what}: {on:?}");
                }
                assert!(appliance.failures().len() <= 1, "{what}: {:?}", appliance.failures());
                appliance.expect_nothing_left(&what);
            }
            if crashes == 0 {
                assert!(patience > 6, "{name}: there were only {patience} places");
                break;
            }
        }
    }
}

/// Cuts the journal as a power cut would; `false` if that leaves nothing of it, as if nothing had begun.
fn cut_journal(store: &Store, left: Left) -> bool {
    let path = store.activation_journal();
    let text = fs::read(&path).unwrap();
    let lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
    let last = lines.last().unwrap().len();
    let keep = match left {
        Left::All => text.len(),
        Left::Half => text.len() - last / 2,
        Left::AllButOne => text.len() - last,
    };
    // The first line is written beside and renamed: all of it is there, or no journal.
    let is_first = lines.len() == 1 && keep < text.len();
    if !is_first {
        fs::write(&path, &text[..keep]).unwrap();
    }
    !is_first
}

#[test]
fn a_journal_of_another_time() {
    let fresh = Appliance::new(false);
    let config = config(false);
    fresh.activate(&Outside::patient(4), &config, 2).unwrap_err();
    let path = fresh.store.activation_journal();
    let journal = fs::read_to_string(&path).unwrap();
    // A later program adds to an entry what an earlier one can do without.
    let appliance = fresh.copy();
    let more = journal.replace("\"entry\":\"at\"", "\"entry\":\"at\",\"mood\":\"good\"");
    fs::write(appliance.store.activation_journal(), more).unwrap();
    appliance.resume(&Outside::default(), &config).unwrap();
    assert_eq!(appliance.states(), NEW);
    let unknown = [
        (journal.replace("\"phase\":\"serve\"", "\"phase\":\"pray\""), "unknown variant `pray`"),
        (journal.replace("\"entry\":\"at\"", "\"entry\":\"sometimes\""), "unknown variant `sometimes`"),
        (journal.lines().skip(1).collect::<Vec<_>>().join("\n"), "does not say what was begun"),
        (String::new(), "nothing in it"),
        ([journal.as_str(), journal.as_str()].concat(), "begins twice"),
        ([journal.as_str(), &" ".repeat(16 << 20)].concat(), "longer than"),
    ];
    for (text, wanted) in unknown {
        let appliance = fresh.copy();
        let before = appliance.states();
        fs::write(appliance.store.activation_journal(), text).unwrap();
        for result in [
            appliance.resume(&Outside::default(), &config).map(drop),
            appliance.activate(&Outside::default(), &config, 2).map(drop),
            appliance.roll_back(&Outside::default(), &config).map(drop),
        ] {
            let error = result.unwrap_err();
            assert!(
                error.to_string().contains(wanted) && error.code().to_string() == "SL0529",
                "{wanted}: {error}"
            );
        }
        assert_eq!(appliance.states(), before, "{wanted}");
        assert!(appliance.problems().contains(wanted), "{wanted}");
    }
}

#[test]
fn a_configuration_of_another_time() {
    let fresh = Appliance::new(false);
    let config = config(false);
    fresh.activate(&Outside::patient(6), &config, 2).unwrap_err();
    let without = |what: &str| {
        let text: Vec<&str> = CONFIG.lines().filter(|line| !line.contains(what)).collect();
        serde_saphyr::from_str::<Config>(&text.join("\n")).unwrap()
    };
    let error = fresh.copy().roll_back(&Outside::default(), &without("name: os")).unwrap_err();
    assert!(error.to_string().contains("the hook `os`") && error.code().to_string() == "SL0530", "{error}");
    let error = fresh.copy().resume(&Outside::default(), &without("kubeconfig")).unwrap_err();
    assert!(error.to_string().contains("`flux`") && error.code().to_string() == "SL0530", "{error}");
    fresh.resume(&Outside::default(), &config).unwrap();
    assert_eq!(fresh.states(), NEW);
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
