//! zstd frames as no compressor makes them (RFC 8878).

const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// Content size in 8 bytes, single segment, checksum.
const SINGLE_SEGMENT: u8 = 0b1110_0100;
/// Content size in 8 bytes, a window, checksum.
const WITH_WINDOW: u8 = 0b1100_0100;
/// Content size in 8 bytes, single segment, checksum, a dictionary with an id of 4 bytes.
const WITH_DICTIONARY: u8 = 0b1110_0111;
/// One byte, repeated.
const RLE_BLOCK: u32 = 1 << 1;
const LAST_BLOCK: u32 = 1;
const MAX_BLOCK: u64 = 128 << 10;

/// Blocks that make `len` zeros out of four bytes for each 128 KiB, and a checksum, which is wrong.
fn zeros(mut len: u64) -> Vec<u8> {
    let mut blocks = Vec::new();
    loop {
        let size = len.min(MAX_BLOCK);
        len -= size;
        let header = u32::try_from(size).unwrap() << 3 | RLE_BLOCK | if len == 0 { LAST_BLOCK } else { 0 };
        blocks.extend_from_slice(&header.to_le_bytes()[..3]);
        blocks.push(0);
        if len == 0 {
            blocks.extend_from_slice(&[0; 4]);
            return blocks;
        }
    }
}

/// A frame that says that it holds `said` bytes, and makes `real` ones.
pub(crate) fn bomb(said: u64, real: u64) -> Vec<u8> {
    [&MAGIC[..], &[SINGLE_SEGMENT], &said.to_le_bytes(), &zeros(real)].concat()
}

/// A frame with this window descriptor.
pub(crate) fn with_window(window: u8, len: u64) -> Vec<u8> {
    [&MAGIC[..], &[WITH_WINDOW, window], &len.to_le_bytes(), &zeros(len)].concat()
}

/// A frame that wants a dictionary.
pub(crate) fn with_dictionary(len: u64) -> Vec<u8> {
    [&MAGIC[..], &[WITH_DICTIONARY], &7_u32.to_le_bytes(), &len.to_le_bytes(), &zeros(len)].concat()
}
