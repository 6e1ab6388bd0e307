//! One blob as a stream, for whoever takes it apart while it is read and cannot hold it in memory.

use std::io::{self, Read};
use std::ops::Range;

use super::frames::{Content, Span};
use super::{Bundle, Progress};
use crate::{Check, Digest, Error};

/// Reads one blob of a bundle; the hash of each frame is checked before a byte of it is given away.
///
/// What was made of the bytes counts only after [`BlobStream::finish`]: it also knows the cause of a failed read.
#[must_use = "what was read counts only after `finish`"]
pub struct BlobStream<'a> {
    bundle: &'a Bundle,
    progress: &'a dyn Progress,
    spans: std::vec::IntoIter<Span>,
    /// The current frame, and where in its content the part of the blob lies that has not been given away.
    current: Option<(Content, Range<u64>)>,
    check: Check,
    failure: Option<Error>,
}

impl<'a> BlobStream<'a> {
    pub(super) fn open(
        bundle: &'a Bundle,
        digest: &Digest,
        progress: &'a dyn Progress,
    ) -> Result<Self, Error> {
        let entry = bundle.entry(digest)?;
        let spans = entry.spans(&bundle.contents.frames).collect::<Vec<_>>().into_iter();
        let check = Check::new(entry.blob);
        Ok(Self { bundle, progress, spans, current: None, check, failure: None })
    }

    /// Reads what is left, and says whether it all was the blob that was asked for.
    ///
    /// # Errors
    /// What made a read fail: [`Error::Damaged`], [`Error::Interrupted`], I/O; or [`Error::WrongContent`].
    pub fn finish(mut self) -> Result<(), Error> {
        while self.next_part() {}
        self.failure.map_or_else(|| self.check.finish(), Err)
    }

    /// Takes the part of the next frame; `false` at the end, or if that failed, now or before.
    fn next_part(&mut self) -> bool {
        if self.failure.is_some() {
            return false;
        }
        let Some(span) = self.spans.next() else { return false };
        self.current = None;
        self.failure = self.take(span).err();
        self.failure.is_none()
    }

    fn take(&mut self, span: Span) -> Result<(), Error> {
        self.progress.go_on()?;
        let content = span.read(self.bundle)?;
        content.pass(&span, &mut self.check)?;
        self.progress.advance(span.range.end - span.range.start);
        self.current = Some((content, span.range));
        Ok(())
    }
}

impl Read for BlobStream<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let piece = self.current.as_ref().and_then(|(content, left)| content.pieces(left.clone()).next());
            if let Some(piece) = piece {
                let n = buf.len().min(piece.len());
                buf[..n].copy_from_slice(&piece[..n]);
                if let Some((_, left)) = &mut self.current {
                    left.start += n as u64;
                }
                return Ok(n);
            }
            if !self.next_part() {
                // The cause is kept for `finish`: what stands between here and there would only wrap it.
                return self.failure.as_ref().map_or(Ok(0), |cause| Err(io::Error::other(cause.to_string())));
            }
        }
    }
}

impl std::fmt::Debug for BlobStream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobStream")
            .field("blob", &self.check.wanted())
            .field("seen", &self.check.seen())
            .finish()
    }
}
