//! A reader for tests, which knows the format and nothing of the writer. It goes both ways through a file: by its tables, as a
//! disk is read, and by its markers, as a stream is imported.

use std::io::Read as _;

use flate2::read::ZlibDecoder;

const SECTOR: usize = 512;
const GRAIN: usize = 64 << 10;

/// What the machine sees, if both ways lead to the same and nothing is left over.
pub(in crate::ova) fn read(file: &[u8]) -> Vec<u8> {
    assert_eq!(file.len() % SECTOR, 0, "whole sectors");
    assert_eq!(&file[..4], b"KDMV");
    assert_eq!(long(file, 56), u64::MAX, "the directory is at the end");
    let by_tables = by_tables(file);
    assert!(by_tables == by_markers(file), "the tables say what the stream says");
    by_tables
}

/// Where grains and tables begin, as (sector of the file, grain or `None`), in the order of the stream.
fn by_markers(file: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; size(long(file, 12)) * SECTOR];
    let mut at = size(long(file, 64)) * SECTOR;
    let mut last = None;
    let mut kinds = Vec::new();
    loop {
        let (value, length) = (long(file, at), int(file, at + 8));
        if length > 0 {
            assert!(last < Some(value) && value % 128 == 0, "grains come in their order: {last:?} {value}");
            last = Some(value);
            put(&mut disk, value, &grain(file, at));
            at += (12 + length as usize).next_multiple_of(SECTOR);
            continue;
        }
        let kind = int(file, at + 12);
        assert!(file[at + 16..at + SECTOR].iter().all(|&byte| byte == 0));
        kinds.push(kind);
        at += SECTOR + size(value) * SECTOR;
        match kind {
            0 => break,
            1 => assert_eq!(value, 4),
            2 | 3 => {}
            other => panic!("marker {other}"),
        }
    }
    assert_eq!(at, file.len(), "nothing comes after the end of the stream");
    let tables = kinds.len() - 3;
    assert!(kinds[..tables].iter().all(|&kind| kind == 1), "{kinds:?}");
    assert_eq!(kinds[tables..], [2, 3, 0], "{kinds:?}");
    disk
}

fn by_tables(file: &[u8]) -> Vec<u8> {
    let footer = &file[file.len() - 2 * SECTOR..file.len() - SECTOR];
    let (head, tail) = (&file[..SECTOR], footer);
    assert_eq!(
        (&head[..56], &head[64..]),
        (&tail[..56], &tail[64..]),
        "the footer is the header, but for the directory"
    );
    let sectors = long(footer, 12);
    let mut disk = vec![0; size(sectors) * SECTOR];
    let directory = size(long(footer, 56)) * SECTOR;
    for table in 0..size(sectors.div_ceil(128 * 512)) {
        let place = int(file, directory + 4 * table) as usize * SECTOR;
        if place == 0 {
            continue;
        }
        let entries: Vec<usize> = (0..512).map(|entry| int(file, place + 4 * entry) as usize).collect();
        assert!(entries.iter().any(|&entry| entry != 0), "an empty table is not written");
        for (entry, at) in entries.into_iter().enumerate().filter(|(_, at)| *at != 0) {
            let number = (table * 512 + entry) * 128;
            assert_eq!(size(long(file, at * SECTOR)), number, "a grain says where it belongs");
            put(&mut disk, number as u64, &grain(file, at * SECTOR));
        }
    }
    disk
}

fn grain(file: &[u8], at: usize) -> Vec<u8> {
    let length = int(file, at + 8) as usize;
    let mut plain = Vec::new();
    ZlibDecoder::new(&file[at + 12..at + 12 + length]).read_to_end(&mut plain).expect("a zlib stream");
    assert_eq!(plain.len(), GRAIN);
    assert!(plain.iter().any(|&byte| byte != 0), "a grain of zeros is not written");
    plain
}

/// Puts a grain into a disk; behind the disk's end it is zero.
fn put(disk: &mut [u8], sector: u64, grain: &[u8]) {
    let at = size(sector) * SECTOR;
    let inside = GRAIN.min(disk.len() - at);
    disk[at..at + inside].copy_from_slice(&grain[..inside]);
    assert!(grain[inside..].iter().all(|&byte| byte == 0));
}

fn int(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn size(number: u64) -> usize {
    usize::try_from(number).expect("a test is small")
}
