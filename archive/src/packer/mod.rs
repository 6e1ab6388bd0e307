//! Making an archive: blobs are written in place as they arrive, in any order, and the front is filled in at the end.
//!
//! Beside the target lie, until it is finished, `NAME.partial` (the archive to be), `NAME.partial.journal` (which blobs
//! are in it) and `NAME.partial.spool` (what waits to be squeezed). After an interruption the same plan goes on there;
//! whatever the journal claims is hashed again before it is believed.

mod journal;
mod slot;
mod squeeze;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fs_err as fs;
use rayon::prelude::*;

use crate::format::contents::{Contents, Encoding, Entry, Frame};
use crate::format::head::Head;
use crate::format::layout::{Layout, cut};
use crate::format::packing::{Packing, Page};
use crate::format::{HEAD_BYTES, PAGE_PLAIN_BYTES, frame, member};
use crate::trust::{RootChain, Signature, Signatures};
use crate::{Blob, BlobSink, BlobWriter, Digest, Error, Progress, Release, durable, making};
use journal::{Found, Journal};
use slot::Slot;

/// How hard zstd works on the front pages; they are small.
const FRONT_LEVEL: i32 = 9;

/// An archive in the making.
#[derive(Debug)]
pub struct Packer {
    paths: Paths,
    file: fs::File,
    spool: fs::File,
    layout: Layout,
    /// What the contents will say about each stored frame, once its blob is complete.
    frames: Mutex<Vec<Option<[u8; 32]>>>,
    done: Mutex<HashSet<Digest>>,
    /// How far blobs had come that an earlier try left unfinished, in bytes.
    parts: Mutex<HashMap<Digest, u64>>,
    journal: Mutex<Journal>,
}

#[derive(Debug)]
struct Paths {
    target: PathBuf,
    partial: PathBuf,
    journal: PathBuf,
    spool: PathBuf,
}

/// What goes to the front of the archive besides the contents.
#[derive(Debug)]
pub struct Front<'a> {
    /// The releases, by rising sequence.
    pub releases: &'a [Release],
    /// The chain of trust roots.
    pub roots: RootChain,
    /// Signatures over roots and statements.
    pub signatures: Signatures,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Packed {
    /// The archive.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// Blobs in it.
    pub blobs: usize,
    /// Bytes of blobs that are kept as they are.
    pub stored_bytes: u64,
    /// Bytes of blobs that were squeezed, before and after.
    pub squeezed_bytes: (u64, u64),
}

