//! Clients of every kind pull without pause, for as long as it takes, while an operator imports, activates, collects and
//! rolls back beside them: nobody gets a wrong byte or a failure, and the registry takes no more in the end than in the
//! beginning.
//!
//! `make test` gives it three minutes, as it runs beside no other test; `make soak` an hour.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sealift_lab::vendor::image::noise;
use sealift_tests::appliance::Shim;
use sealift_tests::process::{self, wait_until};
use sealift_tests::registry::skopeo;
use sealift_tests::trust::ACME;
use sealift_tests::vendor::HOST;
use sealift_tests::{Appliance, Side, Vendor, fixture, is_soak, layout, peers, scratch, tell};

const SHORT: Duration = Duration::from_secs(180);
const LONG: Duration = Duration::from_secs(60 * 60);
/// How many rounds the operator goes before memory is measured for the first time: by then everything has happened.
const WARM_ROUNDS: u64 = 2;
/// How much more memory the registry may have in the end: what allocators keep differs from moment to moment.
const MAX_GROWTH: u64 = 8 << 20;
/// How many clients ask for single things.
const ASKING: u64 = 3;
/// How long a client waits for the next bytes of an answer.
const PATIENCE: Duration = Duration::from_secs(30);

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const SHARED_BYTES: usize = 3_000_000;
const OWN_BYTES: usize = 1_400_000;
/// Releases that are there all the time, and the one that comes and goes.
const STANDING: [u64; 2] = [1, 3];
const PASSING: u64 = 2;

/// What clients may ask for at any time.
struct Offer {
    archives: BTreeMap<u64, PathBuf>,
    /// Manifests and blobs by path, each with its digest.
    content: Vec<(String, String)>,
    /// Content of which parts are asked for.
    shared: (String, Vec<u8>),
}

/// Releases that share the largest layer, and have a layer, an image, a Git repository and a file of their own.
fn offer(vendor: &Vendor) -> Offer {
    let shared = noise(1, SHARED_BYTES);
    let mut offer = Offer {
        archives: BTreeMap::new(),
        content: Vec::new(),
        shared: (path_of("blobs", &layout::digest(&shared)), shared.clone()),
    };
    for number in 1..=3 {
        let tag = format!("{number}.0");
        let parts = vendor.offer("acme/app", &tag, LAYER, &[shared.clone(), noise(10 + number, OWN_BYTES)]);
        let git = vendor.path(format!("gitops-{number}"));
        fixture::write_git_folder(&git);
        fixture::write(&git.join("release"), tag.as_bytes());
        let file = noise(20 + number, OWN_BYTES / 10);
        fixture::write(&vendor.path(format!("file-{number}")), &file);
        let follows = if number > 1 { "upgradeFrom: [1.0.0]\n" } else { "" };
        let image = vendor.image(&format!("acme/app:{tag}"));
        let rest = format!(
            "{follows}images:\n{image}git:\n- {{name: fleet, path: gitops-{number}, branch: main}}\n\
             files:\n- {{name: file-{number}, path: file-{number}}}\n"
        );
        vendor.define(&format!("{number}.0.0"), number, &rest);
        vendor.lock();
        offer.archives.insert(number, vendor.bundle());
        if STANDING.contains(&number) {
            let (manifest, blobs) = parts.split_first().expect("a manifest");
            offer.content.push((path_of("manifests", &tag), manifest.clone()));
            offer.content.push((path_of("manifests", manifest), manifest.clone()));
            offer.content.extend(blobs.iter().map(|blob| (path_of("blobs", blob), blob.clone())));
            offer.content.push((format!("/files/file-{number}"), layout::digest(&file)));
        }
    }
    offer
}

fn path_of(kind: &str, what: &str) -> String {
    format!("/v2/{HOST}/acme/app/{kind}/{what}")
}

/// What all clients share.
struct Scene<'a> {
    offer: Offer,
    shim: Shim<'a>,
    is_over: AtomicBool,
    answers: AtomicU64,
}

