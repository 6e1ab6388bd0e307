//! Taking content in: checked while it is written, made durable in groups, and only then given its name.
//!
//! An fsync costs milliseconds whatever the size of the file, and a release may have ten thousand small blobs. So
//! whole blobs are gathered into batches, and a thread of its own makes each batch durable while the next one is
//! filled: one `syncfs` for a batch of many files, an fsync each for a batch of few, then the renames, then one
//! fsync of the directory. Nothing has a name under `blobs/` before its bytes are durable, so a file that is there
//! with the right size is whole: that is what lets an interrupted import go on without reading anything again.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use fs_err as fs;
use sealift_archive::{Blob, BlobList, BlobSink, BlobWriter, Digest, Hashed, durable};

use crate::Error;
use crate::parts::{Part, Whole};

/// Most files in a batch. Three batches may be in flight, and all their files are open.
const BATCH_FILES: usize = 128;
/// Most bytes in a batch, unless one blob alone is larger. Keeps the disk at work while more is read.
const BATCH_BYTES: u64 = 32 << 20;
/// In batches of more files than this, one `syncfs` is cheaper than an fsync for each, although it also writes what
/// other programs have left in the page cache.
const MAX_SINGLE_SYNCS: usize = 8;

/// Takes the blobs of a release, or of several at once, into the store.
#[derive(Debug)]
pub struct Intake {
    wanted: BTreeMap<Digest, u64>,
    parts_dir: PathBuf,
    /// Parts that somebody asked about, hashed.
    resumed: Mutex<BTreeMap<Digest, Part>>,
    batch: Mutex<Batch>,
    committer: Mutex<Committer>,
}

impl Intake {
    /// Blobs of `list` go into `blobs_dir`, by way of parts in `parts_dir` on the same file system.
    pub(crate) fn new(list: &BlobList, blobs_dir: &Path, parts_dir: PathBuf) -> Result<Self, Error> {
        durable::create_dir_all(&parts_dir)?;
        Ok(Self {
            wanted: list.iter().map(|blob| (blob.digest, blob.size)).collect(),
            parts_dir,
            resumed: Mutex::default(),
            batch: Mutex::default(),
            committer: Mutex::new(Committer::start(blobs_dir)?),
        })
    }

    /// Waits until every finished blob is durable and has its name.
    ///
    /// # Errors
    /// The first error of the thread that makes it so.
    pub fn finish(self) -> Result<(), Error> {
        Ok(self.flush()?)
    }

    fn accept(&self, blob: Whole) -> io::Result<()> {
        let full = {
            let mut batch = lock(&self.batch);
            batch.bytes += blob.size;
            batch.blobs.push(blob);
            let is_full = batch.blobs.len() >= BATCH_FILES || batch.bytes >= BATCH_BYTES;
            is_full.then(|| std::mem::take(&mut *batch))
        };
        full.map_or(Ok(()), |batch| lock(&self.committer).send(batch))
    }

    fn flush(&self) -> io::Result<()> {
        let rest = std::mem::take(&mut *lock(&self.batch));
        let mut committer = lock(&self.committer);
        committer.send(rest)?;
        committer.finish()
    }
}

impl Drop for Intake {
    /// Even if the copying broke off: what is whole is kept for the next try.
    fn drop(&mut self) {
        // Whoever wanted to know how it went has called `finish`, and then nothing is left to do here.
        let _ = self.flush();
    }
}

impl BlobSink for Intake {
    fn begun(&self, blob: Blob) -> Result<u64, sealift_archive::Error> {
        if let Some(part) = lock(&self.resumed).get(&blob.digest) {
            return Ok(part.len());
        }
        let Some(part) = Part::resume(&self.parts_dir, blob)? else { return Ok(0) };
        let len = part.len();
        lock(&self.resumed).insert(blob.digest, part);
        Ok(len)
    }

    fn open(&self, blob: Blob) -> Result<Box<dyn BlobWriter + '_>, sealift_archive::Error> {
        if self.wanted.get(&blob.digest) != Some(&blob.size) {
            let why = format!("{} with {} bytes is not on the blob list", blob.digest, blob.size);
            return Err(sealift_archive::Error::Inconsistent { document: "the content".to_owned(), why });
        }
        self.begun(blob)?;
        let resumed = lock(&self.resumed).remove(&blob.digest);
        let part = resumed.map_or_else(|| Part::begin(&self.parts_dir, blob), Ok)?;
        Ok(Box::new(Incomplete { intake: self, part: Some(part) }))
    }
}

/// A blob that is being written. What has come of it is kept if it is given up.
struct Incomplete<'i> {
    intake: &'i Intake,
    part: Option<Part>,
}

impl Incomplete<'_> {
    fn part(&mut self) -> &mut Part {
        self.part.as_mut().expect("nobody has a writer that was finished")
    }
}

