//! A release with parity: made, damaged, looked at, repaired.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use fs_err as fs;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use tempfile::TempDir;

const DEFINITION: &str = "\
apiVersion: sealift/v1
kind: Release
product: acme
version: 1.0.0
sequence: 1
platforms: all
files:
  - {name: disk.img, path: disk.img}
  - {name: notes.txt, path: notes.txt}
";
const BUNDLE: &str =
    "bundle RELEASE.yaml --trust trust/root.json --release-key trust/release.key --pack-key trust/pack.key";

struct Vendor(TempDir);

impl Vendor {
    fn new() -> Self {
        let vendor = Self(TempDir::new().unwrap());
        let mut state = 7_u64;
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        fs::write(vendor.path("disk.img"), noise.take(1_200_000).flatten().collect::<Vec<u8>>()).unwrap();
        fs::write(vendor.path("notes.txt"), "hello\n").unwrap();
        fs::write(vendor.path("RELEASE.yaml"), DEFINITION).unwrap();
        vendor.run("trust init trust", 0, &[]);
        vendor.run("lock RELEASE.yaml", 0, &[]);
        vendor
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs `sealift`; what it said on standard output.
    fn run(&self, arguments: &str, status: i32, parts: &[&str]) -> String {
        let mut command = Command::cargo_bin("sealift").unwrap();
        command.current_dir(self.0.path()).args(arguments.split(' ')).env("COSIGN_PASSWORD", "secret");
        let output = command.output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        let said = format!("$ sealift {arguments}\n{out}{err}");
        assert_eq!(output.status.code(), Some(status), "{said}");
        for part in parts {
            assert!(said.contains(part), "`{part}` is not said: {said}");
        }
        out
    }

    /// Runs `sealift`; its exit status.
    fn refused(&self, arguments: &str) -> i32 {
        let mut command = Command::cargo_bin("sealift").unwrap();
        let output = command.current_dir(self.0.path()).args(arguments.split(' ')).output().unwrap();
        output.status.code().unwrap()
    }

    fn json(&self, arguments: &str, status: i32) -> Value {
        let told = self.run(&format!("--json {arguments}"), status, &[]);
        UniqueKeys.deserialize(&mut serde_json::Deserializer::from_str(&told)).unwrap();
        serde_json::from_str(&told).unwrap()
    }
}

/// Reads JSON and refuses an object that has a key twice, which most parsers take without a word.
#[derive(Clone, Copy)]
struct UniqueKeys;

impl<'de> DeserializeSeed<'de> for UniqueKeys {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if keys.contains(&key) {
                return Err(A::Error::custom(format!("`{key}` twice")));
            }
            keys.insert(key);
            map.next_value_seed(self)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

fn damage(path: &Path, places: &[usize]) -> Vec<u8> {
    let good = fs::read(path).unwrap();
    let mut bytes = good.clone();
    for &place in places {
        bytes[place] ^= 0x10;
    }
    fs::write(path, bytes).unwrap();
    good
}

#[test]
fn an_archive_is_protected_damaged_and_repaired() {
    let vendor = Vendor::new();
    let plan = vendor.json(&format!("{BUNDLE} -o out --parity 10% --plan"), 0);
    let expected = plan["parityBytes"].as_u64().unwrap();
    vendor.run(&format!("{BUNDLE} -o out --parity 10%"), 0, &["out/acme-1.0.0.p01.par"]);
    let parity = vendor.path("out/acme-1.0.0.p01.par");
    let made = fs::metadata(&parity).unwrap().len();
    assert!(made.abs_diff(expected) < expected / 20, "{made} instead of about {expected}");

    let verify = "verify out/acme-1.0.0.tar.zst --trust trust/root.json";
    vendor.run(verify, 0, &["Good: ", "parity     whole"]);
    let archive = vendor.path("out/acme-1.0.0.tar.zst");
    // In the head, in a frame of the disk, and in the tail.
    let length = usize::try_from(fs::metadata(&archive).unwrap().len()).unwrap();
    let good = damage(&archive, &[700, 3_000_000, length - 3]);
    let parts = [
        "DAMAGED: ",
        "damage     frame 0, bytes 266240 to",
        "it costs ",
        "lost       out/acme-1.0.0.tar.zst, bytes 0 to 4096 (1 piece)",
        "lost       out/acme-1.0.0.tar.zst, bytes 2998272 to 3002368 (1 piece)",
        "repairable yes: sealift repair out/acme-1.0.0.tar.zst --into DIR",
        "error[SL0498]: `out/acme-1.0.0.tar.zst` is damaged, and can be made whole again",
    ];
    vendor.run(verify, 3, &parts);
    let told = vendor.json(verify, 3);
    assert_eq!((&told["whole"], &told["parity"]["repairable"]), (&false.into(), &true.into()), "{told}");
    assert_eq!(told["parity"]["damages"].as_array().unwrap().len(), 3, "{told}");

    // Whatever reads it, reads it as if it were whole.
    vendor.run("export out/acme-1.0.0.tar.zst --format files -o files", 0, &[]);
    assert!(fs::read(vendor.path("files/disk.img")).unwrap() == fs::read(vendor.path("disk.img")).unwrap());

    let repair = "repair out/acme-1.0.0.tar.zst --into repaired --trust trust/root.json";
    vendor.run(&format!("{repair} --plan"), 0, &["To be repaired", "write      repaired/acme-1.0.0.tar.zst"]);
    assert!(!vendor.path("repaired").exists());
    vendor.run(repair, 0, &["Repaired, and verified whole", "3 pieces made again"]);
    assert!(fs::read(vendor.path("repaired/acme-1.0.0.tar.zst")).unwrap() == good);
    assert!(fs::read(&archive).unwrap() != good, "the damaged one is as it was");
    vendor.run(repair, 0, &["Repaired, and verified whole"]);
    fs::create_dir(vendor.path("occupied")).unwrap();
    fs::write(vendor.path("occupied/acme-1.0.0.tar.zst"), "mine").unwrap();
    vendor.run("repair out --into occupied", 2, &["error[SL0166]"]);
    // What is not what the trust root stands for gets no name.
    vendor.run("trust init other-trust", 0, &[]);
    let status = vendor.refused("repair out --into refused --trust other-trust/root.json");
    assert!(status != 0 && fs::read_dir(vendor.path("refused")).unwrap().count() == 0);
    fs::write(&archive, &good).unwrap();
    vendor.run("repair out --into other", 0, &["Good: nothing to repair"]);
    vendor.run("repair repaired --into other", 2, &["error[SL0171]"]);

    damage(&parity, &[200_000]);
    vendor.run(
        verify,
        3,
        &["Good: ", "parity     damaged: out/acme-1.0.0.p01.par, bytes", "error[SL0498]: the parity of"],
    );
    let parts = ["The archive is whole, its parity is damaged", "next: make it again"];
    vendor.run("repair out --into other", 0, &parts);
    fs::write(&parity, "nonsense").unwrap();
    vendor.run(verify, 3, &["Good: ", "damaged at both ends", "error[SL0498]: the parity of"]);
    fs::remove_file(&parity).unwrap();
    vendor.run(verify, 0, &["Good: "]);
}

#[test]
fn beyond_parity_the_answer_says_how_much_is_missing() {
    let vendor = Vendor::new();
    vendor.run(&format!("{BUNDLE} -o out"), 0, &[]);
    let archive = vendor.path("out/acme-1.0.0.tar.zst");
    vendor.run("parity out --plan", 0, &["can lose   41 of 402 pieces of each group"]);
    vendor.run("parity out", 0, &["out/acme-1.0.0.p01.par", "next: keep them with the archive"]);
    let mut bytes = fs::read(&archive).unwrap();
    let good = bytes.clone();
    bytes[2_000_000..4_000_000].fill(0);
    fs::write(&archive, &bytes).unwrap();
    let parts =
        ["repairable no: 2", "group 0 lacks ", "error[SL0170]: more of `out/acme-1.0.0.tar.zst` is lost"];
    vendor.run("verify out/acme-1.0.0.tar.zst --trust trust/root.json", 3, &parts);
    vendor.run(
        "repair out --into repaired",
        3,
        &["LOST", "error[SL0170]", "hint: name the folder of another copy too"],
    );
    assert!(!vendor.path("repaired").exists());
    // Another copy, damaged elsewhere, has what this one lost.
    fs::create_dir(vendor.path("copy")).unwrap();
    bytes.clone_from(&good);
    bytes[5_000_000..8_000_000].fill(0);
    fs::write(vendor.path("copy/acme-1.0.0.tar.zst"), bytes).unwrap();
    vendor.run("repair out copy --into repaired", 0, &["from another copy"]);
    assert!(fs::read(vendor.path("repaired/acme-1.0.0.tar.zst")).unwrap() == good);
    // What is damaged gets no parity.
    vendor.run("parity copy", 3, &["error[SL0415]"]);
}

#[test]
fn a_volume_may_be_lost() {
    let vendor = Vendor::new();
    vendor.run(&format!("{BUNDLE} -o out --volume-size 5M --parity 1"), 0, &["acme-1.0.0.p01.par"]);
    vendor.run("verify out --trust trust/root.json", 0, &["Good: ", "parity     whole"]);
    let second = fs::read(vendor.path("out/acme-1.0.0.002.tar.zst")).unwrap();
    fs::remove_file(vendor.path("out/acme-1.0.0.002.tar.zst")).unwrap();
    let parts =
        ["lost       acme-1.0.0.002.tar.zst is missing", "repairable yes: sealift repair out --into DIR"];
    vendor.run("verify out --trust trust/root.json", 3, &parts);
    vendor.run("join out -o joined.tar.zst", 0, &[]);
    vendor.run("verify joined.tar.zst --trust trust/root.json", 0, &["Good: "]);
    vendor.run("repair out --into repaired --trust trust/root.json", 0, &["acme-1.0.0.002.tar.zst"]);
    assert!(fs::read(vendor.path("repaired/acme-1.0.0.002.tar.zst")).unwrap() == second);
    fs::remove_file(vendor.path("out/acme-1.0.0.001.tar.zst")).unwrap();
    vendor.run(
        "repair out --into again",
        3,
        &["error[SL0170]", "hint: bring what is not at hand too: acme-1.0.0.001"],
    );
    vendor.run("repair out repaired --into again", 0, &["again/acme-1.0.0.001.tar.zst"]);
    vendor.run("split joined.tar.zst -o cut --volume-size 5M --parity 10%", 0, &["cut/joined.p01.par"]);
    vendor.run("split joined.tar.zst -o cut --only 1 --parity 10%", 2, &["--only"]);
    vendor.run("verify cut --trust trust/root.json", 0, &["Good: ", "parity     whole"]);
}

#[test]
fn damage_stays_damage_when_parity_cannot_be_used() {
    let vendor = Vendor::new();
    vendor.run(&format!("{BUNDLE} -o out --volume-size 5M --parity 1"), 0, &[]);
    for entry in fs::read_dir(vendor.path("out")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "par") {
            fs::write(path, vec![0; 100_000]).unwrap();
        }
    }
    let verify = "verify out --trust trust/root.json";
    vendor.run(verify, 3, &["Good: ", "error[SL0498]: the parity of"]);
    let second = vendor.path("out/acme-1.0.0.002.tar.zst");
    damage(&second, &[1_000_000]);
    vendor.run(verify, 3, &["DAMAGED: ", "error[SL0415]"]);
    let told = vendor.json(verify, 3);
    assert!(told["leftOut"].is_object() && told["absent"]["volumes"].is_array(), "{told}");
    fs::remove_file(&second).unwrap();
    vendor.run(verify, 7, &["NOT WHOLE: ", "error[SL0160]"]);
}
