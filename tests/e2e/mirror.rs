//! An appliance that is online, a vendor who publishes with `sealift`, and servers of others between them: Python's web server
//! and the distribution project's registry. Every request and every byte is counted on the line.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use fs_err as fs;
use sealift_lab::vendor::image::noise;
use sealift_tests::trust::ONLINE;
use sealift_tests::{Appliance, Registry, Side, Vendor, Website, process};

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// The most that asking for news may cost.
const MAX_QUIET_REQUESTS: usize = 3;
const MAX_QUIET_BYTES: usize = 20_000;
/// What both releases have, and what each has for itself.
const SHARED: usize = 2_000_000;
const OWN: usize = 300_000;
/// The new documents of a release, with headers and all.
const MAX_DOCUMENT_BYTES: usize = 40_000;

/// Bundles `1.N.0`, sequence N, which can follow the one before it.
fn release(vendor: &Vendor, number: u64) -> PathBuf {
    let version = format!("1.{number}.0");
    vendor.offer("acme/app", &version, GZIP, &[noise(1, SHARED), noise(10 + number, OWN)]);
    let image = vendor.image(&format!("acme/app:{version}"));
    vendor.define(&version, number, &format!("upgradeFrom: [1.{}.0]\nimages:\n{image}", number - 1));
    vendor.lock();
    vendor.bundle()
}

/// What went over a line.
#[derive(Debug, Default)]
struct Toll {
    requests: usize,
    bytes: usize,
}

/// A line to a server on which everything is counted.
struct Counted {
    address: SocketAddr,
    toll: Arc<Mutex<Toll>>,
}

impl Counted {
    fn line_to(upstream: &str) -> Self {
        let upstream: SocketAddr = upstream.parse().expect("an address");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let toll = Arc::new(Mutex::new(Toll::default()));
        let counted = Arc::clone(&toll);
        // It ends with the program that is tested.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let toll = Arc::clone(&counted);
                thread::spawn(move || join(&client, upstream, &toll));
            }
        });
        Self { address, toll }
    }

    /// What went over it since the last time.
    fn taken(&self) -> Toll {
        std::mem::take(&mut *self.toll.lock().expect("nobody panics with it"))
    }
}

fn join(client: &TcpStream, upstream: SocketAddr, toll: &Mutex<Toll>) -> io::Result<()> {
    let server = TcpStream::connect(upstream)?;
    thread::scope(|scope| {
        scope.spawn(|| carry(client, &server, toll));
        carry(&server, client, toll);
    });
    Ok(())
}

fn carry(mut from: &TcpStream, mut to: &TcpStream, toll: &Mutex<Toll>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let piece = &buffer[..count];
        {
            let mut toll = toll.lock().expect("nobody panics with it");
            toll.bytes += count;
            // A request fits into one piece, and content is noise.
            toll.requests += usize::from(piece.starts_with(b"GET ") || piece.starts_with(b"HEAD "));
        }
        if to.write_all(piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Publishes a release and makes it current.
fn publish(vendor: &Vendor, bundle: &PathBuf, version: &str, place: &str) {
    process::run(vendor.sealift().arg("publish").arg(bundle).args([place, "--trust", "trust"]));
    let promoting =
        ["promote", version, "--to", "stable", place, "--trust", "trust", "--key", "trust/channel.key"];
    process::run(vendor.sealift().args(promoting));
}

/// An appliance that runs the first release and mirrors from `source`, of what is published at `place`.
fn follow(vendor: &Vendor, bundles: &[PathBuf], place: &str, source: &str, line: &Counted) {
    publish(vendor, &bundles[0], "1.1.0", place);
    let appliance = Appliance::running(&ONLINE, &bundles[0]);
    let config = appliance.path("appliance.yaml");
    let text =
        format!("apiVersion: sealift/v1\nkind: Appliance\nmirror: {{source: '{source}', activate: true}}\n");
    fs::write(&config, text).expect("room for a file");
    let mirror = |outcome: &str| {
        let mut command = appliance.sealiftctl();
        command.env("DOCKER_CONFIG", appliance.path("")).arg("--config").arg(&config);
        let told = process::json(command.args(["mirror", "--once", "--json"]));
        assert_eq!(told["outcome"], outcome, "{told}");
        line.taken()
    };
    let quiet = mirror("here");
    assert!(quiet.requests <= MAX_QUIET_REQUESTS && quiet.bytes <= MAX_QUIET_BYTES, "{quiet:?}");

    publish(vendor, &bundles[1], "1.2.0", place);
    let toll = mirror("done");
    assert!(toll.bytes > OWN && toll.bytes < OWN + MAX_DOCUMENT_BYTES, "{toll:?}");
    assert_eq!(appliance.active().as_deref(), Some("1.2.0"));
    appliance.expect_whole();

    let quiet = mirror("here");
    assert!(quiet.requests <= MAX_QUIET_REQUESTS && quiet.bytes <= MAX_QUIET_BYTES, "{quiet:?}");
}

#[test]
fn an_appliance_takes_what_is_new_from_a_web_server_and_asks_little() {
    let vendor = Vendor::new(&ONLINE);
    let bundles = [release(&vendor, 1), release(&vendor, 2)];
    let folder = vendor.path("published");
    fs::create_dir(&folder).expect("room for a folder");
    let website = Website::of(Side::Vendor, &folder);
    let line = Counted::line_to(website.url().trim_start_matches("http://"));
    follow(&vendor, &bundles, "published", &format!("http://{}", line.address), &line);
}

#[test]
fn an_appliance_takes_what_is_new_from_a_registry_and_asks_little() {
    let vendor = Vendor::new(&ONLINE);
    let bundles = [release(&vendor, 1), release(&vendor, 2)];
    let registry = Registry::start(Side::Vendor);
    let line = Counted::line_to(registry.authority());
    let place = |address: &str| format!("oci://{address}/acme/releases");
    follow(&vendor, &bundles, &place(registry.authority()), &place(&line.address.to_string()), &line);
}
