//! What cannot be read is told, and nothing else is lost by it.

use std::os::unix::fs::FileExt as _;

use sealift_archive::Error as ArchiveError;
use sealift_bundler::Error;
use serde_json::json;

use super::*;

#[test]
fn what_is_wrong_with_an_image_is_a_warning_of_that_image() {
    let status = deb("libssl3", "3.0.15-1", "openssl");
    let good = (TAR, tar(&[("var/lib/dpkg/status", status.as_bytes())]));
    let link = |path: &str, target: &str| {
        let mut builder = ::tar::Builder::new(Vec::new());
        let mut header = ::tar::Header::new_gnu();
        header.set_entry_type(::tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, path, target).unwrap();
        (TAR, builder.into_inner().unwrap())
    };
    let rpm = "var/lib/rpm/rpmdb.sqlite";
    let sqlite =
        zstd::decode_all(&include_bytes!("../../src/sbom/rpm/fixtures/rpmdb.sqlite.zst")[..]).unwrap();
    let logged = tar(&[(rpm, &sqlite), ("var/lib/rpm/rpmdb.sqlite-wal", b"log")]);
    let cases = [
        ("good", vec![good.clone()], None),
        ("an empty log", vec![(TAR, tar(&[(rpm, &sqlite), ("var/lib/rpm/rpmdb.sqlite-wal", b"")]))], None),
        ("no-tar", vec![good.clone(), (TAR, b"no tar".repeat(200))], Some("cannot be read")),
        ("cut", vec![good.clone(), (TAR, good.1[..600].to_vec())], Some("middle of a file")),
        ("no-database", vec![good.clone(), (TAR, tar(&[(rpm, b"nonsense")]))], Some("no SQLite database")),
        ("a-log", vec![good.clone(), (TAR, logged)], Some("not in the database")),
        ("elsewhere", vec![good.clone(), link("var/lib/rpm", "/opt/rpm")], Some("is a link to `opt/rpm`")),
        ("round", vec![good.clone(), link("var/lib/rpm", "rpm")], Some("links go round")),
    ];
    let mut draft = Draft::default();
    for (name, layers, _) in &cases {
        let image = draft.image("linux/amd64", layers);
        draft.name(&format!("ghcr.io/acme/{}:1", name.replace(' ', "-")), image);
    }
    let bill = bill(&draft.pack());
    for (name, _, expected) in cases {
        let image = image(&bill, &format!("ghcr.io/acme/{}:1", name.replace(' ', "-")), "linux/amd64");
        let warnings = image.warnings.join("\n");
        match expected {
            None => assert!(warnings.is_empty(), "{name}: {warnings}"),
            Some(part) => assert!(image.warnings.len() == 1 && warnings.contains(part), "{name}: {warnings}"),
        }
        assert!(!image.packages.is_empty(), "{name}: what can be read is read");
        assert_eq!(image.is_uncertain(), expected.is_some(), "{name}");
    }
}

#[test]
fn what_is_not_carried_or_no_manifest_is_told() {
    let mut draft = Draft::default();
    let config = draft.blob(r#"{"os":"linux","architecture":"amd64"}"#);
    let layer = |digest: &str| json!({"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "digest": digest, "size": 1});
    let gone = "0".repeat(64);
    let image = draft.manifest(&json!({
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "digest": config.digest,
            "size": config.size,
        },
        "layers": [layer(&format!("sha256:{gone}")), layer("md5:\u{1b}[2J")],
    }));
    draft.name("mcr.example.com/windows:1", image);
    let broken = draft.manifest(&json!([1]));
    draft.name("ghcr.io/acme/broken:1", broken);
    let bill = bill(&draft.pack());
    let windows = self::image(&bill, "mcr.example.com/windows:1", "linux/amd64");
    assert_eq!(
        windows.warnings,
        [
            format!("layer `sha256:{gone}` is not carried"),
            "layer `md5:\u{fffd}[2J` is not carried".to_owned()
        ]
    );
    let broken = bill.images.iter().find(|image| image.digest == broken).unwrap();
    assert_eq!(broken.warnings, ["its manifest cannot be read"]);
}

#[test]
fn an_image_of_unknown_types_is_kept_and_what_is_known_of_it_is_read() {
    let known = tar(&[("var/lib/dpkg/status", deb("libssl3", "3.0.15-1", "openssl").as_bytes())]);
    let mut draft = Draft::default();
    let lazy = draft.image("linux/amd64", &[(TAR, known.clone()), ("application/x-lazy", b"toc".to_vec())]);
    draft.name("ghcr.io/acme/lazy:1", lazy);
    let odd = draft.artifact("application/vnd.acme.config", TAR, &known);
    draft.name("ghcr.io/acme/odd:1", odd);
    let bill = bill(&draft.pack());
    for (digest, expected) in [
        (lazy, "it is `application/x-lazy`, which is not an image's"),
        (odd, "its configuration is `application/vnd.acme.config`, which is not an image's"),
    ] {
        let image = bill.images.iter().find(|image| image.digest == digest).unwrap();
        assert_eq!(packages(image), ["libssl3 3.0.15-1 1 0"], "{expected}");
        assert!(image.warnings.len() == 1 && image.warnings[0].contains(expected), "{:?}", image.warnings);
    }
    assert!(bill.others.is_empty(), "{:?}", bill.others);
}

#[test]
fn damage_of_the_archive_is_no_warning() {
    let made = everything().pack();
    let bundle = made.open();
    let length = bundle.packing().length;
    let plan = Plan::of(&bundle, None).unwrap();
    let file = fs_err::OpenOptions::new().write(true).open(&made.path).unwrap();
    file.file().write_all_at(b"damage", bundle.packing().data_offset + 2000).unwrap();
    assert!(length > bundle.packing().data_offset + 3000);
    let error = plan.read(&Unwatched).unwrap_err();
    assert!(matches!(error, Error::Archive(ArchiveError::Damaged { .. })), "{error}");
}

#[test]
fn whoever_asks_to_stop_is_heard() {
    struct Stop;

    impl sealift_archive::Progress for Stop {
        fn advance(&self, _: u64) {}

        fn is_interrupted(&self) -> bool {
            true
        }
    }

    let made = everything().pack();
    let bundle = made.open();
    let error = Plan::of(&bundle, None).unwrap().read(&Stop).unwrap_err();
    assert!(matches!(error, Error::Archive(ArchiveError::Interrupted)), "{error}");
}
