//! The client of the Kubernetes API against a stand-in for one. (Against a real one: `make test-cluster`.)

mod answers;
mod board;
mod looking;
mod stand_in;
mod standing_still;

use std::time::Duration;

use sealift_importer::flux::{Cluster, Patience};
use serde_json::{Value, json};

use crate::stand_in::{HELM, KUSTOMIZE, SOURCE, StandIn};

/// Short enough for a test to see the end of it, long enough for a slow machine.
const PATIENCE: Patience = Patience {
    change: Duration::from_secs(10),
    look: Duration::from_secs(10),
    finish: Duration::from_secs(5),
    fetch: Duration::from_secs(5),
};
/// Where the end is what is looked at.
const HASTE: Patience = Patience {
    change: Duration::from_millis(500),
    look: Duration::from_millis(500),
    finish: Duration::from_millis(100),
    fetch: Duration::from_millis(100),
};

fn cluster(server: &StandIn, namespace: Option<&str>) -> Cluster {
    Cluster::open(&server.kubeconfig(), namespace).expect("a kubeconfig").with_patience(PATIENCE)
}

fn hasty(server: &StandIn) -> Cluster {
    cluster(server, None).with_patience(HASTE)
}

/// Adds a Kustomization of the source `flux-system/app`; returns its path.
fn add_kustomization(server: &StandIn, name: &str, is_suspended: bool) -> String {
    let mut spec = json!({"path": "./", "sourceRef": {"kind": "GitRepository", "name": "app"}});
    if is_suspended {
        spec["suspend"] = json!(true);
    }
    server.add(KUSTOMIZE, "kustomizations", name, &spec)
}

fn add_release(server: &StandIn, name: &str) -> String {
    server.add(HELM, "helmreleases", name, &json!({"interval": "5m"}))
}

fn add_source(server: &StandIn, plural: &str, name: &str) -> String {
    server.add(SOURCE, plural, name, &json!({"interval": "5m"}))
}

fn is_suspended(server: &StandIn, path: &str) -> bool {
    server.object(path)["spec"]["suspend"] == json!(true)
}

fn annotations(server: &StandIn, path: &str) -> Value {
    server.object(path)["metadata"]["annotations"].clone()
}
