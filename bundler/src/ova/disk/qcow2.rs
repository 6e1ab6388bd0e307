//! QCOW2, versions 2 and 3 (QEMU, `docs/interop/qcow2.txt`), of images that stand alone.
//!
//! A table of tables (L1) leads to tables (L2) whose entries lead to clusters, stored or compressed. Every entry is looked at
//! before anything is read: each has to point into the file, and no more of them may point there than the file has room for.
//! So tables that point at each other, or a million times at one cluster, cost no more time and memory than the file is long.

use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use flate2::read::DeflateDecoder;
use fs_err as fs;

use super::super::Error;
use super::{CommandError, Disk, MAX_CAPACITY_BYTES, SECTOR_BYTES, unread};

/// How an image begins.
pub(super) const MAGIC: [u8; 4] = *b"QFI\xfb";
/// The header as far as it is used, in bytes: up to the kind of compression of version 3.
const HEADER_BYTES: usize = 105;
/// The header of version 2, in bytes; that of version 3 goes on with its features.
const HEADER_V2_BYTES: usize = 72;
/// Sizes of clusters that QEMU takes, as powers of two.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// Largest L1 table, in entries: QEMU's own limit of 32 MiB.
const MAX_L1_ENTRIES: u64 = 4 << 20;
const ENTRY_BYTES: u64 = 8;

/// What an entry of either table points at, in bytes.
const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
/// An L2 entry: the cluster is compressed.
const IS_COMPRESSED: u64 = 1 << 62;
/// An L2 entry of version 3: the cluster reads as zeros, wherever it points.
const IS_ZERO: u64 = 1;
/// The smallest that a compressed cluster can be, in bytes. Less is not even zeros.
const MIN_COMPRESSED_BYTES: u64 = 8;

/// Features without which an image cannot be read, by bit. `Ok` may be passed over.
const FEATURES: [Result<&str, &str>; 5] = [
    Ok("was not closed; only its counters are stale, and nobody needs them to read"),
    Err("is marked as corrupt"),
    Err("keeps its data in another file"),
    Ok("compresses in another way than with deflate"),
    Err("has clusters in parts (extended L2 entries)"),
];

/// A QCOW2 image.
#[derive(Debug)]
pub(super) struct Qcow2 {
    file: fs::File,
    /// Of the file, in bytes.
    length: u64,
    /// Of the disk, in bytes.
    capacity: u64,
    cluster_bits: u32,
    has_zero_flag: bool,
    compression: Compression,
    l1: Vec<u64>,
    /// The L2 table that was asked for last, by its place in L1.
    l2: Option<(u64, Vec<u64>)>,
    /// The compressed cluster that was asked for last, by its number.
    unpacked: Option<(u64, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug)]
enum Compression {
    Deflate,
    Zstd,
}

/// Where the content of a cluster is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cluster {
    Zero,
    Stored { at: u64 },
    Compressed { at: u64, bytes: u64 },
}

impl Qcow2 {
    pub(super) fn open(file: fs::File) -> Result<Self, CommandError> {
        let length = file.metadata()?.len();
        let mut header = [0; HEADER_BYTES];
        let read = read_at_most(&file, &mut header, 0)?;
        let damaged = |why: &str| Error::DamagedImage { file: file.path().to_owned(), why: why.to_owned() };
        if read < HEADER_V2_BYTES {
            return Err(damaged("its header is cut off").into());
        }
        let number =
            |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let long = |at: usize| u64::from(number(at)) << 32 | u64::from(number(at + 4));
        let (version, cluster_bits, capacity) = (number(4), number(20), long(24));
        let (l1_entries, l1_at) = (u64::from(number(36)), long(40));

        let refuse = |why: String| Error::UnsupportedImage { file: file.path().to_owned(), why };
        if !(2..=3).contains(&version) {
            return Err(refuse(format!("is of version {version} of QCOW2")).into());
        }
        if long(8) != 0 {
            return Err(refuse("builds on another image".into()).into());
        }
        if number(32) != 0 {
            return Err(refuse("is encrypted".into()).into());
        }
        let mut compression = Compression::Deflate;
        if version == 3 {
            let features = long(72);
            for bit in (0..u64::BITS).filter(|bit| features >> bit & 1 == 1) {
                match FEATURES.get(bit as usize) {
                    Some(Ok(_)) => {}
                    Some(Err(why)) => return Err(refuse((*why).to_owned()).into()),
                    None => return Err(refuse(format!("has feature {bit}, which is not known")).into()),
                }
            }
            let kind =
                if number(100) as usize >= HEADER_BYTES && read == HEADER_BYTES { header[104] } else { 0 };
            compression = match kind {
                0 => Compression::Deflate,
                1 => Compression::Zstd,
                other => {
                    return Err(refuse(format!("is compressed by method {other}, which is not known")).into());
                }
            };
        }
        if !CLUSTER_BITS.contains(&cluster_bits) {
            return Err(damaged("the size of its clusters is none that QCOW2 has").into());
        }
        // What is larger is told with its size by whoever opens disks; its tables are not looked at.
        let covered = 1_u64 << (2 * cluster_bits - ENTRY_BYTES.ilog2());
        let needed = capacity.min(MAX_CAPACITY_BYTES).div_ceil(covered);
        if l1_entries < needed || needed > MAX_L1_ENTRIES {
            return Err(damaged("its first table is too short or too long for its disk").into());
        }
        let l1 = read_table(&file, l1_at, needed).ok_or_else(|| damaged("its first table is cut off"))?;
        let mut image = Self {
            length,
            capacity,
            cluster_bits,
            has_zero_flag: version == 3,
            compression,
            l1,
            l2: None,
            unpacked: None,
            file,
        };
        image.survey()?;
        Ok(image)
    }

