//! What leaves a machine with the image's rules, and what does not: two network namespaces and a cable. Needs root.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use sealift_tests::{Namespace, peers, process, scratch};

use crate::repository;

/// Whoever is not refused at once is heard within this time, though a cable that is new may lose the first packet.
const PATIENCE: Duration = Duration::from_secs(4);
const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SITE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const REGISTRY_PORT: u16 = 5443;
const RULES: &str = "cloud-init/image/usr/share/sealift/nftables";
/// The user `sealift` of the image.
const SEALIFT_UID: &str = "800";

/// An appliance, and a machine of the customer's on the same network.
struct Network {
    node: Namespace,
    site: Namespace,
}

impl Network {
    fn new() -> Self {
        let network = Self { node: Namespace::new(), site: Namespace::new() };
        // The gap is what is to be made here.
        for side in [&network.node, &network.site] {
            process::run(side.command(peers::tool("nft")).args(["delete", "table", "inet", "gap"]));
        }
        let name = network.site.name();
        ip(&network.node, &format!("link add uplink type veth peer name uplink netns {name}"));
        for (side, address) in [(&network.node, NODE), (&network.site, SITE)] {
            ip(side, &format!("addr add {address}/24 dev uplink"));
            ip(side, "link set uplink up");
        }
        network
    }

    /// Loads rules on the node: a file of the image, or text.
    fn load(&self, rules: &str) {
        let dir = scratch();
        let own = dir.path().join("rules.nft");
        let image = repository(RULES).join(rules);
        let file = if image.is_file() { image } else { own };
        if !file.exists() {
            fs_err::write(&file, rules).expect("a file");
        }
        process::run(self.node.command(peers::tool("nft")).arg("--file").arg(file));
    }

    fn counted(&self, counter: &str) -> u64 {
        let list = ["--json", "list", "counter", "inet", "sealift", counter];
        let answer = process::json(self.node.command(peers::tool("nft")).args(list));
        let counters = answer["nftables"].as_array().expect("a list");
        counters.iter().find_map(|item| item["counter"]["packets"].as_u64()).expect("the counter")
    }
}

fn ip(side: &Namespace, words: &str) {
    process::run(side.command(peers::tool("ip")).args(words.split(' ')));
}

fn listen(side: &Namespace, address: Ipv4Addr, port: u16) -> (TcpListener, SocketAddr) {
    let listener = side.inside(|| TcpListener::bind((address, port))).expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    (listener, address)
}

fn connect(side: &Namespace, address: SocketAddr) -> io::Result<TcpStream> {
    side.inside(|| TcpStream::connect_timeout(&address, PATIENCE))
}

/// Connects as the user `sealift`.
fn sealift_connects(side: &Namespace, address: SocketAddr) -> bool {
    let mut command = side.command("setpriv");
    let script = format!("exec 3<>/dev/tcp/{}/{}", address.ip(), address.port());
    command.args(["--reuid", SEALIFT_UID, "--regid", SEALIFT_UID, "--clear-groups", "bash", "-c", &script]);
    process::attempt(&mut command)
}

#[test]
fn nothing_leaves_but_answers() {
    let network = Network::new();
    let (_vendor, vendor) = listen(&network.site, SITE, 0);
    let (_service, service) = listen(&network.node, NODE, 0);
    connect(&network.node, vendor).expect("without rules the way is open");

    network.load("base.nft");
    let refused = connect(&network.node, vendor).expect_err("it left");
    assert_ne!(refused.kind(), io::ErrorKind::TimedOut, "whoever tries has to wait");
    assert!(network.counted("stopped") > 0);
    connect(&network.site, service).expect("answers leave");
    assert!(!sealift_connects(&network.node, vendor), "offline is for everybody");

    // Looking up a name is leaving, too, even where the resolver is next door.
    let before = network.counted("stopped");
    network.node.inside(|| {
        let socket = UdpSocket::bind((NODE, 0)).expect("a socket");
        // Whether sending says so is up to the kernel.
        let _ = socket.send_to(b"who?", (SITE, 53));
    });
    assert!(network.counted("stopped") > before, "a name is looked up");
}

#[test]
fn online_is_for_sealift_alone() {
    let network = Network::new();
    let (_vendor, vendor) = listen(&network.site, SITE, 0);
    network.load("base.nft");
    network.load("online.nft");
    assert!(sealift_connects(&network.node, vendor), "the mirror cannot ask");
    connect(&network.node, vendor).expect_err("root left");
    // Taking the file away and loading the rules again is offline again.
    network.load("base.nft");
    assert!(!sealift_connects(&network.node, vendor), "it is online for ever");
}

#[test]
fn nodes_talk_to_nodes_and_nobody_else_does() {
    let network = Network::new();
    let (_registry, registry) = listen(&network.node, NODE, REGISTRY_PORT);
    let (_other, other) = listen(&network.site, SITE, REGISTRY_PORT);
    connect(&network.site, registry).expect("without rules the way is open");
    network.load("base.nft");
    connect(&network.site, registry).expect_err("a stranger is let in");
    assert!(network.counted("kept_out") > 0);
    network.load(&format!("add element inet sealift nodes4 {{ {SITE} }}"));
    connect(&network.site, registry).expect("a node is kept out");
    connect(&network.node, other).expect("a node is not reached");
}

/// As the unit loads it, with a folder of ours in the place of the appliance's.
#[test]
fn what_is_configured_is_added() {
    let network = Network::new();
    let dir = scratch();
    let configured = fs_err::read_to_string(repository(RULES).join("configured.nft")).expect("rules");
    let ours = configured.replace("/etc/sealift/nftables.d", &dir.path().display().to_string());
    assert_ne!(configured, ours);
    let (_vendor, vendor) = listen(&network.site, SITE, 0);
    network.load("base.nft");
    network.load(&ours);
    fs_err::copy(repository(RULES).join("online.nft"), dir.path().join("online.nft")).expect("a file");
    fs_err::write(dir.path().join("time.nft"), "add element inet sealift time4 { 192.0.2.3 }\n")
        .expect("a file");
    network.load(&ours);
    assert!(sealift_connects(&network.node, vendor), "the folder is not read");
    // What cannot be read changes nothing.
    network.load("base.nft");
    fs_err::write(dir.path().join("zz.nft"), "add rule inet sealift output accept accept\n").expect("a file");
    let file = dir.path().join("all");
    fs_err::write(&file, &ours).expect("a file");
    process::refusal(network.node.command(peers::tool("nft")).arg("--file").arg(&file));
    connect(&network.node, vendor).expect_err("it left");
    assert!(!sealift_connects(&network.node, vendor), "half of what is configured holds");
}

#[test]
fn nft_takes_every_file() {
    let dir = scratch();
    let read = |name: &str| fs_err::read_to_string(repository(RULES).join(name)).expect("rules");
    let all = dir.path().join("all.nft");
    fs_err::write(&all, read("base.nft") + &read("online.nft")).expect("a file");
    for file in [repository(RULES).join("base.nft"), all, repository(RULES).join("configured.nft")] {
        process::run(Command::new(peers::tool("nft")).arg("--check").arg("--file").arg(file));
    }
}
