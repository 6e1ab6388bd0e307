//! Is the store whole? Every blob is read and hashed, every document compared with what vouches for it, every Git
//! mirror walked.
//!
//! An error means that it could not be checked; what is wrong with the store is a [`Finding`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rayon::prelude::*;
use sealift_archive::trust::{RoleName, TrustRoot, Trusted};
use sealift_archive::{Blob, Check, Digest, Progress, RepositoryName, Sequence};
use serde::Serialize;

use crate::lock::LOCK_FILE;
use crate::store::{ACTIVATION, LOST_AND_FOUND, PARTS};
use crate::sweep::is_temporary;
use crate::{Error, State, Store, StoredRelease, audit, cluster, mirror, offers, online, peers};

/// How much of a blob is in memory at a time, for each thread.
const READ_BYTES: usize = 1 << 20;

/// What a check of the whole store found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// How many releases there are.
    pub releases: usize,
    /// How many blobs were read.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// How many of the blobs belong to no release: an interrupted import left them for its next try.
    pub unused_blobs: usize,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// One thing that is wrong with a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The kind of trouble.
    pub kind: Trouble,
    /// Where: a path in the store.
    pub path: PathBuf,
    /// What exactly.
    pub what: String,
}

/// Kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Trouble {
    /// Something that a release needs is not there.
    Missing,
    /// Content is there, but is not what was written.
    Changed,
    /// Content is there, and the disk does not give it out: for good, or for the moment.
    Unreadable,
    /// A document of a release is not what was staged.
    Document,
    /// A document is not signed by those who must sign it.
    Unsigned,
    /// A Git mirror is not complete.
    Git,
    /// `current` leads nowhere.
    Pointer,
    /// Something is there that does not belong to a store.
    Foreign,
}

impl Verdict {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.findings.is_empty()
    }

    fn add(&mut self, kind: Trouble, path: impl Into<PathBuf>, what: impl Into<String>) {
        self.findings.push(Finding { kind, path: path.into(), what: what.into() });
    }
}

impl Store {
    /// Bytes that [`Store::verify`] will read.
    ///
    /// # Errors
    /// I/O.
    pub fn content_bytes(&self) -> Result<u64, Error> {
        Ok(self.blob_files()?.iter().map(|file| file.size).sum())
    }

    /// Checks the whole store.
    ///
    /// # Errors
    /// I/O, or the archive's `Interrupted`: then it is not known whether the store is whole.
    pub fn verify(&self, progress: &dyn Progress) -> Result<Verdict, Error> {
        let mut verdict = Verdict::default();
        self.verify_names(&mut verdict)?;
        if let Err(error) = self.active() {
            let Error::BadPointer { .. } = error else { return Err(error) };
            verdict.add(Trouble::Pointer, self.current_link(), error.to_string());
        }
        let mut needs = Needs::default();
        let trusted = match self.trust() {
            Ok(trusted) => Some(trusted),
            Err(Error::TrustDamaged { path, why }) => {
                verdict.add(Trouble::Document, path, why);
                None
            }
            Err(error) => return Err(error),
        };
        for release in self.releases()? {
            verdict.releases += 1;
            self.verify_release(&release, trusted.as_ref(), &mut needs, &mut verdict)?;
        }
        for name in &needs.mirrors {
            progress.go_on()?;
            if let Some(what) = mirror::check(self, name)? {
                verdict.add(Trouble::Git, self.git_path(name), what);
            }
        }
        self.verify_blobs(&needs.blobs, progress, &mut verdict)?;
        Ok(verdict)
    }

    fn verify_release(
        &self,
        release: &StoredRelease,
        trusted: Option<&Trusted>,
        needs: &mut Needs,
        verdict: &mut Verdict,
    ) -> Result<(), Error> {
        if let State::Failed { reason } = release.state() {
            verdict.add(Trouble::Missing, release.dir(), reason.clone());
        } else if !release.is_state_known() {
            // It runs, as `current` says; but nobody would know that it ran.
            verdict.add(Trouble::Document, release.dir(), "its state cannot be read");
        }
        let documents = release.statement_bytes().and_then(|statement| {
            Ok((statement, release.blob_list()?, release.refs()?, release.signatures()?))
        });
        let (statement, blobs, refs, signatures) = match documents {
            Ok(documents) => documents,
            Err(error @ Error::Io(_)) => return Err(error),
            Err(error) => {
                verdict.add(Trouble::Document, release.dir(), error.to_string());
                return Ok(());
            }
        };
        // Everything that a name leads to is on the blob list: so whatever is read below, no name is forgotten.
        let place = release.dir().display().to_string();
        if let Err(error) = refs.check_against(&place, &blobs) {
            verdict.add(Trouble::Document, release.dir(), error.to_string());
        }
        // A release that was taken under the keys of an earlier root stays what it is.
        let is_signed = |trusted: &Trusted| {
            let check =
                |root: &TrustRoot| root.check("release.json", &statement, RoleName::Release, &signatures);
            trusted.versions().any(|root| check(root).is_ok())
        };
        if !trusted.is_none_or(is_signed) {
            verdict.add(Trouble::Unsigned, release.dir(), "the trust root does not vouch for its statement");
        }
        let need = |blob: Blob| (blob.digest, Needed { size: blob.size, by: release.sequence() });
        needs.blobs.extend(blobs.iter().map(need));
        for mirror in mirror::of(self, release.sequence(), &refs) {
            if let Some(lack) = mirror.lacks()? {
                let what = format!("{lack} is missing; release {} needs it", release.sequence());
                verdict.add(Trouble::Git, self.git_path(mirror.name()), what);
            } else {
                needs.mirrors.insert(mirror.name().clone());
            }
        }
        Ok(())
    }

