//! Planning a collection: what is needed is looked at first, and everything else goes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fs_err as fs;
use sealift_archive::{BlobList, Digest, RepositoryName, Sequence, Statement};
use time::{Duration, OffsetDateTime};

use super::keep::{self, Circumstances, Fate, Goes, Standing};
use super::ledger::Ledger;
use super::steps::{Step, retired};
use super::{Collection, GiveUp, Item, Staying, What};
use crate::git::Git;
use crate::incoming::{Begun, JOURNAL_FILE};
use crate::{Error, Store, StoredRelease, Subject, mirror, parts};

/// How long an unfinished import is kept for another try: a courier may have to come twice.
const KEEP_UNFINISHED: Duration = Duration::weeks(2);

pub(super) fn plan(store: &Store, now: OffsetDateTime, give_up: GiveUp) -> Result<Collection, Error> {
    let mut planner =
        Planner { store, needs: Needs::default(), ledger: Ledger::default(), items: Vec::new() };
    let mut going = Vec::new();
    let mut stays = Vec::new();
    for (release, fate) in judged(store)? {
        match fate {
            Fate::Goes(why) => going.push((release, why)),
            Fate::Stays(why) => {
                let unaccounted = |error| unaccounted(release.dir(), false, error);
                let name = planner.needs.add(&release).map_err(unaccounted)?;
                let release_name = Subject::new(&name, release.digest());
                stays.push(Staying { release: release_name, state: release.state().clone(), why });
            }
        }
    }
    let (mut abandoned, mut unfinished) = (Vec::new(), Vec::new());
    for import in store.begun()? {
        let is_expired = import.last.is_none_or(|last| now - last > KEEP_UNFINISHED);
        if is_expired || give_up == GiveUp::All {
            abandoned.push((import, is_expired));
        } else {
            planner.needs.add_import(&import).map_err(|error| unaccounted(&import.dir, true, error))?;
            unfinished.extend(import.unfinished);
        }
    }

    // In the order in which they are removed: what makes room and needs none comes first.
    let mut steps = planner.releases(&going)?;
    steps.extend(planner.imports(&abandoned)?);
    steps.extend(planner.beginnings()?);
    steps.extend(planner.content()?);
    steps.extend(planner.repositories()?);

    let freed = planner.ledger.freed();
    let items: Vec<Item> = planner
        .items
        .into_iter()
        .zip(&freed)
        .map(|((what, _), &freed_bytes)| Item { what, freed_bytes })
        .collect();
    let freed_bytes = freed.iter().sum();
    Ok(Collection { items, freed_bytes, stays, unfinished, disk: store.disk()?, steps })
}

/// Every release, and what becomes of it.
fn judged(store: &Store) -> Result<Vec<(StoredRelease, Fate)>, Error> {
    // If it is not known what runs, nobody can say what may go.
    store.active()?;
    let situation = store.situation()?;
    let way_back = situation.judge_rollback().ok().map(|known| known.name.sequence);
    let releases = store.releases()?;
    let have_run = store.have_run()?;
    let standing = |release: &StoredRelease| Standing {
        sequence: release.sequence(),
        state: release.state().clone(),
        is_state_known: release.is_state_known(),
        is_being_left: release.is_being_left(),
        has_run: have_run.contains(&release.digest()),
    };
    let standings: Vec<Standing> = releases.iter().map(standing).collect();
    let is_switching = store.activation_journal().exists();
    let fates = keep::judge(&standings, Circumstances { way_back, floor: situation.floor, is_switching });
    Ok(releases.into_iter().zip(fates).collect())
}

fn unaccounted(dir: &Path, is_import: bool, error: Error) -> Error {
    match error {
        Error::Io(_) => error,
        other => Error::Unaccounted { dir: dir.to_owned(), is_import, why: other.to_string() },
    }
}

/// What stays, by content.
#[derive(Default)]
struct Needs {
    blobs: BTreeSet<Digest>,
    repositories: BTreeMap<RepositoryName, NeededRepository>,
}

#[derive(Default)]
struct NeededRepository {
    namespaces: BTreeSet<Sequence>,
    packs: BTreeSet<Digest>,
    /// Packs that an import has loaded, or will.
    coming: BTreeSet<Digest>,
}

