//! What the program tells k3s, containerd and Flux, held against what these programs read (their contracts are named at
//! each check).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealift_archive::Digest;
use sealift_archive::release::{CHART_TYPE, FLUX_TYPE};
use serde_json::{Value, json};

use crate::fixture::{Content, TestStore, attempt};

const CHART_LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
const HOST: &str = "sealift-registry.sealift-system.svc";

fn config(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealift-registry"));
    attempt(command.env_remove("SEALIFT_STORE").arg("config").args(arguments))
}

fn told(arguments: &[&str]) -> String {
    let output = config(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn path(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// An authority, made by the program, and its certificate.
fn authority(dir: &Path) -> String {
    let mut init = Command::new(env!("CARGO_BIN_EXE_sealift-registry"));
    assert!(attempt(init.args(["tls", "init", "--dir"]).arg(dir)).status.success());
    dir.join("ca.crt").display().to_string()
}

fn store() -> TestStore {
    let store = TestStore::new();
    let images =
        Content::default().image("docker.io/library/redis:7", "redis").image("localhost:5000/a:1", "a");
    store.add(1, "retained", &images.artifact("sealift.internal/charts/old:1.0.0", "old", CHART_TYPE));
    let refs = store.commit("fleet", 2, "text");
    let refs: Vec<_> = refs.iter().map(|(name, id)| (*name, id.as_str())).collect();
    let content = Content::default()
        .image("ghcr.io/acme/api:1", "api")
        .artifact("sealift.internal/charts/web:1.2.3", "web", CHART_TYPE)
        .artifact("ghcr.io/acme/charts/web:1.2.3", "web", CHART_TYPE)
        .artifact("sealift.internal/charts/odd:latest", "odd", CHART_TYPE)
        .artifact("sealift.internal/flux/apps:2.0.0", "apps", FLUX_TYPE)
        .git("fleet", &refs);
    store.add(2, "active", &content);
    store.point_at(2);
    store
}

/// The objects for Flux, by kind and name.
fn objects(arguments: &[&str]) -> BTreeMap<(String, String), Value> {
    let text = told(&[&["flux"], arguments].concat());
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let key = |object: &Value| {
        let name = &object["metadata"]["name"];
        [&object["kind"], name].map(|word| word.as_str().expect("text").to_owned()).into()
    };
    documents.into_iter().map(|object| (key(&object), object)).collect()
}

fn object<'a>(objects: &'a BTreeMap<(String, String), Value>, kind: &str, name: &str) -> &'a Value {
    let names: Vec<_> = objects.keys().collect();
    objects.get(&(kind.to_owned(), name.to_owned())).unwrap_or_else(|| panic!("{kind} {name}: {names:?}"))
}

/// k3s-io/docs, private-registry.md; k3s, pkg/agent/containerd/config.go.
#[test]
fn k3s_goes_to_the_registry_for_everything_and_nowhere_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let written = told(&["k3s", "--ca", "/srv/ca.crt", "--output", path(dir.path())]);
    assert_eq!(written.lines().count(), 2, "{written}");
    let read = |name| yaml(&fs_err::read_to_string(dir.path().join(name)).expect("a file"));
    let expected = json!({
        "mirrors": { "*": { "endpoint": ["https://127.0.0.1:5443"] } },
        // TLS is looked up under the endpoint's host and port.
        "configs": { "127.0.0.1:5443": { "tls": { "ca_file": "/srv/ca.crt" } } },
    });
    assert_eq!(read("registries.yaml"), expected);
    // Without this the original registry is tried last.
    let settings = json!({ "disable-default-registry-endpoint": true });
    assert_eq!(read("config.yaml.d/50-sealift-registry.yaml"), settings);

    let plain = told(&["k3s", "--endpoint", "http://127.0.0.1:5000"]);
    assert!(plain.contains("# registries.yaml\n") && plain.contains("http://127.0.0.1:5000"), "{plain}");
    assert!(!plain.contains("ca_file"), "{plain}");
}

/// containerd, docs/hosts.md.
#[test]
fn containerd_gets_a_folder_for_every_host_and_one_for_all_others() {
    let (store, dir) = (store(), tempfile::tempdir().expect("a directory"));
    let arguments = ["containerd", "--store", path(store.dir()), "--output", path(dir.path())];
    let mut written: Vec<_> = told(&arguments).lines().map(str::to_owned).collect();
    written.sort_unstable();
    let expected = ["_default", "docker.io", "ghcr.io", "localhost_5000_"];
    let expected = expected.map(|host| dir.path().join("certs.d").join(host).join("hosts.toml"));
    assert_eq!(written, expected.map(|file| file.display().to_string()));
    // Before there is a store, the folder for all.
    assert!(told(&["containerd", "--store", "/nonexistent"]).contains("server = \"https://127.0.0.1:5443\""));
}

