//! Flux as a customer has it: behind the gap, over TLS with the node's own authority, by the objects that `sealift-registry
//! config flux` writes, and with the vendor's keys, by which it verifies what it takes.

use std::ffi::OsStr;
use std::path::PathBuf;

use sealift_tests::cosign::Form;
use sealift_tests::gap::OWN_ADDRESS;
use sealift_tests::git::signing_git;
use sealift_tests::process::{self, Daemon};
use sealift_tests::trust::ACME;
use sealift_tests::{
    Appliance, Cosign, Gpg, Helm, Namespace, Registry, Side, Vendor, fixture, layout, scratch,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::control_plane::{ASKED, ControlPlane, FLUX_SYSTEM, wait_for};
use crate::{CONFIG_MAPS, GROUP, KUSTOMIZATIONS, RELEASES, condition_of, grant_role, object, registry};

const SOURCES: &str = "/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system";
const SECRETS: &str = "/api/v1/namespaces/flux-system/secrets";
const HELM: &str = "helm.toolkit.fluxcd.io/v2";
const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io/v1";
/// The charts, each signed in another form.
const CHARTS: [(&str, Form); 2] = [("web", Form::Bundle), ("api", Form::Tag)];

/// Who signs commits and charts.
struct Signer {
    gpg: Gpg,
    cosign: Cosign<'static>,
    /// The public keys, under the signer's name.
    keys: TempDir,
    name: &'static str,
}

impl Signer {
    fn new(name: &'static str) -> Self {
        let (gpg, cosign, keys) = (Gpg::with_key(), Cosign::new(Side::Vendor), scratch());
        let signer = Self { gpg, cosign, keys, name };
        for (made, key) in
            [(signer.gpg.armored_key(), signer.git_key()), (signer.cosign.make_keys(), signer.cosign_key())]
        {
            fs_err::copy(made, key).expect("a public key");
        }
        signer
    }

    fn git_key(&self) -> PathBuf {
        self.keys.path().join(format!("{}.asc", self.name))
    }

    fn cosign_key(&self) -> PathBuf {
        self.keys.path().join(format!("{}.pub", self.name))
    }
}

/// A vendor who signs whatever a release carries.
struct Publisher {
    vendor: Vendor,
    registry: Registry<'static>,
    helm: Helm<'static>,
    signer: Signer,
}

/// A release, and what Flux calls each of its sources' content.
struct Release {
    version: String,
    archive: String,
    /// By the path of the source.
    revisions: Vec<(String, String)>,
}

impl Publisher {
    fn new() -> Self {
        let publisher = Self {
            vendor: Vendor::new(&ACME),
            registry: Registry::with_referrers(Side::Vendor),
            helm: Helm::new(Side::Vendor),
            signer: Signer::new("vendor"),
        };
        fs_err::create_dir(publisher.vendor.path("fleet")).expect("a folder");
        publisher.git(&["init", "--quiet", "--initial-branch=main"]);
        publisher
    }

    /// The release with this sequence, 1.0.N: a repository with a signed commit more, and signed charts.
    fn release(&self, sequence: u64) -> Release {
        let version = format!("1.0.{sequence}");
        let mut revisions = vec![self.commit(&version)];
        revisions.extend(CHARTS.map(|(name, form)| self.publish(name, form, &version)));
        let upgrade =
            if sequence > 1 { format!("upgradeFrom: [1.0.{}]\n", sequence - 1) } else { String::new() };
        let charts = CHARTS.map(|(name, _)| format!("- oci://{}:{version}\n", self.chart(name))).concat();
        let git = "git: [{name: fleet, url: fleet, ref: main}]\n";
        self.vendor.define(&version, sequence, &format!("{upgrade}charts:\n{charts}{git}"));
        self.vendor.lock();
        Release { version, archive: self.vendor.bundle().display().to_string(), revisions }
    }

    fn commit(&self, version: &str) -> (String, String) {
        let app = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "app", "namespace": FLUX_SYSTEM}, "data": {"release": version},
        });
        fixture::write(&self.vendor.path("fleet/app.yaml"), app.to_string().as_bytes());
        fixture::write(&self.vendor.path("fleet/kustomization.yaml"), b"resources: [app.yaml]\n");
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--gpg-sign", "--message", version]);
        let commit = self.git(&["rev-parse", "HEAD"]);
        (format!("{SOURCES}/gitrepositories/fleet"), format!("main@sha1:{}", commit.trim()))
    }

    fn publish(&self, name: &str, form: Form, version: &str) -> (String, String) {
        let (folder, packages) = (self.vendor.path(format!("charts/{name}")), self.vendor.path("packages"));
        let about = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
        fixture::write(&folder.join("Chart.yaml"), about.as_bytes());
        fixture::write(&folder.join("values.yaml"), format!("release: {version}\n").as_bytes());
        fixture::write(&folder.join("templates/settings.yaml"), SETTINGS.as_bytes());
        fs_err::create_dir_all(&packages).expect("a folder");
        let package = self.helm.package(&folder, &packages, &self.signer.gpg);
        self.helm.push(&package, &format!("oci://{}/charts", self.registry.authority()));
        let digest = layout::digest(&self.registry.repository(&format!("charts/{name}")).manifest(version));
        self.signer.cosign.sign(&format!("{}@{digest}", self.chart(name)), form);
        (format!("{SOURCES}/ocirepositories/charts-{name}"), format!("{version}@{digest}"))
    }

    fn chart(&self, name: &str) -> String {
        format!("{}/charts/{name}", self.registry.authority())
    }

    fn git(&self, arguments: &[&str]) -> String {
        process::text(signing_git(&self.signer.gpg, &self.vendor.path("fleet")).args(arguments))
    }
}

