//! Two readers, one of them written from the format's page alone, say the same about archives of all kinds.

use std::path::{Path, PathBuf};

use fs_err as fs;
use sealift_archive::{Bundle, Digest, Unwatched};
use tempfile::TempDir;

use crate::fixture::{Content, MIB, Vendor};
use crate::other_reader::SecondReader;
use crate::shelf::cut;

/// Bits that are flipped, and places where an archive ends too early, spread over all of it.
const FLIPS: usize = 60;
const CUTS: usize = 20;
/// Enough for the head and the front, and not for all blobs.
const VOLUME_BYTES: u64 = 600 << 10;

/// Whether our reader takes it, whole and right.
fn takes(path: &Path, vendor: &Vendor) -> bool {
    let checked = Bundle::open(path, &vendor.root).and_then(|bundle| bundle.check(&Unwatched));
    checked.is_ok_and(|findings| findings.is_whole())
}

#[test]
fn both_readers_find_the_same_blobs() {
    let (dir, vendor) = (TempDir::new().unwrap(), Vendor::new());
    let second = SecondReader::trusting(&vendor.root);
    // Of the last one a state stands between its two frames, if it is stored.
    for sizes in [vec![], vec![1000], vec![0], vec![0, 1, 511, 512, 513, 70_000, 200_000, 40, 77, 4 * MIB]] {
        let content = Content::of_sizes(&sizes);
        let path = content.pack(&dir, &vendor);
        assert!(takes(&path, &vendor), "{sizes:?}");
        let taken = second.verdicts(std::slice::from_ref(&path)).remove(0).unwrap();
        assert_eq!(taken, [format!("acme 1.0, blobs: {}", content.blobs.len())], "{sizes:?}");
        for (digest, bytes) in &content.blobs {
            assert!(
                second.blob(&path, &digest.to_string()).unwrap() == *bytes,
                "{} of {sizes:?}",
                bytes.len()
            );
        }
        let unknown = second.blob(&path, &Digest::of(b"?").to_string());
        assert!(unknown.unwrap_err().contains("is not in it"), "{sizes:?}");
    }
    let stranger = SecondReader::trusting(&Vendor::new().root);
    let path = Content::of_sizes(&[10]).pack(&dir, &vendor);
    assert!(stranger.verdicts(&[path])[0].as_ref().unwrap_err().contains("another vendor"));
}

#[test]
fn both_readers_find_the_same_damage() {
    let (dir, vendor) = (TempDir::new().unwrap(), Vendor::new());
    let path = Content::of_sizes(&[1, 600, 5000, 20_000, 30_000]).pack(&dir, &vendor);
    let good = fs::read(&path).unwrap();
    // Most of the head is filler: half of the flips are for what stands in it and behind it.
    let documents = good[..256 << 10].iter().rposition(|&b| b != 0).unwrap();
    let behind = good.len() - (256 << 10);
    let places = (0..FLIPS / 3)
        .map(|i| i * documents / (FLIPS / 3))
        .chain((0..FLIPS / 3).map(|i| (256 << 10) + i * behind / (FLIPS / 3)))
        .chain((0..FLIPS / 3).map(|i| i * (good.len() - 1) / (FLIPS / 3 - 1)));
    let mut damaged = Vec::new();
    let mut write = |name: String, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        damaged.push(path);
    };
    for (number, place) in places.enumerate() {
        let mut bad = good.clone();
        bad[place] ^= 1 << (number % 8);
        write(format!("flip-{number}-at-{place}"), &bad);
    }
    for left in (0..CUTS).map(|i| i * good.len() / CUTS) {
        write(format!("cut-at-{left}"), &good[..left]);
    }
    write("one-byte-more".to_owned(), &[&good[..], b"\0"].concat());
    for (path, second) in damaged.iter().zip(SecondReader::trusting(&vendor.root).verdicts(&damaged)) {
        let first = takes(path, &vendor);
        assert!(!first && second.is_err(), "{}: {first}, {second:?}", path.display());
    }
}

#[test]
fn both_readers_put_volumes_together() {
    let (dir, vendor) = (TempDir::new().unwrap(), Vendor::new());
    let content = Content::of_sizes(&[300_000, 3, 310_000, 600, 320_000, 0, 330_000]);
    let archive = content.pack(&dir, &vendor);
    let folder = |name: &str| {
        let folder = dir.path().join(name);
        fs::create_dir(&folder).unwrap();
        let volumes = cut(&archive, &vendor, VOLUME_BYTES, &folder);
        assert!(volumes.len() >= 3, "{volumes:?}");
        (folder, volumes)
    };
    let change = |path: &PathBuf, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    };
    let (whole, _) = folder("whole");
    fs::write(whole.join("._acme-1.0.001.tar.zst"), "of another system").unwrap();
    let (renamed, volumes) = folder("renamed");
    fs::rename(&volumes[0], renamed.join("zzz.tar.zst")).unwrap();
    let (one_less, volumes) = folder("one-less");
    fs::remove_file(&volumes[1]).unwrap();
    let (a_bit_of_a_header, volumes) = folder("a-bit-of-a-header");
    change(&volumes[1], &|bytes| bytes[100] ^= 1);
    let (a_bit_of_a_blob, volumes) = folder("a-bit-of-a-blob");
    change(&volumes[1], &|bytes| bytes[100_000] ^= 1);
    let (cut_short, volumes) = folder("cut-short");
    change(&volumes[1], &|bytes| bytes.truncate(bytes.len() - 1));

    let folders = [whole, renamed, one_less, a_bit_of_a_header, a_bit_of_a_blob, cut_short];
    let second = SecondReader::trusting(&vendor.root);
    for ((folder, verdict), is_good) in
        folders.iter().zip(second.verdicts(&folders)).zip([true, true, false, false, false, false])
    {
        let first = takes(folder, &vendor);
        assert_eq!((first, verdict.is_ok()), (is_good, is_good), "{}: {verdict:?}", folder.display());
    }
    for (digest, bytes) in &content.blobs {
        assert!(second.blob(&folders[0], &digest.to_string()).unwrap() == *bytes);
    }
}
