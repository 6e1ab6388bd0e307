//! Content that lies on this machine or was made here, by digest: what need not be fetched.

use std::collections::HashMap;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::PathBuf;

use fs_err as fs;
use tempfile::TempDir;

use sealift_archive::{Blob, BlobSink, Digest, Progress, copy_blob};

use crate::Error;

/// Pieces of content and where they are.
#[derive(Debug, Default)]
pub(crate) struct Local {
    pieces: HashMap<Digest, Piece>,
    /// Folders that pieces lie in and that go when nobody needs them any more.
    scratch: Vec<TempDir>,
}

#[derive(Debug)]
struct Piece {
    blob: Blob,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<u8>),
    /// In a file, from an offset on.
    File {
        path: PathBuf,
        offset: u64,
    },
}

impl Local {
    /// Adds content that is at hand.
    pub(crate) fn add_bytes(&mut self, bytes: Vec<u8>) -> Blob {
        let blob = Blob::of(&bytes);
        self.pieces.insert(blob.digest, Piece { blob, place: Place::Memory(bytes) });
        blob
    }

    /// Adds content that a file holds from `offset` on. It is believed until it is copied.
    pub(crate) fn add_file(&mut self, blob: Blob, path: PathBuf, offset: u64) {
        self.pieces.insert(blob.digest, Piece { blob, place: Place::File { path, offset } });
    }

    /// Keeps a temporary folder for as long as this lives.
    pub(crate) fn keep(&mut self, dir: TempDir) {
        self.scratch.push(dir);
    }

    /// Takes over what somebody else has found.
    pub(crate) fn extend(&mut self, other: Self) {
        self.pieces.extend(other.pieces);
        self.scratch.extend(other.scratch);
    }

    /// The digests of all content that is here.
    pub(crate) fn digests(&self) -> impl Iterator<Item = Digest> + '_ {
        self.pieces.keys().copied()
    }

    /// Copies content into a sink, which checks it; `false` if it is not here.
    ///
    /// # Errors
    /// [`Error::Changed`] if a file is not what it was, what the sink says, or I/O.
    pub(crate) fn copy(
        &self,
        digest: Digest,
        sink: &dyn BlobSink,
        progress: &dyn Progress,
    ) -> Result<bool, Error> {
        use sealift_archive::Error::{WrongContent, WrongSize};

        let Some(piece) = self.pieces.get(&digest) else { return Ok(false) };
        match (copy_blob(piece.blob, &mut *piece.open()?, sink, progress), &piece.place) {
            (Ok(()), _) => Ok(true),
            (Err(WrongContent { .. } | WrongSize { .. }), Place::File { path, .. }) => {
                Err(Error::Changed { path: path.clone() })
            }
            (Err(error), _) => Err(error.into()),
        }
    }
}

impl Piece {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match &self.place {
            Place::Memory(bytes) => Box::new(bytes.as_slice()),
            Place::File { path, offset } => {
                let mut file = fs::File::open(path)?;
                file.seek(SeekFrom::Start(*offset))?;
                // One byte more than announced, so that a file that has grown is noticed where it is the whole of it.
                let take = if *offset == 0 { self.blob.size.saturating_add(1) } else { self.blob.size };
                Box::new(file.take(take))
            }
        })
    }
}
