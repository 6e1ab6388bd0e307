//! What somebody does, and what goes wrong meanwhile.

use std::path::{Path, PathBuf};
use std::process::Command as Process;

use proptest::prelude::*;
use proptest::sample::select;
use sealift_store::Store;
use sealift_tests::{binaries, process};
use serde_json::Value;

use super::chain::{CHAIN, MADE, PUBLISHED};
use crate::scenario::spoil;

/// The exit status of what ended for lack of room, and of what needs another stick.
const NO_SPACE: i32 = 4;
const FURTHER_VOLUMES: i32 = 7;

/// A command of an operator, or of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Import an archive with one release.
    Import {
        number: u64,
        activate: bool,
    },
    /// Import a release from two sticks, one after the other.
    ImportSticks {
        activate: bool,
    },
    /// Mirror this edition of the channel.
    Mirror {
        edition: u64,
        activate: bool,
    },
    Activate(u64),
    RollBack(Option<u64>),
    /// Remove what nobody needs; or unfinished imports as well.
    Collect {
        all: bool,
    },
    /// A blob of a release that is here changes on the disk, and an archive brings it back.
    Repair {
        which: usize,
    },
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    None,
    /// The power goes when so many thousandths of all that the command does to the disk are done; `luck` says what of it
    /// is there afterwards.
    PowerCut {
        permille: usize,
        luck: u64,
    },
    /// So many bytes are free when it begins.
    FullDisk {
        free_bytes: u64,
    },
}

/// What is done after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The same command again.
    Again,
    /// What a start of the machine does; then something else.
    Resume,
}

/// One thing after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) command: Command,
    pub(super) mishap: Mishap,
    pub(super) remedy: Remedy,
}

pub(super) fn any_turn() -> impl Strategy<Value = Turn> {
    let remedy = prop_oneof![Just(Remedy::Again), Just(Remedy::Resume)];
    (any_command(), any_mishap(), remedy).prop_map(|(command, mishap, remedy)| Turn {
        command,
        mishap,
        remedy,
    })
}

fn any_command() -> impl Strategy<Value = Command> {
    // What can follow nothing comes seldom: where it came first, nothing can follow it.
    let [followed @ .., last] = MADE.map(|made| made.number);
    let number = move || prop_oneof![9 => select(followed.to_vec()), 1 => Just(last)];
    prop_oneof![
        6 => (number(), any::<bool>()).prop_map(|(number, activate)| Command::Import { number, activate }),
        2 => any::<bool>().prop_map(|activate| Command::ImportSticks { activate }),
        4 => (PUBLISHED, any::<bool>()).prop_map(|(edition, activate)| Command::Mirror { edition, activate }),
        4 => number().prop_map(Command::Activate),
        3 => proptest::option::weighted(0.3, number()).prop_map(Command::RollBack),
        2 => any::<bool>().prop_map(|all| Command::Collect { all }),
        1 => (0..100_usize).prop_map(|which| Command::Repair { which }),
    ]
}

fn any_mishap() -> impl Strategy<Value = Mishap> {
    // An end without a mishap, and one at which the power goes right after.
    let permille = prop_oneof![4 => 0..1000_usize, 1 => Just(1000)];
    prop_oneof![
        4 => Just(Mishap::None),
        4 => (permille, any::<u64>()).prop_map(|(permille, luck)| Mishap::PowerCut { permille, luck }),
        2 => (0..400_000_u64).prop_map(|free_bytes| Mishap::FullDisk { free_bytes }),
    ]
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    NoSpace,
    /// The code of the error, and all that was said.
    Error(String, String),
}

impl Answer {
    pub(super) fn is_error(&self, code: &str) -> bool {
        matches!(self, Self::Error(found, _) if found == code)
    }
}

impl Command {
    /// What has to happen before: somebody damages the store.
    pub(super) fn prepare(self, store: &Path) {
        if let Some((_, blob)) = self.patient(store) {
            spoil(&blob);
            fs_err::File::open(&blob).and_then(|file| file.sync_all()).expect("damage that lasts");
        }
    }

    /// The release to be damaged and its blob, for a repair.
    fn patient(self, store: &Path) -> Option<(u64, PathBuf)> {
        let Self::Repair { which } = self else { return None };
        let store = Store::open(store).expect("a store");
        let releases = store.releases().expect("its releases");
        let release = releases.get(which % releases.len().max(1))?;
        let blobs: Vec<_> = release.blob_list().expect("its blob list").iter().collect();
        Some((release.sequence().get(), store.blob_path(&blobs[which % blobs.len()].digest)))
    }

    /// Does it, as a person would.
    pub(super) fn run(self, store: &Path) -> Answer {
        let flag = |activate: bool| activate.then_some("--activate".into());
        let version = |number: u64| format!("{number}.0.0").into();
        let import = |place: PathBuf, activate| {
            let words: Vec<PathBuf> = ["import".into(), place].into_iter().chain(flag(activate)).collect();
            sealiftctl(store, &words)
        };
        match self {
            Self::Import { number, activate } => import(CHAIN.archive(number), activate).1,
            Self::ImportSticks { activate } => {
                let [first, second] = &CHAIN.sticks;
                match import(first.clone(), activate) {
                    (FURTHER_VOLUMES, _) => import(second.clone(), activate).1,
                    (_, answer) => answer,
                }
            }
            Self::Mirror { edition, activate } => {
                let words =
                    ["--config".into(), CHAIN.config(edition, activate), "mirror".into(), "--once".into()];
                sealiftctl(store, &words).1
            }
            Self::Activate(number) => sealiftctl(store, &["activate".into(), version(number)]).1,
            Self::RollBack(number) => {
                let words: Vec<PathBuf> =
                    ["rollback".into()].into_iter().chain(number.map(version)).collect();
                sealiftctl(store, &words).1
            }
            Self::Collect { all } => {
                let all = all.then_some("--unfinished".into());
                sealiftctl(store, &["gc".into()].into_iter().chain(all).collect::<Vec<PathBuf>>()).1
            }
            Self::Repair { .. } => {
                let number = self.patient(store).map_or(1, |(number, _)| number);
                sealiftctl(store, &["verify".into(), "--repair".into(), CHAIN.archive(number)]).1
            }
        }
    }
}

/// What a start of the machine does.
pub(super) fn resume(store: &Path) -> Answer {
    sealiftctl(store, &["resume".into()]).1
}

fn sealiftctl(store: &Path, words: &[PathBuf]) -> (i32, Answer) {
    let mut command = Process::new(binaries::path("sealiftctl"));
    command.env_remove("SEALIFT_STORE").env_remove("SEALIFT_CONFIG");
    let ended = process::finish(command.arg("--store").arg(store).arg("--json").args(words));
    let status = ended.code().unwrap_or(-1);
    let answer = match status {
        0 => Answer::Done,
        NO_SPACE => Answer::NoSpace,
        _ => {
            let told: Value = serde_json::from_str(&ended.stderr()).unwrap_or_default();
            let code = told["error"]["code"].as_str().unwrap_or("no code").to_owned();
            Answer::Error(code, ended.to_string())
        }
    };
    (status, answer)
}
