//! A command of an appliance: where it begins, where it must end whatever happens meanwhile, and what is wrong if it does
//! not.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use sealift_archive::{Sequence, Unwatched};
use sealift_store::{Event, Finding, Store, Subject};
use sealift_tests::releases::SMALL_BYTES;

use crate::command::{Around, Command};
use crate::disk::Disk;
use crate::releases::{HOST, RELEASES, STORE};

/// A command, where it begins, and where it must end.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) start: Disk,
    pub(crate) command: Command,
    /// The release that is active before.
    before: Option<u64>,
    /// The releases that become active one after the other; without a switch, that one.
    then: &'static [u64],
    /// What is wrong before, if it is about that.
    damaged: BTreeSet<PathBuf>,
    end: End,
}

/// What is there in the end, whatever happened on the way.
struct End {
    names: BTreeSet<PathBuf>,
    /// Of releases, and of the host.
    states: Vec<String>,
    events: BTreeSet<String>,
}

impl Scenario {
    /// The first release comes to an appliance that has none.
    pub(crate) fn first_import() -> Self {
        Self::new("first import", None, &[], Command::Import(RELEASES.first.clone()), &[1])
    }

    /// The second release comes, and becomes the active one.
    pub(crate) fn upgrade() -> Self {
        let had = [Command::Import(RELEASES.first.clone())];
        Self::new("upgrade", Some(1), &had, Command::Import(RELEASES.second.clone()), &[2])
    }

    /// The second release, which is here, becomes the active one.
    pub(crate) fn activation() -> Self {
        let had = [Command::Import(RELEASES.first.clone()), Command::Stage(RELEASES.second.clone())];
        Self::new("activation", Some(1), &had, Command::Activate(2, Around::Nothing), &[2])
    }

    /// Back to the first release.
    pub(crate) fn rollback() -> Self {
        let had = [Command::Import(RELEASES.first.clone()), Command::Import(RELEASES.second.clone())];
        Self::new("rollback", Some(2), &had, Command::RollBackTo(1, Around::Nothing), &[1])
    }

    /// A blob of the active release has changed, and so has the Git mirror.
    pub(crate) fn repair() -> Self {
        let had = [Command::Import(RELEASES.first.clone()), Command::Import(RELEASES.second.clone())];
        let disk = RELEASES.disk(&had);
        let store = disk.path().join(STORE);
        spoil(&first_file(&store.join("blobs/sha256"), |meta| meta.len() == SMALL_BYTES as u64));
        let packs = store.join("git/fleet.git/objects/pack");
        let index = fs::read_dir(packs).expect("the packs").map(|entry| entry.expect("an entry").path());
        index
            .filter(|path| path.extension().is_some_and(|kind| kind == "idx"))
            .for_each(|index| spoil(&index));
        Self::beginning("repair", Some(2), disk.path(), Command::Repair(RELEASES.second.clone()), &[2])
    }

    /// The second release becomes the active one, and the host is made fit for it.
    pub(crate) fn activation_with_host() -> Self {
        Self::new("activation with a host", Some(1), &host_at(1), Command::Activate(2, Around::Host), &[2])
    }

    /// The second release becomes the active one, is not well, and the first one is active again.
    pub(crate) fn activation_in_vain() -> Self {
        Self::new("activation in vain", Some(1), &host_at(1), Command::ActivateInVain(2), &[2, 1])
    }

    /// Back to the first release, with the host.
    pub(crate) fn rollback_with_host() -> Self {
        Self::new("rollback with a host", Some(2), &host_at(2), Command::RollBackTo(1, Around::Host), &[1])
    }

    /// A release was passed over, so it goes, with a Git repository that no other has.
    pub(crate) fn collection() -> Self {
        let had = [
            Command::Import(RELEASES.first.clone()),
            Command::Stage(RELEASES.second.clone()),
            Command::Import(RELEASES.third.clone()),
        ];
        Self::new("collection", Some(3), &had, Command::Collect, &[3])
    }

    /// An import that was not finished is given up.
    pub(crate) fn given_up() -> Self {
        let had = [Command::Import(RELEASES.first.clone()), Command::Begin(RELEASES.second.clone())];
        Self::new("import given up", Some(1), &had, Command::Collect, &[1])
    }

