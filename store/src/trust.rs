//! `trust/`: the pinned root, and every version that was seen to follow from it.
//!
//! ```text
//! trust/root.json            pinned once, by a person; never replaced
//! trust/root/<version>.json  the versions that followed, without a gap
//! trust/signatures/          signatures over all of them
//! ```
//!
//! The chain is only ever made longer, one version after the other and each with its signatures first, so a crash leaves a
//! shorter one that is whole. It is followed anew whenever it is read.

use std::path::{Path, PathBuf};

use sealift_archive::durable;
use sealift_archive::release::published::Envelope;
use sealift_archive::trust::{RoleName, Signatures, TrustRoot, Trusted, read_root_file, versions_in};

use crate::audit::Event;
use crate::{Error, Store, Writer};

const PINNED_FILE: &str = "root.json";
const FOLLOWING_DIR: &str = "root";
const SIGNATURES_DIR: &str = "signatures";

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

impl Store {
    /// The trust roots that this store believes: the pinned one, and all that followed.
    ///
    /// # Errors
    /// [`Error::NotPinned`], [`Error::TrustDamaged`], or I/O.
    pub fn trust(&self) -> Result<Trusted, Error> {
        let pinned = self.pinned()?.ok_or_else(|| Error::NotPinned { store: self.root().to_owned() })?;
        let mut trusted = Trusted::from(pinned);
        for version in self.versions_kept()? {
            let path = self.following_file(version);
            let damaged = |why: String| Error::TrustDamaged { path: path.clone(), why };
            let expected = trusted.newest().version() + 1;
            if version != expected {
                return Err(damaged(format!("version {expected} is missing")));
            }
            let next = read_root(&path)?.ok_or_else(|| damaged("it is missing".to_owned()))?;
            let signatures = Signatures::read_from(&self.trust_dir(), &next.digest())?;
            trusted.follow(next, &signatures).map_err(|error| damaged(error.to_string()))?;
        }
        Ok(trusted)
    }

    /// A version of the trust root with its signatures, as it is published; none if this store does not know it, or nobody
    /// who signed it. Whoever reads it follows the chain by themselves, so it is not followed here.
    ///
    /// # Errors
    /// [`Error::TrustDamaged`], or I/O.
    pub fn root_envelope(&self, version: u64) -> Result<Option<Envelope>, Error> {
        let root = match self.pinned()? {
            Some(pinned) if pinned.version() == version => Some(pinned),
            _ => read_root(&self.following_file(version))?,
        };
        let Some(root) = root.filter(|root| root.version() == version) else { return Ok(None) };
        let signatures = Signatures::read_from(&self.trust_dir(), &root.digest())?;
        if signatures.iter().next().is_none() {
            return Ok(None);
        }
        Ok(Some(Envelope::new(root.bytes().to_vec(), &signatures)?))
    }

    fn pinned(&self) -> Result<Option<TrustRoot>, Error> {
        read_root(&self.trust_dir().join(PINNED_FILE))
    }

    /// The versions that followed, by rising number.
    fn versions_kept(&self) -> Result<Vec<u64>, Error> {
        Ok(versions_in(&self.trust_dir().join(FOLLOWING_DIR))?)
    }

