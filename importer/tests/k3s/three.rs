//! Three servers, one after the other.

use std::os::unix::fs::symlink;

use fs_err as fs;

use crate::site::{NEW, OLD, Site};
use crate::{FAULTS, OF_DOWNGRADE, OF_UPGRADE};

const JOIN: &str = "{role: join, server: 'https://10.0.0.11:6443'}";

/// The first server, and two that have joined it.
struct Three([Site; 3]);

impl Three {
    fn new() -> Self {
        let first = Site::installed("{role: first}", "node-a");
        first.tell("of before");
        let join = |name| {
            let site = Site::staged(JOIN, name);
            symlink(first.root(), site.root().join("peers/first")).unwrap();
            fs::create_dir_all(site.root().join("etc/rancher/k3s")).unwrap();
            let token = site.root().join("etc/rancher/k3s/token");
            fs::copy(first.root().join("var/lib/rancher/k3s/server/token"), token).unwrap();
            site.install(None).unwrap();
            site
        };
        let (b, c) = (join("node-b"), join("node-c"));
        Self([first, b, c])
    }

    fn states(&self) -> Vec<String> {
        self.0.iter().map(Site::state).collect()
    }

    fn all(&self, args: &[&str]) {
        self.0.iter().for_each(|site| site.again(args));
    }
}

const FORWARD: [&str; 4] = ["k3s", "upgrade", "--release", "1.2"];
const BACK: [&str; 4] = ["k3s", "downgrade", "--release", "1.1"];

#[test]
fn three_servers_go_on_and_back_one_after_the_other() {
    let three = Three::new();
    let old = three.states();
    assert!(old.iter().all(|state| state.contains(OLD) && state.contains("of before")), "{old:?}");
    three.all(&FORWARD);
    assert!(three.states().iter().all(|state| state.contains(NEW)));
    three.0[0].tell("of after");
    // Who has joined waits for the first, and gives up nothing before.
    let said = three.0[1].refused(&BACK);
    assert!(said.contains("waiting until https://10.0.0.11:6443 is back"), "{said}");
    assert!(three.0[1].root().join("var/lib/rancher/k3s/server/db/etcd").exists());
    three.all(&BACK);
    assert_eq!(three.states(), old);
}

#[test]
fn a_server_that_fails_or_is_cut_off_is_gone_on_with() {
    let undisturbed = Three::new();
    let old = undisturbed.states();
    undisturbed.all(&FORWARD);
    let new = undisturbed.states();
    for at in 0..3 {
        for program in OF_UPGRADE {
            for fault in FAULTS {
                let three = Three::new();
                three.0[at].fault(program, fault);
                for (index, site) in three.0.iter().enumerate() {
                    assert_eq!(site.run(&FORWARD).status.success(), index != at, "{at} {program} {fault}");
                    site.again(&FORWARD);
                }
                assert_eq!(three.states(), new, "{at} {program} {fault}");
            }
        }
    }
    for at in 0..3 {
        for program in OF_DOWNGRADE {
            // Only the first restores.
            if program == "cluster-reset" && at > 0 {
                continue;
            }
            for fault in FAULTS {
                let three = Three::new();
                three.all(&FORWARD);
                three.0[at].fault(program, fault);
                for (index, site) in three.0.iter().enumerate() {
                    assert_eq!(site.run(&BACK).status.success(), index != at, "{at} {program} {fault}");
                    site.again(&BACK);
                }
                assert_eq!(three.states(), old, "{at} {program} {fault}");
            }
        }
    }
}
