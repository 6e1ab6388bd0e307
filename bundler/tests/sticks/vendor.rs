//! A vendor with a release that is too large for its sticks, and what `sealift` says to it.

use std::path::PathBuf;

use assert_cmd::Command;
use fs_err as fs;
use serde_json::Value;
use tempfile::TempDir;

use crate::json;

const DEFINITION: &str = "\
apiVersion: sealift/v1
kind: Release
product: acme
version: 1.0.0
sequence: 1
platforms: all
files:
  - {name: disk.img, path: disk.img}
  - {name: notes.txt, path: notes.txt}
";
pub(crate) const BUNDLE: &str =
    "bundle RELEASE.yaml --trust trust/root.json --release-key trust/release.key --pack-key trust/pack.key";

/// What was said, and the exit status.
pub(crate) struct Said {
    pub(crate) text: String,
    out: String,
    pub(crate) status: i32,
}

impl Said {
    pub(crate) fn expect(self, status: i32, parts: &[&str]) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        for part in parts {
            assert!(self.text.contains(part), "`{part}` is not said: {}", self.text);
        }
        self
    }

    pub(crate) fn json(&self) -> Value {
        json::read(&self.out)
    }
}

/// A vendor with a locked release.
pub(crate) struct Vendor(TempDir);

impl Vendor {
    /// The release has so many bytes that do not shrink, and a few more.
    pub(crate) fn new(bytes: usize) -> Self {
        let vendor = Self(TempDir::new().unwrap());
        let mut state = 7_u64;
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        fs::write(vendor.path("disk.img"), noise.take(bytes / 8).flatten().collect::<Vec<u8>>()).unwrap();
        fs::write(vendor.path("notes.txt"), "hello\n").unwrap();
        fs::write(vendor.path("RELEASE.yaml"), DEFINITION).unwrap();
        vendor.run("trust init trust").expect(0, &[]);
        vendor.run("lock RELEASE.yaml").expect(0, &[]);
        vendor
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn run(&self, arguments: &str) -> Said {
        let mut command = Command::cargo_bin("sealift").unwrap();
        command.current_dir(self.0.path()).args(arguments.split(' ')).env("COSIGN_PASSWORD", "secret");
        let output = command.output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        Said {
            text: format!("$ sealift {arguments}\n{out}{err}"),
            out,
            status: output.status.code().unwrap(),
        }
    }

    pub(crate) fn names(&self, dir: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(dir))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }
}