impl Needs {
    fn add(&mut self, release: &StoredRelease) -> Result<Statement, Error> {
        let statement = release.statement()?;
        self.blobs.extend(release.blob_list()?.iter().map(|blob| blob.digest));
        for (name, repository) in &release.refs()?.git {
            let needed = self.repositories.entry(name.clone()).or_default();
            needed.namespaces.insert(statement.sequence);
            needed.packs.extend(&repository.packs);
        }
        Ok(statement)
    }

    /// What an import has loaded, or may have. Without a statement it has not come so far as to load anything. Its refs are
    /// written anew by whoever stages it: those that are there may be another's, and lead to packs that go.
    fn add_import(&mut self, import: &Begun) -> Result<(), Error> {
        let Some(documents) = import.documents() else { return Ok(()) };
        self.blobs.extend(documents.blob_list()?.iter().map(|blob| blob.digest));
        for (name, repository) in &documents.refs()?.git {
            self.repositories.entry(name.clone()).or_default().coming.extend(&repository.packs);
        }
        Ok(())
    }
}

/// A plan in the making: items with the blobs that they name first, and the bytes that go with them.
struct Planner<'s> {
    store: &'s Store,
    needs: Needs,
    ledger: Ledger,
    items: Vec<(What, BTreeSet<Digest>)>,
}