impl BlobWriter for Incomplete<'_> {
    fn position(&self) -> u64 {
        self.part.as_ref().map_or(0, Part::len)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), sealift_archive::Error> {
        self.part().write(bytes)
    }

    fn write_hashed(&mut self, content: &Hashed) -> Result<(), sealift_archive::Error> {
        self.part().write_hashed(content)
    }

    fn restart(&mut self) -> Result<(), sealift_archive::Error> {
        Ok(self.part().restart()?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), sealift_archive::Error> {
        let part = self.part.take().expect("nobody finishes a writer twice");
        Ok(self.intake.accept(part.finish()?)?)
    }
}

impl Drop for Incomplete<'_> {
    fn drop(&mut self) {
        if let Some(part) = self.part.take() {
            // The cause of giving up is told by whoever gave up. What cannot be kept has to come again.
            let _ = part.keep();
        }
    }
}

/// Blobs that become durable together.
#[derive(Debug, Default)]
struct Batch {
    blobs: Vec<Whole>,
    bytes: u64,
}

/// The thread that makes batches durable, one after the other, and the queue before it.
#[derive(Debug)]
struct Committer {
    queue: Option<SyncSender<Batch>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Committer {
    fn start(blobs_dir: &Path) -> io::Result<Self> {
        // Opened before anything is written: `syncfs` reports the write errors that came after.
        let dir = fs::File::open(blobs_dir)?;
        let (queue, batches) = sync_channel(1);
        let thread =
            thread::Builder::new().name("commit".to_owned()).spawn(move || commit_all(&batches, &dir))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Hands a batch over, as soon as there is room for it.
    fn send(&mut self, batch: Batch) -> io::Result<()> {
        if batch.blobs.is_empty() {
            return Ok(());
        }
        if self.queue.as_ref().is_some_and(|queue| queue.send(batch).is_ok()) {
            return Ok(());
        }
        // The thread lets go of its end of the queue only with an error, which is told once.
        self.finish()?;
        Err(io::Error::other("writing content was given up after an earlier error"))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.queue = None;
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

fn commit_all(batches: &Receiver<Batch>, blobs_dir: &fs::File) -> io::Result<()> {
    batches.iter().try_for_each(|batch| commit(batch, blobs_dir))
}

fn commit(batch: Batch, blobs_dir: &fs::File) -> io::Result<()> {
    if batch.blobs.len() > MAX_SINGLE_SYNCS {
        rustix::fs::syncfs(blobs_dir.file())?;
    } else {
        batch.blobs.iter().try_for_each(|blob| blob.file.sync_all())?;
    }
    for blob in batch.blobs {
        blob.path.persist(blobs_dir.path().join(blob.digest.hex())).map_err(|e| e.error)?;
    }
    blobs_dir.sync_all()
}

/// A panic elsewhere does not spoil what is behind the lock: every change there is one step.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        dir: tempfile::TempDir,
        list: BlobList,
    }

    impl Place {
        fn new(contents: &[&[u8]]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("blobs")).unwrap();
            let mut list = BlobList::default();
            for content in contents {
                list.insert(Blob::of(content)).unwrap();
            }
            Self { dir, list }
        }

        fn intake(&self) -> Intake {
            Intake::new(&self.list, &self.dir.path().join("blobs"), self.dir.path().join("parts")).unwrap()
        }

        fn names(&self, of: &str) -> usize {
            fs::read_dir(self.dir.path().join(of)).unwrap().count()
        }
    }

    fn put(intake: &Intake, blob: Blob, content: &[u8]) -> Result<(), sealift_archive::Error> {
        let mut writer = intake.open(blob)?;
        content.chunks(7).try_for_each(|piece| writer.write(piece))?;
        writer.finish()
    }

    #[test]
    fn blobs_get_their_names_in_batches_of_any_size() {
        let contents: Vec<Vec<u8>> =
            (0..BATCH_FILES * 2 + MAX_SINGLE_SYNCS).map(|n| format!("content {n}").into_bytes()).collect();
        let place = Place::new(&contents.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let intake = place.intake();
        thread::scope(|scope| {
            for half in contents.chunks(contents.len() / 2 + 1) {
                let intake = &intake;
                scope.spawn(move || half.iter().for_each(|c| put(intake, Blob::of(c), c).unwrap()));
            }
        });
        intake.finish().unwrap();
        for content in &contents {
            let path = place.dir.path().join("blobs").join(Digest::of(content).hex());
            assert_eq!(&fs::read(&path).unwrap(), content);
            assert!(fs::metadata(&path).unwrap().permissions().readonly());
        }
        assert_eq!(place.names("parts"), 0);
    }

    #[test]
    fn only_what_is_wanted_and_whole_gets_a_name() {
        let place = Place::new(&[b"hello", b"whole"]);
        let intake = place.intake();
        let hello = Blob::of(b"hello");
        let cases: [(&str, Blob, &[u8], &str); 5] = [
            ("short", hello, b"hell", "not 5 bytes long"),
            ("long", hello, b"hello hello", "not 5 bytes long"),
            ("changed", hello, b"hellO", "is really"),
            ("another size", Blob { size: 6, ..hello }, b"hello!", "not on the blob list"),
            ("another blob", Blob::of(b"other"), b"other", "not on the blob list"),
        ];
        for (name, blob, content, expected) in cases {
            let said = put(&intake, blob, content).unwrap_err().to_string();
            assert!(said.contains(expected), "{name}: {said}");
        }
        put(&intake, Blob::of(b"whole"), b"whole").unwrap();
        let mut again = intake.open(hello).unwrap();
        again.write(b"jello").unwrap();
        again.restart().unwrap();
        assert_eq!(again.position(), 0);
        again.write(b"hello").unwrap();
        again.finish().unwrap();
        drop(intake);
        assert_eq!((place.names("blobs"), place.names("parts")), (2, 0), "dropping keeps what is whole");
    }

    /// A blob of which the first bytes have come, over several tries.
    #[test]
    fn a_blob_goes_on_where_it_was_given_up() {
        const MIB: usize = 1 << 20;
        let content: Vec<u8> = (0..5 * MIB).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let (place, blob) = (Place::new(&[&content]), Blob::of(&content));
        let parts = || {
            let names = fs::read_dir(place.dir.path().join("parts")).unwrap();
            let ends = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            ends.map(|name| name.split_once('.').unwrap().1.to_owned()).collect::<Vec<_>>()
        };
        let write = |from: usize, to: usize| {
            let intake = place.intake();
            assert_eq!(intake.begun(blob).unwrap(), from as u64);
            let mut writer = intake.open(blob).unwrap();
            assert_eq!(writer.position(), from as u64);
            content[from..to].chunks(100_000).try_for_each(|piece| writer.write(piece)).unwrap();
            if to == content.len() { writer.finish() } else { Ok(()) }
        };
        write(0, MIB - 1).unwrap();
        assert!(parts().is_empty(), "what comes again in no time is not kept");
        write(0, MIB).unwrap();
        write(MIB, 3 * MIB + 7).unwrap();
        assert_eq!(parts(), [(3 * MIB + 7).to_string()]);
        // What a power cut left behind the durable bytes does not count.
        let path = place.dir.path().join("parts").join(format!("{}.{}", blob.digest.hex(), 3 * MIB + 7));
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        io::Write::write_all(&mut file, &[b'!'; 100]).unwrap();
        write(3 * MIB + 7, 4 * MIB).unwrap();
        write(4 * MIB, 5 * MIB).unwrap();
        assert!(parts().is_empty());
        let path = place.dir.path().join("blobs").join(blob.digest.hex());
        assert!(fs::read(&path).unwrap() == content);
        assert!(fs::metadata(&path).unwrap().permissions().readonly());
    }

    #[test]
    fn a_part_that_is_not_what_it_says_is_of_no_use() {
        const MIB: usize = 1 << 20;
        let content = vec![b'c'; 3 * MIB];
        let (place, blob) = (Place::new(&[&content]), Blob::of(&content));
        let put_part = |durable: usize, bytes: &[u8]| {
            let name = format!("{}.{durable}", blob.digest.hex());
            fs::write(place.dir.path().join("parts").join(name), bytes).unwrap();
        };
        drop(place.intake());
        put_part(2 * MIB, &content[..MIB]);
        assert_eq!(place.intake().begun(blob).unwrap(), 0, "shorter than its name says");
        put_part(4 * MIB, &vec![b'c'; 4 * MIB]);
        assert_eq!(place.intake().begun(blob).unwrap(), 0, "longer than the blob");
        assert_eq!(place.names("parts"), 0);
        put_part(MIB, &vec![b'x'; MIB]);
        let intake = place.intake();
        let mut writer = intake.open(blob).unwrap();
        assert_eq!(writer.position(), MIB as u64);
        writer.write(&content[MIB..]).unwrap();
        assert!(matches!(writer.finish(), Err(sealift_archive::Error::WrongContent { .. })));
        assert_eq!(intake.begun(blob).unwrap(), 0, "and it is gone");
        put_part(MIB, &vec![b'x'; MIB]);
        let mut writer = intake.open(blob).unwrap();
        writer.restart().unwrap();
        writer.write(&content).unwrap();
        writer.finish().unwrap();
        intake.finish().unwrap();
        assert_eq!((place.names("blobs"), place.names("parts")), (1, 0));
    }

    #[test]
    fn an_error_of_the_thread_is_told() {
        let place = Place::new(&[b"hello"]);
        let intake = place.intake();
        put(&intake, Blob::of(b"hello"), b"hello").unwrap();
        fs::remove_dir(place.dir.path().join("blobs")).unwrap();
        assert!(intake.finish().is_err());
    }
}
