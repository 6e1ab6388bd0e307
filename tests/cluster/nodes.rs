//! Three nodes in three network namespaces, each with its store, its registry and its part of the protocol, and a real API
//! server between them: what all agree on reaches all, whoever dies, is cut off, comes back, is replaced, or lies.

mod faults;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::SystemTime;

use sealift_tests::process::{self, Daemon, Running};
use sealift_tests::trust::ACME;
use sealift_tests::vendor::HOST;
use sealift_tests::{Appliance, Vendor, binaries, fixture, peers};
use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, FLUX_SYSTEM, wait_for};
use crate::network::{NETWORK, Network};
use crate::{KUSTOMIZATIONS, ROLES, config_map, documented, documented_role, object};

const NODES: usize = 3;
const SYSTEM: &str = "sealift-system";
/// The group that has the roles of `docs/operator.md` that all nodes have.
const GROUP: &str = "sealift-nodes";
/// The user, and the role of `docs/operator.md`, who may remove nodes.
const OPERATOR: &str = "sealift-operator";
/// Short, so that a test sees the end of them.
const TIMES: &str = "{step: 1s, beat: 1s, live: 8s, switch: 8s, lease: 4s}";
const REGISTRY_PORT: u16 = 5000;
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Of a layer of each release.
const LAYER_BYTES: usize = 3_000_000;

/// A node, as far as it is up.
struct Node {
    appliance: Appliance<'static>,
    registry: Option<Daemon>,
    member: Option<Daemon>,
}

/// Fields are dropped in this order: the programs go before what they stand on.
struct Cluster {
    nodes: Vec<Node>,
    vendor: Vendor,
    plane: ControlPlane<'static>,
    network: Network,
}

impl Cluster {
    /// Three empty nodes, and a Kustomization that shows whether Flux is held still.
    fn new() -> Self {
        let network = Network::new(NODES);
        let plane = ControlPlane::start_in(&network);
        plane.add_namespace(SYSTEM);
        let namespaced = format!("{ROLES}/namespaces/{SYSTEM}");
        plane.apply_text(&format!("{namespaced}/roles/sealift"), &documented("kind: Role\n"));
        plane.apply(&format!("{namespaced}/rolebindings"), &binding("RoleBinding", "Role"));
        let mut roles = vec![(OPERATOR.to_owned(), OPERATOR.to_owned(), documented(OPERATOR))];
        for number in 0..NODES {
            let node = format!("node-{number}");
            let text = documented("name: sealift-node-a,").replace("node-a", &node);
            roles.push((format!("sealift-{node}"), node, text));
        }
        for (role, user, text) in roles {
            plane.apply_text(&format!("{namespaced}/roles/{role}"), &text);
            plane.apply(&format!("{namespaced}/rolebindings"), &binding_of(&role, &user));
        }
        plane.apply_text(&format!("{ROLES}/clusterroles/sealift"), &documented_role());
        plane.apply(&format!("{ROLES}/clusterrolebindings"), &binding("ClusterRoleBinding", "ClusterRole"));
        let spec = json!({"interval": "1h", "path": "./", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "fleet"}});
        plane.apply(
            KUSTOMIZATIONS,
            &object("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "fleet", &spec),
        );
        let mut cluster = Self { nodes: Vec::new(), vendor: Vendor::new(&ACME), plane, network };
        for number in 0..NODES {
            let node = cluster.empty_node(number);
            cluster.nodes.push(node);
            cluster.start(number);
        }
        cluster
    }

    /// The same with this release on all nodes.
    fn running(sequence: u64) -> Self {
        let cluster = Self::new();
        cluster.import(0, &cluster.bundle(sequence));
        cluster.activate(0, sequence);
        cluster.wait_active(&[0, 1, 2], sequence);
        cluster
    }

