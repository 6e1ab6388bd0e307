#![expect(clippy::cast_possible_truncation, reason = "bytes are made of longer numbers")]

use std::ops::Range;

use proptest::prelude::*;
use sealift_archive::Unwatched;

use super::*;

/// A disk in memory that knows where it holds data, if it is told.
#[derive(Debug)]
struct Memory {
    bytes: Vec<u8>,
    data: Vec<Range<u64>>,
}

impl Memory {
    fn full(bytes: Vec<u8>) -> Self {
        let data = std::iter::once(0..bytes.len() as u64).collect();
        Self { bytes, data }
    }
}

impl Disk for Memory {
    fn capacity(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn next_data(&mut self, at: u64) -> Result<Option<Range<u64>>, CommandError> {
        let found = self.data.iter().find(|range| range.end > at);
        Ok(found.map(|range| range.start.max(at)..range.end))
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), CommandError> {
        let at = usize::try_from(at).unwrap();
        into.copy_from_slice(&self.bytes[at..at + into.len()]);
        Ok(())
    }
}

impl Sink for Vec<u8> {
    fn append(&mut self, bytes: &[u8]) -> Result<(), CommandError> {
        self.extend(bytes);
        Ok(())
    }
}

const STYLE: Style<'_> = Style { name: "test.vmdk", hardware: 17, level: 1 };

fn written(disk: &mut dyn Disk) -> (Vec<u8>, u64) {
    let mut file = Vec::new();
    let populated = write(disk, STYLE, &mut file, &Unwatched).unwrap();
    (file, populated)
}

#[test]
fn edges_of_grains_and_tables() {
    const TABLE_BYTES: usize = TABLE_ENTRIES * GRAIN_BYTES;
    // Length of the disk, where bytes that are not zero lie, and how many grains that makes.
    let cases: [(usize, &[usize], u64); 7] = [
        (512, &[], 0),
        (512, &[0], 1),
        (GRAIN_BYTES, &[GRAIN_BYTES - 1], 1),
        (GRAIN_BYTES + 512, &[GRAIN_BYTES - 1, GRAIN_BYTES], 2),
        (TABLE_BYTES, &[0, TABLE_BYTES - 1], 2),
        (TABLE_BYTES + 512, &[TABLE_BYTES - 1, TABLE_BYTES], 2),
        (3 * TABLE_BYTES + 1024, &[1, 2 * TABLE_BYTES, 3 * TABLE_BYTES + 1023], 3),
    ];
    for (length, places, grains) in cases {
        let mut bytes = vec![0; length];
        for &place in places {
            bytes[place] = 1;
        }
        let (file, populated) = written(&mut Memory::full(bytes.clone()));
        assert!(reader::read(&file) == bytes, "{length} {places:?}");
        let expected = (grains * GRAIN_BYTES as u64).min(length as u64);
        assert_eq!(populated, expected, "{length} {places:?}");
    }
}

#[test]
fn what_cannot_be_compressed_is_longer_and_still_right() {
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(3 * GRAIN_BYTES)
    .collect();
    for level in [1, 6, 9] {
        let mut file = Vec::new();
        write(&mut Memory::full(noise.clone()), Style { level, ..STYLE }, &mut file, &Unwatched).unwrap();
        assert!(file.len() > noise.len() && reader::read(&file) == noise, "{level}");
    }
}

#[test]
fn the_same_on_one_core_and_on_several() {
    let words: Vec<u8> = (0..10_000_000_u32).map(|n| (n.wrapping_mul(n) >> 13) as u8).collect();
    let mut bytes = words;
    bytes.resize(20 << 20, 0);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| written(&mut Memory::full(bytes.clone())).0)
    };
    let one = on(1);
    assert!(one == on(2) && one == on(5));
}

#[test]
fn an_interruption_and_a_full_disk_stop_it() {
    struct Asked;
    impl Progress for Asked {
        fn advance(&self, _: u64) {}
        fn is_interrupted(&self) -> bool {
            true
        }
    }
    #[derive(Debug)]
    struct Full;
    impl Sink for Full {
        fn append(&mut self, _: &[u8]) -> Result<(), CommandError> {
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into())
        }
    }
    let disk = || Memory::full(vec![1; GRAIN_BYTES]);
    let stopped = write(&mut disk(), STYLE, &mut Vec::new(), &Asked).unwrap_err();
    assert!(matches!(stopped, CommandError::Archive(sealift_archive::Error::Interrupted)), "{stopped}");
    assert!(matches!(write(&mut disk(), STYLE, &mut Full, &Unwatched).unwrap_err(), CommandError::Io(_)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is on a disk, and wherever it is known to be, comes back.
    #[test]
    fn disks_come_back(
        sectors in 1_u64..200_000,
        pieces in proptest::collection::vec((0.0..1.0_f64, 1_usize..200_000, any::<u8>()), 0..12),
    ) {
        let length = usize::try_from(sectors).unwrap() * layout::SECTOR_BYTES;
        let mut bytes = vec![0; length];
        let mut data = Vec::new();
        for (place, size, seed) in pieces {
            #[expect(clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a small disk")]
            let start = (place * length as f64) as usize;
            let end = (start + size).min(length);
            for (at, byte) in (0_u8..=255).cycle().zip(&mut bytes[start..end]) {
                *byte = at.wrapping_mul(seed);
            }
            data.push(start as u64..end as u64);
        }
        data.sort_by_key(|range| range.start);
        // Pieces that overlap are one.
        let mut known: Vec<Range<u64>> = Vec::new();
        for range in data {
            match known.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => known.push(range),
            }
        }
        let (file, _) = written(&mut Memory { bytes: bytes.clone(), data: known });
        prop_assert!(reader::read(&file) == bytes);
        prop_assert!(file == written(&mut Memory::full(bytes)).0, "holes that are not known make no difference");
    }
}
