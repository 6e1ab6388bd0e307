//! A vendor with a release that is too large for its sticks, and what `sealift` says to it.

use std::path::PathBuf;

use assert_cmd::Command;
use fs_err as fs;
use sealift_lab::vendor::image::noise;
use tempfile::TempDir;

use crate::said::Said;

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

/// A vendor with a locked release.
pub(crate) struct Vendor(TempDir);

impl Vendor {
    /// The release has so many bytes that do not shrink, and a few more.
    pub(crate) fn new(bytes: usize) -> Self {
        let vendor = Self(TempDir::new().unwrap());
        fs::write(vendor.path("disk.img"), noise(7, bytes)).unwrap();
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
        Said::by(&mut command, arguments)
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
