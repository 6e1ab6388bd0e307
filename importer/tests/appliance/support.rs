//! `support-bundle`: secrets are planted wherever they could come from, and none of them is in it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use fs_err as fs;
use sealift_store::Store;
use serde_json::Value;

use crate::vendor::ACME;

/// What must never be seen.
const SECRET: &str = "hunter2-and-some-more";

/// An appliance with secrets in all places, and programs that answer for systemd.
fn planted() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    Store::create(&path("store")).unwrap();
    ACME.write_root(dir.path());
    assert!(run(dir.path(), &["trust", "pin", "root.json"]).status.success());
    let refused = format!(
        "{{\"time\":\"2026-11-23T10:00:00Z\",\"event\":\"refused\",\"source\":\"https://bob:{SECRET}@host/x?sig={SECRET}\",\
         \"code\":\"SL0114\",\"reason\":\"the hook said: password={SECRET}\",\"password\":\"{SECRET}\"}}\n"
    );
    let subject = format!(
        "{{\"product\":\"acme\",\"version\":\"1.0\",\"sequence\":1,\"digest\":\"sha256:{}\"}}",
        "0".repeat(64)
    );
    let failed = format!(
        "{{\"time\":\"2026-11-23T10:00:00Z\",\"event\":\"activation-failed\",\"release\":{subject},\"phase\":\"hook `k3s`\",\
         \"reason\":\"{SECRET}\\nmore (exit status: 3)\",\"wentBack\":true}}\n"
    );
    let log = path("store/audit.jsonl");
    fs::write(&log, fs::read_to_string(&log).unwrap() + &refused + &failed + SECRET + "\n").unwrap();
    fs::write(path("store/vendor.key"), SECRET).unwrap();
    let config = format!(
        "apiVersion: sealift/v1\nkind: Appliance\n{SECRET}: {SECRET}\nmirror: {{source: \"https://bob:{SECRET}@h/{SECRET}\"}}\n\
         activation: {{hooks: [{{name: k3s, command: [/x, --token, {SECRET}]}}]}}\n"
    );
    fs::write(path("appliance.yaml"), config).unwrap();
    fs::create_dir(path("bin")).unwrap();
    let script = |name: &str, says: &str| {
        fs::write(path(name), format!("#!/bin/sh\n{says}")).unwrap();
        fs::set_permissions(path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    script(
        "bin/systemctl",
        &format!(
            "echo Id=sealift-mirror.service; echo ActiveState=failed; echo Environment=TOKEN={SECRET}\n"
        ),
    );
    script(
        "bin/journalctl",
        &format!(
            "echo 'sealiftctl[1]: mirrored, all is well'\necho 'GET https://bob:{SECRET}@h/x: 401'\n\
             echo 'hook `k3s` failed: {SECRET}'\necho '{SECRET}'\necho 'what was done is undone:'\n\
             echo 'Authorization: Basic {}'\necho '-----BEGIN PRIVATE KEY-----'\necho '{SECRET}'\n",
            STANDARD_NO_PAD.encode(SECRET)
        ),
    );
    dir
}

fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("sealiftctl"));
    command.current_dir(dir).args(["--store", "store"]).args(args).stdin(Stdio::null());
    command.env("PATH", dir.join("bin")).env("SEALIFT_TOKEN", SECRET).env_remove("SEALIFT_STORE");
    command.env_remove("SEALIFT_CONFIG").output().unwrap()
}

/// All spellings of the secret: as it is, and in base64 from each of the three places that it may begin at.
fn spellings() -> Vec<String> {
    let shifted = (0..3).map(|shift| {
        let encoded = STANDARD_NO_PAD.encode([&b"xx"[..shift], SECRET.as_bytes()].concat());
        encoded[4..encoded.len() - 4].to_owned()
    });
    shifted.chain([SECRET.to_owned()]).collect()
}

/// The documents of a bundle.
fn unpacked(file: &Path) -> Vec<(String, String)> {
    let bytes = zstd::stream::decode_all(fs::File::open(file).unwrap()).unwrap();
    let mut tar = tar::Archive::new(bytes.as_slice());
    let documents = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
        (name, text)
    });
    documents.collect()
}

#[test]
fn no_secret_is_in_it_wherever_one_was() {
    let dir = planted();
    let args = ["--config", "appliance.yaml", "support-bundle", "-o", "bundle.tar.zst"];
    let output = run(dir.path(), &args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = dir.path().join("bundle.tar.zst");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let documents = unpacked(&file);
    let names: Vec<&str> = documents.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "manifest.json",
            "versions.json",
            "status.json",
            "history.json",
            "store.json",
            "disk.json",
            "configuration.json",
            "units.json",
            "journal.txt"
        ]
    );
    for (name, text) in &documents {
        for spelling in spellings() {
            assert!(!text.contains(&spelling), "{name} holds {spelling}: {text}");
        }
    }
    // And yet it tells what there is to tell.
    let text = |wanted: &str| &documents.iter().find(|(name, _)| name == wanted).unwrap().1;
    let json = |wanted: &str| serde_json::from_str::<Value>(text(wanted)).unwrap();
    assert!(text("journal.txt").contains("mirrored, all is well\nGET https://***@h/x: 401\n"));
    assert_eq!(json("history.json")["records"][1]["code"], "SL0114");
    assert_eq!(json("history.json")["records"][2]["reason"], "*** (exit status: 3)");
    assert_eq!(
        (&json("history.json")["unreadable"], &json("store.json")["trust"]),
        (&1.into(), &"good".into())
    );
    assert_eq!(json("units.json")[0]["ActiveState"], "failed");
    assert_eq!(json("configuration.json")["keys"]["mirror"]["source"], "https://h");
    let listed = json("manifest.json")["contents"].as_array().unwrap().len();
    assert_eq!(listed + 1, documents.len());
}

#[test]
fn what_is_broken_is_no_reason_to_tell_nothing() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("bin")).unwrap();
    let output = run(dir.path(), &["--config", "nowhere.yaml", "support-bundle", "--list"]);
    assert!(output.status.success());
    let told = String::from_utf8(output.stdout).unwrap();
    insta::with_settings!({
        omit_expression => true,
        filters => vec![(r" +[0-9.]+ k?B  ", "  [size]  ")],
    }, { insta::assert_snapshot!("support_list_without_anything", told) });
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was written");

    // In a folder it gets a name of its own.
    assert!(run(dir.path(), &["support-bundle"]).status.success());
    let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let is_bundle = |name: &str| name.starts_with("sealift-support-2") && name.ends_with("Z.tar.zst");
    assert!(names.into_iter().any(|name| is_bundle(&name.to_string_lossy())));
}
