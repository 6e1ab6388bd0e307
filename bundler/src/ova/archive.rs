//! The tar archive around everything: ustar, with sizes and names as every reader takes them.
//!
//! What stands first tells of what comes behind: the descriptor has the sizes of the disks, the manifest their digests. So
//! room is left for both, the disks are written behind it, and then the room is filled. Nothing lies on the disk twice.

use sealift_archive::making::Draft;
use sealift_archive::{Blob, Digest};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use super::vmdk::Sink;
use super::{CommandError, Error};
use crate::tarball::PLAIN;

/// Unit of an archive, in bytes.
pub(super) const BLOCK_BYTES: usize = 512;
const BLOCK: u64 = BLOCK_BYTES as u64;
/// Largest member that a ustar header can tell: eleven octal digits, one byte less than 8 GiB. There are ways around, and
/// vSphere refuses one of them and does not promise the other.
pub(super) const MAX_MEMBER_BYTES: u64 = 0o777_7777_7777;
/// Latest time that a header can tell, in seconds since 1970.
pub const MAX_TIME: u64 = 0o777_7777_7777;
/// By two empty blocks a reader knows the end.
const END_BYTES: usize = 2 * BLOCK_BYTES;

/// What a member takes of the archive, in bytes: its header, and its content in whole blocks.
pub(super) fn occupied_bytes(length: u64) -> u64 {
    BLOCK + length.next_multiple_of(BLOCK)
}

/// An archive in the making.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    draft: &'a Draft,
    /// When its members were changed, in seconds since 1970.
    date: u64,
}

impl<'a> Archive<'a> {
    pub(super) fn new(draft: &'a Draft, date: u64) -> Self {
        Self { draft, date }
    }

    /// Writes a whole member at a place, and returns where the next one begins.
    pub(super) fn put(&self, at: u64, name: &str, content: &[u8]) -> Result<u64, CommandError> {
        let length = content.len() as u64;
        self.header(at, name, length)?;
        self.draft.write_all_at(content, at + BLOCK)?;
        Ok(at + occupied_bytes(length))
    }

    /// Begins a member at a place; its header is written when its length is known.
    pub(super) fn begin(&self, at: u64, name: &'a str) -> Member<'_> {
        Member { archive: self, at, name, length: 0, hash: Sha256::new() }
    }

    /// Ends the archive at a place, and returns its length in bytes.
    pub(super) fn end(&self, at: u64) -> Result<u64, CommandError> {
        let length = at + END_BYTES as u64;
        self.draft.write_all_at(&[0; END_BYTES], at)?;
        Ok(length)
    }

    fn header(&self, at: u64, name: &str, length: u64) -> Result<(), CommandError> {
        let mut header = Header::new_ustar();
        header.set_path(name)?;
        header.set_entry_type(EntryType::Regular);
        header.set_mode(PLAIN);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.date);
        header.set_size(length);
        header.set_cksum();
        Ok(self.draft.write_all_at(header.as_bytes(), at)?)
    }
}

/// A member that is written from its first byte to its last.
#[derive(Debug)]
pub(super) struct Member<'a> {
    archive: &'a Archive<'a>,
    at: u64,
    name: &'a str,
    length: u64,
    hash: Sha256,
}

impl Member<'_> {
    /// Writes the header. Returns what the member is, and where the next one begins.
    pub(super) fn finish(self) -> Result<(Blob, u64), CommandError> {
        self.archive.header(self.at, self.name, self.length)?;
        let digest = Digest::from_raw(self.hash.finalize().into());
        Ok((Blob { digest, size: self.length }, self.at + occupied_bytes(self.length)))
    }
}

impl Sink for Member<'_> {
    fn append(&mut self, bytes: &[u8]) -> Result<(), CommandError> {
        let length = self.length + bytes.len() as u64;
        if length > MAX_MEMBER_BYTES {
            return Err(Error::MemberTooLarge { member: self.name.to_owned() }.into());
        }
        self.archive.draft.write_all_at(bytes, self.at + BLOCK + self.length)?;
        self.hash.update(bytes);
        self.length = length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_its_header_cannot_tell_is_refused_before_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Draft::beside(&dir.path().join("a.ova"), ".partial").unwrap();
        let archive = Archive::new(&draft, 0);
        let mut member = archive.begin(0, "a-disk1.vmdk");
        member.length = MAX_MEMBER_BYTES - 511;
        let refused = member.append(&[0; 512]).unwrap_err();
        assert!(matches!(refused, CommandError::Ova(Error::MemberTooLarge { .. })), "{refused}");
        assert_eq!(fs_err::metadata(draft.path()).unwrap().len(), 0);
        archive.header(0, "a-disk1.vmdk", MAX_MEMBER_BYTES).unwrap();
        let bytes = fs_err::read(draft.path()).unwrap();
        assert_eq!(&bytes[124..136], b"77777777777\0", "the largest is told in the form that all know");
    }
}