impl Packer {
    /// Begins the archive `target`, or goes on with what an earlier try of the same layout left; what is left of another
    /// one is thrown away.
    ///
    /// # Errors
    /// [`Error::NoSpace`] before anything is written, [`Error::Busy`] if somebody else is at it, or I/O.
    pub fn open(target: &Path, layout: Layout, progress: &dyn Progress) -> Result<Self, Error> {
        let paths = Paths::beside(target);
        expect_space(&paths, &layout)?;
        let file = making::open_locked(&paths.partial)?;
        let (journal, mut found) = Journal::open(&paths.journal, layout.digest())?;
        let spool =
            fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&paths.spool)?;
        if found.is_empty() || file.metadata()?.len() == 0 {
            // Nothing of another plan may stay: its bytes would show where this one has padding.
            found = Found::default();
            file.set_len(0)?;
            spool.set_len(0)?;
        }
        spool.set_len(layout.spool_bytes)?;
        let packer = Self {
            frames: Mutex::new(vec![None; layout.stored_frames as usize]),
            done: Mutex::default(),
            parts: Mutex::new(found.parts),
            journal: Mutex::new(journal),
            paths,
            file,
            spool,
            layout,
        };
        packer.take_over(&found.done, progress)?;
        Ok(packer)
    }

    /// The blobs that still have to come.
    #[must_use]
    pub fn missing(&self) -> Vec<Blob> {
        let done = lock(&self.done);
        self.layout.blobs().filter(|blob| !done.contains(&blob.digest)).collect()
    }

    /// Believes what the journal says about complete blobs only after hashing them again.
    fn take_over(&self, done: &HashSet<Digest>, progress: &dyn Progress) -> Result<(), Error> {
        let blobs: Vec<Blob> = self.layout.blobs().filter(|b| done.contains(&b.digest)).collect();
        blobs.par_iter().try_for_each(|&blob| {
            progress.go_on()?;
            match Slot::replay_whole(self, blob) {
                // A power cut may have lost what the journal remembers: the blob is fetched again.
                Err(Error::WrongContent { .. } | Error::WrongSize { .. }) => Ok(()),
                Err(error) => Err(error),
                Ok(()) => {
                    progress.advance(blob.size);
                    Ok(())
                }
            }
        })
    }

    /// Squeezes what waits, fills in the front, and gives the archive its name. `level` is zstd's; `sign` signs the
    /// packing.
    ///
    /// # Errors
    /// [`Error::MissingBlob`] if something has not come, [`Error::TooLarge`], [`Error::Interrupted`], or I/O.
    pub fn finish(
        self,
        front: Front<'_>,
        level: i32,
        sign: impl FnOnce(&[u8]) -> Result<Vec<Signature>, Error>,
        progress: &dyn Progress,
    ) -> Result<Packed, Error> {
        if let Some(blob) = self.missing().first() {
            return Err(self.missing_blob(blob.digest));
        }
        let mut frames = self.stored_frames()?;
        let squeezed = squeeze::write(&self, level, progress, &mut frames)?;
        let tail = frame::stored(&[0; member::END_LEN]);
        let tail_at = self.layout.data_offset + self.layout.stored_bytes + squeezed;
        making::write_all_at(&self.file, &tail, tail_at)?;
        let length = tail_at + tail.len() as u64;
        self.file.set_len(length)?;

        let contents = Contents { frames, entries: self.entries() };
        let pages = self.write_pages(front.releases, &contents)?;
        let statements = front.releases.iter().map(Release::digest).collect();
        let mut packing = Packing::new(statements, length, self.layout.data_offset, pages);
        packing.needs.clone_from(&self.layout.needs);
        let packing = packing.to_bytes();
        let mut head = Head { roots: front.roots, signatures: front.signatures, ..Head::default() };
        for signature in sign(&packing)? {
            head.signatures.push(signature);
        }
        for release in front.releases {
            head.statements.insert(release.statement.sequence, release.statement_bytes.clone());
        }
        head.packing = packing;
        making::write_all_at(&self.file, &head.encode()?, 0)?;
        progress.go_on()?;
        self.put_in_place()?;
        Ok(Packed {
            bytes: length,
            blobs: contents.entries.len(),
            stored_bytes: self.layout.stored.iter().map(|p| p.blob.size).sum(),
            squeezed_bytes: (self.layout.squeezed.iter().map(|p| p.blob.size).sum(), squeezed),
            path: self.paths.target,
        })
    }

    fn stored_frames(&self) -> Result<Vec<Frame>, Error> {
        let hashes = lock(&self.frames);
        let mut frames = Vec::with_capacity(hashes.len());
        for (blob, place) in self.layout.stored.iter().enumerate() {
            let mut offset = place.offset;
            for plain in place.frames() {
                let length = frame::stored_len(plain);
                let missing = || self.missing_blob(place.blob.digest);
                let hash = hashes[frames.len()].ok_or_else(missing)?;
                frames.push(Frame {
                    offset,
                    length: narrow(length),
                    plain_length: narrow(plain),
                    hash,
                    last_blob: narrow(blob as u64),
                });
                offset += length;
            }
        }
        Ok(frames)
    }

    fn missing_blob(&self, digest: Digest) -> Error {
        Error::MissingBlob { source_name: self.paths.partial.display().to_string(), digest }
    }

    fn entries(&self) -> Vec<Entry> {
        let header = narrow(member::HEADER_LEN);
        let stored = self.layout.stored.iter().map(|p| Entry {
            blob: p.blob,
            frame: p.first_frame,
            offset: header,
            encoding: Encoding::Chained,
        });
        let squeezed = self.layout.squeezed.iter().map(|p| {
            let (frame, offset) = p.start();
            let frame = self.layout.stored_frames + narrow(frame);
            Entry { blob: p.blob, frame, offset: narrow(offset), encoding: Encoding::Identity }
        });
        stored.chain(squeezed).collect()
    }

    /// Writes blob lists, refs and contents between head and data.
    fn write_pages(&self, releases: &[Release], contents: &Contents) -> Result<Vec<Page>, Error> {
        let mut members = Vec::new();
        for release in releases {
            let sequence = release.statement.sequence;
            members.push((format!("releases/{sequence}/blobs"), release.blob_list.to_text().into_bytes()));
            members.push((format!("releases/{sequence}/refs.json"), release.refs_bytes.clone()));
        }
        members.push(("contents".to_owned(), contents.encode()?));
        let plain = member::write_all(&members);
        let mut pages = Vec::new();
        let mut offset = HEAD_BYTES;
        let mut start = 0;
        for plain_length in cut(plain.len() as u64, PAGE_PLAIN_BYTES) {
            let end = start + usize::try_from(plain_length).unwrap_or(usize::MAX);
            let page = squeeze::frame(&plain[start..end], FRONT_LEVEL)
                .map_err(|e| making::unwritten(&self.paths.partial, &e))?;
            making::write_all_at(&self.file, &page, offset)?;
            let length = page.len() as u64;
            pages.push(Page { offset, length, plain_length, digest: Digest::of(&page) });
            offset += length;
            start = end;
        }
        let filler = frame::filler(self.layout.data_offset - offset);
        making::write_all_at(&self.file, &filler, offset)?;
        Ok(pages)
    }

    fn put_in_place(&self) -> io::Result<()> {
        self.file.sync_all()?;
        // Before the rename, while the lock still keeps others out: after it they may begin anew under these names.
        remove_if_there(&self.paths.journal)?;
        remove_if_there(&self.paths.spool)?;
        fs::rename(&self.paths.partial, &self.paths.target)?;
        durable::sync_dir(durable::parent_of(&self.paths.target))
    }
}

impl BlobSink for Packer {
    fn open(&self, blob: Blob) -> Result<Box<dyn BlobWriter + '_>, Error> {
        Ok(Box::new(Slot::open(self, blob)?))
    }
}

impl Paths {
    fn beside(target: &Path) -> Self {
        Self {
            partial: making::beside(target, ".partial"),
            journal: making::beside(target, ".partial.journal"),
            spool: making::beside(target, ".partial.spool"),
            target: target.to_owned(),
        }
    }
}

/// Refuses to begin what cannot end for want of room. What an earlier try occupies counts as free.
fn expect_space(paths: &Paths, layout: &Layout) -> Result<(), Error> {
    let reclaimed = making::occupied_bytes(&paths.partial) + making::occupied_bytes(&paths.spool);
    making::expect_room(durable::parent_of(&paths.target), layout.max_disk_bytes(), reclaimed)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The format counts these in 32 bits; the layout has made sure that they fit.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the mutexes guard is changed in one step each, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
