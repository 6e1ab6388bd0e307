//! What setup does: steps, and what each consists of. The same function says what would be done and what is done.

use std::fmt;

use sealift_archive::Digest;
use serde::{Deserialize, Serialize};

use super::Error;
use super::child::Run;
use super::files::{File, Files, Standing};
use super::journal::Journal;
use super::steps::{self, Site};

/// The steps, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepName {
    /// Name, network, time, and who may log in.
    Host,
    /// What may leave and come in.
    Firewall,
    /// Whose releases are taken.
    Trust,
    /// The releases that the image carries.
    Store,
    /// The registry of this node.
    Registry,
    /// `/etc/sealift/appliance.yaml`.
    Configuration,
    /// A release is served.
    Release,
    /// k3s.
    K3s,
    /// Flux.
    Flux,
}

impl StepName {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Host,
        Self::Firewall,
        Self::Trust,
        Self::Store,
        Self::Registry,
        Self::Configuration,
        Self::Release,
        Self::K3s,
        Self::Flux,
    ];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Firewall => "firewall",
            Self::Trust => "trust",
            Self::Store => "store",
            Self::Registry => "registry",
            Self::Configuration => "configuration",
            Self::Release => "release",
            Self::K3s => "k3s",
            Self::Flux => "flux",
        }
    }

    /// What it does.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Host => "name, network, time, and who may log in",
            Self::Firewall => "what may leave, and who may come in",
            Self::Trust => "pin the vendor's trust root",
            Self::Store => "load the releases of the image",
            Self::Registry => "start the registry",
            Self::Configuration => "write the appliance's configuration",
            Self::Release => "let a release be served",
            Self::K3s => "install and start k3s",
            Self::Flux => "let Flux run",
        }
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A file is there, with this in it.
    Put(File),
    /// A file that setup once wrote is not there.
    Remove(&'static str),
    /// A program runs.
    Run(Run),
    /// The registry's authority may vouch for these names and addresses; one that may not is made anew.
    Vouch(Vec<String>),
    /// The token that was given is where k3s looks for it, and nowhere else.
    HandOverToken,
    /// All is well with what runs.
    AwaitHealth,
}

impl Action {
    /// What it does, for the journal; nothing if it has to be done only while there is something to do.
    fn digest(&self) -> Option<String> {
        match self {
            Self::Put(file) => Some(format!("put {} {}", file.path, Digest::of(&file.content))),
            Self::Run(run) if run.is_lacking => None,
            Self::Run(run) => Some(format!("run {}", run.digest())),
            Self::Vouch(names) => Some(format!("vouch {}", names.join(" "))),
            Self::AwaitHealth => Some("health".to_owned()),
            Self::Remove(_) | Self::HandOverToken => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(file) => write!(f, "write {}", file.path),
            Self::Remove(path) => write!(f, "remove {path}"),
            Self::Run(run) => write!(f, "$ {run}"),
            Self::Vouch(names) => {
                write!(f, "see that the registry's certificate is for {}", names.join(", "))
            }
            Self::HandOverToken => f.write_str("hand the token over to k3s"),
            Self::AwaitHealth => f.write_str("wait until all is well"),
        }
    }
}

/// What a step consists of.
#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    pub(super) actions: Vec<Action>,
    /// Why nothing, or not all, is done.
    pub(super) notes: Vec<String>,
    /// What else makes it another step than before.
    pub(super) of: Vec<String>,
}

impl Work {
    pub(super) fn put(&mut self, file: File) {
        self.actions.push(Action::Put(file));
    }

    pub(super) fn run(&mut self, run: Run) {
        self.actions.push(Action::Run(run));
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// By what the journal knows it.
    pub(super) fn digest(&self, system_disk: Digest) -> Digest {
        let parts = self.actions.iter().filter_map(Action::digest).chain(self.of.iter().cloned());
        let text: Vec<String> = parts.chain([system_disk.to_string()]).collect();
        Digest::of(text.join("\n").as_bytes())
    }
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing is to be done.
    Done,
    /// Something is.
    ToDo,
    /// There is nothing that could be done; the notes say why.
    LeftOut,
}

/// A step, as a person is told of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Which.
    pub step: StepName,
    /// What it does.
    pub title: &'static str,
    /// How it stands.
    pub state: State,
    /// What will be done, in its order; a later step may know more once those before it are done.
    pub actions: Vec<String>,
    /// What is to be known about it.
    pub notes: Vec<String>,
}

/// What would be done now.
///
/// # Errors
/// What keeps a step from being looked at.
pub fn plan(site: &Site) -> Result<Vec<Step>, Error> {
    let (journal, files) = (Journal::read(&site.places)?, Files::read(&site.places)?);
    steps::follow(site, &journal)?;
    StepName::ALL
        .into_iter()
        .map(|step| {
            let work = steps::work(site, step, &journal, &files)?;
            let state = state(site, step, &work, &journal, &files)?;
            let actions = if state == State::ToDo {
                work.actions.iter().map(ToString::to_string).collect()
            } else {
                Vec::new()
            };
            Ok(Step { step, title: step.title(), state, actions, notes: work.notes })
        })
        .collect()
}

pub(super) fn state(
    site: &Site,
    step: StepName,
    work: &Work,
    journal: &Journal,
    files: &Files,
) -> Result<State, Error> {
    if work.actions.is_empty() {
        return Ok(if work.notes.is_empty() { State::Done } else { State::LeftOut });
    }
    let mut is_done = true;
    let mut has_other = false;
    for action in &work.actions {
        match action {
            Action::Put(file) => is_done &= files.standing(&site.places, file)? != Standing::Ours,
            Action::Remove(path) => is_done &= !files.is_there(&site.places, path)?,
            Action::HandOverToken => is_done = false,
            Action::Run(run) if run.is_lacking => is_done = false,
            _ => has_other = true,
        }
    }
    let is_known = !has_other || journal.has(step, work.digest(site.system_disk()));
    Ok(if is_done && is_known { State::Done } else { State::ToDo })
}
