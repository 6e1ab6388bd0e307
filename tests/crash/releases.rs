//! What the vendor has made: releases on archives, one of them published, and appliances that have taken some of them.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use fs_err as fs;
use sealift_store::{RootFile, Store};
use sealift_tests::trust::ONLINE;
use sealift_tests::{Releases, Vendor, process};
use tempfile::TempDir;

use crate::command::Command;

/// The data disk of an appliance has its store, and what else is changed with a release: a file that says for which one the
/// host was made fit.
pub(crate) const STORE: &str = "store";
pub(crate) const HOST: &str = "host";

/// An appliance that is online.
const ONLINE_CONFIG: &str = "
apiVersion: sealift/v1
kind: Appliance
mirror: {source: 'PUBLISHED', activate: true}
";
/// An appliance that has a host to make fit.
const HOST_CONFIG: &str = r#"
apiVersion: sealift/v1
kind: Appliance
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

/// The vendor's releases, of which the second is published.
pub(crate) static RELEASES: LazyLock<Published> = LazyLock::new(Published::new);

pub(crate) struct Published {
    releases: Releases,
    /// The configuration of an appliance that mirrors the second release.
    pub(crate) online: PathBuf,
    /// That of one with a host.
    pub(crate) host: PathBuf,
}

impl Deref for Published {
    type Target = Releases;

    fn deref(&self) -> &Releases {
        &self.releases
    }
}

impl Published {
    fn new() -> Self {
        let releases = Releases::new(&ONLINE);
        let vendor = &releases.vendor;
        let published = vendor.path("published");
        publish(vendor, &releases.second, "2.0.0", &published);
        let (online, host) = (vendor.path("online.yaml"), vendor.path("host.yaml"));
        let source = published.display().to_string();
        fs::write(&online, ONLINE_CONFIG.replace("PUBLISHED", &source)).expect("room for a file");
        fs::write(&host, HOST_CONFIG.replace("FIT", FIT.trim())).expect("room for a file");
        Self { releases, online, host }
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
