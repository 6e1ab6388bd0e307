//! An archive put together from its files by what parity knows of them: for when they cannot say it themselves.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::Error;
use crate::format::parity::Grid;
use crate::medium::{Medium, Parts, Place};

/// Files of an archive, in their order; what is not at hand is `None`.
#[derive(Debug)]
pub(super) struct Assembled {
    name: String,
    grid: Grid,
    files: Vec<Option<Arc<dyn Medium>>>,
}

impl Assembled {
    pub(super) fn new(name: String, grid: Grid, files: Vec<Option<Arc<dyn Medium>>>) -> Self {
        Self { name, grid, files }
    }

    fn missing(&self) -> Vec<u32> {
        (1..).zip(&self.files).filter(|(_, file)| file.is_none()).map(|(number, _)| number).collect()
    }
}

impl Medium for Assembled {
    fn name(&self) -> &str {
        &self.name
    }

    fn length(&self) -> Result<u64, Error> {
        Ok(self.grid.archive_bytes())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        let end = offset.checked_add(buffer.len() as u64).filter(|&end| end <= self.grid.archive_bytes());
        let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let mut rest = buffer;
        for (file, range) in self.grid.stretches(&(offset..end)) {
            let part;
            (part, rest) = rest.split_at_mut(usize::try_from(range.end - range.start).unwrap_or(usize::MAX));
            if let Some(found) = &self.files[file] {
                found.read_exact_at(part, range.start)?;
            } else {
                let number = u32::try_from(file + 1).unwrap_or(u32::MAX);
                let count = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
                return Err(Error::VolumesMissing {
                    archive: self.name.clone(),
                    numbers: vec![number],
                    count,
                });
            }
        }
        Ok(())
    }

    fn place(&self, range: Range<u64>) -> Place {
        let stretches = self.grid.stretches(&range);
        match stretches.first().map(|(file, range)| (&self.files[*file], range)) {
            Some((Some(file), found)) => {
                let end = found.start + (range.end - range.start);
                Place { file: file.name().to_owned(), range: found.start..end }
            }
            _ => Place { file: self.name.clone(), range },
        }
    }

    fn parts(&self) -> Option<Parts> {
        let count = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        (self.grid.header_bytes() > 0).then(|| Parts { count, missing: self.missing() })
    }

    fn forget_cached(&self) -> Result<(), Error> {
        self.files.iter().flatten().try_for_each(|file| file.forget_cached())
    }
}
