//! Git mirrors: bare repositories that releases add packs and refs to.
//!
//! Packs are hard links to blobs, index files are derived from them, and each release has its refs in a Git namespace
//! of its own (gitnamespaces(7)): `refs/namespaces/<sequence>/…`. So what is served follows `current`, and an
//! activation rewrites no ref.
//!
//! A pack comes to a mirror as a push comes to a Git server: it is first checked in a repository apart, and moves over only
//! if every ref of the release leads to a complete history. That history must be in the release's own packs, so packs
//! that no release names can go at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use fs_err as fs;
use sealift_archive::release::GitRepository;
use sealift_archive::{Digest, Refs, RepositoryName, Sequence, durable};

use crate::git::Git;
use crate::{Error, Store};

/// A pack ends with the SHA-1 of what is before it (gitformat-pack(5)); Git names its files after it.
const PACK_CHECKSUM_BYTES: usize = 20;
/// Where Git keeps refs of namespaces (gitnamespaces(7)).
const NAMESPACES: &str = "refs/namespaces";
/// In a namespace, the branch that a clone begins with; always a file of its own.
pub(crate) const HEAD: &str = "HEAD";
const PACKS_DIR: &str = "objects/pack";

/// What a release brings to the mirror of one repository.
#[derive(Debug)]
pub(crate) struct Mirror<'r> {
    store: &'r Store,
    name: &'r RepositoryName,
    repository: &'r GitRepository,
    sequence: Sequence,
}

/// What a release brings to each mirror.
pub(crate) fn of<'r>(store: &'r Store, sequence: Sequence, refs: &'r Refs) -> Vec<Mirror<'r>> {
    let mirror = |(name, repository)| Mirror { store, name, repository, sequence };
    refs.git.iter().map(mirror).collect()
}

/// Reads every object of a mirror, and says what is wrong with it.
pub(crate) fn check(store: &Store, name: &RepositoryName) -> Result<Option<String>, Error> {
    let git = Git { dir: store.git_path(name), repository: name.clone() };
    match git.run("fsck", &["--full", "--no-dangling", "--no-progress"], "") {
        Err(Error::Git { message, .. }) => Ok(Some(message)),
        Err(error) => Err(error),
        Ok(_) => Ok(None),
    }
}

/// Makes durable what Git wrote here: by itself it fsyncs part of that.
pub(crate) fn sync(dir: &Path) -> Result<(), Error> {
    Ok(rustix::fs::syncfs(fs::File::open(dir)?.file()).map_err(std::io::Error::from)?)
}

/// The repositories that have a mirror.
pub(crate) fn names(store: &Store) -> Result<BTreeSet<RepositoryName>, Error> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(store.git_dir())? {
        let name = entry?.file_name();
        names
            .extend(name.to_str().and_then(|name| name.strip_suffix(".git")?.parse::<RepositoryName>().ok()));
    }
    Ok(names)
}

/// The packs of a mirror, by Git's names, whole or not.
pub(crate) fn pack_stems(mirror: &Path) -> Result<BTreeSet<String>, Error> {
    let names = names_in(&mirror.join(PACKS_DIR))?;
    let stem = |name: &String| Some(name.strip_prefix("pack-")?.split_once('.')?.0.to_owned());
    Ok(names.iter().filter_map(stem).collect())
}

/// The files of a pack, that without which Git does not look at the others first.
pub(crate) fn pack_files(mirror: &Path, stem: &str) -> Result<Vec<PathBuf>, Error> {
    let packs = mirror.join(PACKS_DIR);
    let mut files: Vec<PathBuf> = names_in(&packs)?
        .iter()
        .filter(|name| {
            name.strip_prefix("pack-").and_then(|n| n.split_once('.')).is_some_and(|n| n.0 == stem)
        })
        .map(|name| packs.join(name))
        .collect();
    files.sort_by_key(|file| file.extension() != Some("idx".as_ref()));
    Ok(files)
}

/// The namespaces of a mirror that have refs in files of their own, or had some.
pub(crate) fn namespaces(mirror: &Path) -> Result<Vec<String>, Error> {
    names_in(&mirror.join(NAMESPACES))
}

