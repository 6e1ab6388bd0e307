//! A sink for small blobs that are looked at and not kept.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use sealift_archive::{Blob, BlobSink, BlobWriter, Check, Digest, Error};

type Blobs = BTreeMap<Digest, Vec<u8>>;

/// Holds the blobs that were finished. Whoever uses it has looked at their sizes before.
#[derive(Debug, Default)]
pub(crate) struct InMemory(Mutex<Blobs>);

impl InMemory {
    /// The blob, where one was asked for; empty if it did not come.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.take_all().into_values().next().unwrap_or_default()
    }

    /// The blobs, by digest.
    pub(crate) fn take_all(&self) -> Blobs {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl BlobSink for InMemory {
    fn open(&self, blob: Blob) -> Result<Box<dyn BlobWriter + '_>, Error> {
        Ok(Box::new(Writer { place: &self.0, check: Check::new(blob), bytes: Vec::new() }))
    }
}

struct Writer<'a> {
    place: &'a Mutex<Blobs>,
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
        let digest = self.check.wanted().digest;
        self.check.finish()?;
        self.place.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, self.bytes);
        Ok(())
    }
}
