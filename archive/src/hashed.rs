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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::frame::stored;
    use crate::{Blob, Check, Error};

    /// Content, and the links between three frames of it that begin with a header of 512 bytes.
    fn links() -> (Vec<u8>, Vec<Hashed>) {
        let content: Vec<u8> = (0..2000).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let mut chain = Chain::default();
        let links = content.chunks(768).map(|part| {
            let frame = stored(&[&[0; 512], part, &[0; 16]].concat());
            let link = Hashed::new(frame, 512..512 + part.len() as u64, chain.clone()).unwrap();
            chain = link.behind().clone();
            link
        });
        let links = links.collect();
        (content, links)
    }

    fn follow(wanted: Blob, links: &[&Hashed]) -> String {
        let mut check = Check::new(wanted);
        let followed = links.iter().try_for_each(|link| check.follow(link)).and_then(|()| check.finish());
        followed.map_or_else(|error| error.to_string(), |()| "ok".to_owned())
    }

    #[test]
    fn a_check_follows_what_was_hashed() {
        let (content, links) = links();
        let [first, second, last] = &links[..] else { panic!("three links") };
        let blob = Blob::of(&content);
        let reordered = Blob::of(&[&content[768..1536], &content[..768], &content[1536..]].concat());
        let cases: [(&str, Blob, &[&Hashed], &str); 7] = [
            ("whole", blob, &[first, second, last], "ok"),
            ("another order", blob, &[second, first, last], "is really"),
            ("links that do not meet are hashed again", reordered, &[second, first, last], "ok"),
            ("short", blob, &[first, second], "is not 2000 bytes long"),
            ("long", blob, &[first, second, last, last], "is not 2000 bytes long"),
            ("too much at once", Blob { size: 500, ..blob }, &[first], "is not 500 bytes long"),
            ("the end alone", Blob { size: last.len(), ..blob }, &[last], "is really"),
        ];
        for (name, wanted, links, expected) in cases {
            let said = follow(wanted, links);
            assert!(said.contains(expected), "{name}: {said}");
        }
        let pieces: Vec<u8> = links.iter().flat_map(Hashed::pieces).flatten().copied().collect();
        assert!(pieces == content);
    }

    #[test]
    fn bytes_that_came_before_are_followed_too() {
        let (content, links) = links();
        for cut in [768, 767, 100] {
            let mut check = Check::new(Blob::of(&content));
            check.update(&content[..cut]).unwrap();
            if cut == 768 {
                links[1..].iter().try_for_each(|link| check.follow(link)).unwrap();
                check.finish().unwrap();
            } else {
                // What does not follow is hashed as it comes, and is then something else.
                links.iter().skip(1).try_for_each(|link| check.follow(link)).unwrap();
                assert!(matches!(check.finish(), Err(Error::WrongSize { .. })), "{cut}");
            }
        }
    }

    #[test]
    fn only_a_stored_frame_can_be_hashed() {
        let frame = stored(&[7; 1024]);
        let hash = |frame: &[u8], content| Hashed::new(frame.to_vec(), content, Chain::default());
        assert!(hash(&frame, 512..1024).is_ok());
        assert_eq!(hash(&frame, 512..1025).unwrap_err(), frame, "more than it holds");
        assert!(hash(&frame[1..], 0..100).is_err());
        let mut damaged = frame.clone();
        damaged[20] ^= 1;
        assert_eq!(hash(&damaged, 512..1024).unwrap_err(), damaged, "its checksum says so");
    }
}