/// Where the refs of a namespace are that have files of their own.
pub(crate) fn namespace_dir(mirror: &Path, namespace: &str) -> PathBuf {
    mirror.join(NAMESPACES).join(namespace)
}

/// The refs of a mirror that are in none of the needed namespaces, [`HEAD`] excepted.
pub(crate) fn refs_outside(git: &Git, is_needed: impl Fn(&str) -> bool) -> Result<Vec<String>, Error> {
    let listing = git.run("for-each-ref", &["--format=%(refname)", NAMESPACES], "")?;
    let is_outside = |name: &&str| {
        let namespace = name.strip_prefix(NAMESPACES).and_then(|rest| rest[1..].split_once('/'));
        namespace.is_some_and(|(namespace, name)| name != HEAD && !is_needed(namespace))
    };
    Ok(listing.lines().filter(is_outside).map(str::to_owned).collect())
}

/// The names in a directory, if it is there.
fn names_in(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().to_str().map(str::to_owned));
    }
    Ok(names)
}

impl Mirror<'_> {
    /// The repository's name.
    pub(crate) fn name(&self) -> &RepositoryName {
        self.name
    }

    /// The packs that the repository is made of.
    pub(crate) fn packs(&self) -> &[Digest] {
        &self.repository.packs
    }

    /// Checks the new packs in a repository under `scratch`; the mirror is not touched.
    ///
    /// # Errors
    /// [`Error::Git`] if a pack is damaged, or what a ref leads to is not complete.
    pub(crate) fn prepare(&self, scratch: &Path) -> Result<(), Error> {
        let git = self.git(self.scratch_dir(scratch));
        if git.dir.is_dir() {
            fs::remove_dir_all(&git.dir)?;
        }
        durable::create_dir_all(scratch)?;
        git.run("init", &["--bare", "--quiet", "--template="], "")?;
        for digest in &self.repository.packs {
            let blob = self.store.blob_path(digest);
            let name = pack_name(&blob)?;
            let file = |kind| pack_file(&git.dir.join("objects"), &name, kind);
            fs::hard_link(&blob, file("pack"))?;
            if is_indexed(&self.objects_dir(), &name, &blob)? {
                fs::hard_link(pack_file(&self.objects_dir(), &name, "idx"), file("idx"))?;
            } else {
                git.run("index-pack", &["--strict", &file("pack").display().to_string()], "")?;
            }
        }
        let mut tips = String::new();
        for object in self.repository.refs.values() {
            writeln!(tips, "{object}").expect("a string takes all text");
        }
        git.run("rev-list", &["--objects", "--quiet", "--stdin"], &tips)?;
        Ok(())
    }

    /// Moves what was prepared into the mirror, and writes the refs. Can be repeated after a crash at any point.
    pub(crate) fn publish(&self, scratch: &Path) -> Result<(), Error> {
        let git = self.git(self.store.git_path(self.name));
        let prepared = self.scratch_dir(scratch);
        if !git.dir.is_dir() {
            // It takes its place whole: Git makes a repository of many files, and not all of them durable.
            sync(&prepared)?;
            fs::rename(&prepared, &git.dir)?;
            durable::sync_dir(&self.store.git_dir())?;
        }
        let prepared = prepared.join("objects");
        for digest in &self.repository.packs {
            let blob = self.store.blob_path(digest);
            let name = pack_name(&blob)?;
            if is_indexed(&self.objects_dir(), &name, &blob)? {
                continue;
            }
            // By way of the scratch repository, so that a damaged pack is replaced while Git serves from here.
            fs::rename(pack_file(&prepared, &name, "pack"), pack_file(&self.objects_dir(), &name, "pack"))?;
            // Git takes a pack for present once it sees the index, so that comes last.
            let index = pack_file(&prepared, &name, "idx");
            fs::File::open(&index)?.sync_all()?;
            fs::rename(index, pack_file(&self.objects_dir(), &name, "idx"))?;
        }
        if self.objects_dir().join("pack").is_dir() {
            durable::sync_dir(&self.objects_dir().join("pack"))?;
        }
        self.write_refs(&git)
    }

    /// What of this release the mirror lacks, if anything: a ref, or the object that one leads to.
    pub(crate) fn lacks(&self) -> Result<Option<String>, Error> {
        let git = self.git(self.store.git_path(self.name));
        if !git.dir.is_dir() {
            return Ok(Some(format!("the Git mirror `{}`", self.name)));
        }
        let present = match self.read_refs(&git) {
            Err(Error::Git { message, .. }) => return Ok(Some(message)),
            present => present?,
        };
        let lacking = self.wanted_refs().into_iter().find(|(name, object)| present.get(name) != Some(object));
        Ok(lacking.map(|(name, _)| format!("the ref `{name}` of `{}`", self.name)))
    }

    fn write_refs(&self, git: &Git) -> Result<(), Error> {
        let wanted = self.wanted_refs();
        let present = self.read_refs(git)?;
        let mut changes = String::new();
        // Another release of this sequence may have come as far as here, and was never staged.
        for name in present.keys().filter(|name| !wanted.contains_key(*name)) {
            writeln!(changes, "delete {name}").expect("a string takes all text");
        }
        for (name, object) in wanted.iter().filter(|(name, object)| present.get(*name) != Some(object)) {
            if let Target::Object(object) = object {
                writeln!(changes, "update {name} {object}").expect("a string takes all text");
            }
        }
        git.run("update-ref", &["--stdin"], &changes)?;
        let head = (self.in_namespace(HEAD), Target::Ref(self.in_namespace(&self.repository.head)));
        if present.get(&head.0) == Some(&head.1) {
            return Ok(());
        }
        // Else HEAD could be there after a power cut, and not the ref that it leads to.
        sync(&git.dir)?;
        self.write_head(git, &head.0)
    }

    /// As `git symbolic-ref` does it (gitrepository-layout(5)), which fsyncs nothing: after a power cut, an empty file
    /// would be a broken ref in the midst of what is served.
    fn write_head(&self, git: &Git, name: &str) -> Result<(), Error> {
        let file = git.dir.join(name);
        file.parent().map_or(Ok(()), durable::create_dir_all)?;
        let target = self.in_namespace(&self.repository.head);
        Ok(durable::write(&file, format!("ref: {target}\n").as_bytes())?)
    }

    /// The release's refs as they are in the mirror. Git fails here if an object is missing.
    fn read_refs(&self, git: &Git) -> Result<BTreeMap<String, Target>, Error> {
        let format = "--format=%(refname) %(objectname) %(objecttype) %(symref)";
        let listing = git.run("for-each-ref", &[format, &self.in_namespace("")], "")?;
        let parse = |line: &str| {
            let mut words = line.split(' ');
            let (name, object, _type) = (words.next()?, words.next()?, words.next()?);
            let target = match words.next() {
                Some(symref) if !symref.is_empty() => Target::Ref(symref.to_owned()),
                _ => Target::Object(object.to_owned()),
            };
            Some((name.to_owned(), target))
        };
        Ok(listing.lines().filter_map(parse).collect())
    }

    fn wanted_refs(&self) -> BTreeMap<String, Target> {
        let object = |(name, object): (&String, &sealift_archive::release::ObjectId)| {
            (self.in_namespace(name), Target::Object(object.to_string()))
        };
        let head = (self.in_namespace(HEAD), Target::Ref(self.in_namespace(&self.repository.head)));
        self.repository.refs.iter().map(object).chain([head]).collect()
    }

    fn in_namespace(&self, name: &str) -> String {
        format!("{NAMESPACES}/{}/{name}", self.sequence)
    }

    fn git(&self, dir: PathBuf) -> Git {
        Git { dir, repository: self.name.clone() }
    }

    fn objects_dir(&self) -> PathBuf {
        self.store.git_path(self.name).join("objects")
    }

    fn scratch_dir(&self, scratch: &Path) -> PathBuf {
        scratch.join(format!("{}.git", self.name))
    }
}