    fn verify_blobs(
        &self,
        wanted: &BTreeMap<Digest, Needed>,
        progress: &dyn Progress,
        verdict: &mut Verdict,
    ) -> Result<(), Error> {
        let files = self.blob_files()?;
        let troubles: Vec<Option<(Trouble, String)>> =
            files.par_iter().map(|file| verify_blob(file, wanted, progress)).collect::<Result<_, _>>()?;
        for (file, trouble) in files.iter().zip(troubles) {
            verdict.blobs += 1;
            verdict.bytes += file.size;
            verdict.unused_blobs += usize::from(!wanted.contains_key(&file.digest));
            if let Some((kind, what)) = trouble {
                verdict.add(kind, &file.path, what);
            }
        }
        for (digest, needed) in wanted {
            if files.binary_search_by_key(digest, |file| file.digest).is_err() {
                let what = format!("it is missing; release {} needs it", needed.by);
                verdict.add(Trouble::Missing, self.blob_path(digest), what);
            }
        }
        Ok(())
    }

    fn verify_names(&self, verdict: &mut Verdict) -> Result<(), Error> {
        let is_part = |name: &str| PARTS.iter().any(|part| Path::new(part).starts_with(name));
        let files = [
            LOCK_FILE,
            audit::AUDIT_FILE,
            ACTIVATION,
            offers::OFFERS,
            online::ONLINE_FILE,
            cluster::CLUSTER_FILE,
            peers::PEERS_FILE,
            LOST_AND_FOUND,
        ];
        let is_file = |name: &str| files.contains(&name);
        let at_root = |name: &str| is_part(name) || is_file(name) || self.current_link().ends_with(name);
        foreign(self.root(), at_root, verdict)?;
        foreign(&self.blobs_dir(), |name| Digest::from_hex(name).is_some(), verdict)?;
        foreign(&self.releases_dir(), |name| name.parse::<Sequence>().is_ok(), verdict)?;
        let is_mirror =
            |name: &str| name.strip_suffix(".git").is_some_and(|name| name.parse::<RepositoryName>().is_ok());
        foreign(&self.git_dir(), is_mirror, verdict)
    }

    /// The files under `blobs/`, sorted by digest.
    fn blob_files(&self) -> Result<Vec<BlobFile>, Error> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.blobs_dir())? {
            let entry = entry?;
            let digest = entry.file_name().to_str().and_then(Digest::from_hex);
            if let Some(digest) = digest {
                files.push(BlobFile { digest, size: entry.metadata()?.len(), path: entry.path() });
            }
        }
        files.sort_unstable_by_key(|file| file.digest);
        Ok(files)
    }
}

/// What the releases need, together.
#[derive(Default)]
struct Needs {
    blobs: BTreeMap<Digest, Needed>,
    mirrors: BTreeSet<RepositoryName>,
}

/// What a release says of a blob.
struct Needed {
    size: u64,
    by: Sequence,
}

struct BlobFile {
    digest: Digest,
    size: u64,
    path: PathBuf,
}

/// Reads a blob, and says what is wrong with it.
fn verify_blob(
    file: &BlobFile,
    wanted: &BTreeMap<Digest, Needed>,
    progress: &dyn Progress,
) -> Result<Option<(Trouble, String)>, Error> {
    let needed = wanted.get(&file.digest);
    let size = needed.map_or(file.size, |needed| needed.size);
    let mut check = Check::new(Blob { digest: file.digest, size });
    let said = match read_through(&file.path, &mut check, progress) {
        Ok(()) => check.finish().err().map(|error| (Trouble::Changed, error.to_string())),
        Err(sealift_archive::Error::Interrupted) => return Err(sealift_archive::Error::Interrupted.into()),
        // A sector that cannot be read.
        Err(error @ sealift_archive::Error::Io(_)) => Some((Trouble::Unreadable, error.to_string())),
        // A file that is too long.
        Err(error) => Some((Trouble::Changed, error.to_string())),
    };
    Ok(said.map(|(kind, what)| match needed {
        Some(needed) => (kind, format!("{what}; release {} needs it", needed.by)),
        None => (kind, what),
    }))
}

