//! k3s's life cycle on one node and on three, with a stand-in for k3s that has its command line, its files and its exit statuses
//! (`stand-in/`): every step that fails, every step that is cut off, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod hook;
mod refused;
mod site;
mod three;
#[path = "../appliance/vendor.rs"]
#[expect(dead_code, reason = "the vendor of other tests can do more")]
mod vendor;

use sealift_archive::{Class, Explain as _};

use site::{NEW, OLD, Site};

/// Each program that an upgrade, or a way back, starts.
const OF_UPGRADE: [&str; 3] = ["etcd-snapshot", "install", "restart"];
const OF_DOWNGRADE: [&str; 4] = ["killall", "install", "cluster-reset", "restart"];
/// What becomes of it: it fails, or whoever has started it is killed before or after it is done.
const FAULTS: [&str; 3] = ["fail", "before", "after"];

#[test]
fn an_imported_release_is_installed_once() {
    let site = Site::empty("{role: single}", "node-a");
    site.import(1, OLD);
    let planned = site.ok(&["k3s", "install", "--plan"]);
    assert!(
        planned.contains("Install k3s v1.35.3+k3s1") && !site.root().join("usr/local/bin/k3s").exists(),
        "{planned}"
    );
    let said = site.ok(&["k3s", "install"]);
    assert_eq!(said, "k3s v1.35.3+k3s1 runs on node node-a, and is well\n");
    let before = site.everything();
    let again = site.ok(&["k3s", "install"]);
    assert_eq!(again, "k3s v1.35.3+k3s1 is as it should be: nothing is to be done\n");
    assert_eq!(site.everything(), before, "and nothing was");
    let status = site.ok(&["k3s", "status"]);
    assert!(status.contains("it runs, and is well") && status.contains("single"), "{status}");
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        fs_err::metadata(site.root().join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("etc/rancher/k3s/token"), mode("usr/local/bin/k3s")), (0o600, 0o755));
    assert_eq!((mode("var/lib/rancher/sealift"), mode("etc/rancher/k3s/config.yaml")), (0o700, 0o600));
}

#[test]
fn an_installation_that_fails_or_is_cut_off_anywhere_is_gone_on_with() {
    let undisturbed = Site::installed("{role: single}", "node-a").state();
    for step in 1..=6 {
        let site = Site::staged("{role: single}", "node-a");
        let error = site.install(Some(step)).unwrap_err();
        assert_eq!(error.class(), Class::Interrupted, "step {step}: {error}");
        site.install(None).unwrap();
        assert_eq!(site.state(), undisturbed, "cut off at step {step}");
    }
    for program in ["install", "restart"] {
        for fault in FAULTS {
            let site = Site::staged("{role: single}", "node-a");
            site.fault(program, fault);
            assert_ne!(site.run(&["k3s", "install"]).status.code(), Some(0), "{program} {fault}");
            site.again(&["k3s", "install"]);
            assert_eq!(site.state(), undisturbed, "{program} {fault}");
        }
    }
}

#[test]
fn what_is_lost_is_mended() {
    let site = Site::installed("{role: single}", "node-a");
    site.tell("something");
    let before = site.state();
    for lost in [
        "usr/local/bin/k3s",
        "etc/systemd/system/k3s.service",
        "etc/rancher/k3s/registries.yaml",
        "etc/rancher/k3s/token",
    ] {
        fs_err::remove_file(site.root().join(lost)).unwrap();
        site.install(None).unwrap();
        assert_eq!(site.state(), before, "{lost}");
    }
}

#[test]
fn an_upgrade_and_back_brings_what_was_there() {
    let site = Site::installed("{role: single}", "node-a");
    site.tell("of before");
    let before = site.state();
    let plan = site.ok(&["k3s", "upgrade", "--release", "1.2", "--plan"]);
    assert!(plan.contains("start        k3s; the point of no return"), "{plan}");
    site.ok(&["k3s", "upgrade", "--release", "1.2", "--check"]);
    assert_eq!(site.state(), before, "a check changes nothing");
    site.ok(&["k3s", "upgrade", "--release", "1.2"]);
    assert!(site.state().contains(NEW), "{}", site.state());
    assert!(site.ok(&["k3s", "upgrade", "--release", "1.2"]).contains("nothing is to be done"));
    site.tell("of after");
    let plan = site.ok(&["k3s", "downgrade", "--release", "1.1", "--plan"]);
    assert!(plan.contains("what came later is lost; the point of no return"), "{plan}");
    site.ok(&["k3s", "downgrade", "--release", "1.1"]);
    assert_eq!(site.state(), before);
    assert!(site.ok(&["k3s", "downgrade", "--release", "1.1"]).contains("nothing is to be done"));
    site.ok(&["k3s", "upgrade", "--release", "1.2"]);
}

