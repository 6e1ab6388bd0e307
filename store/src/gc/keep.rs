//! Which releases stay: a pure function of how they stand.

use std::fmt;

use sealift_archive::Sequence;
use serde::Serialize;

use crate::State;

/// How many releases stay of those that ran: N, N-1 and N-2. The vendor supports so many, and an appliance may have to go back
/// to any of them.
const KEPT_RELEASES: usize = 3;

/// A release, as far as it matters here.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) sequence: Sequence,
    pub(super) state: State,
    /// Whether its `state` file could be read.
    pub(super) is_state_known: bool,
    /// Whether a switch away from it is not finished.
    pub(super) is_being_left: bool,
    /// Whether it was active once, though it may have failed since.
    pub(super) has_run: bool,
}

/// What becomes of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Stays(Stays),
    Goes(Goes),
}

/// Why a release stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Stays {
    /// It runs.
    Active,
    /// It is being activated.
    Activating,
    /// A switch away from it is not finished.
    Leaving,
    /// A rollback leads to it.
    WayBack,
    /// It is one of the last releases that ran.
    Recent,
    /// It can follow the active release.
    Ahead,
    /// No release is active, so it may be the one that will be.
    NoneActive,
    /// Its state cannot be read, so it may be any of these.
    Unknown,
    /// An activation is under way, and may lead to it or back to it.
    Switching,
    /// It is one of the last releases that ran, and lacks content. `verify --repair` brings that back, an import never does.
    Repairable,
}

/// Why a release goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Goes {
    /// It cannot be activated.
    Failed,
    /// It is below the floor, so it cannot become active.
    BelowFloor,
    /// It never ran, and a later release is active.
    PassedBy,
    /// It ran before the releases that stay.
    Old,
}

impl fmt::Display for Stays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "it runs",
            Self::Activating => "it is being activated",
            Self::Leaving => "it ran, and the switch away is not finished",
            Self::WayBack => "a rollback leads to it",
            Self::Recent => "one of the last that ran",
            Self::Ahead => "it can follow",
            Self::NoneActive => "nothing is active yet",
            Self::Unknown => "its state cannot be read",
            Self::Switching => "an activation is under way",
            Self::Repairable => "one of the last that ran; it failed, and can be repaired",
        })
    }
}

impl fmt::Display for Goes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "it failed",
            Self::BelowFloor => "it is below the floor",
            Self::PassedBy => "never ran; a later one is active",
            Self::Old => "it ran before those that stay",
        })
    }
}

/// What decides besides.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Circumstances {
    /// Where a rollback leads.
    pub(super) way_back: Option<Sequence>,
    /// The lowest sequence that is allowed.
    pub(super) floor: Option<Sequence>,
    /// Whether an activation is under way.
    pub(super) is_switching: bool,
}

