//! Members of the tar stream: ustar headers that depend on nothing but name and size, so that every writer makes the
//! same bytes.

use std::collections::BTreeMap;
use std::io::Read as _;

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

/// Reads such a stretch back: name → content, in order.
///
/// # Errors
/// [`Error::Inconsistent`] unless these are exactly the bytes that [`write_all`] makes: no other kind of member, no
/// other metadata, no name twice, nothing between or behind.
pub fn read_all(document: &str, bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let refuse = |why: String| Error::inconsistent(document, why);
    let broken = |e: std::io::Error| refuse(format!("its tar stream is broken: {e}"));
    let mut members = Vec::new();
    for entry in tar::Archive::new(bytes).entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = String::from_utf8(entry.path_bytes().into_owned())
            .map_err(|_| refuse("a member's name is not text".to_owned()))?;
        let size = entry.size();
        if size > bytes.len() as u64 {
            return Err(refuse(format!("member `{name}` is longer than its surroundings")));
        }
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        entry.read_to_end(&mut content).map_err(broken)?;
        members.push((name, content));
    }
    // One stream has one form: whatever a lenient reader could have seen otherwise is refused here.
    let same = members.iter().all(|(name, _)| tar::Header::new_ustar().set_path(name).is_ok())
        && write_all(&members) == bytes;
    let count = members.len();
    let members: BTreeMap<_, _> = members.into_iter().collect();
    if same && members.len() == count {
        Ok(members)
    } else {
        Err(refuse("its tar stream is not in the form that Sealift writes".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_form_is_read() {
        let members = vec![("a".to_owned(), b"one".to_vec()), ("b/c".to_owned(), vec![7; 512])];
        let good = write_all(&members);
        assert_eq!(read_all("t", &good).unwrap().into_iter().collect::<Vec<_>>(), members);
        for position in (0..good.len()).filter(|p| !(512..515).contains(p) && *p < 1536) {
            let mut bad = good.clone();
            bad[position] ^= 1;
            assert!(read_all("t", &bad).is_err(), "byte {position}");
        }
        let twice = write_all(&[members[0].clone(), members[0].clone()]);
        assert!(read_all("t", &twice).is_err(), "a name twice");
        assert!(read_all("t", &good[..600]).is_err(), "cut");
        assert!(read_all("t", &[good.clone(), vec![0; 512]].concat()).is_err(), "more behind");
    }
}
