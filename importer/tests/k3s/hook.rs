//! k3s as a hook of `sealiftctl activate`.

use crate::site::{NEW, OLD, Site};
use fs_err as fs;

/// The configuration as the documentation has it, for an appliance that is alone.
fn configure(site: &Site) {
    let program = assert_cmd::cargo::cargo_bin!("sealiftctl").display().to_string();
    let config = site.config().display().to_string();
    let line = |words: &str| format!("[{program}, --config, {config}, k3s, {words}]");
    let text = fs::read_to_string(site.config()).unwrap();
    let alone: Vec<&str> = text.lines().filter(|line| !line.starts_with("cluster:")).collect();
    let text = format!(
        "{}\n  preflight: [{{name: k3s, command: {}}}]\n  hooks:\n  - {{name: k3s, command: {}, undo: {}, pointOfNoReturn: true, \
         rollbackWarning: what came since is lost}}\n",
        alone.join("\n"),
        line("upgrade, --check"),
        line("upgrade"),
        line("downgrade")
    );
    fs::write(site.config(), text).unwrap();
}

fn fresh() -> Site {
    let site = Site::staged("{role: single}", "node-a");
    configure(&site);
    site.install(None).unwrap();
    site.tell("of before");
    site
}

#[test]
fn a_release_brings_its_k3s_and_a_rollback_the_one_before() {
    let site = fresh();
    let before = site.state();
    site.ok(&["activate", "1.2"]);
    assert!(site.state().contains(&format!("version {NEW}")), "{}", site.state());
    site.tell("of after");
    let said = site.refused(&["rollback"]);
    assert!(said.contains("SL0531") && said.contains("what came since is lost"), "{said}");
    site.ok(&["rollback", "--yes"]);
    assert_eq!(site.state(), before);
    assert!(before.contains(&format!("version {OLD}")));
}

#[test]
fn what_is_refused_changes_nothing() {
    let site = fresh();
    let before = site.state();
    site.fault("unready", "");
    let said = site.refused(&["activate", "1.2"]);
    assert!(said.contains("SL0525") && said.contains("SL0748"), "{said}");
    fs::remove_file(site.root().join("faults/unready")).unwrap();
    assert_eq!(site.state(), before);
}

#[test]
fn what_fails_behind_the_point_of_no_return_stops_and_both_ways_are_open() {
    for is_on in [true, false] {
        let site = fresh();
        let before = site.state();
        site.fault(&format!("broken-{NEW}"), "");
        let said = site.refused(&["activate", "1.2"]);
        assert!(said.contains("SL0527") && said.contains("starting k3s"), "{said}");
        // The new one has been at the data: the one before cannot read them any more.
        if is_on {
            fs::remove_file(site.root().join(format!("faults/broken-{NEW}"))).unwrap();
            site.ok(&["activate", "1.2"]);
            assert!(site.state().contains(&format!("version {NEW}")));
        } else {
            site.ok(&["rollback", "--yes"]);
            assert_eq!(site.state(), before);
        }
    }
}
