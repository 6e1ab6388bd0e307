//! A tar walked entry by entry: ustar, pax and GNU long names, as layers have them (POSIX.1-2017 pax; GNU tar manual,
//! “Basic Tar Format”).
//!
//! The `tar` crate reads one header; walking is done here, because its iterator takes long names and extended headers
//! into memory whatever length they claim. Where tars leave room, this follows Go's `archive/tar`, with which container
//! runtimes unpack.

use std::io::{self, Read};

use tar::{EntryType, Header};

use crate::capped::Capped;

const BLOCK: usize = 512;
/// Longest long name or extended header, in bytes.
const MAX_EXTENSION_BYTES: u64 = 1 << 20;
/// Most plain bytes of one layer. Nobody ships such a layer; a few compressed megabytes can claim to be one.
const MAX_PLAIN_BYTES: u64 = 128 << 30;

/// What stands at a place of a tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Normalised by [`normalise`]; the root is empty.
    pub(super) path: String,
    pub(super) kind: Kind,
}

/// What an entry is. Link targets are as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file with its content, of this many bytes.
    File(u64),
    Directory,
    Symlink(String),
    /// Another name of a file of the same tar.
    HardLink(String),
    /// A device, a pipe, or a file with holes, which layers do not have.
    Other,
}

/// Goes through a tar.
pub(super) struct Walk<R> {
    tar: Capped<R>,
    /// What is left of the current entry's content, and the padding behind it.
    content: u64,
    padding: u64,
}

impl<R: Read> Walk<R> {
    pub(super) fn new(tar: R) -> Self {
        Self::capped(tar, MAX_PLAIN_BYTES)
    }

    /// Fails when more than `most` bytes have passed.
    pub(super) fn capped(tar: R, most: u64) -> Self {
        Self {
            tar: Capped::new(tar, most, || malformed("it unpacks to more than any layer does")),
            content: 0,
            padding: 0,
        }
    }