    /// Looks at all tables, so that reading finds nothing wrong with them any more.
    fn survey(&mut self) -> Result<(), CommandError> {
        let tables = self.l1.iter().filter(|&&entry| entry & OFFSET_MASK != 0).count() as u64;
        let clusters = self.length.div_ceil(self.cluster_bytes());
        if tables > clusters {
            return Err(self.damaged("its tables overlap").into());
        }
        let (mut stored, mut compressed) = (0, 0);
        let mut number = 0;
        while let Some(next) = self.next_cluster(number, |cluster| cluster != Cluster::Zero)? {
            match self.cluster(next)? {
                Cluster::Zero => {}
                Cluster::Stored { .. } => stored += 1,
                Cluster::Compressed { .. } => compressed += MIN_COMPRESSED_BYTES,
            }
            if stored > clusters || compressed > self.length {
                return Err(self.damaged("several parts of its disk lie in one place").into());
            }
            number = next + 1;
        }
        Ok(())
    }

    fn cluster_bytes(&self) -> u64 {
        1 << self.cluster_bits
    }

    fn clusters(&self) -> u64 {
        self.capacity.min(MAX_CAPACITY_BYTES).div_ceil(self.cluster_bytes())
    }

    /// Entries of an L2 table.
    fn entries(&self) -> u64 {
        self.cluster_bytes() / ENTRY_BYTES
    }

    /// The first cluster from this one on that is `wanted`. Where there is no table, all are zero.
    fn next_cluster(
        &mut self,
        from: u64,
        wanted: impl Fn(Cluster) -> bool,
    ) -> Result<Option<u64>, CommandError> {
        let mut number = from;
        while number < self.clusters() {
            let has_table = self.table_entry(number) != 0;
            if has_table {
                if wanted(self.cluster(number)?) {
                    return Ok(Some(number));
                }
                number += 1;
            } else if wanted(Cluster::Zero) {
                return Ok(Some(number));
            } else {
                number = (number / self.entries() + 1) * self.entries();
            }
        }
        Ok(None)
    }

    /// Where the L2 table of a cluster is, in bytes; 0 if there is none.
    fn table_entry(&self, number: u64) -> u64 {
        let place = usize::try_from(number / self.entries()).unwrap_or(usize::MAX);
        self.l1.get(place).map_or(0, |entry| entry & OFFSET_MASK)
    }

    fn cluster(&mut self, number: u64) -> Result<Cluster, CommandError> {
        let (place, inside) = (number / self.entries(), number % self.entries());
        let at = self.table_entry(number);
        if at == 0 {
            return Ok(Cluster::Zero);
        }
        if self.l2.as_ref().is_none_or(|(loaded, _)| *loaded != place) {
            let table = self
                .is_aligned(at)
                .then(|| read_table(&self.file, at, self.entries()))
                .flatten()
                .ok_or_else(|| self.damaged(&format!("its table at byte {at} is cut off or out of place")))?;
            self.l2 = Some((place, table));
        }
        let entry = self.l2.as_ref().map_or(0, |(_, table)| {
            usize::try_from(inside).ok().and_then(|inside| table.get(inside)).copied().unwrap_or(0)
        });
        self.understand(number, entry)
    }

