//! `sealiftctl import --activate` is killed at random times, on an ordinary disk.

use std::time::{Duration, Instant};

use fastrand::Rng;
use sealift_tests::{binaries, scratch};

use crate::scenario::{RELEASES, Scenario};
use crate::sweep::{is_soak, sweep, tell};

const TIMES: usize = 50;
const TIMES_IN_A_LONG_RUN: usize = 500;
const SEED: u64 = 2026;

#[test]
fn the_program_is_killed() {
    let scenario = Scenario::upgrade();
    let times = if is_soak() { TIMES_IN_A_LONG_RUN } else { TIMES };
    let longest = time_of(&scenario);
    let mut rng = Rng::with_seed(SEED);
    let moments: Vec<Duration> = (0..times).map(|_| longest.mul_f64(rng.f64())).collect();
    tell(&format!("killed within {} ms, seed {SEED}", longest.as_millis()));
    sweep("killed", &moments, |&moment| {
        let dir = scratch();
        let store = dir.path().join("store");
        scenario.start.write(&store);
        let mut import = importing(&store).spawn().expect("the program starts");
        // Not a wait for something to happen: the time itself is what is tried.
        std::thread::sleep(moment);
        import.kill().and_then(|()| import.wait()).expect("the program was running, or had ended");
        scenario.trouble(&store).map_err(|trouble| format!("after {moment:?}: {trouble}"))
    });
}

fn importing(store: &std::path::Path) -> std::process::Command {
    let mut command = std::process::Command::new(binaries::path("sealiftctl"));
    command.arg("--store").arg(store).arg("import").arg(&RELEASES.second).arg("--activate");
    command.env_remove("SEALIFT_STORE").env_remove("SEALIFT_CONFIG");
    command.stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command
}

/// How long it takes if nobody kills it.
fn time_of(scenario: &Scenario) -> Duration {
    let dir = scratch();
    let store = dir.path().join("store");
    scenario.start.write(&store);
    let begun = Instant::now();
    assert!(importing(&store).status().expect("the program starts").success());
    begun.elapsed()
}
