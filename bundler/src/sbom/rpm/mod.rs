//! rpm's database in its three forms. Each keeps one header a package, in rpm's own binary form; the forms differ in
//! how headers are found. The set of packages is that of `rpm -qa`, `gpg-pubkey` (imported keys) among them.

mod hash;
mod header;
mod ndb;
mod sqlite;

use std::io::{Read, Seek, SeekFrom};

use super::database::{Packages, Unreadable};

/// Largest header of a package, in bytes. One with a hundred thousand files has 15 MB.
const MAX_HEADER_BYTES: u64 = 64 << 20;

/// Reads `rpmdb.sqlite`.
///
/// # Errors
/// If it is something else, or damaged.
pub(super) fn read_sqlite(file: &mut (impl Read + Seek)) -> Result<Packages, Unreadable> {
    read(file, |file, each| sqlite::each_header(file, each))
}

/// Reads `Packages.db`.
///
/// # Errors
/// If it is something else, or damaged.
pub(super) fn read_ndb(file: &mut (impl Read + Seek)) -> Result<Packages, Unreadable> {
    read(file, |file, each| ndb::each_header(file, each))
}

/// Reads `Packages`.
///
/// # Errors
/// If it is something else, or damaged.
pub(super) fn read_hash(file: &mut (impl Read + Seek)) -> Result<Packages, Unreadable> {
    read(file, |file, each| hash::each_header(file, each))
}

/// Takes one header in.
type Each<'a> = dyn FnMut(&[u8]) -> Result<(), Unreadable> + 'a;

fn read<R: Read + Seek>(
    file: &mut R,
    each_header: impl FnOnce(&mut File<&mut R>, &mut Each<'_>) -> Result<(), Unreadable>,
) -> Result<Packages, Unreadable> {
    let mut packages = Packages::default();
    each_header(&mut File::new(file)?, &mut |header| packages.extend(header::parse(header)?))?;
    Ok(packages)
}

/// A database that may lie about every place in it.
struct File<R> {
    inner: R,
    len: u64,
    /// How many bytes of headers may still be read. No byte of a database belongs to two headers, so no honest one holds
    /// more than it is long; chains of pages that go round would never end.
    room: u64,
}

impl<R: Read + Seek> File<R> {
    fn new(mut inner: R) -> Result<Self, Unreadable> {
        let len = inner.seek(SeekFrom::End(0))?;
        Ok(Self { inner, len, room: len })
    }

    /// The bytes at this place.
    fn read(&mut self, at: u64, len: u64) -> Result<Vec<u8>, Unreadable> {
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(damaged("something in it lies behind its end"));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        self.inner.seek(SeekFrom::Start(at))?;
        self.inner.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Says before a header is read that it is this long.
    fn expect_header(&mut self, len: u64) -> Result<(), Unreadable> {
        self.room = self.room.checked_sub(len).ok_or_else(|| damaged("it holds more than it is long"))?;
        if len > MAX_HEADER_BYTES {
            return Err(damaged(&format!(
                "it has a header of {len} bytes, and no more than {MAX_HEADER_BYTES} are read"
            )));
        }
        Ok(())
    }
}

fn damaged(why: &str) -> Unreadable {
    Unreadable::new(why)
}

/// Four bytes of a page or record, if they are there.
fn four(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Two bytes of a page, if they are there.
fn two(bytes: &[u8], at: usize) -> Option<[u8; 2]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests;
