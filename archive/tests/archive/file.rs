//! Archives of one file are made, read, damaged, interrupted and offered to the wrong people.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::sync::atomic::AtomicU64;

use sealift_archive::packer::Packer;
use sealift_archive::trust::RoleName;
use sealift_archive::{Blob, BlobSink as _, Bundle, Digest, Error, Source as _, Unwatched};
use tempfile::TempDir;

use crate::fixture::{Content, MIB, Memory, StopAfter, Vendor, many_sizes, put};

#[test]
fn what_goes_in_comes_out() {
    let (dir, vendor, content) = (TempDir::new().unwrap(), Vendor::new(), many_sizes());
    let path = content.pack(&dir, &vendor);
    let bundle = Bundle::open(&path, &vendor.root).unwrap();
    assert_eq!(bundle.releases().len(), 1);
    assert_eq!(bundle.releases()[0].statement, content.release.statement);
    assert_eq!(bundle.releases()[0].signers, [vendor.key.public().id()]);

    let memory = Memory::default();
    bundle.copy_blobs(&content.all(), &memory, &Unwatched).unwrap();
    assert!(*memory.0.lock().unwrap() == content.blobs, "all blobs, in order");
    for (digest, bytes) in &content.blobs {
        let mut out = Vec::new();
        bundle.read_blob(digest, &mut out).unwrap();
        assert!(out == *bytes, "{digest} alone");
        let mut streamed = Vec::new();
        let mut stream = bundle.stream_blob(digest, &Unwatched).unwrap();
        stream.read_to_end(&mut streamed).unwrap();
        stream.finish().unwrap();
        assert!(streamed == *bytes, "{digest} as a stream");
    }
    let some: BTreeSet<Digest> = content.all().into_iter().step_by(3).collect();
    let memory = Memory::default();
    bundle.copy_blobs(&some, &memory, &Unwatched).unwrap();
    assert_eq!(memory.0.into_inner().unwrap().into_keys().collect::<BTreeSet<_>>(), some);

    let findings = bundle.check(&Unwatched).unwrap();
    assert_eq!((findings.damages.len(), findings.blobs), (0, content.blobs.len()));
    let left: Vec<_> = fs_err::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing is left beside the archive: {left:?}");
}

#[test]
fn a_stream_that_is_cut_short_or_damaged_does_not_count() {
    let (dir, vendor) = (TempDir::new().unwrap(), Vendor::new());
    let content = Content::of_sizes(&[9 * MIB + 5]);
    let path = content.pack(&dir, &vendor);
    let (digest, _) = content.blobs.first_key_value().unwrap();
    let bundle = Bundle::open(&path, &vendor.root).unwrap();
    // Whoever takes no more than the beginning still learns about all of it.
    let mut stream = bundle.stream_blob(digest, &Unwatched).unwrap();
    stream.read_exact(&mut [0; 10]).unwrap();
    stream.finish().unwrap();
    let stop = StopAfter(AtomicU64::new(1));
    let mut stream = bundle.stream_blob(digest, &stop).unwrap();
    assert!(stream.read_to_end(&mut Vec::new()).is_err());
    assert!(matches!(stream.finish(), Err(Error::Interrupted)));

    let good = fs_err::read(&path).unwrap();
    let file = fs_err::OpenOptions::new().write(true).open(&path).unwrap();
    let at = bundle.packing().length / 3;
    std::os::unix::fs::FileExt::write_all_at(file.file(), b"damage", at).unwrap();
    let mut stream = bundle.stream_blob(digest, &Unwatched).unwrap();
    let mut piece = vec![0; MIB];
    while stream.read(&mut piece).is_ok_and(|n| n > 0) {}
    for again in 0..3 {
        assert!(stream.read(&mut piece).is_err(), "{again}: what is behind the damage is not given away");
    }
    assert!(matches!(stream.finish(), Err(Error::Damaged { .. })));
    fs_err::write(&path, &good).unwrap();

    let at = bundle.packing().length - 2 * MIB as u64;
    std::os::unix::fs::FileExt::write_all_at(file.file(), b"damage", at).unwrap();
    let mut stream = bundle.stream_blob(digest, &Unwatched).unwrap();
    stream.read_exact(&mut vec![0; MIB]).unwrap();
    let said = stream.read_to_end(&mut Vec::new()).unwrap_err().to_string();
    assert!(said.contains("damaged"), "{said}");
    assert!(matches!(stream.finish(), Err(Error::Damaged { .. })));
    assert!(matches!(bundle.stream_blob(&Digest::of(b"?"), &Unwatched), Err(Error::MissingBlob { .. })));
}

