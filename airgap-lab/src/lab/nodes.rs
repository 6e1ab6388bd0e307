//! Three nodes in namespaces of their own, on one cable, with nowhere else to go; and one more that has only the vendor.

use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fs_err as fs;
use serde_json::Value;

use super::book::{Hand, Place};
use super::stick::Stick;
use super::vendor;
use crate::actors::{self, Programs, text};
use crate::gap::Namespace;

/// How many nodes share a cable.
pub(super) const NODES: usize = 3;
/// Their network.
const NETWORK: &str = "10.77.0.0/24";
/// Where a registry listens on each.
const PORT: u16 = 5443;
/// The address of the appliance that is online.
const ONLINE: &str = "10.78.0.2";

/// A cable with a socket for each node.
pub(super) struct Cable(Namespace);

impl Cable {
    pub(super) fn lay() -> io::Result<Self> {
        let hub = Namespace::new()?;
        hub.ip("link add cables type bridge")?;
        hub.ip("link set cables up")?;
        Ok(Self(hub))
    }

    fn connect(&self, number: usize, node: &Namespace, address: &str) -> io::Result<()> {
        let name = node.name();
        self.0.ip(&format!("link add node{number} type veth peer name uplink netns {name}"))?;
        self.0.ip(&format!("link set node{number} master cables up"))?;
        plug_in(node, address)?;
        node.allow(NETWORK)
    }
}

fn plug_in(node: &Namespace, address: &str) -> io::Result<()> {
    node.ip(&format!("addr add {address}/24 dev uplink"))?;
    node.ip("link set uplink up")
}

/// An appliance: a namespace, a store, a registry.
pub(super) struct Node<'a> {
    pub(super) place: Place,
    programs: &'a Programs,
    namespace: Namespace,
    address: String,
    dir: PathBuf,
    registry: Option<Child>,
}

impl<'a> Node<'a> {
    /// The node of this number, from 1, on the cable.
    pub(super) fn on(cable: &Cable, number: usize, programs: &'a Programs, dir: &Path) -> io::Result<Self> {
        let node = Self::new(Place::Node(number), format!("10.77.0.{number}"), programs, dir)?;
        cable.connect(number, &node.namespace, &node.address)?;
        Ok(node)
    }

    /// The appliance that is online, with a cable to the vendor's place.
    pub(super) fn online(place: &Namespace, programs: &'a Programs, dir: &Path) -> io::Result<Self> {
        let node = Self::new(Place::Online, ONLINE.to_owned(), programs, dir)?;
        place.ip(&format!("link add cable type veth peer name uplink netns {}", node.namespace.name()))?;
        place.ip(&format!("addr add {}/24 dev cable", vendor::ADDRESS))?;
        place.ip("link set cable up")?;
        place.allow(vendor::NETWORK)?;
        plug_in(&node.namespace, &node.address)?;
        node.namespace.allow(vendor::NETWORK)?;
        Ok(node)
    }

    fn new(place: Place, address: String, programs: &'a Programs, dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let namespace = Namespace::new()?;
        Ok(Self { place, programs, namespace, address, dir: dir.to_owned(), registry: None })
    }

    /// Its store.
    pub(super) fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// The authority of its registry.
    fn authority(&self) -> PathBuf {
        self.dir.join("pki/ca.crt")
    }

    /// `sealiftctl` there.
    pub(super) fn ctl(&self, arguments: &[&str]) -> Command {
        let mut command = self.namespace.command(self.programs.path("sealiftctl"));
        command.arg("--store").arg(self.store()).args(arguments);
        command.env_remove("SEALIFT_STORE").env_remove("SEALIFT_CONFIG");
        command
    }

    /// The configuration of an appliance that is online.
    pub(super) fn configure_online(&self, source: &str, authority: &Path) -> io::Result<PathBuf> {
        let file = self.dir.join("appliance.yaml");
        let mirror = format!("{{source: '{source}', caFile: {}, activate: true}}", authority.display());
        fs::write(&file, format!("apiVersion: sealift/v1\nkind: Appliance\nmirror: {mirror}\n"))?;
        Ok(file)
    }

    /// Pins the vendor's trust root.
    pub(super) fn pin(&self, hand: &mut Hand<'_>, root: &Path) -> io::Result<()> {
        hand.run(self.ctl(&["trust", "pin"]).arg(root)).map(drop)
    }

    /// Takes what is on a stick.
    pub(super) fn import(&self, hand: &mut Hand<'_>, stick: &Stick, more: &[&str]) -> io::Result<()> {
        hand.run(self.ctl(&["import"]).arg(stick.mount()).args(more)).map(drop)
    }

    /// Takes a release from another node.
    pub(super) fn stage_from(&self, hand: &mut Hand<'_>, peer: &Self, release: &str) -> io::Result<()> {
        let url = format!("https://{}:{PORT}", peer.address);
        let mut mirror = self.ctl(&["mirror", "--peer", &url, "--release", release, "--ca-file"]);
        hand.run(mirror.arg(peer.authority())).map(drop)
    }

