//! Reading a packed chart: a gzip of a tar with everything below one folder.
//!
//! Nothing is unpacked to disk. Sizes are limited as Helm limits them, for what Helm refuses to load is of no use
//! behind the gap; and what Helm lets pass with a shrug (links, files that stand twice, two folders) is refused here.

use std::collections::BTreeSet;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};

use super::yaml;
use crate::capped::Capped;
use crate::{Error, chart};

/// Largest packed chart, in bytes. Helm has no limit of its own; Flux takes 10 MiB unless told otherwise.
pub const MAX_TGZ_BYTES: u64 = 32 << 20;
/// Largest file in a chart, in bytes (Helm's `MaxDecompressedFileSize`).
pub const MAX_FILE_BYTES: u64 = 5 << 20;
/// Largest chart, unpacked, in bytes (Helm's `MaxDecompressedChartSize`).
pub const MAX_CHART_BYTES: u64 = 100 << 20;
/// Most files in a chart. The largest in the field have a few hundred.
pub const MAX_FILES: usize = 10_000;

/// How the file of every gzip begins, deflate being the only method (RFC 1952).
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b, 8];
/// Most bytes of a tar that are not content: a header and the padding of each file, and long names.
const MAX_TAR_BYTES: u64 = MAX_CHART_BYTES + (MAX_FILES as u64) * 4096;

/// A file of a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path below the chart's folder, with `/` between its parts.
    pub path: String,
    /// What is in it, without a byte order mark.
    pub content: Vec<u8>,
}

/// All files of a packed chart, in the archive's order; `name` names it in errors.
///
/// # Errors
/// [`chart::Error::BadChart`], or that something is too large.
pub fn read(name: &str, tgz: &[u8]) -> Result<Vec<File>, Error> {
    let refuse = |why: String| Error::from(chart::Error::BadChart { chart: name.to_owned(), why });
    let damaged = |error: io::Error| refuse(format!("it is damaged: {error}"));
    expect_size(name, tgz.len() as u64, MAX_TGZ_BYTES)?;
    if !tgz.starts_with(GZIP_MAGIC) {
        return Err(refuse("it is not a gzip file".to_owned()));
    }
    let mut archive = Archive::new(Capped::new(MultiGzDecoder::new(tgz), MAX_TAR_BYTES, || {
        io::Error::other(format!("it unpacks to more than {MAX_TAR_BYTES} bytes"))
    }));
    let mut reading = Reading::default();
    for entry in archive.entries().map_err(damaged)? {
        reading.take(name, entry.map_err(damaged)?)?;
    }
    // Only at its end does a gzip stream tell whether it was whole.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(damaged)?;
    if reading.files.is_empty() {
        return Err(refuse("there are no files in it".to_owned()));
    }
    Ok(reading.files)
}

/// The content of one of the files.
pub(super) fn find<'a>(files: &'a [File], path: &str) -> Option<&'a [u8]> {
    files.iter().find(|file| file.path == path).map(|file| file.content.as_slice())
}

/// Refuses what is larger than it may be.
pub(super) fn expect_size(what: &str, size: u64, limit: u64) -> Result<(), Error> {
    if size <= limit {
        return Ok(());
    }
    Err(sealift_archive::Error::TooLarge { what: what.to_owned(), size, limit }.into())
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    root: Option<String>,
    files: Vec<File>,
    seen: BTreeSet<String>,
    bytes: u64,
}

