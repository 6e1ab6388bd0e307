//! What the nodes of a cluster write down, against a stand-in that keeps objects and their editions.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use sealift_archive::release::CurrentRelease;
use sealift_archive::{Digest, Explain as _};
use sealift_importer::cluster::{
    Agreement, Board as _, Kubernetes, Lease, Member, NodeHome, NodeName, Phase, Report, Times,
};
use sealift_importer::config::Activation;
use sealift_store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::runtime::Runtime;

const CONFIG_MAPS: &str = "/api/v1/namespaces/sealift-system/configmaps";
const MAX_REQUEST_BYTES: usize = 1 << 20;

#[derive(Default)]
struct Objects {
    by_path: BTreeMap<String, Value>,
    edition: u64,
}

type Kept = Arc<Mutex<Objects>>;

/// Ended when dropped.
struct Keeper {
    kept: Kept,
    dir: TempDir,
    server: String,
    _runtime: Runtime,
}

impl Keeper {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let kept = Kept::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&kept));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { kept, dir: tempfile::tempdir().unwrap(), server, _runtime: runtime }
    }

    fn board(&self) -> Kubernetes {
        let path: PathBuf = self.dir.path().join("kubeconfig");
        let text = format!(
            "current-context: here\nclusters: [{{name: here, cluster: {{server: '{}'}}}}]\n\
             contexts: [{{name: here, context: {{cluster: here}}}}]\n",
            self.server
        );
        fs_err::write(&path, text).unwrap();
        Kubernetes::open(&path, "sealift-system", &Times::default()).unwrap()
    }

    fn put(&self, path: &str, object: Value) {
        let mut kept = self.kept.lock().unwrap();
        let stamped = stamp(&mut kept, object);
        kept.by_path.insert(path.to_owned(), stamped);
    }
}

fn stamp(kept: &mut Objects, mut object: Value) -> Value {
    kept.edition += 1;
    object["metadata"]["resourceVersion"] = kept.edition.to_string().into();
    object
}

async fn answer(State(kept): State<Kept>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body: Bytes = to_bytes(request.into_body(), MAX_REQUEST_BYTES).await.unwrap();
    let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut kept = kept.lock().unwrap();
    let refuse = |status: StatusCode| (status, json!({"message": "no"}).to_string()).into_response();
    match method {
        Method::GET if path.ends_with("/configmaps") => {
            let items: Vec<&Value> = kept
                .by_path
                .iter()
                .filter(|(at, _)| at.starts_with(&path))
                .map(|(_, object)| object)
                .collect();
            json!({ "items": items }).to_string().into_response()
        }
        Method::GET => match kept.by_path.get(&path) {
            Some(object) => object.to_string().into_response(),
            None => refuse(StatusCode::NOT_FOUND),
        },
        Method::POST => {
            let path = format!("{path}/{}", sent["metadata"]["name"].as_str().unwrap());
            if kept.by_path.contains_key(&path) {
                return refuse(StatusCode::CONFLICT);
            }
            let object = stamp(&mut kept, sent);
            kept.by_path.insert(path, object.clone());
            object.to_string().into_response()
        }
        Method::PUT => match kept.by_path.get(&path) {
            None => refuse(StatusCode::NOT_FOUND),
            Some(known) if known["metadata"]["resourceVersion"] != sent["metadata"]["resourceVersion"] => {
                refuse(StatusCode::CONFLICT)
            }
            Some(_) => {
                let object = stamp(&mut kept, sent);
                kept.by_path.insert(path, object.clone());
                object.to_string().into_response()
            }
        },
        Method::DELETE => match kept.by_path.remove(&path) {
            Some(_) => json!({"status": "Success"}).to_string().into_response(),
            None => refuse(StatusCode::NOT_FOUND),
        },
        _ => refuse(StatusCode::METHOD_NOT_ALLOWED),
    }
}

fn agreement(sequence: u64) -> Agreement {
    let version = format!("1.{sequence}").parse().unwrap();
    let statement = Digest::of(&sequence.to_le_bytes());
    Agreement::first(CurrentRelease { version, sequence: sequence.try_into().unwrap(), statement }, None)
}

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

fn report() -> Report {
    Report {
        here: [Digest::of(b"one")].into(),
        active: None,
        is_switching: false,
        is_unsettled: false,
        beyond: Some(7.try_into().unwrap()),
        trouble: None,
        waits: None,
        address: Some("https://node-a:5443".to_owned()),
        ca_crt: "PEM".to_owned(),
        boot_id: "this".to_owned(),
        seen: OffsetDateTime::UNIX_EPOCH,
    }
}

