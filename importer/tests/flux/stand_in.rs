//! A stand-in for the API server of a cluster with Flux: discovery, lists in pages, merge patches with resource versions,
//! and controllers that look when they are asked to. It can be told to misbehave.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io/v1";
pub(crate) const HELM: &str = "helm.toolkit.fluxcd.io/v2";
pub(crate) const SOURCE: &str = "source.toolkit.fluxcd.io/v1";
/// What Flux 2.9 serves.
pub(crate) const FLUX: [(&str, &[&str]); 3] = [
    (KUSTOMIZE, &["kustomizations"]),
    (HELM, &["helmreleases"]),
    (SOURCE, &["gitrepositories", "ocirepositories", "helmrepositories", "buckets", "helmcharts"]),
];
const REQUESTED: &str = "reconcile.fluxcd.io/requestedAt";
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// A request that was made.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) token: String,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// What happens instead of an answer.
pub(crate) enum Mishap {
    /// Another answer: status, headers, body.
    Answer(u16, Vec<(&'static str, &'static str)>, String),
    /// None at all.
    Silence,
}

type Mishaps = Box<dyn FnMut(&Seen, &mut Objects) -> Option<Mishap> + Send>;

/// The objects, by their paths below `/apis/`, such as `GROUP/VERSION/namespaces/NAMESPACE/kustomizations/NAME`.
#[derive(Default)]
pub(crate) struct Objects {
    by_path: BTreeMap<String, Value>,
    version: u64,
}

impl Objects {
    /// Applies a merge patch as somebody would who looks at nothing.
    pub(crate) fn patch(&mut self, at: &str, patch: &Value) -> Value {
        self.version += 1;
        let object = self.by_path.get_mut(at).expect("an object");
        let spec = object["spec"].clone();
        merge(object, patch);
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if object["spec"] != spec {
            object["metadata"]["generation"] =
                json!(object["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
        }
        object.clone()
    }
}

struct Inner {
    served: Vec<(String, Vec<String>)>,
    objects: Objects,
    seen: Vec<Seen>,
    mishaps: Mishaps,
    /// Whether controllers look when they are asked to.
    is_looking: bool,
}

/// The stand-in, on loopback; ended when dropped.
pub(crate) struct StandIn {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    dir: TempDir,
    runtime: Option<Runtime>,
}

impl StandIn {
    /// Serves no objects of these kinds yet.
    pub(crate) fn start(served: &[(&str, &[&str])]) -> Self {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let inner = Inner {
            served: served.iter().map(|(group, names)| ((*group).to_owned(), own(names))).collect(),
            objects: Objects::default(),
            seen: Vec::new(),
            mishaps: Box::new(|_, _| None),
            is_looking: true,
        };
        let inner = Arc::new(Mutex::new(inner));
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, inner, dir: tempfile::tempdir().expect("a directory"), runtime: Some(runtime) }
    }

    /// A kubeconfig that leads here, with a token in a file.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        let path = self.dir.path().join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
             clusters: [{{name: here, cluster: {{server: 'http://{}/'}}}}]\n\
             users: [{{name: me, user: {{tokenFile: token}}}}]\n\
             contexts: [{{name: here, context: {{cluster: here, user: me}}}}]\n",
            self.address
        );
        fs_err::write(&path, text).expect("a kubeconfig");
        self.set_token("first");
        path
    }

    pub(crate) fn set_token(&self, token: &str) {
        fs_err::write(self.dir.path().join("token"), format!("{token}\n")).expect("a token");
    }

    /// Adds an object that its controller has brought to what it should be.
    pub(crate) fn add(&self, group: &str, plural: &str, name: &str, spec: &Value) -> String {
        let (namespace, name) = name.split_once('/').expect("namespace/name");
        let path = format!("{group}/namespaces/{namespace}/{plural}/{name}");
        let objects = &mut self.lock().objects;
        objects.version += 1;
        let version = objects.version.to_string();
        let object = json!({
            "metadata": {"name": name, "namespace": namespace, "generation": 1, "resourceVersion": version},
            "spec": spec,
            "status": {
                "observedGeneration": 1,
                "conditions": [{"type": "Ready", "status": "True", "reason": "Done", "message": "done"}],
            },
        });
        objects.by_path.insert(path.clone(), object);
        path
    }

    /// An object as it is now.
    pub(crate) fn object(&self, path: &str) -> Value {
        self.lock().objects.by_path[path].clone()
    }

    pub(crate) fn patch(&self, at: &str, patch: &Value) {
        self.lock().objects.patch(at, patch);
    }

    /// Sees each request before it is answered.
    pub(crate) fn set_mishaps(
        &self,
        mishaps: impl FnMut(&Seen, &mut Objects) -> Option<Mishap> + Send + 'static,
    ) {
        self.lock().mishaps = Box::new(mishaps);
    }

    /// No controller looks at anything any more.
    pub(crate) fn stop_looking(&self) {
        self.lock().is_looking = false;
    }

    /// Nobody listens here any more.
    pub(crate) fn stop(&mut self) {
        self.runtime = None;
    }

    /// What was asked since this was last called.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.lock().seen)
    }

    /// The names of what was changed since then, in order.
    pub(crate) fn changed(&self) -> Vec<String> {
        let patches = self.seen().into_iter().filter(|seen| seen.method == "PATCH");
        patches.map(|seen| last_part(&seen.path).to_owned()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics while it holds this")
    }
}

