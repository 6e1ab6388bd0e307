//! The index of parity files: the grid, and the hash of each piece and each recovery piece.
//!
//! ```text
//! magic       8  "SLPARI01"
//! set        32  as volumes have it
//! number      4  of this parity file, from 1: the only thing that differs from file to file
//! count       4  of parity files
//! files       4
//! header      4  bytes at the start of each file that are no part of the archive
//! piece       8  length of a piece
//! pieces      4
//! groups      4
//! recovery    4  recovery pieces of a group
//! lengths     8  for each file
//! rows        4  for each parity file: how many recovery pieces of each group it has
//! hashes     16  for each piece
//! hashes     16  for each recovery piece, row by row
//! ```

use sha2::{Digest as _, Sha256};

use super::grid::{Grid, Parts};
use super::page::{self, PAYLOAD_BYTES, Page};
use super::{MAX_FILES, MAX_GROUP_PIECES, MAX_PIECES};
use crate::Digest;

const MAGIC: &[u8; 8] = b"SLPARI01";
const HEADER_LEN: usize = 76;
const LENGTH_LEN: usize = 8;
const ROWS_LEN: usize = 4;

/// SHA-256 of a whole piece, zeros at its end included, cut to 16 bytes. It tells which bytes an accident has changed;
/// nothing is trusted for it, so it need not stand up to people.
pub type PieceHash = [u8; 16];

/// Hashes a piece.
#[derive(Clone, Debug, Default)]
pub struct PieceHasher(Sha256);

impl PieceHasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all of them.
    #[must_use]
    pub fn finish(self) -> PieceHash {
        let mut cut = PieceHash::default();
        let whole: [u8; 32] = self.0.finalize().into();
        cut.copy_from_slice(&whole[..size_of::<PieceHash>()]);
        cut
    }
}

/// Everything that is known of the pieces of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Where they lie.
    pub grid: Grid,
    /// Hash of each piece.
    pub pieces: Vec<PieceHash>,
    /// Hash of each recovery piece: piece `row` of a group is at `row * groups + group`.
    pub recovery: Vec<PieceHash>,
}

/// The beginning of an index: enough to know how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What volumes call their set.
    pub set: Digest,
    /// Number of this parity file, from 1.
    pub number: u32,
    /// How many parity files there are.
    pub count: u32,
    files: u32,
    /// Bytes at the start of each file that are no part of the archive.
    skipped: u32,
    piece_bytes: u64,
    pieces: u32,
    groups: u32,
    recovery: u32,
}

/// Length of an index in bytes, before it is cut into pages.
pub(super) fn encoded_len(files: usize, parity_files: usize, grid: &Grid, recovery: u32) -> u64 {
    table_len(files, parity_files, u64::from(grid.pieces()) + u64::from(grid.groups()) * u64::from(recovery))
}

fn table_len(files: usize, parity_files: usize, hashes: u64) -> u64 {
    (HEADER_LEN + LENGTH_LEN * files + ROWS_LEN * parity_files) as u64
        + size_of::<PieceHash>() as u64 * hashes
}

impl Header {
    /// Reads the beginning of what the first page holds; `None` if it is none, or larger than anything may be.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut input = payload.strip_prefix(MAGIC)?;
        let header = Self {
            set: Digest::from_raw(take(&mut input)?),
            number: u32::from_le_bytes(take(&mut input)?),
            count: u32::from_le_bytes(take(&mut input)?),
            files: u32::from_le_bytes(take(&mut input)?),
            skipped: u32::from_le_bytes(take(&mut input)?),
            piece_bytes: u64::from_le_bytes(take(&mut input)?),
            pieces: u32::from_le_bytes(take(&mut input)?),
            groups: u32::from_le_bytes(take(&mut input)?),
            recovery: u32::from_le_bytes(take(&mut input)?),
        };
        let fits = (1..=MAX_FILES).contains(&header.count)
            && (1..=header.count).contains(&header.number)
            && (1..=MAX_FILES).contains(&header.files)
            && (1..=MAX_PIECES).contains(&header.pieces)
            && (1..=header.pieces).contains(&header.groups)
            && header.pieces.div_ceil(header.groups) <= MAX_GROUP_PIECES
            // More would be of no use; so the hashes of all together are bounded too.
            && (1..=header.pieces.div_ceil(header.groups)).contains(&header.recovery);
        fits.then_some(header)
    }

    /// Reads a first page, whose hash depends on what it says; `None` if it is damaged, or none.
    #[must_use]
    pub fn of_page(page: &Page) -> Option<Self> {
        let header = Self::parse(page)?;
        page::payload(&header.plan(), 0, page).map(|_| header)
    }

    /// What all parity files have in common that were made together: two plans for one archive are two.
    #[must_use]
    pub fn plan(&self) -> Digest {
        Digest::of(&Self { number: 0, ..*self }.encode())
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(self.set.as_raw());
        for field in [self.number, self.count, self.files, self.skipped] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&self.piece_bytes.to_le_bytes());
        for field in [self.pieces, self.groups, self.recovery] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out
    }

    /// How many pages the index has.
    #[must_use]
    pub fn pages(&self) -> u64 {
        page::count(self.index_len())
    }

    fn index_len(&self) -> u64 {
        let hashes = u64::from(self.pieces) + u64::from(self.groups) * u64::from(self.recovery);
        table_len(self.files as usize, self.count as usize, hashes)
    }
}

