//! `rpmdb.sqlite`: the table `Packages (hnum INTEGER PRIMARY KEY, blob BLOB)` of an SQLite database, read page by page
//! (sqlite.org, “Database File Format”). Nothing but table b-trees with their overflow pages is needed for that.
//!
//! A write-ahead log beside it is not read; whoever has one is told (see `collect`).

use std::io::{Read, Seek};

use super::{Each, File, Unreadable, damaged, four, two};

const MAGIC: &[u8] = b"SQLite format 3\0";
/// Length of the header, which page 1 begins with.
const HEADER_LEN: usize = 100;
/// Places in the header.
const PAGE_SIZE_AT: usize = 16;
const RESERVED_AT: usize = 20;

const INTERIOR: u8 = 0x05;
const LEAF: u8 = 0x0d;
/// Deepest tree: each level multiplies by at least two, and pages have 32 bits.
const MAX_DEPTH: usize = 32;

const TABLE: &[u8] = b"Packages";
/// Columns of `sqlite_schema` and of `Packages` that are asked for, by position.
const SCHEMA_TYPE: usize = 0;
const SCHEMA_NAME: usize = 1;
const SCHEMA_ROOT: usize = 3;
const PACKAGES_BLOB: usize = 1;

/// Passes the header of each package on.
pub(super) fn each_header<R: Read + Seek>(file: &mut File<R>, each: &mut Each<'_>) -> Result<(), Unreadable> {
    let mut database = Database::open(file)?;
    let mut root = None;
    database.each_row(1, &mut |row| {
        let is_table = column(row, SCHEMA_TYPE)?.as_text() == Some(b"table");
        if is_table && column(row, SCHEMA_NAME)?.as_text() == Some(TABLE) {
            root = column(row, SCHEMA_ROOT)?.as_page();
        }
        Ok(())
    })?;
    let root = root.ok_or_else(|| damaged("it has no table `Packages`"))?;
    database.each_row(root, &mut |row| match column(row, PACKAGES_BLOB)? {
        Value::Blob(header) => each(header),
        _ => Err(damaged("a row of `Packages` has no header")),
    })
}

struct Database<'a, R> {
    file: &'a mut File<R>,
    page_size: u64,
    /// What of a page is used.
    usable: usize,
    pages: u64,
}

impl<'a, R: Read + Seek> Database<'a, R> {
    fn open(file: &'a mut File<R>) -> Result<Self, Unreadable> {
        let refuse = || damaged("it is no SQLite database");
        let header = file.read(0, HEADER_LEN as u64).map_err(|_| refuse())?;
        let page_size = match two(&header, PAGE_SIZE_AT).map(u16::from_be_bytes) {
            Some(1) => 1 << 16,
            Some(size) if size.is_power_of_two() && size >= 512 => u64::from(size),
            _ => return Err(refuse()),
        };
        let reserved = u64::from(header[RESERVED_AT]);
        // SQLite itself wants at least 480 bytes of a page.
        let usable = page_size.checked_sub(reserved).filter(|&u| u >= 480).ok_or_else(refuse)?;
        let usable = usize::try_from(usable).map_err(|_| refuse())?;
        let pages = file.len / page_size;
        if header.starts_with(MAGIC) { Ok(Self { file, page_size, usable, pages }) } else { Err(refuse()) }
    }

    fn page(&mut self, number: u64) -> Result<Vec<u8>, Unreadable> {
        let before = number.checked_sub(1).ok_or_else(|| damaged("a page of it is missing"))?;
        self.file.read(before * self.page_size, self.page_size)
    }

