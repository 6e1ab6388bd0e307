//! The blob list: every piece of content that makes a release, by digest and size.
//!
//! Text, one line a blob, `sha256:<hex> <size>\n`, sorted by digest, none twice. Its SHA-256 stands in the
//! statement, so the statement's signature covers all content.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::{Blob, Digest, Error};

/// Longest line, in bytes: a digest, a space, the largest number, a newline.
pub(super) const MAX_LINE_BYTES: u64 = 71 + 1 + 20 + 1;

/// The blobs of a release, each once, sorted by digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlobList(BTreeMap<Digest, u64>);

impl BlobList {
    /// Reads the text form. `document` names it in errors.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] with the line that is wrong.
    pub fn parse(document: &str, text: &[u8]) -> Result<Self, Error> {
        let refuse = |line: usize, why: &str| Error::inconsistent(document, format!("line {line}: {why}"));
        let text = std::str::from_utf8(text).map_err(|_| refuse(1, "it is not text"))?;
        let mut list = BTreeMap::new();
        let mut before: Option<Digest> = None;
        for (index, line) in text.split_terminator('\n').enumerate() {
            let number = index + 1;
            let (digest, size) =
                line.split_once(' ').ok_or_else(|| refuse(number, "there is no space in it"))?;
            let digest: Digest = digest.parse().map_err(|_| refuse(number, "it has no digest"))?;
            let size = canonical_number(size).ok_or_else(|| refuse(number, "it has no size"))?;
            if before.is_some_and(|before| before >= digest) {
                return Err(refuse(number, "it is not sorted, or a digest stands twice"));
            }
            before = Some(digest);
            list.insert(digest, size);
        }
        if !text.is_empty() && !text.ends_with('\n') {
            return Err(refuse(list.len(), "the last line does not end"));
        }
        Ok(Self(list))
    }

    /// The text form.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (digest, size) in &self.0 {
            writeln!(text, "{digest} {size}").expect("a string takes all text");
        }
        text
    }

    /// Adds a blob; one that is there already stays as it is.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if the same digest is there with another size.
    pub fn insert(&mut self, blob: Blob) -> Result<(), Error> {
        match self.0.insert(blob.digest, blob.size) {
            Some(size) if size != blob.size => Err(Error::inconsistent(
                blob.digest.to_string(),
                format!("it is said to be {size} and {} bytes long", blob.size),
            )),
            _ => Ok(()),
        }
    }

    /// The size of a blob, if it is on the list.
    #[must_use]
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        self.0.get(digest).copied()
    }

    /// The blobs, sorted by digest.
    pub fn iter(&self) -> impl Iterator<Item = Blob> + '_ {
        self.0.iter().map(|(&digest, &size)| Blob { digest, size })
    }

    /// How many blobs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all content together; saturates.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.0.values().fold(0, |sum, &size| sum.saturating_add(size))
    }
}

fn canonical_number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_one_form() {
        let mut list = BlobList::default();
        for content in ["one", "two", "three"] {
            list.insert(Blob::of(content.as_bytes())).unwrap();
        }
        let text = list.to_text();
        assert_eq!(BlobList::parse("test", text.as_bytes()).unwrap(), list);
        assert_eq!((list.len(), list.total_bytes()), (3, 11));

        let lines: Vec<&str> = text.lines().collect();
        let doubled = format!("{}\n{}\n", lines[0], lines[0]);
        let reversed = format!("{}\n{}\n", lines[1], lines[0]);
        let padded = text.replace(" 3\n", " 03\n");
        let cases = [
            (text.trim_end(), "does not end"),
            (&doubled, "twice"),
            (&reversed, "not sorted"),
            (&padded, "no size"),
            ("hello\n", "no space"),
            ("sha256:00 5\n", "no digest"),
            ("\n", "no space"),
        ];
        for (wrong, why) in cases {
            let said = BlobList::parse("test", wrong.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(why), "{wrong}: {said}");
        }
    }

    #[test]
    fn one_digest_has_one_size() {
        let mut list = BlobList::default();
        let blob = Blob::of(b"x");
        list.insert(blob).unwrap();
        list.insert(blob).unwrap();
        assert!(list.insert(Blob { size: 2, ..blob }).is_err());
    }
}
