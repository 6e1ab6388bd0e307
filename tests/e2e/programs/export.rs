//! Out of the archive again: looked at, exported for the tools of others, and packed anew.

use std::process::Command;

use sealift_lab::vendor::Image;
use sealift_lab::vendor::image::{File, Layer, noise};
use sealift_tests::trust::{ACME, OTHER};
use sealift_tests::vendor::{HOST, behind_head};
use sealift_tests::{Layout, Vendor, layout, peers, process};

const IMAGE: &str = "acme/app:1.0";

/// A vendor with a release of one image and a folder for Git, and the image.
fn vendor() -> (Vendor, Image) {
    let vendor = Vendor::new(&ACME);
    let layer = Layer::of(&[File::plain("data", noise(1, 100_000))]).expect("a layer");
    let image = Image::new("linux/amd64", &[layer], &["/app"]);
    vendor.registry().add_image("acme/app", "1.0", &image).expect("room in memory");
    sealift_tests::fixture::write_git_folder(&vendor.path("gitops"));
    define(&vendor, &vendor.image(IMAGE));
    vendor.lock();
    (vendor, image)
}

fn define(vendor: &Vendor, image: &str) {
    vendor.define("1.0.0", 1, &format!("git:\n- {{name: fleet, path: gitops}}\nimages:\n{image}"));
}

#[test]
fn other_tools_read_what_is_exported() {
    let (vendor, image) = vendor();
    let archive = vendor.bundle();
    let export = |trust: &[&str]| {
        let mut command = vendor.sealift();
        command.args(["export", "--format", "oci-layout", "-o", "layout"]).args(trust).arg(&archive);
        command
    };
    OTHER.write_root(&vendor.path("other"));
    process::finish(&export(&["--trust", "other/root.json"])).expect(3);
    assert!(!vendor.path("layout").exists(), "an archive of another vendor was exported");
    process::run(&mut export(&["--trust", "trust/root.json"]));

    let exported = Layout::new(vendor.path("layout"));
    let name = format!("{HOST}/{IMAGE}");
    assert_eq!(exported.digest(&name), image.digest().to_string());
    for blob in image.blobs() {
        assert!(exported.blob(&layout::digest(blob)) == *blob);
    }

    let mut skopeo = Command::new(peers::tool("skopeo"));
    let raw = process::run(
        skopeo.args(["inspect", "--raw"]).arg(format!("oci:{}:{name}", exported.dir().display())),
    );
    assert!(raw == *image.manifest(), "skopeo reads another manifest");

    let copy = vendor.registry().name("copy/app:1.0");
    let crane = || Command::new(peers::tool("crane"));
    process::run(crane().args(["push", "--insecure"]).arg(exported.dir()).arg(&copy));
    let digest = process::text(crane().args(["digest", "--insecure", &copy]));
    assert_eq!(digest.trim(), image.digest().to_string(), "crane pushed another image");
    process::run(crane().args(["validate", "--insecure", "--remote", &copy]));
}

#[test]
fn the_same_release_has_the_same_bytes_whatever_its_images_come_from() {
    let (vendor, _) = vendor();
    let from_registry = vendor.bundle();
    process::run(vendor.sealift().args(["export", "-o", "layout"]).arg(&from_registry));
    let first = behind_head(&from_registry);

    define(&vendor, &format!("- {{ociLayout: layout, name: '{HOST}/{IMAGE}'}}\n"));
    vendor.lock();
    vendor.registry().forget();
    assert!(behind_head(&vendor.bundle()) == first, "from a layout");
    assert!(vendor.registry().seen().is_empty(), "a layout needs no registry");

    // One core packs what two do.
    assert!(
        behind_head(&vendor.bundle_by(vendor.bundling().env("RAYON_NUM_THREADS", "1"))) == first,
        "on one core"
    );
    assert!(
        behind_head(&vendor.bundle_by(vendor.bundling().env("RAYON_NUM_THREADS", "3"))) == first,
        "on three cores"
    );

    // The date of Git commits is locked, so it is the one thing that may change them.
    let lock_at = |epoch: &str| {
        process::run(vendor.sealift().args(["lock", "RELEASE.yaml"]).env("SOURCE_DATE_EPOCH", epoch));
        behind_head(&vendor.bundle())
    };
    assert!(lock_at("0") == first, "0 is what it is without it");
    let dated = lock_at("1700000000");
    assert!(dated != first, "the date is in the commit");
    assert!(lock_at("1700000000") == dated, "the same date, the same bytes");
}

#[test]
fn looking_needs_no_trust_but_says_so() {
    let (vendor, image) = vendor();
    let archive = vendor.bundle();
    OTHER.write_root(&vendor.path("other"));
    let inspect = |trust: &[&str]| {
        let mut command = vendor.sealift();
        command.args(["inspect", "out/acme-appliance-1.0.0.tar.zst"]).args(trust);
        process::finish(&command)
    };
    let believed = inspect(&[]).expect(0);
    believed
        .expect_said(&["without --trust, nothing says that this archive is from whom it claims to be from"]);
    let checked = inspect(&["--trust", "trust/root.json"]).expect(0);
    assert_eq!((checked.stdout(), checked.stderr().as_str()), (believed.stdout(), ""));
    inspect(&["--trust", "other/root.json"]).expect(3).expect_said(&["comes from another vendor"]);

    for (trust, trusted) in [(&[][..], false), (&["--trust", "trust/root.json"][..], true)] {
        let told = process::json(vendor.sealift().args(["inspect", "--json"]).args(trust).arg(&archive));
        assert_eq!(told["trusted"], trusted);
        let release = &told["releases"][0];
        assert_eq!(release["statement"]["version"], "1.0.0");
        let name = format!("{HOST}/{IMAGE}");
        assert_eq!(release["refs"]["images"][name]["digest"], image.digest().to_string());
    }
}

#[test]
fn what_an_earlier_archive_holds_is_not_asked_for() {
    let (vendor, image) = vendor();
    let first = vendor.bundle();
    let bundle_after = |version: &str, sequence, images: &str| {
        vendor.define(
            version,
            sequence,
            &format!("git:\n- {{name: fleet, path: gitops}}\nimages:\n{images}"),
        );
        vendor.lock();
        vendor.registry().forget();
        vendor.bundle_by(vendor.bundling().arg("--previous").arg(&first))
    };
    let same = bundle_after("1.0.1", 2, &vendor.image(IMAGE));
    assert!(vendor.registry().seen().is_empty(), "nothing is new: {:?}", vendor.registry().seen());
    process::run(vendor.sealift().args(["verify", "--trust", "trust/root.json"]).arg(&same));

    let layer = Layer::of(&[File::plain("more", noise(2, 1000))]).expect("a layer");
    let shared = image.blobs()[1].clone();
    let more =
        vendor.offer("acme/more", "1.0", crate::scene::GZIP, &[shared.to_vec(), layer.bytes().to_vec()]);
    let next = bundle_after("1.0.2", 3, &(vendor.image(IMAGE) + &vendor.image("acme/more:1.0")));
    let new = more.into_iter().filter(|digest| *digest != layout::digest(&shared)).collect();
    assert_eq!(vendor.fetched(), new, "what is new and nothing else");
    process::run(vendor.sealift().args(["verify", "--trust", "trust/root.json"]).arg(&next));
}
