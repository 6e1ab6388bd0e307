//! The units are what systemd takes, and hold the programs in narrow bounds.
//!
//! Debian's package `systemd` has `systemd-analyze`; on a machine without it: `apt-get install systemd`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

/// The highest exposure that a sandboxed service may have, in tenths of systemd's points (0 is none, 100 is `UNSAFE`).
const MAX_EXPOSURE: u32 = 25;

/// The service that reaches the network, and so is held in the narrowest bounds.
const MIRROR: &str = "sealift-mirror.service";

/// All units, with the program that was built in place of the one that will be installed.
fn units(dir: &Path) -> Vec<PathBuf> {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("units");
    let program = assert_cmd::cargo::cargo_bin!("sealiftctl").display().to_string();
    let copy = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        let text = fs::read_to_string(entry.path()).unwrap();
        let copy = dir.join(entry.file_name());
        fs::write(&copy, text.replace("/usr/bin/sealiftctl", &program)).unwrap();
        copy
    };
    fs::read_dir(units).unwrap().map(copy).collect()
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
    let mirror = dir.path().join(MIRROR);
    let text = fs::read_to_string(&mirror).unwrap();
    fs::write(&mirror, text.replace("ProtectHome=true", "ProtectHouse=true")).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&mirror).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("ProtectHouse"));
}

#[test]
fn the_mirror_can_do_little_else() {
    let dir = tempfile::tempdir().unwrap();
    units(dir.path());
    let threshold = format!("--threshold={MAX_EXPOSURE}");
    let args = ["security", "--offline=true", "--no-pager", &threshold];
    analyze(&args, &[dir.path().join(MIRROR)]);
}

/// The store may lie on a disk that comes late, and a condition is looked at once.
#[test]
fn what_looks_into_the_store_waits_for_its_disk() {
    let dir = tempfile::tempdir().unwrap();
    let texts: Vec<String> = units(dir.path()).iter().map(|unit| fs::read_to_string(unit).unwrap()).collect();
    let looking = texts.iter().filter(|text| text.contains("=/var/lib/sealift"));
    let waiting = looking.clone().filter(|text| text.contains("RequiresMountsFor=/var/lib/sealift\n"));
    assert_eq!((looking.count(), waiting.count()), (2, 2));
}
