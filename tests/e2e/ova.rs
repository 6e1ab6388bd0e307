//! Appliances for vSphere, as programs of others read them: QEMU the disks, tar and sha256sum the parts, and govc the whole,
//! into the simulator of a vCenter, for there is no real one here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use sealift_tests::process::{self, Daemon, Running, Signal};
use sealift_tests::{SmallDisk, Tree, binaries, peers, scratch};
use serde_json::Value;

const MIB: usize = 1 << 20;

/// A raw disk with a boot sector, noise, text, and long stretches of nothing.
fn disk(dir: &Path, bytes: usize) -> PathBuf {
    let mut random = fastrand::Rng::with_seed(7);
    let mut disk = vec![0; bytes];
    random.fill(&mut disk[..MIB]);
    for (n, byte) in disk[bytes / 2..bytes / 2 + 2 * MIB].iter_mut().enumerate() {
        *byte = b"what is written again and again "[n % 32];
    }
    // Little islands, some of them across the edges of grains, tables and clusters.
    for _ in 0..40 {
        let at = random.usize(MIB..bytes - 4096);
        let length = random.usize(1..4096);
        random.fill(&mut disk[at..at + length]);
    }
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let path = dir.join("disk.raw");
    fs_err::write(&path, disk).expect("a disk");
    path
}

fn ova(image: &Path, target: &Path) -> Command {
    let mut command = Command::new(binaries::path("sealift"));
    command.env_remove("SOURCE_DATE_EPOCH").arg("ova").arg(image).arg("-o").arg(target);
    command
}

fn qemu_img(arguments: &[&str]) -> Command {
    let mut command = Command::new(peers::tool("qemu-img"));
    command.args(arguments);
    command
}

/// Unpacks an OVA by tar, and returns the names of its members in their order.
fn unpack(ova: &Path, into: &Path) -> Vec<String> {
    let told = process::text(Command::new("tar").arg("-xvf").arg(ova).arg("-C").arg(into));
    told.lines().map(str::to_owned).collect()
}

/// QEMU finds nothing wrong with a disk, and the same content as in its source, and as much of it.
fn compare(vmdk: &Path, source: &Path) {
    process::run(qemu_img(&["check", "-q", "-f", "vmdk"]).arg(vmdk));
    let compared = process::text(qemu_img(&["compare", "-f", "vmdk"]).arg(vmdk).arg(source));
    assert_eq!(compared.trim(), "Images are identical.");
    let size =
        |image: &Path| process::json(qemu_img(&["info", "--output=json"]).arg(image))["virtual-size"].clone();
    assert_eq!(size(vmdk), size(source));
}

#[test]
fn qemu_reads_what_came_of_its_own_images() {
    let dir = scratch();
    // No whole number of grains, or of clusters.
    let raw = disk(dir.path(), 71 * MIB + 512 * 3);
    let forms: [(&str, &[&str]); 7] = [
        ("plain", &[]),
        ("compressed", &["-c"]),
        ("zstd", &["-c", "-o", "compression_type=zstd"]),
        ("version2", &["-o", "compat=0.10"]),
        ("small", &["-o", "cluster_size=512"]),
        ("large", &["-c", "-o", "cluster_size=2M"]),
        ("allocated", &["-o", "preallocation=full"]),
    ];
    let first = dir.path().join("disk.ova");
    process::run(ova(&raw, &first).args(["--name", "disk"]));
    let whole = fs_err::read(&first).expect("an OVA");
    let parts = dir.path().join("parts");
    fs_err::create_dir(&parts).expect("a folder");
    assert_eq!(unpack(&first, &parts), ["disk.ovf", "disk.mf", "disk-disk1.vmdk"]);
    compare(&parts.join("disk-disk1.vmdk"), &raw);

    for (name, options) in forms {
        let (image, target) =
            (dir.path().join(format!("{name}.qcow2")), dir.path().join(format!("{name}.ova")));
        process::run(qemu_img(&["convert", "-f", "raw", "-O", "qcow2"]).args(options).arg(&raw).arg(&image));
        process::run(ova(&image, &target).args(["--name", "disk"]));
        assert!(fs_err::read(&target).expect("an OVA") == whole, "{name}: another image of the same disk");
    }
    // A snapshot inside is passed over, and what was written since counts.
    let image = dir.path().join("plain.qcow2");
    process::run(qemu_img(&["snapshot", "-c", "before"]).arg(&image));
    let mut write = Command::new(peers::tool("qemu-io"));
    process::run(write.args(["-f", "qcow2", "-c", "write -P 9 40M 3M"]).arg(&image));
    let target = dir.path().join("after.ova");
    process::run(ova(&image, &target).args(["--name", "after"]));
    unpack(&target, &parts);
    compare(&parts.join("after-disk1.vmdk"), &image);

    let overlay = dir.path().join("overlay.qcow2");
    process::run(qemu_img(&["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"]).arg(&image).arg(&overlay));
    let refused = process::finish(&ova(&overlay, &dir.path().join("overlay.ova"))).expect(2);
    refused.expect_said(&["SL0705", "builds on another image", "qemu-img convert"]);
}

