//! What the vendor has made: releases on archives, one of them published, and stores that have taken some of them.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use fs_err as fs;
use sealift_lab::vendor::image::noise;
use sealift_store::{RootFile, Store};
use sealift_tests::trust::ONLINE;
use sealift_tests::{Vendor, fixture, process};
use tempfile::TempDir;

use crate::command::Command;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A release has more blobs than are fsynced one by one, more bytes than go into one frame of an archive, and blobs of
/// which the beginning is worth keeping.
const SMALL_LAYERS: u64 = 9;
pub(crate) const SMALL_BYTES: usize = 20_000;
const LARGE_BYTES: usize = 1_400_000;
const SHARED_BYTES: usize = 3_000_000;

/// The data disk of an appliance has its store, and what else is changed with a release: a file that says for which one the
/// host was made fit.
pub(crate) const STORE: &str = "store";
pub(crate) const HOST: &str = "host";

/// An appliance that is online, and has a host to make fit.
const CONFIG: &str = r#"
apiVersion: sealift/v1
kind: Appliance
mirror: {source: 'PUBLISHED', activate: true}
activation:
  hooks:
  - name: host
    command: [/bin/sh, -ec, FIT]
    undo: [/bin/sh, -ec, FIT]
    rollbackWarning: the host goes back as well
  health:
    deadline: 10s
    interval: 1s
    checks:
    - name: host
      command: [/bin/sh, -c, 'test "$(cat "$SEALIFT_STORE/../host")" = "$SEALIFT_SEQUENCE"']
"#;
const FIT: &str = r#"
  'cd "$SEALIFT_STORE/.."; echo "$SEALIFT_SEQUENCE" >host.new; sync host.new; mv host.new host; sync .'
"#;

/// The vendor's releases. The second and the third can both follow the first.
pub(crate) static RELEASES: LazyLock<Releases> = LazyLock::new(Releases::new);

pub(crate) struct Releases {
    vendor: Vendor,
    pub(crate) first: PathBuf,
    pub(crate) second: PathBuf,
    pub(crate) third: PathBuf,
    /// The configuration of an appliance that mirrors the second release, and has a host to make fit.
    pub(crate) config: PathBuf,
}

impl Releases {
    fn new() -> Self {
        let vendor = Vendor::new(&ONLINE);
        // Only the second has a second Git repository.
        let [first, second, third] = [
            (1, "", ""),
            (2, "upgradeFrom: [1.0.0]\n", "- {name: notes, path: gitops-2, branch: main}\n"),
            (3, "upgradeFrom: [1.0.0, 2.0.0]\n", ""),
        ]
        .map(|(number, follows, repository)| {
            let small = (0..SMALL_LAYERS).map(|seed| noise(100 * number + seed, SMALL_BYTES));
            let large = [noise(1, SHARED_BYTES), noise(10 + number, LARGE_BYTES)];
            let tag = format!("{number}.0");
            vendor.offer("acme/app", &tag, LAYER, &large.into_iter().chain(small).collect::<Vec<_>>());
            let git = vendor.path(format!("gitops-{number}"));
            fixture::write_git_folder(&git);
            fixture::write(&git.join("release"), tag.as_bytes());
            let image = vendor.image(&format!("acme/app:{tag}"));
            let rest = format!(
                "{follows}images:\n{image}git:\n- {{name: fleet, path: gitops-{number}, branch: main}}\n\
                 {repository}"
            );
            vendor.define(&format!("{number}.0.0"), number, &rest);
            vendor.lock();
            vendor.bundle()
        });
        let (published, config) = (vendor.path("published"), vendor.path("appliance.yaml"));
        publish(&vendor, &second, "2.0.0", &published);
        let text = CONFIG.replace("PUBLISHED", &published.display().to_string()).replace("FIT", FIT.trim());
        fs::write(&config, text).expect("room for a file");
        Self { vendor, first, second, third, config }
    }

    /// The data disk of an appliance that trusts this vendor, after these commands.
    pub(crate) fn disk(&self, commands: &[Command]) -> TempDir {
        let disk = place();
        let store = Store::open_or_create(&disk.path().join(STORE)).expect("an empty store");
        let root = RootFile::read(&self.vendor.path("trust/root.json")).expect("the vendor's trust root");
        store.lock("pin").and_then(|writer| writer.pin(&root)).expect("a pinned trust root");
        for command in commands {
            command.run(disk.path()).expect("nothing goes wrong yet");
        }
        disk
    }
}

/// Publishes a release in a folder and makes it current.
fn publish(vendor: &Vendor, bundle: &Path, version: &str, place: &Path) {
    fs::create_dir(place).expect("room for a folder");
    let run = |first: &[&str], rest: &[&str]| {
        process::run(vendor.sealift().args(first).arg(place).args(["--trust", "trust"]).args(rest));
    };
    run(&["publish", &bundle.display().to_string()], &[]);
    run(&["promote", version, "--to", "stable"], &["--key", "trust/channel.key"]);
}

/// Free memory from which on disks go there, in bytes. Each is about 10 MB, and containers often have 64 MB in all.
const ENOUGH_MEMORY: u64 = 1 << 30;

/// A directory for disks: in memory if there is enough, for there fsync costs nothing.
pub(crate) fn place() -> TempDir {
    let memory = Path::new("/dev/shm");
    let has_room =
        rustix::fs::statvfs(memory).is_ok_and(|stat| stat.f_bavail * stat.f_frsize >= ENOUGH_MEMORY);
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("sealift-test-");
    let dir = if has_room { builder.tempdir_in(memory) } else { builder.tempdir() };
    dir.expect("a temporary directory")
}
