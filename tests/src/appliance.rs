//! An appliance: a store with a pinned trust root, the commands of `sealiftctl`, and what it serves.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::{self, Answer};
use crate::process::{self, Daemon};
use crate::trust::Trust;
use crate::{Namespace, Side, SmallDisk, Tree, binaries, memory, scratch};

/// What the status says where less disk is free than kubelet wants.
const DISK_IS_LOW: &str = "less than 10 % of the disk is free";
/// What must not change until a release is activated.
const STANDING: [&str; 4] = ["current", "releases", "git", "trust"];

/// A store and its commands, removed when dropped.
#[derive(Debug)]
pub struct Appliance<'a> {
    side: Side<'a>,
    store: PathBuf,
    dir: TempDir,
}

impl Appliance<'static> {
    /// An appliance that trusts this vendor and has no release.
    #[must_use]
    pub fn new(trust: &Trust) -> Self {
        Self::empty(Side::Vendor).trusting(trust)
    }

    /// An appliance that pinned the `root.json` of this folder.
    #[must_use]
    pub fn pinning(folder: &Path) -> Self {
        Self::empty(Side::Vendor).with_root(folder)
    }

    /// The same with its store on a disk of its own.
    #[must_use]
    pub fn on(disk: &SmallDisk, trust: &Trust) -> Self {
        Self { store: disk.path().join("store"), ..Self::empty(Side::Vendor) }.trusting(trust)
    }

    /// An appliance on which `archive` was imported and activated.
    #[must_use]
    pub fn running(trust: &Trust, archive: &Path) -> Self {
        let appliance = Self::new(trust);
        appliance.activate(archive);
        appliance
    }

    /// An appliance with this store.
    #[must_use]
    pub fn with_store(store: &Tree) -> Self {
        let appliance = Self::empty(Side::Vendor);
        store.write(&appliance.store);
        appliance
    }
}

impl<'a> Appliance<'a> {
    /// An appliance behind the gap that pinned the `root.json` of this folder.
    #[must_use]
    pub fn behind(namespace: &'a Namespace, folder: &Path) -> Self {
        Self::empty(Side::Appliance(namespace)).with_root(folder)
    }

    fn empty(side: Side<'a>) -> Self {
        let dir = scratch();
        Self { side, store: dir.path().join("store"), dir }
    }

    fn trusting(self, trust: &Trust) -> Self {
        let folder = self.dir.path().to_owned();
        trust.write_root(&folder);
        self.with_root(&folder)
    }

    fn with_root(self, folder: &Path) -> Self {
        process::run(self.sealiftctl().args(["trust", "pin"]).arg(folder.join("root.json")));
        self
    }

    /// `sealiftctl` on the store, in the directory above it.
    #[must_use]
    pub fn sealiftctl(&self) -> Command {
        let mut command = self.side.command(binaries::path("sealiftctl"));
        command.current_dir(self.dir.path()).arg("--store").arg(&self.store).env_remove("SEALIFT_STORE");
        command
    }

    /// The command that imports an archive.
    #[must_use]
    pub fn importing(&self, archive: &Path) -> Command {
        let mut command = self.sealiftctl();
        command.arg("import").arg(archive);
        command
    }

    /// Imports and activates.
    pub fn activate(&self, archive: &Path) {
        process::run(self.importing(archive).arg("--activate"));
    }

    /// The test fails unless the store is whole and its status tells of no problem.
    pub fn expect_whole(&self) {
        process::run(self.sealiftctl().arg("verify"));
        let status = self.status();
        let problems = status["problems"].as_array().expect("a list");
        // How full the machine's own disk is says nothing about the store.
        let problems: Vec<&Value> = problems.iter().filter(|p| p.as_str() != Some(DISK_IS_LOW)).collect();
        assert!(problems.is_empty(), "{status}");
    }

    /// What `sealiftctl status` says.
    #[must_use]
    pub fn status(&self) -> Value {
        process::json(self.sealiftctl().args(["status", "--json"]))
    }

    /// The version of the active release, if there is one.
    #[must_use]
    pub fn active(&self) -> Option<String> {
        Some(self.status()["active"]["version"].as_str()?.to_owned())
    }

    /// What must not change until a release is activated: `current`, `releases/`, Git and `trust/`.
    #[must_use]
    pub fn standing(&self) -> Tree {
        Tree::read(&self.store).only(&STANDING)
    }

    /// The test fails unless the appliance stands as before.
    pub fn expect_standing(&self, before: &Tree, what: &str) {
        let changes = before.changes(&self.standing());
        assert!(changes.is_empty(), "{what}: changed were {changes:?}");
    }

    /// What somebody who was interrupted left behind: files of an import, files without their final name.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let mut names = Tree::read(&self.store).names();
        names.retain(|name| name.starts_with("incoming/") || name.contains(".tmp"));
        names
    }

    /// Whether an import was begun and is not finished.
    #[must_use]
    pub fn is_importing(&self) -> bool {
        fs_err::read_dir(self.store.join("incoming")).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// How many blobs the store holds.
    #[must_use]
    pub fn blobs(&self) -> usize {
        fs_err::read_dir(self.blobs_dir()).map_or(0, Iterator::count)
    }

    /// Where they lie.
    #[must_use]
    pub fn blobs_dir(&self) -> PathBuf {
        self.store.join("blobs/sha256")
    }

    /// The store's directory.
    #[must_use]
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// A path in the directory above the store.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Serves the store on a free port of loopback.
    #[must_use]
    pub fn serve(&self) -> Shim<'a> {
        let mut command = self.side.command(binaries::path("sealift-registry"));
        command.arg("--store").arg(&self.store).args(["--listen", "127.0.0.1:0"]);
        let mut daemon = Daemon::start("sealift-registry", &command, self.dir.path());
        let authority = daemon.await_log(|log| {
            let (_, rest) = log.split_once("ready http://")?;
            Some(rest.split_once('\n')?.0.to_owned())
        });
        Shim { side: self.side, authority, daemon }
    }
}

/// The appliance's registry; ended when dropped.
#[derive(Debug)]
pub struct Shim<'a> {
    side: Side<'a>,
    authority: String,
    daemon: Daemon,
}

impl Shim<'_> {
    /// Address and port.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The memory that it has: resident bytes.
    #[must_use]
    pub fn resident(&self) -> u64 {
        memory::resident_bytes(self.daemon.pid())
    }

    /// How many descriptors it has open.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        let dir = format!("/proc/{}/fd", self.daemon.pid());
        fs_err::read_dir(dir).expect("a program that runs").count()
    }

    /// Gets a path as a plain client would.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    /// The same with headers.
    #[must_use]
    pub fn get_with(&self, path: &str, headers: &[&str]) -> Answer {
        http::get(self.side, &format!("http://{}{path}", self.authority), headers)
    }
}
