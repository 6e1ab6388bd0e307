//! Files that setup writes, and never over what a person has changed.
//!
//! `/etc/sealift/setup/files.json` has digests of what setup wrote, or was about to write, into each file. What else is found there is a person's:
//! it stays, and what would have been written is put into `/etc/sealift/setup/wanted`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use fs_err as fs;
use sealift_archive::{Digest, bounded, durable, json};
use serde::{Deserialize, Serialize};

use super::Error;
use super::places::{Places, SETUP_DIR};

const FILE: &str = "files.json";
const WANTED: &str = "wanted";
const MAX_BYTES: usize = 64 << 10;
/// Largest file that is compared. Ours have a few KB.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// How many digests are kept of each file: the last one, and one that a power cut may have kept from being written.
const KEPT: usize = 4;

/// A file that there should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Its absolute path.
    pub(super) path: String,
    /// What is in it.
    pub(super) content: Vec<u8>,
    /// Whether only root reads it.
    pub(super) is_secret: bool,
    /// Whether it is setup's whoever wrote it.
    pub(super) is_ours: bool,
}

impl File {
    pub(super) fn new(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), content: content.into(), is_secret: false, is_ours: false }
    }
}

/// How a file stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// As it should be.
    AsWanted,
    /// Not there, or as setup once wrote it.
    Ours,
    /// Somebody else has changed it.
    Foreign,
}

/// What setup has written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Files(BTreeMap<String, Vec<Digest>>);

impl Files {
    pub(super) fn read(places: &Places) -> Result<Self, Error> {
        let path = places.own(FILE);
        match bounded::read(&path, MAX_BYTES as u64) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            bytes => json::parse(&path.display().to_string(), &bytes?, MAX_BYTES)
                .map_err(|error| Error::Damaged { file: path, why: error.to_string() }),
        }
    }

    /// How a file stands, compared with what is wanted.
    pub(super) fn standing(&self, places: &Places, file: &File) -> Result<Standing, Error> {
        Ok(match content(&places.at(&file.path))? {
            None => Standing::Ours,
            Some(there) if there == file.content => Standing::AsWanted,
            Some(there) if file.is_ours || self.wrote(&file.path, &there) => Standing::Ours,
            Some(_) => Standing::Foreign,
        })
    }

    /// Whether a file is there that setup wrote, and nobody has changed.
    pub(super) fn is_there(&self, places: &Places, path: &str) -> Result<bool, Error> {
        Ok(content(&places.at(path))?.is_some_and(|there| self.wrote(path, &there)))
    }

    /// Writes a file, unless it is there so, or is somebody else's now. Then a person is told what differs.
    pub(super) fn put(&mut self, places: &Places, file: &File) -> Result<Option<String>, Error> {
        let path = places.at(&file.path);
        match self.standing(places, file)? {
            Standing::AsWanted => Ok(None),
            Standing::Foreign => {
                let name = file.path.trim_start_matches('/').replace('/', "-");
                let wanted = places.own(WANTED).join(&name);
                write(&wanted, &file.content, file.is_secret)?;
                Ok(Some(format!(
                    "`{}` was changed by somebody, and stays; to see how: diff {} {SETUP_DIR}/{WANTED}/{name}",
                    file.path, file.path
                )))
            }
            Standing::Ours => {
                // First it is known whose it will be.
                self.note(places, &file.path, Digest::of(&file.content))?;
                write(&path, &file.content, file.is_secret)?;
                Ok(None)
            }
        }
    }

    /// Removes a file that setup wrote, if nobody has changed it.
    pub(super) fn remove(&mut self, places: &Places, path: &str) -> Result<(), Error> {
        if self.is_there(places, path)? {
            let path = places.at(path);
            fs::remove_file(&path)?;
            durable::sync_dir(durable::parent_of(&path))?;
        }
        if self.0.remove(path).is_some() {
            self.write(places)?;
        }
        Ok(())
    }

    fn wrote(&self, path: &str, there: &[u8]) -> bool {
        self.0.get(path).is_some_and(|digests| digests.contains(&Digest::of(there)))
    }

    fn note(&mut self, places: &Places, path: &str, digest: Digest) -> Result<(), Error> {
        let digests = self.0.entry(path.to_owned()).or_default();
        if digests.last() == Some(&digest) {
            return Ok(());
        }
        digests.retain(|known| *known != digest);
        digests.push(digest);
        let excess = digests.len().saturating_sub(KEPT);
        digests.drain(..excess);
        self.write(places)
    }

    fn write(&self, places: &Places) -> Result<(), Error> {
        write(&places.own(FILE), &json::to_document(self), false)
    }
}

fn write(path: &Path, content: &[u8], is_secret: bool) -> Result<(), Error> {
    durable::create_dir_all(durable::parent_of(path))?;
    let written =
        if is_secret { durable::write_secret(path, content) } else { durable::write(path, content) };
    Ok(written?)
}

fn content(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match bounded::read(path, MAX_FILE_BYTES) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        content => Ok(Some(content?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_has_changed_stays() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        let mut files = Files::default();
        let file = |text: &str| File::new("/etc/x.conf", text);
        assert_eq!(files.put(&places, &file("one")).unwrap(), None);
        assert_eq!(files.put(&places, &file("two")).unwrap(), None);
        let path = places.at("/etc/x.conf");
        assert_eq!(fs::read(&path).unwrap(), b"two");
        // What was written before is ours as well: a backup was brought back, say.
        fs::write(&path, "one").unwrap();
        let mut files = Files::read(&places).unwrap();
        assert_eq!(files.put(&places, &file("two")).unwrap(), None);

        fs::write(&path, "mine").unwrap();
        let note = files.put(&places, &file("three")).unwrap().unwrap();
        assert!(note.contains("diff /etc/x.conf /etc/sealift/setup/wanted/etc-x.conf"), "{note}");
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert_eq!(fs::read(places.own("wanted/etc-x.conf")).unwrap(), b"three");
        files.remove(&places, "/etc/x.conf").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        // Some files have to be as they should be, whoever wrote them.
        assert_eq!(files.put(&places, &File { is_ours: true, ..file("four") }).unwrap(), None);
        files.remove(&places, "/etc/x.conf").unwrap();
        assert!(!path.exists());
    }
}
