//! Reed–Solomon over a group of pieces, a run of columns at a time.
//!
//! Byte `n` of a recovery piece depends on the bytes around `n` of the group's pieces alone (on those in the same 64), so
//! pieces need not be in memory whole, and runs of columns can be worked on at the same time.
//!
//! The code is the one of `reed-solomon-simd` that it calls *high rate*; which of its two codes it takes by itself depends
//! on the counts, and a format should not. `FORMAT.md` says what it computes, and a test here computes just that.

use reed_solomon_simd::engine::DefaultEngine;
use reed_solomon_simd::rate::{HighRateDecoder, HighRateEncoder, RateDecoder as _, RateEncoder as _};

use super::threads;
use crate::Error;

/// Unit of columns: a page of the file system, and a multiple of what the code works on.
pub(super) const COLUMN_UNIT: usize = 4 << 10;
/// Memory that all threads together may use for transforms, in bytes.
const WORK_BYTES: usize = 12 << 20;

/// Makes recovery pieces, and keeps the memory for it.
#[derive(Default)]
pub(super) struct Encoder(Option<HighRateEncoder<DefaultEngine>>);

/// Makes lost pieces again, and keeps the memory for it.
#[derive(Default)]
pub(super) struct Decoder(Option<HighRateDecoder<DefaultEngine>>);

/// What a group consists of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Pieces.
    pub(super) pieces: usize,
    /// Recovery pieces.
    pub(super) recovery: usize,
}

impl Shape {
    /// How many threads to encode on, and how many bytes of each piece at a time each of them.
    pub(super) fn encoding(self) -> (usize, usize) {
        divide(self.pieces.next_multiple_of(self.recovery.next_power_of_two()))
    }

    /// How many threads to decode on, and how many bytes of each piece at a time each of them.
    pub(super) fn decoding(self) -> (usize, usize) {
        divide((self.recovery.next_power_of_two() + self.pieces).next_power_of_two())
    }
}

/// Divides the memory for transforms of so many columns.
fn divide(columns: usize) -> (usize, usize) {
    let unit = columns * COLUMN_UNIT;
    let threads = threads::count(unit, WORK_BYTES);
    (threads, (WORK_BYTES / (threads * unit)).max(1) * COLUMN_UNIT)
}

impl Encoder {
    /// Fills `recovery`, recovery piece by recovery piece, with what belongs to these columns of all pieces of a group.
    pub(super) fn encode<'a>(
        &mut self,
        shape: Shape,
        pieces: impl Iterator<Item = &'a [u8]>,
        recovery: &mut [u8],
    ) -> Result<(), Error> {
        let bytes = recovery.len() / shape.recovery;
        let encoder = match &mut self.0 {
            Some(encoder) => {
                encoder.reset(shape.pieces, shape.recovery, bytes).map_err(impossible)?;
                encoder
            }
            none => none.insert(
                HighRateEncoder::new(shape.pieces, shape.recovery, bytes, DefaultEngine::new(), None)
                    .map_err(impossible)?,
            ),
        };
        for piece in pieces {
            encoder.add_original_shard(piece).map_err(impossible)?;
        }
        let made = encoder.encode().map_err(impossible)?;
        for (out, made) in recovery.chunks_exact_mut(bytes).zip(made.recovery_iter()) {
            out.copy_from_slice(made);
        }
        Ok(())
    }
}

/// Columns that are at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Of the piece with this index in its group.
    Piece(usize),
    /// Of the recovery piece with this number.
    Recovery(usize),
}

impl Decoder {
    /// Fills `lost`, lost piece by lost piece by rising index, with these columns; `at_hand` are as many columns as the
    /// group has pieces.
    pub(super) fn decode<'a>(
        &mut self,
        shape: Shape,
        at_hand: impl Iterator<Item = (Part, &'a [u8])>,
        bytes: usize,
        lost: &mut [u8],
    ) -> Result<(), Error> {
        let decoder = match &mut self.0 {
            Some(decoder) => {
                decoder.reset(shape.pieces, shape.recovery, bytes).map_err(impossible)?;
                decoder
            }
            none => none.insert(
                HighRateDecoder::new(shape.pieces, shape.recovery, bytes, DefaultEngine::new(), None)
                    .map_err(impossible)?,
            ),
        };
        for (part, columns) in at_hand {
            match part {
                Part::Piece(index) => decoder.add_original_shard(index, columns),
                Part::Recovery(index) => decoder.add_recovery_shard(index, columns),
            }
            .map_err(impossible)?;
        }
        let made = decoder.decode().map_err(impossible)?;
        for (out, (_, made)) in lost.chunks_exact_mut(bytes).zip(made.restored_original_iter()) {
            out.copy_from_slice(made);
        }
        Ok(())
    }
}

