//! Runs an ignored test of the same program in a process of its own, and measures what that takes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the file that the other process works on.
const FILE: &str = "SEALIFT_TEST_FILE";
/// Stands before what the other process answers.
const ANSWER: &str = "answer: ";

/// What another process said, and the most that it had in memory, itself included.
pub(crate) struct Measured {
    pub(crate) answer: String,
    pub(crate) peak_bytes: u64,
}

/// Has the ignored test `name` work on `file`.
pub(crate) fn run(name: &str, file: &Path) -> Measured {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env(FILE, file)
        // More threads hold more frames; what is measured is not how many cores there are.
        .env("RAYON_NUM_THREADS", "2")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let find = |word: &str| {
        let found =
            text.lines().find_map(|line| line.split_once(word).map(|(_, rest)| rest.trim().to_owned()));
        found.unwrap_or_else(|| panic!("`{word}` in: {text}\n{}", String::from_utf8_lossy(&output.stderr)))
    };
    let peak_bytes = find("VmHWM:").trim_end_matches(" kB").parse::<u64>().unwrap() << 10;
    Measured { answer: find(ANSWER), peak_bytes }
}

/// In the other process: the file to work on.
pub(crate) fn file() -> PathBuf {
    std::env::var_os(FILE).unwrap().into()
}

/// In the other process: says what came of it, in one line, and how much memory it took (proc(5), `VmHWM`).
#[expect(clippy::print_stdout, reason = "a process answers on its standard output")]
pub(crate) fn answer(text: &str) {
    println!("\n{ANSWER}{text}\n{}", fs_err::read_to_string("/proc/self/status").unwrap());
}