/// What a ref leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Object(String),
    Ref(String),
}

/// Whether a repository has this very file as a pack, and an index of it. After damage, or in a store that was copied
/// file by file, the pack is another file than the blob.
fn is_indexed(objects: &Path, pack: &str, blob: &Path) -> Result<bool, Error> {
    use std::os::unix::fs::MetadataExt as _;

    let (pack, index) = (pack_file(objects, pack, "pack"), pack_file(objects, pack, "idx"));
    if !pack.is_file() || !index.is_file() {
        return Ok(false);
    }
    Ok(fs::metadata(pack)?.ino() == fs::metadata(blob)?.ino())
}

fn pack_file(objects: &Path, pack: &str, kind: &str) -> PathBuf {
    objects.join("pack").join(format!("pack-{pack}.{kind}"))
}

/// The name that Git gives to a pack.
pub(crate) fn pack_name(pack: &Path) -> Result<String, Error> {
    let mut file = fs::File::open(pack)?;
    let too_short = || Error::damaged(pack, "it is too short for a pack");
    let length = file.metadata()?.len();
    let start = length.checked_sub(PACK_CHECKSUM_BYTES as u64).ok_or_else(too_short)?;
    file.seek(SeekFrom::Start(start))?;
    let mut checksum = [0; PACK_CHECKSUM_BYTES];
    file.read_exact(&mut checksum)?;
    Ok(hex::encode(checksum))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::fixture::{Content, Place, fleet, fleet_in_packs};

    fn git(place: &Place, command: &'static str, args: &[&str]) -> String {
        let repository: RepositoryName = "fleet".parse().unwrap();
        Git { dir: place.store.git_path(&repository), repository }.run(command, args, "").unwrap()
    }

    #[test]
    fn each_release_has_its_own_namespace_over_shared_objects() {
        let place = Place::new();
        let writer = place.writer();
        let config =
            || fs::metadata(place.store.git_path(&"fleet".parse().unwrap()).join("config")).unwrap().ino();
        Content::with_git(1, 1).stage(&writer).unwrap();
        let made = config();
        Content::with_git(2, 3).stage(&writer).unwrap();
        // Git writes its configuration anew without an fsync.
        assert_eq!(config(), made, "what is served from is not made again");
        for (namespace, commits) in [("1", "1"), ("2", "3")] {
            let main = format!("refs/namespaces/{namespace}/refs/heads/main");
            assert_eq!(git(&place, "rev-list", &["--count", &main]).trim(), commits);
            let head = git(&place, "symbolic-ref", &[&format!("refs/namespaces/{namespace}/HEAD")]);
            assert_eq!(head.trim(), main);
        }
        for release in place.store.releases().unwrap() {
            let refs = release.refs().unwrap();
            let mirrors = of(&place.store, release.sequence(), &refs);
            assert_eq!(mirrors[0].lacks().unwrap(), None);
            assert_eq!(check(&place.store, mirrors[0].name()).unwrap(), None);
            let pack = place.store.blob_path(&refs.git.values().next().unwrap().packs[0]);
            let meta = fs::metadata(&pack).unwrap();
            assert_eq!((meta.nlink(), meta.mode() & 0o777), (2, 0o444), "a hard link, and nobody may write");
        }
    }

    #[test]
    fn a_release_adds_a_small_pack_to_those_of_the_one_before() {
        let stage = |sequence: u64, commits: &[usize], writer: &crate::Writer| {
            let (repository, packs) = fleet_in_packs(commits);
            let mut refs = Refs::default();
            refs.git.insert("fleet".parse().unwrap(), repository);
            let packs: Vec<&[u8]> = packs.iter().map(Vec::as_slice).collect();
            Content::with(sequence, &packs, refs, |_| ()).stage(writer)
        };
        // All at once on a new appliance, and one after the other.
        let (new, old) = (Place::new(), Place::new());
        stage(3, &[4, 1, 2], &new.writer()).unwrap();
        for (sequence, commits) in [(1, &[4][..]), (2, &[4, 1]), (3, &[4, 1, 2])] {
            stage(sequence, commits, &old.writer()).unwrap();
        }
        for place in [&new, &old] {
            let head = "refs/namespaces/3/refs/heads/main";
            assert_eq!(git(place, "rev-list", &["--count", head]).trim(), "7");
            let counted = git(place, "count-objects", &["-v"]);
            assert!(counted.contains("packs: 3"), "{counted}");
            let refs = place.store.releases().unwrap().last().unwrap().refs().unwrap();
            for pack in &refs.git.values().next().unwrap().packs {
                assert_eq!(fs::metadata(place.store.blob_path(pack)).unwrap().nlink(), 2, "a hard link");
            }
            assert_eq!(check(&place.store, &"fleet".parse().unwrap()).unwrap(), None);
        }
    }

    #[test]
    fn a_repeated_import_finds_everything_done() {
        let place = Place::new();
        let content = Content::with_git(1, 2);
        content.stage(&place.writer()).unwrap();
        let before = git(&place, "for-each-ref", &[]);
        content.stage(&place.writer()).unwrap();
        assert_eq!(git(&place, "for-each-ref", &[]), before);
    }

    #[test]
    fn an_unfinished_release_of_the_same_sequence_leaves_no_refs() {
        let place = Place::new();
        let writer = place.writer();
        let (mut repository, pack) = fleet(2);
        // The tag is only in the first of the two releases, which is published and never staged.
        let first = repository.clone();
        repository.refs.remove("refs/tags/v1");
        let mut refs = Refs::default();
        refs.git.insert("fleet".parse().unwrap(), first);
        let unfinished = Content::with(1, &[&pack], refs.clone(), |_| ());
        refs.git.insert("fleet".parse().unwrap(), repository);
        let finished = Content::with(1, &[&pack], refs, |_| ());
        fs::write(place.store.blob_path(&Digest::of(&pack)), &pack).unwrap();
        let scratch = tempfile::tempdir_in(place.dir.path()).unwrap();
        for mirror in of(&place.store, 1.try_into().unwrap(), &unfinished.release.refs) {
            mirror.prepare(scratch.path()).unwrap();
            mirror.publish(scratch.path()).unwrap();
        }
        assert!(git(&place, "for-each-ref", &[]).contains("tags/v1"));
        finished.stage(&writer).unwrap();
        assert!(!git(&place, "for-each-ref", &[]).contains("tags/v1"));
    }

    #[test]
    fn what_is_not_whole_never_reaches_the_mirror() {
        let (repository, pack) = fleet(2);
        let refuse = |change: &dyn Fn(&mut GitRepository, &mut Vec<u8>)| {
            let place = Place::new();
            let writer = place.writer();
            Content::with_git(1, 1).stage(&writer).unwrap();
            let before = (git(&place, "for-each-ref", &[]), git(&place, "count-objects", &["-v"]));
            let (mut repository, mut pack) = (repository.clone(), pack.clone());
            change(&mut repository, &mut pack);
            repository.packs = vec![Digest::of(&pack)];
            let mut refs = Refs::default();
            refs.git.insert("fleet".parse().unwrap(), repository);
            let error = Content::with(2, &[&pack], refs, |_| ()).stage(&writer).unwrap_err();
            let after = (git(&place, "for-each-ref", &[]), git(&place, "count-objects", &["-v"]));
            assert_eq!(before, after, "{error}");
            assert_eq!(place.states(), ["1 staged"], "{error}");
            error.to_string()
        };
        let said = refuse(&|_, pack| {
            let middle = pack.len() / 2;
            pack[middle] ^= 1;
        });
        assert!(said.contains("`git index-pack` refused the repository `fleet`"), "{said}");
        let said = refuse(&|_, pack| *pack = fleet_in_packs(&[3, 1]).1.remove(1));
        assert!(said.contains("refused the repository `fleet`"), "without the pack before it: {said}");
        let said = refuse(&|_, pack| pack.truncate(10));
        assert!(said.contains("too short"), "{said}");
        let said = refuse(&|repository, _| {
            let nowhere = "1".repeat(40).parse().unwrap();
            repository.refs.insert("refs/heads/main".to_owned(), nowhere);
        });
        assert!(said.contains("`git rev-list` refused the repository `fleet`"), "{said}");
    }
}
