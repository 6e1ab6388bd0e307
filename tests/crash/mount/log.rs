//! Lets `fuser` see syncfs(2), which it does not know: requests pass through here on their way to it.
//!
//! `FUSE_SYNCFS` (`fuse(4)`, `include/uapi/linux/fuse.h`, since protocol 7.34) is passed on as `FUSE_FSYNCDIR` of the
//! top directory with a file handle that no directory has.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use rustix::io::{Errno, read, write};
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};

use super::server::MAX_WRITE_BYTES;

/// The file handle that means everything.
pub(super) const EVERYTHING: u64 = u64::MAX;

/// `struct fuse_in_header`: length, opcode, request, node, and who asks.
const HEADER_BYTES: usize = 40;
const OPCODE: std::ops::Range<usize> = 4..8;
const NODE: std::ops::Range<usize> = 16..24;
const FUSE_SYNCFS: u32 = 50;
const FUSE_FSYNCDIR: u32 = 30;
/// `struct fuse_fsync_in`: file handle, flags, padding.
const FSYNC_BYTES: usize = 16;
/// Both, as the header says it.
const FSYNC_REQUEST_BYTES: u32 = 56;
/// Room for the longest request or answer, and what stands before it.
const BUFFER_BYTES: usize = MAX_WRITE_BYTES as usize + (64 << 10);

/// Puts itself between the kernel and whoever serves; returns the end to serve from.
pub(super) fn with_syncfs(kernel: OwnedFd) -> OwnedFd {
    // Packets, since a request is one read, and an answer one write.
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .expect("a socket pair");
    let there = Arc::new((kernel, ours));
    let back = Arc::clone(&there);
    thread::spawn(move || {
        let (kernel, ours) = &*there;
        let mut buffer = vec![0; BUFFER_BYTES];
        while let Some(length) = next(kernel, &mut buffer) {
            let length = translate(&mut buffer, length);
            if write(ours, &buffer[..length]).is_err() {
                break;
            }
        }
        // Whoever serves reads the end of the file, and ends.
        let _ = shutdown(ours, Shutdown::Both);
    });
    thread::spawn(move || {
        let (kernel, ours) = &*back;
        let mut buffer = vec![0; BUFFER_BYTES];
        while let Some(length) = next(ours, &mut buffer) {
            // A request that was interrupted wants no answer any more, and the kernel says so.
            let _ = write(kernel, &buffer[..length]);
        }
    });
    theirs
}

/// The next packet; none at the end.
fn next(from: &OwnedFd, buffer: &mut [u8]) -> Option<usize> {
    loop {
        match read(from, &mut *buffer) {
            Ok(0) => return None,
            Ok(length) => return Some(length),
            // A request that was interrupted before it was read.
            Err(Errno::NOENT | Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return None,
        }
    }
}

fn translate(request: &mut [u8], length: usize) -> usize {
    if length < HEADER_BYTES || request[OPCODE] != FUSE_SYNCFS.to_ne_bytes() {
        return length;
    }
    let length = HEADER_BYTES + FSYNC_BYTES;
    request[..4].copy_from_slice(&FSYNC_REQUEST_BYTES.to_ne_bytes());
    request[OPCODE].copy_from_slice(&FUSE_FSYNCDIR.to_ne_bytes());
    request[NODE].copy_from_slice(&crate::disk::ROOT.to_ne_bytes());
    request[HEADER_BYTES..length].fill(0);
    request[HEADER_BYTES..HEADER_BYTES + 8].copy_from_slice(&EVERYTHING.to_ne_bytes());
    length
}
