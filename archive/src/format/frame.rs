//! zstd frames (RFC 8878) that we make and read ourselves: *stored* frames, whose length follows from their content's
//! length, and skippable frames as filler. Neither needs a decompressor.
//!
//! A stored frame: magic, one descriptor byte (single segment, 4-byte content size, checksum), content size, raw
//! blocks of 128 KiB (the last one shorter), low 4 bytes of XXH64 of the content. There is one form for each content.

use std::hash::Hasher as _;
use std::ops::Range;

use twox_hash::XxHash64;

/// `Zstandard frames`' magic number, little endian.
const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// Content size in 4 bytes (bits 7–6 = 2), single segment (bit 5), checksum (bit 2).
const DESCRIPTOR: u8 = 0b1010_0100;
/// The bit of the descriptor that says that a checksum follows, and the two that say that a dictionary is needed.
const CHECKSUM: u8 = 0b0000_0100;
const DICTIONARY: u8 = 0b0000_0011;
/// The bit of the descriptor that says that there is no window: the content is one segment.
const SINGLE_SEGMENT: u8 = 0b0010_0000;
/// The smallest window that RFC 8878 knows.
const MIN_WINDOW_BYTES: u64 = 1 << 10;
/// Magic number of the skippable frames we use as filler, little endian.
const FILLER_MAGIC: [u8; 4] = [0x50, 0x2A, 0x4D, 0x18];
/// Magic, descriptor, content size.
const HEADER_LEN: u64 = 9;
const BLOCK_HEADER_LEN: u64 = 3;
const CHECKSUM_LEN: u64 = 4;
/// The largest block that RFC 8878 allows.
const BLOCK_BYTES: u64 = 128 << 10;
/// Shortest filler: a skippable frame without content.
pub const MIN_FILLER: u64 = 8;

/// Length of the stored frame of `plain` bytes.
#[must_use]
pub const fn stored_len(plain: u64) -> u64 {
    HEADER_LEN + plain + BLOCK_HEADER_LEN * plain.div_ceil(BLOCK_BYTES) + CHECKSUM_LEN
}

/// Where the plain byte at `offset` stands in its stored frame.
#[must_use]
pub const fn stored_position(offset: u64) -> u64 {
    HEADER_LEN + offset + BLOCK_HEADER_LEN * (offset / BLOCK_BYTES + 1)
}

/// How many plain bytes from `offset` on stand without a gap in the stored frame.
#[must_use]
pub const fn stored_run(offset: u64) -> u64 {
    BLOCK_BYTES - offset % BLOCK_BYTES
}

/// Makes a stored frame piece by piece.
#[derive(Debug)]
pub struct StoredEncoder {
    plain_len: u64,
    taken: u64,
    hash: XxHash64,
}

impl StoredEncoder {
    /// Begins a frame of `plain_len` bytes (more than 0, at most 4 GiB − 1) and writes its header to `out`.
    #[must_use]
    pub fn begin(plain_len: u64, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(&MAGIC);
        out.push(DESCRIPTOR);
        out.extend_from_slice(&u32::try_from(plain_len).unwrap_or(u32::MAX).to_le_bytes());
        Self { plain_len, taken: 0, hash: XxHash64::with_seed(0) }
    }

    /// Plain bytes that the frame still lacks.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.plain_len - self.taken
    }

    /// Takes as many bytes as fit into this frame, writes them to `out`, and says how many it took.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let mut rest = &bytes[..bytes.len().min(usize::try_from(self.missing()).unwrap_or(usize::MAX))];
        let took = rest.len();
        self.hash.write(rest);
        while !rest.is_empty() {
            if self.taken.is_multiple_of(BLOCK_BYTES) {
                out.extend_from_slice(&block_header(self.missing()));
            }
            let run = rest.len().min(usize::try_from(stored_run(self.taken)).unwrap_or(usize::MAX));
            out.extend_from_slice(&rest[..run]);
            self.taken += run as u64;
            rest = &rest[run..];
        }
        if self.missing() == 0 && took > 0 {
            let checksum = self.hash.finish().to_le_bytes();
            out.extend_from_slice(&checksum[..4]);
        }
        took
    }
}

/// The stored frame of bytes in memory.
#[must_use]
pub fn stored(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(usize::try_from(stored_len(plain.len() as u64)).unwrap_or(0));
    StoredEncoder::begin(plain.len() as u64, &mut out).push(plain, &mut out);
    out
}

