//! The power goes while an appliance takes a release from a stick: in a machine of its own, whose kernel reads vfat and writes
//! ext4 as those of appliances do.
//!
//! The crash tests try every state that a disk may be in, by rules that are worse than those of real file systems; here the
//! file systems are real, and the states those that come up. Run by `make test-power`, not by `make test`: a machine takes
//! seconds to start, and needs Debian's User-Mode Linux.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use sealift_lab::machine::{Machine, Running};
use sealift_tests::trust::ONLINE;
use sealift_tests::{Appliance, Releases, binaries, is_soak, process, scratch, tell};
use serde_json::Value;

/// Power cuts at random moments, in a short run and in a long one.
const MOMENTS: usize = 7;
const MOMENTS_IN_A_LONG_RUN: usize = 100;
/// Power cuts right after something was said, in a short run; a long one cuts after every line.
const LINES: usize = 3;
const SEED: u64 = 61;

/// When the power goes: after so many lines on the console, and so long after that.
#[derive(Clone, Copy, Debug)]
struct Cut {
    lines: usize,
    then: Duration,
}

#[test]
fn the_power_goes_while_a_release_comes_from_a_stick() {
    let releases = Releases::new(&ONLINE);
    let appliance = Appliance::running(&ONLINE, &releases.first);
    let content = scratch();
    process::run(Command::new("cp").arg("--archive").arg(appliance.store()).arg(content.path()));
    let dir = scratch();
    let machine = machine(dir.path(), &releases.second);
    let disk = machine.format(content.path()).expect("a data disk");

    let undisturbed = machine.copy(&disk).expect("a disk");
    let mut running = start(&machine, "take", &undisturbed);
    let begun = Instant::now();
    assert_eq!(running.await_guest("ended").expect("it ends"), "0", "{:?}", running.said());
    let (longest, lines) = (begun.elapsed(), running.said().len());
    drop(running);
    go_on(&machine, &undisturbed);
    assert_eq!(active(&machine, "before"), "2.0.0");
    let names = result(&machine, "before.names");
    assert_eq!(result(&machine, "after.names"), names, "a second time");
    tell(&format!("undisturbed: {} ms, {lines} lines; seed {SEED}", longest.as_millis()));

    let mut old = 0;
    let cuts = cuts(longest, lines);
    for &cut in &cuts {
        let disk = machine.copy(&disk).expect("a disk");
        let mut running = start(&machine, "take", &disk);
        running.await_lines(cut.lines).expect("it says something");
        // Not a wait for something to happen: the time itself is what is tried.
        thread::sleep(cut.then);
        drop(running);
        go_on(&machine, &disk);
        let before = active(&machine, "before");
        assert!(["1.0.0", "2.0.0"].contains(&before.as_str()), "{cut:?}: {before} is active");
        tell(&format!("{cut:?}: {before} is active"));
        old += usize::from(before == "1.0.0");
        assert_eq!(active(&machine, "after"), "2.0.0", "{cut:?}");
        assert_eq!(result(&machine, "after.names"), names, "{cut:?}: something is left over or missing");
    }
    tell(&format!(
        "{} power cuts: {old} times the old release, {} times the new",
        cuts.len(),
        cuts.len() - old
    ));
    assert!(old > 0, "no power cut was in time");
}

#[test]
fn what_was_not_synced_is_lost() {
    let dir = scratch();
    let archive = dir.path().join("nothing");
    fs_err::write(&archive, "").expect("a file for the stick");
    let machine = machine(dir.path(), &archive);
    let disk = machine.format(dir.path()).expect("a data disk");
    for task in ["lose", "find"] {
        assert_eq!(start(&machine, task, &disk).await_guest("ended").expect("it ends"), "0");
    }
    assert_eq!(
        (result(&machine, "unsynced"), result(&machine, "synced")),
        (String::new(), "second".to_owned())
    );
}

/// A machine with this archive on the stick.
fn machine(dir: &Path, archive: &Path) -> Machine {
    Machine::new(dir, archive, &binaries::path("sealiftctl")).expect("a machine; run: make test-power")
}

fn start(machine: &Machine, task: &str, disk: &Path) -> Running {
    machine.start(task, "2.0.0", disk).expect("the machine starts")
}

fn result(machine: &Machine, name: &str) -> String {
    machine.result(name).expect("the machine has written it")
}

fn cuts(longest: Duration, lines: usize) -> Vec<Cut> {
    let mut rng = Rng::with_seed(SEED);
    let moments = if is_soak() { MOMENTS_IN_A_LONG_RUN } else { MOMENTS };
    let between = longest / u32::try_from(lines).expect("a few lines");
    let moments = (0..moments).map(|_| Cut { lines: rng.usize(0..lines), then: between.mul_f64(rng.f64()) });
    let step = if is_soak() { 1 } else { lines.div_ceil(LINES) };
    (1..=lines).step_by(step).map(|lines| Cut { lines, then: Duration::ZERO }).chain(moments).collect()
}

/// Switches the machine on again: the store is whole, what was interrupted is gone on with, and it is whole again.
fn go_on(machine: &Machine, disk: &Path) {
    start(machine, "again", disk).await_guest("ended").expect("it ends");
    for (code, words) in
        [("before.verified", "before.verify"), ("taken", "again"), ("after.verified", "after.verify")]
    {
        assert_eq!(result(machine, code), "0", "{code}: {}", result(machine, words));
    }
}

/// The version of the release that the status called active then.
fn active(machine: &Machine, when: &str) -> String {
    let status: Value = serde_json::from_str(&result(machine, &format!("{when}.status"))).expect("JSON");
    status["active"]["version"].as_str().unwrap_or_default().to_owned()
}
