//! Bundles of several releases, and bundles that leave out what is there already: made by the program, from folders.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::path::Path;

use assert_cmd::Command;
use fs_err as fs;
use sealift_archive::release::{Held, HeldState, TrustCounters};
use sealift_archive::trust::TrustRoot;
use sealift_archive::{Bundle, Digest, Receipt, Source as _, age};
use serde_json::Value;
use tempfile::TempDir;
use time::OffsetDateTime;

const KEYS: &str = "--trust trust/root.json --release-key trust/release.key --pack-key trust/pack.key";

/// A folder of a vendor with three releases, each of them locked: `1.yaml`, `2.yaml`, `3.yaml`.
struct Vendor(TempDir);

impl Vendor {
    fn new() -> Self {
        let vendor = Self(TempDir::new().unwrap());
        vendor.done("trust init trust");
        for number in 1..=3 {
            vendor.define("acme", number);
        }
        vendor
    }

    /// `PRODUCT 1.N`: a file that all releases have, one that two have in common, one of its own, and a Git folder.
    fn define(&self, product: &str, number: u8) {
        let path = |name: &str| self.0.path().join(name);
        let file = |name: String| {
            let content: Vec<u8> = name.bytes().cycle().take(50_000).collect();
            fs::write(path(&name), content).unwrap();
            format!("- {{name: {name}, path: {name}}}\n")
        };
        let names = ["all".to_owned(), format!("pair-{}.tar", number.div_ceil(2)), format!("own-{number}")];
        let files: String = names.into_iter().map(file).collect();
        fs::create_dir_all(path("gitops")).unwrap();
        fs::write(path("gitops/app.yaml"), "kind: List\n").unwrap();
        let before = number - 1;
        let definition = format!(
            "apiVersion: sealift/v1\nkind: Release\nproduct: {product}\nversion: 1.{number}.0\nsequence: {number}\n\
             platforms: all\nupgradeFrom: [1.{before}.0]\ngit:\n- {{name: fleet, path: gitops}}\nfiles:\n{files}"
        );
        fs::write(path(&format!("{number}.yaml")), definition).unwrap();
        self.done(&format!("lock {number}.yaml"));
    }

    fn run(&self, arguments: &str) -> (bool, String) {
        let mut command = Command::cargo_bin("sealift").unwrap();
        command.current_dir(self.0.path()).args(arguments.split_whitespace());
        command.env("COSIGN_PASSWORD", "secret").env_remove("SOURCE_DATE_EPOCH");
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout) + &text(output.stderr))
    }

    fn done(&self, arguments: &str) -> String {
        let (is_done, said) = self.run(arguments);
        assert!(is_done, "{arguments}: {said}");
        said
    }

    fn refused(&self, arguments: &str) -> String {
        let (is_done, said) = self.run(arguments);
        assert!(!is_done, "{arguments}: {said}");
        said
    }

    fn bundle(&self, number: u8, more: &str) -> String {
        self.done(&format!("bundle {number}.yaml {KEYS} {more}"))
    }

    fn open(&self, bundle: &str) -> Bundle {
        let root = fs::read(self.0.path().join("trust/root.json")).unwrap();
        Bundle::open(&self.0.path().join(bundle), TrustRoot::parse("root.json", &root).unwrap()).unwrap()
    }

    /// What lies behind the head.
    fn data(&self, bundle: &str) -> Vec<u8> {
        fs::read(self.0.path().join(bundle)).unwrap().split_off(256 << 10)
    }
}

fn carried(bundle: &Bundle) -> BTreeSet<Digest> {
    bundle.contents().entries.iter().map(|entry| entry.blob.digest).collect()
}

fn versions(bundle: &Bundle) -> Vec<String> {
    bundle.releases().iter().map(|release| release.statement.version.to_string()).collect()
}