const SETTINGS: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Chart.Name }}}
data: {release: {{ .Values.release | quote }}}
";

/// A node with its registry, and a cluster that lives from it. Nobody leads to anywhere else.
struct Site<'a> {
    // Fields are dropped in this order: the programs go before what they stand on.
    plane: ControlPlane<'a>,
    _registry: Daemon,
    appliance: Appliance<'a>,
    gap: &'a Namespace,
}

impl<'a> Site<'a> {
    /// A site that runs this release, and whose Flux has been told of the registry and of the signer's keys.
    fn new(gap: &'a Namespace, release: &Release, signer: &Signer) -> Self {
        let root = scratch();
        ACME.write_root(root.path());
        let appliance = Appliance::behind(gap, root.path());
        appliance.activate(release.archive.as_ref());
        let registry = registry::serve(gap, &appliance);
        let hosts = appliance.path("hosts");
        // What DNS and the Service do where there are pods.
        fixture::write(
            &hosts,
            format!("127.0.0.1 localhost\n{OWN_ADDRESS} {}\n", registry::SERVICE).as_bytes(),
        );
        let plane = ControlPlane::start_behind(gap, hosts);
        grant_role(&plane);
        let kubeconfig = plane.kubeconfig("appliance", GROUP);
        let flux = format!("{{kubeconfig: '{}', namespace: {FLUX_SYSTEM}}}", kubeconfig.display());
        let config = format!("apiVersion: sealift/v1\nkind: Appliance\nactivation:\n  flux: {flux}\n");
        fixture::write(&appliance.path("appliance.yaml"), config.as_bytes());
        let site = Self { plane, _registry: registry, appliance, gap };
        site.trust(signer);
        let spec = json!({
            "interval": "1h", "retryInterval": "1h", "path": "./", "prune": true,
            "sourceRef": {"kind": "GitRepository", "name": "fleet"},
        });
        site.plane.apply(KUSTOMIZATIONS, &object(KUSTOMIZE, "Kustomization", "fleet", &spec));
        for (name, _) in CHARTS {
            let chart = json!({"kind": "OCIRepository", "name": format!("charts-{name}")});
            let spec = json!({"interval": "1h", "chartRef": chart});
            site.plane.apply(RELEASES, &object(HELM, "HelmRelease", name, &spec));
        }
        site
    }

    /// Applies, word for word, what the registry writes for Flux.
    fn trust(&self, signer: &Signer) {
        let mut config = registry::command(self.gap);
        config.args(["config", "flux", "--node", &format!("node-a={OWN_ADDRESS}")]);
        config.args(["--interval", "1h", "--store"]).arg(self.appliance.store());
        config.arg("--ca").arg(registry::ca(&self.appliance));
        config.arg("--git-key").arg(signer.git_key()).arg("--cosign-key").arg(signer.cosign_key());
        for text in process::text(&mut config).split("\n---\n") {
            let object: Value = serde_saphyr::from_str(text).expect("YAML");
            // Before the first there is a comment.
            if object.is_object() {
                self.plane.apply_text(&path_of(&object), text);
            }
        }
    }

    /// Lets `sealiftctl` switch to a release. Each source has to be asked once by that, and to have the release's content
    /// when it has answered.
    fn switch(&self, words: &[&str], release: &Release) {
        let asked = |path: &str| self.get(path)["metadata"]["annotations"][ASKED].clone();
        let before: Vec<Value> = release.revisions.iter().map(|(path, _)| asked(path)).collect();
        self.sealiftctl(words);
        for ((path, revision), before) in release.revisions.iter().zip(before) {
            let poke = asked(path);
            assert!(poke.is_string() && poke != before, "{path} was not asked: {poke}");
            let source = self.wait(path, |found| found["status"]["lastHandledReconcileAt"] == poke);
            assert_eq!(source["status"]["artifact"]["revision"], *revision, "{source}");
            for condition in ["Ready", "SourceVerified"] {
                assert_eq!(condition_of(&source, condition)["status"], "True", "{source}");
            }
            assert_eq!(asked(path), poke, "{path} was asked once more");
        }
        self.wait_applied(release);
    }

