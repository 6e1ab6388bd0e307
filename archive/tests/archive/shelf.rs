//! An archive and its volumes, cut by hand.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use fs_err as fs;
use sealift_archive::format::volume::{Cuts, HEADER_LEN, Header};
use sealift_archive::{Bundle, Digest, Error, Source as _, Unwatched};
use tempfile::TempDir;

use crate::fixture::{Content, MIB, Memory, Vendor};

/// The most bytes of a volume here.
pub(crate) const VOLUME_BYTES: u64 = 5 * MIB as u64;

/// And in a small one: little more than the front, which is never cut.
pub(crate) const SMALL_VOLUME_BYTES: u64 = 300 << 10;

/// Keys take a second to make, so all tests share them.
static VENDOR: LazyLock<Vendor> = LazyLock::new(Vendor::new);

/// An archive of some MiB, and volumes of it that were cut by hand.
pub(crate) struct Shelf {
    pub(crate) dir: TempDir,
    pub(crate) vendor: &'static Vendor,
    pub(crate) content: Content,
    pub(crate) archive: PathBuf,
    pub(crate) volumes: Vec<PathBuf>,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self::of(&[3, 600, 200_000, 9 * MIB, 100, 5 * MIB], VOLUME_BYTES)
    }

    /// One that is made and read in no time.
    pub(crate) fn small() -> Self {
        Self::of(&[40_000; 30], SMALL_VOLUME_BYTES)
    }

    fn of(sizes: &[usize], volume_bytes: u64) -> Self {
        let (dir, vendor) = (TempDir::new().unwrap(), &*VENDOR);
        let content = Content::of_sizes(sizes);
        let archive = content.pack(&dir, vendor);
        let folder = dir.path().join("volumes");
        fs::create_dir(&folder).unwrap();
        let volumes = cut(&archive, vendor, volume_bytes, &folder);
        assert!(volumes.len() >= 4, "{volumes:?}");
        Self { dir, vendor, content, archive, volumes }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.volumes[0].parent().unwrap()
    }

    /// Everything through the given path, or why not.
    pub(crate) fn read(&self, path: &Path) -> Result<(), Error> {
        let bundle = Bundle::open(path, &self.vendor.root)?;
        let memory = Memory::default();
        let copied = bundle.copy_blobs(&self.content.all(), &memory, &Unwatched);
        for (digest, bytes) in &*memory.0.lock().unwrap() {
            assert_eq!(Digest::of(bytes), *digest, "whatever arrived is right");
        }
        copied?;
        assert!(*memory.0.lock().unwrap() == self.content.blobs);
        Ok(())
    }
}

/// Cuts an archive at the frames, with nothing of the code that it is compared with.
pub(crate) fn cut(archive: &Path, vendor: &Vendor, size: u64, folder: &Path) -> Vec<PathBuf> {
    let bundle = Bundle::open(archive, &vendor.root).unwrap();
    let bytes = fs::read(archive).unwrap();
    let data = bundle.packing().data_offset;
    let mut lengths = vec![data];
    let tail = bundle.contents().frames.last().map_or(data, |f| data + f.offset + u64::from(f.length));
    let frames = bundle.contents().frames.iter().map(|f| u64::from(f.length));
    for frame in frames.chain([bytes.len() as u64 - tail]) {
        match lengths.last_mut() {
            Some(last) if HEADER_LEN + *last + frame <= size => *last += frame,
            _ => lengths.push(frame),
        }
    }
    let cuts = Cuts { packing: bundle.packing_digest(), lengths };
    cuts.headers()
        .map(|header| {
            let range = header.range();
            let stretch = &bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
            let header = Header { digest: Digest::of(stretch), ..header };
            let path = folder.join(format!("acme-1.0.{:03}.tar.zst", header.number));
            fs::write(&path, [header.encode().as_slice(), stretch].concat()).unwrap();
            path
        })
        .collect()
}
