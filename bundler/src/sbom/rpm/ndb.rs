//! `Packages.db`: rpm's own format (its `lib/backend/ndb/rpmpkg.c`). A table of slots at the beginning says where each
//! package's header lies; all numbers are little-endian.

use std::io::{Read, Seek};

use super::{Each, File, Unreadable, damaged, four};

const MAGIC: [u8; 4] = *b"RpmP";
const SLOT_MAGIC: [u8; 4] = *b"Slot";
const BLOB_MAGIC: [u8; 4] = *b"BlbS";
/// The only version there is.
const VERSION: u32 = 0;

const HEADER_LEN: u64 = 32;
const PAGE_LEN: u64 = 4096;
const SLOT_LEN: usize = 16;
/// Blobs begin at multiples of this.
const BLOCK_LEN: u64 = 16;
const BLOB_HEADER_LEN: u64 = 16;

/// Passes the header of each package on.
pub(super) fn each_header<R: Read + Seek>(file: &mut File<R>, each: &mut Each<'_>) -> Result<(), Unreadable> {
    let refuse = || damaged("it is no ndb database");
    let header = file.read(0, HEADER_LEN).map_err(|_| refuse())?;
    if four(&header, 0) != Some(MAGIC) || number(&header, 4) != Some(VERSION) {
        return Err(refuse());
    }
    let slot_pages = u64::from(number(&header, 12).ok_or_else(refuse)?);
    for page in 0..slot_pages {
        let slots = file.read(page * PAGE_LEN, PAGE_LEN)?;
        // The header takes the place of the first two.
        let first = if page == 0 { HEADER_LEN } else { 0 };
        let first = usize::try_from(first).map_err(|_| refuse())?;
        for slot in slots[first..].chunks_exact(SLOT_LEN) {
            let refuse = || damaged("a slot of it is not what it should be");
            if four(slot, 0) != Some(SLOT_MAGIC) {
                return Err(refuse());
            }
            let package = number(slot, 4).ok_or_else(refuse)?;
            let at = BLOCK_LEN * u64::from(number(slot, 8).ok_or_else(refuse)?);
            // Slots that are free have no number.
            if package != 0 {
                each(&blob(file, package, at)?)?;
            }
        }
    }
    Ok(())
}

fn blob<R: Read + Seek>(file: &mut File<R>, package: u32, at: u64) -> Result<Vec<u8>, Unreadable> {
    let header = file.read(at, BLOB_HEADER_LEN)?;
    match (four(&header, 0), number(&header, 4), number(&header, 12)) {
        (Some(BLOB_MAGIC), Some(found), Some(len)) if found == package => {
            file.expect_header(u64::from(len))?;
            file.read(at + BLOB_HEADER_LEN, u64::from(len))
        }
        _ => Err(damaged("a package of it is not where it should be")),
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    four(bytes, at).map(u32::from_le_bytes)
}
