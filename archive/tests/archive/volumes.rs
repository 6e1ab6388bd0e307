//! Archives that are cut into volumes, of which some are missing, damaged, strange or in the wrong place.

use std::path::Path;

use fs_err as fs;
use sealift_archive::bundle::Unverified;
use sealift_archive::format::volume::HEADER_LEN;
use sealift_archive::medium::{self, Found, RemarkKind, VolumeSet};
use sealift_archive::{Bundle, Error, Source as _, Unwatched};

use crate::fixture::{Content, MIB};
use crate::shelf::{Shelf, VOLUME_BYTES, cut};

fn set(path: &Path) -> VolumeSet {
    match medium::find(&[path]).unwrap() {
        Found::Volumes(set) => set,
        Found::File(file) => panic!("{file:?} is no volume"),
    }
}

#[test]
fn volumes_read_as_the_file_that_they_were_cut_from() {
    let shelf = Shelf::new();
    shelf.read(shelf.folder()).unwrap();
    for volume in &shelf.volumes {
        shelf.read(volume).unwrap();
    }
    let bundle = Bundle::open(shelf.folder(), &shelf.vendor.root).unwrap();
    assert!(bundle.check(&Unwatched).unwrap().damages.is_empty());
    // In any order, under any names, in several folders.
    let elsewhere = shelf.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::rename(&shelf.volumes[1], elsewhere.join("FIRST.ZST")).unwrap();
    let places = [elsewhere.as_path(), shelf.folder()];
    let Found::Volumes(set) = medium::find(&places).unwrap() else { panic!("no volumes") };
    assert!(set.missing().is_empty() && set.at_hand().count() == shelf.volumes.len());
    let bundle = Unverified::on(Box::new(set)).unwrap().verify(&shelf.vendor.root).unwrap();
    assert!(bundle.check(&Unwatched).unwrap().damages.is_empty());
}

#[test]
fn zstd_reads_them_one_behind_the_other_and_each_alone() {
    let shelf = Shelf::new();
    let plain = zstd::decode_all(fs::File::open(&shelf.archive).unwrap()).unwrap();
    let mut all = Vec::new();
    for volume in &shelf.volumes {
        let bytes = fs::read(volume).unwrap();
        assert!(!zstd::decode_all(&bytes[..]).unwrap().is_empty());
        all.extend(bytes);
    }
    assert!(zstd::decode_all(&all[..]).unwrap() == plain);
}

#[test]
fn what_is_not_at_hand_is_named() {
    let shelf = Shelf::new();
    let count = u32::try_from(shelf.volumes.len()).unwrap();
    let hidden = shelf.dir.path().join("hidden");
    for (number, volume) in (1..).zip(&shelf.volumes) {
        fs::rename(volume, &hidden).unwrap();
        assert_eq!(set(shelf.folder()).missing(), [number]);
        match shelf.read(shelf.folder()) {
            Err(Error::VolumesMissing { numbers, count: of, .. }) => {
                assert_eq!((numbers, of), (vec![number], count));
            }
            other => panic!("volume {number}: {other:?}"),
        }
        fs::rename(&hidden, volume).unwrap();
    }
    for volume in &shelf.volumes[1..] {
        fs::remove_file(volume).unwrap();
    }
    // The front is in the first: the release is known, and what its other content needs.
    let bundle = Bundle::open(&shelf.volumes[0], &shelf.vendor.root).unwrap();
    assert_eq!(bundle.releases().len(), 1);
    assert_eq!(set(&shelf.volumes[0]).missing(), (2..=count).collect::<Vec<_>>());
}

#[test]
fn a_known_front_stands_for_the_first_volume() {
    let shelf = Shelf::new();
    let front_len = Bundle::open(&shelf.archive, &shelf.vendor.root).unwrap().packing().data_offset;
    let mut front = fs::read(&shelf.archive).unwrap();
    front.truncate(usize::try_from(front_len).unwrap());
    fs::remove_file(&shelf.volumes[0]).unwrap();
    let set = || set(&shelf.volumes[1]);
    assert!(matches!(Unverified::on(Box::new(set())), Err(Error::VolumesMissing { .. })));

    let known = set().with_front(front.clone()).unwrap();
    let bundle = Unverified::on(Box::new(known)).unwrap().verify(&shelf.vendor.root).unwrap();
    assert_eq!(bundle.releases().len(), 1);

    let other = Content::of_sizes(&[1]).pack(&shelf.dir, shelf.vendor);
    assert!(matches!(set().with_front(fs::read(other).unwrap()), Err(Error::Inconsistent { .. })));
    let mut damaged = front.clone();
    damaged[1000] ^= 1;
    assert!(matches!(set().with_front(damaged), Err(Error::Damaged { .. })));
    // Behind the head only reading tells.
    let last = front.len() - 1;
    front[last] ^= 1;
    let known = Unverified::on(Box::new(set().with_front(front).unwrap())).unwrap();
    assert!(matches!(known.verify(&shelf.vendor.root), Err(Error::Damaged { .. })));
}

