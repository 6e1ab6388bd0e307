//! A sink in memory that keeps what an unfinished writer had, as the real ones do on disk.

use std::collections::HashMap;
use std::sync::Mutex;

use sealift_archive::{Blob, BlobSink, BlobWriter, Check, Digest, Error};

#[derive(Debug, Default)]
pub(crate) struct MemorySink(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    whole: HashMap<Digest, Vec<u8>>,
    parts: HashMap<Digest, Vec<u8>>,
    opened: Vec<Digest>,
    written: u64,
    restarts: usize,
    room: Option<u64>,
}

impl MemorySink {
    /// A sink whose disk is full after so many bytes.
    pub(crate) fn with_room(bytes: u64) -> Self {
        Self(Mutex::new(State { room: Some(bytes), ..State::default() }))
    }

    /// Leaves a part of a blob, as an earlier run would.
    pub(crate) fn leave(&self, digest: Digest, part: &[u8]) {
        self.0.lock().unwrap().parts.insert(digest, part.to_vec());
    }

    /// A complete, checked blob.
    pub(crate) fn whole(&self, digest: Digest) -> Option<Vec<u8>> {
        self.0.lock().unwrap().whole.get(&digest).cloned()
    }

    /// How many complete blobs there are.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().whole.len()
    }

    /// How much there is of an unfinished blob.
    pub(crate) fn part_len(&self, digest: Digest) -> usize {
        self.0.lock().unwrap().parts.get(&digest).map_or(0, Vec::len)
    }

    /// How many bytes all writers were given.
    pub(crate) fn written(&self) -> u64 {
        self.0.lock().unwrap().written
    }

    /// How often a writer was told to begin again.
    pub(crate) fn restarts(&self) -> usize {
        self.0.lock().unwrap().restarts
    }

    /// The blobs for which a writer was opened, in this order.
    pub(crate) fn opened(&self) -> Vec<Digest> {
        self.0.lock().unwrap().opened.clone()
    }
}

impl BlobSink for MemorySink {
    fn open(&self, blob: Blob) -> Result<Box<dyn BlobWriter + '_>, Error> {
        let mut state = self.0.lock().unwrap();
        state.opened.push(blob.digest);
        let bytes = state.parts.remove(&blob.digest).unwrap_or_default();
        Ok(Box::new(Writer { sink: self, blob, bytes, finished: false }))
    }
}

struct Writer<'a> {
    sink: &'a MemorySink,
    blob: Blob,
    bytes: Vec<u8>,
    finished: bool,
}

impl BlobWriter for Writer<'_> {
    fn position(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut state = self.sink.0.lock().unwrap();
        state.written += bytes.len() as u64;
        if state.room.is_some_and(|room| state.written > room) {
            return Err(Error::NoSpace { place: "memory".to_owned(), needed: self.blob.size, free: 0 });
        }
        self.bytes.extend_from_slice(bytes);
        assert!(self.bytes.len() as u64 <= self.blob.size, "more came than was announced");
        Ok(())
    }

    fn restart(&mut self) -> Result<(), Error> {
        self.sink.0.lock().unwrap().restarts += 1;
        self.bytes.clear();
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        self.finished = true;
        let mut check = Check::new(self.blob);
        check.update(&self.bytes)?;
        check.finish()?;
        let bytes = std::mem::take(&mut self.bytes);
        self.sink.0.lock().unwrap().whole.insert(self.blob.digest, bytes);
        Ok(())
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if !self.finished {
            let bytes = std::mem::take(&mut self.bytes);
            self.sink.0.lock().unwrap().parts.insert(self.blob.digest, bytes);
        }
    }
}
