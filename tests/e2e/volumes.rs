//! A release on three real FAT32 sticks: written by the vendor, write-protected on the way, read by stock tools and by an
//! appliance, one after the other.

use std::path::{Path, PathBuf};
use std::process::Command;

use sealift_lab::vendor::image::noise;
use sealift_tests::trust::ACME;
use sealift_tests::{Appliance, Stick, Vendor, fixture, process, scratch};

/// Most bytes of a volume; the release has three.
const VOLUME_SIZE: &str = "5M";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

#[test]
fn a_release_travels_on_three_fat32_sticks() {
    let vendor = Vendor::new(&ACME);
    vendor.offer("acme/app", "1.0", LAYER, &[1, 2, 3].map(|seed| noise(seed, 4_000_000)));
    vendor.define("1.0.0", 1, &format!("images:\n{}", vendor.image("acme/app:1.0")));
    vendor.lock();
    let archive = vendor.bundle();

    let volumes = write_to_sticks(&vendor, &archive);
    assert_eq!(volumes.len(), 3);
    stock_tools_read_them(&volumes, &archive);

    // From here on the sticks are write-protected, and somebody had them in a Mac.
    let dir = scratch();
    let junk = dir.path().join("._acme-appliance-1.0.0.001.tar.zst");
    fixture::write(&junk, &[0, 5, 22, 7, 0, 2, 0, 0]);
    let sticks: Vec<Stick> = volumes.iter().map(|volume| Stick::with(&[volume.as_path(), &junk])).collect();
    let all: Vec<&Path> = sticks.iter().map(Stick::mount).collect();
    let verify = |places: &[&Path]| {
        let root = vendor.path("trust/root.json");
        process::finish(vendor.sealift().arg("verify").args(places).arg("--trust").arg(root))
    };
    verify(&all).expect(0);
    verify(&all[1..]).expect(7).expect_said(&["SL0160", "volume 1 of 3"]);
    verify(&[all[0], all[2]]).expect(7).expect_said(&["SL0160", "volume 2 of 3", "is macOS's own"]);

    let appliance = Appliance::new(&ACME);
    let import = |stick: &Path| process::finish(appliance.sealiftctl().arg("import").arg(stick));
    import(all[0]).expect(7).expect_said(&["SL0513"]);
    import(all[2]).expect(7).expect_said(&["SL0513", "volume 2 of 3"]);
    assert_eq!(appliance.active(), None);
    // What ends on the last stick goes on there.
    if import(all[1]).code() != Some(0) {
        import(all[2]).expect(0);
    }
    process::run(appliance.sealiftctl().args(["activate", "1.0.0"]));
    appliance.expect_whole();
}

/// Cuts the archive straight onto sticks, each volume onto one of its own, and takes copies of what they hold.
fn write_to_sticks(vendor: &Vendor, archive: &Path) -> Vec<PathBuf> {
    let mut copies = Vec::new();
    for number in ["1", "2", "3"] {
        let stick = Stick::blank(6_000_000);
        let told = process::json(
            vendor
                .sealift()
                .args(["--json", "split", "--volume-size", VOLUME_SIZE, "--only", number])
                .arg(archive)
                .arg("-o")
                .arg(stick.mount()),
        );
        let file = &told["files"][0];
        assert!(file["readBack"] == "direct" || file["readBack"] == "cacheDropped", "{told}");
        let written = Path::new(file["path"].as_str().expect("the path of a volume"));
        let names = fs_err::read_dir(stick.mount()).expect("the files of the stick").count();
        assert_eq!(names, 1, "the volume, and nothing that was on the way to it");
        let copy = vendor.path(written.file_name().expect("a volume has a name"));
        fs_err::copy(written, &copy).expect("a copy of the volume");
        copies.push(copy);
    }
    copies
}

fn stock_tools_read_them(volumes: &[PathBuf], archive: &Path) {
    for volume in volumes {
        process::run(Command::new("zstd").args(["-q", "-t"]).arg(volume));
    }
    let list = |files: &[&Path]| {
        let script = "cat \"$@\" | zstd -dc | tar t";
        process::text(Command::new("sh").args(["-c", script, "sh"]).args(files))
    };
    let files: Vec<&Path> = volumes.iter().map(PathBuf::as_path).collect();
    let listed = list(&files);
    assert!(listed.contains("blobs/sha256/"), "{listed}");
    assert_eq!(listed, list(&[archive]));
}
