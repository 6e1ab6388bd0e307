use sealift_archive::Explain as _;

use super::*;

/// Where the parts of the image are that [`image`] makes, in bytes.
const L1: usize = 512;
const L2: usize = 1024;
const STORED: u64 = 1536;
const PACKED: u64 = 2048;

/// A QCOW2 image of version 3 with clusters of 512 bytes: four sectors, of which the first is stored and has a boot
/// signature, the second is nowhere, the third compressed and the fourth marked as zero.
fn image() -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(qcow2::MAGIC);
    bytes.extend(3_u32.to_be_bytes());
    bytes.extend([0; 12]);
    bytes.extend(9_u32.to_be_bytes());
    bytes.extend((4 * SECTOR_BYTES).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(1_u32.to_be_bytes());
    bytes.extend((L1 as u64).to_be_bytes());
    bytes.resize(100, 0);
    bytes.extend(104_u32.to_be_bytes());
    bytes.resize(L1, 0);
    bytes.extend((1 << 63 | L2 as u64).to_be_bytes());
    bytes.resize(L2, 0);
    for entry in [1 << 63 | STORED, 0, 1 << 62 | PACKED, STORED | 1] {
        bytes.extend(entry.to_be_bytes());
    }
    bytes.resize(usize::try_from(STORED).unwrap(), 0);
    bytes.extend(sector());
    bytes.extend(deflated(&[7; 512]));
    bytes
}

fn sector() -> [u8; 512] {
    let mut sector = [3; 512];
    sector[BOOT_SIGNATURE.0..].copy_from_slice(&BOOT_SIGNATURE.1);
    sector
}

fn deflated(plain: &[u8]) -> Vec<u8> {
    use std::io::Write as _;

    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    deflate.write_all(plain).unwrap();
    deflate.finish().unwrap()
}

/// Opens what is in a file as a system disk.
fn opened(bytes: &[u8]) -> Result<Box<dyn Disk>, CommandError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    fs::write(&path, bytes).unwrap();
    open_system(&path)
}

#[test]
fn every_kind_of_cluster_is_read() {
    let mut disk = opened(&image()).unwrap();
    assert_eq!(disk.capacity(), 2048);
    let mut bytes = vec![9; 2048];
    disk.read(0, &mut bytes).unwrap();
    assert!(bytes == [&sector()[..], &[0; 512], &[7; 512], &[0; 512]].concat());
    let mut part = [0; 300];
    disk.read(900, &mut part).unwrap();
    assert_eq!((part[..124] == [0; 124], part[124..] == [7; 176]), (true, true));
    let cases =
        [(0, Some(0..512)), (100, Some(100..512)), (512, Some(1024..1536)), (1536, None), (2048, None)];
    for (at, expected) in cases {
        assert_eq!(disk.next_data(at).unwrap(), expected, "{at}");
    }
}

#[test]
fn images_that_are_cut_off_damaged_or_hostile_are_refused() {
    type Change = fn(&mut Vec<u8>);
    fn put(bytes: &mut [u8], at: usize, number: u64) {
        bytes[at..at + 8].copy_from_slice(&number.to_be_bytes());
    }
    let cases: [(&str, Change, &str); 21] = [
        ("header cut off", |b| b.truncate(50), "header is cut off"),
        ("first table cut off", |b| b.truncate(515), "first table is cut off"),
        ("second table cut off", |b| b.truncate(1100), "table at byte 1024 is cut off"),
        ("content cut off", |b| b.truncate(2000), "no byte 1536"),
        ("compressed content cut off", |b| b.truncate(2048), "no byte 2048"),
        ("compressed content damaged", |b| b[2048..].fill(0xff), "cannot be unpacked"),
        ("version 4", |b| b[7] = 4, "version 4"),
        ("on another image", |b| b[15] = 1, "builds on another image"),
        ("encrypted", |b| b[35] = 1, "encrypted"),
        ("corrupt", |b| b[79] = 2, "corrupt"),
        ("data elsewhere", |b| b[79] = 4, "another file"),
        ("unknown feature", |b| b[72] = 0x80, "feature 63"),
        ("clusters too small", |b| b[23] = 8, "size of its clusters"),
        ("clusters too large", |b| b[23] = 255, "size of its clusters"),
        ("disk larger than its tables", |b| put(b, 24, 1 << 40), "too short or too long"),
        ("disk without end", |b| put(b, 24, u64::MAX), "too short or too long"),
        ("first table behind the end", |b| put(b, 40, u64::MAX - 7), "first table is cut off"),
        ("second table behind the end", |b| put(b, L1, 0x00ff_ffff_ffff_fe00), "is cut off or out of place"),
        ("content behind the end", |b| put(b, L2, 0x00ff_ffff_ffff_fe00), "where part of its disk"),
        ("no whole sectors", |b| put(b, 24, 1000), "whole sectors"),
        ("no boot sector", |b| b[2046] = 0, "no partition table"),
    ];
    for (name, change, expected) in cases {
        let mut bytes = image();
        change(&mut bytes);
        let said = match opened(&bytes) {
            Ok(mut disk) => {
                disk.read(0, &mut [0; 2048]).map_or_else(|error| error.to_string(), |()| "ok".to_owned())
            }
            Err(error) => error.to_string(),
        };
        assert!(said.contains(expected), "{name}: {said}");
    }
}