impl Reading {
    fn take(&mut self, name: &str, mut entry: Entry<'_, impl Read>) -> Result<(), Error> {
        let refuse = |why: String| Error::from(chart::Error::BadChart { chart: name.to_owned(), why });
        let path = String::from_utf8(entry.path_bytes().into_owned())
            .map_err(|_| refuse("the name of a file in it is not UTF-8".to_owned()))?;
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let is_folder = kind == EntryType::Directory || (kind == EntryType::Regular && path.ends_with('/'));
        let shown = yaml::clean(&path);
        let (root, rest) = split(&path).map_err(|why| refuse(format!("`{shown}` {why}")))?;
        if self.root.get_or_insert_with(|| root.clone()) != &root {
            return Err(refuse(format!("there is more than one folder in it: `{shown}`")));
        }
        if is_folder {
            return Ok(());
        }
        if rest.is_empty() {
            return Err(refuse(format!("`{shown}` is not in a folder")));
        }
        if kind != EntryType::Regular {
            return Err(refuse(format!("`{shown}` is neither a file nor a folder")));
        }
        if self.files.len() >= MAX_FILES {
            return Err(refuse(format!("there are more than {MAX_FILES} files in it")));
        }
        if !self.seen.insert(rest.clone()) {
            return Err(refuse(format!("`{rest}` stands in it twice")));
        }
        let size = entry.size();
        expect_size(&format!("`{rest}` in {name}"), size, MAX_FILE_BYTES)?;
        self.bytes += size;
        expect_size(&format!("{name}, unpacked,"), self.bytes, MAX_CHART_BYTES)?;
        let mut content = Vec::new();
        entry
            .by_ref()
            .take(MAX_FILE_BYTES)
            .read_to_end(&mut content)
            .map_err(|error| refuse(format!("it is damaged in `{rest}`: {error}")))?;
        if content.len() as u64 != size {
            return Err(refuse(format!("it ends within `{rest}`")));
        }
        self.files.push(File { path: rest, content: yaml::without_mark(&content).to_vec() });
        Ok(())
    }
}

