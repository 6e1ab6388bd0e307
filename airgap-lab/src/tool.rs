//! Debian's programs, also those for root, which an ordinary user's `PATH` leaves out.

use std::path::PathBuf;

const ROOT_PROGRAM_DIRS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Where a program is; its bare name if it is nowhere, so that the error names it.
pub(crate) fn tool(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(ROOT_PROGRAM_DIRS.map(PathBuf::from));
    dirs.map(|dir| dir.join(name)).find(|program| program.is_file()).unwrap_or_else(|| name.into())
}
