//! For k3s: `registries.yaml`, and the one setting without which it would go elsewhere in the end.
//!
//! `"*"` stands for every registry. TLS of an endpoint is looked up under the endpoint's own host and port. k3s
//! reads these files when it starts, on every node, and makes containerd's `certs.d` from them (k3s,
//! pkg/agent/containerd/config.go).

use std::path::Path;

use serde_json::{Value, json};

use super::{Document, Endpoint};

/// What stands at the head of every file.
const HEAD: &str = "# Made by `sealift-registry config k3s`; k3s reads it when it starts.\n";

/// The files, below `/etc/rancher/k3s`.
pub(crate) fn documents(endpoint: &Endpoint, authority: &Path) -> Vec<Document> {
    let mut registries = json!({ "mirrors": { "*": { "endpoint": [endpoint.to_string()] } } });
    if endpoint.is_tls() {
        registries["configs"] = json!({ endpoint.authority(): { "tls": { "ca_file": authority } } });
    }
    // Behind all mirrors k3s tries the original registry, and kubelet then tells only of that.
    let settings = json!({ "disable-default-registry-endpoint": true });
    vec![
        document("registries.yaml", &registries),
        document("config.yaml.d/50-sealift-registry.yaml", &settings),
    ]
}

fn document(path: &str, value: &Value) -> Document {
    let yaml = serde_saphyr::to_string(value).expect("text, lists and tables serialise");
    Document { path: path.to_owned(), text: format!("{HEAD}{yaml}") }
}
