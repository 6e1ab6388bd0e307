//! Flux as it is, except how source-controller keeps artifacts (`artifact/`), with a Kubernetes API server as it is, while
//! releases change under it: what is asked of it in activation is done, and what is said to be ready is.
//!
//! Run by `make test-cluster`, not by `make test`: the programs take long to build.

mod containerd;
mod control_plane;
mod customer;
mod network;
mod nodes;
mod registry;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use sealift_archive::Explain as _;
use sealift_importer::flux::{Cluster, Error, Patience, Standing};
use sealift_tests::appliance::Shim;
use sealift_tests::fixture;
use sealift_tests::trust::ACME;
use sealift_tests::{Appliance, Vendor};
use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, FLUX_SYSTEM, authority, wait_for};

const KUSTOMIZATIONS: &str = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations";
const RELEASES: &str = "/apis/helm.toolkit.fluxcd.io/v2/namespaces/flux-system/helmreleases";
const REPOSITORIES: &str = "/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories";
const CONFIG_MAPS: &str = "/api/v1/namespaces/flux-system/configmaps";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1";
/// The group that has the role of `docs/operator.md`.
const GROUP: &str = "sealift";

/// A vendor, an appliance that serves what it has activated, and a cluster with Flux that lives from it.
struct Place {
    vendor: Vendor,
    appliance: Appliance<'static>,
    shim: Shim<'static>,
    plane: ControlPlane<'static>,
}

impl Place {
    fn new() -> Self {
        let (vendor, appliance) = (Vendor::new(&ACME), Appliance::new(&ACME));
        let shim = appliance.serve();
        let plane = ControlPlane::start();
        grant_role(&plane);
        Self { vendor, appliance, shim, plane }
    }

    /// The next release: one folder for Git, with this in it.
    fn bundle(&self, sequence: u64, manifest: &Value) -> PathBuf {
        let manifest = manifest.to_string();
        fixture::write(&self.vendor.path("gitops/app.yaml"), manifest.as_bytes());
        fixture::write(&self.vendor.path("gitops/kustomization.yaml"), b"resources: [app.yaml]\n");
        let upgrade =
            if sequence > 1 { format!("upgradeFrom: [1.0.{}]\n", sequence - 1) } else { String::new() };
        let git = "git: [{name: fleet, path: gitops, branch: main}]\n";
        self.vendor.define(&format!("1.0.{sequence}"), sequence, &format!("{upgrade}{git}"));
        self.vendor.lock();
        self.vendor.bundle()
    }

    fn activate(&self, sequence: u64, manifest: &Value) {
        self.appliance.activate(&self.bundle(sequence, manifest));
    }

    /// A new process's view of Flux, with the rights that the documentation grants.
    fn flux(&self) -> Cluster {
        open(&self.plane.kubeconfig("appliance", GROUP))
    }

    fn add_repository(&self) {
        let url = format!("http://{}/git/fleet.git", self.shim.authority());
        let spec = json!({"interval": "1h", "url": url, "ref": {"branch": "main"}});
        self.plane
            .apply(REPOSITORIES, &object("source.toolkit.fluxcd.io/v1", "GitRepository", "fleet", &spec));
    }

    fn add_kustomization(&self, name: &str, more: &Value) {
        let mut spec = json!({
            "interval": "1h", "retryInterval": "1h", "path": "./", "prune": true,
            "sourceRef": {"kind": "GitRepository", "name": "fleet"},
        });
        let more = more.as_object().expect("fields").clone();
        spec.as_object_mut().expect("fields").extend(more);
        self.plane
            .apply(KUSTOMIZATIONS, &object("kustomize.toolkit.fluxcd.io/v1", "Kustomization", name, &spec));
    }

    /// What the release that Flux has applied says.
    fn applied(&self) -> Option<String> {
        let found = self.plane.get(&format!("{CONFIG_MAPS}/app"))?;
        Some(found["data"]["release"].as_str()?.to_owned())
    }

    fn is_suspended(&self, path: &str) -> bool {
        let found = self.plane.get(path).expect("an object");
        let is_marked = found["metadata"]["annotations"]["sealift/suspended"].is_string();
        assert!(!is_marked || found["spec"]["suspend"] == json!(true), "marked, and not suspended: {found}");
        found["spec"]["suspend"] == json!(true)
    }
}

