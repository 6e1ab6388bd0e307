//! Keys that others made, and signatures that others check.

use std::path::{Path, PathBuf};
use std::process::Command;

use sealift_tests::process::{self, Running, Signal};
use sealift_tests::{Appliance, Cosign, Side, Vendor, cosign};

use crate::scene::locked;

/// Signs as a hardware module would: the private key lies where only the program finds it.
const SIGNER: &str = "\
printf %s \"$1\" | perl -ne 'print pack \"H*\", $_' | openssl pkeyutl -sign -inkey \"module/$SEALIFT_ROLE.key\"
";

/// A vendor with the small release, locked, whose trust root gives roles to a key of cosign's and to one of OpenSSL's.
fn vendor(of_cosign: &Path) -> Vendor {
    let vendor = locked();
    fs_err::create_dir(vendor.path("module")).expect("a folder");
    fs_err::write(vendor.path("signer"), SIGNER).expect("a script");
    for role in ["release", "pack"] {
        openssl(&vendor, &format!("ecparam -name prime256v1 -genkey -noout -out module/{role}.key"));
        openssl(&vendor, &format!("ec -in module/{role}.key -pubout -out {role}.pub"));
    }
    let mut rotating = vendor.sealift();
    rotating.args(["trust", "rotate", "trust", "--root-key", "trust/root.key", "--threshold", "release=2"]);
    rotating.args(["--remove", "release=trust/release.pub", "--remove", "pack=trust/pack.pub"]);
    rotating.args(["--add", "pack=pack.pub", "--add", "release=release.pub", "--add"]);
    process::run(rotating.arg(format!("release={}", of_cosign.display())));
    vendor
}

fn openssl(vendor: &Vendor, arguments: &str) {
    process::run(Command::new("openssl").current_dir(vendor.path("")).args(arguments.split(' ')));
}

#[test]
fn cosign_and_a_program_sign_and_cosign_checks_both() {
    let cosign = Cosign::new(Side::Vendor);
    let of_cosign = cosign.make_keys();
    let vendor = vendor(&of_cosign);
    process::run(vendor.sealift().args(["statement", "RELEASE.yaml", "-o", "statement"]));
    let mut signing = vendor.sealift();
    signing.args(["sign", "statement", "--trust", "trust", "--key"]).arg(of_cosign.with_extension("key"));
    process::run(signing.env("COSIGN_PASSWORD", cosign::PASSWORD));
    let by_program = ["--key", "release.pub", "--signer", "sh signer"];
    process::run(vendor.sealift().args(["sign", "statement", "--trust", "trust"]).args(by_program));
    let signatures = signatures(&vendor.path("statement"));
    assert_eq!(signatures.len(), 2);
    for signature in &signatures {
        let is_cosigns = signature.to_string_lossy().contains(&key_id(&vendor, &of_cosign));
        let key = if is_cosigns { of_cosign.clone() } else { vendor.path("release.pub") };
        cosign.verify_blob(&key, signature, &vendor.path("statement/release.json"));
    }

    let mut bundling = vendor.sealift();
    bundling.args(["bundle", "RELEASE.yaml", "--trust", "trust", "--statement", "statement", "-o", "out"]);
    let archive = vendor.bundle_by(bundling.args(["--pack-key", "pack.pub", "--signer", "sh signer"]));
    let appliance = Appliance::new(&sealift_tests::trust::ACME);
    appliance.activate(&archive);
    assert_eq!(appliance.active().as_deref(), Some("1.0.0"));
}

#[test]
fn a_program_that_does_not_answer_is_interrupted() {
    let vendor = vendor(&Cosign::new(Side::Vendor).make_keys());
    process::run(vendor.sealift().args(["statement", "RELEASE.yaml", "-o", "statement"]));
    fs_err::write(vendor.path("signer"), "echo $$ > pid.new; mv pid.new pid; exec sleep 600")
        .expect("a script");
    let mut signing = vendor.sealift();
    signing.args(["sign", "statement", "--key", "release.pub", "--signer", "sh signer"]);
    let mut signing = Running::start(&signing);
    signing.watch("the program runs", || vendor.path("pid").is_file());
    signing.signal(Signal::INT);
    signing.end().expect(130).expect_said(&["SL0120"]);
    let pid = fs_err::read_to_string(vendor.path("pid")).expect("its number");
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "the program goes on");
    assert!(!vendor.path("statement/signatures").exists());
}

/// All signatures in a folder.
fn signatures(dir: &Path) -> Vec<PathBuf> {
    let entries = |dir: &Path| -> Vec<PathBuf> {
        fs_err::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
    };
    entries(&dir.join("signatures")).iter().flat_map(|document| entries(document)).collect()
}

/// The name that a key has in the trust root.
fn key_id(vendor: &Vendor, public: &Path) -> String {
    let der = process::run(
        Command::new("openssl")
            .current_dir(vendor.path(""))
            .args(["pkey", "-pubin", "-outform", "DER", "-in"])
            .arg(public),
    );
    sealift_archive::Digest::of(&der).hex()
}
