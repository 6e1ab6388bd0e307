//! Tables of fixed-width numbers.

use sealift_archive::Digest;
use sealift_archive::format::contents::{Contents, encoded_len};
use sealift_archive::format::parity::page::{self, PAGE_BYTES, PAYLOAD_BYTES};
use sealift_archive::format::parity::{Grid, Header, Index};
use sealift_archive::format::{member, volume};

/// Reads bytes as contents, of as much data as their frames claim.
///
/// Contents that are taken are written again as the same bytes, belong to no other length of data, and leave no byte of
/// their frames to nobody.
pub fn contents(bytes: &[u8]) -> bool {
    let data = claimed_data(bytes);
    let Ok(contents) = Contents::parse(bytes, data) else { return false };
    assert!(contents.encode().is_ok_and(|again| again == bytes), "contents have two forms");
    for other in [data.wrapping_sub(1), data + 1, 0, u64::MAX].into_iter().filter(|&other| other != data) {
        let error = Contents::parse(bytes, other).expect_err("the frames are not so long");
        assert!(error.to_string().contains("all frames together"), "{error}");
    }
    let frames: u64 = contents.frames.iter().map(|frame| u64::from(frame.plain_length)).sum();
    let members: u64 = contents.entries.iter().map(|entry| member::len(entry.blob.size)).sum();
    assert_eq!(frames, members, "frames and members are not equally long");
    true
}

/// What the lengths of all frames are together.
fn claimed_data(table: &[u8]) -> u64 {
    let (header, frame) = (encoded_len(0, 0), encoded_len(1, 0) - encoded_len(0, 0));
    let [header, frame] = [header, frame].map(|len| usize::try_from(len).unwrap_or(usize::MAX));
    let count = number(table.get(8..).unwrap_or_default());
    let records = table.get(header..).unwrap_or_default().chunks_exact(frame);
    records.zip(0..count).map(|(record, _)| u64::from(number(record))).sum()
}

fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().copied().map_or(0, u32::from_le_bytes)
}

/// Reads bytes as the header of a volume, with the check that they have and with the one that they should have.
///
/// A header that is taken is written again as the same bytes, and says nothing that cannot be.
pub fn volume_header(bytes: &[u8]) -> bool {
    let checked = bytes.len().saturating_sub(Digest::of(b"").as_raw().len());
    let said = &bytes[..checked];
    let with_right_check = [said, Digest::of(said).as_raw()].concat();
    [bytes, &with_right_check].into_iter().filter(|bytes| is_volume(bytes)).count() > 0
}

fn is_volume(bytes: &[u8]) -> bool {
    let Some(header) = volume::Header::parse(bytes) else { return false };
    assert!(header.encode() == bytes, "a volume's header has two forms");
    assert!(volume::begins_like_one(bytes), "a volume is not known by its first bytes");
    let range = header.range();
    assert!(
        range.start < range.end && range.end <= header.total,
        "the stretch is not in the archive: {range:?}"
    );
    assert!((1..=header.count).contains(&header.number) && header.count <= volume::MAX_VOLUMES);
    assert_eq!(header.file_length() - volume::HEADER_LEN, range.end - range.start);
    true
}

/// Reads bytes as what the pages of a parity file's index hold, filled up with zeros.
///
/// An index that is taken is written again as the same pages, and every piece and recovery piece has its place in a file.
pub fn parity_header(bytes: &[u8]) -> bool {
    let mut payloads = bytes.to_owned();
    payloads.resize(bytes.len().max(1).next_multiple_of(PAYLOAD_BYTES), 0);
    let Some(header) = Header::parse(&payloads) else { return false };
    let first = page::make(&header.plan(), 0, &payloads);
    assert_eq!(Header::of_page(&first), Some(header), "a first page is not known as one");
    let Ok(index) = Index::parse(&payloads) else { return false };
    assert_eq!(index.header(header.number), header);
    let pages = index.to_pages(header.number);
    assert_eq!(
        (pages.len() as u64, pages.len() as u64 * PAGE_BYTES),
        (header.pages(), index.grid.index_bytes())
    );
    let again = pages.iter().flat_map(|page| &page[..PAYLOAD_BYTES]);
    assert!(again.eq(&payloads), "an index has two forms");
    check_pieces(&index.grid);
    check_recovery_pieces(&index.grid);
    true
}

/// The pieces of the files follow each other without a gap, and each is in one group.
fn check_pieces(grid: &Grid) {
    let (mut piece, mut members) = (0, 0);
    for (file, &length) in grid.lengths().iter().enumerate() {
        let mut end = 0;
        for number in grid.pieces_of_file(file) {
            let place = grid.place(number);
            assert_eq!(
                (number, place.file, place.range.start),
                (piece, file, end),
                "a gap before piece {number}"
            );
            assert!((1..=grid.piece_bytes()).contains(&(place.range.end - end)), "piece {number}: {place:?}");
            (piece, end) = (piece + 1, place.range.end);
        }
        assert_eq!(end, length, "the pieces of file {file}");
    }
    for group in 0..grid.groups() {
        for (index, number) in (0..grid.group_pieces()).zip(grid.pieces_of(group)) {
            assert_eq!(grid.group_of(number), (group, index));
            members += 1;
        }
    }
    assert_eq!((piece, members), (grid.pieces(), grid.pieces()), "pieces of files and of groups");
}

/// The recovery pieces fill the parity files between their indexes.
fn check_recovery_pieces(grid: &Grid) {
    let mut ends: Vec<u64> = grid.rows().iter().map(|_| grid.index_bytes()).collect();
    for (row, group) in (0..grid.recovery()).flat_map(|row| (0..grid.groups()).map(move |group| (row, group)))
    {
        let (file, start) = grid.recovery_place(row, group);
        assert_eq!(start, ends[file], "recovery piece {row} of group {group}");
        ends[file] += grid.piece_bytes();
    }
    let lengths = grid.parity_lengths().map(|length| length - grid.index_bytes());
    assert!(lengths.eq(ends), "recovery pieces and parity files are not equally long");
}
