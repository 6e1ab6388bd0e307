//! How many clients there is room for, by the number of files that this process may have open.
//!
//! A connection is an open file, and so is what is being sent on it. Whoever runs out of them can neither take a connection nor
//! open what was asked for, so no more are let in than have room to be answered.

use rustix::process::{Resource, getrlimit};

/// How many connections may be open at once, over all listeners.
const MAX_CONNECTIONS: u64 = 1024;
/// To how many connections comes one that has lost its place and may finish what it is at, for a moment, and one that has and
/// ends.
const CONNECTIONS_PER_LEAVING: u64 = 16;
/// Open files besides: listeners, the runtime's own, three pipes for each of Git's children, the store's documents.
const SPARE_FILES: u64 = 64;

/// How many there may be at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Capacity {
    /// Connections.
    pub(crate) connections: usize,
    /// Answers under way beside one for each connection.
    pub(crate) answers_beside: usize,
    /// Connections that have lost their place and may finish what they are at.
    pub(crate) leaving: usize,
    /// Connections that have lost their place and are still there, when another is let in.
    pub(crate) going: usize,
}

impl Capacity {
    /// What this process has room for.
    pub(crate) fn of_process() -> Self {
        let capacity = Self::within(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX));
        if capacity != Self::within(u64::MAX) {
            let connections = capacity.connections;
            tracing::info!(connections, "fewer connections than usual, by the limit on open files");
        }
        capacity
    }

    /// For each connection: itself, its answer, an answer beside, and its part of those that leave and of what they finish.
    fn within(files: u64) -> Self {
        let connections =
            files.saturating_sub(SPARE_FILES) / (3 * CONNECTIONS_PER_LEAVING + 3) * CONNECTIONS_PER_LEAVING;
        let connections = connections.clamp(CONNECTIONS_PER_LEAVING, MAX_CONNECTIONS);
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            connections: count(connections),
            answers_beside: count(connections),
            leaving: count(connections / CONNECTIONS_PER_LEAVING),
            going: count(2 * connections / CONNECTIONS_PER_LEAVING),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_let_in_can_be_answered() {
        let cases = [(u64::MAX, 1024), (8192, 1024), (3328, 1024), (3327, 1008), (1024, 288), (128, 16)];
        for (files, connections) in cases {
            let capacity = Capacity::within(files);
            assert_eq!(capacity.connections, connections, "{files}");
            let Capacity { connections, answers_beside, leaving, going } = capacity;
            let most = 2 * connections + answers_beside + leaving + going;
            assert!(most as u64 + SPARE_FILES <= files, "{files}: {most}");
        }
        assert_eq!(Capacity::within(0).connections, 16, "some are let in anyhow");
    }
}