    fn following_file(&self, version: u64) -> PathBuf {
        self.trust_dir().join(FOLLOWING_DIR).join(format!("{version}.json"))
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

    /// Remembers the versions that follow from those that are known, and who signed them. `source` is what the audit log
    /// will say that they came from.
    ///
    /// # Errors
    /// As [`Store::trust`].
    pub fn remember_roots(
        &self,
        source: &str,
        trusted: &Trusted,
        signatures: &Signatures,
    ) -> Result<(), Error> {
        let known = self.trust()?.newest().version();
        for root in trusted.versions().filter(|root| root.version() > known) {
            let over_it: Signatures = signatures.of(&root.digest()).into_iter().cloned().collect();
            over_it.write_to(&self.trust_dir())?;
            durable::create_dir_all(&self.trust_dir().join(FOLLOWING_DIR))?;
            durable::write(&self.following_file(root.version()), root.bytes())?;
            let (source, version, fingerprint) = (source.to_owned(), root.version(), root.digest());
            self.record(Event::TrustUpdated { source, version, fingerprint })?;
        }
        Ok(())
    }
}

impl RootFile {
    /// Reads a trust root, and the folder `signatures` beside it if there is one.
    ///
    /// # Errors
    /// I/O, or a file that is no trust root.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let name = file.display().to_string();
        let root = TrustRoot::parse(&name, &read_root_file(file)?)?;
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
    let root = TrustRoot::parse(&path.display().to_string(), &read_root_file(path)?);
    root.map(Some).map_err(|error| Error::TrustDamaged { path: path.to_owned(), why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use sealift_archive::Unwatched;
    use sealift_archive::trust::{RootDraft, SecretKey, Signature};

    use super::*;
    use crate::fixture::{Content, KEY, Place, ROOT, ROOT_KEY};

    fn file(signatures: Option<Signatures>) -> RootFile {
        RootFile { name: "root.json".to_owned(), root: ROOT.clone(), signatures }
    }

    /// The fixture's trust root and versions after it, in each of which one more key may pack.
    fn rotated(versions: usize) -> (Trusted, Signatures) {
        let mut trusted = Trusted::from(&*ROOT);
        let mut signatures: Signatures = [sign(&ROOT)].into_iter().collect();
        for _ in 1..versions {
            let mut draft = RootDraft::after(trusted.newest());
            draft.add(RoleName::Pack, SecretKey::generate(b"").unwrap().0.public().clone());
            let next = draft.finish().unwrap();
            signatures.push(sign(&next));
            trusted.follow(next, &signatures).unwrap();
        }
        (trusted, signatures)
    }

    fn sign(root: &TrustRoot) -> Signature {
        Signature::sign(root.bytes(), &*ROOT_KEY).unwrap()
    }

    fn versions(trusted: &Trusted) -> (u64, u64) {
        (trusted.oldest().version(), trusted.newest().version())
    }

    #[test]
    fn a_root_is_pinned_once() {
        let place = Place::new();
        assert_eq!(place.store.trust().unwrap().newest().bytes(), ROOT.bytes());
        let again = place.writer().pin(&file(None)).unwrap_err();
        assert!(matches!(again, Error::PinnedAlready { version: 1, .. }), "{again}");
    }

    #[test]
    fn signatures_that_lie_beside_a_root_must_be_good() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.json");
        fs::write(&path, ROOT.bytes()).unwrap();
        let of_another = Signature::sign(b"another document", &*ROOT_KEY).unwrap();
        let pin = || {
            let store = tempfile::tempdir().unwrap();
            let writer = Store::create(store.path()).unwrap().lock("test").unwrap();
            writer.pin(&RootFile::read(&path).unwrap())
        };
        pin().unwrap();
        [of_another].into_iter().collect::<Signatures>().write_to(dir.path()).unwrap();
        let said = pin().unwrap_err().to_string();
        assert!(said.contains("has 0 of the 1 signatures"), "{said}");
        [sign(&ROOT)].into_iter().collect::<Signatures>().write_to(dir.path()).unwrap();
        pin().unwrap();
    }

    #[test]
    fn every_version_that_followed_is_remembered() {
        let place = Place::new();
        let writer = place.writer();
        let (trusted, signatures) = rotated(4);
        let shorter = Trusted::from(&*ROOT);
        for (brought, newest) in [(&trusted, 4), (&shorter, 4), (&trusted, 4)] {
            writer.remember_roots("bundle", brought, &signatures).unwrap();
            assert_eq!(versions(&place.store.trust().unwrap()), (1, newest));
        }
        let updates = place.store.audit().unwrap().into_iter();
        let seen: Vec<u64> = updates
            .filter_map(|record| match record.event {
                Event::TrustUpdated { version, .. } => Some(version),
                _ => None,
            })
            .collect();
        assert_eq!(seen, [2, 3, 4], "each is told once");
        assert!(place.store.verify(&Unwatched).unwrap().is_whole());
    }

    #[test]
    fn what_is_known_can_be_handed_on() {
        let place = Place::new();
        let (trusted, signatures) = rotated(3);
        assert!(place.store.root_envelope(1).unwrap().is_some(), "it was pinned with its signatures");
        fs::remove_dir_all(place.store.trust_dir().join(SIGNATURES_DIR)).unwrap();
        assert!(place.store.root_envelope(1).unwrap().is_none(), "nobody is known to have signed it");
        place.writer().remember_roots("bundle", &trusted, &signatures).unwrap();
        let mut heard = Trusted::from(&*ROOT);
        for version in [2, 3] {
            let Envelope { document, signatures } = place.store.root_envelope(version).unwrap().unwrap();
            heard.follow(TrustRoot::parse("it", &document).unwrap(), &signatures).unwrap();
        }
        assert_eq!(versions(&heard), (1, 3));
        assert!(place.store.root_envelope(4).unwrap().is_none());
    }

    #[test]
    fn a_crash_leaves_a_chain_that_is_whole() {
        let (trusted, signatures) = rotated(3);
        let all: Vec<&TrustRoot> = trusted.versions().collect();
        let place = Place::new();
        let dir = place.store.trust_dir();
        // Signatures come first, and are nothing by themselves.
        signatures.write_to(&dir).unwrap();
        assert_eq!(versions(&place.store.trust().unwrap()), (1, 1));
        fs::create_dir(dir.join(FOLLOWING_DIR)).unwrap();
        fs::write(place.store.following_file(2), all[1].bytes()).unwrap();
        fs::write(dir.join(FOLLOWING_DIR).join(".tmpA"), all[2].bytes()).unwrap();
        assert_eq!(versions(&place.store.trust().unwrap()), (1, 2));
        place.writer().remember_roots("bundle", &trusted, &signatures).unwrap();
        assert_eq!(versions(&place.store.trust().unwrap()), (1, 3));
    }

    #[test]
    fn a_damaged_chain_is_not_taken_for_a_shorter_one() {
        type Damage = fn(&Store, &Trusted);
        let (trusted, signatures) = rotated(3);
        let cases: [(&str, Damage); 4] = [
            ("version 2 is missing", |store, _| fs::remove_file(store.following_file(2)).unwrap()),
            ("is not valid", |store, _| fs::write(store.following_file(3), "{").unwrap()),
            ("has 0 of the 1 signatures", |store, trusted| {
                let signatures = store.trust_dir().join("signatures");
                fs::remove_dir_all(signatures.join(trusted.newest().digest().hex())).unwrap();
            }),
            ("which does not follow", |store, _| {
                fs::copy(store.following_file(3), store.following_file(2)).unwrap();
            }),
        ];
        for (expected, damage) in cases {
            let place = Place::new();
            Content::new(1, &[b"one"]).stage(&place.writer()).unwrap();
            place.writer().remember_roots("bundle", &trusted, &signatures).unwrap();
            damage(&place.store, &trusted);
            let error = place.store.trust().unwrap_err();
            assert!(matches!(error, Error::TrustDamaged { .. }), "{expected}: {error}");
            assert!(error.to_string().contains(expected), "{expected}: {error}");
            let findings = place.store.verify(&Unwatched).unwrap().findings;
            assert!(findings.iter().any(|finding| finding.what.contains(expected)), "{findings:?}");
        }
    }

    #[test]
    fn what_former_keys_signed_stays_what_it_was() {
        let place = Place::new();
        Content::new(1, &[b"one"]).stage(&place.writer()).unwrap();
        let mut draft = RootDraft::after(&ROOT);
        draft.remove(RoleName::Release, &KEY.public().id());
        draft.add(RoleName::Release, SecretKey::generate(b"").unwrap().0.public().clone());
        let next = draft.finish().unwrap();
        let signatures = [sign(&next)].into_iter().collect();
        let mut trusted = place.store.trust().unwrap();
        trusted.follow(next, &signatures).unwrap();
        place.writer().remember_roots("bundle", &trusted, &signatures).unwrap();
        assert!(place.store.verify(&Unwatched).unwrap().is_whole());
    }
}
