//! The store as a directory: where things lie, and which releases are there.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use sealift_archive::{Digest, RepositoryName, Sequence, durable};

use crate::{Error, Stamp, StoredRelease};

const BLOBS: &str = "blobs/sha256";
const RELEASES: &str = "releases";
const GIT: &str = "git";
const INCOMING: &str = "incoming";
const TRUST: &str = "trust";
const BEGUN: &str = "parts";
const CURRENT: &str = "current";
/// What an activation under way writes down; only there since the first one.
pub(crate) const ACTIVATION: &str = "activation";
const JOURNAL: &str = "journal";
/// What mkfs puts into a fresh data disk.
pub(crate) const LOST_AND_FOUND: &str = "lost+found";
/// The directories that make a store.
pub(crate) const PARTS: [&str; 6] = [BLOBS, RELEASES, GIT, INCOMING, TRUST, BEGUN];

/// A store, for reading.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens a store that is there.
    ///
    /// # Errors
    /// [`Error::NotAStore`] if it is none.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let refuse = |why: String| Error::NotAStore { dir: dir.to_owned(), why };
        if !dir.is_dir() {
            return Err(refuse("there is no such directory".to_owned()));
        }
        match PARTS.iter().find(|part| !dir.join(part).is_dir()) {
            Some(part) => Err(refuse(format!("it has no `{part}/`"))),
            None => Ok(Self { root: dir.to_owned() }),
        }
    }

    /// Opens a store, or makes an empty one of a directory that is missing or empty.
    ///
    /// # Errors
    /// [`Error::NotAStore`] if other things are there.
    pub fn open_or_create(dir: &Path) -> Result<Self, Error> {
        Self::open(dir).or_else(|_| Self::create(dir))
    }

    /// Makes an empty store of a directory that is missing, empty, or was left by an earlier try.
    ///
    /// # Errors
    /// [`Error::NotAStore`] if other things are there, or I/O.
    pub fn create(dir: &Path) -> Result<Self, Error> {
        if dir.exists() {
            for entry in fs::read_dir(dir)? {
                let name = entry?.file_name();
                let ours =
                    PARTS.iter().any(|part| Path::new(part).starts_with(&name)) || name == LOST_AND_FOUND;
                if !ours {
                    let why = format!("other things are there: `{}`", name.to_string_lossy());
                    return Err(Error::NotAStore { dir: dir.to_owned(), why });
                }
            }
        }
        for part in PARTS {
            durable::create_dir_all(&dir.join(part))?;
        }
        Ok(Self { root: dir.to_owned() })
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Every release that is here, by rising sequence. What is still being imported is not among them. If `current`
    /// leads nowhere, none of them is active.
    ///
    /// # Errors
    /// I/O.
    pub fn releases(&self) -> Result<Vec<StoredRelease>, Error> {
        let active = self.active_if_any()?;
        let mut releases = Vec::new();
        for sequence in self.sequences()? {
            releases.push(StoredRelease::read(
                self.release_dir(sequence),
                sequence,
                active == Some(sequence),
            )?);
        }
        Ok(releases)
    }

    /// One release.
    ///
    /// # Errors
    /// [`Error::NoSuchRelease`], or I/O.
    pub fn release(&self, sequence: Sequence) -> Result<StoredRelease, Error> {
        let dir = self.release_dir(sequence);
        if !dir.is_dir() {
            return Err(Error::NoSuchRelease { store: self.root.clone(), sequence });
        }
        StoredRelease::read(dir, sequence, self.active_if_any()? == Some(sequence))
    }

    /// Which release is live. `current` alone says it.
    ///
    /// # Errors
    /// [`Error::BadPointer`] if `current` leads to something that is not a release, or I/O.
    pub fn active(&self) -> Result<Option<Sequence>, Error> {
        let link = self.current_link();
        let target = match fs::read_link(&link) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let sequence = target
            .strip_prefix(RELEASES)
            .ok()
            .and_then(|name| name.to_str()?.parse().ok())
            .filter(|&sequence| self.release_dir(sequence).is_dir());
        sequence.map(Some).ok_or(Error::BadPointer { link, target })
    }

    /// Which release is live; none if `current` is broken, so that another can be activated.
    pub(crate) fn active_if_any(&self) -> Result<Option<Sequence>, Error> {
        match self.active() {
            Err(Error::BadPointer { .. }) => Ok(None),
            active => active,
        }
    }

    /// A value that changes whenever what is to be served changes; see [`Stamp`].
    ///
    /// # Errors
    /// I/O.
    pub fn stamp(&self) -> Result<Stamp, Error> {
        Stamp::of(self)
    }

    /// Where content lies once it is here.
    #[must_use]
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blobs_dir().join(digest.hex())
    }

    /// Where the mirror of a Git repository lies.
    #[must_use]
    pub fn git_path(&self, name: &RepositoryName) -> PathBuf {
        self.git_dir().join(format!("{name}.git"))
    }

    /// The journal of an activation that is under way; not there if none is. What stands in it is the business of whoever
    /// activates.
    #[must_use]
    pub fn activation_journal(&self) -> PathBuf {
        self.root.join(ACTIVATION).join(JOURNAL)
    }

    /// The sequences under `releases/`, rising; other names there are none of ours.
    pub(crate) fn sequences(&self) -> Result<Vec<Sequence>, Error> {
        let mut sequences = Vec::new();
        for entry in fs::read_dir(self.releases_dir())? {
            sequences.extend(entry?.file_name().to_str().and_then(|name| name.parse::<Sequence>().ok()));
        }
        sequences.sort_unstable();
        Ok(sequences)
    }

    pub(crate) fn blobs_dir(&self) -> PathBuf {
        self.root.join(BLOBS)
    }

    pub(crate) fn releases_dir(&self) -> PathBuf {
        self.root.join(RELEASES)
    }

    pub(crate) fn release_dir(&self, sequence: Sequence) -> PathBuf {
        self.releases_dir().join(sequence.to_string())
    }

    pub(crate) fn git_dir(&self) -> PathBuf {
        self.root.join(GIT)
    }

    /// What `current` is to hold to lead to a release.
    pub(crate) fn current_target(sequence: Sequence) -> PathBuf {
        Path::new(RELEASES).join(sequence.to_string())
    }

    pub(crate) fn current_link(&self) -> PathBuf {
        self.root.join(CURRENT)
    }

    pub(crate) fn incoming_dir(&self) -> PathBuf {
        self.root.join(INCOMING)
    }

    /// Where blobs are of which only the beginning has come.
    pub(crate) fn parts_dir(&self) -> PathBuf {
        self.root.join(BEGUN)
    }

    pub(crate) fn trust_dir(&self) -> PathBuf {
        self.root.join(TRUST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_store_is_opened_and_only_an_empty_place_becomes_one() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("data/store");
        let said = Store::open(&place).unwrap_err().to_string();
        assert!(said.contains("there is no such directory"), "{said}");
        Store::open_or_create(&place).unwrap();
        assert_eq!(Store::open(&place).unwrap().root(), place);

        // A fresh disk, and a store whose making was interrupted.
        let half_made = dir.path().join("half");
        fs::create_dir_all(half_made.join("lost+found")).unwrap();
        fs::create_dir_all(half_made.join("blobs")).unwrap();
        assert!(Store::open(&half_made).unwrap_err().to_string().contains("it has no `blobs/sha256/`"));
        Store::open_or_create(&half_made).unwrap();

        let said = Store::open_or_create(dir.path()).unwrap_err().to_string();
        assert!(said.contains("other things are there"), "{said}");
        assert!(!dir.path().join("blobs").exists(), "and nothing was made there");
    }

    #[test]
    fn current_leads_to_a_release_or_is_broken() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path()).unwrap();
        assert_eq!(store.active().unwrap(), None);
        fs::create_dir(store.release_dir(3.try_into().unwrap())).unwrap();
        for (target, good) in [
            ("releases/3", true),
            ("releases/4", false),
            ("3", false),
            ("releases/03", false),
            ("/releases/3", false),
        ] {
            durable::replace_link(Path::new(target), &store.current_link()).unwrap();
            assert_eq!(store.active().is_ok(), good, "{target}");
        }
    }
}
