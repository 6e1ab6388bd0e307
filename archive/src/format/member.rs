//! Members of the tar stream: ustar headers that depend on nothing but name and size, so that every writer makes the
//! same bytes.

use std::collections::HashSet;

use super::{TAR_BLOCK, shown};
use crate::{Error, Malformed};

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
    try_header(name, size).expect("names in an archive are short, plain and relative")
}

/// The same for any name; `None` if it does not fit.
fn try_header(name: &str, size: u64) -> Option<[u8; 512]> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).ok()?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Some(*header.as_bytes())
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
/// [`Error::Malformed`] unless these are exactly the bytes that [`write_all`] makes: no other kind of member, no
/// other metadata, no name twice, nothing between or behind.
pub fn read_all(part: &'static str, stream: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut bytes = stream;
    let mut members: Vec<(String, Vec<u8>)> = Vec::new();
    let mut names = HashSet::new();
    while !bytes.is_empty() {
        let refuse = || Malformed::foreign(part, (stream.len() - bytes.len()) as u64);
        let (block, rest) = bytes.split_first_chunk::<512>().ok_or_else(refuse)?;
        let (name, size) = read_header(part, block, (stream.len() - bytes.len()) as u64)?;
        let too_long = || {
            let (item, why) = (format!("member `{name}`"), format!("{} bytes are left", rest.len()));
            Malformed::FalseLength { part, item, length: size, why }
        };
        let size = usize::try_from(size).map_err(|_| too_long())?;
        let (content, rest) = rest.split_at_checked(size).ok_or_else(too_long)?;
        let zeros = usize::try_from(padding(size as u64)).unwrap_or(0);
        let (zeros, rest) = rest.split_at_checked(zeros).ok_or_else(refuse)?;
        if zeros.iter().any(|&b| b != 0) {
            return Err(refuse());
        }
        if !names.insert(name.clone()) {
            return Err(Malformed::unexpected(part, &name));
        }
        members.push((name, content.to_vec()));
        bytes = rest;
    }
    Ok(members)
}

/// Name and size of a header that is exactly one of ours. It stands at `offset` of `part`.
///
/// # Errors
/// [`Error::Malformed`] with what is wrong with it.
pub fn read_header(part: &'static str, block: &[u8; 512], offset: u64) -> Result<(String, u64), Error> {
    let refuse = || Malformed::foreign(part, offset);
    let claimed = tar::Header::from_byte_slice(block);
    if !has_its_checksum(claimed) {
        return Err(refuse());
    }
    let name = read_name(part, claimed)?;
    let size = claimed.entry_size().map_err(|_| refuse())?;
    if try_header(&name, size) == Some(*block) { Ok((name, size)) } else { Err(refuse()) }
}

/// What is no header at all has no name or kind that is worth telling.
fn has_its_checksum(claimed: &tar::Header) -> bool {
    let mut again = claimed.clone();
    again.set_cksum();
    again.as_bytes() == claimed.as_bytes()
}

/// The name of a member that is a file, and whose name means the same to everybody.
fn read_name(part: &'static str, claimed: &tar::Header) -> Result<String, Error> {
    let name = String::from_utf8_lossy(&claimed.path_bytes()).into_owned();
    if let Some(kind) = other_kind(claimed.entry_type()) {
        return Err(Malformed::NotAFile { part, name: shown(&name), kind }.into());
    }
    match broken_rule(&name, claimed) {
        Some(rule) => Err(Malformed::BadMemberName { part, name: shown(&name), rule }.into()),
        None => Ok(name),
    }
}

/// What a member is that is not a regular file.
fn other_kind(entry: tar::EntryType) -> Option<&'static str> {
    Some(match entry {
        tar::EntryType::Regular => return None,
        tar::EntryType::Link => "a hard link",
        tar::EntryType::Symlink => "a symbolic link",
        tar::EntryType::Char | tar::EntryType::Block => "a device",
        tar::EntryType::Fifo => "a pipe",
        tar::EntryType::Directory => "a folder",
        tar::EntryType::GNUSparse => "a sparse file",
        _ => "an extension of tar",
    })
}

/// The rule that a name breaks, if it breaks one; what is left is printable ASCII.
fn broken_rule(name: &str, claimed: &tar::Header) -> Option<&'static str> {
    let hides = |field: &[u8]| field.iter().skip_while(|&&b| b != 0).any(|&b| b != 0);
    if hides(&claimed.as_old().name) || claimed.as_ustar().is_some_and(|ustar| hides(&ustar.prefix)) {
        Some("there is more behind a NUL")
    } else if name.starts_with('/') {
        Some("it is absolute")
    } else if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        Some("a part of it is empty, `.` or `..`")
    } else if name.bytes().any(|b| !b.is_ascii_alphanumeric() && !b"/._-".contains(&b)) {
        Some("letters, digits, `.`, `_`, `-` and `/` are all that may be in it")
    } else {
        None
    }
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
