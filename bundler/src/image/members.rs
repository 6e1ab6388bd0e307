//! The members of a tar archive and where in it their bytes are, so that they can be read in place.
//!
//! The archive may come from anybody: what is read of it to learn its members is bounded, links lead nowhere but to
//! members, and a member whose bytes do not lie there as they are (a sparse file) is refused.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use fs_err as fs;
use tar::EntryType;

use crate::capped::Capped;
use crate::{Error, image};

/// Most members of an archive. Docker wrote three for each layer.
const MAX_MEMBERS: usize = 50_000;
/// The most that is read to learn the members: headers and long names, in bytes. What members hold is skipped.
const MAX_HEADER_BYTES: u64 = 64 << 20;
/// Longest name of a member, in bytes.
const MAX_NAME: usize = 4096;
/// Links that are followed for one member.
const MAX_LINKS: usize = 8;
/// How compressed files begin, and what turns them into what they were.
const COMPRESSED: [(&[u8], &str, &str); 4] = [
    (&[0x1f, 0x8b], "gzip", "gunzip"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd", "zstd -d"),
    (&[0xfd, b'7', b'z', b'X', b'Z'], "xz", "unxz"),
    (b"BZh", "bzip2", "bunzip2"),
];

/// A run of bytes in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Span {
    /// Where it begins, in bytes.
    pub(super) offset: u64,
    /// Its length in bytes.
    pub(super) size: u64,
}

impl Span {
    /// Its bytes in `file`.
    pub(super) fn open(&self, file: &Path) -> io::Result<impl Read + use<>> {
        let mut file = fs::File::open(file)?;
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(file.take(self.size))
    }
}

/// The members of an archive by name.
#[derive(Debug)]
pub(super) struct Members(HashMap<String, Member>);

#[derive(Debug)]
enum Member {
    At(Span),
    /// The same as another one.
    Link(String),
}

impl Members {
    /// Reads the headers of an archive.
    ///
    /// # Errors
    /// [`image::Error::CompressedArchive`], [`image::Error::DockerArchive`] if it is no archive that can be read in place, or I/O.
    pub(super) fn of(path: &Path) -> Result<Self, Error> {
        let mut file = fs::File::open(path)?;
        let size = file.metadata()?.len();
        expect_plain(path, &mut file)?;
        let refuse = |why: String| Error::from(image::Error::DockerArchive { archive: path.to_owned(), why });
        let mut archive = tar::Archive::new(Capped::new(file, MAX_HEADER_BYTES, || {
            io::Error::other(format!("its headers are longer than {MAX_HEADER_BYTES} bytes"))
        }));
        let mut members = HashMap::new();
        for entry in archive.entries_with_seek()? {
            let mut entry = entry.map_err(|e| refuse(format!("it is not a tar archive: {e}")))?;
            if members.len() >= MAX_MEMBERS {
                return Err(refuse(format!("it has more than {MAX_MEMBERS} members")));
            }
            let Some(name) = relative("", &entry.path_bytes()) else { continue };
            let (span, kind) =
                (Span { offset: entry.raw_file_position(), size: entry.size() }, entry.header().entry_type());
            if span.offset.checked_add(span.size).is_none_or(|end| end > size) {
                return Err(refuse(format!("it ends within `{name}`: it is not complete")));
            }
            if kind == EntryType::GNUSparse || is_sparse(&mut entry) {
                return Err(refuse(format!("`{name}` is stored as a sparse file")));
            }
            let target = entry.link_name_bytes();
            let member = match (kind, target) {
                (EntryType::Regular | EntryType::Continuous, _) => Some(Member::At(span)),
                // Of a link, symbolic ones lead on from where they are.
                (EntryType::Symlink, Some(target)) => {
                    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                    relative(folder, &target).map(Member::Link)
                }
                (EntryType::Link, Some(target)) => relative("", &target).map(Member::Link),
                _ => None,
            };
            if let Some(member) = member {
                // As everywhere with tar: of two members with one name the later one counts.
                members.insert(name, member);
            }
        }
        Ok(Self(members))
    }

    /// Where the bytes of a member are, through links if need be.
    pub(super) fn get(&self, name: &str) -> Option<Span> {
        let mut name = relative("", name.as_bytes())?;
        for _ in 0..=MAX_LINKS {
            match self.0.get(&name)? {
                Member::At(span) => return Some(*span),
                Member::Link(target) => name.clone_from(target),
            }
        }
        None
    }

    /// All members that have bytes of their own.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, Span)> {
        self.0.iter().filter_map(|(name, member)| match member {
            Member::At(span) => Some((name.as_str(), *span)),
            Member::Link(_) => None,
        })
    }
}

