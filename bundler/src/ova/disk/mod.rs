//! Disks, as the machine sees them that has them.
//!
//! An image is opened as a whole before anything is written: what is wrong with its tables is told then.

mod qcow2;
mod raw;

use std::fmt;
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use fs_err as fs;

use super::{CommandError, Error};
use qcow2::Qcow2;
use raw::Raw;

/// Unit of all disks, in bytes.
pub(super) const SECTOR_BYTES: u64 = 512;
/// Largest disk of a machine in vSphere, in bytes.
pub(super) const MAX_CAPACITY_BYTES: u64 = 62 << 40;
/// So much of a file is read to see what it is, in bytes: up to the name of ISO 9660.
const LOOK_BYTES: u64 = 0x8006;
/// What firmware reads first, in bytes.
const BOOT_SECTOR_BYTES: usize = 512;
/// Where and how a sector ends that firmware takes for a boot sector, or for the one that protects a GPT.
const BOOT_SIGNATURE: (usize, [u8; 2]) = (510, [0x55, 0xaa]);
/// What else people have at hand: where it is told, how, and what it is.
const OTHERS: [(usize, &[u8], &str); 15] = [
    (0, b"KDMV", "a VMDK"),
    (0, b"# Disk DescriptorFile", "a VMDK"),
    (0, b"COWD", "a VMDK"),
    (0, b"conectix", "a VHD"),
    (0, b"vhdxfile", "a VHDX"),
    (0x40, b"\x7f\x10\xda\xbe", "a VDI"),
    (0, b"\x1f\x8b\x08", "compressed with gzip"),
    (0, b"\xfd7zXZ\0", "compressed with xz"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (0, b"BZh", "compressed with bzip2"),
    (0, b"PK\x03\x04", "a zip archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x7fELF", "a program"),
    (0, b"QED\0", "a QED image"),
    (0x8001, b"CD001", "an ISO image"),
];

/// What a machine can read from a disk.
pub(super) trait Disk: Send + fmt::Debug {
    /// Its size, in bytes: whole sectors.
    fn capacity(&self) -> u64;

    /// The first stretch at or behind `at` that may hold something else than zeros; none up to the end.
    fn next_data(&mut self, at: u64) -> Result<Option<Range<u64>>, CommandError>;

    /// Reads what is at `at`, all of it inside the capacity.
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), CommandError>;
}

/// A disk with nothing on it, of so many bytes.
#[derive(Debug)]
pub(super) struct Empty(pub(super) u64);

impl Disk for Empty {
    fn capacity(&self) -> u64 {
        self.0
    }

    fn next_data(&mut self, _: u64) -> Result<Option<Range<u64>>, CommandError> {
        Ok(None)
    }

    fn read(&mut self, _: u64, into: &mut [u8]) -> Result<(), CommandError> {
        into.fill(0);
        Ok(())
    }
}

/// Opens an image: QCOW2 by its first bytes, anything that is not known as something else as raw.
pub(super) fn open(path: &Path) -> Result<Box<dyn Disk>, CommandError> {
    let kind = fs::metadata(path)?.file_type();
    let refuse = |what| Err(Error::NotADisk { file: path.to_owned(), what }.into());
    if !kind.is_file() && !kind.is_block_device() {
        return refuse(if kind.is_dir() { "a folder" } else { "no file" });
    }
    let file = fs::File::open(path)?;
    let mut start = Vec::new();
    (&file).take(LOOK_BYTES).read_to_end(&mut start)?;
    if start.is_empty() {
        return refuse("empty");
    }
    for (at, magic, what) in OTHERS {
        if start.get(at..).is_some_and(|rest| rest.starts_with(magic)) {
            return refuse(what);
        }
    }
    let disk: Box<dyn Disk> = if start.starts_with(&qcow2::MAGIC) {
        Box::new(Qcow2::open(file)?)
    } else {
        Box::new(Raw::open(file)?)
    };
    check_capacity(disk.capacity(), || format!("`{}`", path.display()))?;
    Ok(disk)
}

/// The same, for the disk from which the machine starts.
pub(super) fn open_system(path: &Path) -> Result<Box<dyn Disk>, CommandError> {
    let mut disk = open(path)?;
    let mut sector = [0; BOOT_SECTOR_BYTES];
    disk.read(0, &mut sector)?;
    let (at, signature) = BOOT_SIGNATURE;
    if sector[at..] != signature {
        return Err(Error::NotBootable { file: path.to_owned() }.into());
    }
    Ok(disk)
}

/// Refuses what no disk of vSphere can be as large as.
pub(super) fn check_capacity(bytes: u64, what: impl Fn() -> String) -> Result<(), Error> {
    if bytes == 0 || !bytes.is_multiple_of(SECTOR_BYTES) {
        return Err(Error::OddSize { what: what(), bytes });
    }
    if bytes > MAX_CAPACITY_BYTES {
        return Err(Error::DiskTooLarge { what: what(), bytes, limit: MAX_CAPACITY_BYTES });
    }
    Ok(())
}

/// What stands in the way of reading from a place in a file; these calls do not name it.
fn unread(file: &fs::File, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("failed to read `{}`: {error}", file.path().display()))
}

#[cfg(test)]
mod tests;
