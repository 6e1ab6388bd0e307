//! Does what there is to do, one step after the other. It may be cut off anywhere: what was done stays, and the next run goes on.

use std::collections::BTreeSet;
use std::fs::TryLockError;
use std::path::Path;

use fs_err as fs;
use sealift_archive::durable;
use serde_json::Value;

use super::Error;
use super::child::{By, Failed, Program, Run, Runner};
use super::files::Files;
use super::journal::{Journal, Node};
use super::kept;
use super::plan::{Action, State, StepName, state};
use super::steps::{self, K3S_TOKEN, REGISTRY_DIR, Site};

const LOCK: &str = "lock";

/// What is told while it goes on.
#[derive(Debug)]
pub enum News<'a> {
    /// A step begins.
    Begins {
        /// Which.
        step: StepName,
        /// The how manieth.
        number: usize,
        /// Of how many.
        of: usize,
    },
    /// Something is done now, as a person would type it.
    Does(&'a str),
    /// What a program says.
    Says(&'a str),
    /// Something to know.
    Note(&'a str),
}

/// Who is told, and who knows when all is well.
pub trait Watcher {
    /// Takes the news.
    fn tell(&self, news: &News<'_>);

    /// Waits until what runs is well.
    ///
    /// # Errors
    /// In words what is not.
    fn await_health(&self) -> Result<(), String>;
}

/// Nobody else sets this appliance up as long as this lives.
#[derive(Debug)]
pub struct Guard(#[expect(dead_code, reason = "it is held, not read")] fs::File);

impl Guard {
    /// Keeps others out.
    ///
    /// # Errors
    /// [`Error::Busy`], or I/O.
    pub fn new(site: &super::places::Places) -> Result<Self, Error> {
        let path = site.own(LOCK);
        durable::create_dir_all(durable::parent_of(&path))?;
        let file = fs::File::options().write(true).create(true).truncate(false).open(&path)?;
        match file.file().try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(Error::Busy),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

/// Does all steps that are to be done. Gives back those.
///
/// # Errors
/// [`Error::Step`] if one fails; [`Error::NotFollowed`] before anything is done; what cannot be read or written.
pub fn execute(site: &Site, watcher: &dyn Watcher, _guard: &Guard) -> Result<BTreeSet<StepName>, Error> {
    let mut done = BTreeSet::new();
    let (mut journal, mut files) = (Journal::read(&site.places)?, Files::read(&site.places)?);
    steps::follow(site, &journal)?;
    for (index, step) in StepName::ALL.into_iter().enumerate() {
        let work = steps::work(site, step, &journal, &files)?;
        let state = state(site, step, &work, &journal, &files)?;
        let begins = News::Begins { step, number: index + 1, of: StepName::ALL.len() };
        match state {
            State::Done => continue,
            State::LeftOut => {
                watcher.tell(&begins);
                work.notes.iter().for_each(|note| watcher.tell(&News::Note(note)));
                continue;
            }
            State::ToDo => watcher.tell(&begins),
        }
        work.notes.iter().for_each(|note| watcher.tell(&News::Note(note)));
        if step == StepName::K3s {
            // From here on Kubernetes may know it.
            let name = site.answers.hostname.clone();
            let node = Node { name, address: site.address(true)?, role: site.answers.role.name() };
            journal.know(&site.places, node)?;
        }
        for action in &work.actions {
            act(site, step, action, &mut files, watcher)?;
        }
        journal.conclude(&site.places, step, work.digest(site.system_disk()))?;
        done.insert(step);
    }
    Ok(done)
}

fn act(
    site: &Site,
    step: StepName,
    action: &Action,
    files: &mut Files,
    watcher: &dyn Watcher,
) -> Result<(), Error> {
    let tell = |line: &str| watcher.tell(&News::Says(line));
    let runner = Runner { programs: &site.programs, owner: site.owner(), tell: &tell };
    let failed = |what: String, why: String| Error::Step { step, what, why };
    match action {
        Action::Put(file) => {
            if let Some(note) = files.put(&site.places, file)? {
                watcher.tell(&News::Note(&note));
            }
        }
        Action::Remove(path) => files.remove(&site.places, path)?,
        Action::Run(run) => {
            watcher.tell(&News::Does(&run.to_string()));
            let refused = runner.run(run).map_err(|Failed { why, .. }| failed(run.to_string(), why))?;
            if let Some(why) = refused {
                watcher.tell(&News::Note(&format!("refused, and what is here stays: {why}")));
            }
        }
        Action::Vouch(names) => {
            let lacks = lacks(site, &runner, names)
                .map_err(|Failed { why, .. }| failed("sealift-registry tls show".to_owned(), why))?;
            if !lacks.is_empty() {
                watcher.tell(&News::Note(&format!(
                    "the registry's authority was made before {} was known, and is made anew",
                    lacks.join(", ")
                )));
                remove(&site.places.at(REGISTRY_DIR), &["ca.crt", "ca.key"])?;
            }
        }
        Action::HandOverToken => {
            if let Some(token) = kept::token(&site.places)? {
                let path = site.places.at(K3S_TOKEN);
                durable::create_dir_all(durable::parent_of(&path))?;
                durable::write_secret(&path, token.reveal().as_bytes())?;
            }
            kept::forget_token(&site.places)?;
        }
        Action::AwaitHealth => {
            watcher.tell(&News::Does("wait until all is well"));
            watcher.await_health().map_err(|why| failed("waiting until all is well".to_owned(), why))?;
        }
    }
    Ok(())
}

/// The names for which the registry's authority may not vouch; none if there is no authority yet.
fn lacks(site: &Site, runner: &Runner<'_>, names: &[String]) -> Result<Vec<String>, Failed> {
    let dir = site.places.at(REGISTRY_DIR);
    if !dir.join("ca.crt").exists() {
        return Ok(Vec::new());
    }
    let dir = dir.display().to_string();
    let show = Run { by: By::Root, ..Run::new(Program::Registry, &["tls", "show", "--json", "--dir", &dir]) };
    let shown: Value = serde_json::from_slice(&runner.output(&show)?).unwrap_or_default();
    let known: Vec<&str> = shown["certificates"][0]["names"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    Ok(names.iter().filter(|name| !known.contains(&name.as_str())).cloned().collect())
}

fn remove(dir: &Path, names: &[&str]) -> Result<(), Error> {
    for name in names {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(durable::sync_dir(dir)?)
}
