//! Releases for tests.

use sealift_archive::Digest;
use sealift_archive::release::CurrentRelease;

/// The release with this sequence: 1.N.
pub(crate) fn release(sequence: u64) -> CurrentRelease {
    CurrentRelease {
        version: format!("1.{sequence}").parse().unwrap(),
        sequence: sequence.try_into().unwrap(),
        statement: Digest::of(&sequence.to_le_bytes()),
    }
}
