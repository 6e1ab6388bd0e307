//! Every byte is read once and hashed once, by all cores and in little memory, and how many there are changes nothing.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use sealift_archive::bundle::Unverified;
use sealift_archive::format::layout::{Layout, Storing};
use sealift_archive::medium::{FileMedium, Medium};
use sealift_archive::packer::Packer;
use sealift_archive::{
    Blob, BlobSink, BlobWriter, Bundle, Check, Digest, Error, Hashed, Source as _, Unwatched,
};
use tempfile::TempDir;

use crate::fixture::{Content, MIB, Memory, Vendor, many_sizes, noise, put};
use crate::measure::{self, Measured};

/// Remembers what is read of a file.
#[derive(Debug)]
struct Watched {
    file: FileMedium,
    reads: Arc<Mutex<Vec<Range<u64>>>>,
}

impl Medium for Watched {
    fn name(&self) -> &str {
        self.file.name()
    }

    fn length(&self) -> Result<u64, Error> {
        self.file.length()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        self.reads.lock().unwrap().push(offset..offset + buffer.len() as u64);
        self.file.read_exact_at(buffer, offset)
    }
}

/// An opened archive, and the reads that come after that.
fn watch(path: &Path, vendor: &Vendor) -> (Bundle, Arc<Mutex<Vec<Range<u64>>>>) {
    let reads = Arc::default();
    let medium = Watched { file: FileMedium::open(path).unwrap(), reads: Arc::clone(&reads) };
    let bundle = Unverified::on(Box::new(medium)).unwrap().verify(&vendor.root).unwrap();
    reads.lock().unwrap().clear();
    (bundle, reads)
}

/// Where the frames are in which these blobs lie, or a header or padding of theirs.
fn frames_of(bundle: &Bundle, wanted: &BTreeSet<Digest>) -> Vec<Range<u64>> {
    let contents = bundle.contents();
    let mut starts = vec![0];
    for frame in &contents.frames {
        starts.push(starts.last().unwrap() + u64::from(frame.plain_length));
    }
    let mut is_needed = vec![false; contents.frames.len()];
    for entry in contents.entries.iter().filter(|entry| wanted.contains(&entry.blob.digest)) {
        let start = starts[entry.frame as usize] + u64::from(entry.offset);
        for (number, needed) in is_needed.iter_mut().enumerate() {
            let is_empty_here = entry.blob.size == 0 && number == entry.frame as usize;
            *needed |=
                is_empty_here || (starts[number] < start + entry.blob.size && start < starts[number + 1]);
        }
    }
    let place = |(frame, _): (&sealift_archive::format::contents::Frame, bool)| {
        let start = bundle.packing().data_offset + frame.offset;
        start..start + u64::from(frame.length)
    };
    contents.frames.iter().zip(is_needed).filter(|(_, needed)| *needed).map(place).collect()
}

#[test]
fn what_is_needed_is_read_once_and_in_order() {
    let (dir, vendor, content) = (TempDir::new().unwrap(), Vendor::new(), many_sizes());
    let (bundle, reads) = watch(&content.pack(&dir, &vendor), &vendor);
    let every_third: BTreeSet<Digest> = content.all().into_iter().step_by(3).collect();
    for wanted in [content.all(), every_third, BTreeSet::new()] {
        bundle.copy_blobs(&wanted, &Memory::default(), &Unwatched).unwrap();
        assert_eq!(std::mem::take(&mut *reads.lock().unwrap()), frames_of(&bundle, &wanted));
    }
    bundle.check(&Unwatched).unwrap();
    let all = std::mem::take(&mut *reads.lock().unwrap());
    assert_eq!(all, frames_of(&bundle, &content.all()), "every frame is one of some blob");
    for digest in content.all() {
        bundle.read_blob(&digest, &mut std::io::sink()).unwrap();
        assert_eq!(std::mem::take(&mut *reads.lock().unwrap()), frames_of(&bundle, &[digest].into()));
    }
}

#[test]
fn any_number_of_threads_squeezes_to_the_same_bytes() {
    let vendor = Vendor::new();
    let content = Content::of_sizes(&[9 * MIB + 5, 9 * MIB, 700, 3 * MIB, 5 * MIB, 0, 4 * MIB]);
    let pack = |threads: usize| {
        let dir = TempDir::new().unwrap();
        let layout = Layout::plan(std::slice::from_ref(&content.release), |_| Storing::Squeezed).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let packed = pool.install(|| {
            let packer = Packer::open(&dir.path().join("acme"), layout, &Unwatched).unwrap();
            content.fill(&packer);
            content.finish(packer, &vendor)
        });
        // The head holds signatures, and ECDSA signatures differ each time.
        fs_err::read(packed.path).unwrap().split_off(256 << 10)
    };
    let one = pack(1);
    for threads in [2, 8] {
        assert!(pack(threads) == one, "{threads} threads");
    }
}

