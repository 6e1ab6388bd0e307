//! Lies in the contents: which frame is where, and which blob lies where in them.

use sealift_archive::format::MAX_FRONT_MEMBER_BYTES;
use sealift_archive::format::contents::{Frame, encoded_len};
use sealift_archive::{Blob, Digest};

use super::{Case, contents, table};
use crate::forge::{DataFrame, HONEST, Lies};

/// Where the counts of the table stand.
const FRAME_COUNT: std::ops::Range<usize> = 8..12;
const BLOB_COUNT: std::ops::Range<usize> = 12..16;
/// Where the table of two frames has the encoding of the first blob, and the length of its extent.
const FIRST_BLOB: usize = 16 + 2 * 44;
const ENCODING: usize = FIRST_BLOB + 40;
const EXTENT: usize = FIRST_BLOB + 52;

/// So many frames of one byte each that the contents are as large as they may be.
fn add_frames(frames: &mut Vec<DataFrame>) {
    let last_blob = frames[1].last_blob;
    let room = MAX_FRONT_MEMBER_BYTES - encoded_len(2, 3);
    let frame = || DataFrame { bytes: vec![0], plain_length: 512, last_blob, state: None };
    frames.extend(std::iter::repeat_with(frame).take(usize::try_from(room).unwrap() / 44));
}

pub(crate) const CASES: &[Case] = &[
    table("table-of-another-kind", 107, |table| table[0] = b'X'),
    table("table-is-empty", 107, Vec::clear),
    table("table-is-cut", 149, |table| table.truncate(table.len() - 1)),
    table("table-goes-on", 149, |table| table.push(0)),
    table("table-counts-2-to-32-frames", 149, |table| table[FRAME_COUNT].fill(0xFF)),
    table("table-counts-2-to-32-blobs", 149, |table| table[BLOB_COUNT].fill(0xFF)),
    table("table-counts-no-frames", 149, |table| table[FRAME_COUNT].fill(0)),
    table("encoding-of-a-later-version", 109, |table| table[ENCODING] = 2),
    table("chained-and-is-not", 176, |table| table[ENCODING] = 1),
    table("extent-shorter-than-its-blob", 148, |table| table[EXTENT] -= 1),
    table("extent-of-2-to-63", 148, |table| table[EXTENT + 7] = 0x80),
    contents("blobs-overlap", 145, |c| c.entries[2].offset = c.entries[1].offset),
    contents("blob-in-its-own-header", 145, |c| c.entries[0].offset = 0),
    contents("blobs-leave-a-gap", 146, |c| c.entries[1].offset += 512),
    contents("blob-shorter-than-its-place", 146, |c| c.entries[0].blob.size = 1),
    contents("last-blob-left-out", 146, |c| {
        c.entries.truncate(2);
        c.frames[1].last_blob = 1;
    }),
    contents("blob-begins-in-another-frame", 146, |c| c.entries[0].frame = 1),
    contents("blob-begins-behind-the-last-frame", 147, |c| c.entries[2].frame = 2),
    contents("blob-begins-in-frame-2-to-32", 147, |c| c.entries[2].frame = u32::MAX),
    contents("blob-begins-behind-its-frame", 147, |c| c.entries[2].offset = u32::MAX),
    contents("blob-ends-behind-the-data", 147, |c| c.entries[2].blob.size += 512),
    contents("blob-of-2-to-40-bytes", 147, |c| c.entries[2].blob.size = 1 << 40),
    contents("blob-of-2-to-63-bytes", 108, |c| c.entries[2].blob.size = 1 << 63),
    contents("blob-of-2-to-64-bytes", 108, |c| c.entries[2].blob.size = u64::MAX),
    contents("blob-one-byte-longer-than-on-its-list", 148, |c| c.entries[2].blob.size += 1),
    contents("frame-of-no-bytes", 148, |c| c.frames[0].length = 0),
    contents("frame-longer-than-its-content", 148, |c| c.frames[1].length = 1 << 30),
    contents("frame-holds-nothing", 148, |c| c.frames[0].plain_length = 0),
    contents("frame-holds-half-a-block", 148, |c| c.frames[0].plain_length -= 256),
    contents("frame-holds-4-gib", 148, |c| c.frames[0].plain_length = u32::MAX - 511),
    contents("frames-shorter-than-the-data", 148, |c| c.frames[1].length -= 1),
    contents("frame-names-a-blob-that-is-not-there", 147, |c| c.frames[0].last_blob = 3),
    contents("frame-names-another-last-blob", 107, |c| c.frames[0].last_blob = 1),
    contents("one-frame-more", 148, |c| {
        let last = *c.frames.last().unwrap();
        c.frames.push(Frame { offset: last.offset + u64::from(last.length), ..last });
    }),
    Case { name: "frames-without-number", code: 146, lies: Lies { frames: add_frames, ..HONEST } },
    contents("blob-on-no-list", 154, |c| c.entries[1].blob.digest = Digest::of(b"another")),
    contents("blob-twice", 154, |c| {
        let Blob { digest, .. } = c.entries[0].blob;
        c.entries[1].blob.digest = digest;
    }),
];
