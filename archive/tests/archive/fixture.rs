//! A vendor, releases of all sizes, and what takes them in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sealift_archive::format::layout::{Layout, Storing};
use sealift_archive::packer::{Front, Packed, Packer};
use sealift_archive::release::BlobListSummary;
use sealift_archive::trust::{RoleName, RootChain, SecretKey, Signature, TrustRoot};
use sealift_archive::{
    Blob, BlobList, BlobSink, BlobWriter, Check, Digest, Error, Progress, Refs, Release, ReleaseName,
    Statement, Unwatched,
};
use tempfile::TempDir;

const LEVEL: i32 = 3;
pub(crate) const MIB: usize = 1 << 20;

/// A vendor with one key for the trust root and one for everything else: enough for what is tested here.
pub(crate) struct Vendor {
    pub(crate) root_key: SecretKey,
    pub(crate) key: SecretKey,
    pub(crate) root: TrustRoot,
}

impl Vendor {
    pub(crate) fn new() -> Self {
        let [(root_key, _), (key, _)] = [(); 2].map(|()| SecretKey::generate(b"").unwrap());
        let members = [(RoleName::Root, &root_key), (RoleName::Release, &key), (RoleName::Pack, &key)];
        let members = members.map(|(role, key)| (role, vec![key.public().clone()]));
        let root = TrustRoot::first(&members.into()).unwrap();
        Self { root_key, key, root }
    }
}

/// A release of blobs of many sizes, every third one squeezed.
pub(crate) struct Content {
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
    pub(crate) release: Release,
}

impl Content {
    pub(crate) fn new(contents: Vec<Vec<u8>>) -> Self {
        let mut list = BlobList::default();
        let mut blobs = BTreeMap::new();
        for content in contents {
            list.insert(Blob::of(&content)).unwrap();
            blobs.insert(Digest::of(&content), content);
        }
        let name = ReleaseName {
            product: "acme".parse().unwrap(),
            version: "1.0".parse().unwrap(),
            sequence: 3.try_into().unwrap(),
        };
        let release = release_of(name, list);
        Self { blobs, release }
    }

    pub(crate) fn of_sizes(sizes: &[usize]) -> Self {
        Self::new(sizes.iter().enumerate().map(|(seed, &size)| noise(seed as u64, size)).collect())
    }

    pub(crate) fn layout(&self) -> Layout {
        let storing =
            |d: &Digest| if d.as_raw()[0].is_multiple_of(3) { Storing::Squeezed } else { Storing::Stored };
        Layout::plan(std::slice::from_ref(&self.release), storing).unwrap()
    }

    pub(crate) fn open(&self, path: &Path) -> Packer {
        Packer::open(path, self.layout(), &Unwatched).unwrap()
    }

    pub(crate) fn fill(&self, packer: &Packer) {
        for blob in packer.missing() {
            put(packer, blob, &self.blobs[&blob.digest]);
        }
    }

    pub(crate) fn finish(&self, packer: Packer, vendor: &Vendor) -> Packed {
        let mut roots = RootChain::default();
        roots.insert("root", vendor.root.clone()).unwrap();
        let signatures =
            [(vendor.root.bytes(), &vendor.root_key), (self.release.statement_bytes.as_slice(), &vendor.key)]
                .map(|(document, key)| Signature::sign(document, key).unwrap());
        let releases = std::slice::from_ref(&self.release);
        let front = Front { releases, roots, signatures: signatures.into_iter().collect() };
        let sign = |packing: &[u8]| Ok(vec![Signature::sign(packing, &vendor.key)?]);
        packer.finish(front, LEVEL, sign, &Unwatched).unwrap()
    }

    pub(crate) fn pack(&self, dir: &TempDir, vendor: &Vendor) -> PathBuf {
        let path = dir.path().join("acme-1.0.tar.zst");
        let packer = self.open(&path);
        self.fill(&packer);
        self.finish(packer, vendor).path
    }

    pub(crate) fn all(&self) -> BTreeSet<Digest> {
        self.blobs.keys().copied().collect()
    }
}

pub(crate) fn put(sink: &dyn BlobSink, blob: Blob, content: &[u8]) {
    let mut writer = sink.open(blob).unwrap();
    let from = usize::try_from(writer.position()).unwrap();
    for piece in content[from..].chunks(70_001) {
        writer.write(piece).unwrap();
    }
    writer.finish().unwrap();
}

/// Bytes that do not repeat (half of the sizes) or do (the other half).
pub(crate) fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    if seed.is_multiple_of(2) {
        let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next).take(size / 8 + 1).flatten().collect();
        bytes.truncate(size);
        bytes
    } else {
        next().iter().cycle().take(size).copied().collect()
    }
}

/// A release that nobody has signed yet, with nothing but content.
pub(crate) fn release_of(name: ReleaseName, blob_list: BlobList) -> Release {
    let (refs, refs_bytes) = (Refs::default(), Refs::default().to_bytes());
    let statement = Statement::new(name, BlobListSummary::of(&blob_list), Blob::of(&refs_bytes));
    let statement_bytes = statement.to_bytes();
    let (signatures, signers) = (Vec::new(), Vec::new());
    Release { statement, statement_bytes, signatures, signers, blob_list, refs, refs_bytes }
}

/// Keeps blobs in memory once they are checked.
#[derive(Default)]
pub(crate) struct Memory(pub(crate) Mutex<BTreeMap<Digest, Vec<u8>>>);

struct MemoryWriter<'a> {
    memory: &'a Memory,
    check: Check,
    bytes: Vec<u8>,
}

impl BlobSink for Memory {
    fn open(&self, blob: Blob) -> Result<Box<dyn BlobWriter + '_>, Error> {
        Ok(Box::new(MemoryWriter { memory: self, check: Check::new(blob), bytes: Vec::new() }))
    }
}

impl BlobWriter for MemoryWriter<'_> {
    fn position(&self) -> u64 {
        self.check.seen()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes.extend_from_slice(bytes);
        self.check.update(bytes)
    }

    fn restart(&mut self) -> Result<(), Error> {
        self.bytes.clear();
        self.check = Check::new(self.check.wanted());
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        let digest = self.check.wanted().digest;
        self.check.finish()?;
        self.memory.0.lock().unwrap().insert(digest, self.bytes);
        Ok(())
    }
}

pub(crate) fn many_sizes() -> Content {
    Content::of_sizes(&[
        0,
        1,
        511,
        512,
        513,
        100_000,
        131_072,
        3 * MIB,
        4 * MIB - 512,
        4 * MIB,
        9 * MIB + 5,
        40,
        77,
        4096,
    ])
}

/// Says where it stops, and remembers.
pub(crate) struct StopAfter(pub(crate) AtomicU64);

impl Progress for StopAfter {
    fn advance(&self, bytes: u64) {
        let left = self.0.load(Ordering::SeqCst);
        self.0.store(left.saturating_sub(bytes), Ordering::SeqCst);
    }

    fn is_interrupted(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}