#[test]
fn older_releases_travel_along_as_they_were_signed() {
    let vendor = Vendor::new();
    vendor.bundle(1, "-o out");
    vendor.bundle(2, "-o out");
    // Folder and files of the older ones are gone: their bundles have all that is needed.
    for gone in ["own-1", "own-2", "pair-1.tar"] {
        fs::remove_file(vendor.0.path().join(gone)).unwrap();
    }
    let both = "--with out/acme-1.2.0.tar.zst --with out/acme-1.1.0.tar.zst";
    insta::assert_snapshot!("plan_several", vendor.bundle(3, &format!("{both} -o stick --plan")));
    vendor.bundle(3, &format!("{both} -o stick"));
    let stick = vendor.open("stick/acme-1.3.0.tar.zst");
    assert_eq!(versions(&stick), ["1.1.0", "1.2.0", "1.3.0"]);
    let lists = stick.releases().iter().flat_map(|release| release.blob_list.iter());
    assert_eq!(carried(&stick), lists.map(|blob| blob.digest).collect());
    assert!(vendor.done("verify stick/acme-1.3.0.tar.zst --trust trust/root.json").contains("Good"));
    for number in [1, 2] {
        let alone = vendor.open(&format!("out/acme-1.{number}.0.tar.zst"));
        let (single, joint) = (&alone.releases()[0], &stick.releases()[number - 1]);
        assert!(single.statement_bytes == joint.statement_bytes && single.signatures == joint.signatures);
    }
    for digest in carried(&stick) {
        let alone =
            [1, 2].map(|number| vendor.open(&format!("out/acme-1.{number}.0.tar.zst")).storing(&digest));
        if let Some(kept) = alone.into_iter().flatten().next() {
            assert_eq!(stick.storing(&digest), Some(kept), "{digest} is kept as it was");
        }
    }
    // The order of the command line does not matter, nor whether the older ones come in one bundle or in two.
    vendor.bundle(3, "--with out/acme-1.1.0.tar.zst --with out/acme-1.2.0.tar.zst -o again");
    vendor.bundle(3, "--with stick/acme-1.3.0.tar.zst -o third");
    for again in ["again", "third"] {
        assert!(
            vendor.data(&format!("{again}/acme-1.3.0.tar.zst")) == vendor.data("stick/acme-1.3.0.tar.zst"),
            "{again}"
        );
    }
}

fn receipt(vendor: &Vendor, numbers: &[u8]) -> Receipt {
    let releases = numbers.iter().map(|number| {
        let release = &vendor.open(&format!("out/acme-1.{number}.0.tar.zst")).releases()[0].clone();
        let (version, sequence) = (release.statement.version.clone(), release.statement.sequence);
        Held { version, sequence, statement: release.digest(), state: HeldState::Retained }
    });
    let trust = TrustCounters { root_version: 1, floor: None, installed_sequence: None };
    Receipt::new("acme".parse().unwrap(), releases.collect(), trust, OffsetDateTime::UNIX_EPOCH).unwrap()
}

#[test]
fn what_is_there_already_is_left_out() {
    let vendor = Vendor::new();
    vendor.bundle(1, "-o out");
    vendor.bundle(2, "-o out");
    vendor.done("statement 2.yaml -o statements/2");
    let write = |name: &str, numbers: &[u8]| {
        fs::write(vendor.0.path().join(name), receipt(&vendor, numbers).to_bytes()).unwrap();
    };
    write("two.receipt.json", &[2]);
    write("both.receipt.json", &[1, 2]);
    fs::create_dir(vendor.0.path().join("empty")).unwrap();
    fs::write(vendor.0.path().join("empty/torn.tar.zst"), "no bundle").unwrap();
    let delta = "acme-1.3.0.from-1.2.0.tar.zst";
    let ways = [
        ("bundle", "--base out/acme-1.2.0.tar.zst"),
        ("statement", "--base statements/2"),
        ("receipt", "--base two.receipt.json --known out"),
        ("receipt-of-two", "--base both.receipt.json --known empty --known statements --known out"),
        ("two-bundles", "--base out/acme-1.1.0.tar.zst --base out/acme-1.2.0.tar.zst"),
    ];
    insta::assert_snapshot!("plan_delta", vendor.bundle(3, &format!("{} --plan", ways[0].1)));
    for (out, base) in ways {
        vendor.bundle(3, &format!("{base} -o {out}"));
        let made = vendor.open(&format!("{out}/{delta}"));
        // Release 1 has nothing that 2 has not, so nobody needs it.
        let needs: Vec<String> = made.needs().iter().map(|base| base.name().to_string()).collect();
        assert_eq!(needs, ["acme 1.2.0 (sequence 2)"], "{out}");
        assert_eq!(made.contents().entries.len(), 2, "{out}");
        assert!(vendor.data(&format!("{out}/{delta}")) == vendor.data(&format!("bundle/{delta}")), "{out}");
    }
    let said = vendor.bundle(3, "--base both.receipt.json --known statements --plan");
    assert!(said.contains("unknown    acme 1.1.0 (sequence 1), which the receipt names"), "{said}");

    // What several bases share, the newest of them is needed for; the others only for what else they have.
    vendor.bundle(3, "--with out/acme-1.2.0.tar.zst --base out/acme-1.1.0.tar.zst -o along");
    let joint = vendor.open("along/acme-1.3.0.from-1.1.0.tar.zst");
    assert_eq!((versions(&joint), joint.needs().len()), (vec!["1.2.0".to_owned(), "1.3.0".to_owned()], 1));
    assert_eq!(joint.absent().len(), 3, "two files and the pack of the folder");

    // A base that has nothing of it makes no delta.
    fs::write(vendor.0.path().join("only"), "nobody else has this").unwrap();
    let definition = "apiVersion: sealift/v1\nkind: Release\nproduct: acme\nversion: 2.0.0\nsequence: 20\nplatforms: all\n\
                 files: [{name: only, path: only}]\n";
    fs::write(vendor.0.path().join("8.yaml"), definition).unwrap();
    vendor.done("lock 8.yaml");
    vendor.bundle(8, "--base out/acme-1.2.0.tar.zst -o alone");
    assert!(vendor.open("alone/acme-2.0.0.tar.zst").needs().is_empty());
}

