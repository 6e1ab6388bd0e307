//! What becomes the data disk, and what is never touched. Needs root, for loop devices.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use sealift_tests::{peers, process, scratch};
use tempfile::TempDir;

use crate::repository;

const GIB: u64 = 1 << 30;
/// What stands in the first sector while a disk is being formatted.
const MARK: &[u8] = b"sealift: this disk is being given its file system";

/// A disk that takes no room until it is written to.
struct Disk {
    dir: TempDir,
    device: PathBuf,
}

impl Disk {
    fn new(bytes: u64) -> Self {
        let dir = scratch();
        let file = dir.path().join("disk");
        fs_err::File::create(&file).and_then(|file| file.set_len(bytes)).expect("a file");
        let device =
            process::text(Command::new(peers::tool("losetup")).args(["--find", "--show"]).arg(&file));
        Self { dir, device: device.trim().into() }
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        let mut device = fs_err::OpenOptions::new().write(true).open(&self.device).expect("a device");
        device.seek(SeekFrom::Start(offset)).expect("a place");
        device.write_all(bytes).expect("written");
        device.sync_all().expect("synced");
    }

    fn beginning(&self) -> Vec<u8> {
        let mut beginning = vec![0; MARK.len()];
        fs_err::File::open(&self.device).expect("a device").read_exact(&mut beginning).expect("a sector");
        beginning
    }

    fn label(&self) -> String {
        self.tag("LABEL")
    }

    /// What `blkid` knows of it; nothing, if it knows nothing.
    fn tag(&self, name: &str) -> String {
        let probe = ["--probe", "--match-tag", name, "--output", "value"];
        process::finish(Command::new(peers::tool("blkid")).args(probe).arg(&self.device))
            .stdout()
            .trim()
            .into()
    }

    fn folders(&self) -> Vec<String> {
        let mount = self.dir.path().join("mount");
        fs_err::create_dir(&mount).expect("a folder");
        process::run(Command::new("mount").args(["-o", "ro"]).arg(&self.device).arg(&mount));
        let entries = fs_err::read_dir(&mount).expect("a folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        process::run(Command::new("umount").arg(&mount));
        names.sort();
        names
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A panic here would hide the one that may be under way.
        let _ = Command::new(peers::tool("losetup"))
            .arg("--detach")
            .arg(&self.device)
            .stderr(Stdio::null())
            .status();
    }
}

fn data_disk(disks: &[&Disk]) -> process::Ended {
    let mut command = Command::new(repository("cloud-init/image/usr/lib/sealift/data-disk"));
    command.args(disks.iter().map(|disk| disk.device.as_path()));
    process::finish(&command)
}

/// Puts something on a disk.
type Fill<'a> = &'a dyn Fn(&Disk);

#[test]
fn an_empty_disk_becomes_the_data_disk_once() {
    let (disk, small) = (Disk::new(9 * GIB), Disk::new(GIB));
    data_disk(&[&small, &disk]).expect(0);
    assert_eq!((disk.label(), small.label()), ("sealift-data".into(), String::new()));
    assert_eq!(
        disk.folders(),
        ["etc-rancher", "etc-sealift", "lost+found", "rancher", "registry", "sealift"]
    );
    assert!(disk.beginning().iter().all(|byte| *byte == 0), "the mark stays");
    // Again, with another empty one beside it: it is found, and nothing is written.
    let other = Disk::new(9 * GIB);
    let before = disk.tag("UUID");
    data_disk(&[&other, &disk]).expect(0);
    assert_eq!(disk.tag("UUID"), before);
    assert_eq!(other.label(), "");
}

#[test]
fn a_disk_that_holds_anything_is_left_alone() {
    let table = |disk: &Disk| {
        let file = disk.dir.path().join("table");
        fs_err::write(&file, "label: gpt\n").expect("a file");
        let table = fs_err::File::open(file).expect("a file").into_parts().0;
        let mut sfdisk = Command::new(peers::tool("sfdisk"));
        sfdisk.args(["--quiet", "--no-reread", "--no-tell-kernel"]).arg(&disk.device).stdin(table);
        assert!(sfdisk.status().expect("sfdisk runs").success());
    };
    let file_system = |disk: &Disk, kind: &str| {
        process::run(Command::new(peers::tool(&format!("mkfs.{kind}"))).arg("-q").arg(&disk.device));
    };
    let cases: [(&str, Fill); 7] = [
        ("its first byte", &|disk| disk.write(0, b"x")),
        ("its last bytes", &|disk| disk.write(9 * GIB - 2, b"x")),
        ("half way", &|disk| disk.write(9 * GIB / 2 + 5, b"x")),
        ("a partition table without partitions", &table),
        ("a file system", &|disk| file_system(disk, "ext4")),
        ("a file system that was wiped at its beginning", &|disk| {
            file_system(disk, "ext4");
            disk.write(0, &vec![0; 1 << 20]);
        }),
        ("swap", &|disk| {
            process::run(Command::new(peers::tool("mkswap")).arg(&disk.device));
        }),
    ];
    for (what, fill) in cases {
        let disk = Disk::new(9 * GIB);
        fill(&disk);
        let ended = data_disk(&[&disk]).expect(1);
        assert_ne!(disk.label(), "sealift-data", "{what}: {ended}");
        ended.expect_said(&["attach an empty disk"]);
    }
}

#[test]
fn formatting_that_a_power_cut_has_interrupted_goes_on() {
    let disk = Disk::new(9 * GIB);
    disk.write(0, MARK);
    disk.write(3 << 20, b"a part of a file system");
    data_disk(&[&disk]).expect(0);
    assert_eq!(disk.label(), "sealift-data");
    // Cut at the very end: it is whole, and the mark must not outlive that.
    disk.write(0, MARK);
    data_disk(&[&disk]).expect(0);
    assert!(disk.beginning().iter().all(|byte| *byte == 0), "a damaged data disk would be formatted");
}

#[test]
fn nothing_is_guessed() {
    let disks = [Disk::new(9 * GIB), Disk::new(9 * GIB)];
    data_disk(&[&disks[0], &disks[1]]).expect(1).expect_said(&["several that are empty"]);
    for disk in &disks {
        assert_eq!(disk.label(), "");
        data_disk(&[disk]).expect(0);
    }
    data_disk(&[&disks[0], &disks[1]]).expect(1).expect_said(&["several data disks"]);
}