/// The folder of a path and what is behind it, both plain. Archives made on Windows have `\` between the parts.
fn split(path: &str) -> Result<(String, String), &'static str> {
    let separator = if path.contains('\\') { '\\' } else { '/' };
    let mut parts = path.split(separator);
    let root = parts.next().unwrap_or_default();
    if matches!(root, "" | "." | "..") {
        return Err("does not begin with the name of a folder");
    }
    let parts: Vec<&str> = parts.filter(|part| !matches!(*part, "" | ".")).collect();
    let is_drive = |part: &&str| matches!(part.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic());
    if parts.contains(&"..") || parts.first().is_some_and(is_drive) {
        return Err("leads out of its folder");
    }
    if parts.iter().any(|part| part.chars().any(|c| c.is_control() || c == '/')) {
        return Err("is no name of a file");
    }
    Ok((root.to_owned(), parts.join("/")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tar::Header;

    use super::*;
    use crate::tarball::{PLAIN, Tarball, gzip};

    /// A gzipped tar with entries of any kind and any name, which no builder would make.
    fn tgz(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, kind, content) in entries {
            let mut header = Header::new_ustar();
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(PLAIN);
            header.set_size(content.len() as u64);
            header.set_cksum();
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        bytes.extend_from_slice(&[0; 1024]);
        gzip(&bytes).unwrap()
    }

    fn said(tgz: &[u8]) -> String {
        read("web-1.0.tgz", tgz).unwrap_err().to_string()
    }

    #[test]
    fn files_are_found_below_one_folder() {
        use EntryType::{Directory, Regular, XGlobalHeader};
        let packed = tgz(&[
            ("pax_global_header", XGlobalHeader, b"12 comment=\n"),
            ("web/", Directory, b""),
            ("web/Chart.yaml", Regular, b"\xef\xbb\xbfname: web"),
            ("web/./templates//a.yaml", Regular, b"a"),
            ("web\\templates\\b.yaml", Regular, b"b"),
            ("web/empty/", Regular, b""),
        ]);
        let files = read("web-1.0.tgz", &packed).unwrap();
        let found: Vec<(&str, &[u8])> =
            files.iter().map(|f| (f.path.as_str(), f.content.as_slice())).collect();
        let expected: [(&str, &[u8]); 3] =
            [("Chart.yaml", b"name: web"), ("templates/a.yaml", b"a"), ("templates/b.yaml", b"b")];
        assert_eq!(found, expected);
        assert_eq!(find(&files, "Chart.yaml"), Some(&b"name: web"[..]));
    }

    #[test]
    fn long_names_are_read() {
        let path = format!("web/{}/{}", "d".repeat(150), "f".repeat(150));
        let mut tarball = Tarball::new(0);
        tarball.file(&path, PLAIN, b"x").unwrap();
        let files = read("x", &gzip(&tarball.finish().unwrap()).unwrap()).unwrap();
        assert_eq!(files[0].path, path["web/".len()..]);
    }

    #[test]
    fn odd_archives_are_refused_by_name() {
        use EntryType::{Char, Link, Regular, Symlink};
        let one = |path, kind| tgz(&[("web/Chart.yaml", Regular, b""), (path, kind, b"")]);
        let cases: [(&str, Vec<u8>); 16] = [
            ("`web/../x` leads out", one("web/../x", Regular)),
            ("`web/a/../../x` leads out", one("web/a/../../x", Regular)),
            ("`web/c:/x` leads out", one("web/c:/x", Regular)),
            ("`/etc/passwd` does not begin", one("/etc/passwd", Regular)),
            ("`../x` does not begin", one("../x", Regular)),
            ("`./web/x` does not begin", one("./web/x", Regular)),
            ("more than one folder in it: `other/x`", one("other/x", Regular)),
            ("`web` is not in a folder", one("web", Regular)),
            ("`web\\a/b` is no name", one("web\\a/b", Regular)),
            ("`web/[31m` is no name", one("web/\u{1b}[31m", Regular)),
            ("`web/link` is neither", one("web/link", Symlink)),
            ("`web/link` is neither", one("web/link", Link)),
            ("`web/null` is neither", one("web/null", Char)),
            ("`Chart.yaml` stands in it twice", one("web/Chart.yaml", Regular)),
            ("there are no files", tgz(&[])),
            ("is not a gzip file", b"apiVersion: v2\n".to_vec()),
        ];
        for (expected, packed) in cases {
            let said = said(&packed);
            assert!(!said.contains('\u{1b}'), "no terminal is told what to do: {said}");
            assert!(said.contains(expected) && said.contains("web-1.0.tgz"), "{expected}: {said}");
        }
    }

    #[test]
    fn sizes_are_limited_to_the_byte() {
        let exact = vec![b'x'; usize::try_from(MAX_FILE_BYTES).unwrap()];
        let one = |content: &[u8]| tgz(&[("web/a", EntryType::Regular, content)]);
        assert_eq!(read("x", &one(&exact)).unwrap()[0].content.len(), exact.len());
        assert!(said(&one(&[exact.as_slice(), b"x"].concat())).contains("5242881, the limit is 5242880"));

        let names: Vec<String> = (0..=MAX_FILES).map(|n| format!("web/{n}")).collect();
        let many = |count: usize| {
            let entries: Vec<_> =
                names[..count].iter().map(|n| (n.as_str(), EntryType::Regular, &b""[..])).collect();
            tgz(&entries)
        };
        assert_eq!(read("x", &many(MAX_FILES)).unwrap().len(), MAX_FILES);
        assert!(said(&many(MAX_FILES + 1)).contains("more than 10000 files"));

        let full: Vec<_> = names[..20].iter().map(|n| (n.as_str(), EntryType::Regular, &exact[..])).collect();
        assert_eq!(read("x", &tgz(&full)).unwrap().len(), 20);
        let over = [&full[..], &[("web/last", EntryType::Regular, &b"x"[..])]].concat();
        assert!(said(&tgz(&over)).contains("104857601, the limit is 104857600"));

        let too_long = vec![0; usize::try_from(MAX_TGZ_BYTES).unwrap() + 1];
        assert!(said(&too_long).contains("33554433, the limit is 33554432"));
    }

    #[test]
    fn a_bomb_goes_off_at_the_limit() {
        let zeros = vec![0; 1 << 20];
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..200 {
            io::Write::write_all(&mut bomb, &zeros).unwrap();
        }
        // An end of archive, and then zeros without end.
        assert!(said(&bomb.finish().unwrap()).contains("unpacks to more than"));
    }

    #[test]
    fn damage_is_found_wherever_it_is() {
        let good = tgz(&[("web/Chart.yaml", EntryType::Regular, b"name: web, and some more of it")]);
        for cut in GZIP_MAGIC.len()..good.len() {
            assert!(read("x", &good[..cut]).is_err(), "cut at {cut}");
        }
        // Behind the gzip header, every change shows in the content, the checksum, or not at all.
        let whole = read("x", &good).unwrap();
        for at in 10..good.len() {
            let mut damaged = good.clone();
            damaged[at] ^= 0x10;
            assert!(read("x", &damaged).map_or(true, |files| files == whole), "changed at {at}");
        }
    }

    proptest! {
        #[test]
        fn no_archive_makes_the_reader_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..2000), path in "\\PC{1,30}",
        ) {
            let _ = read("x", &bytes);
            let _ = read("x", &gzip(&bytes).unwrap());
            let _ = split(&path);
            let mut header = tgz(&[("web/a", EntryType::Regular, b"")]);
            header.extend_from_slice(&bytes);
            let _ = read("x", &header);
        }
    }
}