#[test]
fn what_else_lies_there_is_passed_over_and_told() {
    let shelf = Shelf::new();
    let folder = shelf.folder();
    let other = Content::of_sizes(&[8 * MIB, 8 * MIB, 8 * MIB]).pack(&shelf.dir, shelf.vendor);
    let foreign = shelf.dir.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    let strays = cut(&other, shelf.vendor, VOLUME_BYTES, &foreign);
    fs::copy(&strays[1], folder.join("acme-1.0.009.tar.zst")).unwrap();
    fs::copy(&shelf.volumes[0], folder.join("copy of the first.zst")).unwrap();
    fs::write(folder.join("._acme-1.0.001.tar.zst"), b"\x00\x05\x16\x07").unwrap();
    fs::write(folder.join("notes.zst"), "hello").unwrap();
    fs::write(folder.join("notes.txt"), "hello").unwrap();
    let mut damaged = fs::read(&strays[2]).unwrap();
    damaged[40] ^= 1;
    fs::write(folder.join("acme-1.0.008.tar.zst"), damaged).unwrap();

    shelf.read(&shelf.volumes[0]).unwrap();
    let set = set(&shelf.volumes[0]);
    let remarks = medium::Medium::remarks(&set);
    let kinds: Vec<(&str, &RemarkKind)> = remarks
        .iter()
        .map(|remark| (Path::new(&remark.file).file_name().unwrap().to_str().unwrap(), &remark.kind))
        .collect();
    let used = shelf.volumes[0].display().to_string();
    let expected = [
        ("acme-1.0.009.tar.zst", &RemarkKind::OtherSet),
        ("copy of the first.zst", &RemarkKind::Twice { number: 1, used }),
        ("._acme-1.0.001.tar.zst", &RemarkKind::AppleDouble),
        ("acme-1.0.008.tar.zst", &RemarkKind::BadHeader),
    ];
    assert_eq!(kinds, expected);
    // Asked for a folder, nobody can tell which of two is meant.
    match shelf.read(folder) {
        Err(Error::SeveralArchives { found, .. }) => assert_eq!(found.len(), 2, "{found:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_place_without_an_archive_is_refused() {
    let shelf = Shelf::new();
    let folder = shelf.dir.path().join("other");
    fs::create_dir(&folder).unwrap();
    assert!(matches!(shelf.read(&folder), Err(Error::NoArchive { .. })));
    fs::copy(&shelf.archive, folder.join("acme.tar.zst")).unwrap();
    shelf.read(&folder).unwrap();
    fs::remove_file(folder.join("acme.tar.zst")).unwrap();
    fs::write(folder.join("acme.001.tar.zst"), "").unwrap();
    assert!(matches!(shelf.read(&folder), Err(Error::BadVolume { .. })));
    fs::write(folder.join("notes"), "hello").unwrap();
    assert!(matches!(shelf.read(&folder.join("notes")), Err(Error::NotAnArchive { .. })));
}

#[test]
fn of_two_volumes_with_one_number_the_whole_one_is_used() {
    let shelf = Shelf::new();
    let bytes = fs::read(&shelf.volumes[1]).unwrap();
    fs::rename(&shelf.volumes[1], shelf.folder().join("zzz.zst")).unwrap();
    fs::write(&shelf.volumes[1], &bytes[..bytes.len() - 1]).unwrap();
    shelf.read(&shelf.volumes[0]).unwrap();
    fs::remove_file(shelf.folder().join("zzz.zst")).unwrap();
    match shelf.read(&shelf.volumes[0]) {
        Err(Error::Damaged { file, end, .. }) => {
            assert_eq!((Path::new(&file), end), (shelf.volumes[1].as_path(), bytes.len() as u64));
        }
        other => panic!("{other:?}"),
    }
    let remarks = medium::Medium::remarks(&set(&shelf.volumes[0]));
    let (expected, found) = (bytes.len() as u64, bytes.len() as u64 - 1);
    assert_eq!(remarks[0].kind, RemarkKind::Cut { expected, found });
    assert!(bytes.len() as u64 > HEADER_LEN);
}