    fn empty_node(&self, number: usize) -> Node {
        let appliance = Appliance::new(&ACME);
        let kubeconfig = self.plane.kubeconfig(&format!("node-{number}"), GROUP);
        let [hold, refuse] = ["hold", "refuse"].map(|name| appliance.path(name).display().to_string());
        let hook = format!("while test -e {hold}; do sleep 0.05; done; test ! -e {refuse}");
        let text = format!(
            "apiVersion: sealift/v1\n\
             kind: Appliance\n\
             activation:\n  \
               flux: {{kubeconfig: '{kubeconfig}', namespace: {FLUX_SYSTEM}}}\n  \
               hooks: [{{name: host, command: [/bin/sh, -c, '{hook}']}}]\n\
             cluster:\n  \
               node: node-{number}\n  \
               kubeconfig: '{kubeconfig}'\n  \
               address: http://{address}:{REGISTRY_PORT}\n  \
               peers: {{plainHttp: true}}\n  \
               times: {TIMES}\n",
            kubeconfig = kubeconfig.display(),
            address = self.network.address(number),
        );
        fixture::write(&appliance.path("appliance.yaml"), text.as_bytes());
        Node { appliance, registry: None, member: None }
    }

    fn start(&mut self, number: usize) {
        self.start_registry(number);
        let member = self.sealiftctl(number, &["cluster", "run"]);
        let node = &mut self.nodes[number];
        node.member = Some(Daemon::start("member", &member, &node.appliance.path(".")));
    }

    fn start_registry(&mut self, number: usize) {
        let mut command = self.network.on(number, binaries::path("sealift-registry"));
        let addresses = self.registry_addresses(number);
        let node = &mut self.nodes[number];
        command.arg("--store").arg(node.appliance.store()).env_remove("RUST_LOG");
        for address in addresses {
            command.args(["--listen", &address]);
        }
        command.args(["--allow", NETWORK]);
        let mut registry = Daemon::start("registry", &command, &node.appliance.path("."));
        registry.await_ready(|log| log.contains("ready http://"));
        node.registry = Some(registry);
    }

    /// Where a registry listens: for its own node, and for the others.
    fn registry_addresses(&self, number: usize) -> [String; 2] {
        ["127.0.0.1", &self.network.address(number)].map(|address| format!("{address}:{REGISTRY_PORT}"))
    }

    /// The power goes.
    fn kill(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        (node.registry, node.member) = (None, None);
    }

    fn sealiftctl(&self, number: usize, arguments: &[&str]) -> Command {
        let appliance = &self.nodes[number].appliance;
        let mut command = self.network.on(number, binaries::path("sealiftctl"));
        command
            .current_dir(appliance.path("."))
            .arg("--store")
            .arg(appliance.store())
            .env_remove("SEALIFT_STORE");
        command.arg("--config").arg(appliance.path("appliance.yaml")).args(arguments);
        command
    }

    /// Removing a node that is gone for good, by whoever may.
    fn removal(&self, name: &str) -> Command {
        let mut command = self.sealiftctl(0, &["cluster", "remove", name, "--kubeconfig"]);
        command.arg(self.plane.kubeconfig(OPERATOR, "operators"));
        command
    }

    fn import(&self, number: usize, archive: &Path) {
        process::run(self.sealiftctl(number, &["import"]).arg(archive));
    }

    /// The release with this sequence, 1.0.N: an image, and one object for Flux, in Git and as an artifact.
    fn bundle(&self, sequence: u64) -> PathBuf {
        let version = version(sequence);
        let layer = vec![u8::try_from(sequence).expect("few releases"); LAYER_BYTES];
        self.vendor.offer("acme/app", &version, GZIP, &[layer]);
        fixture::write(&self.vendor.path("gitops/app.yaml"), config_map(&version).to_string().as_bytes());
        let upgrade =
            if sequence > 1 { format!("upgradeFrom: [1.0.{}]\n", sequence - 1) } else { String::new() };
        let image = self.vendor.image(&format!("acme/app:{version}"));
        let flux = "flux: [{name: apps, path: gitops}]\ngit: [{name: fleet, path: gitops, branch: main}]\n";
        self.vendor.define(&version, sequence, &format!("{upgrade}images:\n{image}{flux}"));
        self.vendor.lock();
        self.vendor.bundle()
    }