#[test]
fn stock_zstd_reads_one_tar_stream() {
    let (dir, vendor, content) = (TempDir::new().unwrap(), Vendor::new(), many_sizes());
    let plain = zstd::decode_all(fs_err::File::open(content.pack(&dir, &vendor)).unwrap()).unwrap();
    let mut names = BTreeSet::new();
    for entry in tar::Archive::new(&plain[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        if let Some(hex) = name.strip_prefix("blobs/sha256/") {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            assert_eq!(Digest::of(&bytes).hex(), hex);
        }
        names.insert(name);
    }
    for name in [
        "pack.json",
        "releases/3/release.json",
        "releases/3/blobs",
        "releases/3/refs.json",
        "root/1.json",
        "contents",
    ] {
        assert!(names.contains(name), "{name} in {names:?}");
    }
    assert!(plain.ends_with(&[0; 1024]), "a tar end");
}

#[test]
fn the_same_release_makes_the_same_bytes_on_any_number_of_threads() {
    let (vendor, content) = (Vendor::new(), many_sizes());
    let mut data: Vec<Vec<u8>> = Vec::new();
    for threads in [1, 8] {
        let dir = TempDir::new().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let bytes = fs_err::read(pool.install(|| content.pack(&dir, &vendor))).unwrap();
        // The head holds signatures, and ECDSA signatures differ each time; everything behind it is the same.
        data.push(bytes[256 << 10..].to_vec());
    }
    assert!(data[0] == data[1]);
}

#[test]
fn an_interrupted_packing_goes_on_where_it_stopped() {
    let (dir, vendor, content) = (TempDir::new().unwrap(), Vendor::new(), many_sizes());
    let whole = fs_err::read(content.pack(&dir, &vendor)).unwrap();
    let path = dir.path().join("again.tar.zst");
    let big = *content.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap().0;
    let layout = content.layout();
    let packer = content.open(&path);
    for blob in layout.blobs().filter(|b| b.digest != big).take(5) {
        put(&packer, blob, &content.blobs[&blob.digest]);
    }
    let blob = Blob::of(&content.blobs[&big]);
    let mut writer = packer.open(blob).unwrap();
    writer.write(&content.blobs[&big][..5_000_001]).unwrap();
    drop(writer);
    drop(packer);
    // What the journal remembers and the disk lost is fetched again.
    let partial = dir.path().join("again.tar.zst.partial");
    let lost = layout.stored.iter().find(|p| p.blob.digest != big && p.blob.size > 0).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&partial).unwrap();
    let (at, _) = lost.run_at(0);
    std::os::unix::fs::FileExt::write_all_at(&file, b"lost?", layout.data_offset + at).unwrap();

    let packer = content.open(&path);
    let missing: BTreeSet<Digest> = packer.missing().iter().map(|b| b.digest).collect();
    let was_there =
        5 - usize::from(layout.blobs().filter(|b| b.digest != big).take(5).any(|b| b == lost.blob));
    assert_eq!(missing.len(), content.blobs.len() - was_there);
    assert_eq!(packer.open(blob).unwrap().position(), 5_000_001);
    // Dropped untouched, the part is still remembered.
    drop(packer);
    let packer = content.open(&path);
    content.fill(&packer);
    content.finish(packer, &vendor);
    let again = fs_err::read(&path).unwrap();
    assert!(again[256 << 10..] == whole[256 << 10..]);
}

#[test]
fn what_a_power_cut_took_around_a_blob_is_put_back() {
    let (dir, vendor, content) = (TempDir::new().unwrap(), Vendor::new(), many_sizes());
    let whole = fs_err::read(content.pack(&dir, &vendor)).unwrap();
    let path = dir.path().join("again.tar.zst");
    let packer = content.open(&path);
    content.fill(&packer);
    drop(packer);
    // Headers and padding pass no hash of a blob: each place where a stored blob begins is wiped.
    let layout = content.layout();
    let partial =
        fs_err::OpenOptions::new().write(true).open(dir.path().join("again.tar.zst.partial")).unwrap();
    for place in &layout.stored {
        let at = layout.data_offset + place.offset;
        std::os::unix::fs::FileExt::write_all_at(partial.file(), &[0; 300], at).unwrap();
    }
    let packer = content.open(&path);
    assert!(packer.missing().is_empty(), "all content is there");
    content.finish(packer, &vendor);
    assert!(fs_err::read(&path).unwrap()[256 << 10..] == whole[256 << 10..]);
}