#[test]
fn tables_that_lead_to_one_place_again_and_again_are_refused() {
    // Eight tables, all of them the first table itself, whose entries thereby lead to it, too.
    let mut tables = image();
    tables[24..32].copy_from_slice(&(4096 * SECTOR_BYTES).to_be_bytes());
    tables[39] = 64;
    for entry in 0..64 {
        tables[L1 + 8 * entry..][..8].copy_from_slice(&(L1 as u64).to_be_bytes());
    }
    // One table, all of whose entries lead to one cluster.
    let mut clusters = image();
    clusters[24..32].copy_from_slice(&(64 * SECTOR_BYTES).to_be_bytes());
    for entry in 0..64 {
        clusters[L2 + 8 * entry..][..8].copy_from_slice(&STORED.to_be_bytes());
    }
    // The same with what is compressed.
    let mut packed = clusters.clone();
    packed.truncate(2048);
    packed.extend([0; 4]);
    (0..64)
        .for_each(|entry| packed[L2 + 8 * entry..][..8].copy_from_slice(&(1 << 62 | 16_u64).to_be_bytes()));
    packed[20..24].copy_from_slice(&9_u32.to_be_bytes());
    for (name, bytes, expected) in [("tables", &tables, "overlap"), ("clusters", &clusters, "in one place")] {
        let error = opened(bytes).unwrap_err();
        assert!(error.to_string().contains(expected), "{name}: {error}");
        assert_eq!(error.code().to_string(), "SL0704", "{name}");
    }
    assert!(opened(&packed).is_err());
}

#[test]
fn damage_anywhere_does_no_harm() {
    let whole = image();
    for at in 0..whole.len() {
        for bit in [0, 3, 7] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let Ok(mut disk) = opened(&bytes) else { continue };
            let length = usize::try_from(disk.capacity()).unwrap().min(4096);
            let _ = disk.read(0, &mut vec![0; length]);
        }
    }
}

#[test]
fn what_is_no_disk_is_told_what_it_is() {
    let at = |at: usize, magic: &[u8]| {
        let mut bytes = vec![0; 0x9000];
        bytes[at..at + magic.len()].copy_from_slice(magic);
        bytes
    };
    let cases = [
        (Vec::new(), "is empty"),
        (at(0, b"KDMV"), "is a VMDK"),
        (at(0, b"\x1f\x8b\x08"), "compressed with gzip"),
        (at(0x8001, b"CD001"), "an ISO image"),
        (vec![0; 1024], "no partition table"),
        (vec![0; 1023], "1023 bytes"),
    ];
    for (bytes, expected) in cases {
        let error = opened(&bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    assert!(open(dir.path()).unwrap_err().to_string().contains("is a folder"));
    let too_large = check_capacity(MAX_CAPACITY_BYTES + SECTOR_BYTES, String::new).unwrap_err();
    assert_eq!(too_large.code().to_string(), "SL0703");
}

#[test]
fn holes_of_a_raw_image_are_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    fs::write(&path, sector()).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
    let mut disk = open_system(&path).unwrap();
    let first = disk.next_data(0).unwrap().unwrap();
    assert!(first.start == 0 && first.end <= 1 << 20, "{first:?}");
    assert_eq!(disk.next_data(1 << 30).unwrap(), None);
    assert_eq!(disk.next_data(1 << 40).unwrap(), None);
}
