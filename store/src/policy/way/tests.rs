//! What is taken of what is offered, in tables of cases.

use State::{Active, Retained, Staged};
use sealift_archive::Explain as _;

use super::*;
use crate::policy::cases::{self, digest_of, failed, here, ordinary as offered};

/// `acme 1.N` with sequence N, which can follow these.
fn statement(product: &str, number: u64, upgrade_from: &[u64]) -> Statement {
    cases::statement(product, number, number, upgrade_from)
}

fn situation(floor: u64, releases: &[(u64, State)]) -> Situation {
    let situation = here(releases);
    if floor == 0 { situation } else { situation.floor(floor) }
}

/// `2 here, 3` for the stops, and `; 1 older` for what is passed over; or code and message.
fn said(situation: &Situation, statements: &[Statement]) -> String {
    let digests: Vec<Digest> = statements.iter().map(digest_of).collect();
    let offered: Vec<Offered<'_>> =
        statements.iter().zip(digests).map(|(statement, digest)| Offered { statement, digest }).collect();
    match situation.find_way(&offered, false) {
        Err(error) => format!("{} {error}", error.code()),
        Ok(way) => {
            let stop = |stop: &Stop| match (&stop.here, stop.is_offered) {
                (None, _) => stop.release.sequence.to_string(),
                (Some(_), true) => format!("{} here", stop.release.sequence),
                (Some(_), false) => format!("{} only here", stop.release.sequence),
            };
            let passed = |passed: &Passed| match &passed.why {
                Why::OutOfReach { missing } => {
                    let missing: Vec<&str> = missing.iter().map(Version::as_str).collect();
                    format!("; {} lacks {}", passed.release.sequence, missing.join(" "))
                }
                why => format!("; {} {why:?}", passed.release.sequence),
            };
            let stops: Vec<String> = way.stops.iter().map(stop).collect();
            stops.join(", ") + &way.passed.iter().map(passed).collect::<String>()
        }
    }
}

/// A way is compared as a whole, of a refusal the beginning.
fn expect(name: &str, expected: &str, said: &str) {
    let is_met = if expected.starts_with("SL") { said.starts_with(expected) } else { said == expected };
    assert!(is_met, "{name}: {said}");
}

#[test]
fn of_several_those_are_taken_that_lead_on() {
    let floor = |floor: u64, mut statement: Statement| {
        statement.floor = floor.try_into().unwrap();
        statement
    };
    let span = |from: u64, to: u64| (from..=to).map(offered).collect::<Vec<_>>();
    let at = |sequence| situation(1, &[(sequence, Active)]);
    let cases: [(&str, Situation, Vec<Statement>, &str); 27] = [
        (
            "fresh: the newest alone",
            situation(0, &[]),
            span(3, 6),
            "6; 3 NotNeeded; 4 NotNeeded; 5 NotNeeded",
        ),
        ("fresh, with a staged one", situation(1, &[(5, Staged)]), span(5, 6), "6; 5 Here"),
        ("fresh, the newest staged", situation(1, &[(6, Staged)]), span(5, 6), "6 here; 5 NotNeeded"),
        ("N-2", at(3), span(3, 6), "4, 5, 6; 3 Here"),
        ("N-1", at(4), span(3, 6), "5, 6; 3 Older; 4 Here"),
        ("N", at(5), span(3, 6), "6; 3 Older; 4 Older; 5 Here"),
        ("N+1", at(6), span(3, 6), "6 here; 3 Older; 4 Older; 5 Older"),
        (
            "nothing active, one step behind what ran",
            here(&[]).installed(5),
            span(3, 6),
            "6; 3 Older; 4 Older; 5 NotNeeded",
        ),
        ("nothing active, and ahead of all", here(&[]).installed(7), span(3, 6), "SL0320"),
        ("ahead of all", at(7), span(3, 6), "SL0310 acme 1.6 (sequence 6) is below acme 1.7"),
        ("a shorter way", at(3), vec![offered(4), statement("acme", 5, &[3, 4])], "5; 4 NotNeeded"),
        (
            "two ways of one length: over the later release",
            at(2),
            vec![statement("acme", 3, &[2]), statement("acme", 4, &[2]), statement("acme", 5, &[3, 4])],
            "4, 5; 3 NotNeeded",
        ),
        ("a step is here", situation(1, &[(3, Active), (4, Staged)]), span(5, 6), "4 only here, 5, 6"),
        ("a step is here and offered", situation(1, &[(3, Active), (4, Staged)]), span(4, 5), "4 here, 5"),
        ("a failed step is offered", situation(1, &[(3, Active), (4, failed())]), span(4, 5), "4 here, 5"),
        (
            "too far behind",
            at(1),
            span(3, 6),
            "SL0312 acme 1.6 (sequence 6) cannot follow acme 1.1 (sequence 1), which is active: it can only follow 1.5, and on the way there 1.2 is missing",
        ),
        ("the newest is out of reach", at(3), vec![offered(4), offered(6)], "4; 6 lacks 1.5"),
        (
            "and the other is here",
            situation(1, &[(3, Active), (4, Staged)]),
            vec![offered(4), offered(6)],
            "4 here; 6 lacks 1.5",
        ),
        (
            "and the other is active",
            at(4),
            vec![offered(4), offered(6)],
            "SL0312 acme 1.6 (sequence 6) cannot follow acme 1.4",
        ),
        ("a hole between", at(3), vec![offered(4), offered(6), offered(7)], "4; 6 lacks 1.5; 7 lacks 1.5"),
        ("only for fresh ones", at(3), vec![offered(3), statement("acme", 4, &[]), offered(5)], "SL0312"),
        ("withdrawn by the newest", at(3), vec![offered(4), floor(5, offered(5))], "SL0311 acme 1.4"),
        (
            "withdrawn, and passed by",
            at(3),
            vec![offered(4), floor(5, statement("acme", 5, &[3, 4]))],
            "5; 4 Withdrawn",
        ),
        (
            "the floor of one that is not taken",
            at(3),
            vec![offered(4), floor(6, statement("acme", 6, &[5]))],
            "SL0312 acme 1.6",
        ),
        (
            "below the floor",
            situation(8, &[(3, Active)]),
            span(3, 6),
            "SL0311 acme 1.6 (sequence 6) is below the floor",
        ),
        (
            "one of them is another than here",
            at(4),
            vec![statement("acme", 4, &[1]), offered(5)],
            "SL0309 acme 1.4",
        ),
        ("another product", at(4), vec![statement("other", 5, &[4]), statement("other", 6, &[5])], "SL0308"),
    ];
    for (name, situation, offered, expected) in cases {
        let said = said(&situation, &offered);
        expect(name, expected, &said);
    }
}

