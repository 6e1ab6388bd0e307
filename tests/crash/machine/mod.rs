//! Everything at once: somebody gives an appliance commands at random, from archives, sticks and the vendor's site, while
//! the power goes and the disk is full. A simple model says what each command has to answer, and what is there then.
//!
//! - A command that says it is done has done it, and a power cut right after takes nothing of it away.
//! - After a power cut or on a full disk the appliance is somewhere on the command's course: nothing else is active, and all
//!   that is there is whole. The same command then ends as if nothing had been; or, after `resume`, it is on that
//!   course still, and goes on with any other command.
//! - In the end nothing is left over.

mod appliance;
mod chain;
mod command;
mod model;

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use appliance::{Appliance, Tally};
use chain::CHAIN;
use command::{Command, Turn, any_turn};
use sealift_tests::{is_soak, tell};

const CASES: u32 = 12;
const CASES_IN_A_LONG_RUN: u32 = 600;
const MAX_TURNS: usize = 10;

#[test]
fn whatever_happens_in_whatever_order_the_model_says_what_is_there() {
    // Not among the cases: what cannot be made once cannot be made again.
    LazyLock::force(&CHAIN);
    let cases = if is_soak() { CASES_IN_A_LONG_RUN } else { CASES };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let lives = (proptest::bool::weighted(0.2), vec(any_turn(), 1..MAX_TURNS));
    let tally = Tally::default();
    let live = |(is_new, turns)| live(is_new, turns, &tally).map_err(TestCaseError::fail);
    TestRunner::new(config).run(&lives, live).unwrap_or_else(|failure| panic!("{failure}"));
    tell(&format!("{cases} appliances: {tally}"));
}

/// What an appliance goes through, and what is wrong with how that ends.
fn live(is_new: bool, turns: Vec<Turn>, tally: &Tally) -> Result<(), String> {
    let mut appliance = Appliance::new(tally);
    if !is_new {
        appliance.calmly(Command::Import { number: 1, activate: true })?;
    }
    turns.into_iter().try_for_each(|turn| appliance.play(turn))?;
    appliance.calmly(Command::Collect { all: true })?;
    appliance.expect_tidy()
}
