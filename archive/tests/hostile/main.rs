//! Archives that lie. Each is refused with its own code and little memory, by the last check that stands between it and an
//! appliance: hashes are right, and the vendor's keys have signed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cases;
mod forge;
mod tar_member;
mod zstd_frame;

use std::path::{Path, PathBuf};
use std::process::Command;

use sealift_archive::trust::TrustRoot;
use sealift_archive::{
    Blob, BlobSink, BlobWriter, Bundle, Check, Error, Explain as _, Source as _, Unwatched,
};

/// The most that a process may have in memory while it reads any of these, itself included.
const MAX_PEAK_BYTES: u64 = 64 << 20;
/// Tell the process that reads an archive which one it is, and whom to believe.
const FILE: &str = "SEALIFT_HOSTILE_FILE";
const ROOT: &str = "SEALIFT_HOSTILE_ROOT";

#[test]
fn each_lie_is_refused_with_its_code_and_in_little_memory() {
    let dir = tempfile::TempDir::new().unwrap();
    let root = dir.path().join("root.json");
    fs_err::write(&root, forge::root(&forge::VENDOR).bytes()).unwrap();
    let mut wrong = Vec::new();
    for case in cases::all() {
        let file = dir.path().join(case.name);
        fs_err::write(&file, forge::make(&case.lies)).unwrap();
        let verdict = read_in_a_process(&file, &root);
        if verdict.code != case.code || verdict.peak_bytes > MAX_PEAK_BYTES {
            let Verdict { code, peak_bytes, said } = verdict;
            let wanted = case.code;
            wrong.push(format!("{}: {wanted} wanted, {code} found ({said}), {peak_bytes} bytes", case.name));
        }
        fs_err::remove_file(&file).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What came of reading an archive.
struct Verdict {
    code: u16,
    peak_bytes: u64,
    said: String,
}

/// Has the other test below read an archive: memory is measured by the process.
fn read_in_a_process(file: &Path, root: &Path) -> Verdict {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "an_archive_is_read_to_its_end", "--ignored", "--nocapture"])
        .env(FILE, file)
        .env(ROOT, root)
        .env("RAYON_NUM_THREADS", "2")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |word: &str| {
        let found =
            text.lines().find_map(|line| line.split_once(word).map(|(_, rest)| rest.trim().to_owned()));
        found.unwrap_or_else(|| panic!("`{word}` in: {text}\n{}", String::from_utf8_lossy(&output.stderr)))
    };
    let peak_bytes = line("VmHWM:").trim_end_matches(" kB").parse::<u64>().unwrap() << 10;
    Verdict { code: line("code:").parse().unwrap(), peak_bytes, said: line("said:") }
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn an_archive_is_read_to_its_end() {
    let path = |name: &str| PathBuf::from(std::env::var_os(name).unwrap());
    let root = TrustRoot::parse("root.json", &fs_err::read(path(ROOT)).unwrap()).unwrap();
    let (code, said) = match read(&path(FILE), &root) {
        Ok(()) => (0, "taken".to_owned()),
        Err(error) => (error.code().0, error.to_string()),
    };
    println!("\ncode: {code}\nsaid: {said:?}");
    println!("{}", fs_err::read_to_string("/proc/self/status").unwrap());
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