impl Index {
    /// What the index of parity file `number` (from 1) begins with.
    #[must_use]
    pub fn header(&self, number: u32) -> Header {
        let grid = &self.grid;
        let narrow = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        Header {
            set: grid.set(),
            number,
            count: narrow(grid.rows().len()),
            files: narrow(grid.lengths().len()),
            skipped: u32::try_from(grid.header_bytes()).unwrap_or(u32::MAX),
            piece_bytes: grid.piece_bytes(),
            pieces: grid.pieces(),
            groups: grid.groups(),
            recovery: grid.recovery(),
        }
    }

    /// The pages of the index, as they stand at the start of parity file `number` (from 1).
    #[must_use]
    pub fn to_pages(&self, number: u32) -> Vec<Page> {
        let header = self.header(number);
        let mut stream = header.encode();
        self.grid.lengths().iter().for_each(|length| stream.extend_from_slice(&length.to_le_bytes()));
        self.grid.rows().iter().for_each(|rows| stream.extend_from_slice(&rows.to_le_bytes()));
        stream.extend_from_slice(self.pieces.as_flattened());
        stream.extend_from_slice(self.recovery.as_flattened());
        let plan = header.plan();
        (0..).zip(stream.chunks(PAYLOAD_BYTES)).map(|(n, part)| page::make(&plan, n, part)).collect()
    }

    /// Reads an index from the payloads of all its pages, one behind the other.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(payloads: &[u8]) -> Result<Self, &'static str> {
        let header = Header::parse(payloads).ok_or("it does not begin as it must")?;
        let length = usize::try_from(header.index_len()).map_err(|_| "it is too long")?;
        // Before anything is taken out: the bytes themselves are the bound.
        let whole = header.pages().checked_mul(PAYLOAD_BYTES as u64);
        let (stream, padding) = payloads
            .split_at_checked(length)
            .filter(|_| whole == Some(payloads.len() as u64))
            .ok_or("its length does not fit its counts")?;
        if padding.iter().any(|&b| b != 0) {
            return Err("something stands behind its end");
        }
        let mut input = stream.get(HEADER_LEN..).ok_or("it is cut")?;
        let lengths = take_all(&mut input, header.files, u64::from_le_bytes).ok_or("it is cut")?;
        let rows = take_all(&mut input, header.count, u32::from_le_bytes).ok_or("it is cut")?;
        let (groups, recovery) = (header.groups, header.recovery);
        let grid = Grid::from_index(Parts {
            set: header.set,
            header_bytes: header.skipped.into(),
            piece_bytes: header.piece_bytes,
            pieces: header.pieces,
            lengths,
            groups,
            recovery,
            rows,
        })?;
        let pieces = take_all(&mut input, header.pieces, |hash| hash).ok_or("it is cut")?;
        let recovery = take_all(&mut input, groups * recovery, |hash| hash).ok_or("it is cut")?;
        Ok(Self { grid, pieces, recovery })
    }
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*head)
}

