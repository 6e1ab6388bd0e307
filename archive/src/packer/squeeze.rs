//! Squeezing: the spool is read in order, cut into frames of equal plain length, and compressed on all cores. A frame's
//! bytes depend on its content and the level alone, so the number of cores changes nothing but the time.

use std::io;
use std::os::unix::fs::FileExt as _;

use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::{Packer, narrow};
use crate::belt::Belt;
use crate::format::contents::Frame;
use crate::format::layout::cut;
use crate::format::{SQUEEZED_PLAIN_BYTES, frame as stored_frame};
use crate::{Digest, Error, Progress, making};

/// The memory that squeezing may take, in bytes: with many cores or a high level not all of them are at work.
const MEMORY_BYTES: usize = 64 << 20;

/// The content of a frame, and memory that is used for one after the other.
#[derive(Default)]
struct Plain {
    bytes: Vec<u8>,
    unread: Option<io::Error>,
}

/// A frame as it will stand in the file.
struct Squeezed {
    /// Its number among the squeezed ones.
    number: u64,
    plain_length: u64,
    bytes: Vec<u8>,
    hash: Digest,
}

/// Writes the squeezed frames behind the stored ones, appends them to `frames`, and says how many bytes they are.
pub(super) fn write(
    packer: &Packer,
    level: i32,
    progress: &dyn Progress,
    frames: &mut Vec<Frame>,
) -> Result<u64, Error> {
    let layout = &packer.layout;
    if layout.spool_bytes == 0 {
        return Ok(0);
    }
    let mut offset = layout.stored_bytes;
    belt(level).map_err(|e| making::unwritten(&packer.paths.partial, &e))?.run(
        (0_u64..).zip(cut(layout.spool_bytes, SQUEEZED_PLAIN_BYTES)),
        |&(_, plain_length)| plain_length,
        |&(number, plain_length), plain: &mut Plain| {
            plain.bytes.resize(usize::try_from(plain_length).unwrap_or(0), 0);
            let read = packer.spool.file().read_exact_at(&mut plain.bytes, number * SQUEEZED_PLAIN_BYTES);
            plain.unread = read.err();
        },
        |(number, plain_length), plain| {
            let bytes = plain.unread.take().map_or_else(|| frame(&plain.bytes, level), Err)?;
            let hash = Digest::of(&bytes);
            Ok::<_, io::Error>(Squeezed { number, plain_length, bytes, hash })
        },
        |squeezed, _| {
            progress.go_on()?;
            let Squeezed { number, plain_length, bytes, hash } =
                squeezed.map_err(|e| making::unwritten(&packer.paths.spool, &e))?;
            let at = layout.data_offset + offset;
            making::write_all_at(&packer.file, &bytes, at)?;
            let begun = layout.squeezed.partition_point(|p| p.start().0 <= number);
            frames.push(Frame {
                offset,
                length: narrow(bytes.len() as u64),
                plain_length: narrow(plain_length),
                hash: *hash.as_raw(),
                last_blob: narrow((layout.stored.len() + begun - 1) as u64),
            });
            offset += bytes.len() as u64;
            Ok(())
        },
    )?;
    Ok(offset - layout.stored_bytes)
}

/// As many cores as there are and as memory allows: each needs zstd's tables, and a frame before and after.
fn belt(level: i32) -> io::Result<Belt> {
    let frame_bytes = usize::try_from(SQUEEZED_PLAIN_BYTES).map_err(io::Error::other)?;
    let mut compressor = Compressor::new(level)?;
    // The tables depend on level and length, not on content.
    compressor.compress(&vec![0; frame_bytes])?;
    let each = compressor.context_mut().sizeof() + 2 * frame_bytes;
    Ok(Belt::of(rayon::current_num_threads().min(MEMORY_BYTES / each)))
}

/// One zstd frame with content size and checksum; stored if that is shorter.
pub(super) fn frame(plain: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let mut compressor = Compressor::new(level)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    let squeezed = compressor.compress(plain)?;
    let stored_len = stored_frame::stored_len(plain.len() as u64);
    Ok(if squeezed.len() as u64 > stored_len { stored_frame::stored(plain) } else { squeezed })
}