/// Lets [`GROUP`] have the role of `docs/operator.md`.
fn grant_role(plane: &ControlPlane<'_>) {
    plane.apply_text(&format!("{ROLES}/clusterroles/sealift"), &documented_role());
    let subject = json!({"kind": "Group", "name": GROUP, "apiGroup": "rbac.authorization.k8s.io"});
    let role = json!({"kind": "ClusterRole", "name": "sealift", "apiGroup": "rbac.authorization.k8s.io"});
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "sealift"},
        "subjects": [subject],
        "roleRef": role,
    });
    plane.apply(&format!("{ROLES}/clusterrolebindings"), &binding);
}

fn open(kubeconfig: &Path) -> Cluster {
    Cluster::open(kubeconfig, Some(FLUX_SYSTEM)).expect("a kubeconfig")
}

fn object(api: &str, kind: &str, name: &str, spec: &Value) -> Value {
    let metadata = json!({"name": name, "namespace": FLUX_SYSTEM});
    json!({"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec})
}

/// What an object says of itself in this respect.
fn condition_of(object: &Value, kind: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
}

fn config_map(release: &str) -> Value {
    let metadata = json!({"name": "app", "namespace": FLUX_SYSTEM});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"release": release}})
}

/// The role of `docs/operator.md`, word for word.
fn documented_role() -> String {
    documented("kind: ClusterRole\n")
}

/// What `docs/operator.md` shows with these words in it.
fn documented(words: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operator.md");
    let docs = fs_err::read_to_string(docs).expect("the documentation");
    let block = docs.split("```yaml\n").find(|block| block.contains(words)).expect("an object");
    block.split("```").next().expect("the end of the block").to_owned()
}

fn wait_ready(flux: &Cluster) -> Standing {
    wait_for("Flux", || {
        let standing = flux.look().map_err(|error| error.to_string())?;
        if standing.is_ready() { Ok(standing) } else { Err(standing.to_string()) }
    })
}

fn wait_not_ready(flux: &Cluster, words: &str) {
    wait_for(words, || {
        let standing = flux.look().map_err(|error| error.to_string())?.to_string();
        if standing.contains(words) { Ok(()) } else { Err(standing) }
    });
}

#[test]
fn flux_is_held_still_while_a_release_is_activated() {
    let place = Place::new();
    place.activate(1, &config_map("one"));
    place.add_repository();
    place.add_kustomization("fleet", &json!({}));
    let kept = json!({"suspend": true, "path": "./nowhere"});
    place.add_kustomization("kept", &kept);
    let flux = place.flux();
    assert_eq!(wait_ready(&flux).judged, 2, "the repository and the Kustomization that is not suspended");
    assert_eq!(place.applied().as_deref(), Some("one"));

    // While it is held still, a release changes nothing, poked or not.
    assert_eq!(flux.suspend().expect("suspended"), 1);
    assert_eq!(flux.suspend().expect("suspended"), 0);
    let fleet = format!("{KUSTOMIZATIONS}/fleet");
    assert!(place.is_suspended(&fleet));
    place.activate(2, &config_map("two"));
    assert_eq!(flux.poke().expect("poked"), 1, "the repository alone");
    let standing = flux.look().expect("a look");
    assert!(
        standing.to_string().contains("Kustomization flux-system/fleet: it is still suspended by Sealift"),
        "{standing}"
    );
    assert_eq!(place.applied().as_deref(), Some("one"));

    // Another process, which knows nothing of the first, lets it go. Whatever is ready from then on is the new release.
    let flux = place.flux();
    assert_eq!(flux.resume().expect("resumed"), 1);
    assert!(!place.is_suspended(&fleet) && place.is_suspended(&format!("{KUSTOMIZATIONS}/kept")));
    assert_eq!(flux.poke().expect("poked"), 2);
    wait_ready(&flux);
    assert_eq!(place.applied().as_deref(), Some("two"));
    let left = place.plane.get(&fleet).expect("the Kustomization");
    assert!(left["spec"]["suspend"].is_null() && !left.to_string().contains("sealift/suspended"), "{left}");

    // A poke is enough to be not ready until Flux has looked: no gate passes on what was ready before.
    place.activate(3, &config_map("three"));
    flux.poke().expect("poked");
    wait_ready(&flux);
    assert_eq!(place.applied().as_deref(), Some("three"));

    // A release that cannot be applied is told in Flux's words, and the one after it heals that.
    place.activate(
        4,
        &json!({"apiVersion": "example.com/v1", "kind": "Nothing", "metadata": {"name": "app"}}),
    );
    flux.poke().expect("poked");
    wait_not_ready(&flux, "no matches for kind \"Nothing\"");
    place.activate(5, &config_map("five"));
    flux.poke().expect("poked");
    wait_ready(&flux);
    assert_eq!(place.applied().as_deref(), Some("five"));
}

