//! An appliance on a disk that can be cut off or full, beside its model.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use fastrand::Rng;
use sealift_archive::Unwatched;
use sealift_store::Store;

use super::chain::CHAIN;
use super::command::{Answer, Command, Mishap, Remedy, Turn, resume};
use super::model::{Course, Model};
use crate::disk::{Disk, Operation, crash_state};
use crate::mount::Mounted;

/// Where the Git mirror has its packs, and the refs of each release.
const PACKS: &str = "git/fleet.git/objects/pack";
const NAMESPACES: &str = "git/fleet.git/refs/namespaces";

/// How often something happened.
#[derive(Default)]
pub(super) struct Tally {
    done: Cell<usize>,
    refused: Cell<usize>,
    without_room: Cell<usize>,
    cut_off: Cell<usize>,
    /// Of the last two, those that left the appliance somewhere between beginning and end.
    midway: Cell<usize>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, refused, without_room, cut_off, midway } = self;
        write!(
            f,
            "{} commands done, {} refused, {} without room, {} cut off; {} midway",
            done.get(),
            refused.get(),
            without_room.get(),
            cut_off.get(),
            midway.get()
        )
    }
}

fn count(cell: &Cell<usize>) {
    cell.set(cell.get() + 1);
}

pub(super) struct Appliance<'a> {
    tally: &'a Tally,
    mounted: Mounted,
    /// What was on the disk when it was mounted, and all that was done to it since: what one command has not made durable
    /// is not durable for the next one either.
    start: Disk,
    log: Vec<Operation>,
    model: Model,
}

impl<'a> Appliance<'a> {
    /// One without a release.
    pub(super) fn new(tally: &'a Tally) -> Self {
        let start = CHAIN.empty.clone();
        let mounted = Mounted::logged(start.clone());
        let model = Model::of(&open(&mounted).expect("a store")).expect("a store that can be read");
        Self { tally, mounted, start, log: Vec::new(), model }
    }

    /// Plays a turn, and says what is wrong with how that ends.
    pub(super) fn play(&mut self, turn: Turn) -> Result<(), String> {
        let begun = self.model.clone();
        self.turn(turn).map_err(|trouble| format!("{turn:?}: {trouble}\nbefore: {begun:?}"))
    }

    /// Runs a command while nothing goes wrong.
    pub(super) fn calmly(&mut self, command: Command) -> Result<(), String> {
        self.play(Turn { command, mishap: Mishap::None, remedy: Remedy::Again })
    }

    fn turn(&mut self, Turn { command, mishap, remedy }: Turn) -> Result<(), String> {
        let course = self.model.course(command);
        command.prepare(self.mounted.path());
        self.note();
        if let Mishap::FullDisk { free_bytes } = mishap {
            self.mounted.leave_free(Some(free_bytes));
        }
        let begun = self.log.len();
        let answer = command.run(self.mounted.path());
        self.mounted.leave_free(None);
        self.note();
        let is_full = matches!(mishap, Mishap::FullDisk { .. });
        // What only takes away needs no room.
        if answer == Answer::NoSpace && is_full && !matches!(command, Command::Collect { .. }) {
            count(&self.tally.without_room);
            return self.recover(command, &course, remedy, 0);
        }
        expect_answer(&answer, &course)?;
        count(if course.refusal.is_none() { &self.tally.done } else { &self.tally.refused });
        self.expect_at_end(&course)?;
        let Mishap::PowerCut { permille, luck } = mishap else { return Ok(()) };
        let operations = self.log.len() - begun;
        let done = operations * permille / 1000;
        self.cut_off(begun + done, luck);
        count(&self.tally.cut_off);
        // What was said to be done lasts.
        let least = if done == operations { course.states.len() - 1 } else { 0 };
        let context = |trouble| format!("after {done} of {operations} operations: {trouble}");
        self.recover(command, &course, remedy, least).map_err(context)
    }

    /// Takes over what was done to the disk.
    fn note(&mut self) {
        self.log.extend(self.mounted.take_log());
    }

    /// The power goes after so many operations, and comes back.
    fn cut_off(&mut self, operations: usize, luck: u64) {
        let left = crash_state(&self.start, &self.log[..operations], &mut Rng::with_seed(luck));
        self.mounted = Mounted::logged(left.clone());
        self.start = left;
        self.log.clear();
    }

