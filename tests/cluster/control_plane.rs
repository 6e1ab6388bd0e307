//! A Kubernetes API server with Flux's controllers, as plain processes on loopback: no images, no kubelet, no network.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use sealift_tests::process::{self, Daemon};
use sealift_tests::{Namespace, peers, scratch};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::network::{self, Network};

/// The namespace that Flux is in.
pub(crate) const FLUX_SYSTEM: &str = "flux-system";
/// What Flux wants to be asked by.
pub(crate) const ASKED: &str = "reconcile.fluxcd.io/requestedAt";
/// Those of its controllers that fetch, and apply what is fetched.
const FLUX: [&str; 2] = ["source-controller", "kustomize-controller"];
/// Whoever is in this group may do everything.
const MASTERS: &str = "system:masters";
const LOOPBACK: &str = "127.0.0.1";
const FIELD_MANAGER: &str = "sealift-tests";
/// What a condition may take to come true. The API server alone takes 10 s to start.
const DEADLINE: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Waits until `found` finds something; the test fails with what `found` said last if it does not in time.
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match found() {
            Ok(found) => return found,
            Err(last) => assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}: {last}"),
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Where programs run: how a command is made of one.
type Launcher<'a> = Box<dyn Fn(&Path) -> Command + Sync + 'a>;

/// A running control plane; ended and removed when dropped.
pub(crate) struct ControlPlane<'a> {
    /// Where the API server listens.
    address: String,
    /// Makes a command of a program, where everything runs.
    launcher: Launcher<'a>,
    port: u16,
    etcd_port: u16,
    authority: CertifiedIssuer<'static, KeyPair>,
    admin: PathBuf,
    // Fields are dropped in this order: the processes go before their directory.
    controllers: Vec<Daemon>,
    api_server: Option<Daemon>,
    etcd: Option<Daemon>,
    dir: TempDir,
}

impl ControlPlane<'static> {
    /// Starts everything and waits until it works.
    pub(crate) fn start() -> Self {
        let mut plane = Self::start_at(LOOPBACK.to_owned(), Box::new(|program| Command::new(program)));
        for controller in FLUX {
            plane.start_controller(controller);
        }
        plane
    }

    /// The API server in the middle of a network, with the definitions of Flux's objects and nobody who looks at them.
    pub(crate) fn start_in(network: &Network) -> Self {
        let hub = network.hub().to_owned();
        Self::start_at(network.hub_address(), Box::new(move |program| network::inside(&hub, program)))
    }
}

impl<'a> ControlPlane<'a> {
    /// Lets Flux run on a node, where it finds what listens there.
    pub(crate) fn start_flux_on(&mut self, network: &Network, node: usize) {
        for name in FLUX {
            self.start_controller_as(name, network.on(node, program_path(name)));
        }
    }

