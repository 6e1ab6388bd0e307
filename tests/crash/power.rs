//! The power goes at every operation that changes the disk: whatever of it is there when the power comes back, the old
//! release or the new one is served, and the next try ends as if nothing had been.

use fastrand::Rng;
use sealift_tests::{is_soak, tell};

use crate::disk::crash_states;
use crate::mount::Mounted;
use crate::releases::place;
use crate::scenario::Scenario;
use crate::sweep::{choose, sweep};

/// States of each command that a short run looks at.
const FEW: usize = 24;
/// What the kernel may have written back by itself, after each operation of a long run.
const SHUFFLES: usize = 2;
const SEED: u64 = 6;

fn cut_at_every_operation(scenario: &Scenario) {
    let mounted = Mounted::logged(scenario.start.clone());
    scenario.command.run(mounted.path()).expect("nothing goes wrong on this disk");
    let log = mounted.take_log();
    drop(mounted);
    let shuffles = if is_soak() { SHUFFLES } else { 0 };
    let states = crash_states(&scenario.start, &log, shuffles, &mut Rng::with_seed(SEED));
    let (name, distinct) = (scenario.name, states.distinct.len());
    tell(&format!("{name}: {} operations, {} states, {distinct} distinct", log.len(), states.made));
    sweep(name, &choose(states.distinct, FEW), |(what, disk)| {
        let dir = place();
        let place = dir.path().join("disk");
        disk.write(&place);
        scenario.trouble(&place).map_err(|trouble| format!("{name}, {what}: {trouble}"))
    });
}

#[test]
fn the_power_goes_during_the_first_import() {
    cut_at_every_operation(&Scenario::first_import());
}

#[test]
fn the_power_goes_during_an_upgrade() {
    cut_at_every_operation(&Scenario::upgrade());
}

#[test]
fn the_power_goes_during_an_activation() {
    cut_at_every_operation(&Scenario::activation());
}

#[test]
fn the_power_goes_during_a_rollback() {
    cut_at_every_operation(&Scenario::rollback());
}

#[test]
fn the_power_goes_during_a_repair() {
    cut_at_every_operation(&Scenario::repair());
}

#[test]
fn the_power_goes_during_an_activation_with_a_host() {
    cut_at_every_operation(&Scenario::activation_with_host());
}

#[test]
fn the_power_goes_during_an_activation_in_vain() {
    cut_at_every_operation(&Scenario::activation_in_vain());
}

#[test]
fn the_power_goes_during_a_rollback_with_a_host() {
    cut_at_every_operation(&Scenario::rollback_with_host());
}

#[test]
fn the_power_goes_during_a_collection() {
    cut_at_every_operation(&Scenario::collection());
}

#[test]
fn the_power_goes_while_an_unfinished_import_is_removed() {
    cut_at_every_operation(&Scenario::given_up());
}

#[test]
fn the_power_goes_while_it_mirrors() {
    cut_at_every_operation(&Scenario::mirror());
}
