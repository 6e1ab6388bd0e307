//! The content of a disk, grain by grain: read in order, compressed on all cores.

use std::io;
use std::ops::Range;

use flate2::{Compress, Compression, FlushCompress, Status};
use rayon::prelude::*;

use super::super::CommandError;
use super::super::disk::Disk;
use super::layout::{GRAIN_BYTES, GRAIN_MARKER_BYTES, GRAIN_SECTORS, SECTOR_BYTES};

/// Grains that are read, compressed and written together. Three such batches are under way, so that reading, compressing
/// and writing wait for each other as little as can be.
const BATCH_GRAINS: u64 = 256;
/// What a zlib stream may add to a grain, in bytes; stored, it adds less.
const SLACK_BYTES: usize = 128;

/// Grains in a row, as they were read.
#[derive(Debug, Default)]
pub(super) struct Batch {
    numbers: Vec<u64>,
    bytes: Vec<u8>,
}

/// A grain as it stands in the file: marker, zlib stream, and zeros up to the next sector.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) grain: u64,
    pub(super) bytes: Vec<u8>,
}

/// Reads the grains of a disk that may hold anything, each once.
#[derive(Debug)]
pub(super) struct Grains<'a> {
    disk: &'a mut dyn Disk,
    /// Those to be read next.
    ahead: Range<u64>,
}

impl<'a> Grains<'a> {
    pub(super) fn of(disk: &'a mut dyn Disk) -> Self {
        Self { disk, ahead: 0..0 }
    }

    /// Bytes that will be read, in whole grains.
    pub(super) fn count_bytes(mut self) -> Result<u64, CommandError> {
        let mut grains = 0;
        while self.look()? {
            grains += self.ahead.end - self.ahead.start;
            self.ahead.start = self.ahead.end;
        }
        Ok(grains * GRAIN_BYTES as u64)
    }

    /// The next batch; an empty one at the end.
    pub(super) fn read(&mut self) -> Result<Batch, CommandError> {
        let mut batch = Batch::default();
        while let left @ 1.. = BATCH_GRAINS - batch.numbers.len() as u64
            && self.look()?
        {
            let run = self.ahead.start..self.ahead.end.min(self.ahead.start + left);
            self.ahead.start = run.end;
            let (from, to) = (bytes_of(run.start), bytes_of(run.end).min(self.disk.capacity()));
            let begin = batch.bytes.len();
            batch.numbers.extend(run);
            batch.bytes.resize(batch.numbers.len() * GRAIN_BYTES, 0);
            // Behind the end of the disk the last grain stays zero.
            let length = usize::try_from(to - from).unwrap_or(usize::MAX);
            self.disk.read(from, &mut batch.bytes[begin..begin + length])?;
        }
        Ok(batch)
    }

    /// Whether there are grains ahead.
    fn look(&mut self) -> Result<bool, CommandError> {
        if self.ahead.is_empty()
            && let Some(data) = self.disk.next_data(bytes_of(self.ahead.end))?
        {
            self.ahead = data.start / GRAIN_BYTES as u64..data.end.div_ceil(GRAIN_BYTES as u64);
        }
        Ok(!self.ahead.is_empty())
    }
}

impl Batch {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The grains that are not zero, compressed. The same comes out on any number of cores.
    pub(super) fn compress(&self, level: u32) -> io::Result<Vec<Record>> {
        let grains = self.numbers.par_iter().zip(self.bytes.par_chunks(GRAIN_BYTES));
        let records = grains.map_init(
            || Compress::new(Compression::new(level), true),
            |zlib, (&grain, plain)| {
                (!is_zero(plain)).then(|| Ok(Record { grain, bytes: record(zlib, grain, plain)? }))
            },
        );
        records.filter_map(|record| record).collect()
    }
}

fn bytes_of(grain: u64) -> u64 {
    grain * GRAIN_BYTES as u64
}

fn is_zero(grain: &[u8]) -> bool {
    let (words, rest) = grain.as_chunks();
    words.iter().all(|&word| u128::from_ne_bytes(word) == 0) && rest.iter().all(|&byte| byte == 0)
}

fn record(zlib: &mut Compress, grain: u64, plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(GRAIN_MARKER_BYTES + plain.len() + SLACK_BYTES);
    bytes.extend((grain * GRAIN_SECTORS).to_le_bytes());
    bytes.extend([0; 4]);
    zlib.reset();
    if zlib.compress_vec(plain, &mut bytes, FlushCompress::Finish)? != Status::StreamEnd {
        // The quick levels make noise an eighth longer. Nobody says how long a grain may be, so it is stored instead.
        bytes.truncate(GRAIN_MARKER_BYTES);
        Compress::new(Compression::none(), true).compress_vec(plain, &mut bytes, FlushCompress::Finish)?;
    }
    let length = u32::try_from(bytes.len() - GRAIN_MARKER_BYTES).map_err(io::Error::other)?;
    bytes[GRAIN_MARKER_BYTES - 4..GRAIN_MARKER_BYTES].copy_from_slice(&length.to_le_bytes());
    bytes.resize(bytes.len().next_multiple_of(SECTOR_BYTES), 0);
    Ok(bytes)
}
