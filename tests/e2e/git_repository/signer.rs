//! Somebody with an `OpenPGP` key, as Git and Flux know them.

use std::process::Command;

use sealift_tests::{process, scratch};
use tempfile::TempDir;

const WHO: &str = "Release Engineer <release@example.com>";

/// A key in a keyring of its own.
pub(crate) struct Signer {
    home: TempDir,
}

impl Signer {
    pub(crate) fn new() -> Self {
        let signer = Self { home: scratch() };
        let generate =
            ["--batch", "--quiet", "--passphrase", "", "--quick-generate-key", WHO, "ed25519", "sign"];
        process::run(signer.sign(Command::new("gpg")).args(generate));
        signer
    }

    /// `command` with this keyring, and this person as author and committer.
    pub(crate) fn sign(&self, mut command: Command) -> Command {
        command.env("GNUPGHOME", self.home.path());
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "Release Engineer");
            command.env(format!("GIT_{role}_EMAIL"), "release@example.com");
        }
        command
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        // The agent holds the key, and would wait for more to sign.
        process::attempt(self.sign(Command::new("gpgconf")).args(["--kill", "all"]));
    }
}
