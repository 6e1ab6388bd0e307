//! The program as an operator uses it: what it prints, where, and how it exits.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use crate::vendor::{ACME, OTHER, Offer, Vendor, contents, pack};
use fs_err as fs;
use rustix::process::{Pid, Signal};
use sealift_archive::age::{self, Identity};
use sealift_archive::{BlobList, Receipt, Statement};
use sealift_store::{Actor, Agreed, Record, Store};
use tempfile::TempDir;

/// How long anything here may take.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Appliance {
    pub(crate) dir: TempDir,
}

impl Appliance {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// With a pinned trust root.
    pub(crate) fn pinned() -> Self {
        let appliance = Self::new();
        ACME.write_root(appliance.dir.path());
        appliance.done(&["trust", "pin", "root.json"]);
        appliance
    }

    /// With these releases imported and activated, one after the other.
    pub(crate) fn with_releases(sequences: RangeInclusive<u64>) -> Self {
        let appliance = Self::pinned();
        for sequence in sequences {
            let bundle = appliance.bundle(&ACME, sequence);
            appliance.done(&["import", &bundle, "--activate"]);
        }
        appliance
    }

    /// Packs `acme 1.N`, and says the archive's name.
    pub(crate) fn bundle(&self, vendor: &Vendor, sequence: u64) -> String {
        self.bundle_with(vendor, sequence, |_, _| ())
    }

