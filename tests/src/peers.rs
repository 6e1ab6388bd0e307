//! The programs of others: Debian's, and those built from `tests/peers/go.mod`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::process;

/// The path of a peer program, the pinned one if there is one.
#[must_use]
pub fn tool(name: &str) -> PathBuf {
    std::iter::once(made("tools"))
        .chain(sealift_lab::tool::folders())
        .map(|dir| dir.join(name))
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("`{name}` is missing; run: make setup"))
}

/// The root directory of a real Alpine system, with nothing in it but its database of packages.
#[must_use]
pub fn alpine() -> PathBuf {
    made("alpine")
}

/// Real databases of rpm, each in a folder by the name of its system.
#[must_use]
pub fn rpm() -> PathBuf {
    made("rpm")
}

/// A Kubernetes API server and Flux: programs in `bin`, definitions of their objects in `crds`.
#[must_use]
pub fn cluster() -> PathBuf {
    made("cluster")
}

/// The containerd that k3s has, and its client.
#[must_use]
pub fn containerd() -> PathBuf {
    made("containerd")
}

/// The modules of Debian's cloud-init, for Debian's Python.
#[must_use]
pub fn cloud_init() -> PathBuf {
    made("cloud-init").join("usr/lib/python3/dist-packages")
}

/// A directory that `tests/setup` made, by the name it prints.
pub(crate) fn made(name: &str) -> PathBuf {
    // The script owns the rule for where things are; asking it keeps the rule in one place.
    static PATHS: OnceLock<String> = OnceLock::new();
    let paths = PATHS.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("setup");
        process::text(Command::new(script).arg("--print-paths"))
    });
    let path = paths
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("`tests/setup --print-paths` does not say where `{name}` is"));
    let path = PathBuf::from(path);
    let target = if ["cluster", "containerd"].contains(&name) { "test-cluster" } else { "setup" };
    assert!(path.is_dir(), "`{}` is missing; run: make {target}", path.display());
    path
}
