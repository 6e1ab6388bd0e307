//! Reading the index of parity files: of each page the first that is right, in whichever file and at whichever end of it.

use std::path::{Path, PathBuf};

use super::pieces::PlainFile;
use crate::Error;
use crate::format::parity::page::{self, Page};
use crate::format::parity::{Header, Index};
use crate::medium::Medium;

/// A file that is called a parity file, by what it says about itself.
#[derive(Debug)]
pub(super) struct ParityFile {
    pub(super) path: PathBuf,
    /// `None` if its first page is damaged at both ends.
    pub(super) header: Option<Header>,
    length: u64,
}

impl ParityFile {
    pub(super) fn look_at(path: &Path) -> Result<Self, Error> {
        let file = PlainFile::at(path);
        let length = file.length()?;
        Ok(Self { path: path.to_owned(), header: header_of(&file, length), length })
    }
}

fn header_of(file: &dyn Medium, length: u64) -> Option<Header> {
    page::places(0, length)
        .into_iter()
        .find_map(|place| page_at(file, place).and_then(|page| Header::of_page(&page)))
}

fn page_at(file: &dyn Medium, place: u64) -> Option<Page> {
    let mut page = [0; page::PAGE_LEN];
    file.read_exact_at(&mut page, place).ok().map(|()| page)
}

/// Puts together the index that `header` is the beginning of, from these files; files of other plans do no harm.
///
/// # Errors
/// [`Error::BadParity`].
pub(super) fn gather(header: &Header, files: &[&ParityFile]) -> Result<Index, Error> {
    let media: Vec<(PlainFile, u64)> = files.iter().map(|f| (PlainFile::at(&f.path), f.length)).collect();
    let media: Vec<(&dyn Medium, u64)> = media.iter().map(|(file, length)| (file as _, *length)).collect();
    read(header, &media).map_err(|why| Error::BadParity {
        file: files.first().map(|file| file.path.display().to_string()).unwrap_or_default(),
        why,
    })
}

/// The index of a parity file that is in memory: what a fuzzer calls.
///
/// # Errors
/// What is wrong with it.
pub fn index_of(file: &dyn Medium) -> Result<Index, String> {
    let length = file.length().map_err(|error| error.to_string())?;
    let header = header_of(file, length).ok_or("it does not begin as a parity file does")?;
    read(&header, &[(file, length)])
}

fn read(header: &Header, files: &[(&dyn Medium, u64)]) -> Result<Index, String> {
    let plan = header.plan();
    let mut payloads = Vec::new();
    for number in 0..header.pages() {
        let found = files.iter().find_map(|&(file, length)| {
            page::places(number, length).into_iter().find_map(|place| {
                let page = page_at(file, place)?;
                page::payload(&plan, number, &page).map(<[u8]>::to_vec)
            })
        });
        payloads.extend(found.ok_or_else(|| format!("page {number} of its index is damaged at both ends"))?);
    }
    Index::parse(&payloads).map_err(str::to_owned)
}

/// Where the pages of the index stand in parity file `number`, and whether they are right.
pub(super) fn pages_of(file: &dyn Medium, index: &Index, number: u32, length: u64) -> Vec<(u64, bool)> {
    let pages = (0..).zip(index.to_pages(number));
    let places = pages.flat_map(|(page, content)| page::places(page, length).map(|place| (place, content)));
    let mut pages: Vec<(u64, bool)> =
        places.map(|(place, content)| (place, page_at(file, place) == Some(content))).collect();
    pages.sort_unstable();
    pages
}
