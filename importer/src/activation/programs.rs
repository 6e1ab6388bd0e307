//! Sealift's own programs, as a release brings them: files named `sealift/bin/<program>`, or for one kind of machine
//! `sealift/bin/linux-<architecture>/<program>`.

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use sealift_archive::release::Descriptor;
use sealift_archive::trust::RoleName;
use sealift_archive::{Blob, Digest, Progress, Refs, Sequence, VerifyingReader, durable};
use sealift_store::{RootFile, Store};
use tempfile::NamedTempFile;

use super::command::Run;
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
            if let Some(file) = find(&refs, program)
                && self.installed(program)? != Some(file.digest)
            {
                self.install_one(program, file, progress)?;
            }
        }
        Ok(())
    }

    fn signed_refs(&self, release: Sequence) -> Result<Refs, crate::Error> {
        let trusted = self.store.trust()?;
        if let Some(file) = &self.config.trust_root {
            let (wanted, pinned) = (RootFile::read(file)?.root.digest(), trusted.oldest().digest());
            if wanted != pinned {
                let why = format!(
                    "the store's pinned trust root is {pinned}, and not {wanted} as in `{}`",
                    file.display()
                );
                return Err(Error::Program { program: self.dir.clone(), why }.into());
            }
        }
        let release = self.store.release(release)?;
        let (statement, signatures) = (release.statement_bytes()?, release.signatures()?);
        let mut versions = trusted.versions();
        let check = |root: &sealift_archive::trust::TrustRoot| {
            root.check("release.json", &statement, RoleName::Release, &signatures)
        };
        // What was taken under the keys of an earlier root stays what it is.
        if !versions.any(|root| check(root).is_ok()) {
            check(trusted.newest())?;
        }
        Ok(release.refs()?)
    }

    fn install_one(&self, program: &str, file: &Descriptor, progress: &dyn Progress) -> Result<(), Trouble> {
        let path = self.path(program);
        let wanted = Blob { digest: file.digest, size: file.size };
        let mut new = NamedTempFile::new_in(&self.dir)?;
        let mut content = VerifyingReader::new(fs::File::open(self.store.blob_path(&file.digest))?, wanted);
        io::copy(&mut content, &mut new)?;
        content.finish()?;
        new.as_file().set_permissions(std::fs::Permissions::from_mode(MODE))?;
        new.flush()?;
        new.as_file().sync_all()?;
        let new = new.into_temp_path();
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
        self.keep_previous(&path)?;
        new.persist(&path).map_err(|error| error.error)?;
        Ok(durable::sync_dir(&self.dir)?)
    }

    /// Keeps what is there beside its place.
    fn keep_previous(&self, path: &Path) -> Result<(), crate::Error> {
        if !path.exists() {
            return Ok(());
        }
        let mut name = path.as_os_str().to_owned();
        name.push(PREVIOUS);
        let scratch = tempfile::tempdir_in(&self.dir)?;
        let link = scratch.path().join("previous");
        fs::hard_link(path, &link)?;
        fs::rename(&link, PathBuf::from(name))?;
        Ok(())
    }
}

/// The file of a program: that for this kind of machine, or else that for all.
fn find<'r>(refs: &'r Refs, program: &str) -> Option<&'r Descriptor> {
    let places = [format!("linux-{}/", architecture()), String::new()];
    places.iter().find_map(|place| refs.files.get(&format!("sealift/bin/{place}{program}").parse().ok()?))
}

/// This machine's kind, as OCI names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
