//! The k3s that a release brings, and files put into their places.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use fs_err as fs;
use sealift_archive::{Blob, Refs, Sequence, VerifyingReader, durable};
use sealift_store::Store;
use serde::{Deserialize, Serialize};

use super::{Error, Version};
use crate::activation::{NotSigned, architecture, signed_release};
use crate::config::activation::Programs;

/// What a release has to say of what it brings.
const DISTRIBUTION: &str = "k3s";
/// Mode of a program.
pub(super) const PROGRAM: u32 = 0o755;

/// One k3s: what it is, and the digests of its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Edition {
    /// Its version.
    pub version: Version,
    /// The release that brought it.
    pub sequence: Sequence,
    /// The program.
    pub binary: Blob,
    /// Its install script.
    pub script: Blob,
}

impl Edition {
    /// What a release brings, if the vendor has signed that.
    pub(super) fn of(store: &Store, programs: &Programs, release: Sequence) -> Result<Self, crate::Error> {
        let signed = signed_release(store, programs, release).map_err(|refused| match refused {
            NotSigned::Disbelieved(why) => Error::NotBelieved { why }.into(),
            NotSigned::Error(error) => *error,
        })?;
        let lacks = |what: &str| Error::NotBrought { release, what: what.to_owned() };
        let kubernetes = signed.statement()?.kubernetes.filter(|k| k.distribution == DISTRIBUTION);
        let kubernetes = kubernetes.ok_or_else(|| lacks("k3s"))?;
        let version = kubernetes.version.as_str().parse().map_err(|why| Error::BadVersion {
            place: format!("the release with sequence {release}"),
            why,
        })?;
        let refs = signed.refs()?;
        let name = match architecture() {
            "amd64" => "k3s/k3s".to_owned(),
            other => format!("k3s/k3s-{other}"),
        };
        let binary = find(&refs, &name).ok_or_else(|| lacks(&format!("k3s for {}", architecture())))?;
        let script = find(&refs, "k3s/install.sh").ok_or_else(|| lacks("install.sh of k3s"))?;
        Ok(Self { version, sequence: release, binary, script })
    }

    /// Whether it is the same k3s, whatever release brings it.
    pub(super) fn is(&self, other: &Self) -> bool {
        (self.binary.digest, self.script.digest) == (other.binary.digest, other.script.digest)
    }
}

fn find(refs: &Refs, name: &str) -> Option<Blob> {
    let file = refs.files.get(&name.parse().ok()?)?;
    Some(Blob { digest: file.digest, size: file.size })
}

/// Copies a file to its place, durably and only if it is what it should be.
pub(super) fn put(from: &Path, wanted: Blob, to: &Path, mode: u32) -> Result<(), crate::Error> {
    let parent = durable::parent_of(to);
    durable::create_dir_all(parent)?;
    let mut content = VerifyingReader::new(fs::File::open(from)?, wanted);
    // The name is fixed, so that a crash leaves what the next try replaces.
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let new = parent.join(format!(".{name}.new"));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file = fs::File::options().write(true).create_new(true).open(&new)?;
    io::copy(&mut content, &mut file)?;
    content.finish()?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.sync_all()?;
    // What is open for writing cannot be run.
    drop(file);
    fs::rename(&new, to)?;
    Ok(durable::sync_dir(parent)?)
}

/// Whether this file is there and is that content.
pub(super) fn is_there(path: &Path, wanted: &Blob) -> io::Result<bool> {
    match fs::File::open(path) {
        Ok(file) if file.metadata()?.len() != wanted.size => Ok(false),
        Ok(file) => Ok(Blob::of_reader(file)?.digest == wanted.digest),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
