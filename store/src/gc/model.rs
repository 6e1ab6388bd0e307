//! Random commands, crashes and collections against a model: what must be kept is kept, what can go is gone, and the way back
//! stays open.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use sealift_archive::{Digest, Unwatched};

use super::GiveUp;
use super::tests::{CONTENTS, RELEASES, WITHOUT_GIT, begin, blobs, git, names, sequence};
use crate::fixture::Place;

#[derive(Clone, Debug)]
enum Command {
    Begin(u64),
    Stage(u64),
    Activate(u64),
    RollBack,
    Collect,
    CollectAll,
    /// A collection that ends after so many steps.
    Crash(usize),
}

fn any_command() -> impl Strategy<Value = Command> {
    let number = || 1..=RELEASES;
    prop_oneof![
        1 => number().prop_map(Command::Begin),
        4 => number().prop_map(Command::Stage),
        4 => number().prop_map(Command::Activate),
        1 => Just(Command::RollBack),
        1 => Just(Command::Collect),
        1 => Just(Command::CollectAll),
        2 => (0..30_usize).prop_map(Command::Crash),
    ]
}

/// What a store is to hold.
#[derive(Clone, Debug, Default)]
struct Model {
    /// The releases, and whether they ran.
    releases: BTreeMap<u64, bool>,
    active: Option<u64>,
    unfinished: BTreeSet<u64>,
}

impl Model {
    fn way_back(&self) -> Option<u64> {
        let active = self.active?;
        self.releases.range(..active).rev().find(|(_, ran)| **ran).map(|(number, _)| *number)
    }

    fn switch(&mut self, number: u64) {
        self.active = Some(number);
        self.releases.insert(number, true);
    }

    fn may_activate(&self, number: u64) -> bool {
        let Some(&ran) = self.releases.get(&number) else { return false };
        ran || self.active.is_none_or(|active| number > active)
    }

    fn staying(&self) -> BTreeSet<u64> {
        let Some(active) = self.active else { return self.releases.keys().copied().collect() };
        let ran = |(number, ran): (&u64, &bool)| ran.then_some(*number);
        let before = self.releases.range(..active).rev().filter_map(ran).take(2);
        before.chain(self.releases.range(active..).map(|(number, _)| *number)).collect()
    }

    fn expect(&self, place: &Place) {
        let releases: Vec<u64> =
            place.store.releases().unwrap().iter().map(|release| release.sequence().get()).collect();
        assert_eq!(releases, self.releases.keys().copied().collect::<Vec<_>>());
        let needed: BTreeSet<Digest> = self
            .releases
            .keys()
            .chain(&self.unfinished)
            .flat_map(|number| CONTENTS[number].blobs.keys().copied())
            .collect();
        let found = blobs(place);
        let content = |number| CONTENTS[number].blobs.keys();
        assert!(self.releases.keys().flat_map(content).all(|digest| found.contains(digest)));
        assert!(found.is_subset(&needed), "what nobody needs is gone");
        let has_git = |number: &&u64| !WITHOUT_GIT.contains(number);
        let namespaces: BTreeSet<String> =
            self.releases.keys().filter(has_git).map(ToString::to_string).collect();
        let needed = self.releases.keys().chain(&self.unfinished).filter(has_git).max();
        let (found, packs) = git(place).unwrap_or_default();
        assert_eq!(found, namespaces);
        // Release N has N packs. What an import brings is not in the mirror yet, if no release has brought it.
        let least = self.releases.keys().filter(has_git).max().copied().unwrap_or_default();
        let most = needed.copied().unwrap_or_default();
        assert!((least..=most).contains(&(packs.len() as u64)), "{packs:?}, {least} to {most}");
        assert!(packs.iter().all(|&names| names == 2), "a blob and a pack: {packs:?}");
        // An import keeps its repository, even if none of its packs has come.
        let is_kept = !packs.is_empty() || self.unfinished.iter().any(|number| has_git(&number));
        assert!(is_kept || names(&place.store.git_dir()).is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_needed_stays_and_the_rest_goes(commands in vec(any_command(), 1..16)) {
        let place = Place::new();
        let mut model = Model::default();
        for command in commands.into_iter().chain([Command::Collect]) {
            let writer = place.writer();
            match command {
                Command::Begin(number) if !model.releases.contains_key(&number) => {
                    begin(&writer, number);
                    model.unfinished.insert(number);
                }
                Command::Stage(number) => {
                    CONTENTS[&number].stage(&writer).unwrap();
                    model.unfinished.remove(&number);
                    model.releases.entry(number).or_default();
                }
                Command::Activate(number) => {
                    let is_allowed = model.may_activate(number);
                    prop_assert_eq!(writer.activate(sequence(number)).is_ok(), is_allowed);
                    if is_allowed {
                        model.switch(number);
                    }
                }
                Command::RollBack => match model.way_back() {
                    Some(number) => {
                        prop_assert_eq!(writer.roll_back().unwrap().to.sequence.get(), number);
                        model.switch(number);
                    }
                    None => prop_assert!(writer.roll_back().is_err()),
                },
                Command::Begin(_) => {}
                Command::Collect | Command::CollectAll => {
                    let is_all = matches!(command, Command::CollectAll);
                    let give_up = if is_all { GiveUp::All } else { GiveUp::Expired };
                    writer.collector(give_up).unwrap().collect().unwrap();
                    if is_all {
                        model.unfinished.clear();
                    }
                    let staying = model.staying();
                    model.releases.retain(|number, _| staying.contains(number));
                    model.expect(&place);
                }
                Command::Crash(after) => {
                    let plan = writer.plan_collection(GiveUp::Expired).unwrap();
                    plan.steps.iter().take(after).try_for_each(|step| step.take(&writer)).unwrap();
                    let staying = model.staying();
                    let is_here = |number: u64| place.store.release(sequence(number)).is_ok();
                    model.releases.retain(|number, _| is_here(*number));
                    prop_assert!(staying.iter().all(|number| model.releases.contains_key(number)));
                }
            }
            let findings = place.store.verify(&Unwatched).unwrap().findings;
            prop_assert!(findings.is_empty(), "{:?}", findings);
        }
        if let Some(number) = model.way_back() {
            prop_assert_eq!(place.writer().roll_back().unwrap().to.sequence.get(), number);
        }
    }
}
