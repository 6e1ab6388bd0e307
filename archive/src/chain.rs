//! SHA-256 with its chaining state in view (FIPS 180-4, section 6.2).
//!
//! Whoever knows the state in front of a stretch of content can hash that stretch alone: that is how the frames of one
//! blob are checked on all cores and each by itself, although the blob has one digest (`FORMAT.md`, 4.2). A state proves
//! nothing by itself; an unbroken row of stretches, from [`State::START`] to the digest, is the SHA-256 of the whole.

use sha2::block_api::compress256;

use crate::Digest;

/// Length of the blocks that SHA-256 takes in.
const BLOCK_BYTES: usize = 64;
/// Where the last block holds the length of the content, in bits.
const LENGTH_AT: usize = BLOCK_BYTES - 8;
/// Begins the padding.
const ONE_BIT: u8 = 0x80;

/// How many blocks are brought into the cache before they are hashed: half of the smallest one that is usual.
const BLOCKS_AHEAD: usize = (16 << 10) / BLOCK_BYTES;

/// The chaining state behind a whole number of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State([u32; 8]);

impl State {
    /// The state in front of all content (FIPS 180-4, section 5.3.3).
    pub const START: Self = Self([
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ]);

    /// The state with these eight words, big endian.
    #[must_use]
    pub fn from_raw(raw: [u8; 32]) -> Self {
        let (words, _) = raw.as_chunks::<4>();
        Self(std::array::from_fn(|i| u32::from_be_bytes(words[i])))
    }

    /// The eight words, big endian: the form that a digest has too.
    #[must_use]
    pub fn to_raw(self) -> [u8; 32] {
        let mut raw = [0; 32];
        let (words, _) = raw.as_chunks_mut::<4>();
        for (bytes, word) in words.iter_mut().zip(self.0) {
            *bytes = word.to_be_bytes();
        }
        raw
    }
}

/// Hashes content piece by piece.
#[derive(Clone, Debug)]
pub struct Chain {
    state: State,
    /// What has come since the last whole block.
    rest: [u8; BLOCK_BYTES],
    /// Bytes that have come in all.
    len: u64,
}

impl Default for Chain {
    fn default() -> Self {
        Self { state: State::START, rest: [0; BLOCK_BYTES], len: 0 }
    }
}

impl Chain {
    /// Goes on behind `len` bytes of content whose state is this: a whole number of blocks.
    ///
    /// # Panics
    /// If `len` is not a multiple of 64.
    #[must_use]
    pub fn behind(len: u64, state: State) -> Self {
        assert!(len.is_multiple_of(BLOCK_BYTES as u64), "there is a state between blocks only");
        Self { state, len, ..Self::default() }
    }

    /// Takes the next bytes in.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let held = self.held();
        self.len += bytes.len() as u64;
        if held > 0 {
            let (fill, after) = bytes.split_at(bytes.len().min(BLOCK_BYTES - held));
            self.rest[held..held + fill.len()].copy_from_slice(fill);
            if held + fill.len() < BLOCK_BYTES {
                return;
            }
            compress256(&mut self.state.0, &[self.rest]);
            bytes = after;
        }
        let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
        for blocks in blocks.chunks(BLOCKS_AHEAD) {
            bring_near(blocks);
            compress256(&mut self.state.0, blocks);
        }
        self.rest[..rest.len()].copy_from_slice(rest);
    }

    /// Bytes that have come in all.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing has come yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The state, behind a whole number of blocks.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        (self.held() == 0).then_some(self.state)
    }

    /// Whether both have hashed as much, with the same outcome, and stand between two blocks.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.len == other.len && self.state().is_some_and(|state| other.state() == Some(state))
    }

    /// The digest, if that was all.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        let held = self.held();
        self.rest[held] = ONE_BIT;
        self.rest[held + 1..].fill(0);
        if held + 1 > LENGTH_AT {
            compress256(&mut self.state.0, &[self.rest]);
            self.rest.fill(0);
        }
        self.rest[LENGTH_AT..].copy_from_slice(&(self.len * 8).to_be_bytes());
        compress256(&mut self.state.0, &[self.rest]);
        Digest::from_raw(self.state.to_raw())
    }

    /// How much of an unfinished block is held.
    fn held(&self) -> usize {
        usize::try_from(self.len % BLOCK_BYTES as u64).unwrap_or(0)
    }
}

/// Looks at each block once. Hashing waits for one block after the other if they come from far away, as what another core
/// has written does, and takes up to twice as long; looking does not wait.
fn bring_near(blocks: &[[u8; BLOCK_BYTES]]) {
    std::hint::black_box(blocks.iter().fold(0, |sum, block| sum ^ block[0]));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digests_are_those_of_sha256() {
        let content: Vec<u8> = (0..300).map(|i| u8::try_from(i % 251).unwrap()).collect();
        for len in 0..content.len() {
            let mut chain = Chain::default();
            chain.update(&content[..len]);
            assert_eq!(chain.len(), len as u64);
            assert_eq!(chain.state().is_some(), len % 64 == 0, "{len}");
            assert_eq!(chain.finish(), Digest::of(&content[..len]), "{len}");
        }
    }

    #[test]
    fn a_state_is_written_like_a_digest() {
        let raw = State::START.to_raw();
        assert_eq!(&raw[..8], &[0x6a, 0x09, 0xe6, 0x67, 0xbb, 0x67, 0xae, 0x85]);
        assert_eq!(State::from_raw(raw), State::START);
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_and_any_start_make_the_same_digest(
            content in proptest::collection::vec(any::<u8>(), 0..2000),
            cuts in proptest::collection::vec(0_usize..2000, 0..6),
            blocks in 0_usize..32,
        ) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut chain = Chain::default();
            let mut at = 0;
            for cut in cuts.into_iter().map(|cut| cut.min(content.len())).chain([content.len()]) {
                chain.update(&content[at..cut]);
                at = cut;
            }
            prop_assert_eq!(chain.finish(), Digest::of(&content));

            let (front, rest) = content.split_at(blocks.min(content.len() / BLOCK_BYTES) * BLOCK_BYTES);
            let mut before = Chain::default();
            before.update(front);
            let state = State::from_raw(before.state().unwrap().to_raw());
            let mut behind = Chain::behind(front.len() as u64, state);
            behind.update(rest);
            prop_assert_eq!(behind.finish(), Digest::of(&content));
        }
    }
}
