//! Signatures of images, as cosign makes and checks them with a pair of keys and without a transparency log.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::gap::Side;
use crate::{peers, process, scratch};

/// The password of the private key, which lies beside the public one as `cosign.key`.
pub const PASSWORD: &str = "a password";

/// How a signature lies beside its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A Sigstore bundle in a manifest that refers to the image: what cosign 3 makes unless told otherwise.
    Bundle,
    /// The manifest tagged `sha256-<hex>.sig` (or `.att`), as cosign 2 made it.
    Tag,
}

impl Form {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Bundle, Self::Tag];

    fn flag(self) -> &'static str {
        match self {
            Self::Bundle => "--new-bundle-format=true",
            Self::Tag => "--new-bundle-format=false",
        }
    }
}

/// Cosign on one side of the gap, with a home of its own.
#[derive(Debug)]
pub struct Cosign<'a> {
    side: Side<'a>,
    home: TempDir,
}

impl<'a> Cosign<'a> {
    /// Cosign on `side`.
    #[must_use]
    pub fn new(side: Side<'a>) -> Self {
        Self { side, home: scratch() }
    }

    /// Makes a pair of keys and returns the public one.
    #[must_use]
    pub fn make_keys(&self) -> PathBuf {
        process::run(self.command().arg("generate-key-pair"));
        self.home.path().join("cosign.pub")
    }

    /// The test fails unless this Sigstore bundle signs this file by this key.
    pub fn verify_blob(&self, key: &Path, bundle: &Path, file: &Path) {
        let mut command = self.command();
        command.args(["verify-blob", "--insecure-ignore-tlog=true", "--key"]).arg(key);
        process::run(command.arg("--bundle").arg(bundle).arg(file));
    }

    /// Signs an image, which is named by its digest, and all that its index names.
    pub fn sign(&self, image: &str, form: Form) {
        process::run(self.signing("sign", form).arg("--recursive").arg(image));
    }

    /// States, signed, that this SPDX document describes an image.
    pub fn attest(&self, image: &str, form: Form, spdx: &Path) {
        let mut command = self.signing("attest", form);
        process::run(command.args(["--type", "spdxjson", "--predicate"]).arg(spdx).arg(image));
    }

    /// Saves an image with its signatures as an OCI layout.
    pub fn save(&self, image: &str, dir: &Path) {
        process::run(self.command().args(["save", "--dir"]).arg(dir).arg(image));
    }

    /// Checks what is signed of an image; returns the types of it. Bundles hold attestations too.
    #[must_use]
    pub fn verify(&self, key: &Path, image: &str, form: Form) -> Vec<String> {
        let signed = process::json(self.verifying("verify", key, form).arg(image));
        let types = signed.as_array().into_iter().flatten().map(|signed| &signed["critical"]["type"]);
        types.map(|name| name.as_str().expect("a signature has a type").to_owned()).collect()
    }

    /// Checks the signed SPDX document of an image; returns the statement that holds it, in its envelope.
    #[must_use]
    pub fn verify_attestation(&self, key: &Path, image: &str, form: Form) -> serde_json::Value {
        process::json(self.verifying("verify-attestation", key, form).args(["--type", "spdxjson", image]))
    }

    /// The test fails unless the image has no signature by this key.
    pub fn refuse(&self, key: &Path, image: &str, form: Form) {
        process::refusal(self.verifying("verify", key, form).arg(image));
    }

    fn signing(&self, verb: &str, form: Form) -> Command {
        let mut command = self.command();
        command.args([verb, "--key=cosign.key", "--yes", form.flag()]);
        command.args(["--use-signing-config=false", "--tlog-upload=false"]);
        command
    }

    fn verifying(&self, verb: &str, key: &Path, form: Form) -> Command {
        let mut command = self.command();
        command.args([verb, "--insecure-ignore-tlog=true", form.flag(), "--key"]).arg(key);
        command
    }

    fn command(&self) -> Command {
        let mut command = self.side.command(peers::tool("cosign"));
        command.current_dir(self.home.path()).env("COSIGN_PASSWORD", PASSWORD);
        // Neither this user's accounts nor caches.
        command.env("HOME", self.home.path()).env("DOCKER_CONFIG", self.home.path());
        command
    }
}