    /// What one of its controllers could not do, as it told it: each line is a try that has failed.
    pub(crate) fn failures(&self, controller: &str) -> Vec<String> {
        let log = fs_err::read_to_string(self.path(&format!("{controller}.log"))).expect("a log");
        log.lines().filter(|line| line.contains(r#""level":"error""#)).map(str::to_owned).collect()
    }

    /// Everything behind the gap, where names are found in `hosts`.
    pub(crate) fn start_behind(gap: &'a Namespace, hosts: PathBuf) -> Self {
        let launcher = move |program: &Path| gap.command_with_hosts(&hosts, program);
        let mut plane = Self::start_at(LOOPBACK.to_owned(), Box::new(launcher));
        for controller in FLUX.into_iter().chain(["helm-controller"]) {
            plane.start_controller(controller);
        }
        plane
    }

    fn start_at(address: String, launcher: Launcher<'a>) -> Self {
        let [port, etcd_port, etcd_peers_port] = free_ports();
        let mut plane = Self {
            address,
            launcher,
            port,
            etcd_port,
            authority: authority(),
            admin: PathBuf::new(),
            controllers: Vec::new(),
            api_server: None,
            etcd: None,
            dir: scratch(),
        };
        plane.admin = plane.kubeconfig("admin", MASTERS);
        plane.start_etcd(etcd_peers_port);
        plane.write_server_identity();
        plane.start_api_server();
        plane.add_namespace(FLUX_SYSTEM);
        plane.define_flux();
        plane
    }

    /// Makes a namespace of Kubernetes.
    pub(crate) fn add_namespace(&self, name: &str) {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.apply("/api/v1/namespaces", &namespace);
    }

    /// A kubeconfig of a user in a group, with a client certificate.
    pub(crate) fn kubeconfig(&self, user: &str, group: &str) -> PathBuf {
        let key = KeyPair::generate().expect("a key");
        let mut wanted = CertificateParams::default();
        wanted.distinguished_name.push(DnType::CommonName, user);
        wanted.distinguished_name.push(DnType::OrganizationName, group);
        wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = wanted.signed_by(&key, &self.authority).expect("a certificate");
        let files = [("ca", self.authority.pem()), ("crt", certificate.pem()), ("key", key.serialize_pem())];
        for (suffix, pem) in files {
            fs_err::write(self.path(&format!("{user}.{suffix}")), pem).expect("a PEM file");
        }
        let credentials = format!("{{client-certificate: {user}.crt, client-key: {user}.key}}");
        self.write_kubeconfig(user, &format!("{user}.ca"), &credentials)
    }

    /// A kubeconfig with this file of authorities and these credentials.
    pub(crate) fn write_kubeconfig(&self, name: &str, authorities: &str, credentials: &str) -> PathBuf {
        let path = self.path(&format!("{name}.kubeconfig"));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
             clusters: [{{name: here, cluster: {{server: '{}', certificate-authority: {authorities}}}}}]\n\
             users: [{{name: {name}, user: {credentials}}}]\n\
             contexts: [{{name: here, context: {{cluster: here, user: {name}}}}}]\n",
            self.url("")
        );
        fs_err::write(&path, text).expect("a kubeconfig");
        path
    }

    /// Makes an object what it should be; `path` is that of its kind.
    pub(crate) fn apply(&self, path: &str, object: &Value) {
        let name = object["metadata"]["name"].as_str().expect("an object has a name");
        self.apply_text(&format!("{path}/{name}"), &object.to_string());
    }

    /// The same with the path of the object, and with YAML.
    pub(crate) fn apply_text(&self, path: &str, object: &str) {
        let file = self.path("object.yaml");
        fs_err::write(&file, object).expect("a file");
        self.apply_file(path, &file);
    }

    /// Asks Flux to look at an object again, as of this moment.
    pub(crate) fn ask(&self, path: &str, moment: &str) {
        let wish = json!({"metadata": {"annotations": {ASKED: moment}}});
        let mut curl = self.curl();
        curl.args(["--request", "PATCH", "--header", "Content-Type: application/merge-patch+json"]);
        process::run(curl.arg("--data-binary").arg(wish.to_string()).arg(self.url(path)));
    }

    /// An object, if there is one.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        let answer = process::finish(self.curl().arg(self.url(path)));
        // The health of the server is told in plain text.
        (answer.code() == Some(0)).then(|| serde_json::from_str(&answer.stdout()).unwrap_or_default())
    }

    /// Ends the API server; etcd keeps what it knows.
    pub(crate) fn stop_api_server(&mut self) {
        self.api_server = None;
    }

