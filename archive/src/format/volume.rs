//! The header of a volume: which stretch of which archive follows it. A skippable frame, so that volumes one behind the
//! other are still one zstd stream, and each alone passes `zstd -t`.
//!
//! ```text
//! frame     8  51 2A 4D 18, length of the rest u32
//! tag       8  "SLVOLM01"
//! set      32  SHA-256 over packing and the lengths of all stretches (u64 each): what belongs together
//! packing  32  SHA-256 of pack.json
//! number    4  from 1
//! count     4
//! offset    8  of the stretch in the archive
//! length    8  of the stretch
//! total     8  length of the archive
//! digest   32  SHA-256 of the stretch
//! check    32  SHA-256 of all bytes before it
//! ```
//!
//! Nothing here is signed, so nothing here is believed: a header says where to look for bytes, and the archive's own
//! hashes say whether they are right.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::MAX_FILE_BYTES;
use crate::Digest;

/// Length of a header, the frame around it included.
pub const HEADER_LEN: u64 = 176;
/// Most volumes of one archive: their names have three digits.
pub const MAX_VOLUMES: u32 = 999;
/// Magic number of the skippable frame, and the length of what it holds.
const FRAME: [u8; 8] = [0x51, 0x2A, 0x4D, 0x18, 168, 0, 0, 0];
const TAG: &[u8; 8] = b"SLVOLM01";
const CHECK_LEN: usize = 32;

/// What a volume says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The set that it belongs to: the same archive, cut in the same places.
    pub set: Digest,
    /// Digest of the archive's packing.
    pub packing: Digest,
    /// Its number, from 1.
    pub number: u32,
    /// How many volumes there are.
    pub count: u32,
    /// First byte of its stretch in the archive.
    pub offset: u64,
    /// Length of its stretch in bytes.
    pub length: u64,
    /// Length of the archive in bytes.
    pub total: u64,
    /// SHA-256 of its stretch.
    pub digest: Digest,
}

impl Header {
    /// The first [`HEADER_LEN`] bytes of the volume.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&FRAME);
        out.extend_from_slice(TAG);
        out.extend_from_slice(self.set.as_raw());
        out.extend_from_slice(self.packing.as_raw());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        for place in [self.offset, self.length, self.total] {
            out.extend_from_slice(&place.to_le_bytes());
        }
        out.extend_from_slice(self.digest.as_raw());
        let check = Digest::of(&out);
        out.extend_from_slice(check.as_raw());
        out
    }

    /// Reads the header that a volume begins with; `None` if these bytes are not exactly one, or contradict themselves.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (said, check) = bytes.split_last_chunk::<CHECK_LEN>()?;
        let mut input = said.strip_prefix(&FRAME)?.strip_prefix(TAG)?;
        let header = Self {
            set: Digest::from_raw(take(&mut input)?),
            packing: Digest::from_raw(take(&mut input)?),
            number: u32::from_le_bytes(take(&mut input)?),
            count: u32::from_le_bytes(take(&mut input)?),
            offset: u64::from_le_bytes(take(&mut input)?),
            length: u64::from_le_bytes(take(&mut input)?),
            total: u64::from_le_bytes(take(&mut input)?),
            digest: Digest::from_raw(take(&mut input)?),
        };
        let is_whole = input.is_empty() && Digest::of(said).as_raw() == check;
        (is_whole && header.is_consistent()).then_some(header)
    }

    fn is_consistent(&self) -> bool {
        let Some(end) = self.offset.checked_add(self.length) else { return false };
        (1..=MAX_VOLUMES).contains(&self.count)
            && (1..=self.count).contains(&self.number)
            && self.length > 0
            && self.total <= MAX_FILE_BYTES
            && end <= self.total
            && (self.number == 1) == (self.offset == 0)
            && (self.number == self.count) == (end == self.total)
    }

    /// The stretch: first byte of the archive in this volume, and first byte behind.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.length
    }

    /// Length of the volume's file: header and stretch.
    #[must_use]
    pub fn file_length(&self) -> u64 {
        HEADER_LEN + self.length
    }
}

/// Whether a file that begins so is a volume, be its header damaged or not.
#[must_use]
pub fn begins_like_one(bytes: &[u8]) -> bool {
    bytes.starts_with(&FRAME[..4])
}

/// How an archive is cut into volumes. Everything about a volume but the hash of its stretch follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cuts {
    /// Digest of the archive's packing.
    pub packing: Digest,
    /// Lengths of the stretches in bytes, one for each volume, none of them 0.
    pub lengths: Vec<u64>,
}

impl Cuts {
    /// What all volumes of the set have in common.
    #[must_use]
    pub fn set(&self) -> Digest {
        let mut hash = Sha256::new();
        hash.update(self.packing.as_raw());
        for length in &self.lengths {
            hash.update(length.to_le_bytes());
        }
        Digest::from_raw(hash.finalize().into())
    }

