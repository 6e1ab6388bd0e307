//! What an appliance does while things go wrong: two releases of a vendor, and the commands that bring them in, switch
//! between them and repair them.
//!
//! A command runs as `sealiftctl` runs it, in this process.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use fs_err as fs;
use sealift_archive::bundle::Unverified;
use sealift_archive::trust::Signatures;
use sealift_archive::{Sequence, Source as _, Unwatched};
use sealift_importer::Error;
use sealift_importer::activation::{Engine, UnderWay};
use sealift_importer::import::{execute, plan};
use sealift_importer::volumes::Search;
use sealift_lab::vendor::image::noise;
use sealift_store::{Event, RootFile, Store};
use sealift_tests::trust::ACME;
use sealift_tests::{Vendor, fixture};
use tempfile::TempDir;

use crate::disk::Disk;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A release has more blobs than are fsynced one by one, more bytes than go into one frame of an archive, and blobs of
/// which the beginning is worth keeping.
const SMALL_LAYERS: u64 = 9;
const SMALL_BYTES: usize = 20_000;
const LARGE_BYTES: usize = 1_400_000;
const SHARED_BYTES: usize = 3_000_000;

/// The vendor's two releases, and stores that hold them.
pub(crate) static RELEASES: LazyLock<Releases> = LazyLock::new(Releases::new);

pub(crate) struct Releases {
    vendor: Vendor,
    pub(crate) first: PathBuf,
    pub(crate) second: PathBuf,
}

impl Releases {
    fn new() -> Self {
        let vendor = Vendor::new(&ACME);
        let [first, second] = [(1, ""), (2, "upgradeFrom: [1.0.0]\n")].map(|(number, follows)| {
            let small = (0..SMALL_LAYERS).map(|seed| noise(100 * number + seed, SMALL_BYTES));
            let large = [noise(1, SHARED_BYTES), noise(10 + number, LARGE_BYTES)];
            let tag = format!("{number}.0");
            vendor.offer("acme/app", &tag, LAYER, &large.into_iter().chain(small).collect::<Vec<_>>());
            let git = vendor.path(format!("gitops-{number}"));
            fixture::write_git_folder(&git);
            fixture::write(&git.join("release"), tag.as_bytes());
            let image = vendor.image(&format!("acme/app:{tag}"));
            let rest = format!(
                "{follows}images:\n{image}git:\n- {{name: fleet, path: gitops-{number}, branch: main}}\n"
            );
            vendor.define(&format!("{number}.0.0"), number, &rest);
            vendor.lock();
            vendor.bundle()
        });
        Self { vendor, first, second }
    }

    /// A store that trusts this vendor, after these commands.
    fn store(&self, commands: &[Command]) -> (TempDir, PathBuf) {
        let dir = place();
        let path = dir.path().join("store");
        let store = Store::open_or_create(&path).expect("an empty store");
        let root = RootFile::read(&self.vendor.path("trust/root.json")).expect("the vendor's trust root");
        store.lock("pin").and_then(|writer| writer.pin(&root)).expect("a pinned trust root");
        for command in commands {
            command.run(&path).expect("nothing goes wrong yet");
        }
        (dir, path)
    }
}

/// A command of an operator.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Import an archive, and activate what is in it.
    Import(PathBuf),
    /// Import an archive.
    Stage(PathBuf),
    /// Activate a release.
    Activate(u64),
    /// Roll back, and be content if that was done already.
    RollBackTo(u64),
    /// Check the store, remove what is damaged, and import an archive that brings it back.
    Repair(PathBuf),
}

impl Command {
    pub(crate) fn run(&self, store: &Path) -> Result<(), Error> {
        let store = Store::open(store)?;
        match self {
            Self::Import(archive) => import(&store, archive, true),
            Self::Stage(archive) => import(&store, archive, false),
            Self::Activate(sequence) => {
                let writer = store.lock("sealiftctl activate")?;
                Engine::plain().activate(&writer, (*sequence).try_into()?)?;
                Ok(())
            }
            Self::RollBackTo(sequence) => {
                let writer = store.lock("sealiftctl rollback")?;
                let is_there = writer.active()? == Some((*sequence).try_into()?);
                if !is_there || UnderWay::of(&writer)?.is_some() {
                    Engine::plain().roll_back(&writer, None)?;
                }
                Ok(())
            }
            Self::Repair(archive) => {
                let writer = store.lock("sealiftctl verify --repair")?;
                let verdict = writer.verify(&Unwatched)?;
                writer.repair(&verdict)?;
                drop(writer);
                import(&store, archive, false)
            }
        }
    }
}

