//! A vendor with three releases, in one folder with everybody's keys.

use std::path::PathBuf;

use assert_cmd::Command;
use fs_err as fs;
use sealift_lab::vendor::image::noise;
use serde_json::Value;
use tempfile::TempDir;

use crate::said::Said;

/// Those who may sign something, and `mallory`, who may not.
const PEOPLE: [&str; 7] = ["root", "release", "pack", "alice", "bob", "carol", "mallory"];

/// A vendor's workplace.
pub(crate) struct Vendor(TempDir);

impl Vendor {
    /// One of two channel keys is enough.
    pub(crate) fn new() -> Self {
        Self::with("--channel-key alice.pub --channel-key bob.pub")
    }

    /// With these channel keys.
    pub(crate) fn with(channel_keys: &str) -> Self {
        let vendor = Self(TempDir::new().unwrap());
        for name in PEOPLE {
            vendor.openssl(&format!("ecparam -name prime256v1 -genkey -noout -out {name}.key"));
            vendor.openssl(&format!("ec -in {name}.key -pubout -out {name}.pub"));
        }
        let others = "--root-key root.key --release-key release.pub --pack-key pack.pub";
        vendor.run(&format!("trust init trust {others} {channel_keys}")).expect(0, &[]);
        fs::write(vendor.path("shared.img"), noise(1, 3_000_000)).unwrap();
        vendor
    }

    /// Bundles a release with a file of its own and one that all releases share; returns the archive's name.
    pub(crate) fn release(&self, version: &str, sequence: u64, rest: &str) -> String {
        fs::write(self.path(&format!("{version}.img")), noise(sequence + 10, 500_000)).unwrap();
        fs::write(self.path(&format!("{version}.txt")), format!("notes of {version}\n")).unwrap();
        let definition = format!(
            "apiVersion: sealift/v1\nkind: Release\nproduct: acme\nversion: {version}\nsequence: {sequence}\n\
             platforms: all\n{rest}\nfiles:\n  - {{name: shared.img, path: shared.img}}\n  \
             - {{name: own.img, path: {version}.img}}\n  - {{name: notes.txt, path: {version}.txt}}\n"
        );
        fs::write(self.path("RELEASE.yaml"), definition).unwrap();
        self.run("lock RELEASE.yaml").expect(0, &[]);
        let keys = "--release-key release.key --pack-key pack.key";
        self.run(&format!("bundle RELEASE.yaml --trust trust {keys} -o out")).expect(0, &[]);
        format!("out/acme-{version}.tar.zst")
    }

    /// Three releases, one behind the other.
    pub(crate) fn releases(&self) -> [String; 3] {
        [
            self.release("1.0.0", 1, ""),
            self.release("1.1.0", 2, "upgradeFrom: [1.0.0]"),
            self.release("1.2.0", 3, "upgradeFrom: [1.1.0]"),
        ]
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn run(&self, arguments: &str) -> Said {
        Said::by(&mut self.command(arguments), arguments)
    }

    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::cargo_bin("sealift").unwrap();
        command.current_dir(self.0.path()).args(arguments.split_whitespace());
        command.env("DOCKER_CONFIG", self.0.path()).env_remove("RUST_LOG");
        command
    }

    /// `publish` of an archive, which succeeds.
    pub(crate) fn publish(&self, archive: &str, place: &str) -> Value {
        self.run(&format!("publish {archive} {place} --trust trust --json")).expect(0, &[]).json()
    }

    /// `promote`, signed by alice.
    pub(crate) fn promote(&self, what: &str, place: &str) -> Said {
        self.run(&format!("promote {what} {place} --trust trust --key alice.key --json"))
    }

    fn openssl(&self, command: &str) {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(self.0.path()).args(command.split(' ')).assert().success();
    }

    /// All files below a folder, by their paths in it, with their content.
    pub(crate) fn tree(&self, dir: &str) -> std::collections::BTreeMap<String, Vec<u8>> {
        let root = self.path(dir);
        let mut open = vec![root.clone()];
        let mut files = std::collections::BTreeMap::new();
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let name = path.strip_prefix(&root).unwrap().display().to_string();
                    files.insert(name, fs::read(path).unwrap());
                }
            }
        }
        files
    }
}
