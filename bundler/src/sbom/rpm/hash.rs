//! `Packages`: a hash database of Berkeley DB, which rpm wrote until 2020 (its `dbinc/db_page.h`). Every page is looked
//! at; which bucket a package is in does not matter. Numbers are in the byte order of the machine that wrote them.

use std::io::{Read, Seek};

use super::{Each, File, Unreadable, damaged, four, two};

const HASH_MAGIC: u32 = 0x0006_1561;
/// Places in page 0.
const MAGIC_AT: usize = 12;
const PAGE_SIZE_AT: usize = 20;
const ENCRYPTION_AT: usize = 24;
const LAST_PAGE_AT: usize = 32;
/// Length of what is read of page 0.
const META_LEN: u64 = 72;

/// Places in the other pages, and the length of their header.
const NEXT_AT: usize = 16;
const ENTRIES_AT: usize = 20;
/// In an overflow page the length of its content.
const FREE_AT: usize = 22;
const TYPE_AT: usize = 25;
const PAGE_HEADER_LEN: usize = 26;

/// Types of pages that hold packages, and of those that hold what is too long for them.
const HASH_UNSORTED: u8 = 2;
const HASH: u8 = 13;
const OVERFLOW: u8 = 7;
/// Kinds of entries: in the page, and in overflow pages.
const KEY_DATA: u8 = 1;
const OFF_PAGE: u8 = 3;

/// Passes the header of each package on.
pub(super) fn each_header<R: Read + Seek>(file: &mut File<R>, each: &mut Each<'_>) -> Result<(), Unreadable> {
    let mut database = Database::open(file)?;
    for number in 1..=database.last_page {
        let page = database.page(number)?;
        if !matches!(page[TYPE_AT], HASH | HASH_UNSORTED) {
            continue;
        }
        let refuse = || damaged("a page of it is not what it should be");
        let entries = database.short(&page, ENTRIES_AT).ok_or_else(refuse)?;
        // Keys and data stand in turns.
        for entry in (0..entries).step_by(2) {
            let key = database.entry(&page, entry).ok_or_else(refuse)?;
            let data = database.entry(&page, entry + 1).ok_or_else(refuse)?;
            // Under key 0 stands a counter, not a package.
            if key.get(1..).is_some_and(|key| key.iter().any(|&b| b != 0)) {
                let header = database.data(data).transpose().unwrap_or_else(|| Err(refuse()))?;
                each(&header)?;
            }
        }
    }
    Ok(())
}

struct Database<'a, R> {
    file: &'a mut File<R>,
    is_big_endian: bool,
    page_size: u64,
    last_page: u32,
    /// How many overflow pages may still be read: each belongs to one package.
    overflow_pages: u32,
}

impl<'a, R: Read + Seek> Database<'a, R> {
    fn open(file: &'a mut File<R>) -> Result<Self, Unreadable> {
        let refuse = || damaged("it is no hash database of Berkeley DB");
        let meta = file.read(0, META_LEN).map_err(|_| refuse())?;
        let magic = four(&meta, MAGIC_AT).ok_or_else(refuse)?;
        let is_big_endian = u32::from_be_bytes(magic) == HASH_MAGIC;
        if !is_big_endian && u32::from_le_bytes(magic) != HASH_MAGIC {
            return Err(refuse());
        }
        if meta[ENCRYPTION_AT] != 0 {
            return Err(damaged("it is encrypted"));
        }
        let mut database = Self { file, is_big_endian, page_size: 0, last_page: 0, overflow_pages: 0 };
        database.page_size = database
            .long(&meta, PAGE_SIZE_AT)
            .filter(|size| size.is_power_of_two() && (512..=1 << 16).contains(size))
            .map(u64::from)
            .ok_or_else(refuse)?;
        database.last_page = database.long(&meta, LAST_PAGE_AT).ok_or_else(refuse)?;
        database.overflow_pages = database.last_page;
        Ok(database)
    }

    fn page(&mut self, number: u32) -> Result<Vec<u8>, Unreadable> {
        self.file.read(u64::from(number) * self.page_size, self.page_size)
    }

    /// An entry of a page, its kind first. Entries grow from the end of the page towards its beginning.
    fn entry<'p>(&self, page: &'p [u8], number: u16) -> Option<&'p [u8]> {
        let offset =
            |number: u16| self.short(page, PAGE_HEADER_LEN + 2 * usize::from(number)).map(usize::from);
        let end = if number == 0 { page.len() } else { offset(number - 1)? };
        page.get(offset(number)?..end).filter(|entry| !entry.is_empty())
    }

    /// The data of an entry; `None` if it is of a kind that rpm does not make.
    fn data(&mut self, entry: &[u8]) -> Result<Option<Vec<u8>>, Unreadable> {
        match entry[0] {
            KEY_DATA => {
                self.file.expect_header(entry.len() as u64)?;
                Ok(Some(entry[1..].to_vec()))
            }
            // Three unused bytes, then page and length.
            OFF_PAGE => match (self.long(entry, 4), self.long(entry, 8)) {
                (Some(first), Some(len)) => self.overflow(first, len).map(Some),
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }

    fn overflow(&mut self, first: u32, len: u32) -> Result<Vec<u8>, Unreadable> {
        let refuse = || damaged("a chain of its pages is broken");
        self.file.expect_header(u64::from(len))?;
        let len = usize::try_from(len).map_err(|_| refuse())?;
        let (mut data, mut next) = (Vec::new(), first);
        while data.len() < len {
            self.overflow_pages = self.overflow_pages.checked_sub(1).ok_or_else(refuse)?;
            let page = self.page(next)?;
            let part = usize::from(self.short(&page, FREE_AT).ok_or_else(refuse)?);
            let part = page.get(PAGE_HEADER_LEN..PAGE_HEADER_LEN + part).filter(|part| !part.is_empty());
            if page[TYPE_AT] != OVERFLOW {
                return Err(refuse());
            }
            data.extend_from_slice(part.ok_or_else(refuse)?);
            next = self.long(&page, NEXT_AT).ok_or_else(refuse)?;
        }
        data.truncate(len);
        Ok(data)
    }

    fn long(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = four(bytes, at)?;
        Some(if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn short(&self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = two(bytes, at)?;
        Some(if self.is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }
}
