//! The medium that a release comes on gives read errors, gives less than was asked for, or is pulled out at the n-th
//! read, for each n.

use std::path::Path;

use fs_err as fs;

use crate::command::Command;
use crate::disk::Disk;
use crate::faults::{expect_explained, expect_struck, run};
use crate::mount::{Fault, Mounted};
use crate::releases::{RELEASES, place};
use crate::scenario::Scenario;
use crate::sweep::{choose, sweep};

const NAME: &str = "release.tar.zst";
/// Reads that a short run tries.
const FEW: usize = 8;
/// An odd number, so that nothing fits.
const SHORT_BYTES: u32 = 1021;

/// A medium with the second release on it.
fn medium() -> Disk {
    let dir = place();
    fs::copy(&RELEASES.second, dir.path().join(NAME)).expect("a copy of the archive");
    Disk::read(dir.path())
}

fn import_from(medium: &Mounted) -> Command {
    Command::Import(medium.path().join(NAME))
}

fn disk_of(scenario: &Scenario, dir: &Path) -> std::path::PathBuf {
    let disk = dir.join("disk");
    scenario.start.write(&disk);
    disk
}

fn fail_at_every_read(what: &str, fault: fn(usize) -> Fault) {
    let (scenario, medium) = (Scenario::upgrade(), medium());
    let mounted = Mounted::failing(medium.clone(), fault(usize::MAX));
    let dir = place();
    import_from(&mounted).run(&disk_of(&scenario, dir.path())).expect("nothing goes wrong with this medium");
    let reads = mounted.occasions();
    let what = format!("{what} ({reads} reads)");
    sweep(&what, &choose((0..reads).collect(), FEW), |&number| {
        let mounted = Mounted::failing(medium.clone(), fault(number));
        let dir = place();
        let disk = disk_of(&scenario, dir.path());
        let ended = run(&import_from(&mounted), &disk);
        let context = |trouble| format!("{what}, after {number}: {trouble}");
        let struck = mounted.has_failed();
        expect_struck(number, struck).and_then(|()| expect_explained(ended, struck)).map_err(context)?;
        scenario.trouble(&disk).map_err(context)
    });
}

#[test]
fn the_medium_gives_read_errors() {
    fail_at_every_read("read errors", Fault::unreadable_after);
}

#[test]
fn the_medium_is_pulled_out() {
    fail_at_every_read("pulled out", Fault::gone_after);
}

#[test]
fn the_medium_gives_less_than_was_asked_for() {
    let scenario = Scenario::upgrade();
    let mounted = Mounted::failing(medium(), Fault::short_reads(SHORT_BYTES));
    let dir = place();
    let disk = disk_of(&scenario, dir.path());
    import_from(&mounted).run(&disk).expect("a short read is no end");
    assert!(mounted.has_failed(), "no read was short");
    scenario.trouble(&disk).expect("all is well");
}
