//! `sealiftctl` is killed at random times, on an ordinary disk.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use fastrand::Rng;
use fs_err as fs;
use sealift_tests::{is_soak, process, scratch, tell};

use crate::releases::STORE;
use crate::scenario::Scenario;
use crate::sweep::sweep;

const TIMES: usize = 50;
const TIMES_IN_A_LONG_RUN: usize = 500;
const SEED: u64 = 2026;

/// Kills a command one time in so many of those that imports are.
fn kill(scenario: &Scenario, share: usize) {
    let times = if is_soak() { TIMES_IN_A_LONG_RUN } else { TIMES } / share;
    let longest = time_of(scenario);
    let mut rng = Rng::with_seed(SEED);
    let moments: Vec<Duration> = (0..times).map(|_| longest.mul_f64(rng.f64())).collect();
    let name = scenario.name;
    tell(&format!("{name}: killed within {} ms, seed {SEED}", longest.as_millis()));
    sweep(&format!("{name}, killed"), &moments, |&moment| {
        let dir = scratch();
        let disk = dir.path().join("disk");
        scenario.start.write(&disk);
        let mut program = silent(scenario, &disk).spawn().expect("the program starts");
        // Not a wait for something to happen: the time itself is what is tried.
        std::thread::sleep(moment);
        program.kill().and_then(|()| program.wait()).expect("the program was running, or had ended");
        await_hook(&disk);
        scenario.trouble(&disk).map_err(|trouble| format!("{name}, after {moment:?}: {trouble}"))
    });
}

fn silent(scenario: &Scenario, disk: &Path) -> std::process::Command {
    let mut command = scenario.command.program(disk);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// How long it takes if nobody kills it.
fn time_of(scenario: &Scenario) -> Duration {
    let dir = scratch();
    let disk = dir.path().join("disk");
    scenario.start.write(&disk);
    let begun = Instant::now();
    assert!(silent(scenario, &disk).status().expect("the program starts").success());
    begun.elapsed()
}

/// A hook that is at work when its activation is killed comes to its end; until then, the next try is refused.
fn await_hook(disk: &Path) {
    let Ok(hook) = fs::File::open(disk.join(STORE).join("activation/hook")) else { return };
    process::wait_until("the hook has ended", || hook.file().try_lock().is_ok());
}

#[test]
fn an_import_is_killed() {
    kill(&Scenario::upgrade(), 1);
}

#[test]
fn an_activation_is_killed() {
    kill(&Scenario::activation_with_host(), 5);
}

#[test]
fn a_collection_is_killed() {
    kill(&Scenario::collection(), 5);
}

#[test]
fn a_mirror_is_killed() {
    kill(&Scenario::mirror(), 5);
}
