//! The head: all that is parsed before a signature is checked.

use sealift_archive::format::head::Head;
use sealift_archive::format::{HEAD_BYTES, frame, member};

/// Unit of a tar stream.
const BLOCK: usize = 512;

/// Reads bytes as the beginning of a head area, then as the members in one, with and without right sums in their headers:
/// no fuzzer guesses a checksum.
///
/// Members and heads that are taken are written again as the same bytes.
pub fn head(bytes: &[u8]) -> bool {
    let members = with_right_sums(bytes.to_owned());
    if let Ok(read) = member::read_all("members", &members) {
        assert!(member::write_all(&read) == members, "members have two forms");
    }
    let mut areas = vec![bytes.to_owned(), padded(bytes), area(bytes)];
    if members != bytes {
        areas.push(area(&members));
    }
    areas.iter().filter(|area| is_taken(area)).count() > 0
}

fn is_taken(area: &[u8]) -> bool {
    let Ok(head) = Head::parse("fuzz", area) else { return false };
    assert!(head.encode().is_ok_and(|again| again == area), "a head has two forms");
    true
}

/// The area in which these members are stored; of another length if they do not fit.
pub(super) fn area(members: &[u8]) -> Vec<u8> {
    let mut area = frame::stored(members);
    let left = HEAD_BYTES.saturating_sub(area.len() as u64);
    if left >= frame::MIN_FILLER {
        area.extend(frame::filler(left));
    }
    area
}

/// An area that begins so; what is left of it is zeros, as in a filler.
fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut area = bytes.to_owned();
    area.resize(usize::try_from(HEAD_BYTES).unwrap_or(usize::MAX), 0);
    area
}

/// The members in an area.
pub(super) fn members(area: &[u8]) -> Option<Vec<u8>> {
    let frame = usize::try_from(frame::stored_len(frame::stored_plain_len(area)?)).ok()?;
    frame::decode_stored(area.get(..frame)?)
}

/// The members with the sum that each header should have.
pub(super) fn with_right_sums(mut members: Vec<u8>) -> Vec<u8> {
    let mut rest = members.as_mut_slice();
    while let Some((block, behind)) = rest.split_at_mut_checked(BLOCK) {
        let mut header = tar::Header::from_byte_slice(block).clone();
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
        let size = header.entry_size().ok().and_then(|size| usize::try_from(size).ok());
        let content = size.and_then(|size| size.checked_next_multiple_of(BLOCK));
        rest = content.and_then(|content| behind.get_mut(content..)).unwrap_or_default();
    }
    members
}