    /// A path in the directory of the control plane.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn apply_file(&self, path: &str, file: &Path) {
        let url = self.url(&format!("{path}?fieldManager={FIELD_MANAGER}&force=true&fieldValidation=Strict"));
        let mut curl = self.curl();
        curl.args(["--request", "PATCH", "--header", "Content-Type: application/apply-patch+yaml"]);
        process::run(curl.arg("--data-binary").arg(format!("@{}", file.display())).arg(url));
    }

    fn curl(&self) -> Command {
        let mut curl = (self.launcher)(&peers::tool("curl"));
        curl.current_dir(self.dir.path()).args([
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--noproxy",
            "*",
        ]);
        curl.args(["--cacert", "admin.ca", "--cert", "admin.crt", "--key", "admin.key"]);
        curl
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}:{}{path}", self.address, self.port)
    }

    fn start_etcd(&mut self, peers_port: u16) {
        let [clients, peers] = [self.etcd_port, peers_port].map(|port| format!("http://{LOOPBACK}:{port}"));
        let mut etcd = self.program("etcd");
        etcd.arg("--data-dir").arg(self.path("etcd")).arg("--unsafe-no-fsync");
        etcd.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        etcd.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        etcd.args(["--initial-cluster", &format!("default={peers}")]);
        self.etcd = Some(Daemon::start("etcd", &etcd, self.dir.path()));
    }

    fn write_server_identity(&self) {
        let key = KeyPair::generate().expect("a key");
        let server = CertificateParams::new([self.address.clone()]).expect("an address");
        let certificate = server.signed_by(&key, &self.authority).expect("a certificate");
        fs_err::write(self.path("server.crt"), certificate.pem()).expect("a PEM file");
        fs_err::write(self.path("server.key"), key.serialize_pem()).expect("a PEM file");
    }

    /// Starts the API server and waits until it answers.
    pub(crate) fn start_api_server(&mut self) {
        let mut api = self.program("kube-apiserver");
        api.current_dir(self.dir.path());
        api.args(["--etcd-servers", &format!("http://{LOOPBACK}:{}", self.etcd_port)]);
        api.args(["--bind-address", &self.address, "--advertise-address", &self.address]);
        api.args(["--secure-port", &self.port.to_string()]);
        // An address of loopback cannot be an endpoint.
        api.args(["--endpoint-reconciler-type", "none", "--service-cluster-ip-range", "10.96.0.0/24"]);
        api.args([
            "--tls-cert-file",
            "server.crt",
            "--tls-private-key-file",
            "server.key",
            "--cert-dir",
            ".",
        ]);
        api.args(["--client-ca-file", "admin.ca", "--authorization-mode", "RBAC", "--profiling=false"]);
        api.args(["--service-account-issuer", "https://kubernetes.default.svc"]);
        // Of the key only the public half is read from here, and that is in the certificate.
        api.args(["--service-account-key-file", "server.crt"]);
        api.args(["--service-account-signing-key-file", "server.key"]);
        self.api_server = Some(Daemon::start("kube-apiserver", &api, self.dir.path()));
        wait_for("the API server", || {
            self.get("/readyz").map(|_| ()).ok_or_else(|| self.log("kube-apiserver"))
        });
    }

    fn define_flux(&self) {
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let mut names = Vec::new();
        for entry in fs_err::read_dir(peers::cluster().join("crds")).expect("definitions") {
            let file = entry.expect("a file").path();
            // helm.toolkit.fluxcd.io_helmreleases.yaml
            let stem = file.file_stem().and_then(|stem| stem.to_str()).expect("a name");
            let (group, plural) = stem.split_once('_').expect("group and plural");
            names.push(format!("{definitions}/{plural}.{group}"));
            self.apply_file(names.last().expect("a name"), &file);
        }
        for name in names {
            wait_for(&name, || {
                let definition = self.get(&name).unwrap_or_default();
                let conditions = definition["status"]["conditions"].as_array().cloned().unwrap_or_default();
                let is_established = |c: &Value| c["type"] == "Established" && c["status"] == "True";
                if conditions.iter().any(is_established) {
                    Ok(())
                } else {
                    Err(definition["status"].to_string())
                }
            });
        }
    }

    fn start_controller(&mut self, name: &str) {
        self.start_controller_as(name, (self.launcher)(&program_path(name)));
    }

    fn start_controller_as(&mut self, name: &str, command: Command) {
        let home = self.path(&format!("{name}.home"));
        fs_err::create_dir_all(home.join("artifacts")).expect("a directory");
        let mut controller = alone(command);
        controller.env("KUBECONFIG", &self.admin).env("RUNTIME_NAMESPACE", FLUX_SYSTEM);
        controller.env("HOME", &home).env("TMPDIR", &home);
        controller.args(["--watch-all-namespaces", "--enable-leader-election=false"]);
        controller.args(["--metrics-addr", "0", "--health-addr", "0"]);
        if name == "source-controller" {
            let [port] = free_ports();
            let address = format!("{LOOPBACK}:{port}");
            controller.args(["--storage-addr", &address, "--storage-adv-addr", &address]);
            controller.arg("--storage-path").arg(home.join("artifacts"));
        }
        self.controllers.push(Daemon::start(name, &controller, self.dir.path()));
    }

    fn program(&self, name: &str) -> Command {
        alone((self.launcher)(&program_path(name)))
    }

    /// The last that a program said.
    pub(crate) fn log(&self, name: &str) -> String {
        let log = fs_err::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
        let mut last: Vec<&str> = log.lines().rev().take(20).collect();
        last.reverse();
        last.join("\n")
    }
}

/// Where a program of the control plane lies.
fn program_path(name: &str) -> PathBuf {
    peers::cluster().join("bin").join(name)
}

/// A program without this machine's proxies and this user's clusters.
fn alone(mut command: Command) -> Command {
    for variable in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "KUBECONFIG"] {
        command.env_remove(variable);
    }
    command
}

/// An authority that vouches for servers and clients.
pub(crate) fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut wanted = CertificateParams::default();
    wanted.distinguished_name.push(DnType::CommonName, "sealift-tests");
    wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(wanted, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// Ports that nobody listens on. The programs take none of their own choice.
fn free_ports<const N: usize>() -> [u16; N] {
    // All are held until all are known, so no two are the same.
    let listeners = [(); N].map(|()| TcpListener::bind((LOOPBACK, 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}
