//! The place of one blob in an archive in the making.
//!
//! A stored blob is framed as it arrives, and written where the layout says; a squeezed one is written to the spool. Each
//! byte is hashed once: what the contents say about a frame is the blob's own hash on its way past the frame's end. Going on
//! after an interruption means to read back what is there, through the same hash.

use std::os::unix::fs::FileExt as _;

use super::{Packer, lock};
use crate::format::frame::StoredEncoder;
use crate::format::layout::{SpoolPlace, StoredPlace};
use crate::format::member;
use crate::{Blob, BlobWriter, Check, Error, Hashed, making};

/// How much is gathered before it is written: few system calls, and little memory for each of many slots.
const WRITE_BYTES: usize = 256 << 10;
/// How much is read back at a time.
const READ_BYTES: usize = 128 << 10;

/// A blob on its way into the archive.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    packer: &'a Packer,
    check: Check,
    place: Place,
    /// Whether what passes stands in the file already.
    replaying: bool,
    settled: bool,
}

#[derive(Debug)]
enum Place {
    Stored(StoredPlace, Box<Framer>),
    Spool(SpoolPlace),
}

/// Cuts the tar member of a stored blob into frames.
#[derive(Debug)]
struct Framer {
    /// Plain lengths of the frames to come, last first.
    lengths: Vec<u64>,
    encoder: Option<StoredEncoder>,
    /// Hashes of the frames that are full.
    hashes: Vec<[u8; 32]>,
    buffer: Vec<u8>,
    /// Where the buffer belongs, from the start of the file.
    at: u64,
}

impl<'a> Slot<'a> {
    /// Begins a blob, or goes on with what an earlier try left of it.
    pub(super) fn open(packer: &'a Packer, blob: Blob) -> Result<Self, Error> {
        let there = lock(&packer.parts).remove(&blob.digest).unwrap_or(0).min(blob.size);
        let mut slot = Self::begin(packer, blob)?;
        match slot.replay(there) {
            // What an earlier try is said to have left is not there.
            Err(Error::WrongSize { .. }) => Self::begin(packer, blob),
            replayed => replayed.map(|()| slot),
        }
    }

    /// Takes over a blob that is complete already, if it really is.
    pub(super) fn replay_whole(packer: &'a Packer, blob: Blob) -> Result<(), Error> {
        let mut slot = Self::begin(packer, blob)?;
        slot.replay(blob.size)?;
        slot.replaying = true;
        slot.settle()
    }

    fn begin(packer: &'a Packer, blob: Blob) -> Result<Self, Error> {
        let layout = &packer.layout;
        let place = if let Some(place) = layout.stored_place(&blob.digest) {
            Place::Stored(place, Box::new(Framer::new(place, layout.data_offset)))
        } else if let Some(place) = layout.spool_place(&blob.digest) {
            Place::Spool(place)
        } else {
            let source_name = "the plan of this archive".to_owned();
            return Err(Error::MissingBlob { source_name, digest: blob.digest });
        };
        let planned = match &place {
            Place::Stored(place, _) => place.blob,
            Place::Spool(place) => place.blob,
        };
        if planned != blob {
            let why = format!("it is planned with {} bytes and comes with {}", planned.size, blob.size);
            return Err(Error::inconsistent(blob.digest.to_string(), why));
        }
        let mut slot = Self { packer, check: Check::new(blob), place, replaying: false, settled: false };
        slot.put_header()?;
        Ok(slot)
    }

    fn put_header(&mut self) -> Result<(), Error> {
        let blob = self.check.wanted();
        let header = member::header(&blob.digest.blob_path(), blob.size);
        match &mut self.place {
            Place::Stored(_, framer) => framer.push(&header, &self.check, self.packer, self.replaying),
            Place::Spool(place) => {
                let at = place.offset - member::HEADER_LEN;
                let written = making::write_all_at(&self.packer.spool, &header, at);
                written.map_err(Error::from)
            }
        }
    }

