//! Writing one file of an archive's pieces: under another name until it has been read back.

use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::format::volume::{HEADER_LEN, Header};
use crate::making::Draft;
use crate::medium::{ReadBack, read_back};
use crate::{Bundle, Digest, Error, Progress, durable};

/// Pieces that may wait between reading and writing; most are 4 MiB.
const PIECES_AHEAD: usize = 2;
/// [`HEADER_LEN`] in memory.
#[expect(clippy::cast_possible_truncation, reason = "a constant far below every limit")]
const HEADER_BYTES: usize = HEADER_LEN as usize;
/// How much is written before the medium has to have it. Memory takes gigabytes at once, and what a stick is then busy with
/// for minutes can neither be watched nor stopped.
const SYNC_BYTES: u64 = 32 << 20;
/// What is added to the names of files in the making: not what a packer adds, whose unfinished archive may lie there.
const SPLITTING: &str = ".splitting";
const JOINING: &str = ".joining";

/// A file that is there and right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// How it was read back.
    pub read_back: ReadBack,
    /// Whether it was there before.
    pub was_there: bool,
}

/// What becomes one file.
#[derive(Debug)]
pub(super) struct Content<'a> {
    pub(super) target: &'a Path,
    /// What stands before the pieces, if it is a volume; the hash is filled in.
    pub(super) header: Option<Header>,
    pub(super) pieces: Range<usize>,
    /// Whether a damaged one is there, in whose place it comes.
    pub(super) replaces: bool,
}

/// Writes a file, reads it back, and gives it its name.
pub(super) fn write(
    bundle: &Bundle,
    content: Content<'_>,
    progress: &dyn Progress,
) -> Result<Written, Error> {
    let Content { target, header, pieces, replaces } = content;
    let mut draft = Draft::beside(target, if header.is_some() { SPLITTING } else { JOINING })?;
    draft.reset(0)?;
    let (to_writer, from_reader) = sync_channel(PIECES_AHEAD);
    let wanted = thread::scope(|scope| {
        let reading = scope.spawn(move || read_pieces(bundle, pieces, &to_writer));
        let written = fill(&mut draft, header, &from_reader, progress);
        // Without its receiver the reader stops at the next piece.
        drop(from_reader);
        let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // The reader's error is the cause: the writer only noticed that nothing came any more.
        read.and(written)
    })?;
    let held = read_back(draft.path(), wanted.header.len(), progress)?;
    if (&held.start, held.digest, held.length) != (&wanted.header, wanted.digest, wanted.length) {
        return Err(Error::WrittenWrong { file: target.display().to_string() });
    }
    let bytes = wanted.header.len() as u64 + wanted.length;
    if replaces {
        draft.replace(target)?;
    } else {
        draft.put_if_free(target)?;
    }
    durable::sync_dir(durable::parent_of(target))?;
    Ok(Written { path: target.to_owned(), bytes, read_back: held.how, was_there: false })
}

/// Reads a volume that is there already; `None` if it is not what it should be.
pub(super) fn find(path: &Path, wanted: &Header, progress: &dyn Progress) -> Result<Option<Written>, Error> {
    let held = read_back(path, HEADER_BYTES, progress)?;
    let wanted = Header { digest: held.digest, ..*wanted };
    let is_right = held.start == wanted.encode() && held.length == wanted.length;
    let bytes = wanted.file_length();
    let written = || Written { path: path.to_owned(), bytes, read_back: held.how, was_there: true };
    Ok(is_right.then(written))
}

fn read_pieces(bundle: &Bundle, pieces: Range<usize>, to_writer: &SyncSender<Vec<u8>>) -> Result<(), Error> {
    for piece in bundle.read_pieces(pieces) {
        if to_writer.send(piece?).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// What the file must turn out to hold.
struct Wanted {
    header: Vec<u8>,
    digest: Digest,
    length: u64,
}

/// Writes the pieces as they come.
fn fill(
    draft: &mut Draft,
    header: Option<Header>,
    pieces: &Receiver<Vec<u8>>,
    progress: &dyn Progress,
) -> Result<Wanted, Error> {
    if header.is_some() {
        // Its hash is known at the end.
        draft.file().write_all(&[0; HEADER_BYTES])?;
    }
    let mut hash = Sha256::new();
    let (mut length, mut unsynced) = (0, 0);
    for piece in pieces {
        progress.go_on()?;
        hash.update(&piece);
        draft.file().write_all(&piece)?;
        length += piece.len() as u64;
        unsynced += piece.len() as u64;
        if unsynced >= SYNC_BYTES {
            draft.file().sync_data()?;
            unsynced = 0;
        }
        progress.advance(piece.len() as u64);
    }
    let digest = Digest::from_raw(hash.finalize().into());
    let header = header.map(|header| Header { digest, ..header }.encode()).unwrap_or_default();
    draft.write_all_at(&header, 0)?;
    draft.sync_all()?;
    Ok(Wanted { header, digest, length })
}