#[test]
fn the_manifest_and_the_descriptor_hold_for_other_programs() {
    let dir = scratch();
    let target = dir.path().join("acme.ova");
    process::run(ova(&disk(dir.path(), 8 * MIB), &target).args([
        "--product",
        "A & B <C>",
        "--data-disk",
        "1GiB",
    ]));
    unpack(&target, dir.path());
    let manifest = fs_err::read_to_string(dir.path().join("acme.mf")).expect("a manifest");
    let sums: Vec<String> = manifest
        .lines()
        .map(|line| {
            let (name, digest) =
                line.strip_prefix("SHA256(").and_then(|rest| rest.split_once(")= ")).expect("a line");
            format!("{digest}  {name}\n")
        })
        .collect();
    fs_err::write(dir.path().join("sums"), sums.concat()).expect("a list");
    let told = process::text(Command::new("sha256sum").current_dir(dir.path()).args(["--check", "sums"]));
    assert_eq!(told, "acme.ovf: OK\nacme-disk1.vmdk: OK\nacme-disk2.vmdk: OK\n");

    let parse = "import sys, xml.etree.ElementTree as t; o='{http://schemas.dmtf.org/ovf/envelope/1}'
print(t.parse('acme.ovf').find(f'{o}VirtualSystem/{o}ProductSection/{o}Product').text)";
    let product = process::text(Command::new("python3").current_dir(dir.path()).args(["-c", parse]));
    assert_eq!(product.trim(), "A & B <C>");
}

#[test]
fn govc_imports_it_and_shows_what_it_asks() {
    let dir = scratch();
    let target = dir.path().join("acme.ova");
    let options = ["--data-disk", "20GiB", "--cpus", "6", "--memory", "12GiB", "--property", "role=single"];
    process::run(ova(&disk(dir.path(), 8 * MIB), &target).args(options));

    let mut simulator = Command::new(peers::tool("vcsim"));
    simulator.arg("127.0.0.1:0");
    let mut vcenter = Daemon::start("vcsim", &simulator, dir.path());
    let listening = |log: &str| log.split_once("listening on ").map(|(_, url)| url.trim().to_owned());
    let url = vcenter.await_log(listening);
    let govc = |arguments: &[&str]| {
        let mut command = Command::new(peers::tool("govc"));
        command.env("GOVC_URL", &url).env("GOVC_INSECURE", "1").env("GOVC_PERSIST_SESSION", "false");
        command.env("HOME", dir.path()).current_dir(dir.path()).args(arguments);
        command
    };

    let mut spec = process::json(&mut govc(&["import.spec", "acme.ova"]));
    let asked = spec["PropertyMapping"].as_array_mut().expect("a list of properties");
    for (key, value) in [("hostname", "node-1"), ("network-dns", "192.0.2.53")] {
        let property = asked.iter_mut().find(|property| property["Key"] == key).expect("a property");
        property["Value"] = value.into();
    }
    fs_err::write(dir.path().join("spec.json"), spec.to_string()).expect("a specification");
    let place =
        ["-ds", "LocalDS_0", "-pool", "/DC0/host/DC0_C0/Resources", "-options", "spec.json", "acme.ova"];
    process::run(&mut govc(&[&["import.ova"][..], &place].concat()));

    let machine = process::json(&mut govc(&["vm.info", "-json", "acme"]));
    let config = &machine["virtualMachines"][0]["config"];
    let hardware = &config["hardware"];
    assert_eq!((hardware["numCPU"].as_u64(), hardware["memoryMB"].as_u64()), (Some(6), Some(12288)));
    assert_eq!(
        (config["guestId"].as_str(), config["version"].as_str()),
        (Some("ubuntu64Guest"), Some("vmx-17"))
    );
    let devices = hardware["device"].as_array().expect("a list of devices");
    let capacities: Vec<u64> = devices.iter().filter_map(|device| device["capacityInKB"].as_u64()).collect();
    assert_eq!(capacities, [8 << 10, 20 << 20]);
    let said = process::text(&mut govc(&["device.ls", "-vm", "acme"]));
    assert!(said.contains("ParaVirtualSCSIController") && said.contains("VirtualVmxnet3"), "{said}");

    let properties = config["vAppConfig"]["property"].as_array().expect("a list of properties");
    let told: BTreeMap<&str, &Value> =
        properties.iter().map(|p| (p["id"].as_str().expect("a key"), p)).collect();
    assert_eq!(told["hostname"]["value"], "node-1");
    assert_eq!(told["network-dns"]["value"], "192.0.2.53");
    assert_eq!(told["role"]["defaultValue"], "single");
    for property in properties {
        assert_eq!(property["userConfigurable"], true, "{property}");
        assert!(property["label"].as_str().is_some_and(|label| !label.is_empty()), "{property}");
    }
}

#[test]
fn a_full_disk_and_ctrl_c_leave_nothing() {
    let dir = scratch();
    let image = disk(dir.path(), 64 * MIB);
    let small = SmallDisk::new(MIB as u64);
    let full = process::finish(&ova(&image, &small.path().join("acme.ova"))).expect(4);
    full.expect_said(&["acme.ova.partial", "No space left"]);
    assert!(Tree::read(small.path()).names().is_empty());

    let into = dir.path().join("into");
    fs_err::create_dir(&into).expect("a folder");
    fs_err::write(dir.path().join("noise.raw"), {
        let mut noise = vec![0; 256 * MIB];
        fastrand::Rng::with_seed(8).fill(&mut noise);
        noise[510..512].copy_from_slice(&[0x55, 0xaa]);
        noise
    })
    .expect("a disk");
    let target = into.join("acme.ova");
    let mut running = Running::start(&ova(&dir.path().join("noise.raw"), &target));
    let partial = into.join("acme.ova.partial");
    running.watch("something is written", || {
        fs_err::metadata(&partial).is_ok_and(|found| found.len() > MIB as u64)
    });
    running.signal(Signal::INT);
    running.end().expect(130);
    assert!(Tree::read(&into).names().is_empty());
}