    /// The second release comes over the network, and becomes the active one.
    pub(crate) fn mirror() -> Self {
        let had = [Command::Import(RELEASES.first.clone())];
        Self::new("mirror", Some(1), &had, Command::Mirror, &[2])
    }

    fn new(
        name: &'static str,
        before: Option<u64>,
        had: &[Command],
        command: Command,
        then: &'static [u64],
    ) -> Self {
        Self::beginning(name, before, RELEASES.disk(had).path(), command, then)
    }

    fn beginning(
        name: &'static str,
        before: Option<u64>,
        disk: &Path,
        command: Command,
        then: &'static [u64],
    ) -> Self {
        let damaged = verify(disk).expect("a check").into_iter().map(|finding| below(&finding.path, disk));
        let damaged = damaged.collect();
        let start = Disk::read(disk);
        command.run(disk).expect("nothing goes wrong the first time");
        let end = End::read(disk).expect("a store that can be read");
        Self { name, start, command, before, then, damaged, end }
    }

    /// Says what is wrong with a disk that was left by a failure, or that comes of going on from there.
    pub(crate) fn trouble(&self, disk: &Path) -> Result<(), String> {
        let told = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
        self.expect_served(disk).map_err(|error| told("after the failure", &error))?;
        self.command.run(disk).map_err(|error| told("the next try", &error))?;
        let findings = verify(disk).map_err(|error| told("after the next try", &error))?;
        if !findings.is_empty() {
            return Err(format!("after the next try: {findings:?}"));
        }
        let end = End::read(disk).map_err(|error| told("after the next try", &error))?;
        self.end.expect(&end)
    }

    /// One of the releases that may be active is, and is whole, as is every other that is there.
    fn expect_served(&self, disk: &Path) -> Result<(), String> {
        let store = Store::open(&disk.join(STORE)).map_err(|error| error.to_string())?;
        let active = store.active().map_err(|error| error.to_string())?.map(Sequence::get);
        if active != self.before && !active.is_some_and(|active| self.then.contains(&active)) {
            return Err(format!("{active:?} is active"));
        }
        let findings = verify(disk).map_err(|error| error.to_string())?;
        let is_new = |path: &Path| !self.damaged.contains(&below(path, disk));
        match findings.iter().find(|finding| is_new(&finding.path)) {
            Some(finding) => Err(format!("{finding:?}")),
            None => Ok(()),
        }
    }
}

impl End {
    fn read(disk: &Path) -> Result<Self, sealift_store::Error> {
        let names = Disk::read(disk).names().into_iter().collect();
        let fit = fs::read_to_string(disk.join(HOST)).ok().map(|release| format!("{HOST} {release}"));
        let store = Store::open(&disk.join(STORE))?;
        let releases = store.releases()?;
        let states = releases.iter().map(|one| format!("{} {}", one.sequence(), one.state()));
        let states = states.chain(fit).collect();
        let events = store.audit()?.into_iter().flat_map(|record| told(&record.event));
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

/// The first release is active and the host is fit for it; the second is staged. Or the second is active as well.
fn host_at(release: u64) -> Vec<Command> {
    let mut had = vec![
        Command::Stage(RELEASES.first.clone()),
        Command::Activate(1, Around::Host),
        Command::Stage(RELEASES.second.clone()),
    ];
    had.extend((release == 2).then_some(Command::Activate(2, Around::Host)));
    had
}

/// What must be in the audit log in the end, if this is.
fn told(event: &Event) -> Vec<String> {
    match event {
        Event::Staged { release, .. } => vec![format!("staged {}", release.sequence)],
        Event::Activated { release, .. } => vec![format!("activated {}", release.sequence)],
        Event::RolledBack { release, .. } => vec![format!("rolled back to {}", release.sequence)],
        Event::ActivationFailed { release, went_back: true, .. } => {
            vec![format!("went back from {}", release.sequence)]
        }
        Event::Collected { releases, imports, .. } => {
            let gone = |release: &Subject| format!("removed {}", release.sequence);
            releases.iter().chain(imports).map(gone).collect()
        }
        _ => Vec::new(),
    }
}

fn verify(disk: &Path) -> Result<Vec<Finding>, sealift_store::Error> {
    Ok(Store::open(&disk.join(STORE))?.verify(&Unwatched)?.findings)
}

fn below(path: &Path, disk: &Path) -> PathBuf {
    path.strip_prefix(disk).unwrap_or(path).to_owned()
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