fn last_part(path: &str) -> &str {
    let path = path.split('?').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_REQUEST_BYTES).await.expect("a small request");
    let token = parts.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let seen =
        Seen { method: parts.method.to_string(), path: parts.uri.to_string(), token: token.to_owned() };
    let mishap = {
        let Inner { seen: all, mishaps, objects, .. } = &mut *inner.lock().expect("a lock");
        all.push(seen.clone());
        mishaps(&seen, objects)
    };
    match mishap {
        None => inner.lock().expect("a lock").answer(&seen, &body),
        Some(Mishap::Silence) => std::future::pending().await,
        Some(Mishap::Answer(status, headers, body)) => {
            let mut response = (StatusCode::from_u16(status).expect("a status"), body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().expect("a header"));
            }
            response
        }
    }
}

impl Inner {
    fn answer(&mut self, seen: &Seen, body: &Bytes) -> Response {
        let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
        let query: BTreeMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let path = path.strip_prefix("/apis").unwrap_or("?").trim_start_matches('/');
        if seen.method == "PATCH" {
            return self.change(path, &serde_json::from_slice(body).expect("a patch"));
        }
        if path.is_empty() {
            return json_of(&self.groups());
        }
        if let Some((_, names)) = self.served.iter().find(|(group, _)| group == path) {
            let resources: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
            return json_of(&json!({"kind": "APIResourceList", "resources": resources}));
        }
        self.list(path, &query)
    }

    fn groups(&self) -> Value {
        let mut groups: Map<String, Value> = Map::new();
        for (served, _) in &self.served {
            let (group, version) = served.split_once('/').expect("group/version");
            let entry = json!({"name": group, "versions": [], "preferredVersion": {"version": version}});
            let entry = groups.entry(group).or_insert(entry);
            entry["versions"].as_array_mut().expect("a list").push(json!({"version": version}));
        }
        json!({"kind": "APIGroupList", "groups": groups.values().collect::<Vec<_>>()})
    }

    fn list(&self, path: &str, query: &BTreeMap<&str, &str>) -> Response {
        let (start, plural) = path.rsplit_once('/').expect("a plural");
        let is_meant =
            |(at, _): &(&String, &Value)| at.starts_with(start) && at.rsplit('/').nth(1) == Some(plural);
        let all: Vec<&Value> =
            self.objects.by_path.iter().filter(is_meant).map(|(_, object)| object).collect();
        let number = |key: &str| query.get(key).map_or(0, |text| text.parse().expect("a number"));
        let (from, limit): (usize, usize) = (number("continue"), number("limit"));
        let to = if limit == 0 { all.len() } else { all.len().min(from + limit) };
        let next = if to < all.len() { to.to_string() } else { String::new() };
        json_of(&json!({"kind": "List", "metadata": {"continue": next}, "items": all[from..to]}))
    }

    fn change(&mut self, at: &str, patch: &Value) -> Response {
        let Some(object) = self.objects.by_path.get(at) else {
            return (StatusCode::NOT_FOUND, "{}").into_response();
        };
        let wanted = &patch["metadata"]["resourceVersion"];
        if !wanted.is_null() && *wanted != object["metadata"]["resourceVersion"] {
            let status = json!({"kind": "Status", "message": "the object has been modified", "code": 409});
            return (StatusCode::CONFLICT, status.to_string()).into_response();
        }
        let changed = self.objects.patch(at, patch);
        let requested = &patch["metadata"]["annotations"][REQUESTED];
        if self.is_looking && !requested.is_null() {
            self.objects.patch(at, &json!({"status": {"lastHandledReconcileAt": requested}}));
        }
        json_of(&changed)
    }
}

fn json_of(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().expect("an object");
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}
