//! Whether what runs fits the number of nodes: nodes can be drained one after the other, and upgrades come through.

use serde_json::{Value, json};

use crate::rendered::text;

const HOSTNAME: &str = "kubernetes.io/hostname";

/// All that would keep a cluster of so many nodes from being drained node by node, or from living on without one.
pub(crate) fn faults(applied: &[Value], nodes: u64) -> Vec<String> {
    let workloads =
        || applied.iter().filter(|object| ["Deployment", "StatefulSet"].contains(&text(&object["kind"])));
    let budgets = || applied.iter().filter(|object| object["kind"] == "PodDisruptionBudget");
    let mut faults = Vec::new();
    for budget in budgets() {
        let guarded: Vec<&Value> = workloads().filter(|workload| selects(budget, workload)).collect();
        match guarded[..] {
            [workload] if may_be_away(budget, replicas(workload)) >= 1 => {}
            [workload] => faults.push(format!("{}: its budget lets no pod go", name(workload))),
            _ => faults.push(format!("{}: it guards {} workloads", name(budget), guarded.len())),
        }
    }
    for workload in workloads() {
        let (name, replicas) = (name(workload), replicas(workload));
        if replicas > nodes && is_strict(workload) {
            faults
                .push(format!("{name}: {replicas} replicas on different nodes, of which there are {nodes}"));
        }
        if replicas > 1 && nodes > 1 {
            if !budgets().any(|budget| selects(budget, workload)) {
                faults.push(format!("{name}: no budget keeps some of its pods"));
            }
            if !is_spread(workload) {
                faults.push(format!("{name}: nothing keeps its pods from being on one node"));
            }
        }
        if nodes > 1 && replicas < 2 {
            faults.push(format!("{name}: it is gone with its node"));
        }
    }
    faults
}

fn name(object: &Value) -> String {
    format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

fn replicas(workload: &Value) -> u64 {
    workload["spec"]["replicas"].as_u64().unwrap_or(1)
}

/// Whether a budget's labels are all among those of a workload's pods.
fn selects(budget: &Value, workload: &Value) -> bool {
    let labels = &workload["spec"]["template"]["metadata"]["labels"];
    let wanted = budget["spec"]["selector"]["matchLabels"].as_object();
    budget["metadata"]["namespace"] == workload["metadata"]["namespace"]
        && wanted.is_some_and(|wanted| wanted.iter().all(|(key, value)| labels[key] == *value))
}

/// How many pods a budget lets go when all are well.
fn may_be_away(budget: &Value, replicas: u64) -> u64 {
    let spec = &budget["spec"];
    // Kubernetes rounds shares up, of those that must be there too.
    let share = |value: &Value| match value.as_str().and_then(|text| text.strip_suffix('%')) {
        Some(share) => (share.parse::<u64>().expect("a number") * replicas).div_ceil(100),
        None => value.as_u64().expect("a number"),
    };
    if spec["maxUnavailable"].is_null() {
        replicas.saturating_sub(share(&spec["minAvailable"]))
    } else {
        share(&spec["maxUnavailable"])
    }
}

fn spread_of(workload: &Value) -> impl Iterator<Item = &Value> {
    let spread = workload["spec"]["template"]["spec"]["topologySpreadConstraints"].as_array();
    spread.into_iter().flatten().filter(|constraint| constraint["topologyKey"] == HOSTNAME)
}

fn is_spread(workload: &Value) -> bool {
    spread_of(workload).next().is_some()
        || workload["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"].is_object()
}

/// Whether a pod waits for ever rather than share a node.
fn is_strict(workload: &Value) -> bool {
    let affinity = &workload["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"];
    affinity["requiredDuringSchedulingIgnoredDuringExecution"].is_array()
        || spread_of(workload).any(|constraint| constraint["whenUnsatisfiable"] == "DoNotSchedule")
}

#[test]
fn what_would_block_a_drain_is_found() {
    let workload = |replicas: u64, pods: Value| {
        let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": pods});
        json!({"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": replicas, "template": template}})
    };
    let budget = |mut spec: Value| {
        spec["selector"] = json!({"matchLabels": {"app": "web"}});
        json!({"kind": "PodDisruptionBudget", "metadata": {"name": "web"}, "spec": spec})
    };
    let spread = |when: &str| json!({"topologySpreadConstraints": [{"topologyKey": HOSTNAME, "whenUnsatisfiable": when}]});
    let good = || budget(json!({"maxUnavailable": 1}));
    let loose = || spread("ScheduleAnyway");
    let cases: [(Vec<Value>, u64, &[&str]); 11] = [
        (vec![workload(1, json!({}))], 1, &[]),
        (vec![workload(3, loose()), good()], 3, &[]),
        (vec![workload(3, loose()), budget(json!({"maxUnavailable": "30%"}))], 3, &[]),
        (vec![workload(1, json!({})), budget(json!({"minAvailable": 1}))], 1, &["lets no pod go"]),
        (vec![workload(3, loose()), budget(json!({"minAvailable": 3}))], 3, &["lets no pod go"]),
        (vec![workload(3, loose()), budget(json!({"minAvailable": "90%"}))], 3, &["lets no pod go"]),
        (vec![workload(3, loose()), budget(json!({"maxUnavailable": 0}))], 3, &["lets no pod go"]),
        (vec![good()], 3, &["guards 0 workloads"]),
        (vec![workload(3, json!({})), good()], 3, &["on one node"]),
        (vec![workload(3, loose())], 3, &["no budget"]),
        (vec![workload(4, spread("DoNotSchedule")), good()], 3, &["of which there are 3"]),
    ];
    for (applied, nodes, expected) in cases {
        let found = faults(&applied, nodes);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }
    assert!(faults(&[workload(1, json!({}))], 3)[0].contains("gone with its node"));
}
