//! Members of the tar stream: ustar headers that depend on nothing but name and size, so that every writer makes the
//! same bytes.

use std::collections::HashSet;

use super::TAR_BLOCK;
use crate::Error;

/// Length of a header.
pub const HEADER_LEN: u64 = TAR_BLOCK;
/// Two empty blocks end a tar stream.
pub const END_LEN: usize = 1024;

/// Length of a member: header, content, padding.
#[must_use]
pub const fn len(content: u64) -> u64 {
    HEADER_LEN + content + padding(content)
}

/// Zeros between the end of a content of this size and the next header.
#[must_use]
pub const fn padding(content: u64) -> u64 {
    (TAR_BLOCK - content % TAR_BLOCK) % TAR_BLOCK
}

/// The header of a regular file: mode 0644, owner and time 0. Names are ours and fit into a ustar header.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "our names fit")]
pub fn header(name: &str, size: u64) -> [u8; 512] {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).expect("names in an archive are short, plain and relative");
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    *header.as_bytes()
}

/// Members in memory as a stretch of tar stream, by name, without the end.
#[must_use]
pub fn write_all(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, content) in members {
        let size = content.len() as u64;
        out.extend_from_slice(&header(name, size));
        out.extend_from_slice(content);
        out.resize(out.len() + usize::try_from(padding(size)).unwrap_or(0), 0);
    }
    out
}

/// Reads such a stretch back: names and contents, in order.
///
/// A general tar reader would follow long names, sparse maps and whatever else a hostile stream asks for; this one knows
/// one kind of header, and believes it only if it is exactly the one that [`header`] makes.
///
/// # Errors
/// [`Error::Inconsistent`] unless these are exactly the bytes that [`write_all`] makes: no other kind of member, no
/// other metadata, no name twice, nothing between or behind.
pub fn read_all(document: &str, mut bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let refuse = || Error::inconsistent(document, "its tar stream is not in the form that Sealift writes");
    let mut members: Vec<(String, Vec<u8>)> = Vec::new();
    let mut names = HashSet::new();
    while !bytes.is_empty() {
        let (block, rest) = bytes.split_first_chunk::<512>().ok_or_else(refuse)?;
        let (name, size) = read_header(block).ok_or_else(refuse)?;
        let size = usize::try_from(size).map_err(|_| refuse())?;
        let (content, rest) = rest.split_at_checked(size).ok_or_else(refuse)?;
        let zeros = usize::try_from(padding(size as u64)).unwrap_or(0);
        let (zeros, rest) = rest.split_at_checked(zeros).ok_or_else(refuse)?;
        if zeros.iter().any(|&b| b != 0) || !names.insert(name.clone()) {
            return Err(refuse());
        }
        members.push((name, content.to_vec()));
        bytes = rest;
    }
    Ok(members)
}

/// Name and size of a header that is exactly one of ours.
fn read_header(block: &[u8; 512]) -> Option<(String, u64)> {
    let claimed = tar::Header::from_byte_slice(block);
    let name = String::from_utf8(claimed.path_bytes().into_owned()).ok()?;
    let size = claimed.entry_size().ok()?;
    // A name that our writer could not write has no header of ours.
    tar::Header::new_ustar().set_path(&name).ok()?;
    (header(&name, size) == *block).then_some((name, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_form_is_read() {
        let members = vec![("a".to_owned(), b"one".to_vec()), ("b/c".to_owned(), vec![7; 512])];
        let good = write_all(&members);
        assert_eq!(read_all("t", &good).unwrap(), members);
        for position in (0..good.len()).filter(|p| !(512..515).contains(p) && *p < 1536) {
            let mut bad = good.clone();
            bad[position] ^= 1;
            assert!(read_all("t", &bad).is_err(), "byte {position}");
        }
        let twice = write_all(&[members[0].clone(), members[0].clone()]);
        assert!(read_all("t", &twice).is_err(), "a name twice");
        assert!(read_all("t", &good[..600]).is_err(), "cut");
        assert!(read_all("t", &[good.clone(), vec![0; 512]].concat()).is_err(), "more behind");

        // A sparse member of GNU tar may claim any length for a few bytes.
        let mut sparse = tar::Header::new_gnu();
        sparse.set_path("pack.json").unwrap();
        sparse.set_size(0);
        sparse.set_entry_type(tar::EntryType::GNUSparse);
        sparse.as_gnu_mut().unwrap().realsize[..].copy_from_slice(b"77777777777\0");
        sparse.set_cksum();
        assert!(read_all("t", sparse.as_bytes()).is_err(), "a sparse member");
    }
}
