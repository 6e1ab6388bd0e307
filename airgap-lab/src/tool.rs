//! Debian's programs, also those for root, which an ordinary user's `PATH` leaves out.

use std::path::PathBuf;

const ROOT_PROGRAM_DIRS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The folders that programs are looked for in, in this order.
#[must_use]
pub fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(ROOT_PROGRAM_DIRS.map(PathBuf::from)).collect()
}

/// Where a program is; its bare name if it is nowhere, so that the error names it.
pub(crate) fn tool(name: &str) -> PathBuf {
    let mut places = folders().into_iter().map(|dir| dir.join(name));
    places.find(|program| program.is_file()).unwrap_or_else(|| name.into())
}