/// Counts and lengths are those of a grid, which has none that the code does not support.
fn impossible(error: reed_solomon_simd::Error) -> Error {
    Error::inconsistent("a group of pieces", error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u64, len: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let mut bytes: Vec<u8> = std::iter::repeat_with(next).take(len / 8 + 1).flatten().collect();
        bytes.truncate(len);
        bytes
    }

    fn encode(shape: Shape, pieces: &[Vec<u8>]) -> Vec<u8> {
        let mut recovery = vec![0; shape.recovery * pieces[0].len()];
        Encoder::default().encode(shape, pieces.iter().map(Vec::as_slice), &mut recovery).unwrap();
        recovery
    }

    #[test]
    fn columns_alone_make_what_whole_pieces_make() {
        const LEN: usize = 4096;
        for (pieces, recovery) in [(1, 1), (3, 3), (5, 2), (100, 10), (448, 45), (40, 40), (512, 512)] {
            let shape = Shape { pieces, recovery };
            let data: Vec<Vec<u8>> = (0..pieces).map(|n| noise(n as u64 + 1, LEN)).collect();
            let whole = encode(shape, &data);
            let mut encoder = Encoder::default();
            let mut at = 0;
            for bytes in [64, 1024, 128, LEN - 1216] {
                let mut part = vec![0; recovery * bytes];
                encoder.encode(shape, data.iter().map(|piece| &piece[at..at + bytes]), &mut part).unwrap();
                for row in 0..recovery {
                    let expected = &whole[row * LEN + at..][..bytes];
                    assert!(part[row * bytes..][..bytes] == *expected, "{shape:?}, row {row}, column {at}");
                }
                at += bytes;
            }
            assert_eq!(at, LEN);
        }
    }

    #[test]
    fn any_pieces_come_back_that_are_not_more_than_the_recovery() {
        const LEN: usize = 128;
        for (pieces, recovery) in [(1, 1), (5, 2), (100, 10), (447, 45), (64, 64), (512, 512)] {
            let shape = Shape { pieces, recovery };
            let data: Vec<Vec<u8>> = (0..pieces).map(|n| noise(n as u64 + 7, LEN)).collect();
            let made = encode(shape, &data);
            for lost in [1, recovery / 2, recovery].into_iter().filter(|&lost| lost > 0) {
                // Those at the end, and the last rows stand in for them.
                let at_hand = (0..pieces - lost).map(|n| (Part::Piece(n), data[n].as_slice()));
                let rows = (recovery - lost..recovery).map(|n| (Part::Recovery(n), &made[n * LEN..][..LEN]));
                let mut found = vec![0; lost * LEN];
                Decoder::default().decode(shape, at_hand.chain(rows), LEN, &mut found).unwrap();
                assert!(found == data[pieces - lost..].concat(), "{shape:?}, {lost} lost");
            }
            assert!(shape.encoding().0 >= 1 && shape.decoding().1.is_multiple_of(COLUMN_UNIT));
        }
    }

    #[test]
    fn pieces_of_zeros_at_the_end_change_nothing() {
        let shape = Shape { pieces: 20, recovery: 3 };
        let mut data: Vec<Vec<u8>> = (0..19).map(|n| noise(n + 1, 64)).collect();
        let short = encode(Shape { pieces: 19, ..shape }, &data);
        data.push(vec![0; 64]);
        assert!(encode(shape, &data) == short);
    }

    /// The code as `FORMAT.md` has it, with schoolbook arithmetic.
    mod by_the_book {
        const POLYNOMIAL: u32 = 0x1_002D;
        const BASIS: [u16; 16] = [
            0x0001, 0xACCA, 0x3C0E, 0x163E, 0xC582, 0xED2E, 0x914C, 0x4012, 0x6C98, 0x10D8, 0x6A72, 0xB900,
            0xFDB8, 0xFB34, 0xFF38, 0x991E,
        ];

        /// The element that a number stands for.
        pub(super) fn element(number: usize) -> u16 {
            (0..16).filter(|bit| number >> bit & 1 == 1).fold(0, |sum, bit| sum ^ BASIS[bit])
        }

        pub(super) fn multiply(a: u16, b: u16) -> u16 {
            let (mut sum, mut a) = (0, u32::from(a));
            for bit in 0..16 {
                sum ^= if b >> bit & 1 == 1 { a } else { 0 };
                a <<= 1;
                a ^= if a >> 16 == 1 { POLYNOMIAL } else { 0 };
            }
            u16::try_from(sum).unwrap()
        }

        fn inverse(a: u16) -> u16 {
            // a^(2^16 - 2)
            let (mut result, mut power) = (1, a);
            for _ in 1..16 {
                power = multiply(power, power);
                result = multiply(result, power);
            }
            result
        }

        /// What piece `index` counts for in recovery piece `row`: Lagrange's polynomial, in blocks of `block` points.
        pub(super) fn weight(index: usize, row: usize, block: usize) -> u16 {
            let point = index + block;
            let first = point / block * block;
            (first..first + block).filter(|&other| other != point).fold(1, |product, other| {
                let above = element(row) ^ element(other);
                let below = element(point) ^ element(other);
                multiply(product, multiply(above, inverse(below)))
            })
        }
    }

    #[test]
    fn the_code_is_what_the_format_says() {
        use by_the_book::{element, multiply, weight};

        const LEN: usize = 64;
        let word = |piece: &[u8], column: usize| {
            element(usize::from(piece[column]) | usize::from(piece[32 + column]) << 8)
        };
        for (pieces, recovery) in [(1, 1), (3, 2), (4, 4), (11, 3), (21, 5)] {
            let shape = Shape { pieces, recovery };
            let block = recovery.next_power_of_two();
            let data: Vec<Vec<u8>> = (0..pieces).map(|n| noise(n as u64 + 99, LEN)).collect();
            let made = encode(shape, &data);
            for row in 0..recovery {
                for column in 0..32 {
                    let sum = (0..pieces).fold(0, |sum, index| {
                        sum ^ multiply(word(&data[index], column), weight(index, row, block))
                    });
                    assert_eq!(word(&made[row * LEN..][..LEN], column), sum, "{shape:?} {row} {column}");
                }
            }
        }
    }
}
