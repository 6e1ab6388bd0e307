//! A node's point of no return: behind it, nobody goes back who was not asked to.

use sealift_archive::Sequence;
use sealift_store::journal::{Journal, Phase};

use crate::config::activation::Activation;

/// Whether the steps of this configuration have a point of no return.
pub(super) fn has_point(config: &Activation) -> bool {
    config.hooks.iter().any(|hook| hook.point_of_no_return)
}

/// The latest release behind whose point of no return a node is. The switch to what is `active` has passed it, if there is one;
/// one that is under way, if its journal says so.
pub(super) fn beyond(
    has_point: bool,
    active: Option<Sequence>,
    under_way: Option<&Journal>,
) -> Option<Sequence> {
    let passed = under_way.filter(|journal| journal.begun_phases().any(Phase::is_no_return));
    let later = |journal: &Journal| {
        let from = journal.begin.from.as_ref().map(|from| from.sequence);
        from.into_iter().fold(journal.begin.to.sequence, Ord::max)
    };
    active.filter(|_| has_point).max(passed.map(later))
}

#[cfg(test)]
mod tests {
    use sealift_archive::Digest;
    use sealift_store::journal::{Begin, now};
    use sealift_store::{Store, Subject};

    use super::*;

    fn sequence(sequence: u64) -> Sequence {
        sequence.try_into().unwrap()
    }

    fn subject(number: u64) -> Subject {
        Subject {
            product: "acme".parse().unwrap(),
            version: format!("1.{number}").parse().unwrap(),
            sequence: sequence(number),
            digest: Digest::of(&number.to_le_bytes()),
        }
    }

    #[test]
    fn a_node_is_behind_a_point_once_that_has_begun() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path()).unwrap();
        let hook = |name: &str, point_of_no_return| Phase::Hook { name: name.to_owned(), point_of_no_return };
        let forward = vec![Phase::Serve, hook("os", false), hook("k3s", true), Phase::Point, Phase::Conclude];
        let undo = |name: &str| Phase::Undo { name: name.to_owned() };
        let back = vec![Phase::Serve, undo("k3s"), undo("os"), Phase::Point, Phase::Conclude];
        // From, to, the phases, how many of them have begun, what is active, and behind which point it is.
        let cases = [
            (1, 2, &forward, 1, 1, 1),
            (1, 2, &forward, 2, 1, 1),
            (1, 2, &forward, 3, 1, 2),
            (1, 2, &forward, 5, 2, 2),
            (2, 1, &back, 3, 2, 2),
            (2, 1, &back, 5, 1, 1),
        ];
        for (from, to, phases, begun, active, expected) in cases {
            let (to, from, phases) = (subject(to), Some(subject(from)), phases.clone());
            let begin = Begin { time: now(), to, from, has_run: false, phases, then: Vec::new() };
            let mut journal = Journal::begin(&store, begin).unwrap();
            (1..begun).for_each(|at| journal.enter(at).unwrap());
            let found = beyond(true, Some(sequence(active)), Some(&journal));
            assert_eq!(found, Some(sequence(expected)), "{journal:?}");
            journal.remove().unwrap();
        }
        assert_eq!(beyond(true, Some(sequence(2)), None), Some(sequence(2)));
        assert_eq!(beyond(false, Some(sequence(2)), None), None);
        assert_eq!(beyond(true, None, None), None);
    }
}