/// source-controller, docs/spec/v1/ocirepositories.md and gitrepositories.md.
#[test]
fn flux_finds_everything_that_the_active_release_has_for_it() {
    let (store, dir) = (store(), tempfile::tempdir().expect("a directory"));
    let ca = authority(dir.path());
    let arguments = ["--store", path(store.dir()), "--ca", &ca, "--node", "node-a=10.0.0.11"];
    let objects = objects(&arguments);
    let sources: Vec<_> = objects.keys().filter(|(kind, _)| kind.ends_with("Repository")).collect();
    let names: Vec<_> = sources.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(
        names,
        ["fleet", "charts-odd", "charts-web", "flux-apps"],
        "what is only retained is not there"
    );

    let git = &object(&objects, "GitRepository", "fleet")["spec"];
    assert_eq!(git["url"], format!("https://{HOST}:5443/git/fleet.git"));
    // The default would be `master`.
    assert_eq!(git["ref"], json!({ "branch": "main" }));
    assert_eq!(git["secretRef"]["name"], "sealift-ca");
    assert!(git.get("verify").is_none());

    let chart = &object(&objects, "OCIRepository", "charts-web")["spec"];
    // No tag in the URL; the tag list is that of the active release, so this follows it.
    assert_eq!(chart["url"], format!("oci://{HOST}:5443/charts/web"));
    assert_eq!(chart["ref"], json!({ "semver": ">=0.0.0-0" }));
    assert_eq!(chart["layerSelector"], json!({ "mediaType": CHART_LAYER, "operation": "copy" }));
    assert_eq!(object(&objects, "OCIRepository", "charts-odd")["spec"]["ref"], json!({ "tag": "latest" }));
    // The first layer, unpacked, is what is meant without a selector.
    assert!(object(&objects, "OCIRepository", "flux-apps")["spec"].get("layerSelector").is_none());
    for ((kind, name), object) in &objects {
        let spec = &object["spec"];
        if kind == "OCIRepository" {
            assert_eq!(spec["certSecretRef"]["name"], "sealift-ca", "{name}");
            // It would leave out TLS.
            assert!(spec.get("insecure").is_none(), "{name}");
        }
    }
}

/// Kubernetes, "Service Internal Traffic Policy" and "EndpointSlices": pods cannot reach the host's loopback.
#[test]
fn pods_are_led_to_the_registry_of_their_own_node() {
    let (store, dir) = (TestStore::new(), tempfile::tempdir().expect("a directory"));
    let (a, b) = (authority(&dir.path().join("a")), authority(&dir.path().join("b")));
    let nodes = ["--node", "node-a=10.0.0.11", "--node", "node-b=10.0.0.12", "--node", "node-b=fd00::12"];
    let arguments = [&["--store", path(store.dir()), "--ca", &a, "--ca", &b, "--port", "5444"], &nodes[..]];
    let objects = objects(&arguments.concat());
    let service = object(&objects, "Service", "sealift-registry");
    assert_eq!(service["spec"]["internalTrafficPolicy"], "Local");
    assert!(service["spec"].get("selector").is_none());
    let port = &service["spec"]["ports"][0];
    for (name, node, address, family) in [
        ("sealift-registry-node-a", "node-a", "10.0.0.11", "IPv4"),
        ("sealift-registry-node-b", "node-b", "10.0.0.12", "IPv4"),
        ("sealift-registry-node-b-ipv6", "node-b", "fd00::12", "IPv6"),
    ] {
        let slice = object(&objects, "EndpointSlice", name);
        assert_eq!(slice["metadata"]["labels"]["kubernetes.io/service-name"], service["metadata"]["name"]);
        assert_eq!(slice["metadata"]["namespace"], service["metadata"]["namespace"]);
        let endpoint = json!({ "addresses": [address], "nodeName": node, "conditions": { "ready": true } });
        assert_eq!(
            (&slice["endpoints"], &slice["addressType"]),
            (&json!([endpoint]), &family.into()),
            "{name}"
        );
        // They belong together by the port's name.
        assert_eq!((&slice["ports"][0]["name"], &slice["ports"][0]["port"]), (&port["name"], &json!(5444)));
    }
    let trusted = &object(&objects, "Secret", "sealift-ca")["data"]["ca.crt"];
    let both = [a, b].map(|file| fs_err::read_to_string(file).expect("a file")).concat();
    assert_eq!(trusted, &Value::from(BASE64.encode(both)));
}

