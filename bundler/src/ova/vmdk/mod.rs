//! Disks as vSphere imports them: VMDK of the kind "streamOptimized", written from the first byte to the last.
//!
//! ```text
//! header, descriptor          up to sector 128; the directory is said to be at the end
//! grain* marker table         for each 32 MiB of the disk that hold anything: compressed grains in the disk's order,
//!                             then the table of where they are; a grain of zeros is in no table
//! marker directory            where the tables are; 0 for 32 MiB of zeros
//! marker footer               the header again, now with the place of the directory
//! marker                      end of stream
//! ```
//! QEMU writes the same kind, but with grains and tables in an order that vSphere does not always take.

mod grains;
mod layout;
#[cfg(test)]
mod reader;

use sealift_archive::Progress;

use super::CommandError;
use super::disk::{Disk, SECTOR_BYTES};
use grains::{Batch, Grains, Record};
use layout::{GRAIN_BYTES, Marker, TABLE_ENTRIES};

/// Takes a file from its first byte to its last.
pub(super) trait Sink: Send {
    fn append(&mut self, bytes: &[u8]) -> Result<(), CommandError>;
}

/// How a disk is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style<'a> {
    /// The file's name, without a folder.
    pub(super) name: &'a str,
    /// Version of the virtual hardware.
    pub(super) hardware: u8,
    /// How hard deflate tries, from 1 to 9.
    pub(super) level: u32,
}

/// Bytes of a disk that have to be read, in whole grains.
pub(super) fn data_bytes(disk: &mut dyn Disk) -> Result<u64, CommandError> {
    Grains::of(disk).count_bytes()
}

/// Writes a disk, and returns how many bytes of it are in the file, uncompressed. The file consists of whole sectors.
pub(super) fn write(
    disk: &mut dyn Disk,
    style: Style<'_>,
    sink: &mut dyn Sink,
    progress: &dyn Progress,
) -> Result<u64, CommandError> {
    let capacity = disk.capacity();
    let mut writer = Writer::begin(sink, capacity / SECTOR_BYTES, style)?;
    let mut grains = Grains::of(disk);
    let mut read = grains.read()?;
    let mut compressed = Vec::new();
    // While one batch is compressed, the next is read and the one before is written.
    while !read.is_empty() || !compressed.is_empty() {
        progress.go_on()?;
        let batch = std::mem::take(&mut read);
        let ((records, next), written) = rayon::join(
            || rayon::join(|| batch.compress(style.level), || next_of(&batch, &mut grains)),
            || compressed.iter().try_for_each(|record| writer.grain(record)),
        );
        written?;
        (compressed, read) = (records?, next?);
        progress.advance(batch.bytes());
    }
    writer.finish().map(|populated| populated.min(capacity))
}

/// What comes after a batch: nothing after the empty one.
fn next_of(batch: &Batch, grains: &mut Grains<'_>) -> Result<Batch, CommandError> {
    if batch.is_empty() { Ok(Batch::default()) } else { grains.read() }
}

struct Writer<'a> {
    sink: &'a mut dyn Sink,
    capacity_sectors: u64,
    /// Sectors that are written.
    at: u64,
    /// Places of the tables, in sectors.
    directory: Vec<u32>,
    /// Places of the grains of one table, in sectors, and which table it is.
    table: Option<(usize, Box<[u32; TABLE_ENTRIES]>)>,
    grains: u64,
}

impl<'a> Writer<'a> {
    fn begin(sink: &'a mut dyn Sink, capacity_sectors: u64, style: Style<'_>) -> Result<Self, CommandError> {
        let covered = layout::GRAIN_SECTORS * TABLE_ENTRIES as u64;
        let tables = usize::try_from(capacity_sectors.div_ceil(covered)).unwrap_or(usize::MAX);
        let directory = vec![0; tables];
        let mut writer = Self { sink, capacity_sectors, at: 0, directory, table: None, grains: 0 };
        writer.append(&layout::overhead(style.name, capacity_sectors, style.hardware))?;
        Ok(writer)
    }

    fn grain(&mut self, record: &Record) -> Result<(), CommandError> {
        let grain = usize::try_from(record.grain).unwrap_or(usize::MAX);
        let (number, inside) = (grain / TABLE_ENTRIES, grain % TABLE_ENTRIES);
        if self.table.as_ref().is_some_and(|(open, _)| *open != number) {
            self.end_table()?;
        }
        let at = self.place();
        self.table.get_or_insert_with(|| (number, Box::new([0; TABLE_ENTRIES]))).1[inside] = at;
        self.grains += 1;
        self.append(&record.bytes)
    }

    fn end_table(&mut self) -> Result<(), CommandError> {
        let Some((number, table)) = self.table.take() else { return Ok(()) };
        self.append(&Marker::Table.sector())?;
        self.directory[number] = self.place();
        self.append(&in_sectors(table.as_slice()))
    }

    /// Writes what follows the last grain, and returns how many bytes of the disk are in the file.
    fn finish(mut self) -> Result<u64, CommandError> {
        self.end_table()?;
        let directory = in_sectors(&self.directory);
        self.append(&Marker::Directory { sectors: directory.len() as u64 / SECTOR_BYTES }.sector())?;
        let footer = layout::header(self.capacity_sectors, Some(self.at));
        self.append(&directory)?;
        self.append(&Marker::Footer.sector())?;
        self.append(&footer)?;
        self.append(&Marker::EndOfStream.sector())?;
        Ok(self.grains * GRAIN_BYTES as u64)
    }

    /// Where the next sector will be. A file that were too long for the number is refused by its sink long before.
    fn place(&self) -> u32 {
        u32::try_from(self.at).unwrap_or(u32::MAX)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), CommandError> {
        self.at += bytes.len() as u64 / SECTOR_BYTES;
        self.sink.append(bytes)
    }
}

/// Numbers, and zeros up to the next sector.
fn in_sectors(numbers: &[u32]) -> Vec<u8> {
    let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    bytes.resize(bytes.len().next_multiple_of(layout::SECTOR_BYTES), 0);
    bytes
}

#[cfg(test)]
mod tests;
