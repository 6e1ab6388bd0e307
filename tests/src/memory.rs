//! How much memory a program takes.

use std::process::Command;

use crate::peers;
use crate::process::{self, wrapped};
use crate::scratch;

/// Runs a program and writes its peak of resident memory, in KiB, to a file.
///
/// The kernel tells it to the parent only, and to safe Rust not at all. That the parent is small counts too: a child
/// begins as a copy of its parent, and its peak with it.
const MEASURE: &str = "\
import pathlib, resource, subprocess, sys
status = subprocess.call(sys.argv[2:])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
pathlib.Path(sys.argv[1]).write_text(str(peak))
sys.exit(status)
";

/// Runs `command`, which has to succeed, and returns the most memory that it had at a time: resident bytes, those of
/// the program file among them.
#[must_use]
pub fn peak_bytes(command: &Command) -> u64 {
    let dir = scratch();
    let report = dir.path().join("peak");
    let python = peers::tool("python3");
    let (python, report_name) = (python.to_string_lossy(), report.to_string_lossy());
    process::run(&mut wrapped(&[&*python, "-c", MEASURE, &*report_name], command));
    let kibibytes = fs_err::read_to_string(report).expect("the peak that was measured");
    kibibytes.parse::<u64>().expect("a number") << 10
}

/// The memory that a program has at this moment: resident bytes, those of the program file among them.
#[must_use]
pub fn resident_bytes(pid: u32) -> u64 {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).expect("a program that runs");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    resident.and_then(|kibibytes| kibibytes.parse::<u64>().ok()).expect("a number") << 10
}
