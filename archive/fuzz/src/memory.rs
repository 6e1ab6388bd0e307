//! An archive in memory, and blobs that come out of one.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use sealift_archive::medium::Medium;
use sealift_archive::{Blob, BlobSink, BlobWriter, Digest, Error};

/// An archive in memory.
#[derive(Debug)]
pub(super) struct Memory(pub(super) Vec<u8>);

impl Medium for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn length(&self) -> Result<u64, Error> {
        Ok(self.0.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = self.0.get(start..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(found.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }
}

/// Takes blobs in that are what they are said to be, by a hash of its own.
#[derive(Default)]
pub(super) struct Arrived(Mutex<BTreeMap<Digest, Vec<u8>>>);

impl Arrived {
    pub(super) fn into_blobs(self) -> BTreeMap<Digest, Vec<u8>> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A blob on its way.
struct Arriving<'a> {
    arrived: &'a Arrived,
    blob: Blob,
    bytes: Vec<u8>,
}

impl BlobSink for Arrived {
    fn open(&self, blob: Blob) -> Result<Box<dyn BlobWriter + '_>, Error> {
        Ok(Box::new(Arriving { arrived: self, blob, bytes: Vec::new() }))
    }
}

impl BlobWriter for Arriving<'_> {
    fn position(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes.extend_from_slice(bytes);
        assert!(self.position() <= self.blob.size, "more arrives than was announced of {:?}", self.blob);
        Ok(())
    }

    fn restart(&mut self) -> Result<(), Error> {
        self.bytes.clear();
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        // Whoever takes a blob in checks it, says the trait: the reader may leave that to us.
        let found = Blob::of(&self.bytes);
        if found != self.blob {
            return Err(Error::WrongContent { wanted: self.blob.digest, found: found.digest });
        }
        let mut blobs = self.arrived.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(blobs.insert(found.digest, self.bytes).is_none(), "{found:?} arrives twice");
        Ok(())
    }
}
