//! `sealift sbom` lists what the package managers themselves list: dpkg, rpm and apk inside the same images.
//!
//! Each image is made of layers as they come about, one for each state that a package manager left its database in; what
//! the manager lists in the last state is what the image holds.

mod apk;
mod attached;
mod dpkg;
mod rpm;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealift_tests::vendor::HOST;
use sealift_tests::{Vendor, binaries, process, scratch, trust};
use serde_json::Value;

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";

/// A set of packages, a line for each.
type Listing = BTreeSet<String>;

/// A vendor who ships images and asks what is in them.
struct Asking {
    vendor: Vendor,
    /// Entries of `images:`, a line for each.
    images: Vec<String>,
}

impl Asking {
    fn new() -> Self {
        Self { vendor: Vendor::new(&trust::ACME), images: Vec::new() }
    }

    /// Offers an image made of these layers; of each the media type and the tar.
    fn offer(&mut self, name: &str, layers: &[(&str, Vec<u8>)]) {
        // The registry of the tests takes one media type for all; programs must not rely on it anyway.
        let contents: Vec<Vec<u8>> = layers.iter().map(|(kind, tar)| compressed(kind, tar)).collect();
        let media_type = layers.first().expect("a layer").0;
        self.vendor.offer(&format!("acme/{name}"), "1", media_type, &contents);
        self.images.push(self.vendor.image(&format!("acme/{name}:1")));
    }

    /// Takes an image from a layout on disk.
    fn take(&mut self, layout: &Path, tag: &str) {
        let layout = layout.display();
        let name = format!("{HOST}/acme/{tag}:1");
        self.images.push(format!("- {{ociLayout: '{layout}', reference: '{tag}', name: '{name}'}}\n"));
    }

    /// Takes an image from another registry.
    fn refer(&mut self, reference: &str, name: &str) {
        self.images.push(format!("- {{reference: '{reference}', name: '{name}'}}\n"));
    }

    /// Packs all of it and asks.
    fn ask(&self) -> Answer {
        self.vendor.define_for("all", "1.0.0", 1, &format!("images:\n{}", self.images.concat()));
        self.vendor.lock();
        let archive = self.vendor.bundle();
        let mut answer = Answer { told: Value::Null, archive, root: self.vendor.path("trust/root.json") };
        answer.told = process::json(&mut answer.sbom(&["--json"]));
        answer
    }
}

/// What `sealift sbom` says.
struct Answer {
    told: Value,
    archive: PathBuf,
    root: PathBuf,
}

impl Answer {
    /// The command that asks.
    fn sbom(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binaries::path("sealift"));
        command.arg("sbom").arg(&self.archive).arg("--trust").arg(&self.root).args(arguments);
        command.env_remove("SOURCE_DATE_EPOCH").env_remove("RUST_LOG");
        command
    }

    /// The one image with this name that has a package database.
    fn image(&self, name: &str) -> &Value {
        let name = format!("{HOST}/acme/{name}:1");
        let images = self.told["releases"][0]["images"].as_array().expect("images");
        let is_it = |image: &&Value| image["names"][0] == name.as_str() && image["databases"][0].is_string();
        let image = images.iter().find(is_it).unwrap_or_else(|| panic!("{name} in {images:#?}"));
        assert_eq!(image["warnings"], Value::Array(Vec::new()), "{name}");
        image
    }

    /// Its packages, as `spell` spells them.
    fn packages(&self, name: &str, spell: impl Fn(&Value) -> String) -> Listing {
        let packages = self.image(name)["packages"].as_array().expect("packages");
        let listing: Listing = packages.iter().map(spell).collect();
        assert_eq!(listing.len(), packages.len(), "{name}: none twice");
        listing
    }
}

fn word<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

fn lines(text: &str) -> Listing {
    text.lines().map(str::to_owned).collect()
}

/// A directory as a tar.
fn tar(dir: &Path) -> Vec<u8> {
    process::run(Command::new("tar").args(["--create", "--numeric-owner", "-C"]).arg(dir).arg("."))
}

fn compressed(media_type: &str, tar: &[u8]) -> Vec<u8> {
    let program = match media_type {
        GZIP => "gzip",
        ZSTD => "zstd",
        _ => return tar.to_vec(),
    };
    let dir = scratch();
    let file = dir.path().join("layer");
    fs_err::write(&file, tar).expect("a file");
    process::run(Command::new(program).arg("--stdout").arg(file).stderr(Stdio::null()))
}

fn write(path: &Path, text: &str) {
    fs_err::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs_err::write(path, text).expect("a file");
}
