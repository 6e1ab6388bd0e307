//! Archives that lie. Each is refused with its own code and little memory, by the last check that stands between it and an
//! appliance: hashes are right, and the vendor's keys have signed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cases;
mod forge;
#[path = "../measure/mod.rs"]
mod measure;
#[path = "../second_reader/mod.rs"]
mod second_reader;
mod tar_member;
mod zstd_frame;

use std::path::{Path, PathBuf};

use cases::Case;
use measure::Measured;
use sealift_archive::trust::TrustRoot;
use sealift_archive::{
    Blob, BlobSink, BlobWriter, Bundle, Check, Digest, Error, Explain as _, Source as _, Unwatched,
};
use second_reader::SecondReader;

/// The most that a process may have in memory while it reads any of these, itself included.
const MAX_PEAK_BYTES: u64 = 64 << 20;
/// The file, beside the archive, that says whom to believe.
const ROOT: &str = "root.json";

#[test]
fn each_lie_is_refused_with_its_code_and_in_little_memory() {
    let dir = tempfile::TempDir::new().unwrap();
    fs_err::write(dir.path().join(ROOT), forge::root(&forge::VENDOR).bytes()).unwrap();
    let mut wrong = Vec::new();
    for case in cases::all() {
        let file = dir.path().join(case.name);
        fs_err::write(&file, forge::make(&case.lies)).unwrap();
        let Measured { answer, peak_bytes } = measure::run("an_archive_is_read_to_its_end", &file);
        let code = answer.split(' ').next().and_then(|code| code.parse().ok());
        if code != Some(case.code) || peak_bytes > MAX_PEAK_BYTES {
            wrong.push(format!("{}: {} wanted, {answer}, {peak_bytes} bytes", case.name, case.code));
        }
        fs_err::remove_file(&file).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_second_reader_takes_and_refuses_the_same() {
    let dir = tempfile::TempDir::new().unwrap();
    let make = |case: &Case| {
        let file = dir.path().join(case.name);
        fs_err::write(&file, forge::make(&case.lies)).unwrap();
        file
    };
    let files: Vec<PathBuf> = cases::all().map(make).collect();
    let reader = SecondReader::trusting(&forge::root(&forge::VENDOR));
    for ((case, file), verdict) in cases::all().zip(&files).zip(reader.verdicts(&files)) {
        assert_eq!(verdict.is_ok(), case.code == 0, "{}: {verdict:?}", case.name);
        if verdict.is_ok() {
            let blob = forge::first_blob();
            assert!(reader.blob(file, &Digest::of(&blob).to_string()).unwrap() == blob, "{}", case.name);
        }
    }
}

#[test]
#[ignore = "run by the first test, in a process of its own"]
fn an_archive_is_read_to_its_end() {
    let file = measure::file();
    let root = TrustRoot::parse(ROOT, &fs_err::read(file.with_file_name(ROOT)).unwrap()).unwrap();
    measure::answer(&match read(&file, &root) {
        Ok(()) => "0".to_owned(),
        Err(error) => format!("{} {:?}", error.code().0, error.to_string()),
    });
}

/// Reads an archive in all the ways that there are; whoever looks closest speaks first.
fn read(file: &Path, root: &TrustRoot) -> Result<(), Error> {
    let bundle = Bundle::open(file, root)?;
    let findings = bundle.check(&Unwatched)?;
    let blobs = bundle.releases().iter().flat_map(|release| release.blob_list.iter());
    let copied = bundle.copy_blobs(&blobs.map(|blob| blob.digest).collect(), &Nowhere, &Unwatched);
    match findings.damages.first() {
        Some(damage) => Err(copied.expect_err(&format!("{damage:?} is damage for everybody"))),
        None => copied,
    }
}

/// Takes blobs in, checks them, and forgets them.
struct Nowhere;

struct Forgetful(Check);

impl BlobSink for Nowhere {
    fn open(&self, blob: Blob) -> Result<Box<dyn BlobWriter + '_>, Error> {
        Ok(Box::new(Forgetful(Check::new(blob))))
    }
}

impl BlobWriter for Forgetful {
    fn position(&self) -> u64 {
        self.0.seen()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.0.update(bytes)
    }

    fn restart(&mut self) -> Result<(), Error> {
        self.0 = Check::new(self.0.wanted());
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        self.0.finish()
    }
}