/// Every name that a source asks by has to stand in the certificates that the nodes make.
#[test]
fn certificates_are_for_the_names_that_flux_asks_by() {
    let (store, dir) = (store(), tempfile::tempdir().expect("a directory"));
    let ca = authority(dir.path());
    let mut show = Command::new(env!("CARGO_BIN_EXE_sealift-registry"));
    let shown = attempt(show.args(["tls", "show", "--json", "--dir"]).arg(dir.path())).stdout;
    let shown: Value = serde_json::from_slice(&shown).expect("JSON");
    let names = shown["certificates"][0]["names"].as_array().expect("a list").clone();
    let objects = objects(&["--store", path(store.dir()), "--ca", &ca, "--node", "node-a=10.0.0.11"]);
    let urls: Vec<_> = objects.values().filter_map(|object| object["spec"]["url"].as_str()).collect();
    assert_eq!(urls.len(), 4);
    for url in urls {
        let url = url::Url::parse(&url.replace("oci://", "https://")).expect("a URL");
        assert!(names.contains(&url.host_str().expect("a host").into()), "{url}: {names:?}");
    }
    assert!(names.contains(&"127.0.0.1".into()), "what containerd asks: {names:?}");
}

/// A store whose active release has something signed in each way, and something that is not.
fn signed_store() -> TestStore {
    let store = TestStore::new();
    let [fleet, signed, by_ssh] =
        [("fleet", None), ("signed", Some("PGP")), ("by-ssh", Some("SSH"))].map(|(name, form)| {
            let refs = match form {
                None => store.commit(name, 1, "text"),
                Some(form) => store.signed_commit(name, 1, form),
            };
            (name, refs)
        });
    let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let web = Digest::of(b"web").hex();
    let mut content = Content::default()
        .artifact("sealift.internal/charts/web:1.2.3", "web", CHART_TYPE)
        .image(&format!("sealift.internal/charts/web:sha256-{web}.sig"), "cosign 2")
        .artifact("sealift.internal/charts/new:1.2.3", "new", CHART_TYPE)
        .referrer("new", "cosign 3", bundle)
        .artifact("sealift.internal/charts/half:1.0.0", "old half", CHART_TYPE)
        .artifact("sealift.internal/charts/half:2.0.0", "half", CHART_TYPE)
        .referrer("half", "cosign 3 too", bundle)
        .artifact("sealift.internal/flux/apps:2.0.0", "apps", FLUX_TYPE);
    for (name, refs) in [fleet, signed, by_ssh] {
        let refs: Vec<_> = refs.iter().map(|(name, id)| (*name, id.as_str())).collect();
        content = content.git(name, &refs);
    }
    store.add(1, "active", &content);
    store.point_at(1);
    store
}

