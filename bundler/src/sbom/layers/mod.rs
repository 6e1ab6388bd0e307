//! Layers and what they add up to (OCI image spec, layer.md): a few files are taken out of each layer as it streams by,
//! and a tree of these few files is put together from the layers of an image, whiteouts and links included.
//!
//! Nothing here knows what the files are for: a [`Selection`] says which ones count, and makes something of them.

mod scan;
mod tar;
mod tree;

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

pub(super) use scan::{Layer, Linked, Scan, Selection};
pub(super) use tree::{Lookup, Tree};

/// How much of a compressed layer is read at a time.
const READ_BYTES: usize = 64 << 10;
/// Largest window that a zstd layer may ask for (2^27 bytes: 128 MiB), as `zstd -d` has it by default.
const MAX_ZSTD_WINDOW_LOG: u32 = 27;

/// How streams begin: gzip (RFC 1952), zstd (RFC 8878). A zstd layer may begin with a skippable frame, whose magic number
/// has any of sixteen first bytes.
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// Reads one layer from its first byte to the end of its tar. `linked` is empty unless it is read once more.
///
/// # Errors
/// I/O, or [`io::ErrorKind::InvalidData`] for what is no tar, or hides too much in few bytes.
pub(super) fn read<S: Selection>(
    layer: impl Read,
    selection: &mut S,
    linked: &Linked<S::Kind>,
) -> io::Result<Scan<S::File, S::Kind>> {
    scan::scan(decompress(layer)?, selection, linked)
}

/// Layers are told apart by how they begin, as container runtimes do it: media types have been wrong.
fn decompress<'a>(layer: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut layer = BufReader::with_capacity(READ_BYTES, layer);
    let begin = layer.fill_buf()?;
    if begin.starts_with(&GZIP) {
        return Ok(Box::new(MultiGzDecoder::new(layer)));
    }
    if begin.starts_with(&ZSTD) || begin.get(1..).is_some_and(|b| b.starts_with(&ZSTD_SKIPPABLE)) {
        let mut decoder = ZstdDecoder::with_buffer(layer)?;
        decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(layer))
}

#[cfg(test)]
mod tests;