fn take_all<T, const N: usize>(input: &mut &[u8], count: u32, read: impl Fn([u8; N]) -> T) -> Option<Vec<T>> {
    let bytes;
    (bytes, *input) = input.split_at_checked(N.checked_mul(count as usize)?)?;
    Some(bytes.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(lengths: &[u64], most: Option<u64>) -> Index {
        let amount = "10%".parse().unwrap();
        let grid = Grid::plan(Digest::of(b"set"), 176, lengths.to_vec(), amount, most).unwrap();
        let hashes = |count: u32| {
            (0..count)
                .map(|n| {
                    let mut hasher = PieceHasher::default();
                    hasher.update(&n.to_le_bytes());
                    hasher.finish()
                })
                .collect()
        };
        Index { pieces: hashes(grid.pieces()), recovery: hashes(grid.recovery_pieces()), grid }
    }

    fn payloads(index: &Index, number: u32) -> Vec<u8> {
        let plan = index.header(number).plan();
        (0..)
            .zip(index.to_pages(number))
            .flat_map(|(n, page)| page::payload(&plan, n, &page).unwrap().to_vec())
            .collect()
    }

    #[test]
    fn an_index_is_read_as_it_was_written() {
        let index = sample(&[1_000_000, 2_000_000, 300], Some(200_000));
        assert!(index.grid.rows().len() > 1);
        for number in [1, 2] {
            let pages = index.to_pages(number);
            assert_eq!(pages.len() as u64 * page::PAGE_BYTES, index.grid.index_bytes());
            assert_eq!(Header::of_page(&pages[0]), Some(index.header(number)));
            assert_eq!(Header::of_page(&pages[1]), None);
            let bytes = payloads(&index, number);
            let header = Header::parse(&bytes).unwrap();
            assert_eq!((header.number, header.pages()), (number, pages.len() as u64));
            assert_eq!(Index::parse(&bytes).as_ref(), Ok(&index));
        }
        assert_eq!(index.to_pages(1)[1..], index.to_pages(2)[1..], "only the first page knows the number");
    }

    #[test]
    fn an_index_that_lies_is_refused() {
        let good = payloads(&sample(&[1_000_000, 2_000_000], None), 1);
        let rows_at = HEADER_LEN + 2 * LENGTH_LEN;
        let cases: [(&str, usize, &[u8]); 19] = [
            ("magic", 0, b"SLPARI02"),
            ("number 0", 40, &[0; 4]),
            ("number above the count", 40, &[2, 0, 0, 0]),
            ("no parity file", 44, &[0; 4]),
            ("too many parity files", 44, &1000_u32.to_le_bytes()),
            ("no file", 48, &[0; 4]),
            ("a file too many", 48, &[3, 0, 0, 0]),
            ("headers longer than files", 52, &[0xFF; 4]),
            ("pieces of 0 bytes", 56, &[0; 8]),
            ("small pieces", 56, &2048_u64.to_le_bytes()),
            ("odd pieces", 56, &4097_u64.to_le_bytes()),
            ("huge pieces", 56, &(1_u64 << 63).to_le_bytes()),
            ("other pieces", 64, &[1, 0, 0, 0]),
            ("no group", 68, &[0; 4]),
            ("no recovery", 72, &[0; 4]),
            ("more recovery than pieces", 72, &448_u32.to_le_bytes()),
            ("a file too long", HEADER_LEN, &u64::MAX.to_le_bytes()),
            ("an empty file", HEADER_LEN, &[0; 8]),
            ("other rows", rows_at, &[1, 0, 0, 0]),
        ];
        for (name, at, bytes) in cases {
            let mut bad = good.clone();
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            assert!(Index::parse(&bad).is_err(), "{name}");
        }
        let mut bad = good.clone();
        *bad.last_mut().unwrap() = 1;
        assert!(Index::parse(&bad).is_err(), "behind the end");
        for len in [0, 8, HEADER_LEN, good.len() - 1] {
            assert!(Index::parse(&good[..len]).is_err(), "cut to {len}");
        }
        assert!(Index::parse(&[good, vec![0; PAYLOAD_BYTES]].concat()).is_err(), "a page too many");
    }

    proptest! {
        #[test]
        fn any_index_is_read_again(lengths in proptest::collection::vec(177..3_000_000_u64, 1..5)) {
            let index = sample(&lengths, None);
            prop_assert_eq!(Index::parse(&payloads(&index, 1)), Ok(index));
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..9000), at in 0..200_usize) {
            prop_assert!(Index::parse(&bytes).is_err());
            let mut likely = payloads(&sample(&[100_000, 5000], None), 1);
            for (place, &byte) in likely.iter_mut().skip(at).zip(bytes.iter().take(12)) {
                *place = byte;
            }
            if let Ok(index) = Index::parse(&likely) {
                prop_assert_eq!(payloads(&index, Header::parse(&likely).unwrap().number), likely);
            }
        }
    }
}
