//! Lies in the data: every hash is right, and what was hashed is something else than it should be.

use sealift_archive::format::{MAX_PLAIN_BYTES, frame};
use tar::EntryType;

use super::{Case, file, frames, plain};
use crate::forge::{DataFrame, HONEST, Lies, first_blob, squeezed};
use crate::tar_member::{Member, stream};
use crate::zstd_frame::{bomb, with_dictionary, with_window};

/// Puts other bytes in place of the squeezed frame, and says of them what was said of it.
fn replace(frames: &mut [DataFrame], make: impl FnOnce(u64) -> Vec<u8>) {
    frames[1].bytes = make(frames[1].plain_length);
}

/// Changes the header of the first blob's member.
fn change(plain: &mut [Vec<u8>], change: impl FnOnce(Member) -> Member) {
    let header = tar::Header::from_byte_slice(&plain[0][..512]).clone();
    let changed = change(Member { header, content: Vec::new(), padding: 0 });
    plain[0][..512].copy_from_slice(changed.header.as_bytes());
}

pub(crate) const CASES: &[Case] = &[
    file("frame-damaged", 112, |file| {
        let at = file.len() - 1100;
        file[at] ^= 1;
    }),
    frames("frame-is-a-bomb", 150, |frames| replace(frames, |said| bomb(said, 64 << 20))),
    frames("frame-announces-a-bomb", 150, |frames| replace(frames, |_| bomb(1 << 62, 1 << 20))),
    frames("frame-is-shorter-than-announced", 150, |frames| replace(frames, |said| bomb(said, said - 512))),
    frames("frame-is-two-frames", 150, |frames| {
        let plain = zstd::decode_all(&frames[1].bytes[..]).unwrap();
        replace(frames, |_| plain.chunks(4096).flat_map(squeezed).collect());
    }),
    frames("frame-has-a-wrong-checksum", 150, |frames| *frames[1].bytes.last_mut().unwrap() ^= 1),
    frames("stored-frame-has-a-wrong-checksum", 150, |frames| *frames[0].bytes.last_mut().unwrap() ^= 1),
    frames("frame-wants-a-dictionary", 150, |frames| replace(frames, with_dictionary)),
    frames("frame-has-a-window-of-3-tib", 151, |frames| replace(frames, |said| with_window(0xFF, said))),
    frames("frame-is-filler", 152, |frames| replace(frames, |_| frame::filler(800))),
    frames("frame-is-a-flood-of-filler", 152, |frames| replace(frames, |_| frame::filler(8).repeat(100))),
    Case {
        name: "frame-of-16-mib-of-zeros",
        code: 155,
        lies: Lies {
            blobs: |blobs| blobs[2] = vec![0; usize::try_from(MAX_PLAIN_BYTES).unwrap() - 6 * 1024],
            frames: |frames| {
                let zeros = vec![0; usize::try_from(frames[1].plain_length).unwrap()];
                replace(frames, |_| squeezed(&zeros));
            },
            ..HONEST
        },
    },
    // What whoever unpacks with `tar` would get.
    plain("blob-leads-up", 155, |plain| change(plain, |member| member.named(b"blobs/../../etc/passwd"))),
    plain("blob-is-a-link", 155, |plain| {
        change(plain, |member| member.with(|header| header.set_entry_type(EntryType::Symlink)));
    }),
    plain("blob-is-a-program", 155, |plain| {
        change(plain, |member| member.with(|header| header.set_mode(0o4755)));
    }),
    plain("blob-has-another-name", 155, |plain| {
        plain[0] = stream(&[Member::new(&format!("blobs/sha256/{}", "0".repeat(64)), first_blob())]);
    }),
    plain("blob-is-something-else", 155, |plain| plain[0][512] ^= 1),
    plain("padding-of-a-blob-hides-bytes", 155, |plain| *plain[0].last_mut().unwrap() = 1),
    plain("frames-in-another-order", 155, |plain| {
        let half = plain[1].len() / 1024 * 512;
        plain[1].rotate_left(half);
    }),
];
