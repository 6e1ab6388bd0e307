//! A node below a folder of its own: a store, a configuration, and the stand-ins.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fs_err as fs;
use sealift_archive::release::Kubernetes;
use sealift_archive::{Class, Explain as _, Progress, Sequence, Unwatched};
use sealift_importer::Error;
use sealift_importer::activation::Engine;
use sealift_importer::config::Config;
use sealift_importer::import::{execute, plan};
use sealift_importer::k3s::{Node, Plan, Step, Watcher};
use sealift_store::{RootFile, Store};
use tempfile::TempDir;

use crate::vendor::{ACME, Offer};

pub(crate) const OLD: &str = "v1.35.3+k3s1";
pub(crate) const NEW: &str = "v1.36.4+k3s1";
/// How long anything here may take.
const DEADLINE: Duration = Duration::from_secs(60);
const K3S: &str = include_str!("stand-in/k3s");
const INSTALL: &str = include_str!("stand-in/install.sh");
const SYSTEMCTL: &str = include_str!("stand-in/systemctl");
const REGISTRY: &str = include_str!("stand-in/sealift-registry");

pub(crate) struct Site {
    dir: TempDir,
    pub(crate) store: Store,
}

impl Site {
    /// Without a release.
    pub(crate) fn empty(k3s: &str, node: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("store")).unwrap();
        let root = RootFile { name: "root.json".to_owned(), root: ACME.root.clone(), signatures: None };
        store.lock("test").unwrap().pin(&root).unwrap();
        let site = Self { dir, store };
        for folder in ["root/usr/bin", "root/usr/local/bin", "root/faults", "root/peers", "bin"] {
            fs::create_dir_all(site.path(folder)).unwrap();
        }
        for (name, text) in [("root/usr/bin/systemctl", SYSTEMCTL), ("bin/sealift-registry", REGISTRY)] {
            fs::write(site.path(name), text).unwrap();
            fs::set_permissions(site.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        site.configure(k3s, node, "");
        site
    }

    /// With the releases 1 and 2 staged.
    pub(crate) fn staged(k3s: &str, node: &str) -> Self {
        let site = Self::empty(k3s, node);
        site.stage(1, OLD);
        site.store.lock("test").unwrap().activate(number(1)).unwrap();
        site.stage(2, NEW);
        site
    }

    /// With k3s of release 1.
    pub(crate) fn installed(k3s: &str, node: &str) -> Self {
        let site = Self::staged(k3s, node);
        site.install(None).unwrap();
        site
    }

    /// Writes the configuration; `more` belongs to `activation`.
    pub(crate) fn configure(&self, k3s: &str, node: &str, more: &str) {
        let mut k3s: serde_json::Value = serde_saphyr::from_str(k3s).unwrap();
        k3s["root"] = self.root().to_str().unwrap().into();
        k3s["readyWithin"].as_str().is_none().then(|| k3s["readyWithin"] = "2s".into());
        let text = format!(
            "apiVersion: sealift/v1\nkind: Appliance\nk3s: {k3s}\n\
             cluster: {{node: {node}, kubeconfig: /nowhere, address: 'https://127.0.0.1:5443'}}\n\
             activation:\n  programs: {{dir: {}}}\n{more}",
            self.path("bin").display()
        );
        fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("appliance.yaml")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("root")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn stage(&self, sequence: u64, version: &str) {
        let offer = offer(sequence, version);
        let writer = self.store.lock("test").unwrap();
        let what = plan(&writer, &offer, false).unwrap();
        execute(&writer, &offer, what, &Unwatched, &Engine::plain()).unwrap();
    }

    /// The same from an archive, by the program.
    pub(crate) fn import(&self, sequence: u64, version: &str) {
        let archive = offer(sequence, version).pack(&ACME, self.dir.path());
        self.ok(&["import", archive.to_str().unwrap()]);
    }

    /// Lets the stand-in of a program go wrong, once.
    pub(crate) fn fault(&self, program: &str, fault: &str) {
        fs::write(self.root().join("faults").join(program), fault).unwrap();
    }

    /// Tells Kubernetes something.
    pub(crate) fn tell(&self, what: &str) {
        let db = self.root().join("var/lib/rancher/k3s/server/db/etcd/member/snap/db");
        let text = fs::read_to_string(&db).unwrap();
        fs::write(db, format!("{text}{what}\n")).unwrap();
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("sealiftctl"));
        command.args(["--store", self.store.root().to_str().unwrap()]);
        command.args(["--config", self.config().to_str().unwrap()]).args(args).stdin(Stdio::null());
        command.output().unwrap()
    }

    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that is to be refused, and gives back what it says.
    pub(crate) fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(!output.status.success(), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Runs a command until what a killed one has left is at its end.
    pub(crate) fn again(&self, args: &[&str]) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let output = self.run(args);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() {
                return;
            }
            assert!(said.contains("SL0754") && Instant::now() < deadline, "{args:?}: {said}");
        }
    }

