//! Volumes that are cut, swapped, doubled, renamed, forged or from somewhere else: what arrives is right, or nothing does
//! and the message names the volume.

use std::path::{Path, PathBuf};

use fs_err as fs;
use sealift_archive::format::volume::{Cuts, HEADER_LEN, Header};
use sealift_archive::medium::{self, RemarkKind};
use sealift_archive::{Digest, Error};

use crate::fixture::Content;
use crate::shelf::{SMALL_VOLUME_BYTES, Shelf, cut};

const TRUNCATIONS: usize = 100;
const CONFUSIONS: usize = 100;

/// What comes of reading everything.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Read,
    Missing(Vec<u32>),
    /// The number of the file that is damaged.
    Damaged(PathBuf),
}

fn read(shelf: &Shelf, path: &Path) -> Outcome {
    match shelf.read(path) {
        Ok(()) => Outcome::Read,
        Err(Error::VolumesMissing { numbers, .. }) => Outcome::Missing(numbers),
        Err(Error::Damaged { file, .. }) => Outcome::Damaged(file.into()),
        Err(other) => panic!("{other:?}"),
    }
}

fn len(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}

#[test]
fn a_volume_that_was_cut_is_named() {
    let shelf = Shelf::small();
    let count = shelf.volumes.len();
    for number in 0..TRUNCATIONS {
        let volume = &shelf.volumes[number % count];
        let good = fs::read(volume).unwrap();
        // From nothing at all to the last byte but one.
        let keep = number * (good.len() - 1) / (TRUNCATIONS - 1);
        fs::write(volume, &good[..keep]).unwrap();
        let path = &shelf.volumes[(number + 1) % count];
        let found = read(&shelf, path);
        let place = u32::try_from(number % count + 1).unwrap();
        if (keep as u64) < HEADER_LEN {
            assert_eq!(found, Outcome::Missing(vec![place]), "{keep} bytes of volume {place}");
        } else {
            assert_eq!(found, Outcome::Damaged(volume.clone()), "{keep} bytes of volume {place}");
        }
        let remarks = medium::open(path).unwrap().remarks();
        let told = &remarks.iter().find(|remark| Path::new(&remark.file) == volume).unwrap().kind;
        let cut = RemarkKind::Cut { expected: len(&good), found: keep as u64 };
        assert!([RemarkKind::BadHeader, cut].contains(told), "{told:?}");
        fs::write(volume, good).unwrap();
    }
    assert_eq!(read(&shelf, shelf.folder()), Outcome::Read, "nothing else was wrong");
}

/// Volumes that lie about what they are, and volumes of others.
struct Others {
    foreign: Vec<PathBuf>,
    otherwise: Vec<PathBuf>,
}

impl Others {
    fn of(shelf: &Shelf) -> Self {
        let folder = |name: &str| {
            let folder = shelf.dir.path().join(name);
            fs::create_dir(&folder).unwrap();
            folder
        };
        let foreign = Content::of_sizes(&[50_000; 40]).pack(&shelf.dir, shelf.vendor);
        let foreign = cut(&foreign, shelf.vendor, SMALL_VOLUME_BYTES, &folder("foreign"));
        let otherwise = cut(&shelf.archive, shelf.vendor, SMALL_VOLUME_BYTES + 90_000, &folder("otherwise"));
        assert!(foreign.len() >= 4 && otherwise.len() >= 4, "{foreign:?} {otherwise:?}");
        Self { foreign, otherwise }
    }
}

/// Writes a volume with another header, one that is whole.
fn forge(path: &Path, bytes: &[u8], change: impl FnOnce(&mut Header)) {
    let (header, stretch) = bytes.split_at(usize::try_from(HEADER_LEN).unwrap());
    let mut header = Header::parse(header).unwrap();
    change(&mut header);
    fs::write(path, [header.encode().as_slice(), stretch].concat()).unwrap();
}

