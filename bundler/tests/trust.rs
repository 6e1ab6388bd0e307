//! Trust roots from the command line: made, rotated, signed by several people, shown; and what has to be signed again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use assert_cmd::Command;
use fs_err as fs;
use sealift_archive::trust::PublicKey;
use serde_json::Value;
use tempfile::TempDir;

/// The people of a vendor.
const PEOPLE: [&str; 6] = ["root-ann", "root-ben", "root-eva", "alice", "bob", "ci"];

/// Signs the digest as it is with the private key beside the public one. Says for whom.
const SIGNER: &str = "\
echo \"asked for $SEALIFT_ROLE\" >&2
perl -e 'print pack \"H*\", shift' \"$1\" | openssl pkeyutl -sign -inkey \"${SEALIFT_PUBLIC_KEY%.pub}.key\"
";

/// A vendor's workplace: everybody's keys, as OpenSSL makes them.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().unwrap());
        for name in PEOPLE {
            place.openssl(&format!("ecparam -name prime256v1 -genkey -noout -out {name}.key"));
            place.openssl(&format!("ec -in {name}.key -pubout -out {name}.pub"));
        }
        fs::write(place.path().join("signer"), SIGNER).unwrap();
        place
    }

    /// With version 1 of a trust root: one of two root keys, `alice` for releases and `ci` for packings.
    fn with_root() -> Self {
        let place = Self::new();
        let keys =
            "--root-key root-ann.key --root-key root-ben.pub --release-key alice.pub --pack-key ci.pub";
        place.run(&format!("trust init trust {keys}"));
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn openssl(&self, command: &str) {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(self.path()).args(command.split(' ')).assert().success();
    }

    /// Runs `sealift`, which has to end with this status; says what it said, with names for keys and no digests.
    fn told(&self, arguments: &str, status: i32) -> String {
        let output = self.sealift().args(words(arguments)).output().unwrap();
        let mut said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "sealift {arguments}\n{said}");
        for name in PEOPLE {
            let pem = fs::read(self.path().join(format!("{name}.pub"))).unwrap();
            let id = PublicKey::from_pem(name, &pem).unwrap().id();
            said = said.replace(&id.to_string(), name).replace(&id.short(), name);
        }
        let digest = regex::Regex::new("([0-9a-f]{4} ){7}[0-9a-f]{4}|\\b[0-9a-f]{12}\\b").unwrap();
        // Which key comes first depends on its name, and that is another one each time.
        let person = PEOPLE.join("|");
        let list = regex::Regex::new(&format!("({person})(, ({person}))+")).unwrap();
        let sorted = |found: &regex::Captures<'_>| {
            let mut names: Vec<&str> = found[0].split(", ").collect();
            names.sort_unstable();
            names.join(", ")
        };
        // How far it came before a key was refused differs, and how long anything took.
        let chance = regex::Regex::new(" after [0-9.]+ s|(?m)^packing: stopped at .*\n").unwrap();
        said = chance.replace_all(&said, "").into_owned();
        list.replace_all(&digest.replace_all(&said, "[digest]"), sorted).into_owned()
    }

    fn run(&self, arguments: &str) -> String {
        self.told(arguments, 0)
    }

    fn json(&self, arguments: &str) -> Value {
        let output = self.sealift().arg("--json").args(words(arguments)).output().unwrap();
        assert!(output.status.success(), "sealift {arguments}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn sealift(&self) -> Command {
        let mut command = Command::cargo_bin("sealift").unwrap();
        command.current_dir(self.path()).env_remove("COSIGN_PASSWORD").env_remove("SOURCE_DATE_EPOCH");
        command
    }

    fn newest(&self) -> u64 {
        let bytes = fs::read(self.path().join("trust/root.json")).unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()["version"].as_u64().unwrap()
    }

    /// Packs a release of nothing but one Git folder.
    fn bundle(&self, sequence: u64, keys: &str) {
        self.lock(sequence);
        self.run(&format!("bundle RELEASE.yaml --trust trust -o out {keys}"));
    }

    fn lock(&self, sequence: u64) {
        fs::create_dir_all(self.path().join("gitops")).unwrap();
        fs::write(self.path().join("gitops/app.yaml"), format!("kind: List # {sequence}\n")).unwrap();
        let definition = format!(
            "apiVersion: sealift/v1\nkind: Release\nproduct: acme\nversion: 1.{sequence}.0\n\
             sequence: {sequence}\nplatforms: all\ngit:\n  - {{name: fleet, path: gitops}}\n"
        );
        fs::write(self.path().join("RELEASE.yaml"), definition).unwrap();
        self.run("lock RELEASE.yaml");
    }
}