#[test]
fn any_number_of_threads_finds_the_same() {
    let (dir, vendor, content) = (TempDir::new().unwrap(), Vendor::new(), many_sizes());
    let path = content.pack(&dir, &vendor);
    let whole = Bundle::open(&path, &vendor.root).unwrap();
    let file = fs_err::OpenOptions::new().write(true).open(&path).unwrap();
    for frame in whole.contents().frames.iter().step_by(2) {
        let at = whole.packing().data_offset + frame.offset + u64::from(frame.length) / 2;
        file.file().write_all_at(b"damage", at).unwrap();
    }
    let found = [1, 2, 8].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let memory = Memory::default();
            let refused = whole.copy_blobs(&content.all(), &memory, &Unwatched).unwrap_err();
            let arrived: Vec<Digest> = memory.0.into_inner().unwrap().into_keys().collect();
            (whole.check(&Unwatched).unwrap(), refused.to_string(), arrived)
        })
    });
    assert_eq!(found[0].0.damages.len(), whole.contents().frames.len().div_ceil(2));
    assert!(found.iter().all(|other| *other == found[0]), "{found:?}");
}

#[test]
fn an_archive_packed_from_another_one_is_the_same() {
    let (dir, vendor, content) = (TempDir::new().unwrap(), Vendor::new(), many_sizes());
    let path = content.pack(&dir, &vendor);
    let first = Bundle::open(&path, &vendor.root).unwrap();
    let again = dir.path().join("again.tar.zst");
    let packer = content.open(&again);
    // One that came from elsewhere up to the middle of a frame.
    let (digest, bytes) = content.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let mut writer = packer.open(Blob::of(bytes)).unwrap();
    writer.write(&bytes[..5_000_001]).unwrap();
    drop(writer);
    first.copy_blobs(&content.all(), &packer, &Unwatched).unwrap();
    assert!(packer.missing().is_empty(), "{digest} and the others");
    content.finish(packer, &vendor);
    let [first, again] = [path, again].map(|path| fs_err::read(path).unwrap().split_off(256 << 10));
    assert!(first == again);
}

#[test]
fn a_blob_on_its_way_to_another_archive_is_still_checked() {
    let (dir, vendor) = (TempDir::new().unwrap(), Vendor::new());
    let content = Content::new(vec![noise(2, 9 * MIB)]);
    let path = content.pack(&dir, &vendor);
    let bundle = Bundle::open(&path, &vendor.root).unwrap();
    let packer = content.open(&dir.path().join("again.tar.zst"));
    let last = bundle.contents().frames.last().unwrap();
    let at = bundle.packing().data_offset + last.offset + u64::from(last.length) - 600;
    let file = fs_err::OpenOptions::new().write(true).open(&path).unwrap();
    file.file().write_all_at(b"damage", at).unwrap();
    let refused = bundle.copy_blobs(&content.all(), &packer, &Unwatched);
    assert!(matches!(refused, Err(Error::Damaged { .. })));
    assert_eq!(packer.missing().len(), 1);
    // What came before the damage is kept, and fits what comes from elsewhere.
    for blob in packer.missing() {
        put(&packer, blob, &content.blobs[&blob.digest]);
    }
    assert!(packer.missing().is_empty());
}

/// The most that a process may have in memory while it reads an archive that is larger, itself included.
const MAX_PEAK_BYTES: u64 = 64 << 20;

#[test]
fn a_few_frames_a_core_are_in_memory() {
    let (dir, vendor) = (TempDir::new().unwrap(), Vendor::new());
    let content = Content::new(vec![noise(2, 70 * MIB), noise(3, 70 * MIB)]);
    let path = dir.path().join("acme");
    let storing = |digest: &Digest| {
        if content.blobs.keys().next() == Some(digest) { Storing::Stored } else { Storing::Squeezed }
    };
    let layout = Layout::plan(std::slice::from_ref(&content.release), storing).unwrap();
    let packer = Packer::open(&path, layout, &Unwatched).unwrap();
    content.fill(&packer);
    content.finish(packer, &vendor);
    let Measured { answer, peak_bytes } = measure::run("once::an_archive_is_verified_and_copied", &path);
    assert_eq!(answer, "0 damages in 2 blobs");
    assert!(peak_bytes < MAX_PEAK_BYTES, "{peak_bytes} bytes");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn an_archive_is_verified_and_copied() {
    let unverified = Unverified::open(&measure::file()).unwrap();
    let root = unverified.own_root().unwrap().clone();
    let bundle = unverified.verify(&root).unwrap();
    let findings = bundle.check(&Unwatched).unwrap();
    let dir = TempDir::new().unwrap();
    let wanted = bundle.contents().entries.iter().map(|entry| entry.blob.digest).collect();
    bundle.copy_blobs(&wanted, &Folder(dir.path()), &Unwatched).unwrap();
    measure::answer(&format!("{} damages in {} blobs", findings.damages.len(), findings.blobs));
}

/// Writes blobs into files.
struct Folder<'a>(&'a Path);

struct FolderFile {
    file: fs_err::File,
    check: Check,
}

impl BlobSink for Folder<'_> {
    fn open(&self, blob: Blob) -> Result<Box<dyn BlobWriter + '_>, Error> {
        let file = fs_err::File::create(self.0.join(blob.digest.hex()))?;
        Ok(Box::new(FolderFile { file, check: Check::new(blob) }))
    }
}

impl BlobWriter for FolderFile {
    fn position(&self) -> u64 {
        self.check.seen()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.check.update(bytes)?;
        Ok(self.file.write_all(bytes)?)
    }

    fn write_hashed(&mut self, content: &Hashed) -> Result<(), Error> {
        self.check.follow(content)?;
        Ok(content.pieces().try_for_each(|piece| self.file.write_all(piece))?)
    }

    fn restart(&mut self) -> Result<(), Error> {
        unreachable!("it always begins at its first byte")
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        self.check.finish()
    }
}
