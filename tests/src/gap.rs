//! The air gap: a network namespace with nowhere to go, and a count of who tried.

use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::peers;
use crate::process;

/// A default route that leads nowhere (RFC 5737 and RFC 3849 addresses).
///
/// Without a route, connecting fails before the packet filter sees anything, and an attempt to leave would not be
/// counted. One end of a virtual cable is the way out; the other end is in the namespace too, and nobody listens.
const ROUTE_INTO_THE_VOID: &str = "
link set lo up
link add void0 type veth peer name void1
link set void0 up
link set void1 up
addr add 203.0.113.1/24 dev void0
addr add 2001:db8::1/64 dev void0 nodad
route add default via 203.0.113.254 dev void0
-6 route add default via 2001:db8::ff dev void0
";

/// An address of the namespace itself that is not loopback's, as that of a node is for its pods.
pub const OWN_ADDRESS: &str = "203.0.113.1";

/// Counts and drops all that is not for this namespace itself.
///
/// Looking up a name counts too, even where the machine's resolver is on loopback: it would ask the world. The kernel's
/// own chatter about IPv6 neighbours, which begins when an interface comes up, does not.
const RULES: &str = r#"
table inet gap {
  counter escaped { }
  chain output {
    type filter hook output priority filter; policy accept;
    icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld-listener-report, mld2-listener-report } drop
    meta l4proto { tcp, udp } th dport 53 counter name escaped drop
    oifname "lo" fib daddr type local accept
    counter name escaped drop
  }
}
"#;

/// Which side of the gap a program runs on.
#[derive(Debug, Clone, Copy)]
pub enum Side<'a> {
    /// The vendor's: this machine as it is.
    Vendor,
    /// The appliance's: behind the gap.
    Appliance(&'a Namespace),
}

impl Side<'_> {
    /// A command that runs on this side.
    #[must_use]
    pub fn command(self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Side::Vendor => Command::new(program),
            Side::Appliance(namespace) => namespace.command(program),
        }
    }
}

/// A network namespace without a way out, removed when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace. Needs root.
    #[must_use]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        assert!(is_root(), "network namespaces need root; run: make test");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sealift-{}-{number}", std::process::id());
        process::run(ip().args(["netns", "add", &name]));
        // From here on the namespace is removed, whatever fails.
        let namespace = Self { name };
        for line in ROUTE_INTO_THE_VOID.lines().filter(|line| !line.is_empty()) {
            process::run(ip().args(["-netns", &namespace.name]).args(line.split(' ')));
        }
        process::run(namespace.command(peers::tool("nft")).arg(RULES));
        namespace
    }

    /// Its name, for whoever lays a cable to it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs in this namespace.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        // Not `ip netns exec`: it mounts /sys anew, without the cgroups that containers need.
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.name)).arg("--").arg(program);
        command
    }

    /// The same for a program that finds in `hosts` what others find in `/etc/hosts`.
    #[must_use]
    pub fn command_with_hosts(&self, hosts: &Path, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.command("unshare");
        let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        command.args(["--mount", "sh", "-c", script]).arg(hosts).arg(program);
        command
    }

    /// Does something on a thread of its own in this namespace; threads that it starts are there too.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let entrance = fs_err::File::open(format!("/run/netns/{}", self.name)).expect("the namespace");
        let enter_and_work = || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(entrance.as_fd(), kind).expect("root may go there");
            work()
        };
        thread::scope(|scope| scope.spawn(enter_and_work).join()).expect("the work does not panic")
    }

    /// How many packets tried to leave since the namespace was made.
    #[must_use]
    pub fn escaped_packets(&self) -> u64 {
        let list = ["--json", "list", "counter", "inet", "gap", "escaped"];
        let answer = process::run(self.command(peers::tool("nft")).args(list));
        let answer: serde_json::Value = serde_json::from_slice(&answer).expect("nft prints JSON");
        answer["nftables"]
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|item| item["counter"]["packets"].as_u64())
            .unwrap_or_else(|| panic!("nft does not show the counter: {answer}"))
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A panic here would hide the one that may be under way.
        let _ = ip().args(["netns", "delete", &self.name]).stderr(Stdio::null()).status();
    }
}

fn is_root() -> bool {
    // A process owns its own entry there.
    fs_err::metadata("/proc/self").expect("/proc is mounted").uid() == 0
}

fn ip() -> Command {
    Command::new(peers::tool("ip"))
}
