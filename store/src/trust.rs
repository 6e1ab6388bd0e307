//! `trust/`: the pinned root, the newest root that followed from it, and the counters that only grow.
//!
//! ```text
//! trust/root.json       pinned once, by a person; never replaced
//! trust/newest.json     the newest root seen that follows from it; absent until there is one
//! trust/signatures/     signatures over both
//! trust/state.json      product, highest sequence that was active, floor, time
//! ```

use std::path::{Path, PathBuf};

use fs_err as fs;
use sealift_archive::trust::{MAX_ROOT_BYTES, RoleName, Signatures, TrustRoot};
use sealift_archive::{Digest, Product, Sequence, Statement, durable, json};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::audit::{self, Event};
use crate::{Error, Store, Writer};

const PINNED_FILE: &str = "root.json";
const NEWEST_FILE: &str = "newest.json";
const SIGNATURES_DIR: &str = "signatures";
const COUNTERS_FILE: &str = "state.json";
const MAX_COUNTERS_BYTES: usize = 64 << 10;

/// What a store trusts.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The root that a person pinned.
    pub pinned: TrustRoot,
    /// The newest root that followed from it: what a source is checked against.
    pub newest: TrustRoot,
}

/// A trust root that a person wants to pin.
#[derive(Clone, Debug)]
pub struct RootFile {
    /// What to call it: its path.
    pub name: String,
    /// The root.
    pub root: TrustRoot,
    /// The signatures that lie beside it; `None` if there is no folder for them.
    pub signatures: Option<Signatures>,
}

/// What must not go back: kept apart from the releases, so that it outlives them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Counters {
    /// The product of the first release that was active here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<Product>,
    /// The highest sequence that was ever active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<Sequence>,
    /// The highest floor of any statement that was verified and staged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Sequence>,
    /// The latest time at which any of this changed, by this machine's clock.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub time: Option<OffsetDateTime>,
}

impl Counters {
    /// Takes a verified statement in.
    pub(crate) fn raise_floor(&mut self, statement: &Statement) {
        self.floor = self.floor.max(Some(statement.floor));
    }

    /// Takes note that a release becomes active.
    pub(crate) fn install(&mut self, product: &Product, sequence: Sequence) {
        self.product.get_or_insert_with(|| product.clone());
        self.installed = self.installed.max(Some(sequence));
    }
}

impl Store {
    /// What this store trusts.
    ///
    /// # Errors
    /// [`Error::NotPinned`], I/O, or a file that is damaged.
    pub fn trust(&self) -> Result<Trust, Error> {
        let pinned = self.pinned()?.ok_or_else(|| Error::NotPinned { store: self.root().to_owned() })?;
        let newest = read_root(&self.newest_file())?.unwrap_or_else(|| pinned.clone());
        Ok(Trust { pinned, newest })
    }

    /// The counters; all empty in a new store.
    ///
    /// # Errors
    /// I/O, or a file that is damaged.
    pub fn counters(&self) -> Result<Counters, Error> {
        let path = self.trust_dir().join(COUNTERS_FILE);
        if !path.exists() {
            return Ok(Counters::default());
        }
        Ok(json::parse(&path.display().to_string(), &fs::read(&path)?, MAX_COUNTERS_BYTES)?)
    }

    fn pinned(&self) -> Result<Option<TrustRoot>, Error> {
        read_root(&self.trust_dir().join(PINNED_FILE))
    }

    fn newest_file(&self) -> PathBuf {
        self.trust_dir().join(NEWEST_FILE)
    }
}

impl Writer {
    /// Pins a trust root. If signatures came along, enough of its root keys must have signed it.
    ///
    /// # Errors
    /// [`Error::PinnedAlready`], the archive's `Unsigned`, or I/O.
    pub fn pin(&self, file: &RootFile) -> Result<(), Error> {
        if let Some(pinned) = self.pinned()? {
            let (version, fingerprint) = (pinned.version(), pinned.digest());
            return Err(Error::PinnedAlready { store: self.root().to_owned(), version, fingerprint });
        }
        let root = &file.root;
        if let Some(signatures) = &file.signatures {
            root.check(&file.name, root.bytes(), RoleName::Root, signatures)?;
            signatures.write_to(&self.trust_dir())?;
        }
        durable::write(&self.trust_dir().join(PINNED_FILE), root.bytes())?;
        let source = file.name.clone();
        self.record(Event::TrustPinned { source, version: root.version(), fingerprint: root.digest() })
    }

