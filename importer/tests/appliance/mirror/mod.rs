//! `sealiftctl mirror` against a vendor's endpoint, and against other nodes: what it asks for, what it takes, and what it refuses.

mod peers;
mod refusing;
mod taking;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use fs_err as fs;
use sealift_lab::vendor::{Registry, Seen};
use sealift_store::Store;
use serde_json::Value;
use tempfile::TempDir;

use crate::published::{PLACE, Tree};
use crate::vendor::{ACME, Offer, contents};

/// Where the vendor publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    Web,
    Registry,
    /// A registry that has no `data` in its manifests.
    Older,
}
/// How long anything here may take.
const DEADLINE: Duration = Duration::from_secs(60);
const KINDS: [Kind; 4] = [Kind::Directory, Kind::Web, Kind::Registry, Kind::Older];

/// An appliance and its vendor's endpoint.
struct Scene {
    dir: TempDir,
    server: Registry,
    kind: Kind,
}

impl Scene {
    /// An appliance on which the first of these is active, if there is one.
    fn new(kind: Kind, active: Option<&Offer>) -> Self {
        let scene = Self { dir: tempfile::tempdir().unwrap(), server: Registry::start().unwrap(), kind };
        scene.configure("");
        let root = ACME.write_root(scene.dir.path());
        scene.done(&["trust", "pin", root.to_str().unwrap()]);
        if let Some(offer) = active {
            let bundle = offer.pack(&ACME, scene.dir.path());
            scene.done(&["import", bundle.to_str().unwrap(), "--activate"]);
        }
        scene
    }

    fn configure(&self, more: &str) {
        let addr = self.server.addr();
        let source = match self.kind {
            Kind::Directory => self.published().display().to_string(),
            Kind::Web => format!("http://{addr}/{PLACE}"),
            Kind::Registry | Kind::Older => format!("oci://{addr}/{PLACE}"),
        };
        let text = format!("apiVersion: sealift/v1\nkind: Appliance\nmirror:\n  source: {source}\n{more}");
        fs::write(self.dir.path().join("appliance.yaml"), text).unwrap();
    }

    fn published(&self) -> PathBuf {
        self.dir.path().join("published")
    }

    fn publish(&self, tree: &Tree) {
        match self.kind {
            Kind::Directory => tree.write_to(&self.published()),
            Kind::Web => tree.serve_by(&self.server),
            Kind::Registry => tree.push_to(&self.server, true),
            Kind::Older => tree.push_to(&self.server, false),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("sealiftctl"));
        command.current_dir(self.dir.path()).args(["--store", "store", "--config", "appliance.yaml"]);
        // Neither this user's accounts nor a proxy.
        command.args(args).env("DOCKER_CONFIG", self.dir.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn done(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{args:?}: {}{}", said(&output.stdout), said(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A run, as JSON.
    fn mirror(&self) -> Value {
        serde_json::from_str(&self.done(&["mirror", "--once", "--json"])).unwrap()
    }

    /// A run that fails: its code and exit status.
    fn fails(&self) -> (String, i32) {
        let output = self.run(&["mirror", "--once", "--json"]);
        let said: Value = serde_json::from_slice(&output.stderr)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        (said["error"]["code"].as_str().unwrap().to_owned(), output.status.code().unwrap())
    }

    fn store(&self) -> Store {
        Store::open(&self.dir.path().join("store")).unwrap()
    }

    /// `1.4 active, 1.5 staged`
    fn releases(&self) -> String {
        let mut text = String::new();
        for release in self.store().releases().unwrap() {
            let comma = if text.is_empty() { "" } else { ", " };
            write!(text, "{comma}1.{} {}", release.sequence(), release.state()).unwrap();
        }
        text
    }

    /// What the server was asked since the last time.
    fn asked(&self) -> Vec<Seen> {
        let seen = self.server.seen();
        self.server.forget();
        seen
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.done(&["status", "--json"])).unwrap()
    }
}

fn sent(seen: &[Seen]) -> u64 {
    seen.iter().map(|seen| seen.sent).sum()
}

/// Two releases that share most of their content.
fn four_and_five() -> (Offer, Offer) {
    let size = 50_000;
    (Offer::new(&ACME, 4, contents(0..20, size)), Offer::new(&ACME, 5, contents(3..23, size)))
}
