//! People who press Ctrl-C, and machines that die. What is complete is kept, and the same command goes on from there.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use sealift_lab::vendor::{Fault, Target};
use sealift_tests::process::{self, Running, Signal};
use sealift_tests::trust::ACME;
use sealift_tests::vendor::behind_head;
use sealift_tests::{Appliance, Tree};

use crate::scene::{ARCHIVE, HALF, UNTROUBLED, defined, large, locked, offer, stalled, victim};
use crate::told::assert_told;

/// Exit status of a program that was asked to stop, and none for one that was killed.
const WAYS: [(Signal, Option<i32>); 2] = [(Signal::INT, Some(130)), (Signal::KILL, None)];

#[test]
fn locking_leaves_no_lock_behind() {
    let vendor = defined();
    offer(&vendor);
    vendor.registry().faults().always(Target::Any, Fault::Stall(1));
    let mut locking = Running::start(vendor.sealift().args(["lock", "RELEASE.yaml"]));
    locking.watch("the registry is asked", || !vendor.registry().seen().is_empty());
    locking.signal(Signal::INT);
    locking.end().expect(130).expect_said(&["stopped as asked"]);
    let left = Tree::read(&vendor.path("")).without("trust").names();
    assert_eq!(left, ["RELEASE.yaml"]);
}

#[test]
fn bundling_goes_on_where_it_was_stopped() {
    for (signal, status) in WAYS {
        let vendor = locked();
        let bundling = stalled(&vendor);
        bundling.signal(signal);
        let ended = bundling.end();
        assert_eq!(ended.code(), status, "{ended}");
        if signal == Signal::INT {
            assert_told!("bundling_interrupted", ended);
        }
        let partial = vendor.path("out").join(format!("{ARCHIVE}.partial"));
        assert!(partial.exists(), "{signal:?}: nothing is left to go on with");

        vendor.registry().faults().clear();
        vendor.registry().forget();
        assert!(behind_head(&vendor.bundle()) == *UNTROUBLED, "{signal:?}: another archive came out");
        assert_eq!(vendor.fetched(), [victim().to_string()].into(), "{signal:?}");
        assert_eq!(Tree::read(&vendor.path("out")).names(), [ARCHIVE], "{signal:?}");
        if signal == Signal::INT {
            let asked = vendor.requests_for(&victim().to_string())[0].range.clone().unwrap_or_default();
            let from = asked.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')?.parse().ok());
            assert!(
                from.is_some_and(|from| (1..=HALF).contains(&from)),
                "asked for `{asked}`, not for the rest"
            );
        }
    }
}

#[test]
fn importing_goes_on_where_it_was_stopped() {
    let vendor = locked();
    let running = vendor.bundle();
    let large = large(&vendor);
    for (signal, status) in WAYS {
        let appliance = Appliance::running(&ACME, &running);
        let (before, said_before) = (appliance.standing(), appliance.status());
        let had = appliance.blobs();
        let mut importing = Running::start(appliance.importing(&large).arg("--activate"));
        importing.watch("the first blobs are in the store", || appliance.blobs() > had);
        importing.signal(signal);
        let ended = importing.end();
        assert_eq!(ended.code(), status, "{ended}");
        if signal == Signal::INT {
            ended.expect_said(&["stopped as asked", "hint: run the same command again"]);
        }
        appliance.expect_standing(&before, "interrupted");
        let said = appliance.status();
        assert_eq!((&said["active"], &said["releases"]), (&said_before["active"], &said_before["releases"]));
        assert_eq!(said["unfinished"][0]["release"]["version"], "2.0.0", "{said}");

        let kept = files(&appliance);
        process::run(appliance.importing(&large).arg("--activate"));
        let now = files(&appliance);
        for (path, file) in &kept {
            assert_eq!(now.get(path), Some(file), "{signal:?}: `{}` was written again", path.display());
        }
        assert_eq!(appliance.active().as_deref(), Some("2.0.0"));
        assert!(appliance.leftovers().is_empty(), "{signal:?}: {:?}", appliance.leftovers());
        appliance.expect_whole();
    }
}

/// The blobs of a store, and which file each is.
fn files(appliance: &Appliance) -> BTreeMap<PathBuf, u64> {
    let entries = fs_err::read_dir(appliance.blobs_dir()).expect("the blobs");
    entries
        .map(|entry| {
            let entry = entry.expect("a blob");
            (entry.path(), entry.metadata().expect("a file").ino())
        })
        .collect()
}