    /// What an L2 entry says, if the file can hold it.
    fn understand(&self, number: u64, entry: u64) -> Result<Cluster, CommandError> {
        let outside =
            |at: u64| self.damaged(&format!("it has no byte {at}, where part of its disk should be"));
        if entry & IS_COMPRESSED != 0 {
            let offset_bits = 62 - (self.cluster_bits - 8);
            let at = entry & ((1 << offset_bits) - 1);
            let sectors = (entry & (IS_COMPRESSED - 1)) >> offset_bits;
            // The last sector may be cut off where the compressed data ends.
            let bytes =
                ((sectors + 1) * SECTOR_BYTES - at % SECTOR_BYTES).min(self.length.saturating_sub(at));
            return if bytes == 0 { Err(outside(at).into()) } else { Ok(Cluster::Compressed { at, bytes }) };
        }
        let at = entry & OFFSET_MASK;
        if at == 0 || self.has_zero_flag && entry & IS_ZERO != 0 {
            return Ok(Cluster::Zero);
        }
        let needed = self.cluster_bytes().min(self.capacity - number * self.cluster_bytes());
        let is_whole = at.checked_add(needed).is_some_and(|end| end <= self.length);
        if self.is_aligned(at) && is_whole { Ok(Cluster::Stored { at }) } else { Err(outside(at).into()) }
    }

    fn is_aligned(&self, at: u64) -> bool {
        at.is_multiple_of(self.cluster_bytes())
    }

    /// Unpacks a compressed cluster, unless that was done for the part before.
    fn unpack(&mut self, number: u64, at: u64, bytes: u64) -> Result<&[u8], CommandError> {
        if self.unpacked.as_ref().is_none_or(|(loaded, _)| *loaded != number) {
            let size = usize::try_from(self.cluster_bytes()).unwrap_or(usize::MAX);
            let mut packed = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
            let read = read_at_most(&self.file, &mut packed, at)?;
            packed.truncate(read);
            let mut plain = vec![0; size];
            let unpacked = match self.compression {
                Compression::Deflate => DeflateDecoder::new(packed.as_slice()).read_exact(&mut plain),
                // What follows the frame in its last sector belongs to the next cluster.
                Compression::Zstd => zstd::stream::read::Decoder::with_buffer(packed.as_slice())
                    .and_then(|frame| frame.single_frame().read_exact(&mut plain)),
            };
            unpacked
                .map_err(|_| self.damaged(&format!("what is compressed at byte {at} cannot be unpacked")))?;
            self.unpacked = Some((number, plain));
        }
        Ok(self.unpacked.as_ref().map_or(&[], |(_, plain)| plain.as_slice()))
    }

    fn damaged(&self, why: &str) -> Error {
        Error::DamagedImage { file: self.file.path().to_owned(), why: why.to_owned() }
    }
}

impl Disk for Qcow2 {
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn next_data(&mut self, at: u64) -> Result<Option<Range<u64>>, CommandError> {
        let is_data = |cluster| cluster != Cluster::Zero;
        let Some(first) = self.next_cluster(at >> self.cluster_bits, is_data)? else { return Ok(None) };
        let end = self.next_cluster(first, |cluster| !is_data(cluster))?.unwrap_or(self.clusters());
        let range = at.max(first << self.cluster_bits)..(end << self.cluster_bits).min(self.capacity);
        Ok((!range.is_empty()).then_some(range))
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), CommandError> {
        let (mut at, mut rest) = (at, into);
        while !rest.is_empty() {
            let (number, inside) = (at >> self.cluster_bits, at & (self.cluster_bytes() - 1));
            let left = usize::try_from(self.cluster_bytes() - inside).unwrap_or(usize::MAX).min(rest.len());
            let (part, behind) = rest.split_at_mut(left);
            match self.cluster(number)? {
                Cluster::Zero => part.fill(0),
                Cluster::Stored { at: stored } => {
                    self.file
                        .file()
                        .read_exact_at(part, stored + inside)
                        .map_err(|e| unread(&self.file, &e))?;
                }
                Cluster::Compressed { at: packed, bytes } => {
                    let inside = usize::try_from(inside).unwrap_or(usize::MAX);
                    let plain = self.unpack(number, packed, bytes)?;
                    part.copy_from_slice(&plain[inside..inside + left]);
                }
            }
            (at, rest) = (at + left as u64, behind);
        }
        Ok(())
    }
}

/// Reads so many entries; `None` if the file has fewer, before any memory is taken for them.
fn read_table(file: &fs::File, at: u64, entries: u64) -> Option<Vec<u64>> {
    let bytes = entries * ENTRY_BYTES;
    let is_there =
        at.checked_add(bytes).is_some_and(|end| file.metadata().is_ok_and(|found| end <= found.len()));
    if !is_there {
        return None;
    }
    let mut table = vec![0; usize::try_from(bytes).ok()?];
    file.file().read_exact_at(&mut table, at).ok()?;
    let (words, _) = table.as_chunks();
    Some(words.iter().map(|&word| u64::from_be_bytes(word)).collect())
}

/// Reads until the file or the buffer ends.
fn read_at_most(file: &fs::File, into: &mut [u8], at: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < into.len() {
        match file.file().read_at(&mut into[read..], at + read as u64) {
            Ok(0) => break,
            Ok(bytes) => read += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unread(file, &error)),
        }
    }
    Ok(read)
}