fn read_through(
    path: &Path,
    check: &mut Check,
    progress: &dyn Progress,
) -> Result<(), sealift_archive::Error> {
    let mut content = fs::File::open(path)?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        progress.go_on()?;
        let read = content.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        check.update(&buffer[..read])?;
        progress.advance(read as u64);
    }
}

/// Finds what does not belong into a directory.
fn foreign(dir: &Path, belongs: impl Fn(&str) -> bool, verdict: &mut Verdict) -> Result<(), Error> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if !is_temporary(&name) && !name.to_str().is_some_and(&belongs) {
            verdict.add(Trouble::Foreign, entry.path(), "it does not belong to a store");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sealift_archive::release::Descriptor;
    use sealift_archive::{Refs, Sha512, Unwatched, durable};

    use super::*;
    use crate::fixture::{Content, Place};

    type Damage = fn(&Place, &Path);

    #[test]
    fn damage_is_found_and_named() {
        use Trouble::{Changed, Document, Foreign, Git, Missing, Pointer, Unsigned};
        let cases: [(&str, Trouble, Damage); 10] = [
            ("a blob is gone", Missing, |_, blob| fs::remove_file(blob).unwrap()),
            ("a blob has changed", Changed, |_, blob| replace(blob, b"ONE")),
            ("a blob is shorter", Changed, |_, blob| replace(blob, b"on")),
            ("a statement has changed", Document, |p, _| {
                replace(&p.store.root().join("releases/1/release.json"), b"{}");
            }),
            ("a blob list is gone", Document, |p, _| {
                fs::remove_file(p.store.root().join("releases/1/blobs")).unwrap();
            }),
            ("a state has changed", Missing, |p, _| replace(&p.store.root().join("releases/1/state"), b"{}")),
            ("signatures are gone", Unsigned, |p, _| {
                fs::remove_dir_all(p.store.root().join("releases/1/signatures")).unwrap();
            }),
            ("a mirror is gone", Git, |p, _| {
                fs::remove_dir_all(p.store.root().join("git/fleet.git")).unwrap();
            }),
            ("current leads nowhere", Pointer, |p, _| {
                durable::replace_link(Path::new("releases/9"), &p.store.current_link()).unwrap();
            }),
            ("something foreign", Foreign, |p, _| {
                fs::write(p.store.root().join("releases/notes.txt"), "").unwrap();
            }),
        ];
        for (name, kind, damage) in cases {
            let place = Place::new();
            let writer = place.writer();
            Content::with_git(1, 1).stage(&writer).unwrap();
            let second = Content::new(2, &[b"one", b"two"]);
            second.stage(&writer).unwrap();
            let verdict = place.store.verify(&Unwatched).unwrap();
            assert!(verdict.is_whole(), "before {name}: {:?}", verdict.findings);
            assert_eq!((verdict.releases, verdict.blobs, verdict.unused_blobs), (2, 3, 0));
            damage(&place, &place.store.blob_path(&Digest::of(b"one")));
            let findings = place.store.verify(&Unwatched).unwrap().findings;
            assert!(findings.iter().any(|finding| finding.kind == kind), "{name}: {findings:?}");
        }
    }

    #[test]
    fn files_and_second_names_are_content_like_any_other() {
        let place = Place::new();
        let writer = place.writer();
        let refs = |file: &[u8], alias: &[u8]| {
            let Blob { digest, size } = Blob::of(file);
            let (media_type, annotations) = ("text/plain".to_owned(), BTreeMap::new());
            let file = Descriptor { media_type, digest, size, artifact_type: None, annotations };
            let mut refs = Refs::default();
            refs.files.insert("docs/notes.txt".parse().unwrap(), file);
            refs.aliases.insert(Sha512::of(alias), Digest::of(alias));
            refs
        };
        Content::with(1, &[b"notes", b"layer"], refs(b"notes", b"layer"), |_| ()).stage(&writer).unwrap();
        let check = || place.store.verify(&Unwatched).unwrap().findings;
        assert_eq!(check(), []);
        for content in [&b"notes"[..], b"layer"] {
            let path = place.store.blob_path(&Digest::of(content));
            fs::remove_file(&path).unwrap();
            let kinds: Vec<_> = check().into_iter().map(|finding| (finding.kind, finding.path)).collect();
            assert_eq!(kinds, [(Trouble::Missing, path.clone())]);
            replace(&path, content);
        }

        // No reader of archives lets such a release in; but what is signed is not yet right.
        for (sequence, wrong) in [(2, refs(b"other notes", b"layer")), (3, refs(b"notes", b"other layer"))] {
            Content::with(sequence, &[b"notes", b"layer"], wrong, |_| ()).stage(&writer).unwrap();
            let findings = check();
            let [Finding { kind: Trouble::Document, path, what }] = &findings[..] else {
                panic!("{findings:?}")
            };
            assert!(path.ends_with(format!("releases/{sequence}")) && what.contains("not on the blob list"));
            fs::remove_dir_all(path).unwrap();
        }
    }

    fn replace(path: &Path, content: &[u8]) {
        durable::write(path, content).unwrap();
    }
}
