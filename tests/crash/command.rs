//! What operators and timers ask an appliance to do, run as `sealiftctl` runs it: in this process, but for the mirror.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sealift_archive::bundle::Unverified;
use sealift_archive::trust::Signatures;
use sealift_archive::{Explain as _, Progress, Sequence, Source as _, Unwatched};
use sealift_importer::Error;
use sealift_importer::activation::{Direct, Engine, Error as Refusal, Switched, UnderWay};
use sealift_importer::config::Config;
use sealift_importer::config::activation::{Check, CommandLine, Probe};
use sealift_importer::import::{execute, plan};
use sealift_importer::volumes::Search;
use sealift_store::{GiveUp, Store, Writer};
use sealift_tests::binaries;

use crate::releases::{RELEASES, STORE};

/// How long to wait for a release to be well that never is.
const PATIENCE: Duration = Duration::from_millis(20);

/// One command.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Import an archive, and activate what is in it.
    Import(PathBuf),
    /// Import an archive.
    Stage(PathBuf),
    /// Import an archive, and stop in the middle.
    Begin(PathBuf),
    /// Activate a release.
    Activate(u64, Around),
    /// Activate a release that is never well, and be content if the old one is active again.
    ActivateInVain(u64),
    /// Roll back, and be content if that was done already.
    RollBackTo(u64, Around),
    /// Check the store, remove what is damaged, and import an archive that brings it back.
    Repair(PathBuf),
    /// Remove what nothing needs, and unfinished imports.
    Collect,
    /// Take what the vendor publishes, and activate it; before that, go on with what was interrupted, as at a start.
    Mirror,
}

/// What a change of the active release has around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Around {
    /// Nothing.
    Nothing,
    /// A hook that makes the host fit, and a look at whether it is.
    Host,
}

/// Why a command did not do it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { code: error.code().to_string(), message: error.to_string(), hint: error.hint() }
    }
}

