//! Buffers that go round: what one piece of content was sent from, the next one is read into.
//!
//! Fresh memory costs more than the copy into it: the kernel hands it out page by page and empties each first. A buffer
//! comes back when the connection has let go of it, whichever thread that is on.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;

/// Size of a buffer, and so of the largest piece of content in memory at a time, in bytes. It fits into the cache of
/// a core, so what was just copied in is copied out again from there.
pub(super) const PIECE_BYTES: usize = 128 << 10;
/// How many buffers are kept while nobody needs them.
const MAX_IDLE: usize = 16;

/// The buffers that nobody needs at the moment.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    idle: Mutex<Vec<Box<[u8]>>>,
}

/// A buffer, until it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    home: Arc<Buffers>,
}

impl Buffers {
    /// A buffer of [`PIECE_BYTES`]; what is in it means nothing.
    pub(super) fn take(self: &Arc<Self>) -> Buffer {
        let idle = self.idle().pop();
        Buffer { bytes: idle.unwrap_or_else(|| vec![0; PIECE_BYTES].into()), home: Arc::clone(self) }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Box<[u8]>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    /// Where to read to.
    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The first `length` bytes, to be sent; the buffer goes home with the last of them.
    pub(super) fn into_bytes(self, length: usize) -> Bytes {
        Bytes::from_owner(self).slice(..length)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut idle = self.home.idle();
        if idle.len() < MAX_IDLE {
            idle.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_home_with_its_last_byte() {
        let buffers = Arc::new(Buffers::default());
        let mut buffer = buffers.take();
        buffer.space()[..5].copy_from_slice(b"hello");
        let piece = buffer.into_bytes(5);
        let tail = piece.slice(3..);
        assert_eq!((&piece[..], &tail[..]), (&b"hello"[..], &b"lo"[..]));
        drop(piece);
        assert_eq!(buffers.idle().len(), 0);
        drop(tail);
        assert_eq!(buffers.idle().len(), 1);
        drop(buffers.take());
        assert_eq!(buffers.idle().len(), 1);
    }

    #[test]
    fn no_more_buffers_are_kept_than_that() {
        let buffers = Arc::new(Buffers::default());
        let many: Vec<_> = (0..2 * MAX_IDLE).map(|_| buffers.take()).collect();
        drop(many);
        assert_eq!(buffers.idle().len(), MAX_IDLE);
    }
}
