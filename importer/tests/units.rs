//! The units are what systemd takes, and hold the programs in narrow bounds.
//!
//! Debian's package `systemd` has `systemd-analyze`; on a machine without it: `apt-get install systemd`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

/// The highest exposure that a sandboxed service may have, in tenths of systemd's points (0 is none, 100 is `UNSAFE`).
const MAX_EXPOSURE: u32 = 25;

/// The units of the mirror, with the program that was built in place of the one that will be installed.
fn units(dir: &Path) -> Vec<PathBuf> {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("units");
    let program = assert_cmd::cargo::cargo_bin!("sealiftctl").display().to_string();
    let copy = |name: &str| {
        let text = fs::read_to_string(units.join(name)).unwrap();
        fs::write(dir.join(name), text.replace("/usr/bin/sealiftctl", &program)).unwrap();
        dir.join(name)
    };
    ["sealift-mirror.service", "sealift-mirror.timer"].map(copy).into()
}

/// Runs `systemd-analyze`, which has to be content and to say nothing.
fn analyze(args: &[&str], units: &[PathBuf]) -> String {
    let output = Command::new("systemd-analyze").args(args).args(units).output();
    let output = output.expect("`systemd-analyze` is missing; run: apt-get install systemd");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {said}");
    said
}

#[test]
fn systemd_takes_the_units() {
    let dir = tempfile::tempdir().unwrap();
    let units = units(dir.path());
    let said = analyze(&["verify", "--man=no", "--recursive-errors=no"], &units);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("sealift")).collect();
    assert!(ours.is_empty(), "{ours:#?}");
    // It does find what is wrong.
    let text = fs::read_to_string(&units[0]).unwrap();
    fs::write(&units[0], text.replace("ProtectHome=true", "ProtectHouse=true")).unwrap();
    let output =
        Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&units[0]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("ProtectHouse"));
}

#[test]
fn the_mirror_can_do_little_else() {
    let dir = tempfile::tempdir().unwrap();
    let service = &units(dir.path())[..1];
    let threshold = format!("--threshold={MAX_EXPOSURE}");
    analyze(&["security", "--offline=true", "--no-pager", &threshold], service);
}
