//! A reader that ends with an error, and not silently, where a limit is reached.

use std::io::{self, Read, Seek, SeekFrom};

/// Reads no more than so many bytes in all; what is passed over by seeking does not count.
#[derive(Debug)]
pub(crate) struct Capped<R> {
    inner: R,
    left: u64,
    refuse: fn() -> io::Error,
}

impl<R> Capped<R> {
    /// Passes on `limit` bytes; `refuse` says what is wrong with more.
    pub(crate) fn new(inner: R, limit: u64, refuse: fn() -> io::Error) -> Self {
        Self { inner, left: limit, refuse }
    }
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.left = self.left.checked_sub(n as u64).ok_or_else(self.refuse)?;
        Ok(n)
    }
}

impl<R: Seek> Seek for Capped<R> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.inner.seek(position)
    }
}