/// Words between spaces; `_` stands for one in a word.
fn words(text: &str) -> Vec<String> {
    text.split(' ').map(|word| word.replace('_', " ")).collect()
}

#[test]
fn a_root_key_is_handed_over() {
    let place = Place::with_root();
    let told = [
        place.run("trust rotate trust --add root=root-eva.pub --remove root=root-ann.pub --threshold root=2 --root-key root-ann.key"),
        place.run("trust show trust"),
        place.told("trust rotate trust --add release=bob.pub", 2),
        place.run("sign trust --key root-ben.key"),
        place.told("sign trust --key alice.key", 2),
        place.run("sign trust --key root-eva.pub --signer sh_signer"),
        place.run("trust show trust"),
        place.told("sign trust --key root-eva.key", 2),
    ];
    insta::assert_snapshot!("handed-over", told.join("----\n"));
    assert_eq!(place.newest(), 2);
}

#[test]
fn nothing_counts_before_enough_have_signed() {
    let place = Place::new();
    place.lock(1);
    let init = "trust init trust --root-key root-ann.pub --root-key root-ben.pub --release-key alice.pub --pack-key ci.pub --threshold root=2";
    let told = [
        place.run(init),
        place.told("bundle RELEASE.yaml --trust trust --release-key alice.key --pack-key ci.key", 2),
        place.run("sign trust --key root-ann.key"),
        place.run("trust show trust"),
    ];
    insta::assert_snapshot!("drafted", told.join("----\n"));
    assert!(!place.path().join("trust/root.json").exists());
    // Ben signs a copy at home, and sends the signatures.
    let home = Place(TempDir::new().unwrap());
    let copy = |from: &Path, to: &Path, what: &str| {
        Command::new("cp").arg("-r").arg(from.join(what)).arg(to).assert().success();
    };
    for what in ["trust", "root-ben.key"] {
        copy(place.path(), home.path(), what);
    }
    home.sealift().args(["sign", "trust", "--key", "root-ben.key"]).assert().success();
    copy(&home.path().join("trust"), &place.path().join("trust"), "signatures");
    assert!(place.run("trust show trust").contains("next: sealift sign trust\n"));
    assert!(place.run("sign trust").starts_with("Trust root version 1 counts"));
    assert_eq!(place.newest(), 1);
}

#[test]
fn what_a_revoked_key_has_signed_is_named_and_signed_again() {
    let place = Place::with_root();
    let keys = "--release-key alice.key --pack-key ci.key";
    place.bundle(1, keys);
    place.bundle(2, keys);
    place.run("statement RELEASE.yaml -o statement");
    place.run("sign statement --key alice.key --trust trust");
    place.run(
        "trust rotate trust --add release=bob.pub --root-key root-ann.key --known out --known statement",
    );
    // What lies there twice, as a copy or as volumes, is told once.
    fs::copy(place.path().join("out/acme-1.2.0.tar.zst"), place.path().join("out/copy.tar.zst")).unwrap();
    let revoked = [
        place.run("trust revoke trust alice.pub ci.pub --replace bob.pub --root-key root-ann.key --known out --known statement"),
        place.told("verify out/acme-1.2.0.tar.zst --trust trust", 3),
        place.told(&format!("bundle RELEASE.yaml --trust trust -o again {keys}"), 2),
        place.told("sign statement --key alice.key --trust trust", 2),
    ];
    insta::assert_snapshot!("revoked", revoked.join("----\n"));

    // The same bytes of the same release, with another signature. What the old bundle holds is still good content.
    place.run("export out/acme-1.2.0.tar.zst --format statement -o exported");
    let statement = |folder: &str| fs::read(place.path().join(folder).join("release.json")).unwrap();
    assert_eq!(statement("exported"), statement("statement"));
    place.run("sign exported --key bob.key --trust trust");
    place.run("bundle RELEASE.yaml --trust trust -o again --statement exported --pack-key bob.key --previous out/acme-1.2.0.tar.zst");
    let verified = place.json("verify again/acme-1.2.0.tar.zst --trust trust");
    assert_eq!(verified["trustRoot"], 3);
    assert_eq!(verified["releaseKeys"].as_array().unwrap().len(), 1);
    // Who knows only version 1 follows.
    fs::create_dir(place.path().join("old")).unwrap();
    fs::copy(place.path().join("trust/root/1.json"), place.path().join("old/root.json")).unwrap();
    let verified = place.json("verify again/acme-1.2.0.tar.zst --trust old/root.json");
    assert_eq!(verified["trustRoot"], 3);
    let shown = place.json("trust show again/acme-1.2.0.tar.zst");
    let versions: Vec<u64> =
        shown["versions"].as_array().unwrap().iter().map(|v| v["version"].as_u64().unwrap()).collect();
    assert_eq!((versions, &shown["newest"]), (vec![1, 2, 3], &Value::from(3)));
}