#[test]
fn nothing_of_another_plan_stays() {
    let (dir, vendor) = (TempDir::new().unwrap(), Vendor::new());
    let path = dir.path().join("acme-1.0.tar.zst");
    let other = Content::new((0..40).map(|i| vec![b'!'; 3000 + i]).collect());
    let packer = other.open(&path);
    other.fill(&packer);
    drop(packer);
    let content = many_sizes();
    let bytes = fs_err::read(content.pack(&dir, &vendor)).unwrap();
    let clean = TempDir::new().unwrap();
    let again = fs_err::read(content.pack(&clean, &vendor)).unwrap();
    assert!(bytes[256 << 10..] == again[256 << 10..]);
}

#[test]
fn a_blob_of_another_size_than_planned_is_refused() {
    let (dir, content) = (TempDir::new().unwrap(), many_sizes());
    let packer = content.open(&dir.path().join("acme.tar.zst"));
    for blob in packer.missing() {
        for size in [blob.size + 1, blob.size.saturating_sub(1)].into_iter().filter(|&s| s != blob.size) {
            let refused = packer.open(Blob { size, ..blob });
            assert!(matches!(refused.map(drop), Err(Error::Inconsistent { .. })), "{blob:?} with {size}");
        }
    }
}

#[test]
fn whoever_waited_for_an_archive_does_not_wipe_it() {
    let (dir, vendor, content) = (TempDir::new().unwrap(), Vendor::new(), many_sizes());
    let path = content.pack(&dir, &vendor);
    let finished = fs_err::read(&path).unwrap();
    // A second run of the same command begins a file of its own.
    let packer = content.open(&path);
    assert_eq!(packer.missing().len(), content.blobs.len());
    drop(packer);
    assert!(fs_err::read(&path).unwrap() == finished);
}

#[test]
fn a_wrong_blob_is_refused_and_can_come_again() {
    let (dir, vendor, content) = (TempDir::new().unwrap(), Vendor::new(), many_sizes());
    let path = dir.path().join("acme.tar.zst");
    let packer = content.open(&path);
    for blob in packer.missing() {
        let mut writer = packer.open(blob).unwrap();
        let mut wrong = content.blobs[&blob.digest].clone();
        if let Some(first) = wrong.first_mut() {
            *first ^= 1;
            writer.write(&wrong).unwrap();
            assert!(matches!(writer.finish(), Err(Error::WrongContent { .. })));
        }
        let mut writer = packer.open(blob).unwrap();
        assert_eq!(writer.position(), 0, "nothing of the wrong blob is kept");
        assert!(matches!(writer.write(&vec![0; wrong.len() + 1]), Err(Error::WrongSize { .. })));
        drop(writer);
    }
    assert_eq!(packer.missing().len(), content.blobs.len());
    content.fill(&packer);
    content.finish(packer, &vendor);
    assert!(Bundle::open(&path, &vendor.root).unwrap().check(&Unwatched).unwrap().damages.is_empty());
}

#[test]
fn two_packers_do_not_meet_in_one_file() {
    let (dir, content) = (TempDir::new().unwrap(), many_sizes());
    let path = dir.path().join("acme.tar.zst");
    let first = content.open(&path);
    let second = Packer::open(&path, content.layout(), &Unwatched);
    assert!(matches!(second, Err(Error::Busy { .. })));
    drop(first);
}