    /// Waits until Flux has taken the release as it is, in its own time.
    fn wait_taken(&self, release: &Release) {
        for (path, revision) in &release.revisions {
            self.wait(path, |found| {
                found["status"]["artifact"]["revision"] == *revision
                    && condition_of(found, "SourceVerified")["status"] == "True"
            });
        }
        self.wait_applied(release);
    }

    fn wait_applied(&self, release: &Release) {
        let fleet = format!("{KUSTOMIZATIONS}/fleet");
        let (_, revision) = &release.revisions[0];
        self.wait(&fleet, |found| {
            found["status"]["lastAppliedRevision"] == *revision
                && condition_of(found, "Ready")["status"] == "True"
        });
        for (name, _) in CHARTS {
            self.wait(&format!("{CONFIG_MAPS}/{name}"), |found| found["data"]["release"] == *release.version);
            self.wait(&format!("{RELEASES}/{name}"), |found| {
                condition_of(found, "Ready")["status"] == "True"
                    && found["status"]["history"][0]["chartVersion"]
                        .as_str()
                        .is_some_and(|version| version.starts_with(&format!("{}+", release.version)))
            });
        }
        self.expect_applied(release);
    }

    fn expect_applied(&self, release: &Release) {
        for name in CHARTS.map(|(name, _)| name).into_iter().chain(["app"]) {
            let found = self.get(&format!("{CONFIG_MAPS}/{name}"));
            assert_eq!(found["data"]["release"], *release.version, "{name}");
        }
    }

    fn sealiftctl(&self, words: &[&str]) {
        let mut sealiftctl = self.appliance.sealiftctl();
        process::run(sealiftctl.arg("--config").arg(self.appliance.path("appliance.yaml")).args(words));
    }

    fn wait(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_for(path, || {
            let found = self.plane.get(path).unwrap_or_default();
            if is_so(&found) { Ok(found) } else { Err(found["status"].to_string()) }
        })
    }

    fn get(&self, path: &str) -> Value {
        self.plane.get(path).unwrap_or_else(|| panic!("`{path}` is not there"))
    }
}

/// Where the API has an object.
fn path_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let (api, kind) = (text(&object["apiVersion"]), text(&object["kind"]).to_lowercase());
    let root = if api.contains('/') { "/apis" } else { "/api" };
    let namespace = object["metadata"]["namespace"].as_str();
    let within = namespace.map(|name| format!("/namespaces/{name}")).unwrap_or_default();
    let plural = kind.strip_suffix('y').map_or_else(|| format!("{kind}s"), |stem| format!("{stem}ies"));
    format!("{root}/{api}{within}/{plural}/{}", text(&object["metadata"]["name"]))
}

#[test]
fn flux_takes_what_the_vendor_signed_there_and_back_and_nothing_of_a_stranger() {
    let publisher = Publisher::new();
    let one = publisher.release(1);
    let gap = Namespace::new();
    let site = Site::new(&gap, &one, &publisher.signer);
    site.wait_taken(&one);
    assert_eq!(gap.escaped_packets(), 0, "somebody tried to leave");

    let two = publisher.release(2);
    site.switch(&["import", "--activate", &two.archive], &two);
    site.switch(&["rollback", "--yes"], &one);
    site.switch(&["activate", "1.0.2"], &two);
    let log = site.plane.log("source-controller");
    assert!(!log.contains(r#""level":"error""#), "Flux had to try more than once: {log}");

    // Another's keys take the place of the vendor's. Flux looks at keys when there is something new.
    let stranger = Signer::new("stranger");
    site.trust(&stranger);
    for (secret, key) in
        [("sealift-git-keys", stranger.git_key()), ("sealift-cosign-keys", stranger.cosign_key())]
    {
        let secret = site.get(&format!("{SECRETS}/{secret}"));
        let names: Vec<_> = secret["data"].as_object().expect("keys").keys().map(OsStr::new).collect();
        assert_eq!(names, [key.file_name().expect("a name")]);
    }
    let three = publisher.release(3);
    site.sealiftctl(&["import", "--activate", &three.archive]);
    let reasons = ["InvalidCommitSignature", "VerificationError", "VerificationError"];
    for ((path, revision), reason) in two.revisions.iter().zip(reasons) {
        let source = site.wait(path, |found| {
            found["status"]["lastHandledReconcileAt"] == found["metadata"]["annotations"][ASKED]
        });
        let verified = condition_of(&source, "SourceVerified");
        assert_eq!((&verified["status"], &verified["reason"]), (&json!("False"), &json!(reason)), "{source}");
        assert_eq!(condition_of(&source, "Ready")["status"], "False", "{source}");
        assert_eq!(source["status"]["artifact"]["revision"], *revision, "{source}");
    }
    site.expect_applied(&two);
    assert_eq!(gap.escaped_packets(), 0, "somebody tried to leave");
}
