//! Keys and trust roots of vendors.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use crate::{Tree, binaries, process, scratch};

/// The password of all private keys.
pub const PASSWORD: &str = "correct horse battery staple";

/// The vendor whose releases the appliances take.
pub static ACME: LazyLock<Trust> = LazyLock::new(Trust::init);
/// The same kind of vendor with a key for channels, `channel.key`.
pub static ONLINE: LazyLock<Trust> = LazyLock::new(Trust::init_with_channel);
/// Another one.
pub static OTHER: LazyLock<Trust> = LazyLock::new(Trust::init);

/// What `sealift trust init` makes: `root.json` with its signature, and a key pair for each role.
///
/// It takes two seconds, so the tests of one program share it: held in memory, it leaves nothing behind.
#[derive(Debug)]
pub struct Trust(Tree);

impl Trust {
    fn init() -> Self {
        let dir = scratch();
        process::run(
            Command::new(binaries::path("sealift"))
                .args(["trust", "init", "trust"])
                .current_dir(dir.path())
                .env("COSIGN_PASSWORD", PASSWORD),
        );
        Self(Tree::read(&dir.path().join("trust")))
    }

    fn init_with_channel() -> Self {
        let (dir, other) = (scratch(), scratch());
        OTHER.write(other.path());
        process::run(
            Command::new(binaries::path("sealift"))
                .args(["trust", "init", "trust", "--channel-key"])
                .arg(other.path().join("pack.pub"))
                .current_dir(dir.path())
                .env("COSIGN_PASSWORD", PASSWORD),
        );
        let trust = dir.path().join("trust");
        fs_err::copy(other.path().join("pack.key"), trust.join("channel.key")).expect("the key for channels");
        Self(Tree::read(&trust))
    }

    /// Writes everything into `dir`.
    pub fn write(&self, dir: &Path) {
        self.0.write(dir);
    }

    /// Writes what may be given away: the trust root with its signature.
    pub fn write_root(&self, dir: &Path) {
        self.0.clone().only(&["root.json", "signatures"]).write(dir);
    }
}
