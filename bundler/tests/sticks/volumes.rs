//! A release that does not fit on one stick: made in volumes, looked at, damaged, cut otherwise, joined.

use std::path::Path;

use fs_err as fs;

use crate::vendor::{BUNDLE, Vendor};

const VOLUMES: [&str; 3] = ["acme-1.0.0.001.tar.zst", "acme-1.0.0.002.tar.zst", "acme-1.0.0.003.tar.zst"];

#[test]
fn a_release_is_bundled_into_volumes_and_used_like_one_file() {
    let vendor = Vendor::new(12_000_000);
    let plan = vendor.run(&format!("--json {BUNDLE} -o out --volume-size 5M --plan")).expect(0, &[]).json();
    let whole = vendor.run(&format!("--json {BUNDLE} -o out --plan")).expect(0, &[]).json();
    assert!(
        plan["diskBytes"].as_u64().unwrap() > 24_000_000 && whole["diskBytes"].as_u64().unwrap() < 14_000_000
    );
    vendor.run(&format!("{BUNDLE} -o out --volume-size 5M")).expect(0, &["next: sealift verify out --trust"]);
    assert_eq!(vendor.names("out"), VOLUMES, "and nothing else");

    for place in ["out", "out/acme-1.0.0.001.tar.zst", "out/acme-1.0.0.003.tar.zst"] {
        let said = vendor.run(&format!("verify {place} --trust trust/root.json"));
        said.expect(0, &["Good: out/acme-1.0.0", "volumes    3 of 3"]);
        vendor.run(&format!("inspect {place}")).expect(0, &["disk.img"]);
        vendor.run(&format!("sbom {place}")).expect(0, &[]);
        vendor.run(&format!("diff {place} out --no-packages")).expect(0, &["the same"]);
    }
    vendor.run("export out --format files -o files").expect(0, &[]);
    assert_eq!(fs::read(vendor.path("files/disk.img")).unwrap(), fs::read(vendor.path("disk.img")).unwrap());
    fs::remove_file(vendor.path("disk.img")).unwrap();
    vendor.run(&format!("{BUNDLE} -o again --previous out")).expect(0, &[]);
    vendor.run("verify again --trust trust/root.json").expect(0, &["Good: again/acme-1.0.0.tar.zst"]);
}

#[test]
fn what_was_packed_and_not_cut_is_not_packed_again() {
    let vendor = Vendor::new(12_000_000);
    vendor.run(&format!("{BUNDLE} -o out")).expect(0, &[]);
    let archive = fs::read(vendor.path("out/acme-1.0.0.tar.zst")).unwrap();
    vendor.run(&format!("{BUNDLE} -o out --volume-size 1M")).expect(2, &["SL0165"]);
    assert!(fs::read(vendor.path("out/acme-1.0.0.tar.zst")).unwrap() == archive, "and nothing is lost");
    vendor.run(&format!("{BUNDLE} -o out --volume-size 5M")).expect(0, &["was packed before"]);
    assert_eq!(vendor.names("out"), VOLUMES);
    vendor.run("join out -o .").expect(0, &["acme-1.0.0.tar.zst"]);
    assert!(fs::read(vendor.path("acme-1.0.0.tar.zst")).unwrap() == archive);
}

#[test]
fn volumes_are_cut_one_at_a_time_and_joined_from_several_folders() {
    let vendor = Vendor::new(12_000_000);
    vendor.run(&format!("{BUNDLE} -o out")).expect(0, &[]);
    let split = "split out/acme-1.0.0.tar.zst --volume-size 5M --trust trust/root.json";
    vendor.run(&format!("{split} -o all")).expect(0, &["acme-1.0.0.002.tar.zst", "read back  3 files"]);
    let again = vendor.run(&format!("--json {split} -o all")).expect(0, &[]).json();
    assert!(again["files"].as_array().unwrap().iter().all(|file| file["wasThere"] == true), "{again}");
    let how = again["files"][0]["readBack"].as_str().unwrap();
    assert!(["direct", "cacheDropped"].contains(&how), "{how}");
    for number in 1..=3 {
        let (stick, only) = (format!("stick{number}"), format!("{split} -o stick{number} --only {number}"));
        let plan = vendor.run(&format!("--json {only} --plan")).expect(0, &[]).json();
        assert_eq!(plan["files"].as_array().unwrap().len(), 1);
        vendor.run(&only).expect(0, &[]);
        assert_eq!(vendor.names(&stick), [VOLUMES[number - 1]]);
        let all = vendor.path("all").join(VOLUMES[number - 1]);
        assert!(fs::read(vendor.path(&stick).join(VOLUMES[number - 1])).unwrap() == fs::read(all).unwrap());
    }
    let sticks = "stick3 stick1 stick2";
    vendor.run(&format!("verify {sticks} --trust trust/root.json")).expect(0, &["volumes    3 of 3"]);
    vendor.run(&format!("join {sticks} -o joined.tar.zst --plan")).expect(0, &["joined.tar.zst"]);
    vendor.run(&format!("join {sticks} -o joined.tar.zst")).expect(0, &[]);
    let joined = fs::read(vendor.path("joined.tar.zst")).unwrap();
    assert!(joined == fs::read(vendor.path("out/acme-1.0.0.tar.zst")).unwrap());
    vendor.run(&format!("join {sticks} -o joined.tar.zst")).expect(2, &["SL0166"]);
    vendor.run("join stick3 stick1 -o other.tar.zst").expect(7, &["SL0160", "volume 2 of 3"]);
    vendor.run("join stick3 -o other.tar.zst").expect(7, &["SL0160", "volumes 1 and 2 of 3"]);
    vendor
        .run("split all -o twice --only 3-4 --volume-size 5M")
        .expect(2, &["SL0172", "no volume 4", "makes 3"]);
    vendor.run("join all -o new/folder/").expect(0, &["new/folder/acme-1.0.0.tar.zst", "--trust TRUST"]);
    // Without --trust it says whom it believes.
    vendor.run("split all -o twice --volume-size 8M").expect(0, &["note: without --trust"]);
    assert_eq!(vendor.names("twice").len(), 2);
}

