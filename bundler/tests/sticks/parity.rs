//! A release with parity: made, damaged, looked at, repaired.

use std::path::Path;

use fs_err as fs;

use crate::vendor::{BUNDLE, Vendor};

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
    let vendor = Vendor::new(9_600_000);
    let plan = vendor.run(&format!("--json {BUNDLE} -o out --parity 10% --plan")).expect(0, &[]).json();
    let expected = plan["parityBytes"].as_u64().unwrap();
    vendor.run(&format!("{BUNDLE} -o out --parity 10%")).expect(0, &["out/acme-1.0.0.p01.par"]);
    let parity = vendor.path("out/acme-1.0.0.p01.par");
    let made = fs::metadata(&parity).unwrap().len();
    assert!(made.abs_diff(expected) < expected / 20, "{made} instead of about {expected}");

    let verify = "verify out/acme-1.0.0.tar.zst --trust trust/root.json";
    vendor.run(verify).expect(0, &["Good: ", "parity     whole"]);
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
    vendor.run(verify).expect(3, &parts);
    let told = vendor.run(&format!("--json {verify}")).expect(3, &[]).json();
    assert_eq!((&told["whole"], &told["parity"]["repairable"]), (&false.into(), &true.into()), "{told}");
    assert_eq!(told["parity"]["damages"].as_array().unwrap().len(), 3, "{told}");

    // Whatever reads it, reads it as if it were whole.
    vendor.run("export out/acme-1.0.0.tar.zst --format files -o files").expect(0, &[]);
    assert!(fs::read(vendor.path("files/disk.img")).unwrap() == fs::read(vendor.path("disk.img")).unwrap());

    let repair = "repair out/acme-1.0.0.tar.zst --into repaired --trust trust/root.json";
    vendor
        .run(&format!("{repair} --plan"))
        .expect(0, &["To be repaired", "write      repaired/acme-1.0.0.tar.zst"]);
    assert!(!vendor.path("repaired").exists());
    vendor.run(repair).expect(0, &["Repaired, and verified whole", "3 pieces made again"]);
    assert!(fs::read(vendor.path("repaired/acme-1.0.0.tar.zst")).unwrap() == good);
    assert!(fs::read(&archive).unwrap() != good, "the damaged one is as it was");
    vendor.run(repair).expect(0, &["Repaired, and verified whole"]);
    fs::create_dir(vendor.path("occupied")).unwrap();
    fs::write(vendor.path("occupied/acme-1.0.0.tar.zst"), "mine").unwrap();
    vendor.run("repair out --into occupied").expect(2, &["error[SL0166]"]);
    // What is not what the trust root stands for gets no name.
    vendor.run("trust init other-trust").expect(0, &[]);
    let status = vendor.run("repair out --into refused --trust other-trust/root.json").status;
    assert!(status != 0 && fs::read_dir(vendor.path("refused")).unwrap().count() == 0);
    fs::write(&archive, &good).unwrap();
    vendor.run("repair out --into other").expect(0, &["Good: nothing to repair"]);
    vendor.run("repair repaired --into other").expect(2, &["error[SL0171]"]);

    damage(&parity, &[200_000]);
    vendor.run(verify).expect(
        3,
        &["Good: ", "parity     damaged: out/acme-1.0.0.p01.par, bytes", "error[SL0498]: the parity of"],
    );
    let parts = ["The archive is whole, its parity is damaged", "next: make it again"];
    vendor.run("repair out --into other").expect(0, &parts);
    fs::write(&parity, "nonsense").unwrap();
    vendor.run(verify).expect(3, &["Good: ", "damaged at both ends", "error[SL0498]: the parity of"]);
    fs::remove_file(&parity).unwrap();
    vendor.run(verify).expect(0, &["Good: "]);
}

