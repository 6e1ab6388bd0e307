//! `sealift ova`: what is in the file, what is said, and what is left when it goes wrong.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Read as _;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use fs_err as fs;
use sealift_archive::Digest;
use tempfile::TempDir;

const MIB: usize = 1 << 20;

/// A folder with `disk.raw`: 3 MiB that begin with a boot sector, hold something, and are zero at their end.
fn project() -> TempDir {
    let dir = TempDir::new().unwrap();
    let mut disk: Vec<u8> = (0..2 * MIB).map(|n| u8::try_from(n * n / 77 % 251).unwrap()).collect();
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk.resize(3 * MIB, 0);
    fs::write(dir.path().join("disk.raw"), disk).unwrap();
    dir
}

fn ova(dir: &Path, arguments: &[&str], threads: &str) -> Output {
    let mut command = Command::cargo_bin("sealift").unwrap();
    command.current_dir(dir).env_remove("SOURCE_DATE_EPOCH").env("RAYON_NUM_THREADS", threads);
    command.arg("ova").args(arguments).output().unwrap()
}

fn done(dir: &Path, arguments: &[&str]) -> Output {
    let output = ova(dir, arguments, "2");
    assert!(output.status.success(), "{output:?}");
    output
}

/// The members of an OVA, in their order.
fn members(file: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(fs::File::open(file).unwrap());
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        let kept =
            (header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap());
        assert_eq!((header.as_ustar().is_some(), kept), (true, (0o644, 0, 0, 0)));
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        found.push((name, content));
    }
    found
}

#[test]
fn the_parts_are_in_order_and_vouched_for() {
    let dir = project();
    done(dir.path(), &["disk.raw", "-o", "acme.ova", "--data-disk", "10GiB"]);
    let members = members(&dir.path().join("acme.ova"));
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["acme.ovf", "acme.mf", "acme-disk1.vmdk", "acme-disk2.vmdk"]);
    let ovf = String::from_utf8(members[0].1.clone()).unwrap();
    let line =
        |(name, content): &(String, Vec<u8>)| format!("SHA256({name})= {}\n", Digest::of(content).hex());
    let manifest: String = [&members[0], &members[2], &members[3]].into_iter().map(line).collect();
    assert_eq!(String::from_utf8(members[1].1.clone()).unwrap(), manifest);
    for (number, capacity) in [(1, 3 * MIB), (2, 10 << 30)] {
        let size = members[number + 1].1.len();
        let name = &members[number + 1].0;
        let file = format!("ovf:href=\"{name}\" ovf:id=\"file{number}\" ovf:size=\"{size}\"");
        assert!(ovf.contains(&file), "{ovf}");
        assert!(
            ovf.contains(&format!("ovf:capacity=\"{capacity}\" ovf:capacityAllocationUnits=\"byte\"")),
            "{ovf}"
        );
    }
    assert!(ovf.contains(&format!("ovf:populatedSize=\"{}\"", 2 * MIB)), "{ovf}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else is left");
}

#[test]
fn the_same_disk_makes_the_same_bytes() {
    let dir = project();
    let made = |arguments: &[&str], threads| {
        let target = dir.path().join("acme.ova");
        let output = ova(dir.path(), &[&["disk.raw", "-o", "acme.ova"], arguments].concat(), threads);
        assert!(output.status.success(), "{output:?}");
        let bytes = fs::read(&target).unwrap();
        fs::remove_file(target).unwrap();
        bytes
    };
    let one = made(&[], "1");
    assert!(one == made(&[], "2") && one == made(&[], "5"));
    assert!(one != made(&["--level", "1"], "2"));
    // What a run left behind that was killed is no hindrance.
    fs::write(dir.path().join("acme.ova.partial"), vec![0xff; 9 * MIB]).unwrap();
    assert!(one == made(&[], "2"));
}