/// Whoever stops ends the whole, also by failing.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Scene<'_> {
    /// Does this again and again until somebody ends.
    fn go_on(&self, mut once: impl FnMut(u64)) {
        let _ending = Ending(&self.is_over);
        let mut count = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            once(count);
            count += 1;
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn get(&self, path: &str, headers: &str) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(self.shim.authority()).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
        let request = format!("GET {path} HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).expect("it is taken");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap_or_else(|e| panic!("{path}: {e}"));
        let head = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or_else(|| panic!("{path}"));
        let body = answer.split_off(head + 4);
        let status = String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|s| s.parse().ok());
        (status.expect("a status"), body)
    }

    /// Asks for everything in turn, beginning anywhere.
    fn ask(&self, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (shared_path, shared) = &self.offer.shared;
        self.go_on(|_| {
            let (path, digest) = &self.offer.content[random.usize(..self.offer.content.len())];
            let (status, body) = self.get(path, "");
            assert_eq!((status, &layout::digest(&body)), (200, digest), "{path}");
            let first = random.usize(..shared.len());
            let last = random.usize(first..shared.len());
            let (status, part) = self.get(shared_path, &format!("Range: bytes={first}-{last}\r\n"));
            assert!(status == 206 && part == shared[first..=last], "{first}-{last}: {status}");
            for path in ["/", "/metrics", "/healthz", "/readyz", "/v2/_catalog", "/files/"] {
                assert_eq!(self.get(path, "").0, 200, "{path}");
            }
        });
    }

    /// Pulls images, which the clients check themselves.
    fn pull(&self) {
        self.go_on(|count| {
            let dir = scratch();
            for number in STANDING {
                let image = format!("{}/{HOST}/acme/app:{number}.0", self.shim.authority());
                if count % 2 == 0 {
                    let mut crane = Command::new(peers::tool("crane"));
                    crane.args(["pull", "--insecure", "--format", "oci", &image]);
                    process::run(crane.arg(dir.path().join(format!("crane-{number}"))));
                } else {
                    let to = format!("dir:{}", dir.path().join(format!("skopeo-{number}")).display());
                    let mut skopeo = skopeo(Side::Vendor);
                    skopeo.args(["copy", "--src-tls-verify=false", &format!("docker://{image}"), &to]);
                    process::run(&mut skopeo);
                }
            }
        });
    }

    /// Clones whatever is active.
    fn clone_git(&self, options: &[&str]) {
        let url = format!("http://{}/git/fleet.git", self.shim.authority());
        self.go_on(|_| {
            let dir = scratch();
            let mut git = sealift_tests::git::git(Side::Vendor, dir.path());
            git.args(["clone", "--quiet"]).args(options).arg(&url).arg(dir.path().join("fleet"));
            process::run(&mut git);
            let release = fs_err::read_to_string(dir.path().join("fleet/release")).expect("the file");
            assert!(STANDING.map(|number| format!("{number}.0")).contains(&release), "{release}");
        });
    }
}

/// One round of an operator, from the first release and back to it. The release that passes is new each time.
fn go_round(appliance: &Appliance<'_>, archives: &BTreeMap<u64, PathBuf>) {
    let standing = appliance.blobs();
    process::run(&mut appliance.importing(&archives[&PASSING]));
    assert!(appliance.blobs() > standing, "it was here already");
    process::run(appliance.sealiftctl().args(["activate", "3.0.0", "--yes"]));
    process::run(appliance.sealiftctl().arg("gc"));
    assert_eq!(appliance.blobs(), standing, "what passes leaves nothing behind");
    process::run(appliance.sealiftctl().args(["rollback", "--yes", "1.0.0"]));
}

fn duration() -> Duration {
    if is_soak() { LONG } else { SHORT }
}

#[test]
fn clients_and_an_operator_go_on_side_by_side() {
    let vendor = Vendor::new(&ACME);
    let offer = offer(&vendor);
    let appliance = Appliance::running(&ACME, &offer.archives[&1]);
    appliance.activate(&offer.archives[&3]);
    process::run(appliance.sealiftctl().args(["rollback", "--yes", "1.0.0"]));
    let shim = appliance.serve();
    assert_eq!(shim.get("/readyz").status, 200);
    let descriptors = shim.descriptors();
    let scene = Scene { offer, shim, is_over: AtomicBool::new(false), answers: AtomicU64::new(0) };

    let deadline = Instant::now() + duration();
    let (mut rounds, mut warm) = (0, None);
    thread::scope(|scope| {
        for seed in 0..ASKING {
            let scene = &scene;
            scope.spawn(move || scene.ask(seed));
        }
        scope.spawn(|| scene.pull());
        scope.spawn(|| scene.clone_git(&[]));
        scope.spawn(|| scene.clone_git(&["--depth", "1"]));
        let _ending = Ending(&scene.is_over);
        while Instant::now() < deadline && !scene.is_over.load(Ordering::Relaxed) {
            go_round(&appliance, &scene.offer.archives);
            rounds += 1;
            if rounds == WARM_ROUNDS {
                warm = Some(scene.shim.resident());
            }
        }
    });
    let (answers, warm) = (scene.answers.load(Ordering::Relaxed), warm.expect("enough rounds"));
    let resident = scene.shim.resident();
    tell(&format!("{rounds} rounds beside {answers} of clients; resident bytes: {warm}, then {resident}"));
    assert!(resident <= warm + MAX_GROWTH, "resident bytes: {warm}, then {resident}");
    wait_until("all descriptors are given back", || scene.shim.descriptors() <= descriptors);
    let (_, metrics) = scene.get("/metrics", "");
    let metrics = String::from_utf8(metrics).expect("text");
    assert!(metrics.contains("status=\"200\""), "it counts in another form: {metrics}");
    let failed: Vec<_> = metrics.lines().filter(|line| is_failure(line)).collect();
    assert!(failed.is_empty(), "{failed:?}");
    appliance.expect_whole();
}

/// Whether a line of the metrics counts answers that say the server failed.
fn is_failure(line: &str) -> bool {
    line.contains("status=\"5") && !line.ends_with(" 0")
}
