//! Archives on media that go bad: parity heals them on the way, or they are refused.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;
use sealift_archive::Unwatched;
use sealift_archive::parity::{Files, Plan};
use sealift_store::{State, Store};
use serde_json::Value;
use tempfile::TempDir;

use crate::vendor::{ACME, Offer, contents};

/// A stick with an archive and 10 % of parity.
struct Stick {
    dir: TempDir,
    archive: PathBuf,
    good: Vec<u8>,
}

impl Stick {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let archive = Offer::new(&ACME, 1, contents(1..4, 600_000)).pack(&ACME, dir.path());
        let plan = Plan::new(Files::find(&archive).unwrap(), "10%".parse().unwrap(), dir.path(), None);
        plan.unwrap().make(&Unwatched).unwrap();
        ACME.write_root(dir.path());
        let good = fs::read(&archive).unwrap();
        Self { dir, archive, good }
    }

    fn damage(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.good.clone();
        change(&mut bytes);
        fs::write(&self.archive, bytes).unwrap();
    }

    /// Runs `sealiftctl` on a store; exit status, standard output and standard error.
    fn run(&self, store: &Path, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("sealiftctl"));
        command.current_dir(self.dir.path()).arg("--store").arg(store).args(args);
        let output = command.env_remove("SEALIFT_STORE").stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// A store that trusts the vendor, and holds nothing.
    fn store(&self, name: &str) -> PathBuf {
        let store = self.dir.path().join(name);
        let (status, ..) = self.run(&store, &["trust", "pin", "root.json"]);
        assert_eq!(status, 0);
        store
    }
}

const ARCHIVE: &str = "acme-1.1.tar.zst";

/// What happens to a stick.
type Change = fn(&mut Vec<u8>);

#[expect(clippy::ptr_arg, reason = "it is one of several changes")]
fn flip_some(bytes: &mut Vec<u8>) {
    for at in [300_000, 900_000, 1_500_000] {
        bytes[at] ^= 8;
    }
}

#[test]
fn damage_within_the_power_of_parity_is_healed_and_staged() {
    let stick = Stick::new();
    let cases: [(&str, Change, usize); 5] = [
        ("a flipped bit in the head", |bytes| bytes[700] ^= 1, 1),
        ("flipped bits in frames", flip_some, 3),
        ("a run of zeros", |bytes| bytes[1_000_000..1_004_096].fill(0), 2),
        ("the end is cut off", |bytes| bytes.truncate(bytes.len() - 50_000), 13),
        ("the beginning is gone", |bytes| bytes[..5000].fill(0), 2),
    ];
    for (name, change, pieces) in cases {
        stick.damage(change);
        let damaged = fs::read(&stick.archive).unwrap();
        let store = stick.store(name);
        let (status, out, err) = stick.run(&store, &["import", ARCHIVE]);
        assert_eq!(status, 0, "{name}: {err}");
        assert!(out.contains("staged"), "{name}: {out}");
        assert!(err.contains("This medium is going bad: `sealiftctl repair`"), "{name}: {err}");
        assert!(fs::read(&stick.archive).unwrap() == damaged, "{name}: the medium is as it was");
        let store = Store::open(&store).unwrap();
        assert!(store.verify(&Unwatched).unwrap().is_whole(), "{name}");
        assert_eq!(*store.release(1.try_into().unwrap()).unwrap().state(), State::Staged, "{name}");

        let store = stick.store(&format!("{name}, for a program"));
        let (_, out, _) = stick.run(&store, &["--json", "import", ARCHIVE]);
        let told: Value = serde_json::from_str(&out).unwrap();
        let healed = told["healed"]["pieces"].as_u64().unwrap();
        assert!(healed.abs_diff(pieces as u64) <= 1, "{name}: {told}");
    }
    stick.damage(|_| ());
    let (_, out, err) = stick.run(&stick.store("whole"), &["--json", "import", ARCHIVE]);
    assert!(!out.contains("healed") && !err.contains("going bad"), "{out}{err}");
}

#[test]
fn damage_beyond_parity_is_refused_and_never_staged() {
    let stick = Stick::new();
    let cases: [(&str, Change); 3] = [
        ("a long run", |bytes| bytes[400_000..1_400_000].fill(0)),
        ("half is cut off", |bytes| bytes.truncate(bytes.len() / 2)),
        ("all but the head", |bytes| bytes[262_144..].fill(0)),
    ];
    for (name, change) in cases {
        stick.damage(change);
        let path = stick.store(name);
        let (status, out, err) = stick.run(&path, &["import", ARCHIVE]);
        assert_eq!(status, 3, "{name}: {out}{err}");
        assert!(err.contains("error[SL0170]") && err.contains(" lacks "), "{name}: {err}");
        let store = Store::open(&path).unwrap();
        let staged =
            store.release(1.try_into().unwrap()).is_ok_and(|release| *release.state() == State::Staged);
        assert!(!staged, "{name}");
        let (status, out, _) = stick.run(&path, &["repair", ARCHIVE, "--into", "repaired"]);
        assert_eq!(status, 3, "{name}");
        assert!(out.contains("LOST") && out.contains("for good"), "{name}: {out}");
    }
}

#[test]
fn a_stick_is_repaired_into_another_folder() {
    let stick = Stick::new();
    let store = stick.store("store");
    stick.damage(|bytes| bytes[500_000..600_000].fill(0));
    let repair = ["repair", ARCHIVE, "--into", "repaired"];
    let (status, out, _) = stick.run(&store, &[&repair[..], &["--plan"]].concat());
    assert!(status == 0 && out.contains("To be repaired"), "{out}");
    let (status, out, err) = stick.run(&store, &repair);
    assert!(status == 0 && out.contains("next: sealiftctl import repaired"), "{out}{err}");
    assert!(fs::read(stick.dir.path().join("repaired").join(ARCHIVE)).unwrap() == stick.good);
    let (status, _, err) = stick.run(&store, &["import", "repaired"]);
    assert_eq!(status, 0, "{err}");
    let (status, _, err) = stick.run(&stick.dir.path().join("none"), &repair);
    assert!(status != 0 && err.contains("error[SL03"), "{err}");
}