    /// Takes `bytes` of content back in from where an earlier try wrote them.
    fn replay(&mut self, bytes: u64) -> Result<(), Error> {
        if bytes == 0 {
            return Ok(());
        }
        self.replaying = true;
        let mut buffer = vec![0; READ_BYTES];
        while self.check.seen() < bytes {
            let offset = self.check.seen();
            let (file, at, run) = match &self.place {
                Place::Stored(place, _) => {
                    let (at, run) = place.run_at(offset);
                    (&self.packer.file, self.packer.layout.data_offset + at, run)
                }
                Place::Spool(place) => (&self.packer.spool, place.offset + offset, bytes - offset),
            };
            let len = usize::try_from(run.min(bytes - offset)).unwrap_or(usize::MAX).min(READ_BYTES);
            if file.file().read_exact_at(&mut buffer[..len], at).is_err() {
                // The file is shorter than the journal thinks, or cannot be read: it has to come again.
                self.settled = true;
                let wanted = self.check.wanted();
                let (digest, announced, found) = (wanted.digest, wanted.size, offset);
                return Err(Error::WrongSize { digest, announced, found });
            }
            self.take(&buffer[..len])?;
        }
        if let Place::Stored(_, framer) = &mut self.place {
            framer.flush(self.packer, true)?;
        }
        self.replaying = false;
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            // The hash is looked at where a frame ends.
            let (piece, after) = rest.split_at(self.room().min(rest.len()));
            let offset = self.check.seen();
            self.check.update(piece).inspect_err(|_| {
                // Whoever sends too much may have sent anything before: nothing of it is kept for a later try.
                self.settled = true;
            })?;
            self.put(piece, offset)?;
            rest = after;
        }
        Ok(())
    }

    /// How many bytes pass before the hash is looked at again.
    fn room(&self) -> usize {
        match &self.place {
            Place::Stored(_, framer) => framer.room(),
            Place::Spool(_) => usize::MAX,
        }
    }

    /// Writes bytes of content that have passed the check.
    fn put(&mut self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        let put = match &mut self.place {
            Place::Stored(_, framer) => framer.push(bytes, &self.check, self.packer, self.replaying),
            Place::Spool(_) if self.replaying => Ok(()),
            Place::Spool(place) => {
                let written = making::write_all_at(&self.packer.spool, bytes, place.offset + offset);
                written.map_err(Error::from)
            }
        };
        // What has passed the check and is not there must not be noted for a later try.
        self.settled |= put.is_err();
        put
    }

    /// The verdict, and if it is good the last bytes and the note that the blob is here.
    fn settle(&mut self) -> Result<(), Error> {
        self.settled = true;
        let blob = self.check.wanted();
        self.check.clone().finish()?;
        let zeros = &[0; 512][..usize::try_from(member::padding(blob.size)).unwrap_or(0)];
        match &mut self.place {
            Place::Stored(place, framer) => {
                framer.push(zeros, &self.check, self.packer, self.replaying)?;
                framer.flush(self.packer, self.replaying)?;
                let mut hashes = lock(&self.packer.frames);
                for (index, hash) in (place.first_frame as usize..).zip(framer.hashes.drain(..)) {
                    hashes[index] = Some(hash);
                }
            }
            Place::Spool(place) => {
                let written = making::write_all_at(&self.packer.spool, zeros, place.offset + blob.size);
                written.map_err(Error::from)?;
            }
        }
        if !self.replaying {
            lock(&self.packer.journal).done(&blob.digest)?;
        }
        lock(&self.packer.done).insert(blob.digest);
        Ok(())
    }

    /// Leaves a note for the next try. Only what is really on disk counts, or a power cut would make it a lie that
    /// costs the next run a whole download to find out.
    fn note_part(&mut self) -> Result<(), Error> {
        let file = match &mut self.place {
            Place::Stored(_, framer) => {
                framer.flush(self.packer, false)?;
                &self.packer.file
            }
            Place::Spool(_) => &self.packer.spool,
        };
        file.sync_data()?;
        let (digest, seen) = (self.check.wanted().digest, self.check.seen());
        lock(&self.packer.journal).part(&digest, seen)?;
        lock(&self.packer.parts).insert(digest, seen);
        Ok(())
    }
}