#[test]
fn an_upgrade_that_fails_or_is_cut_off_anywhere_is_gone_on_with_or_gone_back_from() {
    let old = Site::installed("{role: single}", "node-a").state();
    let done = Site::installed("{role: single}", "node-a");
    done.upgrade(None).unwrap();
    let new = done.state();
    for step in 1..=6 {
        for is_on in [true, false] {
            let site = Site::installed("{role: single}", "node-a");
            let error = site.upgrade(Some(step)).unwrap_err();
            assert_eq!(error.class(), Class::Interrupted, "step {step}: {error}");
            let which = if is_on { site.upgrade(None) } else { site.downgrade(None) };
            which.unwrap();
            assert_eq!(
                site.state(),
                if is_on { &new[..] } else { &old[..] },
                "cut off at step {step}, on: {is_on}"
            );
        }
    }
    for program in OF_UPGRADE {
        for fault in FAULTS {
            for is_on in [true, false] {
                let site = Site::installed("{role: single}", "node-a");
                site.fault(program, fault);
                assert_ne!(
                    site.run(&["k3s", "upgrade", "--release", "1.2"]).status.code(),
                    Some(0),
                    "{program} {fault}"
                );
                let (command, release) = if is_on { ("upgrade", "1.2") } else { ("downgrade", "1.1") };
                site.again(&["k3s", command, "--release", release]);
                assert_eq!(
                    site.state(),
                    if is_on { &new[..] } else { &old[..] },
                    "{program} {fault}, on: {is_on}"
                );
            }
        }
    }
}

#[test]
fn a_way_back_that_fails_or_is_cut_off_anywhere_is_gone_on_with() {
    let upgraded = || {
        let site = Site::installed("{role: single}", "node-a");
        site.tell("of before");
        site.upgrade(None).unwrap();
        site.tell("of after");
        site
    };
    let done = upgraded();
    done.downgrade(None).unwrap();
    let old = done.state();
    for step in 1..=6 {
        let site = upgraded();
        let error = site.downgrade(Some(step)).unwrap_err();
        assert_eq!(error.class(), Class::Interrupted, "step {step}: {error}");
        site.downgrade(None).unwrap();
        assert_eq!(site.state(), old, "cut off at step {step}");
    }
    for program in OF_DOWNGRADE {
        for fault in FAULTS {
            let site = upgraded();
            site.fault(program, fault);
            assert_ne!(
                site.run(&["k3s", "downgrade", "--release", "1.1"]).status.code(),
                Some(0),
                "{program} {fault}"
            );
            site.again(&["k3s", "downgrade", "--release", "1.1"]);
            assert_eq!(site.state(), old, "{program} {fault}");
        }
    }
}

#[test]
fn a_snapshot_is_kept_with_its_token() {
    let site = Site::installed("{role: single}", "node-a");
    site.tell("something");
    let said = site.ok(&["k3s", "snapshot", "--name", "mine", "--json"]);
    let snapshot: serde_json::Value = serde_json::from_str(&said).unwrap();
    let folder = std::path::Path::new(snapshot["folder"].as_str().unwrap());
    assert!(fs_err::read_to_string(folder.join("snapshot")).unwrap().contains("something"));
    let token = fs_err::read_to_string(folder.join("token")).unwrap();
    assert!(token.starts_with("K10") && token.contains("::server:"), "{token}");
    let status: serde_json::Value = serde_json::from_str(&site.ok(&["k3s", "status", "--json"])).unwrap();
    assert_eq!(status["snapshots"][0], snapshot);
    assert_eq!(site.run(&["k3s", "snapshot", "--name", "../x"]).status.code(), Some(2));
}