#[test]
fn beyond_parity_the_answer_says_how_much_is_missing() {
    let vendor = Vendor::new(9_600_000);
    vendor.run(&format!("{BUNDLE} -o out")).expect(0, &[]);
    let archive = vendor.path("out/acme-1.0.0.tar.zst");
    vendor.run("parity out --plan").expect(0, &["can lose   41 of 402 pieces of each group"]);
    vendor.run("parity out").expect(0, &["out/acme-1.0.0.p01.par", "next: keep them with the archive"]);
    let mut bytes = fs::read(&archive).unwrap();
    let good = bytes.clone();
    bytes[2_000_000..4_000_000].fill(0);
    fs::write(&archive, &bytes).unwrap();
    let parts =
        ["repairable no: 2", "group 0 lacks ", "error[SL0170]: more of `out/acme-1.0.0.tar.zst` is lost"];
    vendor.run("verify out/acme-1.0.0.tar.zst --trust trust/root.json").expect(3, &parts);
    vendor
        .run("repair out --into repaired")
        .expect(3, &["LOST", "error[SL0170]", "hint: name the folder of another copy too"]);
    assert!(!vendor.path("repaired").exists());
    // Another copy, damaged elsewhere, has what this one lost.
    fs::create_dir(vendor.path("copy")).unwrap();
    bytes.clone_from(&good);
    bytes[5_000_000..8_000_000].fill(0);
    fs::write(vendor.path("copy/acme-1.0.0.tar.zst"), bytes).unwrap();
    vendor.run("repair out copy --into repaired").expect(0, &["from another copy"]);
    assert!(fs::read(vendor.path("repaired/acme-1.0.0.tar.zst")).unwrap() == good);
    // What is damaged gets no parity.
    vendor.run("parity copy").expect(3, &["error[SL0415]"]);
}

#[test]
fn a_volume_may_be_lost() {
    let vendor = Vendor::new(9_600_000);
    vendor.run(&format!("{BUNDLE} -o out --volume-size 5M --parity 1")).expect(0, &["acme-1.0.0.p01.par"]);
    vendor.run("verify out --trust trust/root.json").expect(0, &["Good: ", "parity     whole"]);
    let second = fs::read(vendor.path("out/acme-1.0.0.002.tar.zst")).unwrap();
    fs::remove_file(vendor.path("out/acme-1.0.0.002.tar.zst")).unwrap();
    let parts =
        ["lost       acme-1.0.0.002.tar.zst is missing", "repairable yes: sealift repair out --into DIR"];
    vendor.run("verify out --trust trust/root.json").expect(3, &parts);
    vendor.run("join out -o joined.tar.zst").expect(0, &[]);
    vendor.run("verify joined.tar.zst --trust trust/root.json").expect(0, &["Good: "]);
    vendor.run("repair out --into repaired --trust trust/root.json").expect(0, &["acme-1.0.0.002.tar.zst"]);
    assert!(fs::read(vendor.path("repaired/acme-1.0.0.002.tar.zst")).unwrap() == second);
    fs::remove_file(vendor.path("out/acme-1.0.0.001.tar.zst")).unwrap();
    vendor
        .run("repair out --into again")
        .expect(3, &["error[SL0170]", "hint: bring what is not at hand too: acme-1.0.0.001"]);
    vendor.run("repair out repaired --into again").expect(0, &["again/acme-1.0.0.001.tar.zst"]);
    vendor
        .run("split joined.tar.zst -o cut --volume-size 5M --parity 10%")
        .expect(0, &["cut/joined.p01.par"]);
    vendor.run("split joined.tar.zst -o cut --only 1 --parity 10%").expect(2, &["--only"]);
    vendor.run("verify cut --trust trust/root.json").expect(0, &["Good: ", "parity     whole"]);
}

#[test]
fn damage_stays_damage_when_parity_cannot_be_used() {
    let vendor = Vendor::new(9_600_000);
    vendor.run(&format!("{BUNDLE} -o out --volume-size 5M --parity 1")).expect(0, &[]);
    for entry in fs::read_dir(vendor.path("out")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "par") {
            fs::write(path, vec![0; 100_000]).unwrap();
        }
    }
    let verify = "verify out --trust trust/root.json";
    vendor.run(verify).expect(3, &["Good: ", "error[SL0498]: the parity of"]);
    let second = vendor.path("out/acme-1.0.0.002.tar.zst");
    damage(&second, &[1_000_000]);
    vendor.run(verify).expect(3, &["DAMAGED: ", "error[SL0415]"]);
    let told = vendor.run(&format!("--json {verify}")).expect(3, &[]).json();
    assert!(told["leftOut"].is_object() && told["absent"]["volumes"].is_array(), "{told}");
    fs::remove_file(&second).unwrap();
    vendor.run(verify).expect(7, &["NOT WHOLE: ", "error[SL0160]"]);
}