    fn bundle_with(
        &self,
        vendor: &Vendor,
        sequence: u64,
        change: fn(&mut Statement, &mut BlobList),
    ) -> String {
        let offer = Offer::with(vendor, sequence, contents(sequence..sequence + 3, 100_000), change);
        offer.pack(vendor, self.dir.path()).file_name().unwrap().to_str().unwrap().to_owned()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("sealiftctl"));
        command.current_dir(self.dir.path()).args(["--store", "store"]).args(args);
        command.env_remove("SEALIFT_STORE").env_remove("SEALIFT_CONFIG").stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub(crate) fn done(&self, args: &[&str]) {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// All that a run says, for a snapshot.
    fn told(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        format!(
            "$ sealiftctl {}\nexit status {}\n--- stdout\n{}--- stderr\n{}",
            args.join(" "),
            output.status.code().unwrap(),
            text(&output.stdout),
            text(&output.stderr)
        )
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.path("store")).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Compares a snapshot, without what differs from run to run and machine to machine.
macro_rules! assert_told {
    ($name:literal, $told:expr) => {
        insta::with_settings!({
            omit_expression => true,
            filters => vec![
                (r"/\S+/(acme|root|all|notes)", "[dir]/$1"),
                (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "YYYY-MM-DD hh:mm:ss UTC"),
                (r"(?:[0-9a-f]{4} ){7}[0-9a-f]{4}", "[half a fingerprint]"),
                (r"signed by   [0-9a-f]{12}", "signed by   [key]"),
                (r"\b[0-9a-f]{12}\b", "[short digest]"),
                (r"sha256:[0-9a-f]{64}", "[digest]"),
                (r"[0-9.]+ [kMGT]?B free", "[room] free"),
                (r"free, [0-9.]+ [kMGT]?B used", "free, [room] used"),
                // Where a line is wrapped depends on the folder's name.
                (r"\n {7}`\[dir\]", " `[dir]"),
                (r"  by          .+", "  by          [who]"),
                (r"process \d+", "process [pid]"),
                (r"bytes \d+ to \d+", "bytes [from] to [to]"),
                (r"wrong: less than 10 % of the disk is free\n", ""),
                (r"\d+ % of the store's disk", "[share] of the store's disk"),
                (r"  containerd .*\n", ""),
                (r"warning: once it runs.*\n", ""),
                (r"in [0-9.]+ s, [0-9.]+ [kMGT]?B/s", "in [time]"),
                (r"after [0-9.]+ s", "after [time]"),
            ],
        }, { insta::assert_snapshot!($name, $told) });
    };
}

#[test]
fn sticks_that_announce_themselves() {
    let appliance = Appliance::with_releases(1..=1);
    fs::create_dir(appliance.path("acme")).unwrap();
    fs::rename(appliance.path(&appliance.bundle(&ACME, 2)), appliance.path("acme/acme-1.2.tar.zst")).unwrap();
    fs::create_dir(appliance.path("notes")).unwrap();
    let offer =
        |stick, device| appliance.told(&["media", "offer", stick, "--device", device, "--label", "SEALIFT"]);
    assert_told!("media_offer", offer("acme", "sda1"));
    assert_told!("media_status", appliance.told(&["status"]));
    assert_told!("media_refused", offer("notes", "sdb1"));
    assert_told!("media_list", appliance.told(&["media", "list"]));
    assert_told!("media_confirm_short", appliance.told(&["media", "confirm", "sda1"]));
    let digest = appliance.store().offers().unwrap().remove(0).digest().unwrap();
    assert_told!("media_confirm", appliance.told(&["media", "confirm", &digest.short()]));
    assert_told!("media_confirm_again", appliance.told(&["media", "confirm", &digest.short()]));
}

#[test]
fn a_first_release() {
    let appliance = Appliance::new();
    ACME.write_root(appliance.dir.path());
    let bundle = appliance.bundle(&ACME, 1);
    assert_told!("no_store", appliance.told(&["status"]));
    assert_told!("pin", appliance.told(&["trust", "pin", "root.json"]));
    assert_told!("pin_again", appliance.told(&["trust", "pin", "root.json"]));
    assert_told!("status_empty", appliance.told(&["status"]));
    assert_told!("import_plan", appliance.told(&["import", &bundle, "--plan"]));
    assert_told!("import", appliance.told(&["import", &bundle]));
    assert_told!("status_staged", appliance.told(&["status"]));
    assert_told!("activate_plan", appliance.told(&["activate", "1.1", "--plan"]));
    assert_told!("activate", appliance.told(&["activate", "1.1"]));
    assert_told!("import_again", appliance.told(&["import", &bundle]));
}

#[test]
fn an_update_and_back() {
    let appliance = Appliance::with_releases(1..=1);
    let bundle = appliance.bundle(&ACME, 2);
    assert_told!("update", appliance.told(&["import", &bundle, "--activate"]));
    assert_told!("status_updated", appliance.told(&["status"]));
    assert_told!("rollback", appliance.told(&["rollback"]));
    assert_told!("rollback_again", appliance.told(&["rollback"]));
    assert_told!("activate_by_sequence", appliance.told(&["activate", "2"]));
    assert_told!("activate_unknown", appliance.told(&["activate", "9"]));
    assert_told!("history", appliance.told(&["history"]));
    assert_told!("history_since", appliance.told(&["history", "--since", "2200-01-01"]));
    assert_told!("history_bad_since", appliance.told(&["history", "--since", "yesterday"]));
    let records: Vec<Record> =
        serde_json::from_slice(&appliance.run(&["history", "--json", "--since=1d"]).stdout).unwrap();
    assert!(records.len() == 7 && records.iter().all(|record| record.by == Some(Actor::current())));
    assert_told!("verify", appliance.told(&["verify"]));
}

#[test]
fn whoever_is_no_node_any_more_leaves_the_cluster() {
    let appliance = Appliance::with_releases(1..=1);
    let (bundle, store) = (appliance.bundle(&ACME, 2), appliance.store());
    let head = "apiVersion: sealift/v1\nkind: Appliance\n";
    let node = format!("{head}cluster: {{node: a, kubeconfig: /k, address: 'https://a:5443'}}\n");
    fs::write(appliance.path("alone.yaml"), head).unwrap();
    fs::write(appliance.path("node.yaml"), node).unwrap();
    let was_a_node_after = |words: &[&str]| {
        let (boot_id, time) = (sealift_store::boot().unwrap(), time::OffsetDateTime::UNIX_EPOCH);
        let agreed = Agreed { releases: Vec::new(), boot_id, time, nodes: Vec::new() };
        store.write_agreed(&agreed).unwrap();
        appliance.done(words);
        store.heard().unwrap().is_some()
    };
    for words in [
        &["--config", "alone.yaml", "resume"][..],
        &["--config", "alone.yaml", "import", &bundle, "--activate"],
        &["--config", "alone.yaml", "rollback"],
        &["--config", "alone.yaml", "activate", "1.2"],
    ] {
        assert!(!was_a_node_after(words), "{words:?}");
    }
    for words in [
        &["--config", "alone.yaml", "rollback", "--plan"][..],
        &["--config", "alone.yaml", "status"],
        &["--config", "node.yaml", "resume"],
        &["--config", "node.yaml", "resume", "--alone"],
        // A new system disk, which nobody has told yet what it is.
        &["resume"],
    ] {
        assert!(was_a_node_after(words), "{words:?}");
    }
}

#[test]
fn steps_on_the_host() {
    let appliance = Appliance::with_releases(1..=1);
    let bundle = appliance.bundle(&ACME, 2);
    appliance.done(&["import", &bundle]);
    let config = "apiVersion: sealift/v1
kind: Appliance
activation:
  preflight: [{name: disk, command: [/bin/sh, -c, 'test -e $SEALIFT_STORE/../room || { echo no room; exit 1; }']}]
  hooks:
    - name: k3s
      command: [/bin/sh, -c, 'echo it does not start; test -e $SEALIFT_STORE/../mended']
      undo: [/bin/true]
      pointOfNoReturn: true
      rollbackWarning: what was written to the cluster since is lost
";
    fs::write(appliance.path("appliance.yaml"), config).unwrap();
    let told = |args: &[&str]| appliance.told(&[&["--config", "appliance.yaml"], args].concat());
    assert_told!("host_plan", told(&["activate", "1.2", "--plan"]));
    assert_told!("host_preflight", told(&["activate", "1.2"]));
    assert_told!("host_status_refused", told(&["status"]));
    fs::write(appliance.path("room"), "").unwrap();
    assert_told!("host_stopped", told(&["activate", "1.2"]));
    assert_told!("host_status_stopped", told(&["status"]));
    assert_told!("host_resume", told(&["resume"]));
    assert_told!("host_rollback", told(&["rollback"]));
    assert_told!("host_rollback_yes", told(&["rollback", "--yes"]));
    fs::write(appliance.path("mended"), "").unwrap();
    assert_told!("host_activate", told(&["activate", "1.2"]));
    assert_told!("host_rollback_plan", told(&["rollback", "--plan"]));
    assert_told!("host_history", told(&["history"]));
}

#[test]
fn what_is_refused() {
    let appliance = Appliance::with_releases(2..=3);
    let before = appliance.store().stamp().unwrap();
    let bundle = appliance.bundle(&ACME, 1);
    assert_told!("import_below", appliance.told(&["import", &bundle]));
    let bundle = appliance.bundle(&ACME, 2);
    assert_told!("import_retained", appliance.told(&["import", &bundle]));
    let other = appliance.bundle_with(&ACME, 2, |statement, _| statement.upgrade_from.clear());
    assert_told!("import_other_content", appliance.told(&["import", &other]));
    let skipping = appliance.bundle(&ACME, 5);
    assert_told!("import_skipping", appliance.told(&["import", &skipping]));
    let foreign = appliance.bundle(&OTHER, 4);
    assert_told!("import_foreign", appliance.told(&["import", &foreign, "--activate"]));
    // Only what is missing here is read, so the damage must lie in new content.
    let new = Offer::new(&ACME, 4, contents(100..103, 100_000)).pack(&ACME, appliance.dir.path());
    flip_a_byte(&new);
    assert_told!("import_damaged", appliance.told(&["import", "acme-1.4.tar.zst", "--activate"]));
    fs::write(appliance.path("notes.txt"), "hello").unwrap();
    assert_told!("import_notes", appliance.told(&["import", "notes.txt"]));
    assert_eq!(appliance.store().stamp().unwrap(), before);
    let refused =
        fs::read_to_string(appliance.path("store/audit.jsonl")).unwrap().matches("\"refused\"").count();
    assert_eq!(refused, 6, "the log has every refusal; the import that found its release here is none");
}

#[test]
fn a_stick_for_every_appliance() {
    let appliance = Appliance::with_releases(1..=1);
    let offers = [1, 2, 3, 5].map(|n| Offer::new(&ACME, n, contents(n..n + 3, 100_000)));
    let [one, two, three, five] = &offers;
    pack(&ACME, &appliance.path("all.tar.zst"), &[one, two, three, five], &[]);
    assert_told!("several_plan", appliance.told(&["import", "all.tar.zst", "--plan", "--activate"]));
    assert_told!("several", appliance.told(&["import", "all.tar.zst"]));
    assert_told!("several_activate", appliance.told(&["import", "all.tar.zst", "--activate"]));
    assert_told!("several_no_further", appliance.told(&["import", "all.tar.zst", "--activate"]));
}

#[test]
fn only_what_is_new() {
    let appliance = Appliance::with_releases(1..=1);
    let offers = [1, 2, 3].map(|n| Offer::new(&ACME, n, contents(n..n + 3, 100_000)));
    let [one, two, three] = &offers;
    fs::create_dir(appliance.path("stick")).unwrap();
    assert_told!("receipt", appliance.told(&["receipt", "-o", "stick"]));
    let receipt = fs::read(appliance.path("stick/acme-1.1.receipt.json")).unwrap();
    assert_eq!(appliance.run(&["receipt"]).stdout.len(), receipt.len());
    pack(&ACME, &appliance.path("acme-1.2.from-1.1.tar.zst"), &[two], &[one]);
    assert_told!("delta_plan", appliance.told(&["import", "acme-1.2.from-1.1.tar.zst", "--plan"]));
    appliance.done(&["import", "acme-1.2.from-1.1.tar.zst", "--activate"]);
    let shared = two.blobs.keys().find(|digest| three.blobs.contains_key(digest)).unwrap();
    fs::remove_file(appliance.store().blob_path(shared)).unwrap();
    pack(&ACME, &appliance.path("acme-1.3.from-1.2.tar.zst"), &[three], &[two]);
    assert_told!("delta_refused", appliance.told(&["import", "acme-1.3.from-1.2.tar.zst"]));
    let fresh = Appliance::pinned();
    pack(&ACME, &fresh.path("acme-1.3.from-1.2.tar.zst"), &[three], &[two]);
    assert_told!("delta_on_a_fresh_one", fresh.told(&["import", "acme-1.3.from-1.2.tar.zst", "--plan"]));
    assert_told!("receipt_of_nothing", fresh.told(&["receipt"]));
}

#[test]
fn a_receipt_for_one_reader() {
    let appliance = Appliance::with_releases(1..=1);
    let config = |receipt: &str| {
        let text = format!("apiVersion: sealift/v1\nkind: Appliance\nreceipt: {{{receipt}}}\n");
        fs::write(appliance.path("appliance.yaml"), text).unwrap();
    };
    config("recipient: age1jf5fwjgmzsr4839efz6ysrvah3zcf6hjpfj462v6wxx0ulucedgqvueafv");
    fs::create_dir(appliance.path("stick")).unwrap();
    let configured = ["--config", "appliance.yaml", "receipt"];
    let receipt = |more: &[&str]| appliance.told(&[&configured, more].concat());
    assert_told!("receipt_encrypted", receipt(&["-o", "stick"]));
    let key = "AGE-SECRET-KEY-1FKPG6CFLMG28A4WSZ74SACKSKNL293VMSKXR05H3P42AAUL2FJMSWJRSGX";
    let open = |sealed: &[u8]| {
        let plain = age::open(&Identity::parse_file(key).unwrap(), sealed).unwrap();
        Receipt::parse("receipt", &plain).unwrap()
    };
    let sealed = fs::read(appliance.path("stick/acme-1.1.receipt.json.age")).unwrap();
    assert_eq!(open(&sealed).releases.len(), 1);
    assert!(sealed.len() < 1000 && !String::from_utf8_lossy(&sealed).contains("acme"));
    // Behind a pipe it is encrypted as well; only who says so gets it plain.
    assert_eq!(open(&appliance.run(&configured).stdout).releases.len(), 1);
    assert!(receipt(&["--plain"]).contains("\"kind\": \"Receipt\""));

    // A key that agrees with every other on zero.
    config("recipient: age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z");
    assert_told!("receipt_not_encrypted", receipt(&["-o", "stick"]));
    config("recipient: age1oops");
    assert_told!("receipt_misconfigured", receipt(&[]));
}

#[test]
fn a_store_without_trust_takes_nothing() {
    let appliance = Appliance::new();
    let bundle = appliance.bundle(&ACME, 1);
    Store::create(&appliance.path("store")).unwrap();
    assert_told!("import_unpinned", appliance.told(&["import", &bundle]));
    assert_told!("status_unpinned", appliance.told(&["status"]));
}

#[test]
fn two_at_once() {
    let appliance = Appliance::pinned();
    let bundle = appliance.bundle(&ACME, 1);
    let _first = appliance.store().lock("sealiftctl import other.tar.zst").unwrap();
    assert_told!("import_busy", appliance.told(&["import", &bundle]));
    appliance.done(&["import", &bundle, "--plan"]);
    assert_told!("status_busy", appliance.told(&["status"]));
}

#[test]
fn damage_in_the_store() {
    let appliance = Appliance::with_releases(1..=2);
    let store = appliance.store();
    let list = store.release(2.try_into().unwrap()).unwrap().blob_list().unwrap();
    let blobs: Vec<_> = list.iter().map(|blob| store.blob_path(&blob.digest)).collect();
    fs::remove_file(&blobs[0]).unwrap();
    flip_a_byte(&blobs[1]);
    assert_told!("verify_damaged", appliance.told(&["verify"]));
    assert_told!("verify_repair", appliance.told(&["verify", "--repair"]));
    assert_told!("import_repairs", appliance.told(&["import", "acme-1.2.tar.zst"]));
    appliance.done(&["verify"]);
    fs::remove_file(&blobs[0]).unwrap();
    assert_told!("verify_repair_from", appliance.told(&["verify", "--repair", "acme-1.2.tar.zst"]));
}

#[test]
fn programs_get_json() {
    let appliance = Appliance::with_releases(1..=1);
    let json = |args: &[&str]| -> serde_json::Value {
        let output = appliance.run(&[&["--json"], args].concat());
        let (out, err) = (output.stdout, output.stderr);
        assert_eq!(output.status.success(), err.is_empty(), "{}", String::from_utf8_lossy(&err));
        serde_json::from_slice(if output.status.success() { &out } else { &err }).unwrap()
    };
    let bundle = appliance.bundle(&ACME, 2);
    assert_eq!(json(&["import", &bundle, "--plan"])["need"]["missingBlobs"], 1);
    let done = json(&["import", &bundle]);
    assert_eq!(
        (&done["state"], &done["outcomes"][0]["release"]["version"]),
        (&"staged".into(), &"1.2".into())
    );
    assert_eq!(done["plan"]["steps"][0]["holds"]["charts"], 1);
    assert_eq!(json(&["activate", "1.2", "--plan"])["phases"][0]["phase"], "serve");
    assert_eq!(json(&["activate", "1.2"])["to"]["version"], "1.2");
    let status = json(&["status"]);
    assert_eq!(
        (&status["active"]["version"], &status["rollback"]["version"]),
        (&"1.2".into(), &"1.1".into())
    );
    let holds = serde_json::json!({
        "images": 1, "charts": 1, "fluxArtifacts": 0, "otherArtifacts": 0, "files": 1, "gitRepositories": 0,
        "attachments": 0,
    });
    assert_eq!(status["releases"][0]["holds"], holds);
    // What cannot be counted is not left out.
    let refs = appliance.path("store/releases/1/refs.json");
    fs::rename(&refs, appliance.path("refs.json")).unwrap();
    let status = json(&["status"]);
    assert_eq!(
        (&status["releases"][1]["version"], &status["releases"][1]["holds"]),
        (&"1.1".into(), &().into())
    );
    assert!(status["problems"].to_string().contains("refs.json"), "{status}");
    fs::rename(appliance.path("refs.json"), &refs).unwrap();
    assert_eq!(json(&["rollback", "--plan"])["to"]["sequence"], 1);
    assert_eq!(json(&["history"]).as_array().unwrap().len(), 5);
    assert_eq!(json(&["verify"])["findings"], serde_json::json!([]));
    assert_eq!(json(&["activate", "9"])["error"]["code"], "SL0503");
}

#[test]
fn an_import_that_is_killed_is_finished_by_the_next() {
    stop_in_the_middle(Signal::KILL, None);
}

#[test]
fn an_import_that_is_stopped_is_finished_by_the_next() {
    stop_in_the_middle(Signal::INT, Some(130));
}

/// Sends a signal to an import once it has made its first blobs durable, and imports again.
fn stop_in_the_middle(signal: Signal, status: Option<i32>) {
    let offer = Offer::new(&ACME, 1, contents(0..2_000, 20_000));
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < DEADLINE, "every import was done before it was stopped");
        let appliance = Appliance::pinned();
        let bundle = offer.pack(&ACME, appliance.dir.path());
        let args = ["import", bundle.to_str().unwrap(), "--activate"];
        let import = appliance.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let ended = stop_at_the_first_blob(import, &appliance.path("store/blobs/sha256"), signal);
        if ended.success() {
            continue;
        }
        assert_eq!(ended.code(), status);
        let store = appliance.store();
        let kept = fs::read_dir(appliance.path("store/blobs/sha256")).unwrap().count();
        assert!(store.releases().unwrap().is_empty());
        let need = store.need(&[&offer.release]).unwrap();
        assert_eq!(need.missing_blobs, offer.blobs.len() - kept, "what has a name is whole");
        assert_told!("status_interrupted", appliance.told(&["status"]));
        appliance.done(&args);
        appliance.done(&["verify"]);
        assert_eq!(fs::read_dir(appliance.path("store/incoming")).unwrap().count(), 0);
        return;
    }
}

fn stop_at_the_first_blob(mut import: Child, blobs: &Path, signal: Signal) -> ExitStatus {
    while fs::read_dir(blobs).unwrap().next().is_none() {
        if let Some(ended) = import.try_wait().unwrap() {
            return ended;
        }
        std::thread::yield_now();
    }
    // It may have ended meanwhile; nobody has waited for it, so its number is still its own.
    rustix::process::kill_process(Pid::from_child(&import), signal).unwrap();
    import.wait().unwrap()
}

/// Changes a byte in the middle of a file.
pub(crate) fn flip_a_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() * 3 / 4;
    bytes[middle] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}
