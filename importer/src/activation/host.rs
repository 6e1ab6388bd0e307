//! What an activation has done on the host, mostly by root: a fixed list of actions. Whoever asks gives names and sequences
//! only; the commands behind the names are those of the configuration that [`Direct`] was given.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open, openat};
use sealift_archive::{Progress, Sequence};
use sealift_store::Store;
use serde::{Deserialize, Serialize};

use super::command::Run;
use super::programs::Installer;
use super::{Error, Trouble};
use crate::config::activation::{Activation as Config, CommandLine, Hook};
use sealift_store::journal::hook_file;

/// What starts the registry again if the configuration does not say it.
const RESTART_REGISTRY: [&str; 3] = ["/usr/bin/systemctl", "try-restart", "sealift-registry.service"];
/// How long that may take.
const RESTART_TIMEOUT: Duration = Duration::from_secs(60);

/// One thing to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Action {
    /// Run a hook's command.
    RunHook {
        /// The hook.
        name: String,
        /// Between which releases.
        between: Between,
    },
    /// Run a hook's undo command.
    UndoHook {
        /// The hook.
        name: String,
        /// Between which releases.
        between: Between,
    },
    /// Install the programs of Sealift that a release brings.
    InstallPrograms {
        /// The release.
        release: Sequence,
    },
    /// Start the registry again.
    RestartRegistry,
}

/// The release that is gone to, and the one that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Between {
    /// Where it goes; none: to before the first activation.
    pub to: Option<Sequence>,
    /// Where it comes from; none: from there.
    pub from: Option<Sequence>,
}

/// Who does it.
pub trait Host {
    /// Does it, and gives back the last words of what was run.
    ///
    /// # Errors
    /// It failed, in its own words; or it could not be tried.
    fn act(&self, action: &Action, progress: &dyn Progress) -> Result<String, Trouble>;
}

/// This process does it.
#[derive(Debug)]
pub struct Direct<'a> {
    store: &'a Store,
    config: &'a Config,
}

impl<'a> Direct<'a> {
    /// With the commands of this configuration.
    #[must_use]
    pub fn new(store: &'a Store, config: &'a Config) -> Self {
        Self { store, config }
    }

    fn hook(&self, name: &str) -> Result<&'a Hook, Error> {
        self.config
            .hooks
            .find(name)
            .ok_or_else(|| Error::NotConfigured { what: format!("the hook `{name}`") })
    }

    fn run(
        &self,
        hook: &Hook,
        line: &CommandLine,
        phase: &'static str,
        between: Between,
        progress: &dyn Progress,
    ) -> Result<String, Trouble> {
        let environment = environment(self.store, phase, between)?;
        let input = Some(self.turn_of(&hook.name)?);
        Run { input, ..Run::new(line, &environment, hook.timeout) }.run(progress)
    }

    /// A locked, empty file for a hook to have as its standard input: so if this process is killed and the hook is not, the
    /// next one sees that it is still at work.
    fn turn_of(&self, hook: &str) -> Result<File, Trouble> {
        let file = open_in_place(&hook_file(self.store))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Error::StillAtWork { hook: hook.to_owned() }.into()),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

/// Opens a file, for reading, and makes it if it is not there. This may be root and the directory somebody else's, so neither
/// may be a link that leads elsewhere, and the file none that is known by another name.
fn open_in_place(path: &Path) -> io::Result<File> {
    let named = |why: &dyn fmt::Display| io::Error::other(format!("`{}`: {why}", path.display()));
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(named(&"it has no directory"));
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = open(dir, flags | OFlags::DIRECTORY, Mode::empty()).map_err(|error| named(&error))?;
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
    let file = openat(&dir, name, flags | OFlags::NONBLOCK | OFlags::CREATE, mode);
    let file = File::from(file.map_err(|error| named(&error))?);
    let is = file.metadata()?;
    if is.is_file() && is.nlink() == 1 { Ok(file) } else { Err(named(&"it is not a file of its own")) }
}

impl Host for Direct<'_> {
    fn act(&self, action: &Action, progress: &dyn Progress) -> Result<String, Trouble> {
        match action {
            Action::RunHook { name, between } => {
                let hook = self.hook(name)?;
                self.run(hook, &hook.command, "hook", *between, progress)
            }
            Action::UndoHook { name, between } => {
                let hook = self.hook(name)?;
                match &hook.undo {
                    Some(undo) => self.run(hook, undo, "undo", *between, progress),
                    None => Ok(String::new()),
                }
            }
            Action::InstallPrograms { release } => {
                Installer::new(self.store, &self.config.programs)?.install(*release, progress)?;
                Ok(String::new())
            }
            Action::RestartRegistry => {
                let default = || CommandLine::try_from(RESTART_REGISTRY.map(str::to_owned).to_vec());
                let line = self.config.programs.restart_registry.clone().map_or_else(default, Ok);
                let line = line.map_err(Trouble::Failed)?;
                Run::new(&line, &[], RESTART_TIMEOUT).run(progress)
            }
        }
    }
}

/// What a command of the configuration is told: the release that it is to make things fit for, the one before, and why it is
/// run.
pub(super) fn environment(
    store: &Store,
    phase: &'static str,
    between: Between,
) -> Result<Vec<(&'static str, String)>, crate::Error> {
    let mut variables = vec![
        ("SEALIFT_PHASE", phase.to_owned()),
        ("SEALIFT_STORE", std::path::absolute(store.root())?.display().to_string()),
    ];
    let to = ["SEALIFT_RELEASE", "SEALIFT_SEQUENCE", "SEALIFT_VERSION"];
    let from = ["SEALIFT_FROM_RELEASE", "SEALIFT_FROM_SEQUENCE", "SEALIFT_FROM_VERSION"];
    for (sequence, [digest_name, sequence_name, version_name]) in [(between.to, to), (between.from, from)] {
        let Some(sequence) = sequence else { continue };
        let release = store.release(sequence)?;
        variables.push((digest_name, release.digest().to_string()));
        variables.push((sequence_name, sequence.to_string()));
        variables.push((version_name, release.statement()?.version.to_string()));
    }
    Ok(variables)
}

/// Goes on as another edition of this program.
pub trait Restart {
    /// Replaces this process by `sealiftctl resume`, of the program that is installed now. It gives back only what hindered
    /// it.
    fn restart(&self, program: &Path) -> crate::Error;
}