    /// The next entry; what is left of the one before is passed over.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut extension = Extension::default();
        loop {
            self.pass_over()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let size = header.entry_size()?;
            match header.entry_type() {
                EntryType::GNULongName => extension.path = Some(terminated(self.extension(size)?)),
                EntryType::GNULongLink => extension.link = Some(terminated(self.extension(size)?)),
                EntryType::XHeader => extension.read_pax(&self.extension(size)?)?,
                EntryType::XGlobalHeader => self.expect(size),
                kind => return self.entry(&header, kind, size, extension).map(Some),
            }
        }
    }

    /// The content of the current entry.
    pub(super) fn content(&mut self) -> impl Read + '_ {
        Content(self)
    }

    fn entry(
        &mut self,
        header: &Header,
        kind: EntryType,
        size: u64,
        extension: Extension,
    ) -> io::Result<Entry> {
        let size = extension.size.unwrap_or(size);
        let written = extension.path.unwrap_or_else(|| text(&header.path_bytes()));
        let link = || {
            extension.link.unwrap_or_else(|| header.link_name_bytes().map_or_else(String::new, |l| text(&l)))
        };
        let kind = match kind {
            // A trailing slash was the mark of a directory before there was a type for it.
            EntryType::Regular | EntryType::Continuous if written.ends_with('/') => Kind::Directory,
            EntryType::Regular | EntryType::Continuous if extension.is_sparse => {
                self.expect(size);
                Kind::Other
            }
            EntryType::Regular | EntryType::Continuous => {
                self.expect(size);
                Kind::File(size)
            }
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(link()),
            EntryType::Link => Kind::HardLink(link()),
            EntryType::GNUSparse => {
                self.pass_sparse_map(header)?;
                self.expect(size);
                Kind::Other
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => Kind::Other,
            // POSIX: what is not known is taken for a file.
            _ => {
                self.expect(size);
                Kind::Other
            }
        };
        Ok(Entry { path: normalise(&written), kind })
    }

    /// The next header, unless a block of zeros or the end of the stream ends the tar.
    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut block = [0; BLOCK];
        let mut have = 0;
        while have < BLOCK {
            match self.tar.read(&mut block[have..])? {
                0 if have == 0 => return Ok(None),
                0 => return Err(malformed("it ends in the middle of a header")),
                n => have += n,
            }
        }
        if block.iter().all(|&b| b == 0) {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        // The sum counts its own eight bytes as spaces.
        let others = block[..148].iter().chain(&block[156..]);
        let sum = others.map(|&b| u32::from(b)).sum::<u32>() + 8 * u32::from(b' ');
        if header.cksum()? == sum {
            Ok(Some(header))
        } else {
            Err(malformed("a header has a wrong checksum"))
        }
    }

    fn extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > MAX_EXTENSION_BYTES {
            return Err(malformed("a name or an extended header is longer than any should be"));
        }
        self.expect(size);
        let mut bytes = Vec::new();
        self.content().read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Blocks behind the header of a file with holes that say more about the holes.
    fn pass_sparse_map(&mut self, header: &Header) -> io::Result<()> {
        /// The byte of such a block that says whether another follows.
        const IS_EXTENDED: usize = 504;

        let mut more = header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
        while more {
            let mut block = [0; BLOCK];
            self.tar.read_exact(&mut block)?;
            more = block[IS_EXTENDED] == 1;
        }
        Ok(())
    }

    fn expect(&mut self, size: u64) {
        self.content = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    fn pass_over(&mut self) -> io::Result<()> {
        io::copy(&mut self.content(), &mut io::sink())?;
        let padding = std::mem::take(&mut self.padding);
        // A tar may be cut off behind the content of its last entry.
        io::copy(&mut (&mut self.tar).take(padding), &mut io::sink())?;
        Ok(())
    }
}

struct Content<'a, R>(&'a mut Walk<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let room = buf.len().min(usize::try_from(self.0.content).unwrap_or(usize::MAX));
        match self.0.tar.read(&mut buf[..room])? {
            0 if room > 0 => Err(malformed("it ends in the middle of a file")),
            n => {
                self.0.content -= n as u64;
                Ok(n)
            }
        }
    }
}

/// What stands before a header and says more about it.
#[derive(Default)]
struct Extension {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
    is_sparse: bool,
}

impl Extension {
    /// Records of `<length> <key>=<value>\n`, the length that of the whole record.
    fn read_pax(&mut self, mut records: &[u8]) -> io::Result<()> {
        let refuse = || malformed("an extended header is not made of records");
        while !records.is_empty() {
            let space = records.iter().position(|&b| b == b' ').ok_or_else(refuse)?;
            let len: usize = std::str::from_utf8(&records[..space])
                .ok()
                .and_then(|n| n.parse().ok())
                .ok_or_else(refuse)?;
            let (record, rest) = records.split_at_checked(len).ok_or_else(refuse)?;
            let pair = record.get(space + 1..).and_then(|r| r.strip_suffix(b"\n")).ok_or_else(refuse)?;
            let equals = pair.iter().position(|&b| b == b'=').ok_or_else(refuse)?;
            let (key, value) = (&pair[..equals], &pair[equals + 1..]);
            match key {
                // An empty value takes back what stood before.
                b"path" => self.path = Some(text(value)).filter(|v| !v.is_empty()),
                b"linkpath" => self.link = Some(text(value)).filter(|v| !v.is_empty()),
                b"size" => self.size = Some(text(value).parse().map_err(|_| refuse())?),
                _ => self.is_sparse |= key.starts_with(b"GNU.sparse."),
            }
            records = rest;
        }
        Ok(())
    }
}

/// A path without `.`, `..`, doubled and outer slashes. `..` never leads out of the root, as in a container.
pub(super) fn normalise(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A name that a NUL may end.
fn terminated(mut bytes: Vec<u8>) -> String {
    if let Some(end) = bytes.iter().position(|&b| b == 0) {
        bytes.truncate(end);
    }
    text(&bytes)
}

/// Names need not be text, but those that are looked for are.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn malformed(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
