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