fn import(store: &Store, archive: &Path, activate: bool) -> Result<(), Error> {
    let writer = store.lock("sealiftctl import")?;
    let mut search = Search::new(vec![archive.to_owned()]);
    let bundle = Unverified::on(search.open(&writer)?)?.verify(writer.trust()?)?;
    let signatures: Signatures = bundle.signatures().into_iter().collect();
    writer.remember_roots("stick", bundle.trusted(), &signatures)?;
    let plan = plan(&writer, &bundle, activate)?;
    search.keep(&writer, &bundle, plan.work().map(|step| &step.release.digest))?;
    execute(&writer, &bundle, plan, &Unwatched, &Engine::plain())?;
    Ok(())
}

/// A command, where it begins, and where it must end.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) start: Disk,
    pub(crate) command: Command,
    /// The release that is active before.
    before: Option<u64>,
    /// The release that is active after.
    after: u64,
    /// What is wrong before, if it is about that.
    damaged: BTreeSet<PathBuf>,
    end: End,
}

/// What is there in the end, whatever happened on the way.
struct End {
    names: BTreeSet<PathBuf>,
    states: Vec<String>,
    events: BTreeSet<String>,
}

impl Scenario {
    /// The first release comes to an appliance that has none.
    pub(crate) fn first_import() -> Self {
        Self::new("first import", None, &[], Command::Import(RELEASES.first.clone()), 1)
    }

    /// The second release comes, and becomes the active one.
    pub(crate) fn upgrade() -> Self {
        let had = [Command::Import(RELEASES.first.clone())];
        Self::new("upgrade", Some(1), &had, Command::Import(RELEASES.second.clone()), 2)
    }

    /// The second release, which is here, becomes the active one.
    pub(crate) fn activation() -> Self {
        let had = [Command::Import(RELEASES.first.clone()), Command::Stage(RELEASES.second.clone())];
        Self::new("activation", Some(1), &had, Command::Activate(2), 2)
    }

    /// Back to the first release.
    pub(crate) fn rollback() -> Self {
        let had = [Command::Import(RELEASES.first.clone()), Command::Import(RELEASES.second.clone())];
        Self::new("rollback", Some(2), &had, Command::RollBackTo(1), 1)
    }

    /// A blob of the active release has changed, and so has the Git mirror.
    pub(crate) fn repair() -> Self {
        let had = [Command::Import(RELEASES.first.clone()), Command::Import(RELEASES.second.clone())];
        let (_dir, store) = RELEASES.store(&had);
        spoil(&first_file(&store.join("blobs/sha256"), |meta| meta.len() == SMALL_BYTES as u64));
        let packs = store.join("git/fleet.git/objects/pack");
        let index = fs::read_dir(packs).expect("the packs").map(|entry| entry.expect("an entry").path());
        index
            .filter(|path| path.extension().is_some_and(|kind| kind == "idx"))
            .for_each(|index| spoil(&index));
        Self::beginning("repair", Some(2), &store, Command::Repair(RELEASES.second.clone()), 2)
    }

    fn new(name: &'static str, before: Option<u64>, had: &[Command], command: Command, after: u64) -> Self {
        let (_dir, store) = RELEASES.store(had);
        Self::beginning(name, before, &store, command, after)
    }

    fn beginning(
        name: &'static str,
        before: Option<u64>,
        store: &Path,
        command: Command,
        after: u64,
    ) -> Self {
        let verdict = Store::open(store).and_then(|store| store.verify(&Unwatched)).expect("a check");
        let damaged = verdict.findings.into_iter().map(|finding| below(&finding.path, store)).collect();
        let start = Disk::read(store);
        command.run(store).expect("nothing goes wrong the first time");
        let end = End::read(store).expect("a store that can be read");
        Self { name, start, command, before, after, damaged, end }
    }

