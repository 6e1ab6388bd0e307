//! Clients of an appliance's registry that go ways of their own: podman, which knows mirrors by a file of its own, and
//! containerd over a line that breaks.

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use sealift_lab::vendor::Image;
use sealift_lab::vendor::image::{File, Layer, noise};
use sealift_tests::containerd::write_hosts_toml;
use sealift_tests::trust::ACME;
use sealift_tests::vendor::HOST;
use sealift_tests::{Appliance, Containerd, Namespace, Vendor, layout, peers, process, scratch};

const NAME: &str = "acme/app:1.0";
/// Of the image's one layer.
const LAYER_BYTES: usize = 8_000_000;
/// After how many bytes of answers a connection breaks, and how many connections do.
const BREAK_AFTER: u64 = 3_000_000;
const BREAKS: usize = 2;

#[test]
fn podman_pulls_by_the_original_name() {
    let namespace = Namespace::new();
    let (image, appliance) = running(&namespace);
    let shim = appliance.serve();
    let dir = scratch();
    let mirrors = format!(
        "[[registry]]\nlocation = \"{HOST}\"\n\
         [[registry.mirror]]\nlocation = \"{}/{HOST}\"\ninsecure = true\n",
        shim.authority()
    );
    fs_err::write(dir.path().join("registries.conf"), mirrors).expect("registries.conf");
    let policy = "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}";
    fs_err::write(dir.path().join("policy.json"), policy).expect("policy.json");

    for name in [format!("{HOST}/{NAME}"), format!("{HOST}/acme/app@{}", image.digest())] {
        let mut pull = podman(&namespace, dir.path());
        pull.args(["pull", "--quiet", "--signature-policy"]).arg(dir.path().join("policy.json"));
        process::run(pull.arg(&name));
        let digest = ["image", "inspect", "--format", "{{.Digest}}", &name];
        let digest = process::text(podman(&namespace, dir.path()).args(digest));
        assert_eq!(digest.trim(), image.digest().to_string(), "{name}");
    }
    assert_eq!(namespace.escaped_packets(), 0, "podman asked somebody else");
}

/// podman with all that it keeps in `dir`.
fn podman(namespace: &Namespace, dir: &Path) -> Command {
    let mut command = namespace.command(peers::tool("podman"));
    command.args(["--storage-driver", "vfs", "--root"]).arg(dir.join("root"));
    command.arg("--runroot").arg(dir.join("run")).arg("--tmpdir").arg(dir.join("tmp"));
    command.env("CONTAINERS_REGISTRIES_CONF", dir.join("registries.conf")).env("HOME", dir);
    command
}

#[test]
fn containerd_goes_on_where_a_connection_broke() {
    let namespace = Namespace::new();
    let (image, appliance) = running(&namespace);
    let shim = appliance.serve();
    let upstream = shim.authority().parse().expect("address and port");
    let line = namespace.inside(|| BreakingLine::to(upstream));

    let containerd = Containerd::start(&namespace);
    let hosts = scratch();
    write_hosts_toml(hosts.path(), HOST, &format!("http://{}", line.address));
    let name = format!("{HOST}/{NAME}");
    containerd.pull(&name, hosts.path());
    assert_eq!(containerd.digest(&name), image.digest().to_string());
    for blob in image.blobs() {
        assert!(containerd.blob(&layout::digest(blob)) == *blob, "a blob arrived changed");
    }

    assert_eq!(line.broken.load(Ordering::SeqCst), BREAKS, "the line did not break");
    let carried = line.carried.load(Ordering::SeqCst);
    // Were it begun again each time, everything before the break would come twice.
    let limit = LAYER_BYTES as u64 + BREAK_AFTER;
    assert!(carried < limit, "{carried} bytes were sent for a layer of {LAYER_BYTES}");
    assert_eq!(namespace.escaped_packets(), 0);
}

/// An image, and an appliance behind the gap on which it runs.
fn running(namespace: &Namespace) -> (Image, Appliance<'_>) {
    let layer = Layer::of(&[File::plain("data", noise(1, LAYER_BYTES))]).expect("a layer");
    let image = Image::new("linux/amd64", &[layer], &["/app"]);
    let vendor = Vendor::new(&ACME);
    vendor.registry().add_image("acme/app", "1.0", &image).expect("room in memory");
    vendor.define("1.0.0", 1, &format!("images:\n{}", vendor.image(NAME)));
    vendor.lock();
    let appliance = Appliance::behind(namespace, &vendor.path("trust"));
    appliance.activate(&vendor.bundle());
    (image, appliance)
}

/// A line whose first connections with much to carry end in the middle, as when somebody pulls a plug.
struct BreakingLine {
    address: SocketAddr,
    /// How many connections it broke.
    broken: Arc<AtomicUsize>,
    /// Bytes of answers, over all connections.
    carried: Arc<AtomicU64>,
}

impl BreakingLine {
    fn to(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let line = Self { address, broken: Arc::default(), carried: Arc::default() };
        let (broken, carried) = (Arc::clone(&line.broken), Arc::clone(&line.carried));
        // Ends with the test program.
        thread::spawn(move || {
            for client in listener.incoming().filter_map(Result::ok) {
                let (broken, carried) = (Arc::clone(&broken), Arc::clone(&carried));
                thread::spawn(move || join(&client, upstream, &broken, &carried));
            }
        });
        line
    }
}

fn join(
    client: &TcpStream,
    upstream: SocketAddr,
    broken: &AtomicUsize,
    carried: &AtomicU64,
) -> io::Result<()> {
    let server = TcpStream::connect(upstream)?;
    thread::scope(|scope| {
        scope.spawn(|| io::copy(&mut &*client, &mut &server));
        let first = io::copy(&mut (&server).take(BREAK_AFTER), &mut &*client)?;
        carried.fetch_add(first, Ordering::SeqCst);
        let has_more_to_say = first == BREAK_AFTER;
        let breaks = |n: usize| (n < BREAKS).then_some(n + 1);
        if has_more_to_say && broken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, breaks).is_err() {
            carried.fetch_add(io::copy(&mut &server, &mut &*client)?, Ordering::SeqCst);
        }
        client.shutdown(Shutdown::Both)?;
        server.shutdown(Shutdown::Both)
    })
}