#[test]
fn keys_of_every_form_sign() {
    let place = Place::with_root();
    place.openssl("pkcs8 -topk8 -in alice.key -passout pass:secret -out alice-encrypted.key");
    place.bundle(1, "--release-key alice.pub --pack-key ci.pub --signer sh_signer");
    place.run("statement RELEASE.yaml -o statement");
    let sign = |key: &str, password: Option<&str>| {
        let mut sealift = place.sealift();
        sealift.args(["sign", "statement", "--trust", "trust", "--key", key]);
        sealift.envs(password.map(|password| ("COSIGN_PASSWORD", password)));
        let output = sealift.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(sign("alice.key", None), (0, String::new()));
    assert_eq!(sign("alice-encrypted.key", Some("secret")), (0, String::new()));
    for (key, password, expected) in [
        ("alice-encrypted.key", None, "SL0412"),
        ("alice-encrypted.key", Some("guess"), "SL0116"),
        ("alice.pub", None, "SL0480"),
        ("signer", None, "SL0117"),
    ] {
        let (status, said) = sign(key, password);
        assert!(status == 2 && said.contains(expected), "{key}: {said}");
    }
    let told = [
        place.told("sign statement --key alice.pub --signer false", 1),
        place.told("sign statement --key alice.pub --signer echo_hello", 1),
        place.told("sign statement --key alice.pub --signer /nonexistent/program", 1),
        place.told("sign statement", 2),
    ];
    insta::assert_snapshot!("signers-that-do-not", told.join("----\n"));
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let place = Place::with_root();
    let before = fs::read_dir(place.path().join("trust/root")).unwrap().count();
    let cases = [
        ("trust rotate trust", "SL0485"),
        ("trust rotate trust --add release=alice.pub", "SL0485"),
        ("trust rotate trust --add release=root-ann.pub", "SL0122"),
        ("trust rotate trust --remove pack=ci.pub", "SL0123"),
        ("trust rotate trust --threshold release=2", "SL0123"),
        ("trust rotate trust --remove release=bob.pub", "SL0486"),
        ("trust rotate trust --remove release=0123456789ab", "SL0486"),
        ("trust rotate trust --add release=bob.pub --root-key alice.key", "SL0118"),
        ("trust rotate trust --add release=bob.pub --root-key root-ann.pub", "SL0480"),
        ("trust rotate trust --add release=bob.pub --known trust", "SL0488"),
        ("trust rotate trust --add boss=bob.pub", "cannot be a role"),
        ("trust rotate trust --threshold release=many", "is not a number of keys"),
        ("trust revoke trust bob.pub", "SL0486"),
        ("trust revoke trust alice.pub", "SL0123"),
        ("trust init trust", "SL0411"),
        ("trust init other --root-key root-ann.key --release-key root-ann.pub --pack-key ci.pub", "SL0122"),
        (
            "trust init other --root-key root-ann.key --release-key alice.pub --pack-key ci.pub --threshold pack=2",
            "SL0123",
        ),
        ("sign trust --key root-ann.key", "SL0484"),
    ];
    for (command, expected) in cases {
        let output = place.sealift().args(words(command)).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(expected), "{command}: {said}");
    }
    assert_eq!(fs::read_dir(place.path().join("trust/root")).unwrap().count(), before);
    assert!(!place.path().join("other").exists());
    fs::copy(place.path().join("trust/root/1.json"), place.path().join("trust/root/2.json")).unwrap();
    assert!(place.told("trust show trust", 2).contains("SL0487"));
}