/// The plain length of a frame that begins like a stored frame; `None` if it is no stored frame of ours.
#[must_use]
pub fn stored_plain_len(frame: &[u8]) -> Option<u64> {
    let rest = frame.strip_prefix(&MAGIC)?.strip_prefix(&[DESCRIPTOR])?;
    let size = rest.first_chunk::<4>()?;
    Some(u64::from(u32::from_le_bytes(*size)))
}

/// Where the plain bytes of this range stand in their stored frame, run by run.
pub fn stored_runs(plain: Range<u64>) -> impl Iterator<Item = Range<usize>> {
    let mut at = plain.start;
    std::iter::from_fn(move || {
        let run = stored_run(at).min(plain.end.checked_sub(at).filter(|&left| left > 0)?);
        let start = stored_position(at);
        at += run;
        Some(usize::try_from(start).ok()?..usize::try_from(start + run).ok()?)
    })
}

/// Whether this is exactly one stored frame, checksum and all. `see` gets its content, block by block: what it saw counts
/// only if the answer is yes.
#[must_use]
pub fn check_stored(frame: &[u8], mut see: impl FnMut(&[u8])) -> bool {
    let Some(plain_len) = stored_plain_len(frame) else { return false };
    if plain_len == 0 || frame.len() as u64 != stored_len(plain_len) {
        return false;
    }
    let mut hash = XxHash64::with_seed(0);
    let mut at = 0;
    for run in stored_runs(0..plain_len) {
        let is_ours = frame[..run.start].ends_with(&block_header(plain_len - at));
        if !is_ours {
            return false;
        }
        at += run.len() as u64;
        // Summed first: that reads faster than whatever `see` does, which then finds the block in the cache.
        hash.write(&frame[run.clone()]);
        see(&frame[run]);
    }
    frame.ends_with(&hash.finish().to_le_bytes()[..4])
}

/// The header of a block in front of which the frame lacks so many bytes of content.
fn block_header(missing: u64) -> [u8; 3] {
    let size = missing.min(BLOCK_BYTES);
    let last = u64::from(size == missing);
    let [low, middle, high, ..] = (size << 3 | last).to_le_bytes();
    [low, middle, high]
}

/// The content of a stored frame, with its checksum checked; `None` if the form or the checksum is wrong.
#[must_use]
pub fn decode_stored(frame: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(frame.len());
    check_stored(frame, |block| plain.extend_from_slice(block)).then_some(plain)
}

