//! The appliance's container runtime, behind the gap: containerd, Debian's (1.6) or the one that k3s has (2.x), with
//! Debian's runc.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::gap::Namespace;
use crate::peers;
use crate::process::{self, Daemon};
use crate::scratch;

/// A running containerd with directories of its own; ended with all its containers and mounts when dropped.
///
/// It stacks layers as on an appliance, by overlayfs; so the temporary directory cannot itself be on an overlay.
#[derive(Debug)]
pub struct Containerd<'a> {
    namespace: &'a Namespace,
    client: PathBuf,
    // Fields are dropped in this order: the process goes before its directory.
    _daemon: Daemon,
    dir: TempDir,
}

impl<'a> Containerd<'a> {
    /// Starts Debian's containerd in `namespace`.
    #[must_use]
    pub fn start(namespace: &'a Namespace) -> Self {
        Self::start_programs(namespace, &peers::tool("containerd"), peers::tool("ctr"))
    }

    /// Starts the containerd that k3s has; `make test-cluster` builds it.
    #[must_use]
    pub fn start_newer(namespace: &'a Namespace) -> Self {
        let programs = peers::containerd();
        Self::start_programs(namespace, &programs.join("containerd"), programs.join("ctr"))
    }

    fn start_programs(namespace: &'a Namespace, server: &Path, client: PathBuf) -> Self {
        let dir = scratch();
        let config = dir.path().join("config.toml");
        fs_err::write(&config, configuration(dir.path())).expect("containerd's configuration");
        // In a PID and a mount namespace of its own: when its first process is killed, the kernel ends all others and
        // takes all mounts down, however the test ended.
        let mut command = namespace.command("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.arg(server).arg("--config").arg(&config);
        let mut daemon = Daemon::start("containerd", &command, dir.path());
        daemon.await_ready(|_| process::attempt(ctr(namespace, &client, dir.path()).arg("version")));
        Self { namespace, client, _daemon: daemon, dir }
    }

    /// Pulls `reference` from where `hosts_dir` says, and unpacks it.
    pub fn pull(&self, reference: &str, hosts_dir: &Path) {
        process::run(self.ctr().args(["images", "pull", "--hosts-dir"]).arg(hosts_dir).arg(reference));
    }

    /// Tries to, and says whether it went well.
    #[must_use]
    pub fn try_pull(&self, reference: &str, hosts_dir: &Path) -> bool {
        process::attempt(self.ctr().args(["images", "pull", "--hosts-dir"]).arg(hosts_dir).arg(reference))
    }

    /// The bytes of a blob as containerd keeps it.
    #[must_use]
    pub fn blob(&self, digest: &str) -> Vec<u8> {
        process::run(self.ctr().args(["content", "get", digest]))
    }

    /// The digest that `reference` was resolved to.
    #[must_use]
    pub fn digest(&self, reference: &str) -> String {
        let list = process::text(self.ctr().args(["images", "list", &format!("name=={reference}")]));
        // REF TYPE DIGEST SIZE ...
        let line =
            list.lines().nth(1).unwrap_or_else(|| panic!("containerd has no image `{reference}`:\n{list}"));
        line.split_whitespace().nth(2).expect("the third column is the digest").to_owned()
    }

    /// Runs a container of `reference` to its end and returns what it printed.
    #[must_use]
    pub fn run(&self, reference: &str) -> String {
        process::text(self.ctr().args(["run", "--rm", reference, "test"]))
    }

    fn ctr(&self) -> Command {
        ctr(self.namespace, &self.client, self.dir.path())
    }
}

/// A hosts.toml for `host` in `hosts_dir`: all of it is answered by `endpoint`, and nobody else is asked
/// (containerd, docs/hosts.md).
///
/// `server` left out would mean the host itself. So would, in containerd 1.6, a file without a `host` table: it is
/// "invalid", and the pull goes on as if it were not there.
pub fn write_hosts_toml(hosts_dir: &Path, host: &str, endpoint: &str) {
    let dir = hosts_dir.join(host);
    fs_err::create_dir_all(&dir).expect("a directory for hosts.toml");
    let text = format!(
        "server = \"{endpoint}\"\n\
         [host.\"{endpoint}\"]\n\
         capabilities = [\"pull\", \"resolve\"]\n"
    );
    fs_err::write(dir.join("hosts.toml"), text).expect("hosts.toml");
}

/// Containerd's client, for the containerd that lives in `dir`.
fn ctr(namespace: &Namespace, client: &Path, dir: &Path) -> Command {
    let mut command = namespace.command(client);
    command.arg("--address").arg(socket(dir));
    command
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("containerd.sock")
}

/// What no test needs: Kubernetes' interface under its names in both versions, and plugins of nodes, whose socket would lie
/// outside the directory.
const WITHOUT: &str = r#""io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri""#;

fn configuration(dir: &Path) -> String {
    format!(
        "version = 2\n\
         root = \"{dir}/root\"\n\
         state = \"{dir}/state\"\n\
         disabled_plugins = [{WITHOUT}]\n\
         [grpc]\n\
         address = \"{socket}\"\n",
        dir = dir.display(),
        socket = socket(dir).display(),
    )
}