impl From<sealift_store::Error> for Failure {
    fn from(error: sealift_store::Error) -> Self {
        Error::from(error).into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl Command {
    /// Does it, on an appliance with this data disk.
    pub(crate) fn run(&self, disk: &Path) -> Result<(), Failure> {
        let store = Store::open(&disk.join(STORE))?;
        match self {
            Self::Import(archive) => Ok(import(&store, archive, true, &Unwatched)?),
            Self::Stage(archive) => Ok(import(&store, archive, false, &Unwatched)?),
            Self::Begin(archive) => match import(&store, archive, false, &Impatient::default()) {
                Err(Error::Archive(sealift_archive::Error::Interrupted)) => Ok(()),
                ended => panic!("it did not stop: {ended:?}"),
            },
            Self::Activate(to, around) => Ok(activate(&store, *to, *around)?),
            Self::ActivateInVain(to) => Ok(activate_in_vain(&store, *to)?),
            Self::RollBackTo(to, around) => Ok(roll_back(&store, *to, *around)?),
            Self::Repair(archive) => {
                let writer = store.lock("sealiftctl verify --repair")?;
                let verdict = writer.verify(&Unwatched)?;
                writer.repair(&verdict)?;
                drop(writer);
                Ok(import(&store, archive, false, &Unwatched)?)
            }
            Self::Collect => {
                store.lock("sealiftctl gc")?.collector(GiveUp::All)?.collect()?;
                Ok(())
            }
            Self::Mirror => {
                if store.activation_journal().exists() {
                    finish(program(disk).arg("resume"))?;
                }
                finish(&mut self.program(disk))
            }
        }
    }

    /// The program that does it.
    pub(crate) fn program(&self, disk: &Path) -> process::Command {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let mut arguments = match self {
            Self::Import(_) => words(&["import", "--activate"]),
            Self::Stage(_) | Self::Begin(_) => words(&["import"]),
            Self::Activate(to, _) | Self::ActivateInVain(to) => words(&["activate", &to.to_string()]),
            Self::RollBackTo(..) => words(&["rollback", "--yes"]),
            Self::Repair(_) => words(&["verify", "--repair"]),
            Self::Collect => words(&["gc", "--unfinished"]),
            Self::Mirror => words(&["mirror", "--once"]),
        };
        if let Self::Import(archive) | Self::Stage(archive) | Self::Begin(archive) | Self::Repair(archive) =
            self
        {
            arguments.push(archive.into());
        }
        let mut command = program(disk);
        let config = match self {
            Self::Mirror => Some(&RELEASES.online),
            Self::Activate(_, Around::Host) | Self::RollBackTo(_, Around::Host) => Some(&RELEASES.host),
            _ => None,
        };
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        command.args(arguments);
        command
    }
}

/// `sealiftctl`, on this disk.
fn program(disk: &Path) -> process::Command {
    let mut command = process::Command::new(binaries::path("sealiftctl"));
    command.arg("--json").arg("--store").arg(disk.join(STORE));
    command.env_remove("SEALIFT_STORE").env_remove("SEALIFT_CONFIG").stdin(process::Stdio::null());
    command
}

fn finish(program: &mut process::Command) -> Result<(), Failure> {
    let ended = program.output().expect("the program starts");
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let told: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
    let part = |name: &str| told["error"][name].as_str().map(str::to_owned);
    Err(Failure {
        code: part("code").unwrap_or_else(|| panic!("it ended without an error of its own: {said}")),
        message: part("message").unwrap_or_default(),
        hint: part("hint"),
    })
}

/// Somebody who asks to stop when a part is done.
#[derive(Default)]
struct Impatient(AtomicU64);

/// Bytes of a release after which they do.
const ENOUGH_BYTES: u64 = 700_000;

impl Progress for Impatient {
    fn advance(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn is_interrupted(&self) -> bool {
        self.0.load(Ordering::Relaxed) > ENOUGH_BYTES
    }
}

fn import(store: &Store, archive: &Path, activate: bool, progress: &dyn Progress) -> Result<(), Error> {
    let writer = store.lock("sealiftctl import")?;
    let mut search = Search::new(vec![archive.to_owned()]);
    let bundle = Unverified::on(search.open(&writer)?)?.verify(writer.trust()?)?;
    let signatures: Signatures = bundle.signatures().into_iter().collect();
    writer.remember_roots("stick", bundle.trusted(), &signatures)?;
    let plan = plan(&writer, &bundle, activate)?;
    search.keep(&writer, &bundle, plan.work().map(|step| &step.release.digest))?;
    execute(&writer, &bundle, plan, progress, &Engine::plain())?;
    Ok(())
}

fn activate(store: &Store, to: u64, around: Around) -> Result<(), Error> {
    let writer = store.lock("sealiftctl activate")?;
    let to = to.try_into()?;
    let was_turned = UnderWay::of(&writer)?.is_some_and(|under_way| under_way.turned.is_some());
    let activate = || around.switch(&writer, true, |engine| engine.activate(&writer, to)).map(drop);
    match activate() {
        // What was on its way back goes that way to its end. Then it can be tried again, and the operator is told to.
        Err(Error::Activation(Refusal::WentBack { .. })) if was_turned => activate(),
        ended => ended,
    }
}

/// Where the way back has stopped, the operator goes it to its end.
fn activate_in_vain(store: &Store, to: u64) -> Result<(), Error> {
    let writer = store.lock("sealiftctl activate")?;
    let to: Sequence = to.try_into()?;
    let has_stopped = UnderWay::of(&writer)?.is_some_and(|under_way| under_way.stopped.is_some());
    let done = Around::Host.switch(&writer, has_stopped, |engine| {
        if has_stopped { engine.roll_back(&writer, None) } else { engine.activate(&writer, to) }
    });
    match done {
        Ok(done) if done.to.as_ref().is_some_and(|active| active.sequence == to) => panic!("it was not well"),
        Ok(_) | Err(Error::Activation(Refusal::WentBack { .. })) => Ok(()),
        Err(error) => Err(error),
    }
}

fn roll_back(store: &Store, to: u64, around: Around) -> Result<(), Error> {
    let writer = store.lock("sealiftctl rollback")?;
    let is_there = writer.active()? == Some(to.try_into()?);
    if !is_there || UnderWay::of(&writer)?.is_some() {
        around.switch(&writer, true, |engine| engine.roll_back(&writer, None))?;
    }
    Ok(())
}

impl Around {
    fn switch(
        self,
        writer: &Writer,
        is_well: bool,
        act: impl FnOnce(&Engine<'_>) -> Result<Switched, Error>,
    ) -> Result<Switched, Error> {
        if self == Self::Nothing {
            return act(&Engine::plain());
        }
        let mut config = Config::read(Some(&RELEASES.host))?.activation;
        if !is_well {
            let never = CommandLine::try_from(vec!["/bin/false".to_owned()]).expect("an absolute path");
            let probe = Probe::Command(never);
            config.health.checks.push(Check { name: "never".to_owned(), probe, timeout: PATIENCE });
            config.health.deadline = PATIENCE;
        }
        let host = Direct::new(writer, &config);
        act(&Engine { config: &config, host: &host, has_consent: true, ..Engine::plain() })
    }
}
