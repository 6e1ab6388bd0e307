//! The air gap: a network namespace with nowhere to go, and a count of who tried. Needs root, iproute2 and nftables.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::process::geteuid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::actors::run;
use crate::tool::tool;

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

/// Counts and drops all that is not for this namespace itself, nor for a network that it has a cable to.
///
/// Looking up a name counts too, even where the machine's resolver is on loopback: it would ask the world. The kernel's
/// own chatter about IPv6 neighbours, which begins when an interface comes up, does not.
const RULES: &str = r#"
table inet gap {
  counter escaped { }
  set neighbours { type ipv4_addr; flags interval; }
  chain output {
    type filter hook output priority filter; policy accept;
    icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld-listener-report, mld2-listener-report } drop
    meta l4proto { tcp, udp } th dport 53 counter name escaped drop
    oifname "lo" fib daddr type local accept
    ip daddr @neighbours accept
    counter name escaped drop
  }
}
"#;

/// A network namespace without a way out, removed when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace.
    ///
    /// # Errors
    /// We are not root, or `ip` or `nft` fails.
    pub fn new() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !geteuid().is_root() {
            return Err(io::Error::other("network namespaces need root"));
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sealift-{}-{number}", std::process::id());
        run(Command::new(tool("ip")).args(["netns", "add", &name]))?;
        // From here on the namespace is removed, whatever fails.
        let namespace = Self { name };
        for line in ROUTE_INTO_THE_VOID.lines().filter(|line| !line.is_empty()) {
            namespace.ip(line)?;
        }
        run(namespace.command(tool("nft")).arg(RULES))?;
        Ok(namespace)
    }

    /// Its name, for whoever lays a cable to it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Does something with `ip` in here; words are separated by blanks.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn ip(&self, words: &str) -> io::Result<()> {
        run(Command::new(tool("ip")).args(["-netns", &self.name]).args(words.split(' '))).map(drop)
    }

    /// Lets in here reach a network, such as `10.77.0.0/24`, without being counted.
    ///
    /// # Errors
    /// What `nft` says.
    pub fn allow(&self, network: &str) -> io::Result<()> {
        let words = ["add", "element", "inet", "gap", "neighbours"];
        run(self.command(tool("nft")).args(words).arg(format!("{{ {network} }}"))).map(drop)
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
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let entrance = fs_err::File::open(format!("/run/netns/{}", self.name))?;
        let enter_and_work = || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(entrance.as_fd(), kind)?;
            Ok(work())
        };
        let done = thread::scope(|scope| scope.spawn(enter_and_work).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// How many packets tried to leave since the namespace was made.
    ///
    /// # Errors
    /// `nft` does not show the counter.
    pub fn escaped_packets(&self) -> io::Result<u64> {
        let list = ["--json", "list", "counter", "inet", "gap", "escaped"];
        let answer: serde_json::Value =
            serde_json::from_slice(&run(self.command(tool("nft")).args(list))?.stdout)?;
        answer["nftables"]
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|item| item["counter"]["packets"].as_u64())
            .ok_or_else(|| io::Error::other(format!("nft does not show the counter: {answer}")))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It may have gone already, and drop must not panic.
        let _ = Command::new(tool("ip")).args(["netns", "delete", &self.name]).stderr(Stdio::null()).status();
    }
}