/// Whether these bytes begin a zstd frame that is not skipped.
#[must_use]
pub fn is_zstd(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Whether this is a zstd frame with a checksum of its content, and without a dictionary (RFC 8878, 3.1.1.1.1).
#[must_use]
pub fn is_self_contained(frame: &[u8]) -> bool {
    let descriptor = frame.strip_prefix(&MAGIC).and_then(<[u8]>::first);
    descriptor.is_some_and(|descriptor| descriptor & (CHECKSUM | DICTIONARY) == CHECKSUM)
}

/// The memory that a zstd frame asks of a decompressor that streams, in bytes (RFC 8878, 3.1.1.1.2); `None` if it does not
/// tell: then it is its content that must fit.
#[must_use]
pub fn window_len(frame: &[u8]) -> Option<u64> {
    let [descriptor, window, ..] = *frame.strip_prefix(&MAGIC)? else { return None };
    let (exponent, mantissa) = (window >> 3, window & 0b111);
    let base = MIN_WINDOW_BYTES << exponent;
    (descriptor & SINGLE_SEGMENT == 0).then_some(base + base / 8 * u64::from(mantissa))
}

/// Whether bytes begin with a skippable frame, ours or another.
#[must_use]
pub fn is_skippable(bytes: &[u8]) -> bool {
    matches!(bytes, [first, rest @ ..] if first & 0xF0 == FILLER_MAGIC[0] && rest.starts_with(&FILLER_MAGIC[1..]))
}

/// A filler of `len` bytes, header and zeros; `len` is at least [`MIN_FILLER`] and below 4 GiB.
#[must_use]
pub fn filler(len: u64) -> Vec<u8> {
    let mut out = vec![0; usize::try_from(len).unwrap_or(0)];
    out[..8].copy_from_slice(&filler_header(len));
    out
}

/// Whether `bytes` are exactly one filler.
#[must_use]
pub fn is_filler(bytes: &[u8]) -> bool {
    match bytes.split_first_chunk::<8>() {
        Some((header, zeros)) => {
            *header == filler_header(bytes.len() as u64) && zeros.iter().all(|&b| b == 0)
        }
        None => false,
    }
}

/// The header of a filler of `len` bytes in all.
#[must_use]
pub fn filler_header(len: u64) -> [u8; 8] {
    let mut header = [0; 8];
    header[..4].copy_from_slice(&FILLER_MAGIC);
    let content = u32::try_from(len.saturating_sub(MIN_FILLER)).unwrap_or(u32::MAX);
    header[4..].copy_from_slice(&content.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(len: usize) -> Vec<u8> {
        (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
    }

    #[test]
    fn stored_frames_are_zstd_and_have_the_length_that_was_planned() {
        let block = usize::try_from(BLOCK_BYTES).unwrap();
        for len in [1, 511, 512, block - 1, block, block + 1, 3 * block, 4 << 20] {
            let plain = plain(len);
            let frame = stored(&plain);
            assert_eq!(frame.len() as u64, stored_len(len as u64), "{len}");
            assert_eq!(zstd::decode_all(&frame[..]).unwrap(), plain, "{len}: stock zstd");
            assert_eq!(decode_stored(&frame).unwrap(), plain, "{len}: our reader");
            for offset in [0, len / 2, len - 1] {
                let position = usize::try_from(stored_position(offset as u64)).unwrap();
                assert_eq!(frame[position], plain[offset], "{len}: byte {offset}");
            }
        }
    }

    #[test]
    fn pieces_of_any_size_make_the_same_frame() {
        let plain = plain(300_000);
        for size in [1_usize, 512, 70_000, 131_072, 300_000] {
            let mut out = Vec::new();
            let mut encoder = StoredEncoder::begin(plain.len() as u64, &mut out);
            for piece in plain.chunks(size) {
                assert_eq!(encoder.push(piece, &mut out), piece.len());
            }
            assert_eq!(encoder.push(b"more", &mut out), 0, "the frame is full");
            assert!(out == stored(&plain), "pieces of {size}");
        }
    }

    #[test]
    fn no_bit_of_a_stored_frame_changes_unnoticed() {
        let frame = stored(&plain(1000));
        for position in 0..frame.len() {
            for bit in 0..8 {
                let mut bad = frame.clone();
                bad[position] ^= 1 << bit;
                assert!(decode_stored(&bad).is_none(), "byte {position}, bit {bit}");
            }
        }
        for len in 0..frame.len() {
            assert!(decode_stored(&frame[..len]).is_none(), "cut to {len}");
        }
    }

    #[test]
    fn a_window_is_told_by_the_header() {
        let squeezed = zstd::bulk::compress(&vec![7; 1 << 20], 3).unwrap();
        assert_eq!(window_len(&squeezed), None, "a single segment");
        let streamed = zstd::encode_all(&vec![7; 1 << 20][..], 3).unwrap();
        assert_eq!(window_len(&streamed), Some(2 << 20), "level 3 has 2 MiB");
        let with_window = |window: u8| window_len(&[0x28, 0xB5, 0x2F, 0xFD, 0, window]).unwrap();
        assert_eq!(with_window(0), 1 << 10);
        assert_eq!(with_window(0b0000_0111), (1 << 10) + 7 * 128);
        assert_eq!(with_window(u8::MAX), (1 << 41) + 7 * (1 << 38), "the largest");
        assert!(window_len(&[0x28, 0xB5, 0x2F, 0xFD, 0]).is_none() && window_len(b"").is_none());
        assert!(is_skippable(&filler(8)) && is_skippable(&[0x5F, 0x2A, 0x4D, 0x18]));
        assert!(!is_skippable(&squeezed) && !is_skippable(&[0x60, 0x2A, 0x4D, 0x18]) && !is_skippable(b""));
    }

    #[test]
    fn no_bit_of_a_filler_changes_unnoticed() {
        for len in [8, 9, 600] {
            let good = filler(len);
            assert!(is_filler(&good));
            assert_eq!(zstd::decode_all(&[stored(b"x"), good.clone()].concat()[..]).unwrap(), b"x");
            for position in 0..good.len() {
                let mut bad = good.clone();
                bad[position] ^= 1;
                assert!(!is_filler(&bad), "byte {position} of {len}");
            }
        }
        assert!(!is_filler(&[]) && !is_filler(&filler(8)[..7]));
    }
}