#[test]
fn a_health_check_does_not_hold_up_suspending() {
    let place = Place::new();
    let web = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": FLUX_SYSTEM},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "registry.example.com/web:1"}]},
            },
        },
    });
    place.activate(1, &web);
    place.add_repository();
    // Nobody runs pods here, so it would be waited for for long.
    place.add_kustomization("fleet", &json!({"wait": true, "timeout": "10m"}));
    let flux = place.flux();
    let fleet = format!("{KUSTOMIZATIONS}/fleet");
    wait_for("a health check", || {
        let status = place.plane.get(&fleet).unwrap_or_default()["status"].to_string();
        if status.contains("Running health checks") { Ok(()) } else { Err(status) }
    });
    let began = Instant::now();
    assert_eq!(flux.suspend().expect("suspended"), 1);
    assert!(began.elapsed() < Patience::default().finish, "{:?}", began.elapsed());

    // A HelmRelease is suspended and resumed likewise; there is no controller for it here.
    let chart = json!({"spec": {"chart": "web", "sourceRef": {"kind": "HelmRepository", "name": "charts"}}});
    let release =
        object("helm.toolkit.fluxcd.io/v2", "HelmRelease", "web", &json!({"interval": "1h", "chart": chart}));
    place.plane.apply(RELEASES, &release);
    assert_eq!(flux.suspend().expect("suspended"), 1);
    assert!(place.is_suspended(&format!("{RELEASES}/web")));
    assert_eq!(flux.resume().expect("resumed"), 2);
    assert!(!place.is_suspended(&format!("{RELEASES}/web")) && !place.is_suspended(&fleet));
    wait_not_ready(
        &flux,
        "HelmRelease flux-system/web: its controller has not seen its latest definition yet",
    );
}

#[test]
fn who_may_not_or_is_not_trusted_is_told_so() {
    let mut plane = ControlPlane::start();
    let nobody = open(&plane.kubeconfig("nobody", "guests")).suspend().expect_err("no rights");
    assert!(
        matches!(&nobody, Error::Forbidden { verb: "list", resource, .. } if resource == "kustomizations.kustomize.toolkit.fluxcd.io"),
        "{nobody}"
    );
    assert!(
        nobody.to_string().contains("User \"nobody\" cannot list resource \"kustomizations\""),
        "{nobody}"
    );

    let stranger = plane.write_kubeconfig("stranger", "admin.ca", "{token: not-one-of-ours}");
    let stranger = open(&stranger).suspend().expect_err("no such token");
    assert_eq!(stranger.code().to_string(), "SL0549", "{stranger}");

    fs_err::write(plane.path("other.ca"), authority().pem()).expect("a PEM file");
    let other =
        plane.write_kubeconfig("other", "other.ca", "{client-certificate: admin.crt, client-key: admin.key}");
    let other = open(&other).suspend().expect_err("another authority");
    assert_eq!(other.code().to_string(), "SL0548", "{other}");

    // An API server that goes away is an error, and one that comes back in time is not.
    let admin = open(&plane.path("admin.kubeconfig"));
    plane.stop_api_server();
    let haste = Patience { change: Duration::from_secs(1), ..Patience::default() };
    let gone =
        open(&plane.path("admin.kubeconfig")).with_patience(haste).suspend().expect_err("nobody there");
    assert_eq!(gone.code().to_string(), "SL0547", "{gone}");
    let waiting = thread::spawn(move || admin.suspend());
    plane.start_api_server();
    assert_eq!(waiting.join().expect("a thread").expect("suspended"), 0);
}