#[test]
fn an_unreadable_active_release_is_only_brought_back() {
    let situation = situation(1, &[(3, Retained), (5, Staged)]).with_unreadable(4);
    let cases = [
        ("itself", vec![offered(4)], "4 here"),
        ("with the next", vec![offered(4), offered(6)], "5 only here, 6; 4 Here"),
        ("another in its place", vec![statement("acme", 4, &[])], "SL0309"),
        ("a later one", vec![offered(6)], "SL0318"),
    ];
    for (name, offered, expected) in cases {
        let said = said(&situation, &offered);
        expect(name, expected, &said);
    }
}

#[test]
fn what_is_on_the_way_becomes_active_in_turn() {
    let activated = |situation: &Situation, statements: &[Statement]| {
        let digests: Vec<Digest> = statements.iter().map(digest_of).collect();
        let offered: Vec<Offered<'_>> =
            statements.iter().zip(digests).map(|(statement, digest)| Offered { statement, digest }).collect();
        situation.find_way(&offered, true).map_or_else(
            |error| error.code().to_string(),
            |way| {
                let sequences = way.activations.iter().map(|release| release.sequence.to_string());
                sequences.collect::<Vec<_>>().join(" ")
            },
        )
    };
    let cases = [
        ("fresh", situation(0, &[]), vec![offered(5), offered(6)], "6"),
        ("staged, on a fresh one", situation(1, &[(6, Staged)]), vec![offered(6)], "6"),
        ("N-2", situation(1, &[(3, Active)]), vec![offered(4), offered(5)], "4 5"),
        ("over one that is here", situation(1, &[(3, Active), (4, Staged)]), vec![offered(5)], "4 5"),
        ("what is here already", situation(1, &[(3, Active), (4, Staged)]), vec![offered(4)], "4"),
        (
            "what failed and is brought back",
            situation(1, &[(3, Active), (4, failed())]),
            vec![offered(4)],
            "4",
        ),
        ("what was gone back from", situation(1, &[(3, Active), (4, Retained)]), vec![offered(4)], "4"),
        ("the active one", situation(1, &[(3, Active)]), vec![offered(3)], ""),
        ("never back", situation(1, &[(3, Retained), (4, Active)]), vec![offered(3)], "SL0310"),
        (
            "staged, with a hole before it",
            situation(1, &[(3, Active), (5, Staged)]),
            vec![offered(5)],
            "SL0312",
        ),
    ];
    for (name, situation, offered, expected) in cases {
        assert_eq!(activated(&situation, &offered), expected, "{name}");
    }
}
