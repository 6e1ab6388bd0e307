//! Seeds: the installer's, the appliance's own, and the examples; as cloud-init and the schemas see them.

use std::path::Path;
use std::process::Command;

use sealift_tests::{peers, process, scratch};
use serde_json::{Value, json};

use crate::repository;

/// cloud-init as Debian packs it, run from where it was unpacked: installed, it would take over this machine.
fn cloud_init_schema(file: &Path) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.env("PYTHONPATH", peers::cloud_init()).env("PYTHONDONTWRITEBYTECODE", "1");
    command.args(["-m", "cloudinit.cmd.main", "schema", "--config-file"]).arg(file);
    command
}

/// Checks by one of the repository's JSON schemas.
fn by_schema(schema: &str, instance: &Value) -> process::Ended {
    let dir = scratch();
    let file = dir.path().join("instance.json");
    fs_err::write(&file, instance.to_string()).expect("a file");
    process::finish(Command::new("/usr/bin/jsonschema").arg("-i").arg(file).arg(repository(schema)))
}

fn read(file: &Path) -> Value {
    serde_saphyr::from_str(&fs_err::read_to_string(file).expect("a file")).expect("YAML")
}

fn examples() -> Vec<std::path::PathBuf> {
    let entries = fs_err::read_dir(repository("cloud-init/seeds")).expect("examples");
    entries.map(|entry| entry.expect("an entry").path().join("user-data")).collect()
}

#[test]
fn cloud_init_takes_every_seed() {
    let mut files = vec![
        repository("cloud-init/autoinstall/user-data"),
        repository("cloud-init/image/etc/cloud/cloud.cfg.d/95-sealift.cfg"),
    ];
    files.extend(examples());
    assert_eq!(files.len(), 4);
    for file in files {
        process::finish(&cloud_init_schema(&file)).expect(0);
    }
    // It does look.
    let dir = scratch();
    let wrong = dir.path().join("user-data");
    fs_err::write(&wrong, "#cloud-config\ngrowpart: {mode: never}\n").expect("a file");
    process::finish(&cloud_init_schema(&wrong)).expect(1);
}

#[test]
fn the_installer_is_told_only_what_it_knows() {
    const SCHEMA: &str = "cloud-init/autoinstall.schema.json";
    let seed = read(&repository("cloud-init/autoinstall/user-data"))["autoinstall"].take();
    by_schema(SCHEMA, &seed).expect(0);
    let wrong = [
        ("/identity/password", json!("$6$abc$def")),
        ("/ssh/allow-pw", json!(true)),
        ("/apt/geoip", json!(true)),
        ("/storage/layout/name", json!("lvm")),
        ("/shutdown", json!("halt")),
        ("/version", json!(2)),
        ("/late-commands", json!("poweroff")),
    ];
    for (place, value) in wrong {
        let mut seed = seed.clone();
        *seed.pointer_mut(place).unwrap_or_else(|| panic!("no {place}")) = value;
        by_schema(SCHEMA, &seed).expect(1);
    }
}

#[test]
fn a_seed_is_checked_key_by_key() {
    const SCHEMA: &str = "cloud-init/seed.schema.json";
    for file in examples() {
        by_schema(SCHEMA, &read(&file)["sealift"]).expect(0);
    }
    let cases = [
        (json!({}), true),
        (json!({"role": "setup"}), true),
        (json!({"role": "first", "nodes": ["192.0.2.11", "fd00::/64"]}), true),
        (json!({"role": "first", "nodes": ["node-b"]}), false),
        (json!({"role": "first", "endpoints": ["fd00::1", "k3s.example"]}), true),
        (json!({"online": {"source": "oci://registry.example/acme", "channel": "candidate"}}), true),
        (json!({"role": "join", "server": "10.0.0.1", "token": "K10"}), true),
        (json!({"role": "join", "server": "10.0.0.1"}), false),
        (json!({"role": "single", "token": "K10"}), false),
        (json!({"role": "server"}), false),
        (json!({"rolle": "single"}), false),
        (json!({"hostname": "Node_A"}), false),
        (json!({"network": {"mode": "static"}}), false),
        (json!({"network": {"mode": "dhcp", "address": "10.0.0.1/24"}}), false),
        (json!({"online": {"source": "http://releases.example"}}), false),
        (json!({"publicKeys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]}), false),
    ];
    for (seed, is_good) in cases {
        by_schema(SCHEMA, &seed).expect(i32::from(!is_good));
    }
}
