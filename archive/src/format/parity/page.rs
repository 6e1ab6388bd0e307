//! The index of a parity file stands in pages with a hash each, once at the start of the file and once more, in reverse
//! order, at its end. All parity files of an archive have the same index, so a page is lost only if it is damaged in all
//! places in all files.

use sha2::{Digest as _, Sha256};

use crate::Digest;

/// Length of a page.
pub const PAGE_BYTES: u64 = PAGE_LEN as u64;
/// [`PAGE_BYTES`] in memory.
pub const PAGE_LEN: usize = 4 << 10;
/// How much of the index is in a page.
pub const PAYLOAD_BYTES: usize = PAGE_LEN - HASH_BYTES;
/// SHA-256 is cut to this: it is against accidents, not against people.
const HASH_BYTES: usize = 16;

/// A page as it stands in the file.
pub type Page = [u8; PAGE_LEN];

/// How many pages an index of this length takes.
#[must_use]
pub const fn count(index_bytes: u64) -> u64 {
    index_bytes.div_ceil(PAYLOAD_BYTES as u64)
}

/// Where page `number` stands in a parity file of this length: at its start, and at its end.
#[must_use]
pub fn places(number: u64, file_bytes: u64) -> [u64; 2] {
    let from_start = number.saturating_mul(PAGE_BYTES);
    [from_start, file_bytes.saturating_sub(from_start).saturating_sub(PAGE_BYTES)]
}

/// Makes a page of an index that is known by `plan` ([`super::Header::plan`]); a payload that is too short is filled up with zeros.
#[must_use]
pub fn make(plan: &Digest, number: u64, payload: &[u8]) -> Page {
    let mut page = [0; PAGE_LEN];
    let len = payload.len().min(PAYLOAD_BYTES);
    page[..len].copy_from_slice(&payload[..len]);
    let hash = hash(plan, number, &page[..PAYLOAD_BYTES]);
    page[PAYLOAD_BYTES..].copy_from_slice(&hash);
    page
}

/// What is in a page; `None` if it is damaged, or another page than this one of this plan.
#[must_use]
pub fn payload<'a>(plan: &Digest, number: u64, page: &'a Page) -> Option<&'a [u8]> {
    let (payload, found) = page.split_at(PAYLOAD_BYTES);
    (hash(plan, number, payload) == found).then_some(payload)
}

fn hash(plan: &Digest, number: u64, payload: &[u8]) -> [u8; HASH_BYTES] {
    let mut hash = Sha256::new();
    hash.update(plan.as_raw());
    hash.update(number.to_le_bytes());
    hash.update(payload);
    let mut cut = [0; HASH_BYTES];
    cut.copy_from_slice(&hash.finalize()[..HASH_BYTES]);
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_taken_only_whole_and_in_its_place() {
        let (plan, other) = (Digest::of(b"plan"), Digest::of(b"other"));
        let good = make(&plan, 3, b"payload");
        assert!(payload(&plan, 3, &good).is_some_and(|found| found.starts_with(b"payload\0")));
        assert!(payload(&plan, 2, &good).is_none() && payload(&other, 3, &good).is_none());
        for position in (0..good.len()).step_by(7).chain([good.len() - 1]) {
            let mut bad = good;
            bad[position] ^= 1;
            assert!(payload(&plan, 3, &bad).is_none(), "byte {position}");
        }
    }

    #[test]
    fn pages_stand_at_both_ends() {
        assert_eq!(places(0, 100_000), [0, 95_904]);
        assert_eq!(places(2, 100_000), [8192, 87_712]);
        assert_eq!(places(u64::MAX, 10), [u64::MAX, 0]);
        assert_eq!((count(0), count(1), count(4080), count(4081)), (0, 1, 1, 2));
    }
}