    /// Lets all nodes have a release, and waits until they do.
    fn activate(&self, number: usize, sequence: u64) {
        process::run(&mut self.sealiftctl(number, &["activate", &version(sequence)]));
    }

    fn active(&self, number: usize) -> Option<u64> {
        let link = std::fs::read_link(self.nodes[number].appliance.store().join("current")).ok()?;
        link.file_name()?.to_str()?.parse().ok()
    }

    fn wait_active(&self, numbers: &[usize], sequence: u64) {
        for &number in numbers {
            wait_for(&format!("release {sequence} on node {number}"), || match self.active(number) {
                Some(active) if active == sequence => Ok(()),
                active => Err(format!("{active:?}\n{}", self.log(number))),
            });
        }
    }

    fn log(&self, number: usize) -> String {
        fs_err::read_to_string(self.nodes[number].appliance.path("member.log")).unwrap_or_default()
    }

    /// What is agreed on.
    fn agreed(&self) -> Value {
        let found = self.plane.get(&format!("/api/v1/namespaces/{SYSTEM}/configmaps/sealift-release"));
        let text = found.unwrap_or_default()["data"]["json"].as_str().unwrap_or("null").to_owned();
        serde_json::from_str(&text).expect("JSON")
    }

    fn wait_phase(&self, phase: &str) {
        wait_for(phase, || {
            let agreed = self.agreed();
            if agreed["phase"] == phase { Ok(()) } else { Err(agreed.to_string()) }
        });
    }

    fn is_flux_held(&self) -> bool {
        self.plane.get(&format!("{KUSTOMIZATIONS}/fleet")).expect("it is there")["spec"]["suspend"]
            == json!(true)
    }

    /// The status that a node's own registry answers with.
    fn status(&self, number: usize, path: &str) -> u16 {
        let mut curl = self.network.on(number, peers::tool("curl"));
        curl.args(["--silent", "--noproxy", "*", "--max-time", "10", "--output", "/dev/null"]);
        curl.args(["--write-out", "%{http_code}", &format!("http://127.0.0.1:{REGISTRY_PORT}{path}")]);
        process::finish(&curl).stdout().parse().unwrap_or(0)
    }

    /// Pulls from the registries of these nodes, as their containerd and Flux would, while something happens; nothing may
    /// fail.
    fn pulling<T>(&self, numbers: &[usize], sequence: u64, something: impl FnOnce() -> T) -> T {
        let (is_over, failures) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        let pulls = AtomicBool::new(false);
        let result = thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    for &number in numbers {
                        for path in [manifest(sequence), GIT.to_owned()] {
                            let status = self.status(number, &path);
                            if status != 200 {
                                failures.lock().expect("no panic").push((number, path, status));
                            }
                            pulls.store(true, Ordering::Relaxed);
                        }
                    }
                }
            });
            // The scope waits for the thread, so that has to end when `something` panics, too.
            let _end = SetAtEnd(&is_over);
            something()
        });
        assert!(pulls.into_inner());
        let failures = failures.into_inner().expect("no panic");
        assert!(failures.is_empty(), "{failures:?}");
        result
    }

    /// As if it had not been heard since the machine was started what is agreed on.
    fn forget_when_heard(&self, number: usize) {
        let heard = self.nodes[number].appliance.store().join("cluster.json");
        let heard = fs_err::File::open(heard).expect("what was heard");
        heard.set_modified(SystemTime::now()).expect("another time");
    }

    fn hold(&self, number: usize) -> PathBuf {
        let hold = self.nodes[number].appliance.path("hold");
        fixture::write(&hold, b"");
        hold
    }
}

