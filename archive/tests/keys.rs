//! Private keys as OpenSSL and cosign write them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use proptest::prelude::*;
use sealift_archive::trust::{KeyForm, PublicKey, SecretKey, Signature};
use sealift_archive::{Error, report};
use tempfile::TempDir;

const PASSWORD: &str = "secret";

/// A folder with one key in all the forms that OpenSSL knows, and some others.
fn made_by_openssl() -> TempDir {
    const COMMANDS: [&str; 16] = [
        "ecparam -name prime256v1 -genkey -out sec1-params",
        "ec -in sec1-params -out sec1",
        "ec -in sec1 -aes256 -passout pass:secret -out sec1-encrypted",
        "ec -in sec1 -pubout -out public",
        "pkcs8 -topk8 -nocrypt -in sec1 -out pkcs8",
        "pkcs8 -topk8 -in sec1 -passout pass:secret -out pbkdf2",
        "pkcs8 -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA512 -in sec1 -passout pass:secret -out pbkdf2-512",
        "pkcs8 -topk8 -scrypt -in sec1 -passout pass:secret -out scrypt",
        "pkcs8 -topk8 -v2prf hmacWithSHA1 -in sec1 -passout pass:secret -out sha1",
        "pkcs8 -topk8 -v1 PBE-SHA1-3DES -in sec1 -passout pass:secret -out pbes1",
        "ec -in sec1 -no_public -out sec1-without-public",
        "pkcs8 -topk8 -nocrypt -in sec1-without-public -out pkcs8-without-public",
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -pass pass:secret -out other",
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384",
        "genpkey -algorithm ED25519 -out ed25519",
        "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa",
    ];
    let dir = TempDir::new().unwrap();
    for command in COMMANDS {
        openssl(dir.path(), command);
    }
    dir
}

fn openssl(dir: &Path, command: &str) {
    let done = Command::new("openssl").current_dir(dir).args(command.split(' ')).output().expect("openssl");
    assert!(done.status.success(), "openssl {command}: {}", String::from_utf8_lossy(&done.stderr));
}

fn open(dir: &Path, name: &str, password: &str) -> Result<SecretKey, Error> {
    SecretKey::from_pem(name, &fs_err::read(dir.join(name)).unwrap(), || Ok(password.as_bytes().to_vec()))
}

#[test]
fn keys_of_openssl_are_opened() {
    let dir = made_by_openssl();
    let public = PublicKey::from_pem("public", &fs_err::read(dir.path().join("public")).unwrap()).unwrap();
    let cases = [
        ("sec1", KeyForm::Sec1),
        ("sec1-params", KeyForm::Sec1),
        ("pkcs8", KeyForm::Pkcs8),
        ("pbkdf2", KeyForm::EncryptedPkcs8),
        ("pbkdf2-512", KeyForm::EncryptedPkcs8),
        ("scrypt", KeyForm::EncryptedPkcs8),
        ("sec1-without-public", KeyForm::Sec1),
        ("pkcs8-without-public", KeyForm::Pkcs8),
    ];
    for (name, form) in cases {
        let pem = fs_err::read(dir.path().join(name)).unwrap();
        assert_eq!(KeyForm::of(&pem), Some(form), "{name}");
        // Nobody is asked for a password that no file needs.
        let ask = || if form.is_encrypted() { Ok(PASSWORD.into()) } else { Err(Error::Interrupted) };
        let key = SecretKey::from_pem(name, &pem, ask).unwrap();
        assert_eq!(*key.public(), public, "{name}");
        Signature::sign(b"document", &key).unwrap();
        if form.is_encrypted() {
            let wrong = open(dir.path(), name, "guess").unwrap_err();
            assert!(matches!(wrong, Error::WrongPassword { .. }), "{name}: {wrong}");
        }
    }
    let other = open(dir.path(), "other", PASSWORD).unwrap();
    assert_ne!(*other.public(), public);
}

#[test]
fn what_is_no_key_of_ours_is_refused_with_the_reason() {
    let dir = made_by_openssl();
    fs_err::write(dir.path().join("text"), "hello").unwrap();
    let whole = fs_err::read_to_string(dir.path().join("pkcs8")).unwrap();
    fs_err::write(dir.path().join("cut"), &whole[..whole.len() / 2]).unwrap();
    fs_err::write(dir.path().join("changed"), whole.replacen("MIG", "MIH", 1)).unwrap();
    let cases = [
        ("text", "no key that we know"),
        ("public", "it is a public key"),
        ("sec1-encrypted", "openssl pkcs8 -topk8"),
        ("sha1", "1.2.840.113549.2.7"),
        ("pbes1", "in a way that we do not know"),
        ("p384", "not an ECDSA P-256 key"),
        ("ed25519", "not an ECDSA P-256 key"),
        ("rsa", "not an ECDSA P-256 key"),
        ("cut", "not a private key"),
        ("changed", "not"),
    ];
    for (name, expected) in cases {
        let said = report(&open(dir.path(), name, PASSWORD).unwrap_err());
        assert!(said.contains("SL0117") && said.contains(expected), "{name}: {said}");
    }
}

#[test]
fn a_password_that_would_take_long_is_not_tried() {
    let dir = TempDir::new().unwrap();
    openssl(dir.path(), "ecparam -name prime256v1 -genkey -noout -out sec1");
    openssl(dir.path(), "pkcs8 -topk8 -iter 10000001 -in sec1 -passout pass:secret -out slow");
    let said = open(dir.path(), "slow", "secret").unwrap_err().to_string();
    assert!(said.contains("stretched more than is reasonable"), "{said}");
}

proptest! {
    #[test]
    fn whatever_a_key_file_holds_it_is_opened_or_refused(at in 0..4096_usize, byte: u8, cut in 0..4096_usize) {
        static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
            let dir = made_by_openssl();
            ["sec1-params", "pkcs8", "public"].map(|name| fs_err::read(dir.path().join(name)).unwrap()).into()
        });
        for file in FILES.iter() {
            let mut pem = file.clone();
            pem[at % file.len()] = byte;
            pem.truncate(file.len() - cut % file.len());
            let opened = SecretKey::from_pem("file", &pem, || Err(Error::Interrupted));
            let read = PublicKey::from_pem("file", &pem);
            prop_assert!(opened.is_err() || read.is_err(), "it is one or the other");
        }
    }
}

#[test]
fn a_key_of_cosign_opens_with_its_password_alone() {
    let (key, pem) = SecretKey::generate(b"secret").unwrap();
    assert_eq!(KeyForm::of(&pem), Some(KeyForm::Cosign));
    let open =
        |password: &[u8]| SecretKey::from_pem("release.key", &pem, || Ok::<_, Error>(password.to_vec()));
    assert_eq!(open(b"secret").unwrap().public(), key.public());
    let wrong = open(b"guess").unwrap_err();
    assert!(matches!(wrong, Error::WrongPassword { .. }), "{wrong}");
}