    /// The headers of all volumes, with nothing yet for the hashes of their stretches.
    pub fn headers(&self) -> impl Iterator<Item = Header> + '_ {
        let set = self.set();
        let count = u32::try_from(self.lengths.len()).unwrap_or(u32::MAX);
        let total = self.lengths.iter().sum();
        let mut offset = 0;
        (1..=count).zip(&self.lengths).map(move |(number, &length)| {
            let start = offset;
            offset += length;
            let (packing, digest) = (self.packing, Digest::from_raw([0; 32]));
            Header { set, packing, number, count, offset: start, length, total, digest }
        })
    }

    /// Lengths of the volumes' files, in bytes.
    pub fn file_lengths(&self) -> impl Iterator<Item = u64> + '_ {
        self.lengths.iter().map(|length| HEADER_LEN + length)
    }
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Header {
        let cuts = Cuts { packing: Digest::of(b"pack.json"), lengths: vec![1000, 2000, 500] };
        Header { digest: Digest::of(b"the stretch"), ..cuts.headers().nth(1).unwrap() }
    }

    #[test]
    fn a_header_is_read_as_it_was_written_and_passed_over_by_zstd() {
        let header = sample();
        assert_eq!((header.range(), header.total, header.file_length()), (1000..3000, 3500, 2176));
        let bytes = header.encode();
        assert_eq!(bytes.len() as u64, HEADER_LEN);
        assert_eq!(Header::parse(&bytes), Some(header));
        let followed = [bytes, crate::format::frame::stored(b"x")].concat();
        assert_eq!(zstd::decode_all(&followed[..]).unwrap(), b"x");
    }

    #[test]
    fn no_bit_of_a_header_changes_unnoticed() {
        let good = sample().encode();
        for position in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[position] ^= 1 << bit;
                assert_eq!(Header::parse(&bad), None, "byte {position}, bit {bit}");
            }
        }
        for len in 0..good.len() {
            assert_eq!(Header::parse(&good[..len]), None, "cut to {len}");
        }
        assert_eq!(Header::parse(&[good.as_slice(), b"\0"].concat()), None);
    }

    #[test]
    fn a_header_that_contradicts_itself_is_none() {
        type Change = fn(&mut Header);
        let cases: [(&str, Change); 12] = [
            ("number 0", |h| h.number = 0),
            ("number above the count", |h| h.number = 4),
            ("number 1 in the middle", |h| h.number = 1),
            ("the last in the middle", |h| h.count = 2),
            ("none", |h| h.count = 0),
            ("too many", |h| h.count = MAX_VOLUMES + 1),
            ("the second at the start", |h| h.offset = 0),
            ("the second at the end", |h| h.total = 3000),
            ("out of the archive", |h| h.total = 2999),
            ("a sum that runs over", |h| h.offset = u64::MAX - 100),
            ("nothing in it", |h| h.length = 0),
            ("too large", |h| h.total = MAX_FILE_BYTES + 1),
        ];
        for (name, change) in cases {
            let mut header = sample();
            change(&mut header);
            assert_eq!(Header::parse(&header.encode()), None, "{name}");
        }
    }

    #[test]
    fn other_cuts_are_another_set() {
        let cuts = |packing: &[u8], lengths: &[u64]| {
            Cuts { packing: Digest::of(packing), lengths: lengths.to_vec() }.set()
        };
        let set = cuts(b"p", &[10, 20]);
        assert_eq!(set, cuts(b"p", &[10, 20]));
        for other in [cuts(b"p", &[20, 10]), cuts(b"p", &[30]), cuts(b"q", &[10, 20])] {
            assert_ne!(set, other);
        }
    }

    proptest! {
        #[test]
        fn headers_of_any_cuts_are_read_again(lengths in proptest::collection::vec(1..1_u64 << 40, 1..9)) {
            let cuts = Cuts { packing: Digest::of(b"p"), lengths };
            let mut end = 0;
            for (header, length) in cuts.headers().zip(cuts.file_lengths()) {
                prop_assert_eq!(Header::parse(&header.encode()), Some(header));
                prop_assert_eq!((header.offset, header.file_length()), (end, length));
                end = header.range().end;
            }
            prop_assert_eq!(end, cuts.headers().next().unwrap().total);
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0..176_usize) {
            prop_assert_eq!(Header::parse(&bytes), None);
            // With a check that is right, as somebody would write it who means harm.
            let mut likely = sample().encode();
            likely.truncate(likely.len() - CHECK_LEN);
            for (place, &byte) in likely.iter_mut().skip(at).zip(&bytes) {
                *place = byte;
            }
            let check = Digest::of(&likely);
            likely.extend_from_slice(check.as_raw());
            if let Some(header) = Header::parse(&likely) {
                prop_assert!(header.is_consistent() && header.encode() == likely);
            }
        }
    }
}
