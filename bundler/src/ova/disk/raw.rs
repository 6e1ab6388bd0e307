//! Raw images and block devices: the bytes of the disk, one after the other.

use std::io::{Seek as _, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use fs_err as fs;
use rustix::io::Errno;

use super::{CommandError, Disk, unread};

/// A raw image.
#[derive(Debug)]
pub(super) struct Raw {
    file: fs::File,
    capacity: u64,
}

impl Raw {
    pub(super) fn open(mut file: fs::File) -> Result<Self, CommandError> {
        // A block device tells its size in no other way.
        let capacity = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, capacity })
    }

    fn seek(&self, to: rustix::fs::SeekFrom) -> Result<u64, Errno> {
        rustix::fs::seek(self.file.file(), to)
    }
}

impl Disk for Raw {
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn next_data(&mut self, at: u64) -> Result<Option<Range<u64>>, CommandError> {
        if at >= self.capacity {
            return Ok(None);
        }
        let start = match self.seek(rustix::fs::SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            // Not every file system knows its holes; devices do not.
            Err(_) => return Ok(Some(at..self.capacity)),
        };
        let end = self.seek(rustix::fs::SeekFrom::Hole(start)).unwrap_or(self.capacity);
        let range = start..end.min(self.capacity);
        Ok((!range.is_empty()).then_some(range))
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), CommandError> {
        Ok(self.file.file().read_exact_at(into, at).map_err(|error| unread(&self.file, &error))?)
    }
}