/// Decides about each of these releases, in their order, which is by rising sequence.
pub(super) fn judge(releases: &[Standing], circumstances: Circumstances) -> Vec<Fate> {
    let Circumstances { way_back, floor, is_switching } = circumstances;
    let active = releases.iter().find(|release| release.state == State::Active).map(|r| r.sequence);
    let latest_before = |may: fn(&Standing) -> bool| -> Vec<Sequence> {
        let before = releases.iter().rev().filter(|r| active.is_some_and(|active| r.sequence < active));
        before.filter(|r| may(r)).take(KEPT_RELEASES - 1).map(|release| release.sequence).collect()
    };
    let recent = latest_before(|release| release.state == State::Retained);
    // One that failed takes no place away from one that can be gone back to as it is.
    let repairable = latest_before(|release| release.has_run);
    let fate = |release: &Standing| {
        let sequence = release.sequence;
        let is_below_floor = floor.is_some_and(|floor| sequence < floor);
        match &release.state {
            State::Active => Fate::Stays(Stays::Active),
            State::Activating => Fate::Stays(Stays::Activating),
            _ if release.is_being_left => Fate::Stays(Stays::Leaving),
            _ if !release.is_state_known => Fate::Stays(Stays::Unknown),
            _ if is_switching => Fate::Stays(Stays::Switching),
            State::Failed { .. } if repairable.contains(&sequence) => Fate::Stays(Stays::Repairable),
            State::Failed { .. } => Fate::Goes(Goes::Failed),
            _ if way_back == Some(sequence) => Fate::Stays(Stays::WayBack),
            _ if recent.contains(&sequence) => Fate::Stays(Stays::Recent),
            State::Retained if active.is_some_and(|active| sequence < active) => Fate::Goes(Goes::Old),
            _ if is_below_floor => Fate::Goes(Goes::BelowFloor),
            _ => match active {
                None => Fate::Stays(Stays::NoneActive),
                Some(active) if sequence > active => Fate::Stays(Stays::Ahead),
                Some(_) => Fate::Goes(Goes::PassedBy),
            },
        }
    };
    releases.iter().map(fate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(states: &str, way_back: u64, floor: u64) -> String {
        let standing = |(index, letter): (usize, char)| Standing {
            sequence: (index as u64 + 1).try_into().unwrap(),
            state: match letter {
                'S' => State::Staged,
                'g' => State::Activating,
                'A' => State::Active,
                'R' | 'l' => State::Retained,
                _ => State::Failed { reason: "a test".to_owned() },
            },
            is_state_known: letter != '?',
            is_being_left: letter == 'l',
            has_run: "ARlf".contains(letter),
        };
        let releases: Vec<Standing> =
            states.trim_start_matches('>').chars().enumerate().map(standing).collect();
        let (way_back, floor) = (way_back.try_into().ok(), floor.try_into().ok());
        let is_switching = states.starts_with('>');
        let fates = judge(&releases, Circumstances { way_back, floor, is_switching });
        fates.iter().map(|fate| if matches!(fate, Fate::Stays(_)) { '+' } else { '-' }).collect()
    }

    #[test]
    fn what_may_be_needed_stays() {
        // One letter a release: staged, being activated, active, retained, being left, failed, failed after it had run, with an
        // unreadable state.
        let cases = [
            ("", 0, 0, ""),
            ("S", 0, 0, "+"),
            ("A", 0, 0, "+"),
            ("RRA", 2, 0, "+++"),
            ("RRRRA", 4, 0, "--+++"),
            ("RRRRASS", 4, 0, "--+++++"),
            // A way back that is further away than the last releases stays too.
            ("RRRRA", 1, 0, "+-+++"),
            ("RFRFRA", 5, 0, "--+-++"),
            ("RSRSA", 3, 0, "+-+-+"),
            // After a rollback: what was gone back from can be activated again.
            ("RRARS", 2, 0, "+++++"),
            ("gRRA", 3, 0, "++++"),
            ("lRRA", 3, 0, "++++"),
            ("RRRAg", 4, 0, "-++++"),
            ("RRRAF", 3, 0, "-+++-"),
            ("R?RRA", 4, 0, "-++++"),
            // What is below the floor cannot become active; what ran lately stays, since it may run still.
            ("SAS", 0, 4, "-+-"),
            ("RAR", 0, 4, "++-"),
            ("RRS", 0, 0, "+++"),
            ("RRS", 0, 3, "--+"),
            ("FF", 0, 0, "--"),
            // What ran lately and failed since can be repaired, and never be imported again.
            ("RfA", 1, 0, "+++"),
            ("RRfA", 2, 0, "++++"),
            ("ffRA", 3, 5, "-+++"),
            ("fRRA", 3, 0, "-+++"),
            ("RAf", 1, 0, "++-"),
            ("ff", 0, 0, "--"),
            // With an activation under way.
            (">RRRASF", 0, 5, "++++++"),
        ];
        for (states, way_back, floor, expected) in cases {
            assert_eq!(
                fates(states, way_back, floor),
                expected,
                "{states}, back to {way_back}, floor {floor}"
            );
        }
    }
}