#[test]
fn volumes_that_are_confused_bring_the_right_content_or_none() {
    let shelf = Shelf::small();
    let others = Others::of(&shelf);
    let good: Vec<Vec<u8>> = shelf.volumes.iter().map(|path| fs::read(path).unwrap()).collect();
    let count = good.len();
    let number = |index: usize| u32::try_from(index + 1).unwrap();
    for case in 0..CONFUSIONS {
        // Not the first, by which the set is opened; and another one.
        let one = 1 + case / 10 % (count - 1);
        let other = 1 + (one + case / 20) % (count - 1);
        let other = if other == one { 1 + one % (count - 1) } else { other };
        let [path, other_path] = [one, other].map(|index| shelf.volumes[index].as_path());
        let beside = shelf.folder().join(format!("acme-1.0.{:03}.tar.zst", 500 + case));
        let missing = Outcome::Missing(vec![number(one)]);
        let (name, expected) = match case % 10 {
            0 => {
                fs::write(path, &good[other]).unwrap();
                fs::write(other_path, &good[one]).unwrap();
                ("names swapped", Outcome::Read)
            }
            1 => {
                fs::rename(path, &beside).unwrap();
                ("renamed", Outcome::Read)
            }
            2 => {
                fs::write(&beside, &good[one]).unwrap();
                ("twice", Outcome::Read)
            }
            3 => {
                fs::write(path, &good[other]).unwrap();
                ("one twice in the place of another", missing)
            }
            4 => {
                fs::copy(&others.foreign[one % others.foreign.len()], path).unwrap();
                ("of another archive", missing)
            }
            5 => {
                fs::copy(&others.otherwise[one % others.otherwise.len()], path).unwrap();
                ("of the same archive, cut in other places", missing)
            }
            6 => {
                fs::copy(&others.foreign[case % others.foreign.len()], &beside).unwrap();
                ("another archive's beside", Outcome::Read)
            }
            7 => {
                // The header of one, the content of the other.
                let header = &good[one][..usize::try_from(HEADER_LEN).unwrap()];
                let stretch = &good[other][usize::try_from(HEADER_LEN).unwrap()..];
                fs::write(path, [header, stretch].concat()).unwrap();
                ("content swapped", Outcome::Damaged(path.to_owned()))
            }
            8 => {
                // It belongs to the set, and says that it begins elsewhere.
                forge(path, &good[one], |header| header.offset += 512);
                ("another place", missing)
            }
            _ => {
                // The other archive's content under a header of this set.
                let foreign = fs::read(&others.foreign[one % others.foreign.len()]).unwrap();
                let header = Header::parse(&good[one][..usize::try_from(HEADER_LEN).unwrap()]).unwrap();
                forge(path, &foreign, |forged| *forged = header);
                ("another archive's under our header", Outcome::Damaged(path.to_owned()))
            }
        };
        // Both volumes may be those that do not fit each other, when one of them lies.
        let found = read(&shelf, &shelf.volumes[0]);
        let neighbours = Outcome::Missing(vec![number(one) + 1]);
        let is_expected = found == expected || (case % 10 == 8 && found == neighbours);
        assert!(is_expected, "case {case}, {name}: {found:?}, not {expected:?}");
        for (path, bytes) in shelf.volumes.iter().zip(&good) {
            fs::write(path, bytes).unwrap();
        }
        if beside.exists() {
            fs::remove_file(beside).unwrap();
        }
    }
    assert_eq!(read(&shelf, shelf.folder()), Outcome::Read, "nothing else was wrong");
}

type Change = fn(&mut Header);

#[test]
fn headers_that_contradict_each_other_are_told() {
    let shelf = Shelf::small();
    let good = fs::read(&shelf.volumes[1]).unwrap();
    let cases: [(&str, Change); 4] = [
        ("another archive's packing", |header| header.packing = Digest::of(b"other")),
        ("another length of the archive", |header| header.total += 1),
        ("over the one before", |header| header.offset -= 1),
        ("over the one behind", |header| header.length += 1),
    ];
    for (name, change) in cases {
        forge(&shelf.volumes[1], &good, change);
        let set = medium::open(&shelf.volumes[0]).unwrap();
        assert!(
            set.remarks().iter().any(|remark| remark.kind == RemarkKind::Contradiction),
            "{name}: {:?}",
            set.remarks()
        );
        assert!(!matches!(read(&shelf, &shelf.volumes[0]), Outcome::Read), "{name}");
    }
}

#[test]
fn a_set_that_was_made_up_leads_nowhere() {
    // Whoever makes headers that fit, for an archive that does not: the archive's own hashes decide.
    let shelf = Shelf::small();
    let foreign = Content::of_sizes(&[50_000; 40]).pack(&shelf.dir, shelf.vendor);
    let bytes = fs::read(foreign).unwrap();
    let lengths: Vec<u64> = bytes.chunks(400_000).map(len).collect();
    let packing = Header::parse(&fs::read(&shelf.volumes[0]).unwrap()[..176]).unwrap().packing;
    let cuts = Cuts { packing, lengths };
    for (header, stretch) in cuts.headers().zip(bytes.chunks(400_000)) {
        let header = Header { digest: Digest::of(stretch), ..header };
        let path = shelf.folder().join(format!("forged.{:03}.tar.zst", header.number));
        fs::write(path, [header.encode().as_slice(), stretch].concat()).unwrap();
    }
    let forged = shelf.folder().join("forged.001.tar.zst");
    // It is opened as what it is: the archive that its bytes are, signed as that.
    let bundle = sealift_archive::Bundle::open(&forged, &shelf.vendor.root).unwrap();
    assert_ne!(bundle.packing_digest(), packing);
    assert_eq!(read(&shelf, &shelf.volumes[0]), Outcome::Read);
}