#[test]
fn damage_is_told_by_volume() {
    let vendor = Vendor::new(12_000_000);
    vendor.run(&format!("{BUNDLE} -o out --volume-size 5M")).expect(0, &[]);
    let second = vendor.path("out").join(VOLUMES[1]);
    let good = fs::read(&second).unwrap();
    let verify = |json: &str| vendor.run(&format!("{json}verify out --trust trust/root.json"));
    let with = |bytes: &[u8]| fs::write(&second, bytes).unwrap();

    let mut bad = good.clone();
    bad[1000] ^= 1;
    with(&bad);
    let said = verify("").expect(3, &["DAMAGED", "bytes 176 to", "of out/acme-1.0.0.002.tar.zst; it costs"]);
    assert!(said.text.contains("SL0415"), "{}", said.text);
    let found = verify("--json ").expect(3, &[]).json();
    assert_eq!(found["damages"][0]["file"], "out/acme-1.0.0.002.tar.zst");
    assert_eq!(found["damages"][0]["start"], 176);

    with(&good[..good.len() - 1]);
    verify("").expect(3, &["DAMAGED", "but its header says", "of out/acme-1.0.0.002.tar.zst"]);
    assert_eq!(verify("--json ").json()["remarks"][0]["remark"], "cut");

    let mut bad = good.clone();
    bad[50] ^= 1;
    with(&bad);
    verify("").expect(7, &["NOT WHOLE", "a damaged header", "not at hand: 2", "SL0160", "volume 2 of 3"]);

    fs::remove_file(&second).unwrap();
    let said = verify("--json ").expect(7, &[]).json();
    assert_eq!(said["volumes"], serde_json::json!({"count": 3, "missing": [2]}));
    assert_eq!((&said["whole"], &said["absent"]["volumes"]), (&false.into(), &serde_json::json!([2])));
    assert!(said["frames"].as_u64().unwrap() > 0 && said["absent"]["frames"].as_u64().unwrap() > 0);

    with(&good);
    fs::rename(vendor.path("out").join(VOLUMES[0]), vendor.path("first")).unwrap();
    verify("").expect(7, &["SL0160", "volume 1 of 3"]);
    fs::write(vendor.path("out").join(VOLUMES[0]), "").unwrap();
    verify("").expect(7, &["note: `out/acme-1.0.0.001.tar.zst` is a volume with a damaged header", "SL0160"]);
    assert!(Path::new(&vendor.path("out")).is_dir());
}

#[test]
fn what_cannot_end_is_refused_by_the_plan() {
    let vendor = Vendor::new(12_000_000);
    let cut = format!("{BUNDLE} -o out --volume-size 5M --parity 1");
    for plan in ["", " --plan"] {
        vendor.run(&format!("{BUNDLE} -o out --volume-size 1M{plan}")).expect(2, &["SL0165", "is the least"]);
        assert!(!vendor.path("out").exists(), "nothing was begun");
    }
    vendor.run(&cut).expect(0, &[]);
    vendor.run(&cut).expect(0, &["acme-1.0.0.003.tar.zst  ", "was there"]);
    let names = vendor.names("out");
    let other_cut = format!("{BUNDLE} -o out --volume-size 8M");
    vendor.run(&format!("{other_cut} --plan")).expect(2, &["SL0166", "acme-1.0.0.001.tar.zst", "hint: move"]);
    fs::write(vendor.path("notes.txt"), "other\n").unwrap();
    vendor.run("lock RELEASE.yaml").expect(0, &[]);
    vendor.run(&cut).expect(2, &["SL0166", "acme-1.0.0.001.tar.zst", "hint: move"]);
    assert_eq!(vendor.names("out"), names, "nothing was begun");
    for volume in VOLUMES {
        fs::remove_file(vendor.path("out").join(volume)).unwrap();
    }
    vendor.run(&format!("{cut} --plan")).expect(2, &["SL0166", "acme-1.0.0.p01.par"]);
    let whole = format!("{BUNDLE} -o out");
    vendor.run(&format!("{whole} --parity 10%")).expect(2, &["SL0166", "acme-1.0.0.p01.par"]);
    let said = vendor.run(&whole).expect(0, &[]).text;
    assert!(!said.contains("replaces"), "{said}");
    fs::write(vendor.path("notes.txt"), "another\n").unwrap();
    vendor.run("lock RELEASE.yaml").expect(0, &[]);
    vendor.run(&format!("{whole} --plan")).expect(0, &["replaces   what is there"]);
    vendor.run(&whole).expect(0, &["replaces   what is there"]);
    let said = vendor.run(&whole).expect(0, &[]).text;
    assert!(!said.contains("replaces"), "{said}");
}
