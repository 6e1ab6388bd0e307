//! The units, as systemd reads them.

use std::path::Path;
use std::process::Command;

use sealift_tests::{binaries, peers, process, scratch};
use serde_json::Value;

/// What `systemd-analyze security` may find, in tenths; 0 is a program that may do nothing at all. What is left is the
/// network, files of the world, and other users' processes by number.
const MAX_EXPOSURE: &str = "15";

/// The units in a folder, with the programs of this workspace.
fn units() -> tempfile::TempDir {
    let dir = scratch();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../registry-shim/units");
    for entry in fs_err::read_dir(folder).expect("the units") {
        let path = entry.expect("an entry").path();
        let text = fs_err::read_to_string(&path).expect("a unit");
        let program = binaries::path("sealift-registry").display().to_string();
        let text = text.replace("/usr/bin/sealift-registry", &program);
        fs_err::write(dir.path().join(path.file_name().expect("a name")), text).expect("a file");
    }
    dir
}

fn analyze(arguments: &[&str]) -> Command {
    let mut command = Command::new(peers::tool("systemd-analyze"));
    command.args(["--no-pager", "--man=no"]).args(arguments);
    command
}

#[test]
fn systemd_understands_every_line() {
    let dir = units();
    let mut verify = analyze(&["verify"]);
    for name in ["sealift-registry.service", "sealift-registry.socket"] {
        verify.arg(dir.path().join(name));
    }
    let ended = process::finish(&verify).expect(0);
    assert_eq!(ended.stderr(), "", "{ended}");
}

#[test]
fn the_registry_may_do_little() {
    let dir = units();
    let unit = dir.path().join("sealift-registry.service");
    let threshold = format!("--threshold={MAX_EXPOSURE}");
    process::run(analyze(&["security", "--offline=true", &threshold]).arg(&unit));
    let found = process::json(analyze(&["security", "--offline=true", "--json=short"]).arg(&unit));
    let is_set = |name: &str| {
        let entries = found.as_array().expect("a list");
        let entry = entries.iter().find(|entry| entry["json_field"] == name || entry["name"] == name);
        entry.unwrap_or_else(|| panic!("{name}: {found}"))["set"] == Value::Bool(true)
    };
    for name in ["NoNewPrivileges=", "ProtectSystem=", "PrivateDevices=", "SystemCallFilter=~@privileged"] {
        assert!(is_set(name), "{name}: {found}");
    }
}