/// Keys as `age-keygen` writes them: one that receipts are for, and another.
const IDENTITY: &str = "AGE-SECRET-KEY-1FKPG6CFLMG28A4WSZ74SACKSKNL293VMSKXR05H3P42AAUL2FJMSWJRSGX\n";
const RECIPIENT: &str = "age1jf5fwjgmzsr4839efz6ysrvah3zcf6hjpfj462v6wxx0ulucedgqvueafv";
const OTHER_IDENTITY: &str = "AGE-SECRET-KEY-1QYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZ9K4CN\n";

#[test]
fn an_encrypted_receipt_is_read_with_its_key_alone() {
    let vendor = Vendor::new();
    vendor.bundle(1, "-o out");
    vendor.bundle(2, "-o out");
    let write = |name: &str, bytes: &[u8]| fs::write(vendor.0.path().join(name), bytes).unwrap();
    let recipient = RECIPIENT.parse().unwrap();
    let plain = receipt(&vendor, &[2]).to_bytes();
    let sealed = age::seal(&recipient, &plain).unwrap();
    write("r.age", &sealed);
    write("cut.age", &sealed[..sealed.len() - 1]);
    write("armored.age", b"-----BEGIN AGE ENCRYPTED FILE-----\n");
    write("large.age", &age::seal(&recipient, &vec![b' '; 20_000]).unwrap());
    write("garbage.age", &age::seal(&recipient, b"garbage").unwrap());
    write("huge.age", &[sealed, vec![0; 200_000]].concat());
    write("key", IDENTITY.as_bytes());
    write("other", OTHER_IDENTITY.as_bytes());
    write("no-key", b"# nothing\n");
    write("notes", b"my password is hunter2\n");

    vendor.bundle(3, "--base r.age --identity key --known out -o new");
    assert_eq!(vendor.open("new/acme-1.3.0.from-1.2.0.tar.zst").needs().len(), 1);
    let cases = [
        ("no key named", "--base r.age", "SL0442", "no key is named"),
        ("no key in it", "--base r.age --identity no-key", "SL0442", "there is no key in it"),
        ("something else", "--base r.age --identity notes", "SL0442", "line 1 is no X25519 key"),
        ("no such file", "--base r.age --identity nowhere", "SL0499", "nowhere"),
        ("another's", "--base r.age --identity other", "SL0470", "encrypted for other keys"),
        ("cut", "--base cut.age --identity key", "SL0470", "its content is damaged"),
        ("armored", "--base armored.age --identity key", "SL0470", "armored"),
        ("huge", "--base huge.age --identity key", "SL0470", "longer than 65536"),
        ("too large a receipt", "--base large.age --identity key", "SL0108", "the limit is 16384"),
        ("no receipt", "--base garbage.age --identity key", "SL0106", "garbage.age"),
    ];
    for (name, more, code, wanted) in cases {
        let said = vendor.refused(&format!("bundle 3.yaml {KEYS} {more} --known out --plan"));
        assert!(said.contains(code) && said.contains(wanted), "{name}: {said}");
        assert!(!said.contains("hunter2"), "{name}: {said}");
    }
}