    /// Starts the registry, with a certificate of the node's own authority, for nodes and clients on the cable.
    pub(super) fn serve(&mut self, hand: &mut Hand<'_>) -> io::Result<String> {
        let pki = self.dir.join("pki");
        let mut init = self.namespace.command(self.programs.path("sealift-registry"));
        hand.run(init.args(["tls", "init", "--address", &self.address, "--dir"]).arg(&pki))?;
        let mut serve = self.namespace.command(self.programs.path("sealift-registry"));
        serve.arg("--store").arg(self.store()).args(["--allow", NETWORK, "--tls-dir"]).arg(&pki);
        serve.args(["--listen", &format!("0.0.0.0:{PORT}")]);
        hand.note(&serve);
        serve.stdout(Stdio::piped()).stderr(fs::File::create(self.dir.join("registry.log"))?.into_file());
        let mut child = serve.spawn()?;
        let mut ready = String::new();
        let stdout = child.stdout.take();
        // Kept before anything can fail, so that it is stopped in any case.
        self.registry = Some(child);
        if let Some(stdout) = stdout {
            BufReader::new(stdout).read_line(&mut ready)?;
        }
        if !ready.starts_with("ready https://") {
            return Err(io::Error::other(format!("sealift-registry is not ready: it said `{ready}`")));
        }
        Ok(format!("answers on https://{}:{PORT}", self.address))
    }

    /// Pulls every image of the active release with skopeo, and says how many.
    pub(super) fn pull(&self, hand: &mut Hand<'_>) -> io::Result<usize> {
        let refs = fs::read(fs::canonicalize(self.store().join("current"))?.join("refs.json"))?;
        let refs: Value = serde_json::from_slice(&refs)?;
        let images = refs["images"].as_object().into_iter().flatten();
        let certificates = self.dir.join("certificates");
        fs::create_dir_all(&certificates)?;
        fs::copy(self.authority(), certificates.join("ca.crt"))?;
        let mut pulled = 0;
        for (name, descriptor) in images {
            let repository = name.rsplit_once(':').map_or(name.as_str(), |(repository, _)| repository);
            let (address, digest) = (&self.address, text(&descriptor["digest"]));
            let source = format!("docker://{address}:{PORT}/{repository}@{digest}");
            let folder = tempfile::tempdir()?;
            let mut skopeo = self.namespace.command("skopeo");
            skopeo.args(["copy", "--quiet", "--src-cert-dir"]).arg(&certificates).arg(source);
            hand.run(skopeo.arg(format!("dir:{}", folder.path().display())))?;
            pulled += 1;
        }
        Ok(pulled)
    }

    /// Clones the GitOps repository, and checks that it speaks of this version.
    pub(super) fn clone(&self, hand: &mut Hand<'_>, version: &str) -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let url = format!("https://{}:{PORT}/git/fleet.git", self.address);
        let mut git = self.namespace.command("git");
        git.args(["clone", "--quiet", &url, "clone"]).current_dir(folder.path());
        git.env("GIT_SSL_CAINFO", self.authority()).env("GIT_CONFIG_GLOBAL", "/dev/null");
        // Without a name of its user, Git asks DNS for that of the machine, and that would count.
        git.env("GIT_COMMITTER_NAME", "lab").env("GIT_COMMITTER_EMAIL", "lab@example.com");
        hand.run(git.env("GIT_TERMINAL_PROMPT", "0"))?;
        let content = fs::read_to_string(folder.path().join("clone/versions.yaml"))?;
        if content.contains(&format!(":{version}\"")) {
            Ok(())
        } else {
            Err(io::Error::other(format!("the clone does not speak of {version}:\n{content}")))
        }
    }

    /// The digest of the release that is active.
    pub(super) fn active(&self) -> io::Result<String> {
        let status = actors::json(&mut self.ctl(&["status", "--json"]))?;
        Ok(text(&status["active"]["digest"]).to_owned())
    }

    /// The names of all content, which are its digests.
    pub(super) fn content(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.store().join("blobs/sha256"))?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<io::Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    /// How many packets tried to leave.
    pub(super) fn escaped_packets(&self) -> io::Result<u64> {
        self.namespace.escaped_packets()
    }

    /// Tries to leave, which nobody can.
    pub(super) fn try_to_leave(&self, hand: &mut Hand<'_>) -> io::Result<()> {
        let mut knock = self.namespace.command("timeout");
        knock.args(["1", "bash", "-c", "echo > /dev/tcp/198.51.100.7/443"]);
        hand.note(&knock);
        if knock.stderr(Stdio::null()).status()?.success() {
            return Err(io::Error::other("somebody answered from behind the gap"));
        }
        Ok(())
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        if let Some(child) = &mut self.registry {
            // It may have ended by itself; then there is nothing to stop.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