/// Is set when this goes out of scope.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const GIT: &str = "/git/fleet.git/info/refs?service=git-upload-pack";
const TAGS: &str = "/v2/flux/apps/tags/list";

fn version(sequence: u64) -> String {
    format!("1.0.{sequence}")
}

fn manifest(sequence: u64) -> String {
    format!("/v2/acme/app/manifests/{}?ns={HOST}", version(sequence))
}

fn binding(kind: &str, role: &str) -> Value {
    let mut metadata = json!({"name": "sealift-nodes"});
    if kind == "RoleBinding" {
        metadata["namespace"] = SYSTEM.into();
    }
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": metadata,
        "subjects": [{"kind": "Group", "name": GROUP, "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"kind": role, "name": "sealift", "apiGroup": "rbac.authorization.k8s.io"},
    })
}

/// Gives one user the role of this name.
fn binding_of(role: &str, user: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": role, "namespace": SYSTEM},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"kind": "Role", "name": role, "apiGroup": "rbac.authorization.k8s.io"},
    })
}

#[test]
fn a_release_reaches_all_nodes_though_one_dies_and_all_go_back() {
    let mut cluster = Cluster::running(1);
    for number in 0..NODES {
        assert_eq!(cluster.status(number, &manifest(1)), 200);
        assert_eq!(cluster.status(number, GIT), 200);
        cluster.nodes[number].appliance.expect_whole();
    }
    let two = cluster.bundle(2);
    let alone = process::finish(cluster.sealiftctl(1, &["import", "--activate"]).arg(&two)).expect(2);
    alone.expect_said(&["SL0588"]);

    // Node 2 dies when it has begun to switch; the others go on.
    cluster.import(1, &two);
    let hold = cluster.hold(2);
    let activation = Running::start(&cluster.sealiftctl(1, &["activate", &version(2)]));
    cluster.wait_active(&[0, 1], 2);
    assert!(cluster.is_flux_held(), "Flux stands still while nodes switch");
    cluster.kill(2);
    cluster.pulling(&[0, 1], 2, || {
        cluster.wait_phase("active");
        drop(activation.end().expect(0));
    });
    assert!(!cluster.is_flux_held());
    assert_eq!(cluster.active(2), Some(1));
    let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/sealift");
    process::wait_until("nobody leads any more", || {
        let lease = cluster.plane.get(&lease).expect("a Lease");
        lease["spec"]["holderIdentity"].as_str().unwrap_or_default().is_empty()
    });
    fs_err::remove_file(hold).expect("a file");
    cluster.start(2);
    cluster.wait_active(&[2], 2);
    process::wait_until("Git is answered", || cluster.status(2, GIT) == 200);

    // Its daemon is gone for a whole release, and its registry is not: for a while it cannot know.
    cluster.nodes[2].member = None;
    cluster.import(0, &cluster.bundle(3));
    cluster.pulling(&[0, 1], 2, || cluster.activate(0, 3));
    cluster.wait_active(&[0, 1], 3);
    let answers = |cluster: &Cluster| {
        assert_eq!(cluster.status(2, TAGS), cluster.status(2, GIT), "Flux follows both");
        (cluster.status(2, GIT), cluster.status(2, &manifest(2)))
    };
    assert_eq!(answers(&cluster), (200, 200), "it has heard something lately");
    cluster.forget_when_heard(2);
    assert_eq!(answers(&cluster), (503, 200));
    let told = process::json(&mut cluster.sealiftctl(2, &["status", "--json"]));
    assert!(told["problems"].to_string().contains("this node has not heard"), "{told}");

    // Nor does a start help, nor that it is heard what is agreed on, until it has caught up.
    cluster.kill(2);
    cluster.start_registry(2);
    assert_eq!(answers(&cluster), (503, 200));
    process::run(&mut cluster.sealiftctl(2, &["cluster", "step"]));
    assert_eq!((cluster.active(2), answers(&cluster)), (Some(2), (503, 200)));
    cluster.nodes[2].registry = None;
    cluster.start(2);
    cluster.wait_active(&[2], 3);
    process::wait_until("Git is answered", || cluster.status(2, GIT) == 200);

    // And all go back.
    cluster.pulling(&[0, 1, 2], 2, || process::run(&mut cluster.sealiftctl(0, &["rollback"])));
    cluster.wait_active(&[0, 1, 2], 2);
    let told = process::json(&mut cluster.sealiftctl(2, &["cluster", "status", "--json"]));
    assert!(told["nodes"].as_array().expect("nodes").iter().all(|node| node["agrees"] == true), "{told}");
}