fn expect_plain(path: &Path, file: &mut (impl Read + Seek)) -> Result<(), Error> {
    let mut start = Vec::new();
    file.take(8).read_to_end(&mut start)?;
    file.rewind()?;
    match COMPRESSED.iter().find(|(magic, ..)| start.starts_with(magic)) {
        Some(&(_, format, program)) => {
            Err(image::Error::CompressedArchive { archive: path.to_owned(), format, program }.into())
        }
        None => Ok(()),
    }
}

/// Pax has its own ways to store sparse files, under an innocent type.
fn is_sparse<R: Read>(entry: &mut tar::Entry<'_, R>) -> bool {
    let Ok(Some(extensions)) = entry.pax_extensions() else { return false };
    extensions.flatten().any(|extension| extension.key_bytes().starts_with(b"GNU.sparse."))
}

/// A name as seen from the top of the archive; `None` if it leads out of it, or can be nobody's.
fn relative(folder: &str, name: &[u8]) -> Option<String> {
    let name =
        std::str::from_utf8(name).ok().filter(|name| name.len() <= MAX_NAME && !name.starts_with('/'))?;
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/")).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// An archive with these members: kind, name, link, content.
    fn archive(members: &[(EntryType, &str, &str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, name, link, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            header.as_gnu_mut().unwrap().set_real_size(bytes.len() as u64);
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Members, Error> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        Members::of(file.path())
    }

    #[test]
    fn members_are_found_where_they_are_and_links_stay_inside() {
        let (file, link, hard) = (EntryType::Regular, EntryType::Symlink, EntryType::Link);
        let bytes = archive(&[
            (file, "./layer.tar", "", b"plain"),
            (EntryType::Directory, "a/", "", b""),
            (link, "a/layer.tar", "../layer.tar", b""),
            (hard, "b/layer.tar", "a/layer.tar", b""),
            (link, "c/out", "../../etc/passwd", b""),
            (link, "c/root", "/layer.tar", b""),
            (link, "c/round", "round", b""),
            (link, "c/none", "nothing", b""),
            (file, "/absolute", "", b"x"),
            (file, "../above", "", b"x"),
            (EntryType::Fifo, "fifo", "", b""),
            (file, "twice", "", b"first"),
            (file, "twice", "", b"second"),
        ]);
        let members = read(&bytes).unwrap();
        let at = |name: &str| {
            let span = members.get(name)?;
            let start = usize::try_from(span.offset).unwrap();
            Some(&bytes[start..start + usize::try_from(span.size).unwrap()])
        };
        for name in
            ["layer.tar", "./layer.tar", "a//layer.tar", "a/layer.tar", "b/layer.tar", "b/../layer.tar"]
        {
            assert_eq!(at(name), Some(&b"plain"[..]), "{name}");
        }
        assert_eq!(at("twice"), Some(&b"second"[..]));
        for name in
            ["c/out", "c/root", "c/round", "c/none", "absolute", "/absolute", "above", "fifo", "a", ""]
        {
            assert_eq!(at(name), None, "{name}");
        }
    }

    #[test]
    fn archives_that_are_not_what_they_seem_are_refused() {
        let plain = archive(&[(EntryType::Regular, "a", "", &[7; 2000])]);
        let mut damaged = plain.clone();
        damaged[0] ^= 1;
        let sparse = archive(&[(EntryType::GNUSparse, "a", "", b"")]);
        let pax = b"28 GNU.sparse.major=1.0.0.0\n";
        let pax_sparse = archive(&[(EntryType::XHeader, "x", "", pax), (EntryType::Regular, "a", "", b"")]);
        let mut long_name = archive(&[(EntryType::GNULongName, "././@LongLink", "", b"")]);
        // It is said to be 1 TiB long, and the file behind it is as long as a sparse file may be.
        long_name[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
        let sum: u64 =
            (0..512).map(|i| if (148..156).contains(&i) { 32 } else { u64::from(long_name[i]) }).sum();
        long_name[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let cases: [(&str, &[u8]); 9] = [
            ("`gunzip", &[0x1f, 0x8b, 8, 0]),
            ("`zstd -d", &[0x28, 0xb5, 0x2f, 0xfd]),
            ("`unxz", b"\xfd7zXZ\0"),
            ("not a tar archive", &damaged),
            ("not complete", &plain[..1500]),
            ("not a tar archive", &plain[..300]),
            ("sparse", &sparse),
            ("sparse", &pax_sparse),
            ("headers are longer", &[]),
        ];
        for (expected, bytes) in cases {
            let result = if bytes.is_empty() {
                let mut file = tempfile::NamedTempFile::new().unwrap();
                file.write_all(&long_name[..512]).unwrap();
                file.as_file().set_len(1 << 40).unwrap();
                Members::of(file.path())
            } else {
                read(bytes)
            };
            let said = sealift_archive::report(&result.unwrap_err());
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }
}