impl BlobWriter for Slot<'_> {
    fn position(&self) -> u64 {
        self.check.seen()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.take(bytes)
    }

    fn write_hashed(&mut self, content: &Hashed) -> Result<(), Error> {
        // From an archive with other frames the hash would not be known where one of these ends.
        if content.len() > self.room() as u64 {
            return content.pieces().try_for_each(|piece| self.take(piece));
        }
        let mut offset = self.check.seen();
        self.check.follow(content).inspect_err(|_| self.settled = true)?;
        content.pieces().try_for_each(|piece| {
            self.put(piece, offset)?;
            offset += piece.len() as u64;
            Ok(())
        })
    }

    fn restart(&mut self) -> Result<(), Error> {
        self.check = Check::new(self.check.wanted());
        self.settled = false;
        if let Place::Stored(place, framer) = &mut self.place {
            **framer = Framer::new(*place, self.packer.layout.data_offset);
        }
        self.put_header()
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        self.settle()
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if !self.settled && !self.replaying && self.check.seen() > 0 {
            // The note is a help for the next try; without it the blob is fetched from its start.
            let _ = self.note_part();
        }
    }
}

impl Framer {
    fn new(place: StoredPlace, data_offset: u64) -> Self {
        let mut lengths: Vec<u64> = place.frames().collect();
        lengths.reverse();
        Self {
            lengths,
            encoder: None,
            hashes: Vec::new(),
            buffer: Vec::new(),
            at: data_offset + place.offset,
        }
    }

    /// How many bytes the current frame can take, or the next one if it is full. Behind the last one there is no end to
    /// it: that there is nothing to come is the business of the size check.
    fn room(&self) -> usize {
        let missing = self.encoder.as_ref().map(StoredEncoder::missing).or(self.lengths.last().copied());
        missing.and_then(|missing| usize::try_from(missing).ok()).unwrap_or(usize::MAX)
    }

    /// Takes bytes of the member, at most as many as there is room for. `check` has seen what of them is content.
    fn push(&mut self, bytes: &[u8], check: &Check, packer: &Packer, replaying: bool) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        let unplanned =
            || Error::inconsistent("the plan of this archive", "a blob has other frames than planned");
        let mut encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => StoredEncoder::begin(self.lengths.pop().ok_or_else(unplanned)?, &mut self.buffer),
        };
        encoder.push(bytes, &mut self.buffer);
        if encoder.missing() == 0 {
            self.flush(packer, replaying)?;
            // The last one's is what was promised: it counts once the blob has passed its check.
            let hash = if self.lengths.is_empty() {
                *check.wanted().digest.as_raw()
            } else {
                check.state().ok_or_else(unplanned)?.to_raw()
            };
            self.hashes.push(hash);
            return Ok(());
        }
        self.encoder = Some(encoder);
        if self.buffer.len() >= WRITE_BYTES { self.flush(packer, replaying) } else { Ok(()) }
    }

    /// Writes what was gathered, unless it stands there already. That an earlier try has written it is not believed: only
    /// content passes the hash when it is read back, not the headers and padding around it.
    fn flush(&mut self, packer: &Packer, replaying: bool) -> Result<(), Error> {
        if !(replaying && self.stands_there(packer)) {
            making::write_all_at(&packer.file, &self.buffer, self.at)?;
        }
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn stands_there(&self, packer: &Packer) -> bool {
        let mut found = vec![0; self.buffer.len()];
        packer.file.file().read_exact_at(&mut found, self.at).is_ok() && found == self.buffer
    }
}