    /// Remembers a trust root that follows from the pinned one, if it is newer than the newest known.
    pub(crate) fn remember_root(
        &self,
        source: &str,
        root: &TrustRoot,
        signatures: &Signatures,
    ) -> Result<(), Error> {
        if root.version() <= self.trust()?.newest.version() {
            return Ok(());
        }
        let over_it: Signatures = signatures.of(&root.digest()).into_iter().cloned().collect();
        over_it.write_to(&self.trust_dir())?;
        durable::write(&self.newest_file(), root.bytes())?;
        let source = source.to_owned();
        self.record(Event::TrustUpdated { source, version: root.version(), fingerprint: root.digest() })
    }

    /// Changes the counters, durably; `change` is to let each of them only grow.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counters)) -> Result<(), Error> {
        let before = self.counters()?;
        let mut after = before.clone();
        change(&mut after);
        if after == before {
            return Ok(());
        }
        after.time = before.time.max(Some(audit::now()));
        Ok(durable::write(&self.trust_dir().join(COUNTERS_FILE), &json::to_document(&after))?)
    }
}

impl RootFile {
    /// Reads a trust root, and the folder `signatures` beside it if there is one.
    ///
    /// # Errors
    /// I/O, or a file that is no trust root.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let name = file.display().to_string();
        let root = TrustRoot::parse(&name, &read_limited(file)?)?;
        let dir = file.parent().unwrap_or(Path::new(""));
        let has_signatures = dir.join(SIGNATURES_DIR).is_dir();
        let signatures = has_signatures.then(|| Signatures::read_from(dir, &root.digest())).transpose()?;
        Ok(Self { name, root, signatures })
    }
}

fn read_root(path: &Path) -> Result<Option<TrustRoot>, Error> {
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(TrustRoot::parse(&path.display().to_string(), &read_limited(path)?)?))
}

/// Reads a file up to one byte more than a trust root may have: the parser then says that it is too large.
fn read_limited(path: &Path) -> Result<Vec<u8>, Error> {
    use std::io::Read as _;

    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_ROOT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// How people read a fingerprint to each other: groups of four characters.
#[must_use]
pub fn spell(fingerprint: &Digest) -> String {
    let hex = fingerprint.hex();
    let groups: Vec<&str> = (0..hex.len()).step_by(4).map(|at| &hex[at..at + 4]).collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use sealift_archive::trust::Signature;

    use super::*;
    use crate::fixture::{KEY, Place, ROOT};

    fn file(signatures: Option<Signatures>) -> RootFile {
        RootFile { name: "root.json".to_owned(), root: ROOT.clone(), signatures }
    }

    #[test]
    fn a_root_is_pinned_once() {
        let place = Place::new();
        assert_eq!(place.store.trust().unwrap().newest.bytes(), ROOT.bytes());
        let again = place.writer().pin(&file(None)).unwrap_err();
        assert!(matches!(again, Error::PinnedAlready { version: 1, .. }), "{again}");
    }

    #[test]
    fn signatures_that_lie_beside_a_root_must_be_good() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.json");
        fs::write(&path, ROOT.bytes()).unwrap();
        let of_another = Signature::sign(b"another document", &KEY).unwrap();
        let good = Signature::sign(ROOT.bytes(), &KEY).unwrap();
        let pin = || {
            let store = tempfile::tempdir().unwrap();
            let writer = Store::create(store.path()).unwrap().lock("test").unwrap();
            writer.pin(&RootFile::read(&path).unwrap())
        };
        pin().unwrap();
        [of_another].into_iter().collect::<Signatures>().write_to(dir.path()).unwrap();
        let said = pin().unwrap_err().to_string();
        assert!(said.contains("has 0 of the 1 signatures"), "{said}");
        [good].into_iter().collect::<Signatures>().write_to(dir.path()).unwrap();
        pin().unwrap();
    }

    #[test]
    fn the_newest_root_seen_is_remembered() {
        let place = Place::new();
        let writer = place.writer();
        let version = |number: u64| {
            let mut document: serde_json::Value = serde_json::from_slice(ROOT.bytes()).unwrap();
            document["version"] = number.into();
            TrustRoot::parse("root.json", &json::to_document(&document)).unwrap()
        };
        for (seen, newest) in [(1, 1), (3, 3), (2, 3)] {
            let root = version(seen);
            let signed = [Signature::sign(root.bytes(), &KEY).unwrap()].into_iter().collect();
            writer.remember_root("bundle", &root, &signed).unwrap();
            let trust = place.store.trust().unwrap();
            assert_eq!((trust.pinned.version(), trust.newest.version()), (1, newest), "after {seen}");
        }
        let digest = version(3).digest();
        assert!(!Signatures::read_from(&place.store.trust_dir(), &digest).unwrap().of(&digest).is_empty());
    }

    #[test]
    fn a_fingerprint_is_read_in_groups() {
        let spelt = spell(&ROOT.digest());
        assert_eq!(spelt.replace(' ', ""), ROOT.digest().hex());
        assert_eq!(spelt.split(' ').count(), 16);
    }
}
