//! Shows an archive of stored frames as a page: every byte with its place, and what it is.
//!
//! Four zeros and more are written `00×n`, four printable characters and more in quotes. Documents stand as they are.

use std::fmt::Write as _;

use sealift_archive::format::{HEAD_BYTES, frame};

const BLOCK: usize = 512;
/// Fewer of them than that are not put together.
const SHORT_RUN: usize = 4;

/// The whole page. Takes the bytes apart by their own lengths, so that what it leaves out would be missed at the end.
pub(crate) fn of(archive: &[u8]) -> String {
    let mut page = Page { bytes: archive, at: 0, text: INTRODUCTION.to_owned(), is_open: false };
    let head_end = usize::try_from(HEAD_BYTES).unwrap();
    page.heading("The head");
    page.frame();
    page.filler(head_end);
    page.heading("The front");
    page.frame();
    let filler = 8 + usize::try_from(page.number(page.at + 4)).unwrap();
    page.filler(page.at + filler);
    page.heading("The data");
    page.frame();
    page.heading("The tail");
    page.frame();
    page.close();
    assert_eq!(page.at, archive.len(), "every byte is shown");
    page.text
}

const INTRODUCTION: &str = "\
A release of one file, `hello.txt`, which says `hello, world`. Its one front page is stored, so that every byte can be seen. Each
line has the place of its first byte, in hexadecimal; the bytes, in hexadecimal too, but `00×n` for *n* zeros, and text in
quotes; and what they are. A test builds this archive and compares it with this page.
";

struct Page<'a> {
    bytes: &'a [u8],
    at: usize,
    text: String,
    /// Whether lines of bytes are being written.
    is_open: bool,
}

impl Page<'_> {
    fn heading(&mut self, name: &str) {
        self.close();
        writeln!(self.text, "\n### {name}").unwrap();
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.is_open) {
            self.text.push_str("```\n");
        }
    }

    /// A line of so many bytes.
    fn line(&mut self, len: usize, what: &str) {
        if !std::mem::replace(&mut self.is_open, true) {
            self.text.push_str("```\n");
        }
        let shown = show(&self.bytes[self.at..self.at + len]);
        writeln!(self.text, "{}", format!("{:05x}  {shown:<47}  {what}", self.at).trim_end()).unwrap();
        self.at += len;
    }

    /// A document, as it is.
    fn document(&mut self, len: usize) {
        let document = std::str::from_utf8(&self.bytes[self.at..self.at + len]).unwrap();
        self.close();
        let end = if document.ends_with('\n') { "" } else { ", without a newline at the end" };
        let kind = if document.starts_with('{') { "json" } else { "text" };
        writeln!(self.text, "{:05x}, {len} bytes{end}:\n```{kind}\n{}\n```", self.at, document.trim_end())
            .unwrap();
        self.at += len;
    }

    /// The four bytes at this place as a number.
    fn number(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap())
    }

    fn filler(&mut self, end: usize) {
        self.line(4, "filler (1.2)");
        self.line(4, &format!("length of the rest: {}", end - self.at - 4));
        self.line(end - self.at, "");
    }

    /// A stored frame of one block, with the tar members in it.
    fn frame(&mut self) {
        let len = self.number(self.at + 5);
        self.line(5, "stored frame (1.1)");
        self.line(4, &format!("length of its content: {len}"));
        self.line(3, &format!("its one block is the last, raw, {len} bytes long: {len} << 3 | 1"));
        let end = self.at + usize::try_from(len).unwrap();
        while self.at < end {
            if self.bytes[self.at] == 0 {
                self.line(end - self.at, "the end of the tar stream");
            } else {
                self.member();
            }
        }
        self.line(4, "low 4 bytes of XXH64 of the content");
        assert_eq!(u64::from(len) + 16, frame::stored_len(len.into()), "one block");
    }

    fn member(&mut self) {
        let header = tar::Header::from_byte_slice(&self.bytes[self.at..self.at + BLOCK]);
        let (size, name) =
            (usize::try_from(header.entry_size().unwrap()).unwrap(), header.path().unwrap().into_owned());
        let name = name.display().to_string();
        self.line(100, &format!("member (1.3) `{name}`"));
        self.line(24, "mode, uid, gid");
        self.line(12, &format!("size: {size}"));
        self.line(12, "mtime");
        self.line(8, "sum of the header");
        self.line(189, "a file, in ustar form");
        self.line(167, "of a long name what is before its last `/`");
        match name.as_str() {
            "contents" => self.contents(),
            name if name.starts_with("blobs/") => self.line(size, "the blob"),
            _ => self.document(size),
        }
        let padding = size.next_multiple_of(BLOCK) - size;
        if padding > 0 {
            self.line(padding, "up to the next 512 bytes");
        }
    }

    /// The table of one frame and one blob (4.1).
    fn contents(&mut self) {
        self.line(8, "contents (4.1)");
        self.line(4, "number of frames");
        self.line(4, "number of blobs");
        self.line(4, "frame 0: its length in the file");
        self.line(4, "length of its content");
        self.line(32, "its hash; as the last frame of a chained blob that of the blob (4.2)");
        self.line(4, "last blob that starts in it");
        self.line(32, "blob 0: its SHA-256");
        self.line(8, "its size");
        self.line(4, "encoding: chained");
        self.line(4, "frame");
        self.line(4, "offset in the content of the frame");
        self.line(8, "length");
    }
}

/// Bytes in their shortest form.
fn show(mut bytes: &[u8]) -> String {
    let mut words: Vec<String> = Vec::new();
    while let Some(first) = bytes.first() {
        let zeros = bytes.iter().take_while(|&&b| b == 0).count();
        let text = bytes.iter().take_while(|&&b| b.is_ascii_graphic() && b != b'"' || b == b' ').count();
        let (word, len) = if zeros >= SHORT_RUN {
            (format!("00×{zeros}"), zeros)
        } else if text >= SHORT_RUN {
            (format!("\"{}\"", String::from_utf8_lossy(&bytes[..text])), text)
        } else {
            (format!("{first:02x}"), 1)
        };
        words.push(word);
        bytes = &bytes[len..];
    }
    words.join(" ")
}