/// source-controller, gitrepositories.md "Verification" and ocirepositories.md "Verification". What is not signed would never
/// become ready.
#[test]
fn flux_verifies_what_is_signed_and_the_rest_is_told() {
    let (store, dir) = (signed_store(), tempfile::tempdir().expect("a directory"));
    let ca = authority(dir.path());
    let file = |name: &str| {
        let file = dir.path().join(name);
        fs_err::write(&file, format!("the key {name}\n")).expect("a file");
        file.display().to_string()
    };
    let base = ["--store", path(store.dir()), "--ca", &ca, "--node", "node-a=10.0.0.11"];
    let (git, cosign, other) = (file("alice.asc"), file("vendor.pub"), file("other.pub"));
    let arguments = [&base[..], &["--git-key", &git, "--cosign-key", &cosign]].concat();
    let made = objects(&arguments);
    let verify = |made: &BTreeMap<_, _>, kind, name| object(made, kind, name)["spec"].get("verify").cloned();
    let by_git = json!({ "mode": "HEAD", "secretRef": { "name": "sealift-git-keys" } });
    let by_cosign = |secret: &str| json!({ "provider": "cosign", "secretRef": { "name": secret } });
    let expected = [
        ("GitRepository", "fleet", None),
        ("GitRepository", "signed", Some(by_git)),
        ("GitRepository", "by-ssh", None),
        ("OCIRepository", "charts-web", Some(by_cosign("sealift-cosign-keys"))),
        ("OCIRepository", "charts-new", Some(by_cosign("sealift-cosign-keys"))),
        ("OCIRepository", "charts-half", None),
        ("OCIRepository", "flux-apps", None),
    ];
    for (kind, name, expected) in expected {
        assert_eq!(verify(&made, kind, name), expected, "{kind} {name}");
    }
    // Flux takes keys by the endings of their names.
    for (secret, key) in [("sealift-git-keys", "alice.asc"), ("sealift-cosign-keys", "vendor.pub")] {
        let data = &object(&made, "Secret", secret)["data"];
        assert_eq!(data, &json!({ key: BASE64.encode(format!("the key {key}\n")) }));
    }
    let remarks = |arguments: &[&str]| {
        let text = told(&[&["flux"], arguments].concat());
        text.lines().filter_map(|line| Some(line.strip_prefix("# - ")?.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(
        remarks(&arguments),
        [
            "GitRepository by-ssh: it is signed by a key that belongs into NAME.sshpub",
            "GitRepository fleet: its commit has no signature",
            "OCIRepository charts-half: tag 1.0.0 has no signature of cosign",
            "OCIRepository flux-apps: tag 2.0.0 has no signature of cosign",
        ]
    );
    // Where the file goes straight to kubectl, nobody reads it.
    let warnings = |arguments: &[&str]| {
        let output = config(&[&["flux"], arguments].concat());
        let text = String::from_utf8(output.stderr).expect("text");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let warned =
        remarks(&arguments).into_iter().map(|remark| format!("warning: Flux does not verify {remark}"));
    assert_eq!(warnings(&arguments), warned.collect::<Vec<_>>());
    assert!(warnings(&base).is_empty(), "nobody wanted anything verified");
    let without = remarks(&base);
    assert!(
        without.len() == 7 && without.iter().all(|line| line.ends_with(": no key was given")),
        "{without:?}"
    );

    // A key for one source is for that one alone, by the release's name for it or by Flux's.
    for name in ["charts/web", "charts-web"] {
        let named = format!("{name}={other}");
        let made = objects(&[&arguments[..], &["--cosign-key", &named]].concat());
        let own = "sealift-cosign-keys-charts-web";
        assert_eq!(verify(&made, "OCIRepository", "charts-web"), Some(by_cosign(own)));
        assert_eq!(verify(&made, "OCIRepository", "charts-new"), Some(by_cosign("sealift-cosign-keys")));
        let data = &object(&made, "Secret", own)["data"];
        assert_eq!(data, &json!({ "other.pub": BASE64.encode("the key other.pub\n") }));
    }
    for (option, key, why) in [
        ("--cosign-key", file("key.txt"), "NAME.pub"),
        ("--cosign-key", format!("charts/none={cosign}"), "charts-half, charts-new, charts-web, flux-apps"),
        ("--cosign-key", format!("flux/apps={cosign}"), "wait for ever: tag 2.0.0 has no signature"),
        ("--git-key", format!("fleet={git}"), "wait for ever: its commit has no signature"),
        ("--git-key", format!("by-ssh={git}"), "NAME.sshpub"),
    ] {
        let output = config(&[&["flux"], &base[..], &[option, &key]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{key}: {said}");
        assert!(
            said.contains("error[SL0630]") && said.contains(why) && output.stdout.is_empty(),
            "{key}: {said}"
        );
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (store, dir) = (TestStore::new(), tempfile::tempdir().expect("a directory"));
    let ca = authority(dir.path());
    let store = path(store.dir());
    let flux = |more: &[&'static str]| [&["flux", "--store", store, "--ca", &ca], more].concat();
    let cases = [
        (flux(&[]), "--node"),
        (flux(&["--node", "node-a=127.0.0.1"]), "neither loopback nor link-local"),
        (flux(&["--node", "node-a=fe80::1"]), "neither loopback nor link-local"),
        (flux(&["--node", "10.0.0.1"]), "NAME=ADDRESS"),
        (flux(&["--node", "a=10.0.0.1", "--interval", "5"]), "`5m`"),
        (flux(&["--node", "a=10.0.0.1", "--ca", "/dev/null"]), "error[SL0602]: `/dev/null`"),
        (vec!["flux", "--store", "/nonexistent", "--node", "a=10.0.0.1"], "error[SL0301]"),
        (vec!["k3s", "--endpoint", "127.0.0.1:5443"], "https://HOST:PORT"),
    ];
    for (arguments, expected) in cases {
        let output = config(&arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected) && output.stdout.is_empty(), "{arguments:?}: {said}");
    }
}
