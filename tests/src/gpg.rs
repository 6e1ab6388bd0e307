//! Signatures of people, as `GnuPG` makes and checks them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::{peers, process, scratch};

/// Whose key it is.
pub const SIGNER: &str = "Release Engineer <release@acme.example>";

/// A keyring of its own; removed when dropped, with the agent that `GnuPG` starts for it.
#[derive(Debug)]
pub struct Gpg {
    home: TempDir,
}

impl Gpg {
    /// A keyring with a new key of [`SIGNER`], which has no password.
    #[must_use]
    pub fn with_key() -> Self {
        let gpg = Self { home: scratch() };
        process::run(gpg.gpg().args([
            "--passphrase",
            "",
            "--quick-generate-key",
            SIGNER,
            "rsa2048",
            "sign",
            "never",
        ]));
        gpg
    }

    /// A keyring that knows only this public key.
    #[must_use]
    pub fn knowing(public_key: &Path) -> Self {
        let gpg = Self { home: scratch() };
        process::run(gpg.gpg().arg("--import").arg(public_key));
        gpg
    }

    /// Writes the public key to a file.
    #[must_use]
    pub fn public_key(&self) -> PathBuf {
        self.exported(&["--export"], "public.gpg")
    }

    /// Writes the public key to a file that is text, as Flux wants it.
    #[must_use]
    pub fn armored_key(&self) -> PathBuf {
        self.exported(&["--armor", "--export"], "public.asc")
    }

    /// Writes the private key to a file, in the form that Helm reads.
    #[must_use]
    pub fn private_key(&self) -> PathBuf {
        self.exported(&["--export-secret-keys"], "private.gpg")
    }

    /// Where the keyring is, for `GNUPGHOME`.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    fn exported(&self, what: &[&str], name: &str) -> PathBuf {
        let file = self.home.path().join(name);
        process::run(self.gpg().args(["--yes", "--passphrase", "", "--output"]).arg(&file).args(what));
        file
    }

    fn gpg(&self) -> Command {
        let mut command = Command::new(peers::tool("gpg"));
        command.env("GNUPGHOME", self.home.path());
        command.args(["--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback"]);
        command
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        // The agent would end by itself some time after its home is gone. Its socket may lie elsewhere.
        for arguments in [&["--kill", "all"][..], &["--remove-socketdir"]] {
            let mut command = Command::new("gpgconf");
            command.env("GNUPGHOME", self.home.path()).args(arguments).stderr(Stdio::null());
            let _ = command.status();
        }
    }
}
