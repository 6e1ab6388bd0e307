//! How much Flux notices of nodes that die or are cut off, and of a registry that is started anew: it runs on one of three nodes
//! and reads from the registry there, as its pods do.

use std::process::Command;

use sealift_tests::binaries;
use sealift_tests::process::{self, Daemon};
use serde_json::{Value, json};

use super::{Cluster, GIT, manifest, version};
use crate::control_plane::wait_for;
use crate::network::NETWORK;
use crate::{CONFIG_MAPS, KUSTOMIZATIONS, REPOSITORIES, condition_of, object};

/// The node that Flux runs on.
const HOME: usize = 0;
/// How often Flux looks, so that it looks in the midst of everything.
const INTERVAL: &str = "1s";
const OCI_REPOSITORIES: &str = "/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/ocirepositories";
/// How often Flux may have to try again, for any fault.
const MAX_RETRIES: usize = 1;
/// Times that the registry is started anew.
const RESTARTS: usize = 3;

/// What `sealift-registry.socket` and `sealift-registry.service` do: the sockets stay while the registry is started anew, a
/// second after it has died (`RestartSec=1`).
const UNIT: &str = r#"while :; do
  setpriv --pdeathsig KILL sh -c 'echo $$ >registry.pid; LISTEN_PID=$$ exec "$0" "$@"' "$0" "$@"
  sleep 1
done"#;

impl Cluster {
    /// Lets Flux live from the registry of the node that it runs on, which runs as its unit does.
    fn start_flux(&mut self) {
        self.nodes[HOME].registry = None;
        let mut unit = self.network.on(HOME, "systemd-socket-activate");
        for address in self.registry_addresses(HOME) {
            unit.args(["--listen", &address]);
        }
        let appliance = &self.nodes[HOME].appliance;
        unit.current_dir(appliance.path(".")).args(["sh", "-c", UNIT]);
        unit.arg(binaries::path("sealift-registry")).arg("--store").arg(appliance.store());
        unit.args(["--allow", NETWORK]);
        let mut registry = Daemon::start("registry", &unit, &appliance.path("."));
        registry.await_ready(|log| log.contains("Listening on"));
        self.nodes[HOME].registry = Some(registry);
        assert_eq!(self.status(HOME, GIT), 200);

        self.plane.start_flux_on(&self.network, HOME);
        let registry = &self.registry_addresses(HOME)[0];
        let git = json!({
            "interval": INTERVAL, "url": format!("http://{registry}/git/fleet.git"), "ref": {"branch": "main"},
        });
        let git = object("source.toolkit.fluxcd.io/v1", "GitRepository", "fleet", &git);
        self.plane.apply(REPOSITORIES, &git);
        let oci = json!({
            "interval": INTERVAL, "url": format!("oci://{registry}/flux/apps"), "insecure": true,
            "ref": {"semver": ">=0.0.0-0"},
        });
        self.plane
            .apply(OCI_REPOSITORIES, &object("source.toolkit.fluxcd.io/v1", "OCIRepository", "apps", &oci));
    }

    /// Waits until Flux has applied this release, and all that it has is ready.
    fn wait_taken(&self, sequence: u64) {
        wait_for(&format!("release {sequence} in Flux"), || {
            let applied = self.plane.get(&format!("{CONFIG_MAPS}/app")).unwrap_or_default();
            let artifact = self.plane.get(&format!("{OCI_REPOSITORIES}/apps")).unwrap_or_default();
            let objects = [REPOSITORIES, KUSTOMIZATIONS].map(|kind| format!("{kind}/fleet"));
            let are_ready = objects.iter().all(|path| is_ready(&self.plane.get(path).unwrap_or_default()));
            let revision = artifact["status"]["artifact"]["revision"].as_str().unwrap_or_default();
            let is_new = revision.starts_with(&format!("{}@", version(sequence)));
            if applied["data"]["release"] == *version(sequence) && is_new && is_ready(&artifact) && are_ready
            {
                Ok(())
            } else {
                Err(format!("{applied}\n{}\n{}", artifact["status"], self.plane.log("source-controller")))
            }
        });
    }

    /// What Flux failed to fetch, so far.
    fn failed_fetches(&self) -> Vec<String> {
        self.plane.failures("source-controller")
    }

    fn expect_few_retries(&self, before: usize, fault: &str) {
        let failed = self.failed_fetches().split_off(before);
        assert!(failed.len() <= MAX_RETRIES, "{fault}: {failed:#?}");
    }

    /// The number of the process that is the registry of Flux's node.
    fn registry_pid(&self) -> String {
        let pid = fs_err::read_to_string(self.nodes[HOME].appliance.path("registry.pid"));
        pid.unwrap_or_default().trim().to_owned()
    }

    /// Lets Flux look once more, and waits until it has what it looked for.
    fn look_again(&self, moment: &str) {
        let sources = [(REPOSITORIES, "GitRepository", "fleet"), (OCI_REPOSITORIES, "OCIRepository", "apps")];
        let paths = sources.map(|(kind, _, name)| format!("{kind}/{name}"));
        for path in &paths {
            self.plane.ask(path, moment);
        }
        for path in &paths {
            wait_for(path, || {
                let found = self.plane.get(path).unwrap_or_default();
                let has_looked = found["status"]["lastHandledReconcileAt"] == moment;
                if has_looked && is_ready(&found) { Ok(()) } else { Err(found["status"].to_string()) }
            });
        }
    }
}

fn is_ready(object: &Value) -> bool {
    condition_of(object, "Ready")["status"] == "True"
}

#[test]
fn flux_notices_nothing_of_other_nodes_and_little_of_its_own_registry() {
    let mut cluster = Cluster::running(1);
    cluster.start_flux();
    cluster.wait_taken(1);

    // A node dies. The others go on without it, and nobody who pulls from them, or reads Git there, is turned away.
    let before = cluster.failed_fetches().len();
    cluster.import(HOME, &cluster.bundle(2));
    cluster.kill(1);
    cluster.pulling(&[0, 2], 1, || {
        cluster.activate(HOME, 2);
        cluster.wait_taken(2);
    });
    cluster.expect_few_retries(before, "a node was killed");
    cluster.start(1);
    cluster.wait_active(&[1], 2);

    // Another is cut off: whatever is sent to it is lost.
    let before = cluster.failed_fetches().len();
    cluster.import(HOME, &cluster.bundle(3));
    cluster.network.cut(2);
    cluster.pulling(&[0, 1, 2], 2, || {
        cluster.activate(HOME, 3);
        cluster.wait_taken(3);
    });
    cluster.expect_few_retries(before, "a node was cut off");
    cluster.network.mend(2);
    cluster.wait_active(&[2], 3);

    // The registry that Flux reads from dies.
    for restart in 0..RESTARTS {
        let (before, pid) = (cluster.failed_fetches().len(), cluster.registry_pid());
        cluster.pulling(&[1, 2], 3, || {
            process::run(Command::new("kill").args(["-KILL", &pid]));
            cluster.look_again(&format!("restart {restart}"));
        });
        assert_ne!(cluster.registry_pid(), pid, "it is another process");
        cluster.expect_few_retries(before, "its registry was started anew");
    }
    assert_eq!(cluster.status(HOME, &manifest(3)), 200);

    // One that stays away is noticed, so what was counted would have been.
    let before = cluster.failed_fetches().len();
    cluster.nodes[HOME].registry = None;
    process::wait_until("Flux fails", || cluster.failed_fetches().len() > before);
}
