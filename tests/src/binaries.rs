//! The programs of this workspace, as they were built beside the running test.

use std::path::PathBuf;

/// The path of a workspace program such as `sealift`.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    // target/<profile>/deps/<test>-<hash>
    let test = std::env::current_exe().expect("a running program has a path");
    let profile_dir = test.parent().and_then(std::path::Path::parent).expect("cargo runs tests in `deps`");
    let program = profile_dir.join(name);
    assert!(program.is_file(), "`{}` is missing; run: cargo build --workspace --bins", program.display());
    program
}
