//! `<store>/activation/journal`: what an activation has begun, one JSON object a line, each durable before what it says is
//! done. Not there: no activation is under way.
//!
//! A line that names a phase says that it begins and that those before it are done; phases can be repeated, so that is
//! enough to go on after a crash. Programs of other versions read it: what is added to an entry has a default, and an
//! entry or phase that is not known is refused, never passed over.

use std::io;
use std::path::PathBuf;

use fs_err as fs;
use sealift_archive::{Sequence, bounded, durable};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use super::phase::Phase;
pub use super::under_way::UnderWay;
pub use crate::audit::now;
use crate::{Error, Store, Subject, jsonl};

/// Largest journal that is read, in bytes.
const MAX_BYTES: u64 = 16 << 20;
/// Up to this size, in bytes, the journal also takes down what commands said.
const MAX_BYTES_WITH_WORDS: u64 = 1 << 20;

/// Beside the journal: what a running hook holds.
const HOOK_FILE: &str = "hook";

/// The file that a running hook holds, and that is locked as long as it runs.
#[must_use]
pub fn hook_file(store: &Store) -> PathBuf {
    store.activation_journal().with_file_name(HOOK_FILE)
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Entry {
    /// The first line.
    Begin(Begin),
    /// A phase begins.
    At {
        /// When.
        #[serde(with = "time::serde::rfc3339")]
        time: OffsetDateTime,
        /// Which.
        #[serde(flatten)]
        phase: Phase,
    },
    /// The last words of a command.
    Said {
        /// The phase that it belongs to.
        #[serde(flatten)]
        phase: Phase,
        /// The words.
        output: String,
    },
    /// From here, it goes to the other release.
    Turn(Turn),
    /// Something failed, and a person has to say how to go on.
    Stop(Stop),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Begin {
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// The release that is to be active.
    pub to: Subject,
    /// The one that was active before.
    pub from: Option<Subject>,
    /// Whether `to` had been active at some time before.
    pub has_run: bool,
    /// The phases; the first begins.
    pub phases: Vec<Phase>,
    /// The releases that follow, one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<Sequence>,
}

impl Begin {
    /// Whether it leads to an earlier release.
    #[must_use]
    pub fn is_back(&self) -> bool {
        self.from.as_ref().is_some_and(|from| from.sequence > self.to.sequence)
    }
}

/// Of the two releases, the one to go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Goal {
    /// The one that was to be activated.
    To,
    /// The one that was active before.
    From,
}

/// A change of direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// Where it goes from here on.
    pub goal: Goal,
    /// The phase in which it happened, for people.
    pub place: String,
    /// Why.
    pub reason: String,
    /// Whether nobody asked for it.
    pub is_by_itself: bool,
    /// Whether audit log and counters take it for a switch.
    pub is_told: bool,
    /// The phases from here on; the first begins.
    pub phases: Vec<Phase>,
}

/// A failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// The phase, for people.
    pub place: String,
    /// What went wrong.
    pub reason: String,
}

/// The way from one change of direction to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// All of it.
    pub phases: Vec<Phase>,
    /// Which of them has begun last.
    pub at: usize,
    /// How it came about; none for the first.
    pub turn: Option<Turn>,
    /// Whether the last one failed, as far as this process knows, before it changed anything.
    pub is_untouched: bool,
}

impl Leg {
    /// The phases that have begun, and may have changed something.
    #[must_use]
    pub fn begun(&self) -> &[Phase] {
        &self.phases[..self.at + usize::from(!self.is_untouched)]
    }

    /// The phase that has begun last.
    #[must_use]
    pub fn phase(&self) -> &Phase {
        &self.phases[self.at]
    }
}

/// A journal that was read, and can be continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    path: PathBuf,
    /// What is to be done.
    pub begin: Begin,
    /// The ways before the last change of direction.
    earlier: Vec<Leg>,
    /// The way that is gone now.
    pub leg: Leg,
    /// Why it stands still, if it does.
    pub stop: Option<Stop>,
}

impl Journal {
    /// The journal of what is under way, if anything is.
    pub fn read(store: &Store) -> Result<Option<Self>, Error> {
        let path = store.activation_journal();
        let text = match bounded::read(&path, MAX_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        if text.len() as u64 > MAX_BYTES {
            return Err(Error::BadJournal { path, why: format!("it is longer than {MAX_BYTES} bytes") });
        }
        let mut journal: Option<Self> = None;
        for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
            // Half a line: the power went before anything was done about it.
            let Ok(value) = serde_json::from_slice::<serde_json::Value>(line) else { continue };
            let refuse = |why: String| Error::BadJournal {
                path: path.clone(),
                why: format!("line {}: {why}", number + 1),
            };
            let entry: Entry = serde_json::from_value(value).map_err(|error| refuse(error.to_string()))?;
            match (&mut journal, entry) {
                (None, Entry::Begin(begin)) => {
                    journal = Some(Self::begun(path.clone(), begin).map_err(refuse)?);
                }
                (Some(journal), entry) => journal.take_in(entry).map_err(refuse)?,
                (None, _) => return Err(refuse("it does not say what was begun".to_owned())),
            }
        }
        let why = "there is nothing in it".to_owned();
        Ok(Some(journal.ok_or(Error::BadJournal { path, why })?))
    }

