//! A collection on a file system without a free byte. Mounting one takes root.

use std::io::Write as _;
use std::process::{Command, Stdio};

use fs_err as fs;
use sealift_archive::{Class, Explain as _, Unwatched};
use tempfile::TempDir;

use super::GiveUp;
use super::tests::{fleet, run};
use crate::fixture::{Content, Place};
use crate::git::Git;

/// An import wants 64 MiB to spare.
const DISK_BYTES: u64 = 96 << 20;

/// A mounted file system, gone when dropped.
struct Disk {
    mount: TempDir,
    _image: TempDir,
}

impl Disk {
    fn new(kind: &str) -> Self {
        let (mount, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let image = dir.path().join("image");
        fs::File::create(&image).unwrap().set_len(DISK_BYTES).unwrap();
        let mut command = Command::new("mount");
        if kind == "tmpfs" {
            command.args(["-t", kind, "-o", &format!("size={DISK_BYTES},mode=0755"), kind]);
        } else {
            // Without the blocks that are set aside for root, who runs this.
            done(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image));
            command.args(["-t", kind, "-o", "loop"]).arg(image);
        }
        done(command.arg(mount.path()));
        Self { mount, _image: dir }
    }

    fn free_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.mount.path()).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    /// Fills it to the last byte.
    fn fill(&self) {
        let mut ballast = fs::File::create(self.mount.path().join("ballast")).unwrap();
        for piece in [1 << 20, 1 << 12, 1] {
            while ballast.write_all(&vec![1; piece]).is_ok() {}
        }
        // What was promised may turn out to be more than what is needed, once it is written.
        ballast.sync_all().unwrap();
        while ballast.write_all(&[1]).is_ok() {}
        assert_eq!(self.free_bytes(), 0);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A panic here would hide why a test has failed.
        let _ = Command::new("umount").arg("--lazy").arg(self.mount.path()).stderr(Stdio::null()).status();
    }
}

fn done(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}: mounting takes root");
}

fn expect_whole(place: &Place) {
    assert_eq!(place.store.verify(&Unwatched).unwrap().findings, []);
}

#[test]
fn a_collection_needs_no_free_byte() {
    for kind in ["tmpfs", "ext4"] {
        let disk = Disk::new(kind);
        let place = Place::in_dir(disk.mount.path());
        run(&place, [1, 2, 3, 6, 7]);
        // The worst that Git can have: refs that only go if a file is written again.
        let repository = Git { dir: place.store.git_path(&fleet()), repository: fleet() };
        repository.run("pack-refs", &["--all"], "").unwrap();
        disk.fill();
        let refused = place.writer().activate(6.try_into().unwrap()).unwrap_err();
        assert_eq!(refused.class(), Class::NoSpace, "{kind}: {refused}");

        let done = place.writer().collector(GiveUp::Expired).unwrap().collect().unwrap();
        // Git's file of packed refs and the audit log's line were written meanwhile.
        assert!(disk.free_bytes() + (64 << 10) >= done.freed_bytes, "{kind}: {done:?}");
        assert!(disk.free_bytes() > 0);
        expect_whole(&place);
        assert_eq!(place.writer().roll_back().unwrap().to.sequence.get(), 6);
        expect_whole(&place);
        assert!(place.writer().collector(GiveUp::Expired).unwrap().collection().is_empty());
    }
}

#[test]
fn only_an_import_goes_from_a_full_disk() {
    for kind in ["tmpfs", "ext4"] {
        let disk = Disk::new(kind);
        let place = Place::in_dir(disk.mount.path());
        run(&place, [1]);
        let content = Content::new(9, &[b"nine"]);
        let writer = place.writer();
        let need = writer.need(&[&content.release]).unwrap();
        drop(writer.begin(&content.release, "a stick", &need).unwrap());
        drop(writer);
        disk.fill();
        assert!(place.writer().collector(GiveUp::Expired).unwrap().collect().unwrap().is_empty());
        let done = place.writer().collector(GiveUp::All).unwrap().collect().unwrap();
        assert!(done.freed_bytes > 0 && disk.free_bytes() > 0, "{kind}: {done:?}");
        expect_whole(&place);
    }
}

/// What the message of a full disk says is what is done.
#[test]
fn an_import_without_room_is_told_what_would_come_free() {
    let disk = Disk::new("tmpfs");
    let place = Place::in_dir(disk.mount.path());
    let large = Content::new(8, &[&vec![8; 20 << 20]]);
    large.stage(&place.writer()).unwrap();
    run(&place, 1..=3);
    let begin = |bytes: usize| {
        let content = Content::new(9, &[&vec![9; bytes]]);
        let writer = place.writer();
        let need = writer.need(&[&content.release]).unwrap();
        writer.begin(&content.release, "a stick", &need).map(drop)
    };
    let hint = |error: crate::Error| format!("{} {}", error.code(), error.hint().unwrap());
    // Release 8 can follow, so it is nothing to be removed.
    assert!(hint(begin(20 << 20).unwrap_err()).starts_with("SL0119 free "));
    let dir = place.store.release_dir(8.try_into().unwrap());
    let failed = crate::State::Failed { reason: "a test".to_owned() };
    crate::state::Recorded::now(failed, large.release.digest()).write(&dir).unwrap();
    let enough = hint(begin(20 << 20).unwrap_err());
    assert!(
        enough.starts_with("SL0119 `sealiftctl gc` frees 2") && enough.ends_with("is enough"),
        "{enough}"
    );
    let more = hint(begin(60 << 20).unwrap_err());
    assert!(more.contains(" more are needed"), "{more}");
    place.writer().collector(GiveUp::Expired).unwrap().collect().unwrap();
    begin(20 << 20).unwrap();
}
