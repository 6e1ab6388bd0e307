//! Content is named by its digest, and taken in only through a check against it.
//!
//! [`Digest`] is the only name of content; [`VerifyingReader`] never passes on more than was announced, and its
//! verdict is consumed by [`VerifyingReader::finish`], so that a caller cannot forget to ask.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::chain::{Chain, State};
use crate::{Error, Hashed};

/// Length of a SHA-256 digest in hexadecimal characters.
const HEX_LEN: usize = 64;
/// How much is hashed at a time.
const READ_BYTES: usize = 128 << 10;

/// A SHA-256 digest, written `sha256:<64 lower-case hex>` (OCI image spec, descriptor.md).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of bytes in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest with these raw bytes, as the archive's contents table stores it.
    #[must_use]
    pub const fn from_raw(raw: [u8; 32]) -> Self {
        Self(raw)
    }

    /// The 32 raw bytes.
    #[must_use]
    pub const fn as_raw(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hexadecimal characters, without the algorithm: the name of a file under `blobs/sha256/`.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The digest with these 64 hexadecimal characters, as [`Digest::hex`] gives them; none if they are not that.
    #[must_use]
    pub fn from_hex(hex: &str) -> Option<Self> {
        // hex::decode would take upper case, and two spellings of one digest are two file names.
        if hex.len() != HEX_LEN || hex.bytes().any(|b| b.is_ascii_uppercase()) {
            return None;
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(hex, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// How people read a fingerprint to each other: groups of four characters.
    #[must_use]
    pub fn spelt(&self) -> String {
        let hex = self.hex();
        let groups: Vec<&str> = (0..hex.len()).step_by(4).map(|at| &hex[at..at + 4]).collect();
        groups.join(" ")
    }

    /// The path of this content inside an archive, an OCI layout and a store: `blobs/sha256/<hex>`.
    #[must_use]
    pub fn blob_path(&self) -> String {
        format!("blobs/sha256/{}", self.hex())
    }

    /// The first 12 hexadecimal characters, for people.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digest = text.strip_prefix("sha256:").and_then(Self::from_hex);
        digest.ok_or_else(|| Error::NotADigest(text.to_owned()))
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Content's name and length together: what a blob list, a lock and a fetch speak of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// The content's digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

impl Blob {
    /// The blob that these bytes are.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { digest: Digest::of(bytes), size: bytes.len() as u64 }
    }

    /// The blob that a reader has to give, read to its end.
    ///
    /// # Errors
    /// I/O.
    pub fn of_reader(mut reader: impl Read) -> io::Result<Self> {
        let mut hash = Sha256::new();
        let mut buffer = vec![0; READ_BYTES];
        let mut size = 0;
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(Self { digest: Digest(hash.finalize().into()), size }),
                n => {
                    hash.update(&buffer[..n]);
                    size += n as u64;
                }
            }
        }
    }
}

/// Hashes bytes as they pass, and says at the end whether they were the wanted blob.
#[derive(Clone, Debug)]
pub struct Check {
    chain: Chain,
    wanted: Blob,
    /// More than was hashed if more came than was announced: then no verdict is good any more.
    seen: u64,
}

impl Check {
    /// Nothing of `wanted` has passed yet.
    #[must_use]
    pub fn new(wanted: Blob) -> Self {
        Self { chain: Chain::default(), wanted, seen: 0 }
    }

    /// Takes the next bytes in.
    ///
    /// # Errors
    /// [`Error::WrongSize`] as soon as there are more than announced, so that nobody fills a disk.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.seen += bytes.len() as u64;
        if self.seen > self.wanted.size {
            return Err(self.wrong_size());
        }
        self.chain.update(bytes);
        Ok(())
    }

    /// Takes content in that was hashed where it was read. It is hashed again only if it does not follow from what has
    /// passed, block by block.
    ///
    /// # Errors
    /// As [`Check::update`].
    pub fn follow(&mut self, content: &Hashed) -> Result<(), Error> {
        if !self.chain.meets(content.before()) {
            return content.pieces().try_for_each(|piece| self.update(piece));
        }
        self.seen += content.len();
        if self.seen > self.wanted.size {
            return Err(self.wrong_size());
        }
        self.chain = content.behind().clone();
        Ok(())
    }

    /// Bytes that have passed so far.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The chaining state behind what has passed, if that is a whole number of blocks.
    pub(crate) fn state(&self) -> Option<State> {
        self.chain.state()
    }

    /// What is expected.
    #[must_use]
    pub fn wanted(&self) -> Blob {
        self.wanted
    }

    /// The verdict.
    ///
    /// # Errors
    /// [`Error::WrongSize`] if bytes are missing, [`Error::WrongContent`] if the hash differs.
    pub fn finish(self) -> Result<(), Error> {
        if self.seen != self.wanted.size {
            return Err(self.wrong_size());
        }
        let found = self.chain.finish();
        if found == self.wanted.digest {
            Ok(())
        } else {
            Err(Error::WrongContent { wanted: self.wanted.digest, found })
        }
    }

    fn wrong_size(&self) -> Error {
        Error::WrongSize { digest: self.wanted.digest, announced: self.wanted.size, found: self.seen }
    }
}

