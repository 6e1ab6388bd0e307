//! A node of a cluster that nobody answers any more.

use fs_err as fs;

use crate::sealiftctl::Appliance;
use crate::vendor::ACME;

#[test]
fn a_node_whose_cluster_is_gone() {
    let appliance = Appliance::with_releases(1..=1);
    let bundle = appliance.bundle(&ACME, 2);
    appliance.done(&["import", &bundle]);
    // As the power would, in the middle of a switch that all had agreed on.
    let hook = "test -e $SEALIFT_STORE/../on || { kill -INT $PPID; exec sleep 60; }";
    let hooks = format!("hooks: [{{name: os, command: [/bin/sh, -c, '{hook}']}}]");
    let config = format!("apiVersion: sealift/v1\nkind: Appliance\nactivation:\n  {hooks}\n");
    fs::write(appliance.path("appliance.yaml"), &config).unwrap();
    let run = |args: &[&str]| appliance.run(&[&["--config", "appliance.yaml"], args].concat());
    assert_eq!(run(&["activate", "1.2"]).status.code(), Some(130));
    fs::write(appliance.path("on"), "").unwrap();
    // What concerns all nodes is no business of one, and could not be done either.
    let shared = "  flux: {kubeconfig: /gone}\n  health: {deadline: 1s, checks: [{name: web, command: [/bin/false]}]}\n";
    let cluster = "cluster: {node: node-a, kubeconfig: /gone, address: 'https://node-a:5443'}\n";
    fs::write(appliance.path("appliance.yaml"), [&config, shared, cluster].concat()).unwrap();
    let active = || appliance.store().situation().unwrap().active().map(|active| active.name.sequence.get());
    assert!(!run(&["rollback"]).status.success(), "nobody can be asked");
    let waiting = run(&["resume"]);
    assert!(String::from_utf8_lossy(&waiting.stdout).contains("when it has heard the others"), "{waiting:?}");
    assert_eq!(active(), Some(1));
    let alone = run(&["resume", "--alone"]);
    assert!(alone.status.success() && active() == Some(2), "{}", String::from_utf8_lossy(&alone.stderr));
    let again = run(&["resume", "--alone"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("No activation was interrupted"), "{again:?}");
}
