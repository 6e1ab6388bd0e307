//! The parts of a VMDK that are not content: header, descriptor, markers.
//!
//! Source: `VMware`, "Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse Extents". All numbers are little-endian,
//! all places count sectors.

use sealift_archive::Digest;

/// Unit of everything, in bytes.
pub(super) const SECTOR_BYTES: usize = 512;
/// What is compressed at a time, in sectors; 64 KiB.
pub(super) const GRAIN_SECTORS: u64 = 128;
/// The same, in bytes.
pub(super) const GRAIN_BYTES: usize = 64 << 10;
/// Grains that one table leads to.
pub(super) const TABLE_ENTRIES: usize = 512;
/// A table, in sectors.
const TABLE_SECTORS: u64 = 4;
/// What stands before a grain, in bytes: the sector of the disk (8), and the length behind it (4).
pub(super) const GRAIN_MARKER_BYTES: usize = 12;
/// What lies before the first grain, in sectors: header, descriptor, and nothing up to the length of a grain.
pub(super) const OVERHEAD_SECTORS: u64 = GRAIN_SECTORS;

const MAGIC: &[u8; 4] = b"KDMV";
/// vSphere takes no earlier one.
const VERSION: u32 = 3;
/// Line ends are told (bit 0), grains are compressed (16), and markers stand before everything (17).
const FLAGS: u32 = 1 | 1 << 16 | 1 << 17;
/// By which a file that was copied as text is known.
const LINE_ENDS: &[u8; 4] = b"\n \r\n";
const DEFLATE: u16 = 1;
/// Where the descriptor is, and the room that it has.
const DESCRIPTOR: (u64, u64) = (1, 20);
/// Stands in the header instead of the place of the directory, which nobody knows yet: the footer has it.
const DIRECTORY_AT_END: u64 = u64::MAX;

/// What the sectors behind a marker are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    EndOfStream,
    Table,
    Directory { sectors: u64 },
    Footer,
}

impl Marker {
    pub(super) fn sector(self) -> [u8; SECTOR_BYTES] {
        let (sectors, kind): (u64, u32) = match self {
            Self::EndOfStream => (0, 0),
            Self::Table => (TABLE_SECTORS, 1),
            Self::Directory { sectors } => (sectors, 2),
            Self::Footer => (1, 3),
        };
        let mut sector = [0; SECTOR_BYTES];
        sector[..8].copy_from_slice(&sectors.to_le_bytes());
        // Four bytes of zeros tell it from the marker of a grain, which has the grain's length there.
        sector[12..16].copy_from_slice(&kind.to_le_bytes());
        sector
    }
}

/// The header; as footer, which is its copy, it has the place of the directory.
pub(super) fn header(capacity_sectors: u64, directory: Option<u64>) -> [u8; SECTOR_BYTES] {
    let (descriptor_at, descriptor_sectors) = DESCRIPTOR;
    let entries = u32::try_from(TABLE_ENTRIES).unwrap_or(u32::MAX);
    let fields: [&[u8]; 14] = [
        MAGIC,
        &VERSION.to_le_bytes(),
        &FLAGS.to_le_bytes(),
        &capacity_sectors.to_le_bytes(),
        &GRAIN_SECTORS.to_le_bytes(),
        &descriptor_at.to_le_bytes(),
        &descriptor_sectors.to_le_bytes(),
        &entries.to_le_bytes(),
        // A second directory, for repair, is not for streams.
        &0_u64.to_le_bytes(),
        &directory.unwrap_or(DIRECTORY_AT_END).to_le_bytes(),
        &OVERHEAD_SECTORS.to_le_bytes(),
        // It was closed in order.
        &[0],
        LINE_ENDS,
        &DEFLATE.to_le_bytes(),
    ];
    let fields = fields.concat();
    let mut sector = [0; SECTOR_BYTES];
    sector[..fields.len()].copy_from_slice(&fields);
    sector
}

/// What describes the disk to people and programs. `name` is the file's.
pub(super) fn descriptor(name: &str, capacity_sectors: u64, hardware: u8) -> Vec<u8> {
    const HEADS: u64 = 255;
    const SECTORS: u64 = 63;
    const MAX_CYLINDERS: u64 = 65_535;

    let cylinders = (capacity_sectors / (HEADS * SECTORS)).clamp(1, MAX_CYLINDERS);
    // Snapshots know by it whether their parent is the same. It has to come before the content, so it cannot be its digest.
    let content_id = &Digest::of(format!("{name} {capacity_sectors}").as_bytes()).hex()[..8];
    format!(
        "\
# Disk DescriptorFile
version=1
CID={content_id}
parentCID=ffffffff
createType=\"streamOptimized\"

# Extent description
RW {capacity_sectors} SPARSE \"{name}\"

# The Disk Data Base
#DDB

ddb.adapterType = \"lsilogic\"
ddb.geometry.cylinders = \"{cylinders}\"
ddb.geometry.heads = \"{HEADS}\"
ddb.geometry.sectors = \"{SECTORS}\"
ddb.toolsInstallType = \"4\"
ddb.toolsVersion = \"2147483647\"
ddb.virtualHWVersion = \"{hardware}\"
"
    )
    .into_bytes()
}

/// Everything before the first grain.
pub(super) fn overhead(name: &str, capacity_sectors: u64, hardware: u8) -> Vec<u8> {
    let mut bytes = header(capacity_sectors, None).to_vec();
    bytes.extend(descriptor(name, capacity_sectors, hardware));
    bytes.resize(GRAIN_BYTES, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_before_the_grains_fits_its_room() {
        let room = usize::try_from(DESCRIPTOR.1).unwrap() * SECTOR_BYTES;
        assert!(descriptor(&"n".repeat(100), u64::MAX, u8::MAX).len() < room);
        assert_eq!(overhead("a.vmdk", 8, 17).len() as u64, OVERHEAD_SECTORS * SECTOR_BYTES as u64);
    }

    #[test]
    fn the_header_has_its_fields_where_readers_look() {
        let header = header(0x0102_0304, Some(0x55));
        let number = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap());
        assert_eq!(&header[..12], b"KDMV\x03\0\0\0\x01\0\x03\0");
        let fields = [12, 20, 28, 36, 48, 56, 64].map(number);
        assert_eq!(fields, [0x0102_0304, 128, 1, 20, 0, 0x55, 128]);
        assert_eq!(&header[44..48], &512_u32.to_le_bytes());
        assert_eq!(&header[72..79], b"\0\n \r\n\x01\0");
        assert!(header[79..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn markers_tell_what_follows() {
        let cases = [
            (Marker::EndOfStream, 0, 0),
            (Marker::Table, 4, 1),
            (Marker::Directory { sectors: 7 }, 7, 2),
            (Marker::Footer, 1, 3),
        ];
        for (marker, sectors, kind) in cases {
            let sector = marker.sector();
            assert_eq!(sector[..8], u64::to_le_bytes(sectors), "{marker:?}");
            assert_eq!(sector[8..16], [0, 0, 0, 0, kind, 0, 0, 0], "{marker:?}");
        }
    }
}