#[test]
fn releases_that_cannot_be_put_together_are_refused() {
    let vendor = Vendor::new();
    for number in 1..=3 {
        vendor.bundle(number, "-o out");
    }
    vendor.bundle(2, "--base out/acme-1.1.0.tar.zst -o out");
    fs::write(vendor.0.path().join("receipt.json"), receipt(&vendor, &[1, 2]).to_bytes()).unwrap();
    fs::write(vendor.0.path().join("other.json"), "{\"kind\": \"Other\", \"apiVersion\": \"sealift/v1\"}")
        .unwrap();
    fs::create_dir(vendor.0.path().join("empty")).unwrap();
    let bundle = |number: u8| format!("out/acme-1.{number}.0.tar.zst");
    let cases = [
        ("newer", 2, format!("--with {}", bundle(3)), "SL0492"),
        ("a delta alone", 3, "--with out/acme-1.2.0.from-1.1.0.tar.zst".to_owned(), "SL0490"),
        ("a base that travels along", 3, format!("--with {0} --base {0}", bundle(1)), "SL0493"),
        ("itself", 3, format!("--base {}", bundle(3)), "SL0493"),
        ("a receipt of strangers", 3, "--base receipt.json".to_owned(), "SL0493"),
        ("a receipt of strangers, known", 3, "--base receipt.json --known empty".to_owned(), "SL0493"),
        ("no receipt", 3, "--base other.json".to_owned(), "SL0107"),
        ("no bundle", 3, "--base own-1".to_owned(), "SL0110"),
        ("no statement", 3, "--base empty".to_owned(), "SL0499"),
        ("nowhere", 3, "--known nowhere".to_owned(), "SL0499"),
    ];
    for (name, number, more, code) in cases {
        let said = vendor.refused(&format!("--json bundle {number}.yaml {KEYS} {more} --plan"));
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["error"]["code"], code, "{name}: {said}");
    }
    for (name, more) in [
        ("with its base", format!("--with out/acme-1.2.0.from-1.1.0.tar.zst --with {}", bundle(1))),
        ("with content", format!("--with out/acme-1.2.0.from-1.1.0.tar.zst --previous {}", bundle(1))),
        ("to one who has it", format!("--with out/acme-1.2.0.from-1.1.0.tar.zst --base {}", bundle(1))),
    ] {
        let (is_done, said) = vendor.run(&format!("bundle 3.yaml {KEYS} {more} --plan"));
        assert!(is_done, "{name}: {said}");
    }
    insta::assert_snapshot!(
        "delta_alone",
        vendor.refused(&format!("bundle 3.yaml {KEYS} --with out/acme-1.2.0.from-1.1.0.tar.zst"))
    );
    let said = vendor.refused(&format!("bundle 3.yaml {KEYS} --base receipt.json"));
    // What Git packs, and so what a statement says, depends on its version.
    let word = |word: &str| match word.strip_prefix("(sha256:").and_then(|digest| digest.split_once(')')) {
        Some((_, rest)) => format!("[digest]{rest}"),
        None => word.to_owned(),
    };
    let said: Vec<String> = said.split(' ').map(word).collect();
    insta::assert_snapshot!("strangers", said.join(" "));
    vendor.define("other", 3);
    let said = vendor.refused(&format!("bundle 3.yaml {KEYS} --with {} --plan", bundle(2)));
    assert!(said.contains("SL0492") && said.contains("another product"), "{said}");
    let said = vendor.refused(&format!("bundle 3.yaml {KEYS} --base {} --plan", bundle(2)));
    assert!(said.contains("SL0493") && said.contains("another product"), "{said}");
    assert!(!Path::new(&vendor.0.path().join("other-1.3.0.tar.zst")).exists());
}