    /// Begins a journal, in the place of one that has come to its end.
    pub fn begin(store: &Store, begin: Begin) -> Result<Self, Error> {
        let path = store.activation_journal();
        let mut line = serde_json::to_vec(&Entry::Begin(begin.clone())).map_err(io::Error::from)?;
        line.push(b'\n');
        durable::create_dir_all(path.parent().unwrap_or(store.root()))?;
        durable::write(&path, &line)?;
        Self::begun(path.clone(), begin).map_err(|why| Error::BadJournal { path, why })
    }

    fn begun(path: PathBuf, begin: Begin) -> Result<Self, String> {
        let leg = leg(begin.phases.clone(), None)?;
        Ok(Self { path, begin, earlier: Vec::new(), leg, stop: None })
    }

    fn take_in(&mut self, entry: Entry) -> Result<(), String> {
        match entry {
            Entry::Begin(_) => return Err("it begins twice".to_owned()),
            Entry::At { phase, .. } => {
                let at = self.leg.phases.iter().position(|known| *known == phase);
                self.leg.at = at.ok_or_else(|| format!("phase {phase} was not planned"))?;
                self.leg.is_untouched = false;
                self.stop = None;
            }
            Entry::Said { .. } => {}
            Entry::Turn(turn) => {
                let next = leg(turn.phases.clone(), Some(turn))?;
                self.earlier.push(std::mem::replace(&mut self.leg, next));
                self.stop = None;
            }
            Entry::Stop(stop) => self.stop = Some(stop),
        }
        Ok(())
    }

    /// Whether there was no change of direction.
    #[must_use]
    pub fn is_first_leg(&self) -> bool {
        self.earlier.is_empty()
    }

    /// Everything that has begun, on any of the ways.
    pub fn begun_phases(&self) -> impl Iterator<Item = &Phase> {
        self.earlier.iter().chain([&self.leg]).flat_map(Leg::begun)
    }

    /// Of the two releases, the one that it is going to.
    #[must_use]
    pub fn goal(&self) -> Goal {
        self.leg.turn.as_ref().map_or(Goal::To, |turn| turn.goal)
    }

    /// Whether it is going to a release that was not active before.
    #[must_use]
    pub fn is_forward(&self) -> bool {
        (self.goal() == Goal::To) != self.begin.is_back()
    }

    /// The release that it is going to, and the one that it comes from.
    #[must_use]
    pub fn ends(&self) -> (Option<&Subject>, Option<&Subject>) {
        let (to, from) = (Some(&self.begin.to), self.begin.from.as_ref());
        match self.goal() {
            Goal::To => (to, from),
            Goal::From => (from, to),
        }
    }

    /// The phase with this number begins.
    pub fn enter(&mut self, at: usize) -> Result<(), Error> {
        let phase = self.leg.phases[at].clone();
        self.append(Entry::At { time: now(), phase })
    }

    /// From here, it goes elsewhere.
    ///
    /// # Errors
    /// I/O.
    pub fn turn(&mut self, turn: Turn) -> Result<(), Error> {
        self.append(Entry::Turn(turn))
    }

    /// It stands still from here on.
    ///
    /// # Errors
    /// I/O.
    pub fn stop(&mut self, stop: Stop) -> Result<(), Error> {
        self.append(Entry::Stop(stop))
    }

    /// Takes down what a command said.
    pub fn note(&mut self, output: String) -> Result<(), Error> {
        if output.is_empty() || fs::metadata(&self.path)?.len() > MAX_BYTES_WITH_WORDS {
            return Ok(());
        }
        let phase = self.leg.phase().clone();
        self.append(Entry::Said { phase, output })
    }

    fn append(&mut self, entry: Entry) -> Result<(), Error> {
        jsonl::append(&self.path, &entry)?;
        self.take_in(entry).map_err(|why| Error::BadJournal { path: self.path.clone(), why })
    }

    /// It has come to its end.
    pub fn remove(self) -> Result<(), Error> {
        match fs::remove_file(self.path.with_file_name(HOOK_FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => fs::remove_file(&self.path)?,
        }
        Ok(self.path.parent().map_or(Ok(()), durable::sync_dir)?)
    }
}

fn leg(phases: Vec<Phase>, turn: Option<Turn>) -> Result<Leg, String> {
    if phases.is_empty() {
        Err("there are no phases".to_owned())
    } else {
        Ok(Leg { phases, at: 0, turn, is_untouched: false })
    }
}