#[test]
fn what_is_asked_and_offered_stands_in_the_descriptor() {
    let dir = project();
    fs::write(dir.path().join("EULA.txt"), "You & we").unwrap();
    let options = [
        "disk.raw",
        "-o",
        "./",
        "--name",
        "acme",
        "--product",
        "ACME <1>",
        "--vendor",
        "A&B",
        "--product-version",
        "1.5.0",
        "--eula",
        "EULA.txt",
        "--annotation",
        "Hello",
        "--cpus",
        "6",
        "--memory",
        "12GiB",
        "--firmware",
        "bios",
        "--hardware",
        "20",
        "--network",
        "LAN",
        "--property",
        "role=single",
        "--property",
        "network-dns=10.0.0.1,10.0.0.2",
    ];
    let told = String::from_utf8(done(dir.path(), &options).stdout).unwrap();
    assert!(told.starts_with("Made ./acme.ova\n"), "{told}");
    let ovf = String::from_utf8(members(&dir.path().join("acme.ova"))[0].1.clone()).unwrap();
    for expected in [
        "<Product>ACME &lt;1&gt;</Product>",
        "<Vendor>A&amp;B</Vendor>",
        "<Version>1.5.0</Version>",
        "<License>You &amp; we</License>",
        "<Annotation>Hello</Annotation>",
        "<rasd:VirtualQuantity>6<",
        "<rasd:VirtualQuantity>12288<",
        "vmw:key=\"firmware\" vmw:value=\"bios\"",
        "<vssd:VirtualSystemType>vmx-20<",
        "<Network ovf:name=\"LAN\">",
        "<rasd:Connection>LAN<",
        "ovf:key=\"role\" ovf:type=\"string\" ovf:userConfigurable=\"true\" ovf:value=\"single\"",
        "ovf:value=\"10.0.0.1,10.0.0.2\"",
    ] {
        assert!(ovf.contains(expected), "{expected}\n{ovf}");
    }
}

#[test]
fn a_plan_writes_nothing() {
    let dir = project();
    let output = done(dir.path(), &["disk.raw", "-o", "acme.ova", "--data-disk", "1GiB", "--plan", "--json"]);
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["disks"][0]["capacityBytes"], 3 * MIB);
    assert_eq!(plan["disks"][1]["readBytes"], 0);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_goes_wrong_is_said_and_leaves_nothing() {
    let dir = project();
    let put = |name: &str, content: &[u8]| fs::write(dir.path().join(name), content).unwrap();
    put("there.ova", b"mine");
    put("disk.vmdk", b"KDMV");
    put("zero.raw", &vec![0; MIB]);
    put("cut.qcow2", b"QFI\xfb\0\0\0\x03");
    let mut odd = fs::read(dir.path().join("disk.raw")).unwrap();
    odd.push(0);
    put("odd.raw", &odd);
    put("latin.txt", b"\xe4");
    let before = fs::read_dir(dir.path()).unwrap().count();
    let cases: [(&[&str], &str, i32); 15] = [
        (&["disk.raw", "-o", "there.ova"], "SL0166", 2),
        (&["missing.raw", "-o", "a.ova"], "SL0499", 1),
        (&["disk.vmdk", "-o", "a.ova"], "SL0700", 2),
        (&["zero.raw", "-o", "a.ova"], "SL0701", 2),
        (&["odd.raw", "-o", "a.ova"], "SL0702", 2),
        (&["disk.raw", "-o", "a.ova", "--data-disk", "1000"], "SL0702", 2),
        (&["disk.raw", "-o", "a.ova", "--data-disk", "63TiB"], "SL0703", 2),
        (&["cut.qcow2", "-o", "a.ova"], "SL0704", 3),
        (&["disk.raw", "-o", "a.ova", "--name", "../a"], "SL0707", 2),
        (&["disk.raw", "-o", "a.ova", "--eula", "latin.txt"], "SL0708", 2),
        (&["disk.raw", "-o", "a.ova", "--property", "host-name=a"], "hint: did you mean `hostname`?", 2),
        (&["disk.raw", "-o", "a.ova", "--property", "role=master"], "SL0710", 2),
        (&["disk.raw", "-o", "a.ova", "--cpus", "0"], "SL0711", 2),
        (&["disk.raw", "-o", "a.ova", "--firmware", "bios", "--secure-boot"], "SL0711", 2),
        (&["disk.raw", "-o", "missing/a.ova"], "SL0499", 1),
    ];
    for (arguments, expected, status) in cases {
        let output = ova(dir.path(), arguments, "2");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before);
    assert_eq!(fs::read(dir.path().join("there.ova")).unwrap(), b"mine");
}
