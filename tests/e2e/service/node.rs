//! A node: a release that is active, an authority, and the registry behind the gap.

use std::path::PathBuf;
use std::process::Command;

use sealift_tests::process::{self, Daemon};
use sealift_tests::trust::ACME;
use sealift_tests::vendor::HOST;
use sealift_tests::{Appliance, Namespace, Vendor, binaries, fixture, peers, scratch};
use tempfile::TempDir;

/// Where the registry listens; free for sure, because the namespace is new.
pub(crate) const PORT: u16 = 5443;
/// The name by which pods ask for it.
pub(crate) const SERVICE: &str = "sealift-registry.sealift-system.svc";
/// An image of the release.
pub(crate) const IMAGE: &str = "acme/tools:1.0";

/// A node in a namespace of its own.
pub(crate) struct Node<'a> {
    pub(crate) namespace: &'a Namespace,
    pub(crate) appliance: Appliance<'a>,
    dir: TempDir,
}

impl<'a> Node<'a> {
    /// A node with a release that has an image, a chart, a Flux artifact and a Git repository.
    pub(crate) fn new(namespace: &'a Namespace) -> Self {
        let vendor = Vendor::new(&ACME);
        fixture::write_git_folder(&vendor.path("gitops"));
        fixture::write_chart(&vendor.path("charts/web"), "web", "1.2.3", &format!("{HOST}/{IMAGE}"));
        let layout = fixture::images().dir().display().to_string();
        let rest = format!(
            "images:\n- {{ociLayout: '{layout}', reference: tools, name: '{HOST}/{IMAGE}'}}\n\
             charts:\n- {{path: charts/web}}\n\
             flux:\n- {{name: apps, path: gitops}}\n\
             git:\n- {{name: fleet, path: gitops, branch: main}}\n"
        );
        vendor.define("1.0.0", 1, &rest);
        vendor.lock();
        let bundle = vendor.bundle();
        let node = Self::empty(namespace);
        node.appliance.activate(&bundle);
        node
    }

    /// A node without a release.
    pub(crate) fn empty(namespace: &'a Namespace) -> Self {
        let dir = scratch();
        ACME.write_root(dir.path());
        Self { namespace, appliance: Appliance::behind(namespace, dir.path()), dir }
    }

    /// A path in the node's own directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `sealift-registry` on this node.
    pub(crate) fn registry(&self, arguments: &[&str]) -> Command {
        let mut command = self.namespace.command(binaries::path("sealift-registry"));
        command.args(arguments).env_remove("SEALIFT_STORE").env_remove("RUST_LOG");
        command
    }

    /// Makes the node's authority, for these addresses too.
    pub(crate) fn init(&self, addresses: &[&str]) {
        let mut init = self.registry(&["tls", "init", "--dir"]);
        init.arg(self.path("pki")).args(addresses.iter().flat_map(|address| ["--address", address]));
        process::run(&mut init);
    }

    /// The certificate of the node's authority.
    pub(crate) fn ca(&self) -> PathBuf {
        self.path("pki/ca.crt")
    }

    /// Serves on all addresses of the node.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Daemon {
        let listen = format!("0.0.0.0:{PORT}");
        let mut command = self.registry(&["--listen", &listen]);
        command.arg("--store").arg(self.appliance.store()).args(arguments);
        let mut daemon = Daemon::start("sealift-registry", &command, self.dir.path());
        daemon.await_log(|log| log.contains("ready http").then_some(()));
        daemon
    }

    /// Serves over TLS.
    pub(crate) fn serve_tls(&self, arguments: &[&str]) -> Daemon {
        let dir = self.path("pki").display().to_string();
        self.serve(&[&["--tls-dir", &dir], arguments].concat())
    }

    /// A client on this node that knows the Service's name, as a pod does, and trusts the node's authority, in whatever way
    /// it is told.
    pub(crate) fn client(&self, program: &str) -> Command {
        let hosts = self.path("hosts");
        fs_err::write(&hosts, format!("127.0.0.1 localhost {SERVICE}\n")).expect("a file");
        let mut command = self.namespace.command_with_hosts(&hosts, peers::tool(program));
        let environment = [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            // Without a name of its user, Git asks DNS for that of the machine.
            ("GIT_COMMITTER_NAME", "Test"),
            ("GIT_COMMITTER_EMAIL", "test@example.com"),
            ("SSL_CERT_DIR", "/nonexistent"),
        ];
        command.envs(environment).env("HOME", self.dir.path());
        command.env("SSL_CERT_FILE", self.ca()).env("GIT_SSL_CAINFO", self.ca());
        command
    }
}