#[test]
fn only_the_edition_that_was_seen_is_replaced() {
    let keeper = Keeper::start();
    let (one, other) = (keeper.board(), keeper.board());
    assert!(one.read().unwrap().agreement.is_none());
    let first = one.write_agreement(None, &agreement(1)).unwrap().expect("it is written");
    assert_eq!(other.write_agreement(None, &agreement(2)).unwrap(), None, "there is one already");
    let seen = other.read().unwrap().agreement.unwrap();
    assert_eq!((&seen.version, &seen.value), (&first, &agreement(1)));

    let active = Agreement { phase: Phase::Active, ..agreement(1) };
    let second = other.write_agreement(Some(&first), &active).unwrap().expect("it is written");
    assert_eq!(one.write_agreement(Some(&first), &agreement(3)).unwrap(), None, "it is another one now");
    let seen = one.read().unwrap().agreement.unwrap();
    assert_eq!((seen.version, seen.value), (second.clone(), active.clone()));
    keeper.kept.lock().unwrap().by_path.clear();
    assert_eq!(one.write_agreement(Some(&second), &active).unwrap(), None, "it is gone");
}

#[test]
fn a_lease_is_taken_and_left() {
    let keeper = Keeper::start();
    let board = keeper.board();
    let held = Lease { holder: Some("node-a".to_owned()), term: 1 };
    let version = board.write_lease(None, &held).unwrap().expect("it is written");
    assert_eq!(board.read().unwrap().lease.unwrap().value, held);
    let left = Lease { holder: None, term: 1 };
    board.write_lease(Some(&version), &left).unwrap().expect("it is written");
    assert_eq!(board.read().unwrap().lease.unwrap().value, left);
    assert_eq!(board.write_lease(Some(&version), &held).unwrap(), None);
}

#[test]
fn every_node_has_its_own_report() {
    let keeper = Keeper::start();
    let board = keeper.board();
    for node in ["node-a", "node-b"] {
        board.write_report(&name(node), None, &report()).unwrap().expect("it is written");
    }
    let reports = board.read().unwrap().reports;
    assert_eq!(reports.keys().map(NodeName::as_str).collect::<Vec<_>>(), ["node-a", "node-b"]);
    assert_eq!(reports[&name("node-a")].value, report());
    assert!(board.forget(&name("node-b")).unwrap() && !board.forget(&name("node-b")).unwrap());
    assert_eq!(board.read().unwrap().reports.len(), 1);
}

#[test]
fn the_nodes_come_to_know_each_others_authorities() {
    struct Node {
        dir: TempDir,
        store: Store,
        home: NodeHome,
        member: Member,
    }
    let keeper = Keeper::start();
    let mut nodes = ["node-a", "node-b"].map(|node| {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("ca.crt"), node).unwrap();
        let config = format!(
            "{{node: {node}, kubeconfig: /k, address: 'https://{node}:5443', peers: {{authority: '{}'}}}}",
            dir.path().display()
        );
        let store = Store::create(&dir.path().join("store")).unwrap();
        let cluster = serde_saphyr::from_str(&config).unwrap();
        let home = NodeHome::open(store.clone(), &cluster, &Activation::default()).unwrap();
        Node { dir, store, home, member: Member::new(name(node), Times::default()) }
    });
    let mut seconds = 0;
    let mut step = |nodes: &mut [Node]| {
        for node in nodes {
            seconds += 1;
            node.member.step(Duration::from_secs(seconds), &keeper.board(), &node.home).unwrap();
        }
    };
    let known = |node: &Node| {
        let said = node.store.peer_authorities().unwrap();
        said.iter().map(|(name, pem)| format!("{name}: {pem}")).collect::<Vec<_>>()
    };
    step(&mut nodes);
    step(&mut nodes);
    assert_eq!(nodes.each_ref().map(known), [["node-a: node-a", "node-b: node-b"]; 2]);
    fs_err::write(nodes[1].dir.path().join("ca.crt"), "made anew").unwrap();
    step(&mut nodes);
    step(&mut nodes);
    assert_eq!(known(&nodes[0]), ["node-a: node-a", "node-b: made anew"]);
    keeper.board().forget(&name("node-b")).unwrap();
    step(&mut nodes[..1]);
    assert_eq!(known(&nodes[0]), ["node-a: node-a"]);
}

#[test]
fn what_no_node_has_written_is_named() {
    let cases = [
        ("sealift-release", json!({"json": "{"}), true),
        ("sealift-release", json!({"release": "sha256:"}), true),
        ("sealift-release", json!({"json": "{\"run\": 1}"}), true),
        // A report concerns its node alone.
        ("sealift-node-a", json!({"json": "[]"}), false),
        ("sealift-node-A_b", json!({"json": "{}"}), false),
        // Others may have things there that are managed by Sealift.
        ("something-else", json!({"json": "{"}), false),
    ];
    for (name, data, is_refused) in cases {
        let keeper = Keeper::start();
        keeper.put(&format!("{CONFIG_MAPS}/{name}"), json!({"metadata": {"name": name}, "data": data}));
        match keeper.board().read() {
            Err(error) => {
                assert!(is_refused, "{name}: {error}");
                let said = error.to_string();
                assert_eq!(error.code().to_string(), "SL0584", "{said}");
                assert!(said.contains(name), "{said}");
            }
            Ok(snapshot) => {
                assert!(!is_refused && snapshot.reports.is_empty(), "{name}");
                let passed_over = snapshot.obstacle().is_some_and(|said| said.contains(name));
                assert_eq!(passed_over, name.starts_with("sealift-node-"), "{name}");
            }
        }
    }
}