    /// Says what is wrong with a store that was left by a failure, or that comes of going on from there.
    pub(crate) fn trouble(&self, store: &Path) -> Result<(), String> {
        let told = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
        self.expect_served(store).map_err(|error| told("after the failure", &error))?;
        self.command.run(store).map_err(|error| told("the next try", &error))?;
        let opened = Store::open(store).map_err(|error| told("after the next try", &error))?;
        let verdict = opened.verify(&Unwatched).map_err(|error| told("after the next try", &error))?;
        if !verdict.is_whole() {
            return Err(format!("after the next try: {:?}", verdict.findings));
        }
        let end = End::read(store).map_err(|error| told("after the next try", &error))?;
        self.end.expect(&end)
    }

    /// The release of before or that of after is active and whole, and so is every other that is there.
    fn expect_served(&self, store: &Path) -> Result<(), String> {
        let opened = Store::open(store).map_err(|error| error.to_string())?;
        let active = opened.active().map_err(|error| error.to_string())?.map(Sequence::get);
        if ![self.before, Some(self.after)].contains(&active) {
            return Err(format!("{active:?} is active"));
        }
        let verdict = opened.verify(&Unwatched).map_err(|error| error.to_string())?;
        let is_new = |path: &Path| !self.damaged.contains(&below(path, store));
        match verdict.findings.iter().find(|finding| is_new(&finding.path)) {
            Some(finding) => Err(format!("{finding:?}")),
            None => Ok(()),
        }
    }
}

impl End {
    fn read(store: &Path) -> Result<Self, sealift_store::Error> {
        let names = Disk::read(store).names().into_iter().collect();
        let store = Store::open(store)?;
        let releases = store.releases()?;
        let states = releases.iter().map(|one| format!("{} {}", one.sequence(), one.state())).collect();
        let events = store.audit()?.into_iter().filter_map(|record| match record.event {
            Event::Staged { release, .. } => Some(format!("staged {}", release.sequence)),
            Event::Activated { release, .. } => Some(format!("activated {}", release.sequence)),
            Event::RolledBack { release, .. } => Some(format!("rolled back to {}", release.sequence)),
            _ => None,
        });
        Ok(Self { names, states, events: events.collect() })
    }

    fn expect(&self, found: &Self) -> Result<(), String> {
        let more: Vec<_> = found.names.difference(&self.names).collect();
        let less: Vec<_> = self.names.difference(&found.names).collect();
        let untold: Vec<_> = self.events.difference(&found.events).collect();
        if found.states != self.states {
            return Err(format!("in the end: {:?}, not {:?}", found.states, self.states));
        }
        if !more.is_empty() || !less.is_empty() || !untold.is_empty() {
            return Err(format!("in the end: left over {more:?}, missing {less:?}, not told {untold:?}"));
        }
        Ok(())
    }
}

/// Free memory from which on stores go there, in bytes. Each is about 10 MB, and containers often have 64 MB in all.
const ENOUGH_MEMORY: u64 = 1 << 30;

/// A directory for stores: in memory if there is enough, for there fsync costs nothing.
pub(crate) fn place() -> TempDir {
    let memory = Path::new("/dev/shm");
    let has_room =
        rustix::fs::statvfs(memory).is_ok_and(|stat| stat.f_bavail * stat.f_frsize >= ENOUGH_MEMORY);
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("sealift-test-");
    let dir = if has_room { builder.tempdir_in(memory) } else { builder.tempdir() };
    dir.expect("a temporary directory")
}

fn below(path: &Path, store: &Path) -> PathBuf {
    path.strip_prefix(store).unwrap_or(path).to_owned()
}

fn first_file(dir: &Path, is_it: impl Fn(&std::fs::Metadata) -> bool) -> PathBuf {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry"));
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.metadata().is_ok_and(|meta| is_it(&meta)))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found.into_iter().next().expect("such a file")
}

/// Changes a byte of a file in place, as a disk does it.
pub(crate) fn spoil(path: &Path) {
    let mut bytes = fs::read(path).expect("the file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("a writable file");
    fs::write(path, bytes).expect("the damage");
}
