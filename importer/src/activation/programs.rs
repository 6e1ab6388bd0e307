//! Sealift's own programs, as a release brings them: files named `sealift/bin/<program>`, or for one kind of machine
//! `sealift/bin/linux-<architecture>/<program>`.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use sealift_archive::release::Descriptor;
use sealift_archive::{Blob, Digest, Progress, Refs, Sequence, VerifyingReader, durable};
use sealift_store::Store;
use tempfile::TempPath;

use super::command::Run;
use super::signed::{NotSigned, signed_release};
use super::{Error, Trouble};
use crate::config::activation::Programs;

/// The programs of an appliance.
pub(super) const PROGRAMS: [&str; 2] = ["sealiftctl", REGISTRY];
/// The one that goes on serving while the others change.
pub(super) const REGISTRY: &str = "sealift-registry";
/// The one that activates.
pub(super) const ITSELF: &str = "sealiftctl";
/// What is put behind the name of the program that was there before.
const PREVIOUS: &str = ".previous";
/// What is put behind the name of one that has not taken its place yet, and of the link that becomes the previous one.
const NEW: &str = ".new";
const LINK: &str = ".link";
/// How long a program may take to say its version: then it is one that runs on this machine.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);
/// The mode of a program: everybody runs it, nobody changes it.
const MODE: u32 = 0o755;

/// Compares and installs programs.
#[derive(Debug)]
pub(super) struct Installer<'a> {
    store: &'a Store,
    config: &'a Programs,
    dir: PathBuf,
}

impl<'a> Installer<'a> {
    pub(super) fn new(store: &'a Store, config: &'a Programs) -> Result<Self, crate::Error> {
        let dir = match &config.dir {
            Some(dir) => dir.clone(),
            None => std::env::current_exe()?.parent().unwrap_or(Path::new("/")).to_owned(),
        };
        Ok(Self { store, config, dir })
    }

    /// Where a program is, or would be.
    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.dir.join(program)
    }

    /// The programs that a release brings and that are others than the installed ones.
    pub(super) fn differing(&self, release: Sequence) -> Result<Vec<String>, crate::Error> {
        let refs = self.store.release(release)?.refs()?;
        let mut differing = Vec::new();
        for program in PROGRAMS {
            if let Some(file) = find(&refs, program)
                && self.installed(program)? != Some(file.digest)
            {
                differing.push(program.to_owned());
            }
        }
        Ok(differing)
    }

    fn installed(&self, program: &str) -> Result<Option<Digest>, crate::Error> {
        match fs::File::open(self.path(program)) {
            Ok(file) => Ok(Some(Blob::of_reader(file)?.digest)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Installs what differs. Nothing of it is believed that the vendor has not signed, since this may be root, and the store
    /// somebody else's.
    pub(super) fn install(&self, release: Sequence, progress: &dyn Progress) -> Result<(), Trouble> {
        let refs = self.signed_refs(release)?;
        for program in PROGRAMS {
            // What a crash has left.
            [NEW, LINK].iter().try_for_each(|what| remove_if_there(&self.scratch(program, what)))?;
        }
        for program in PROGRAMS {
            if let Some(file) = find(&refs, program)
                && self.installed(program)? != Some(file.digest)
            {
                self.install_one(program, file, progress)?;
            }
        }
        Ok(())
    }

    fn signed_refs(&self, release: Sequence) -> Result<Refs, Trouble> {
        match signed_release(self.store, self.config, release) {
            Ok(release) => Ok(release.refs()?),
            Err(NotSigned::Disbelieved(why)) => {
                let refused = Error::Program { program: self.path(ITSELF), why };
                Err(Trouble::Failed(refused.to_string()))
            }
            Err(NotSigned::Error(error)) => Err(Trouble::Halted(*error)),
        }
    }

    fn install_one(&self, program: &str, file: &Descriptor, progress: &dyn Progress) -> Result<(), Trouble> {
        let path = self.path(program);
        let wanted = Blob { digest: file.digest, size: file.size };
        let mut content = VerifyingReader::new(fs::File::open(self.store.blob_path(&file.digest))?, wanted);
        let new = self.scratch(program, NEW);
        let mut writing = fs::File::options().write(true).create_new(true).open(&new)?;
        // From here on it goes if it does not take its place.
        let new = TempPath::try_from_path(new)?;
        io::copy(&mut content, &mut writing)?;
        content.finish()?;
        writing.set_permissions(std::fs::Permissions::from_mode(MODE))?;
        writing.sync_all()?;
        // What is open for writing cannot be run.
        drop(writing);
        let version = ["--version".to_owned()];
        let run = Run {
            program: &new,
            arguments: &version,
            environment: &[],
            timeout: VERSION_TIMEOUT,
            input: None,
        };
        if let Err(trouble) = run.run(progress) {
            return Err(match trouble {
                Trouble::Failed(why) => Trouble::Failed(
                    Error::Program { program: path, why: format!("it does not run here: {why}") }.to_string(),
                ),
                halted @ Trouble::Halted(_) => halted,
            });
        }
        self.keep_previous(program)?;
        new.persist(&path).map_err(|error| error.error)?;
        Ok(durable::sync_dir(&self.dir)?)
    }

    /// Keeps what is there beside its place.
    fn keep_previous(&self, program: &str) -> io::Result<()> {
        let (path, link) = (self.path(program), self.scratch(program, LINK));
        if !path.exists() {
            return Ok(());
        }
        fs::hard_link(&path, &link)?;
        fs::rename(&link, self.path(&format!("{program}{PREVIOUS}")))?;
        // After a crash the previous one may be the same file already, and then a rename does nothing.
        remove_if_there(&link)
    }

    /// Where a program is while it takes its place. The name is fixed, so that a crash leaves what the next try finds.
    fn scratch(&self, program: &str, what: &str) -> PathBuf {
        self.path(&format!(".{program}{what}"))
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The file of a program: that for this kind of machine, or else that for all.
fn find<'r>(refs: &'r Refs, program: &str) -> Option<&'r Descriptor> {
    let places = [format!("linux-{}/", architecture()), String::new()];
    places.iter().find_map(|place| refs.files.get(&format!("sealift/bin/{place}{program}").parse().ok()?))
}

/// This machine's kind, as OCI names it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
