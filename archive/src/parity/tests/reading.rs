//! Archives that mend themselves while they are read, on media that fail.

use std::io;

use super::*;
use crate::format::parity::Grid;
use crate::parity::mender::Known;

/// A file of which some sectors cannot be read; from some time on, if so wanted.
#[derive(Debug)]
struct Failing {
    file: PlainFile,
    bad: Vec<u64>,
    /// Reads that still work.
    patience: AtomicU64,
}

impl Medium for Failing {
    fn name(&self) -> &str {
        self.file.name()
    }

    fn length(&self) -> Result<u64, Error> {
        self.file.length()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        let range = offset..offset + buffer.len() as u64;
        if self.bad.iter().any(|place| range.contains(place)) {
            let left = self.patience.load(Ordering::SeqCst);
            self.patience.store(left.saturating_sub(1), Ordering::SeqCst);
            if left == 0 {
                return Err(io::Error::from_raw_os_error(5).into());
            }
        }
        self.file.read_exact_at(buffer, offset)
    }
}

#[test]
fn sectors_that_cannot_be_read_are_lost_pieces() {
    let bench = Bench::new("10%", None);
    for patience in [0, 1, 3] {
        let mut mender = bench.mender();
        let bad: Vec<u64> = (0..20).map(|n| n * 40_000 + 512).collect();
        let file = PlainFile::at(&bench.volume(1));
        mender.archive[0] =
            vec![Arc::new(Failing { file, bad: bad.clone(), patience: AtomicU64::new(patience) })];
        let medium = Mended::new(None, mender);
        let mut archive = Vec::new();
        bench.content.iter().for_each(|bytes| archive.extend_from_slice(&bytes[176..]));
        for (number, place) in bad.iter().enumerate() {
            let start = usize::try_from(place - 176).unwrap().saturating_sub(3000);
            let range = start as u64..start as u64 + 10_000;
            let bytes = medium.repair(range).unwrap().unwrap();
            assert!(bytes == archive[start..start + 10_000], "{patience}: {number}");
        }
        let healed = medium.healed();
        assert!((19..=20).contains(&healed.pieces), "{patience}: {healed:?}");
        assert_eq!(healed.files, [bench.volume(1).display().to_string()].into());
    }
}

#[test]
fn each_group_is_mended_once_however_much_is_lost() {
    let bench = Bench::new("1", None);
    fs::remove_file(bench.volume(2)).unwrap();
    let mended = Mended::new(None, bench.mender());
    let mut archive = Vec::new();
    bench.content.iter().for_each(|bytes| archive.extend_from_slice(&bytes[176..]));
    assert_eq!(mended.length().unwrap(), archive.len() as u64);
    assert!(mended.parts().unwrap().missing.is_empty(), "parity makes up for it");
    for start in (0..archive.len()).step_by(100_000) {
        let end = archive.len().min(start + 100_000);
        let mut read = vec![0; end - start];
        let bytes = match mended.read_exact_at(&mut read, start as u64) {
            Ok(()) => read,
            Err(Error::VolumesMissing { numbers, .. }) => {
                assert_eq!(numbers, [2]);
                mended.repair(start as u64..end as u64).unwrap().unwrap()
            }
            Err(error) => panic!("{error}"),
        };
        assert!(bytes == archive[start..end], "{start}");
    }
    assert_eq!(mended.healed().pieces, LENGTHS[1].div_ceil(PIECE));
    assert!(mended.repair(0..archive.len() as u64 + 1).unwrap().is_none());
    // Two are too many: then nobody makes up for them, and whoever waits is told which.
    fs::remove_file(bench.volume(1)).unwrap();
    let mended = Mended::new(None, bench.mender());
    assert_eq!(mended.parts().unwrap().missing, [1, 2]);
    // Without reading what is there: it could not be enough.
    fs::write(bench.volume(3), "").unwrap();
    assert!(mended.repair(0..1000).unwrap().is_none());
}

#[test]
fn a_lie_in_the_index_is_no_repair() {
    let bench = Bench::new("10%", None);
    let mut mender = bench.mender();
    // The hash of a piece that is right in the file, and of which nobody can make what the index wants.
    mender.index.pieces[7] = [9; 16];
    let survey = mender.survey(&Unwatched).unwrap();
    assert_eq!(survey.pieces, 1);
    assert!(matches!(
        mender.repair(&bench.dir.path().join("into"), &Unwatched),
        Err(Error::BeyondParity { .. })
    ));
    assert_eq!(mender.pieces[7], Known::Lost);
    let medium = Mended::new(None, mender);
    let range = 7 * PIECE as u64..7 * PIECE as u64 + 10;
    assert!(matches!(medium.repair(range), Err(Error::BeyondParity { .. })));
}

/// Puts a parity file in place of what is there, with an index that may say anything; its hashes are right in themselves.
fn write_lie(bench: &Bench, set: Digest, header_bytes: u64, lengths: Vec<u64>) {
    let grid = Grid::plan(set, header_bytes, lengths, "1%".parse().unwrap(), None).unwrap();
    let (pieces, recovery) = (grid.pieces() as usize, grid.recovery_pieces() as usize);
    let index = Index { grid, pieces: vec![[1; 16]; pieces], recovery: vec![[2; 16]; recovery] };
    fs::write(&bench.plan.files[0].path, index.to_pages(1).as_flattened()).unwrap();
}

#[test]
fn pieces_longer_than_anything_at_hand_are_not_hashed() {
    const GIB: u64 = 1 << 30;
    let bench = Bench::new("10%", None);
    // Volume 2 would be one piece of 16 GiB, all but its first bytes zeros.
    bench.change(2, |bytes| bytes[..HEADER_BYTES].fill(0));
    let lengths = vec![GIB << 19, LENGTHS[1] as u64, GIB];
    write_lie(&bench, Digest::of(b"another"), HEADER_LEN, lengths);
    assert!(index_of(&PlainFile::at(&bench.plan.files[0].path)).unwrap().grid.piece_bytes() >= 8 * GIB);
    for wanted in [None, Some(Digest::of(b"another"))] {
        assert!(Mender::find(&[bench.volume(2)], wanted).unwrap().is_none());
    }
}

#[test]
fn an_index_with_other_lengths_is_not_of_the_set_that_it_claims() {
    let bench = Bench::new("10%", None);
    let set = bench.index().grid.set();
    let lengths = LENGTHS.map(|length| length as u64);
    write_lie(&bench, set, HEADER_LEN, lengths.into());
    assert!(Mender::find(&[bench.dir.path()], Some(set)).unwrap().is_some());
    let cases = [
        (HEADER_LEN, vec![lengths[0], lengths[1], lengths[2] - 1]),
        (HEADER_LEN, vec![lengths[1], lengths[0], lengths[2]]),
        (HEADER_LEN, vec![lengths[0]]),
        (0, vec![lengths[0]]),
    ];
    for (header_bytes, lengths) in cases {
        write_lie(&bench, set, header_bytes, lengths.clone());
        for wanted in [None, Some(set)] {
            assert!(Mender::find(&[bench.dir.path()], wanted).unwrap().is_none(), "{lengths:?}");
        }
    }
}