    pub(crate) fn install(&self, stop_at: Option<usize>) -> Result<(), Error> {
        self.follow(stop_at, |node| node.plan_install(None))
    }

    pub(crate) fn upgrade(&self, stop_at: Option<usize>) -> Result<(), Error> {
        self.follow(stop_at, |node| node.plan_upgrade(number(2)))
    }

    pub(crate) fn downgrade(&self, stop_at: Option<usize>) -> Result<(), Error> {
        self.follow(stop_at, |node| node.plan_downgrade(Some(number(1))))
    }

    fn follow(
        &self,
        stop_at: Option<usize>,
        plan: impl Fn(&Node<'_>) -> Result<Plan, Error>,
    ) -> Result<(), Error> {
        let config = Config::read(Some(&self.config())).unwrap();
        let stop = Stop { at: stop_at, is_asked: AtomicBool::new(false) };
        let deadline = Instant::now() + DEADLINE;
        // A program that another test starts has all files of this process, until it is that program.
        let node = loop {
            match Node::open(&self.store, &config, &stop) {
                Err(error) if error.class() == Class::Busy && Instant::now() < deadline => {}
                node => break node?,
            }
        };
        let plan = plan(&node)?;
        node.execute(&plan, &stop)
    }

    /// All that counts, in words that are the same on each site: programs, settings, what is known, the data.
    pub(crate) fn state(&self) -> String {
        let read = |name: &str| {
            fs::read_to_string(self.root().join(name)).unwrap_or_else(|error| error.kind().to_string())
        };
        let own = self.root().join("var/lib/rancher/sealift");
        let state: serde_json::Value =
            serde_json::from_slice(&fs::read(own.join("state.json")).unwrap()).unwrap();
        let token = read("etc/rancher/k3s/token");
        let word = token.trim().rsplit(':').next().unwrap_or_default().to_owned();
        let mut kept: Vec<String> =
            fs::read_dir(&own).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into()).collect();
        kept.retain(|name| name != "before");
        kept.sort();
        let bin: std::collections::BTreeSet<String> = fs::read_dir(self.root().join("usr/local/bin"))
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into())
            .collect();
        let parts = [
            format!("version {}", read("run/k3s.active")),
            read("usr/local/bin/k3s")
                .lines()
                .find(|line| line.starts_with("VERSION="))
                .unwrap_or_default()
                .to_owned(),
            read("etc/systemd/system/k3s.service"),
            read("etc/rancher/k3s/config.yaml"),
            read("etc/rancher/k3s/registries.yaml"),
            format!("{:?} {:?} {}", state["installed"], state["underWay"], state["started"].is_string()),
            format!("{kept:?} {bin:?} {}", word.len()),
            read("var/lib/rancher/k3s/server/db/etcd/member/snap/db"),
            format!("{}", self.root().join("var/lib/rancher/k3s/server/db/reset-flag").exists()),
        ];
        parts.join("\n---\n").replace(&word, "WORD").replace(self.dir.path().to_str().unwrap(), "DIR")
    }

    /// Each file with its content and the time of its last change.
    pub(crate) fn everything(&self) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
        fn walk(dir: &Path, into: &mut Vec<(PathBuf, Vec<u8>, std::time::SystemTime)>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, into);
                } else if path.file_name().is_some_and(|name| name != "lock") {
                    let time = fs::metadata(&path).unwrap().modified().unwrap();
                    into.push((path.clone(), fs::read(&path).unwrap(), time));
                }
            }
        }
        let mut all = Vec::new();
        walk(&self.root(), &mut all);
        all.sort();
        all
    }
}

pub(crate) fn number(number: u64) -> Sequence {
    number.try_into().unwrap()
}

/// A release with the stand-in of this k3s.
pub(crate) fn offer(sequence: u64, version: &str) -> Offer {
    let (k3s, install) = (K3S.replace("@VERSION@", version), INSTALL.replace("@VERSION@", version));
    let files = [("k3s/k3s", &k3s[..]), ("k3s/k3s-arm64", &k3s), ("k3s/install.sh", &install)];
    Offer::with_files_and(&ACME, sequence, &files, |statement, _| {
        statement.kubernetes =
            Some(Kubernetes { distribution: "k3s".to_owned(), version: version.parse().unwrap() });
    })
}

/// Asks to stop as soon as a step has begun.
struct Stop {
    at: Option<usize>,
    is_asked: AtomicBool,
}

impl Watcher for Stop {
    fn begin(&self, _: Step, number: usize, of: usize) {
        assert!(self.at.is_none_or(|at| at <= of), "there are {of} steps");
        self.is_asked.store(self.at == Some(number), Ordering::Relaxed);
    }
}

impl Progress for Stop {
    fn advance(&self, _: u64) {}

    fn is_interrupted(&self) -> bool {
        self.is_asked.load(Ordering::Relaxed)
    }
}