    /// Goes through the rows of a table, in order.
    fn each_row(&mut self, root: u64, each: &mut Each<'_>) -> Result<(), Unreadable> {
        let refuse = || damaged("a page of it is not what it should be");
        // Pages ahead with how deep they lie, the next one last.
        let mut ahead = vec![(root, 0)];
        let mut seen = 0;
        while let Some((number, depth)) = ahead.pop() {
            seen += 1;
            if seen > self.pages || depth > MAX_DEPTH {
                return Err(damaged("its pages go round in a circle"));
            }
            let page = self.page(number)?;
            // The header of the database is part of page 1, and offsets count from its start.
            let start = if number == 1 { HEADER_LEN } else { 0 };
            let cells = usize::from(two(&page, start + 3).map(u16::from_be_bytes).ok_or_else(refuse)?);
            let kind = page[start];
            let pointers = start + if kind == INTERIOR { 12 } else { 8 };
            let cell = |i: usize| two(&page, pointers + 2 * i).map(|p| usize::from(u16::from_be_bytes(p)));
            match kind {
                LEAF => {
                    for i in 0..cells {
                        let payload = self.payload(&page, cell(i).ok_or_else(refuse)?)?;
                        each(&payload)?;
                    }
                }
                INTERIOR => {
                    let child = |at| Some((u64::from(u32::from_be_bytes(four(&page, at)?)), depth + 1));
                    ahead.push(child(start + 8).ok_or_else(refuse)?);
                    for i in (0..cells).rev() {
                        ahead.push(cell(i).and_then(child).ok_or_else(refuse)?);
                    }
                }
                _ => return Err(refuse()),
            }
        }
        Ok(())
    }

    /// The record of a cell, put together from its page and overflow pages.
    fn payload(&mut self, page: &[u8], cell: usize) -> Result<Vec<u8>, Unreadable> {
        let refuse = || damaged("a row of it is not what it should be");
        let (len, rest) = page.get(cell..).and_then(varint).ok_or_else(refuse)?;
        let (_row, rest) = varint(rest).ok_or_else(refuse)?;
        self.file.expect_header(len)?;
        let len = usize::try_from(len).map_err(|_| refuse())?;
        let local = self.local_len(len);
        let mut payload = rest.get(..local).ok_or_else(refuse)?.to_vec();
        let mut next = if local < len { four(rest, local) } else { None };
        while payload.len() < len {
            let number = next.map(u32::from_be_bytes).filter(|&n| n != 0).ok_or_else(refuse)?;
            let page = self.page(u64::from(number))?;
            next = four(&page, 0);
            let part = page.get(4..self.usable).ok_or_else(refuse)?;
            payload.extend_from_slice(&part[..part.len().min(len - payload.len())]);
        }
        Ok(payload)
    }

    /// How much of a record stands in its own page; the rules are SQLite's.
    fn local_len(&self, len: usize) -> usize {
        let most = self.usable - 35;
        if len <= most {
            return len;
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let fitting = least + (len - least) % (self.usable - 4);
        if fitting <= most { fitting } else { least }
    }
}

/// A value of a row.
enum Value<'a> {
    Integer(&'a [u8]),
    Text(&'a [u8]),
    Blob(&'a [u8]),
    Other,
}

impl<'a> Value<'a> {
    fn as_text(&self) -> Option<&'a [u8]> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    fn as_page(&self) -> Option<u64> {
        let Self::Integer(bytes) = self else { return None };
        (bytes.len() <= 4).then(|| bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }
}

/// One column of a record.
fn column(record: &[u8], wanted: usize) -> Result<Value<'_>, Unreadable> {
    let find = || {
        let (header_len, _) = varint(record)?;
        let (header, mut body) = record.split_at_checked(usize::try_from(header_len).ok()?)?;
        let (_, mut types) = varint(header)?;
        for _ in 0..wanted {
            let (kind, rest) = varint(types)?;
            (types, body) = (rest, body.get(value_len(kind)?..)?);
        }
        let (kind, _) = varint(types)?;
        let value = body.get(..value_len(kind)?)?;
        Some(match kind {
            1..=6 => Value::Integer(value),
            12.. if kind % 2 == 0 => Value::Blob(value),
            12.. => Value::Text(value),
            _ => Value::Other,
        })
    };
    find().ok_or_else(|| damaged("a row of it is not what it should be"))
}

/// How long a value of this type is.
fn value_len(kind: u64) -> Option<usize> {
    match kind {
        0 | 8 | 9 => Some(0),
        1..=4 => usize::try_from(kind).ok(),
        5 => Some(6),
        6 | 7 => Some(8),
        10 | 11 => None,
        _ => usize::try_from((kind - 12) / 2).ok(),
    }
}

/// A number of one to nine bytes, and what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (i, &byte) in bytes.iter().take(8).enumerate() {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some((number, &bytes[i + 1..]));
        }
    }
    // The ninth byte counts whole.
    let &last = bytes.get(8)?;
    Some((number << 8 | u64::from(last), &bytes[9..]))
}