impl Planner<'_> {
    fn releases(&mut self, going: &[(StoredRelease, Goes)]) -> Result<Vec<Step>, Error> {
        for (release, why) in going.iter().rev() {
            let named = release.statement().ok().map(|name| Subject::new(&name, release.digest()));
            let what = What::Release {
                sequence: release.sequence(),
                release: named,
                state: release.state().clone(),
                why: *why,
            };
            self.item(what, release.blob_list().ok().as_ref())?;
            self.ledger.add_tree(release.dir())?;
        }
        let dirs: Vec<PathBuf> = going.iter().map(|(release, _)| release.dir().to_owned()).collect();
        Ok(retire(dirs, &self.store.releases_dir()))
    }

    fn imports(&mut self, abandoned: &[(Begun, bool)]) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        for (import, is_expired) in abandoned {
            let list = import.documents().and_then(|documents| documents.blob_list().ok());
            let what = What::Import { import: import.unfinished.clone(), is_expired: *is_expired };
            self.item(what, list.as_ref())?;
            self.ledger.add_tree(&import.dir)?;
            // Without a journal it is no import any more.
            steps.push(Step::Remove(import.dir.join(JOURNAL_FILE)));
            steps.push(Step::Sync(import.dir.clone()));
            steps.push(Step::Clear(import.dir.clone()));
        }
        Ok(steps)
    }

    /// Beginnings of blobs, unless an import needs the rest.
    fn beginnings(&mut self) -> Result<Vec<Step>, Error> {
        let all = parts::all(&self.store.parts_dir())?.into_iter();
        let going: Vec<PathBuf> =
            all.filter(|(_, digest, _)| !self.needs.blobs.contains(digest)).map(|(path, ..)| path).collect();
        self.remove(going, |count| What::Beginnings { count })
    }

    /// Blobs that nothing needs: those that items name are counted there, the others on their own.
    fn content(&mut self) -> Result<Vec<Step>, Error> {
        let mut going = Vec::new();
        for entry in fs::read_dir(self.store.blobs_dir())? {
            let name = entry?.file_name();
            let digest = name.to_str().and_then(Digest::from_hex);
            going.extend(digest.filter(|digest| !self.needs.blobs.contains(digest)));
        }
        let named = |digest: &Digest| self.items.iter().any(|(_, named)| named.contains(digest));
        let (mut steps, unnamed): (Vec<Digest>, Vec<Digest>) = going.into_iter().partition(named);
        steps.sort_unstable();
        let path = |digest: &Digest| self.store.blob_path(digest);
        let mut steps: Vec<Step> = steps.iter().map(path).map(Step::Remove).collect();
        let unnamed = unnamed.iter().map(path).collect();
        steps.extend(self.remove(unnamed, |blobs| What::Content { blobs })?);
        Ok(steps)
    }

    fn repositories(&mut self) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        let mut unnamed = Vec::new();
        for name in mirror::names(self.store)? {
            let dir = self.store.git_path(&name);
            let Some(needed) = self.needs.repositories.remove(&name) else {
                let packs = mirror::pack_stems(&dir)?.len();
                self.item(What::Repository { name, packs, is_whole: true }, None)?;
                self.ledger.add_tree(&dir)?;
                unnamed.push(dir);
                continue;
            };
            steps.extend(self.repository(name, &dir, &needed)?);
        }
        steps.extend(retire(unnamed, &self.store.git_dir()));
        Ok(steps)
    }

    /// Refs and packs that no release has of a repository that stays.
    fn repository(
        &mut self,
        name: RepositoryName,
        dir: &Path,
        needed: &NeededRepository,
    ) -> Result<Vec<Step>, Error> {
        let is_needed = |namespace: &str| {
            namespace.parse::<Sequence>().is_ok_and(|sequence| needed.namespaces.contains(&sequence))
        };
        let git = Git { dir: dir.to_owned(), repository: name.clone() };
        // A repository that Git does not know for one is for a repair, and left alone.
        let Ok(refs) = mirror::refs_outside(&git, is_needed) else { return Ok(Vec::new()) };
        let namespaces = mirror::namespaces(dir)?.into_iter().filter(|namespace| !is_needed(namespace));
        let namespaces: Vec<PathBuf> = namespaces.map(|name| mirror::namespace_dir(dir, &name)).collect();
        let mut packs = BTreeSet::new();
        if let Some(wanted) = self.stems(needed) {
            packs = mirror::pack_stems(dir)?;
            packs.retain(|pack| !wanted.contains(pack));
        }
        if refs.is_empty() && namespaces.is_empty() && packs.is_empty() {
            return Ok(Vec::new());
        }
        let what = What::Repository { name: name.clone(), packs: packs.len(), is_whole: false };
        self.item(what, None)?;
        let mut steps = Vec::new();
        for namespace in &namespaces {
            // Else `HEAD` could be there after a power cut, and not the branch that it leads to.
            steps.extend([Step::Remove(namespace.join(mirror::HEAD)), Step::Sync(namespace.clone())]);
        }
        if !refs.is_empty() {
            steps.push(Step::Unref { repository: name, refs });
        }
        steps.extend(namespaces.into_iter().map(Step::Clear));
        // No ref may come back that leads to what is gone.
        steps.push(Step::SyncAll(dir.to_owned()));
        for file in packs.iter().map(|pack| mirror::pack_files(dir, pack)).collect::<Result<Vec<_>, _>>()? {
            for path in file {
                self.ledger.add(&path)?;
                steps.push(Step::Remove(path));
            }
        }
        Ok(steps)
    }

    /// What Git calls the packs that stay; none if a release lacks one, so that its name is not known.
    fn stems(&self, needed: &NeededRepository) -> Option<BTreeSet<String>> {
        let stem = |pack: &Digest| mirror::pack_name(&self.store.blob_path(pack)).ok();
        let mut stems: BTreeSet<String> = needed.packs.iter().map(stem).collect::<Option<_>>()?;
        stems.extend(needed.coming.iter().filter_map(stem));
        Some(stems)
    }

    fn remove(&mut self, files: Vec<PathBuf>, what: impl Fn(usize) -> What) -> Result<Vec<Step>, Error> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        self.item(what(files.len()), None)?;
        files.iter().try_for_each(|file| self.ledger.add(file))?;
        Ok(files.into_iter().map(Step::Remove).collect())
    }

    /// Begins an item, with the blobs of this list that nothing that stays needs.
    fn item(&mut self, what: What, list: Option<&BlobList>) -> Result<(), Error> {
        self.ledger.begin_item();
        let mut named = BTreeSet::new();
        for blob in list.into_iter().flat_map(BlobList::iter) {
            let is_new = self.items.iter().all(|(_, named)| !named.contains(&blob.digest));
            if is_new && !self.needs.blobs.contains(&blob.digest) {
                self.ledger.add(&self.store.blob_path(&blob.digest))?;
                named.insert(blob.digest);
            }
        }
        self.items.push((what, named));
        Ok(())
    }
}

/// Removes directories: first their names, durably, then what was in them.
fn retire(dirs: Vec<PathBuf>, parent: &Path) -> Vec<Step> {
    if dirs.is_empty() {
        return Vec::new();
    }
    let cleared: Vec<Step> = dirs.iter().map(|dir| Step::Clear(retired(dir))).collect();
    let mut steps: Vec<Step> = dirs.into_iter().map(Step::Retire).collect();
    steps.push(Step::Sync(parent.to_owned()));
    steps.extend(cleared);
    steps
}
