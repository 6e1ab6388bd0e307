//! A sink for one small blob that is looked at and not kept.

use std::sync::{Mutex, PoisonError};

use sealift_archive::{Blob, BlobSink, BlobWriter, Check, Error};

/// Holds the blob that was last finished. Whoever uses it has looked at the size before.
#[derive(Debug, Default)]
pub(crate) struct InMemory(Mutex<Vec<u8>>);

impl InMemory {
    /// The blob.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl BlobSink for InMemory {
    fn open(&self, blob: Blob) -> Result<Box<dyn BlobWriter + '_>, Error> {
        Ok(Box::new(Writer { place: &self.0, check: Check::new(blob), bytes: Vec::new() }))
    }
}

struct Writer<'a> {
    place: &'a Mutex<Vec<u8>>,
    check: Check,
    bytes: Vec<u8>,
}

impl BlobWriter for Writer<'_> {
    fn position(&self) -> u64 {
        self.check.seen()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.check.update(bytes)?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn restart(&mut self) -> Result<(), Error> {
        self.check = Check::new(self.check.wanted());
        self.bytes.clear();
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        self.check.finish()?;
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = self.bytes;
        Ok(())
    }
}