/// Passes bytes on while hashing them, and stops at the announced size.
#[derive(Debug)]
pub struct VerifyingReader<R> {
    inner: R,
    check: Check,
}

impl<R: Read> VerifyingReader<R> {
    /// Expects exactly `wanted` from `inner`.
    pub fn new(inner: R, wanted: Blob) -> Self {
        Self { inner, check: Check::new(wanted) }
    }

    /// Says whether what was read is what was wanted. Until then the bytes are not to be used.
    ///
    /// # Errors
    /// [`Error::WrongSize`] if bytes are missing or more follow, [`Error::WrongContent`] if the hash differs.
    pub fn finish(mut self) -> Result<(), Error> {
        // An error here takes nothing away: the wanted bytes are all in hand, and hashed.
        if matches!(self.inner.read(&mut [0]), Ok(1)) {
            self.check.update(&[0])?;
        }
        self.check.finish()
    }
}

impl<R: Read> Read for VerifyingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.check.wanted.size - self.check.seen;
        let room = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let n = self.inner.read(&mut buf[..room])?;
        self.check.update(&buf[..n]).map_err(io::Error::other)?;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn content_is_taken_only_whole_and_unchanged() {
        let cases: [(&str, &[u8], u64, &str); 4] = [
            ("whole", b"hello", 5, "ok"),
            ("short", b"hell", 5, "is not 5 bytes long"),
            ("long", b"hello!", 5, "is not 5 bytes long"),
            ("changed", b"hellO", 5, "is really"),
        ];
        for (name, bytes, size, expected) in cases {
            let wanted = Blob { digest: HELLO.parse().unwrap(), size };
            let mut reader = VerifyingReader::new(bytes, wanted);
            io::copy(&mut reader, &mut io::sink()).expect("reading memory");
            let said = reader.finish().map_or_else(|e| e.to_string(), |()| "ok".to_owned());
            assert!(said.contains(expected), "{name}: {said}");
        }
    }

    #[test]
    fn one_digest_has_one_spelling() {
        let upper = HELLO.to_uppercase().replace("SHA256", "sha256");
        for wrong in ["", "sha256:", "md5:00", upper.as_str(), &HELLO[..HELLO.len() - 1]] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong} was taken");
        }
        assert_eq!(HELLO.parse::<Digest>().unwrap().to_string(), HELLO);
    }

    #[test]
    fn a_fingerprint_is_read_in_groups() {
        let digest: Digest = HELLO.parse().unwrap();
        assert_eq!(digest.spelt().replace(' ', ""), digest.hex());
        assert_eq!(digest.spelt().split(' ').count(), 16);
    }
}
