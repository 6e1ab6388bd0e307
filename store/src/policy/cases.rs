//! The policy as a table: what is here, what is asked, and what comes of it. The words of every refusal are in a snapshot, so
//! that whoever changes one sees all.

use std::fmt::Debug;

use sealift_archive::release::{BlobListSummary, CurrentRelease};
use sealift_archive::{Blob, Channel, Explain as _, Statement, report};
use time::OffsetDateTime;
use time::macros::datetime;

use super::*;
use State::{Activating, Active, Retained, Staged};

/// When all of this happens.
const NOW: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

/// What somebody wants to do.
enum Question {
    /// Import this release.
    Import(Box<Statement>),
    /// Activate the release with this sequence, which is here.
    Activate(u64),
    /// Go back.
    RollBack,
    /// Believe this channel.
    Believe(Box<Channel>, Reach),
}
use Question::{Activate, Import, RollBack};

fn version(number: u64) -> Version {
    format!("1.{number}").parse().unwrap()
}

fn sequence(number: u64) -> Sequence {
    number.try_into().unwrap()
}

/// `acme 1.N` with this sequence, which can follow these.
pub(super) fn statement(product: &str, number: u64, at: u64, upgrade_from: &[u64]) -> Statement {
    let name =
        ReleaseName { product: product.parse().unwrap(), version: version(number), sequence: sequence(at) };
    let nothing = BlobListSummary { digest: Digest::of(b""), count: 0, content_bytes: 0 };
    let mut statement = Statement::new(name, nothing, Blob::of(b""));
    statement.upgrade_from = upgrade_from.iter().map(|&number| version(number)).collect();
    statement
}

pub(super) fn digest_of(statement: &Statement) -> Digest {
    Digest::of(&statement.to_bytes())
}

/// `acme 1.N` with sequence N, which can follow the one before it.
pub(super) fn ordinary(number: u64) -> Statement {
    statement("acme", number, number, &[number.saturating_sub(1)])
}

fn import(number: u64) -> Question {
    Import(Box::new(ordinary(number)))
}

fn import_other(product: &str, number: u64, at: u64, upgrade_from: &[u64]) -> Question {
    Import(Box::new(statement(product, number, at, upgrade_from)))
}

/// Channel `stable` in this version, which names the ordinary release with this sequence and expires at noon of a day.
fn channel(version: u64, names: u64, expires: OffsetDateTime) -> Channel {
    let release = CurrentRelease {
        version: self::version(names),
        sequence: sequence(names),
        statement: digest_of(&ordinary(names)),
    };
    Channel::new("acme".parse().unwrap(), ChannelName::Stable, version, release, expires)
}

fn believe(version: u64, reach: Reach) -> Question {
    Question::Believe(Box::new(channel(version, 5, datetime!(2026-11-24 12:00 UTC))), reach)
}

fn believe_expired(reach: Reach) -> Question {
    Question::Believe(Box::new(channel(8, 5, NOW)), reach)
}

pub(super) fn failed() -> State {
    State::Failed { reason: "content is missing".to_owned() }
}

/// These ordinary releases are here.
pub(super) fn here(releases: &[(u64, State)]) -> Situation {
    let known = |(number, state): &(u64, State)| {
        let statement = ordinary(*number);
        Known::new(&statement, digest_of(&statement), state.clone())
    };
    Situation {
        product: (!releases.is_empty()).then(|| "acme".parse().unwrap()),
        releases: releases.iter().map(known).collect(),
        ..Situation::default()
    }
}

impl Situation {
    pub(super) fn floor(self, floor: u64) -> Self {
        Self { floor: Some(sequence(floor)), ..self }
    }

    pub(super) fn installed(self, installed: u64) -> Self {
        Self { installed: Some(sequence(installed)), product: Some("acme".parse().unwrap()), ..self }
    }

    fn leaving(self, left: u64) -> Self {
        Self { leaving: Some(sequence(left)), ..self }
    }

    /// Channel `stable` was believed in this version, naming the ordinary release with this sequence.
    fn seen(mut self, version: u64, names: u64) -> Self {
        let channel = channel(version, names, datetime!(2026-11-24 12:00 UTC));
        let digest = Digest::of(&channel.to_bytes());
        let seen = SeenChannel { version, digest, release: channel.release, has_expired: false };
        self.channels.insert(channel.name, seen);
        self
    }

    /// Each channel that was believed was seen to have expired.
    fn expired(mut self) -> Self {
        self.channels.values_mut().for_each(|seen| seen.has_expired = true);
        self
    }

    /// The statement of the active ordinary release is damaged.
    pub(super) fn with_unreadable(mut self, number: u64) -> Self {
        let digest = digest_of(&ordinary(number));
        let why = "`release.json` is missing".to_owned();
        self.unreadable.push(Unreadable { sequence: sequence(number), digest, state: Active, why });
        self
    }