    /// Goes on after a mishap, which has left the appliance on the course of a command, at this place of it or behind.
    fn recover(
        &mut self,
        command: Command,
        course: &Course,
        remedy: Remedy,
        least: usize,
    ) -> Result<(), String> {
        let is_repair = matches!(command, Command::Repair { .. });
        let place = self.place(course, least, !is_repair)?;
        if self.is_under_way() || (1..course.states.len() - 1).contains(&place) {
            count(&self.tally.midway);
        }
        // A second rollback goes further back, and the mirror activates a release once.
        let is_once = matches!(command, Command::RollBack(None) | Command::Mirror { activate: true, .. });
        if is_repair || (remedy == Remedy::Again && !is_once) {
            let answer = command.run(self.mounted.path());
            self.note();
            expect_answer(&answer, course).map_err(|trouble| format!("the next try: {trouble}"))?;
            return self.expect_at_end(course).map_err(|trouble| format!("the next try: {trouble}"));
        }
        match resume(self.mounted.path()) {
            Answer::Done => self.note(),
            other => return Err(format!("resume: {other:?}")),
        }
        self.place(course, place, true).map_err(|trouble| format!("after resume: {trouble}"))?;
        let found = self.look()?;
        if course.states[place..].iter().all(|state| state.releases != found.releases) {
            return Err(format!("after resume: {found:?}"));
        }
        self.model = found;
        Ok(())
    }

    /// Whether an import or a switch was begun and has not ended.
    fn is_under_way(&self) -> bool {
        let incoming = fs_err::read_dir(self.mounted.path().join("incoming"));
        incoming.is_ok_and(|mut entries| entries.next().is_some())
            || self.mounted.path().join("activation/journal").exists()
    }

    /// Where on a course the appliance is; it is whole, if that is asked for.
    fn place(&self, course: &Course, least: usize, is_whole: bool) -> Result<usize, String> {
        let found = self.look()?;
        if is_whole {
            self.expect_whole()?;
        }
        let (before, after) = (&course.states[0], &course.states[course.states.len() - 1]);
        let place = course.states.iter().skip(least).position(|state| found.may_become(state));
        match place {
            Some(place) if found.is_between(before, after) => Ok(least + place),
            _ => Err(format!("the appliance is {found:?}, behind {least} of {:?}", course.states)),
        }
    }

    /// The appliance is what the model says, at the end of a course.
    fn expect_at_end(&mut self, course: &Course) -> Result<(), String> {
        let (found, end) = (self.look()?, &course.states[course.states.len() - 1]);
        if found != *end {
            return Err(format!("the appliance is {found:?}, not {end:?}"));
        }
        self.model = found;
        self.expect_whole()
    }

    fn expect_whole(&self) -> Result<(), String> {
        let verdict = open(&self.mounted).and_then(|store| store.verify(&Unwatched));
        let verdict = verdict.map_err(|error| error.to_string())?;
        if verdict.is_whole() { Ok(()) } else { Err(format!("{:?}", verdict.findings)) }
    }

    /// Nothing is there that nobody needs: neither content, nor what somebody who was interrupted left behind, nor anything
    /// in the Git mirror but a pack and the refs of each release.
    pub(super) fn expect_tidy(&self) -> Result<(), String> {
        let store = open(&self.mounted).map_err(|error| error.to_string())?;
        let unused = store.verify(&Unwatched).map_err(|error| error.to_string())?.unused_blobs;
        let names = self.mounted.disk().names();
        let is_left_over = |name: &&PathBuf| {
            ["incoming", "parts", "activation"]
                .iter()
                .any(|place| name.starts_with(place) && name.components().count() > 1)
                || name.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".tmp"))
        };
        let left_over: Vec<&PathBuf> = names.iter().filter(is_left_over).collect();
        let namespace = |name: &PathBuf| name.strip_prefix(NAMESPACES).ok()?.to_str()?.parse().ok();
        let namespaces: BTreeSet<u64> = names.iter().filter_map(namespace).collect();
        let is_pack = |name: &&PathBuf| {
            name.starts_with(PACKS) && name.extension().is_some_and(|extension| extension == "pack")
        };
        let packs = names.iter().filter(is_pack).count();
        let is_git_right =
            namespaces.iter().eq(self.model.releases.keys()) && packs == self.model.releases.len();
        if unused == 0 && left_over.is_empty() && is_git_right {
            return Ok(());
        }
        Err(format!("{unused} blobs that nobody needs, {left_over:?}, {packs} packs\nof {names:#?}"))
    }

    fn look(&self) -> Result<Model, String> {
        open(&self.mounted).and_then(|store| Model::of(&store)).map_err(|error| error.to_string())
    }
}

fn open(mounted: &Mounted) -> Result<Store, sealift_store::Error> {
    Store::open(mounted.path())
}

fn expect_answer(answer: &Answer, course: &Course) -> Result<(), String> {
    let is_right = match course.refusal {
        None => *answer == Answer::Done,
        Some(code) => answer.is_error(code),
    };
    if is_right { Ok(()) } else { Err(format!("not {:?}, but {answer:?}", course.refusal)) }
}
