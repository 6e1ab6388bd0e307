//! Content that was hashed where it was read, so that nobody needs to hash it again.

use std::ops::Range;

use crate::chain::Chain;
use crate::format::frame::{check_stored, stored_runs};

/// A stretch of a blob in its stored frame, hashed from what stands before it to what stands behind it.
///
/// Making one hashes the bytes that it holds, and nothing changes them afterwards: whoever has one knows, without trusting
/// anybody, how its bytes lead from one chaining state to another. Which state the blob has there is not said;
/// [`Check::follow`](crate::Check::follow) compares.
#[derive(Debug)]
pub struct Hashed {
    frame: Vec<u8>,
    /// Where the stretch lies in the frame's content.
    content: Range<u64>,
    before: Chain,
    behind: Chain,
}

impl Hashed {
    /// Hashes this range of the content of a stored frame, from `before` on. Bytes that are no stored frame, or one that is
    /// shorter, are given back.
    pub(crate) fn new(frame: Vec<u8>, content: Range<u64>, before: Chain) -> Result<Self, Vec<u8>> {
        let mut behind = before.clone();
        let mut at = 0;
        let is_stored = check_stored(&frame, |block| {
            let end = at + block.len() as u64;
            let part = [content.start, content.end].map(|place| place.clamp(at, end) - at);
            let [from, to] = part.map(|place| usize::try_from(place).unwrap_or(usize::MAX));
            behind.update(block.get(from..to).unwrap_or_default());
            at = end;
        });
        if is_stored && behind.len() - before.len() == content.end - content.start {
            Ok(Self { frame, content, before, behind })
        } else {
            Err(frame)
        }
    }

    /// The bytes, piece by piece.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.plain(self.content.clone())
    }

    /// How many bytes they are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.content.end - self.content.start
    }

    /// Whether they are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.content.is_empty()
    }

    /// The hash of the blob in front of the bytes, for whoever wants to know whether it fits.
    pub(crate) fn before(&self) -> &Chain {
        &self.before
    }

    /// The hash of the blob behind the bytes.
    pub(crate) fn behind(&self) -> &Chain {
        &self.behind
    }

    /// The frame's content in this range, piece by piece.
    pub(crate) fn plain(&self, range: Range<u64>) -> impl Iterator<Item = &[u8]> {
        stored_runs(range).map_while(|run| self.frame.get(run))
    }

    /// The frame, for those who use its memory again.
    pub(crate) fn into_frame(self) -> Vec<u8> {
        self.frame
    }
}