#[test]
fn the_wrong_people_and_the_wrong_files_are_refused() {
    let (dir, vendor, content) = (TempDir::new().unwrap(), Vendor::new(), Content::of_sizes(&[10, 20]));
    let path = content.pack(&dir, &vendor);
    let stranger = Vendor::new();
    assert!(matches!(Bundle::open(&path, &stranger.root), Err(Error::OtherVendor { .. })));

    // Signed by a key that the root does not know, under a name that it does.
    let forged = Vendor { root: vendor.root.clone(), ..stranger };
    let path = content.pack(&dir, &forged);
    assert!(matches!(Bundle::open(&path, &vendor.root), Err(Error::Unsigned { role: RoleName::Root, .. })));

    let text = dir.path().join("text");
    fs_err::write(&text, "hello").unwrap();
    assert!(matches!(Bundle::open(&text, &vendor.root), Err(Error::NotAnArchive { .. })));
    assert!(matches!(Bundle::open(&dir.path().join("nothing"), &vendor.root), Err(Error::Io(_))));
}

#[test]
fn no_flipped_bit_and_no_cut_goes_unnoticed() {
    const FLIPS: usize = 200;
    const CUTS: usize = 50;
    let (dir, vendor) = (TempDir::new().unwrap(), Vendor::new());
    let content = Content::of_sizes(&[1, 600, 5000, 200_000, MIB, 5 * MIB]);
    let path = content.pack(&dir, &vendor);
    let good = fs_err::read(&path).unwrap();
    let bad_path = dir.path().join("bad.tar.zst");
    let refused = |bytes: &[u8]| {
        fs_err::write(&bad_path, bytes).unwrap();
        let memory = Memory::default();
        let said = Bundle::open(&bad_path, &vendor.root)
            .and_then(|bundle| bundle.copy_blobs(&content.all(), &memory, &Unwatched));
        // Whatever arrived before the damage was noticed is what it should be.
        for (digest, bytes) in memory.0.into_inner().unwrap() {
            assert_eq!(Digest::of(&bytes), digest);
        }
        said.is_err()
    };
    assert!(!refused(&good), "the good one is taken");
    // Half of the places in the head and front, the other half over the rest.
    let front = 300 << 10;
    let places = (0..FLIPS / 2)
        .map(|i| i * front / (FLIPS / 2))
        .chain((0..FLIPS / 2).map(|i| front + i * (good.len() - front) / (FLIPS / 2)));
    let mut bad = good.clone();
    for (number, place) in places.enumerate() {
        bad[place] ^= 1 << (number % 8);
        assert!(refused(&bad), "bit {} of byte {place}", number % 8);
        bad[place] = good[place];
    }
    for cut in (0..CUTS).map(|i| i * good.len() / CUTS) {
        assert!(refused(&good[..cut]), "cut to {cut}");
    }
    assert!(refused(&[good.as_slice(), b"\0"].concat()), "one byte more");
}

#[test]
fn damage_is_named_with_the_blobs_that_it_costs() {
    let (dir, vendor) = (TempDir::new().unwrap(), Vendor::new());
    let content = Content::of_sizes(&[600, 5 * MIB, 9 * MIB, 100]);
    let path = content.pack(&dir, &vendor);
    let bundle = Bundle::open(&path, &vendor.root).unwrap();
    let contents = bundle.contents().clone();
    let mut bytes = fs_err::read(&path).unwrap();
    for (number, frame) in contents.frames.iter().enumerate() {
        let place = usize::try_from(bundle.packing().data_offset + frame.offset).unwrap() + 100;
        bytes[place] ^= 1;
        fs_err::write(&path, &bytes).unwrap();
        let findings = Bundle::open(&path, &vendor.root).unwrap().check(&Unwatched).unwrap();
        assert_eq!(findings.damages.len(), 1, "frame {number}");
        let damage = &findings.damages[0];
        assert_eq!(damage.frame as usize, number);
        let last = contents.entries[frame.last_blob as usize].blob.digest;
        assert!(damage.blobs.contains(&last), "frame {number}: {damage:?}");
        bytes[place] ^= 1;
    }
}

#[test]
fn copying_stops_when_asked() {
    let (dir, vendor, content) = (TempDir::new().unwrap(), Vendor::new(), many_sizes());
    let bundle = Bundle::open(&content.pack(&dir, &vendor), &vendor.root).unwrap();
    let stop = StopAfter(AtomicU64::new(5_000_000));
    let memory = Memory::default();
    assert!(matches!(bundle.copy_blobs(&content.all(), &memory, &stop), Err(Error::Interrupted)));
    let arrived: usize = memory.0.into_inner().unwrap().values().map(Vec::len).sum();
    assert!(arrived < 5_000_000 + 4 * MIB, "no more than a frame later: {arrived}");
}