#[test]
fn a_node_that_is_cut_off_goes_on_and_one_that_cannot_follow_turns_all_round() {
    let cluster = Cluster::running(1);
    // Whoever leads the next run may be the one that is cut off.
    cluster.import(1, &cluster.bundle(2));
    let hold = cluster.hold(1);
    let activation = Running::start(&cluster.sealiftctl(1, &["activate", &version(2)]));
    cluster.wait_active(&[0], 2);
    cluster.network.cut(0);
    fs_err::remove_file(hold).expect("a file");
    cluster.pulling(&[0, 1, 2], 1, || {
        cluster.wait_active(&[1, 2], 2);
        cluster.wait_phase("active");
        drop(activation.end().expect(0));
    });
    cluster.network.mend(0);

    // The second node of three cannot follow: the first goes back.
    cluster.import(2, &cluster.bundle(3));
    fixture::write(&cluster.nodes[1].appliance.path("refuse"), b"");
    let refused = process::finish(&cluster.sealiftctl(2, &["activate", &version(3)])).expect(1);
    refused.expect_said(&["SL0587", "node node-1", "hook `host`"]);
    cluster.wait_phase("active");
    cluster.wait_active(&[0, 1, 2], 2);
    assert!(!cluster.is_flux_held());
    fs_err::remove_file(cluster.nodes[1].appliance.path("refuse")).expect("a file");
    cluster.activate(2, 3);
    cluster.wait_active(&[0, 1, 2], 3);
}

#[test]
fn a_node_that_is_replaced_takes_nothing_from_who_lies() {
    let mut cluster = Cluster::running(1);
    cluster.kill(2);
    cluster.nodes[2] = cluster.empty_node(2);
    // Node 0 is asked first, and has other bytes under a digest.
    let blobs = cluster.nodes[0].appliance.blobs_dir();
    let large = fs_err::read_dir(&blobs).expect("blobs").map(|entry| entry.expect("a blob").path());
    let large = large.max_by_key(|path| fs_err::metadata(path).expect("a blob").len()).expect("a blob");
    let size = usize::try_from(fs_err::metadata(&large).expect("a blob").len()).expect("a size");
    fs_err::remove_file(&large).expect("a blob");
    fs_err::write(&large, vec![0; size]).expect("other bytes");
    cluster.start(2);
    cluster.wait_active(&[2], 1);
    cluster.nodes[2].appliance.expect_whole();
    let told = process::text(&mut cluster.sealiftctl(2, &["history", "--json"]));
    let address = cluster.network.address(0);
    assert!(told.contains("SL0215") && told.contains(&address), "{told}");

    // One that is gone for good is forgotten, and one that is there is not.
    let lives = process::finish(&cluster.removal("node-1")).expect(3);
    lives.expect_said(&["SL0590"]);
    cluster.kill(2);
    process::run(&mut cluster.removal("node-2"));
    let told = process::json(&mut cluster.sealiftctl(0, &["cluster", "status", "--json"]));
    assert_eq!(told["nodes"].as_array().map(Vec::len), Some(2), "{told}");
    process::finish(&cluster.removal("node-2")).expect(2).expect_said(&["SL0589"]);
}
