//! A file of the store, read a piece at a time and only when the client has taken the piece before.
//!
//! What lies in the page cache is copied from there at once, by `preadv2` with `RWF_NOWAIT`: handing so little work to
//! another thread would cost more than the work. Only what has to come from a disk is read on a blocking thread, so a
//! disk that is slow holds up nobody else, and a client that is slow holds a file handle and a piece, but no thread.
//!
//! There is no `sendfile`: it would need a way around hyper to the socket, which no library keeps, and with TLS there
//! is nothing that could be sent unseen.

use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use fs_err as fs;
use futures_util::stream;
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::blocking;
use super::buffers::{Buffers, PIECE_BYTES};

/// What is still to be read of a file.
#[derive(Debug)]
pub(super) struct Pieces {
    file: fs::File,
    left: Range<u64>,
    buffers: Arc<Buffers>,
}

impl Pieces {
    /// These bytes of a file.
    pub(super) fn new(file: fs::File, bytes: Range<u64>, buffers: Arc<Buffers>) -> Self {
        Self { file, left: bytes, buffers }
    }

    /// The body of an answer. The first piece is read already, so that damage is known before the status is sent; this
    /// blocks.
    pub(super) fn into_body(mut self) -> io::Result<Body> {
        let first = self.read()?;
        if self.left.is_empty() {
            return Ok(Body::from(first));
        }
        Ok(Body::from_stream(stream::try_unfold((Some(first), self), |(in_hand, pieces)| async {
            match in_hand {
                Some(first) => Ok(Some((first, (None, pieces)))),
                None => {
                    Ok::<_, io::Error>(pieces.next().await?.map(|(piece, pieces)| (piece, (None, pieces))))
                }
            }
        })))
    }

    /// The next piece, and what is left after it.
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        if self.left.is_empty() {
            return Ok(None);
        }
        if let Some(piece) = self.read_cached() {
            return Ok(Some((piece, self)));
        }
        blocking(move || self.read().map(|piece| Some((piece, self)))).await
    }

    /// The next piece, as far as it lies in the page cache.
    fn read_cached(&mut self) -> Option<Bytes> {
        let mut buffer = self.buffers.take();
        let length = self.next_length();
        let space = &mut [IoSliceMut::new(&mut buffer.space()[..length])];
        // Whatever it says if it cannot, reading in earnest will say again.
        let length = retry(|| preadv2(&self.file, space, self.left.start, ReadWriteFlags::NOWAIT)).ok()?;
        (length > 0).then(|| {
            self.left.start += length as u64;
            buffer.into_bytes(length)
        })
    }

    /// The next piece, wherever it has to come from; this blocks.
    fn read(&mut self) -> io::Result<Bytes> {
        let mut buffer = self.buffers.take();
        let length = self.next_length();
        match self.file.file().read_exact_at(&mut buffer.space()[..length], self.left.start) {
            Ok(()) => {
                self.left.start += length as u64;
                Ok(buffer.into_bytes(length))
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let missing = self.left.end - self.left.start;
                let why = format!("`{}` ended up to {missing} bytes too early", self.file.path().display());
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, why))
            }
            Err(error) => {
                Err(io::Error::new(error.kind(), format!("`{}`: {error}", self.file.path().display())))
            }
        }
    }

    fn next_length(&self) -> usize {
        let left = self.left.end - self.left.start;
        usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES))
    }
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_shrinks_while_it_is_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, vec![7; PIECE_BYTES + 10]).unwrap();
        let size = PIECE_BYTES as u64 + 10;
        let mut pieces = Pieces::new(fs::File::open(&path).unwrap(), 0..size, Arc::default());
        assert_eq!(pieces.read().unwrap().len(), PIECE_BYTES);
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(size - 1).unwrap();
        let error = pieces.read().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("ended up to 10 bytes"), "{error}");
    }

    #[tokio::test]
    async fn all_bytes_come_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let content: Vec<u8> = (0..=250).cycle().take(3 * PIECE_BYTES + 17).collect();
        fs::write(&path, &content).unwrap();
        for range in [0..content.len(), 5..content.len(), 7..PIECE_BYTES + 9, 0..1] {
            let bytes = range.start as u64..range.end as u64;
            let pieces = Pieces::new(fs::File::open(&path).unwrap(), bytes, Arc::default());
            let body = pieces.into_body().unwrap();
            let found = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            assert_eq!(found, content[range]);
        }
    }
}
