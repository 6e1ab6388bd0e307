//! Archives are cut into volumes and put together again.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use fs_err as fs;
use sealift_archive::split::{Done, Order, Plan, VolumeSize, name_of, plan_join, plan_split};
use sealift_archive::{Bundle, Error, Progress, Unwatched};

use crate::fixture::{MIB, StopAfter};
use crate::shelf::{Shelf, VOLUME_BYTES};

fn size(bytes: u64) -> VolumeSize {
    bytes.to_string().parse().unwrap()
}

fn split(
    shelf: &Shelf,
    source: &Path,
    dir: &Path,
    bytes: u64,
    progress: &dyn Progress,
) -> Result<(Plan, Done), Error> {
    let bundle = Bundle::open(source, &shelf.vendor.root)?;
    let order = Order { dir, name: &name_of(&bundle), size: size(bytes), only: None };
    let planned = plan_split(&bundle, &order)?;
    let plan = planned.plan.clone();
    Ok((plan, planned.execute(progress)?))
}

fn join(shelf: &Shelf, source: &Path, target: &Path) -> Result<Done, Error> {
    let bundle = Bundle::open(source, &shelf.vendor.root)?;
    plan_join(&bundle, target)?.execute(&Unwatched)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned())
        .collect();
    names.sort_unstable();
    names
}

fn same(one: &Path, other: &Path) -> bool {
    fs::read(one).unwrap() == fs::read(other).unwrap()
}

#[test]
fn volumes_are_those_that_were_cut_by_hand_and_make_the_archive_again() {
    let shelf = Shelf::new();
    let dir = shelf.dir.path().join("a/new/place");
    let (plan, done) = split(&shelf, &shelf.archive, &dir, VOLUME_BYTES, &Unwatched).unwrap();
    assert_eq!(plan.write_bytes, done.files.iter().map(|file| file.bytes).sum::<u64>());
    assert_eq!(names(&dir), names(shelf.folder()));
    for (made, by_hand) in done.files.iter().zip(&shelf.volumes) {
        assert!(same(&made.path, by_hand), "{}", made.path.display());
        assert!(made.bytes <= VOLUME_BYTES && !made.was_there);
    }
    let joined = shelf.dir.path().join("joined.tar.zst");
    join(&shelf, &dir, &joined).unwrap();
    assert!(same(&joined, &shelf.archive));

    // From volumes to volumes, without the one file in between.
    let larger = shelf.dir.path().join("larger");
    let (_, done) = split(&shelf, &dir, &larger, 20 * MIB as u64, &Unwatched).unwrap();
    assert!((1..shelf.volumes.len()).contains(&done.files.len()));
    shelf.read(&larger).unwrap();
    let whole = shelf.dir.path().join("whole");
    let (_, done) = split(&shelf, &larger, &whole, u64::MAX, &Unwatched).unwrap();
    assert_eq!(done.files.len(), 1);
    shelf.read(&whole).unwrap();
}

#[test]
fn the_least_size_is_said_and_is_enough() {
    let shelf = Shelf::new();
    let dir = shelf.dir.path().join("small");
    let Err(Error::VolumeTooSmall { smallest, .. }) = split(&shelf, &shelf.archive, &dir, 1000, &Unwatched)
    else {
        panic!("1000 bytes are taken")
    };
    let refused = split(&shelf, &shelf.archive, &dir, smallest - 1, &Unwatched);
    assert!(matches!(refused, Err(Error::VolumeTooSmall { .. })));
    assert!(!dir.exists());
    let (_, done) = split(&shelf, &shelf.archive, &dir, smallest, &Unwatched).unwrap();
    assert!(done.files.iter().all(|file| file.bytes <= smallest));
    shelf.read(&dir).unwrap();
}

#[test]
fn what_is_there_and_right_is_not_written_again() {
    let shelf = Shelf::new();
    let written = |dir: &Path| -> Result<Vec<bool>, Error> {
        let (_, done) = split(&shelf, &shelf.archive, dir, VOLUME_BYTES, &Unwatched)?;
        Ok(done.files.iter().map(|file| !file.was_there).collect())
    };
    let dir = shelf.folder();
    let none = vec![false; shelf.volumes.len()];
    assert_eq!(written(dir).unwrap(), none);
    let good = fs::read(&shelf.volumes[1]).unwrap();
    let mut only_the_second = none.clone();
    only_the_second[1] = true;
    for (name, bad) in [("cut", good[..1000].to_vec()), ("changed", [&good[..good.len() - 1], b"!"].concat())]
    {
        fs::write(&shelf.volumes[1], bad).unwrap();
        assert_eq!(written(dir).unwrap(), only_the_second, "{name}");
        assert!(fs::read(&shelf.volumes[1]).unwrap() == good, "{name}");
    }
    // What is something else is nobody's to write over.
    let strange = [
        ("notes", b"hello".to_vec()),
        ("another volume", fs::read(&shelf.volumes[0]).unwrap()),
        ("an archive", fs::read(&shelf.archive).unwrap()),
    ];
    for (name, strange) in strange {
        fs::write(&shelf.volumes[1], &strange).unwrap();
        assert!(matches!(written(dir), Err(Error::Occupied { .. })), "{name}");
        assert!(fs::read(&shelf.volumes[1]).unwrap() == strange, "{name}");
    }
    let joined = join(&shelf, &shelf.archive, &shelf.archive);
    assert!(matches!(joined, Err(Error::Occupied { .. })));
}

