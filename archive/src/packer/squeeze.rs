//! Squeezing: the spool is read in order, cut into frames of equal plain length, and compressed on all cores. A frame's
//! bytes depend on its content and the level alone, so the number of cores changes nothing but the time.

use std::io;
use std::os::unix::fs::FileExt as _;

use rayon::prelude::*;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::{Packer, name_error, narrow};
use crate::format::contents::Frame;
use crate::format::layout::cut;
use crate::format::{SQUEEZED_PLAIN_BYTES, frame as stored_frame};
use crate::{Digest, Error, Progress};

/// Most frames that are compressed at a time: bounds memory on machines with many cores.
const MAX_AT_A_TIME: usize = 3;
/// From this level on zstd's tables are so large that one frame at a time is enough.
const HEAVY_LEVEL: i32 = 13;

/// Writes the squeezed frames behind the stored ones, appends them to `frames`, and says how many bytes they are.
pub(super) fn write(
    packer: &Packer,
    level: i32,
    progress: &dyn Progress,
    frames: &mut Vec<Frame>,
) -> Result<u64, Error> {
    let layout = &packer.layout;
    let most = if level < HEAVY_LEVEL { MAX_AT_A_TIME } else { 1 };
    let at_a_time = rayon::current_num_threads().clamp(1, most);
    // Threads of its own: each thread that ever compressed keeps what it allocated, so on the common ones memory would
    // grow with the number of cores, however few of them work at a time.
    let threads = rayon::ThreadPoolBuilder::new().num_threads(at_a_time).build().map_err(io::Error::other)?;
    let lengths: Vec<u64> = cut(layout.spool_bytes, SQUEEZED_PLAIN_BYTES).collect();
    let (mut read, mut offset) = (0_u64, layout.stored_bytes);
    for batch in lengths.chunks(at_a_time) {
        progress.go_on()?;
        let starts: Vec<(u64, u64)> = batch
            .iter()
            .map(|&length| {
                read += length;
                (read - length, length)
            })
            .collect();
        let squeeze = |&(start, length): &(u64, u64)| {
            let mut plain = vec![0; usize::try_from(length).unwrap_or(0)];
            packer.spool.file().read_exact_at(&mut plain, start)?;
            frame(&plain, level)
        };
        let squeezed: Vec<Vec<u8>> = threads
            .install(|| starts.par_iter().map(squeeze).collect::<Result<_, io::Error>>())
            .map_err(|e| name_error(&packer.paths.spool, &e))?;
        for (&(start, plain), bytes) in starts.iter().zip(&squeezed) {
            let number = start / SQUEEZED_PLAIN_BYTES;
            let at = layout.data_offset + offset;
            packer.file.file().write_all_at(bytes, at).map_err(|e| packer.name_error(&e))?;
            let begun = layout.squeezed.partition_point(|p| p.start().0 <= number);
            frames.push(Frame {
                offset,
                length: narrow(bytes.len() as u64),
                plain_length: narrow(plain),
                hash: *Digest::of(bytes).as_raw(),
                last_blob: narrow((layout.stored.len() + begun - 1) as u64),
            });
            offset += bytes.len() as u64;
        }
    }
    Ok(offset - layout.stored_bytes)
}

/// One zstd frame with content size and checksum; stored if that is shorter.
pub(super) fn frame(plain: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let mut compressor = Compressor::new(level)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    let squeezed = compressor.compress(plain)?;
    let stored_len = stored_frame::stored_len(plain.len() as u64);
    Ok(if squeezed.len() as u64 > stored_len { stored_frame::stored(plain) } else { squeezed })
}
