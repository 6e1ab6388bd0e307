//! The disk is full, cannot be read or cannot be written from the n-th occasion on, for each n: the command ends with an
//! error that says what to do, and once the disk is well again, it goes on from there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::command::{Command, Failure};
use crate::mount::{Fault, Mounted};
use crate::releases::place;
use crate::scenario::Scenario;
use crate::sweep::{choose, sweep};

/// Occasions of each kind that a short run tries.
const FEW: usize = 8;

fn fail_at_every_occasion(what: &str, scenario: &Scenario, fault: fn(usize) -> Fault) {
    let mounted = Mounted::failing(scenario.start.clone(), fault(usize::MAX));
    scenario.command.run(mounted.path()).expect("nothing goes wrong on this disk");
    let occasions = mounted.occasions();
    drop(mounted);
    let what = format!("{}, {what} ({occasions} occasions)", scenario.name);
    sweep(&what, &choose((0..occasions).collect(), FEW), |&number| {
        let mounted = Mounted::failing(scenario.start.clone(), fault(number));
        let ended = run(&scenario.command, mounted.path());
        let (disk, struck) = (mounted.disk(), mounted.has_failed());
        drop(mounted);
        let context = |trouble| format!("{what}, after {number}: {trouble}");
        expect_struck(number, struck).and_then(|()| expect_explained(ended, struck)).map_err(context)?;
        let dir = place();
        let place = dir.path().join("disk");
        disk.write(&place);
        scenario.trouble(&place).map_err(context)
    });
}

/// Runs a command that may fail, and may not panic.
pub(crate) fn run(command: &Command, disk: &Path) -> Result<Result<(), Failure>, String> {
    catch_unwind(AssertUnwindSafe(|| command.run(disk))).map_err(|_| "it panicked".to_owned())
}

/// The first occasion comes in every run; how many follow may differ a little from run to run.
pub(crate) fn expect_struck(number: usize, struck: bool) -> Result<(), String> {
    if number == 0 && !struck { Err("nothing went wrong".to_owned()) } else { Ok(()) }
}

/// An error has to say what to do. What goes wrong late may do no harm; what did not go wrong may not be an error.
pub(crate) fn expect_explained(
    ended: Result<Result<(), Failure>, String>,
    struck: bool,
) -> Result<(), String> {
    match ended? {
        Err(error) if !struck => Err(format!("nothing went wrong, and yet: {error}")),
        // That something is not there needs no advice.
        Err(error) if error.hint.is_none() && !error.message.contains("No such file") => {
            Err(format!("without a hint: {error}"))
        }
        _ => Ok(()),
    }
}

#[test]
fn the_disk_is_full() {
    // Not a collection: this disk stays full, whatever is removed. The store has a test on one that does not.
    let scenarios = [
        Scenario::first_import(),
        Scenario::upgrade(),
        Scenario::rollback(),
        Scenario::repair(),
        Scenario::activation_with_host(),
        Scenario::activation_in_vain(),
        Scenario::mirror(),
    ];
    for scenario in scenarios {
        fail_at_every_occasion("a full disk", &scenario, Fault::full_after);
    }
}

#[test]
fn the_store_cannot_be_read() {
    // Not a repair: it takes what cannot be read for damage, and removes it.
    for scenario in [Scenario::upgrade(), Scenario::rollback(), Scenario::collection(), Scenario::mirror()] {
        fail_at_every_occasion("a store that cannot be read", &scenario, Fault::unreadable_after);
    }
}

#[test]
fn nothing_can_be_made_durable() {
    let scenarios = [
        Scenario::upgrade(),
        Scenario::rollback(),
        Scenario::activation_with_host(),
        Scenario::activation_in_vain(),
        Scenario::collection(),
        Scenario::mirror(),
    ];
    for scenario in scenarios {
        fail_at_every_occasion("fsync that fails", &scenario, Fault::unsynced_after);
    }
}