#[test]
fn one_volume_at_a_time_is_enough() {
    let shelf = Shelf::new();
    let bundle = Bundle::open(&shelf.archive, &shelf.vendor.root).unwrap();
    let sticks: Vec<PathBuf> =
        (1..=shelf.volumes.len()).map(|n| shelf.dir.path().join(n.to_string())).collect();
    for (number, (dir, by_hand)) in (1..).zip(sticks.iter().zip(&shelf.volumes)) {
        let order = Order { dir, name: "acme-1.0", size: size(VOLUME_BYTES), only: Some(number..=number) };
        plan_split(&bundle, &order).unwrap().execute(&Unwatched).unwrap();
        let name = by_hand.file_name().unwrap();
        assert_eq!(names(dir), [name.to_str().unwrap()]);
        assert!(same(&dir.join(name), by_hand));
    }
    let count = u32::try_from(shelf.volumes.len()).unwrap();
    let dir = &shelf.dir.path().join("beyond");
    let order = Order { dir, name: "acme-1.0", size: size(VOLUME_BYTES), only: Some(count..=count + 1) };
    let refused = plan_split(&bundle, &order);
    assert!(matches!(refused, Err(Error::NoSuchVolume { count: c, .. }) if c == count), "{refused:?}");
}

#[test]
fn a_damaged_source_makes_no_volume() {
    let shelf = Shelf::new();
    let good = fs::read(&shelf.archive).unwrap();
    let dir = shelf.dir.path().join("out");
    let front =
        usize::try_from(Bundle::open(&shelf.archive, &shelf.vendor.root).unwrap().packing().data_offset);
    for place in [front.unwrap() + 100, good.len() / 2, good.len() - 2000] {
        let mut bad = good.clone();
        bad[place] ^= 1;
        let source = shelf.dir.path().join("bad.tar.zst");
        fs::write(&source, bad).unwrap();
        let refused = split(&shelf, &source, &dir, VOLUME_BYTES, &Unwatched);
        assert!(matches!(refused, Err(Error::Damaged { .. })), "byte {place}");
        for name in names(&dir) {
            let by_hand = shelf.folder().join(name.replace("bad.", "acme-1.0."));
            assert!(same(&dir.join(name), &by_hand), "what was finished before is right");
        }
        assert!(matches!(join(&shelf, &source, &dir.join("joined")), Err(Error::Damaged { .. })));
        assert!(names(&dir).iter().all(|name| !name.contains("joined")), "byte {place}");
        fs::remove_dir_all(&dir).unwrap();
    }
    // A volume that is missing is named before anything is written.
    fs::remove_file(&shelf.volumes[1]).unwrap();
    let joined = join(&shelf, shelf.folder(), &shelf.dir.path().join("joined.tar.zst"));
    assert!(matches!(joined, Err(Error::VolumesMissing { numbers, .. }) if numbers == [2]));
    assert!(!dir.exists());
}

#[test]
fn what_was_stopped_goes_on() {
    let shelf = Shelf::new();
    let dir = shelf.dir.path().join("out");
    let stop = StopAfter(AtomicU64::new(VOLUME_BYTES * 2 + VOLUME_BYTES / 2));
    let stopped = split(&shelf, &shelf.archive, &dir, VOLUME_BYTES, &stop);
    assert!(matches!(stopped, Err(Error::Interrupted)));
    let finished = names(&dir);
    assert_eq!(finished, names(shelf.folder())[..finished.len()], "whole volumes and nothing else");
    assert!((1..shelf.volumes.len()).contains(&finished.len()));
    let (plan, done) = split(&shelf, &shelf.archive, &dir, VOLUME_BYTES, &Unwatched).unwrap();
    assert_eq!(plan.files.iter().filter(|file| file.is_there).count(), finished.len());
    assert_eq!(done.files.iter().filter(|file| file.was_there).count(), finished.len());
    shelf.read(&dir).unwrap();
}