    fn answer(&self, question: &Question) -> Result<String, Error> {
        fn yes(verdict: impl Debug) -> String {
            format!("{verdict:?}")
        }
        match question {
            Import(statement) => {
                let way = self.find_way(&[Offered { statement, digest: digest_of(statement) }], false)?;
                let end = way.stops.last().expect("a way ends somewhere");
                Ok(end.here.as_ref().map_or_else(|| "New".to_owned(), |state| format!("Here({state:?})")))
            }
            Activate(number) => {
                let target = self.releases.iter().find(|known| known.name.sequence.get() == *number);
                self.judge_activation(target.expect("a release that is here")).map(yes)
            }
            RollBack => self.judge_rollback().map(|known| format!("to {}", known.name.sequence)),
            Question::Believe(channel, reach) => {
                self.judge_channel(channel, Digest::of(&channel.to_bytes()), *reach, NOW).map(yes)
            }
        }
    }
}

/// Name, what is here, what is asked, and the answer: a verdict, or the code of a refusal.
type Case = (&'static str, Situation, Question, &'static str);

#[expect(clippy::too_many_lines, reason = "one table, so that nobody has to look for another")]
fn cases() -> Vec<Case> {
    use Reach::{Offline, Online};
    let four = || here(&[(4, Active)]);
    vec![
        // Importing: the path.
        ("a fresh appliance takes any", here(&[]), import(7), "New"),
        ("one step", four(), import(5), "New"),
        ("a second step, over a staged one", here(&[(4, Active), (5, Staged)]), import(6), "New"),
        ("over one that is on its way", here(&[(4, Active), (5, Activating)]), import(6), "New"),
        ("over one gone back from", here(&[(4, Active), (5, Retained)]), import(6), "New"),
        ("not over a failed one", here(&[(4, Active), (5, failed())]), import(6), "SL0312"),
        ("a skipped step", four(), import(6), "SL0312"),
        ("one of two steps that would do", four(), import_other("acme", 7, 7, &[5, 6]), "SL0312"),
        ("only for a fresh appliance", four(), import_other("acme", 5, 5, &[]), "SL0312"),
        (
            "over a retained one below",
            here(&[(3, Retained), (5, Active)]),
            import_other("acme", 6, 6, &[3]),
            "SL0312",
        ),
        // Importing: the order.
        ("below", four(), import(3), "SL0310"),
        ("below, but here", here(&[(3, Retained), (4, Active)]), import(3), "Here(Retained)"),
        ("the active one again", four(), import(4), "Here(Active)"),
        ("a staged one again", here(&[(7, Staged)]), import(7), "Here(Staged)"),
        ("below what ran once, with nothing active", here(&[]).installed(5), import(4), "SL0320"),
        ("what ran once, with nothing active", here(&[]).installed(5), import(5), "New"),
        ("beyond what ran once, gone back from", four().installed(5), import(5), "New"),
        // Importing: a sequence is given once.
        ("another with the active one's sequence", four(), import_other("acme", 4, 4, &[]), "SL0309"),
        (
            "another with a staged one's",
            here(&[(4, Active), (5, Staged)]),
            import_other("acme", 5, 5, &[3, 4]),
            "SL0309",
        ),
        (
            "another with that of a channel's release",
            four().seen(7, 5),
            import_other("acme", 5, 5, &[3, 4]),
            "SL0309",
        ),
        ("the channel's release", four().seen(7, 5), import(5), "New"),
        ("one below the channel's", four().seen(7, 6), import(5), "New"),
        ("one above the channel's", here(&[(4, Active), (5, Staged)]).seen(7, 5), import(6), "New"),
        // Importing: floor and product.
        ("below the floor", four().floor(6), import(5), "SL0311"),
        ("at the floor", four().floor(5), import(5), "New"),
        ("below the floor, with nothing active", here(&[(6, Staged)]).floor(6), import(5), "SL0311"),
        ("another product", four(), import_other("other", 5, 5, &[4]), "SL0308"),
        (
            "another product, with nothing active",
            here(&[(4, Staged)]),
            import_other("other", 5, 5, &[4]),
            "SL0308",
        ),
        // Importing: an emergency return to older content is a release like any other.
        (
            "1.3 again, under its name",
            here(&[(3, Retained), (4, Active)]),
            import_other("acme", 3, 5, &[4]),
            "New",
        ),
        (
            "1.3 again, above a floor that forbids 1.4",
            four().floor(5),
            import_other("acme", 3, 5, &[4]),
            "New",
        ),
        ("1.3 again, with its old sequence", four(), import_other("acme", 3, 3, &[4]), "SL0310"),
        // Importing: what cannot be read.
        ("the unreadable active one", here(&[]).with_unreadable(4), import(4), "Here(Active)"),
        ("another in its place", here(&[]).with_unreadable(4), import_other("acme", 4, 4, &[]), "SL0309"),
        ("a step from it", here(&[]).with_unreadable(4), import(5), "SL0318"),
        // Activating.
        ("the first", here(&[(7, Staged)]), Activate(7), "Forward"),
        ("activate: one step", here(&[(4, Active), (5, Staged)]), Activate(5), "Forward"),
        ("finish a step", here(&[(4, Active), (5, Activating)]), Activate(5), "Forward"),
        ("again what was gone back from", here(&[(4, Active), (5, Retained)]), Activate(5), "Forward"),
        ("two steps", here(&[(4, Active), (5, Staged), (6, Staged)]), Activate(6), "SL0312"),
        ("already", four(), Activate(4), "Stay"),
        ("back", here(&[(3, Retained), (4, Active)]), Activate(3), "Back"),
        ("finish going back", here(&[(3, Activating), (4, Active)]), Activate(3), "Back"),
        ("back to what never ran", here(&[(3, Staged), (4, Active)]), Activate(3), "SL0310"),
        ("back below the floor", here(&[(3, Retained), (4, Active)]).floor(4), Activate(3), "SL0311"),
        ("a failed one", here(&[(4, Active), (5, failed())]), Activate(5), "SL0313"),
        ("a step from what cannot be read", here(&[(5, Staged)]).with_unreadable(4), Activate(5), "SL0318"),
        // Going back.
        ("go back one step", here(&[(3, Retained), (4, Active)]), RollBack, "to 3"),
        (
            "to the newest",
            here(&[(2, Retained), (3, Retained), (4, Active), (5, Retained)]),
            RollBack,
            "to 3",
        ),
        ("never to a staged one", here(&[(2, Retained), (3, Staged), (4, Active)]), RollBack, "to 2"),
        ("finish it", here(&[(2, Retained), (3, Activating), (4, Active)]), RollBack, "to 3"),
        (
            "finish it, on the way from 5",
            here(&[(3, Retained), (4, Active), (5, Retained)]).leaving(5),
            RollBack,
            "to 4",
        ),
        ("undo a step, on the way from 3", here(&[(3, Retained), (4, Active)]).leaving(3), RollBack, "to 3"),
        ("give up a step", here(&[(3, Retained), (4, Active), (5, Activating)]), RollBack, "to 4"),
        ("nothing ran before", here(&[(4, Active), (5, Staged)]), RollBack, "SL0315"),
        ("nothing runs", here(&[(4, Staged)]), RollBack, "SL0315"),
        ("not below the floor", here(&[(3, Retained), (4, Active)]).floor(4), RollBack, "SL0315"),
        ("from what cannot be read", here(&[(3, Retained)]).with_unreadable(4), RollBack, "SL0318"),
        // Channels.
        ("the first that is heard", here(&[]), believe(7, Online), "Fresh"),
        ("a later edition", four().seen(6, 4), believe(7, Online), "Fresh"),
        ("the same edition", four().seen(7, 5), believe(7, Online), "Fresh"),
        ("another edition with its number", four().seen(7, 4), believe(7, Online), "SL0323"),
        ("an earlier edition", four().seen(8, 5), believe(7, Online), "SL0322"),
        ("an earlier edition, offline too", four().seen(8, 5), believe(7, Offline), "SL0322"),
        ("expired", four(), believe_expired(Online), "SL0324"),
        (
            "expired, offline",
            four(),
            believe_expired(Offline),
            "Expired { since: 2026-11-23 12:00:00.0 +00:00:00 }",
        ),
        ("expired before the clock went back", four().seen(7, 5).expired(), believe(7, Online), "SL0324"),
        (
            "the edition after one that the clock spoilt",
            four().seen(7, 5).expired(),
            believe(8, Online),
            "Fresh",
        ),
        (
            "of another product",
            Situation { product: Some("other".parse().unwrap()), ..here(&[]) },
            believe(7, Online),
            "SL0321",
        ),
    ]
}

#[test]
fn every_case_has_its_answer() {
    for (name, situation, question, expected) in cases() {
        let answer = situation.answer(&question).unwrap_or_else(|error| error.code().to_string());
        assert_eq!(answer, expected, "{name}");
    }
}

#[test]
fn a_refusal_says_what_is_here_what_was_offered_and_what_would_help() {
    let refused = cases().into_iter().filter_map(|(name, situation, question, _)| {
        let error = situation.answer(&question).err()?;
        Some(format!("# {name}\n{}\n", report(&error)))
    });
    let refused: Vec<String> = refused.collect();
    assert!(refused.iter().all(|said| said.contains("hint: ")));
    insta::assert_snapshot!("refusals", without_digests(&refused.join("\n")));
}

fn without_digests(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + "[digest]" + part.trim_start_matches(|c: char| c.is_ascii_hexdigit())
    })
}
