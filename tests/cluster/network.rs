//! Three nodes and what they share, each in a network namespace of its own, on one cable.
//!
//! There is no way out, and no name is resolved: nodes know each other by address. Needs root.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use sealift_tests::{peers, process};

/// All addresses there are.
pub(crate) const NETWORK: &str = "10.77.0.0/24";
/// The first three numbers of all addresses.
const PREFIX: &str = "10.77.0";
/// The last number of the address in the middle.
const HUB: usize = 254;

/// A namespace in the middle, with a bridge to which every node has a cable; removed when dropped.
pub(crate) struct Network {
    hub: String,
    nodes: Vec<String>,
}

impl Network {
    /// As many nodes as this.
    pub(crate) fn new(nodes: usize) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sealift-{}-n{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut network = Self { hub: name.clone(), nodes: Vec::new() };
        ip(&["netns", "add", &name]);
        network.within(&name, "link set lo up");
        network.within(&name, "link add cables type bridge");
        network.within(&name, "link set cables up");
        network.within(&name, &format!("addr add {PREFIX}.{HUB}/24 dev cables"));
        for node in 0..nodes {
            let own = format!("{name}-{node}");
            ip(&["netns", "add", &own]);
            network.nodes.push(own.clone());
            network.within(&name, &format!("link add node{node} type veth peer name uplink netns {own}"));
            network.within(&name, &format!("link set node{node} master cables"));
            network.within(&name, &format!("link set node{node} up"));
            network.within(&own, "link set lo up");
            network.within(&own, &format!("addr add {}/24 dev uplink", network.address(node)));
            network.within(&own, "link set uplink up");
        }
        network
    }

    /// The address of a node.
    #[expect(clippy::unused_self, reason = "without a network there are no addresses")]
    pub(crate) fn address(&self, node: usize) -> String {
        format!("{PREFIX}.{}", node + 1)
    }

    /// The namespace in the middle.
    pub(crate) fn hub(&self) -> &str {
        &self.hub
    }

    /// The address of what all share.
    #[expect(clippy::unused_self, reason = "without a network there are no addresses")]
    pub(crate) fn hub_address(&self) -> String {
        format!("{PREFIX}.{HUB}")
    }

    /// A command on a node.
    pub(crate) fn on(&self, node: usize, program: impl AsRef<OsStr>) -> Command {
        inside(&self.nodes[node], program)
    }

    /// Pulls a node's cable: whatever is sent to it is lost, and nobody says so.
    pub(crate) fn cut(&self, node: usize) {
        self.within(&self.hub, &format!("link set node{node} nomaster"));
    }

    /// Plugs it in again.
    pub(crate) fn mend(&self, node: usize) {
        self.within(&self.hub, &format!("link set node{node} master cables"));
    }

    #[expect(clippy::unused_self, reason = "it is done to this network")]
    fn within(&self, namespace: &str, words: &str) {
        let words: Vec<&str> = ["-netns", namespace].into_iter().chain(words.split(' ')).collect();
        ip(&words);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in self.nodes.iter().chain([&self.hub]) {
            // A panic here would hide the one that may be under way.
            let _ = Command::new(peers::tool("ip"))
                .args(["netns", "delete", name])
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// A command in a namespace.
pub(crate) fn inside(namespace: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{namespace}")).arg("--").arg(program);
    command
}

fn ip(words: &[&str]) {
    process::run(Command::new(peers::tool("ip")).args(words));
}
