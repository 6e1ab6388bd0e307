//! What the nodes have written down, in words.

use sealift_archive::release::CurrentRelease;
use serde::Serialize;

use super::super::output::{Lines, instant};
use crate::cluster::{Agreement, NodeName, Report, Snapshot, Versioned};

/// What the nodes have written down.
#[derive(Serialize)]
pub(super) struct Told {
    pub(super) agreement: Option<Agreement>,
    coordinator: Option<String>,
    nodes: Vec<NodeTold>,
    /// What else is written there and cannot be read.
    unreadable: Option<String>,
}

#[derive(Serialize)]
struct NodeTold {
    name: NodeName,
    /// Whether it runs what is agreed on.
    agrees: bool,
    #[serde(flatten)]
    report: Report,
}

impl Told {
    pub(super) fn of(snapshot: Snapshot) -> Self {
        let unreadable = snapshot.obstacle();
        let agreement = snapshot.agreement.map(|agreed| agreed.value);
        let told = |(name, report): (NodeName, Versioned<Report>)| {
            let report = report.value;
            let agrees = agreement.as_ref().is_some_and(|agreed| report.runs(&agreed.release));
            NodeTold { name, agrees, report }
        };
        let nodes = snapshot.reports.into_iter().map(told).collect();
        let coordinator = snapshot.lease.and_then(|lease| lease.value.holder);
        Self { agreement, coordinator, nodes, unreadable }
    }

    pub(super) fn describe(&self) -> String {
        let lines = match &self.agreement {
            None => Lines::title("Nothing is agreed on"),
            Some(agreed) => {
                let CurrentRelease { version, sequence, .. } = &agreed.release;
                let how = if agreed.is_stopped { "has stopped at" } else { "is" };
                Lines::title(format_args!(
                    "{version} (sequence {sequence}) {how} {}, run {}",
                    agreed.phase, agreed.run
                ))
                .line_if("before", agreed.from.as_ref().map(|from| from.version.as_str()))
                .line_if("because", agreed.reason.as_ref())
            }
        };
        let lines = lines.line_if("led by", self.coordinator.as_ref());
        let lines = lines.line_if("passed over", self.unreadable.as_ref());
        let lines =
            self.nodes.iter().fold(lines, |lines, node| lines.line(node.name.as_str(), node.describe()));
        lines.next(&self.next())
    }

    /// What a person may type to end what does not end by itself.
    fn next(&self) -> Vec<String> {
        let Some(agreed) = &self.agreement else { return Vec::new() };
        let again = || format!("sealiftctl activate {}   # once that is mended", agreed.release.version);
        let back = || "sealiftctl rollback   # says what it means for data".to_owned();
        if agreed.is_stopped {
            [again()].into_iter().chain(agreed.from.as_ref().map(|_| back())).collect()
        } else if self.nodes.iter().any(|node| agreed.lacks_consent(&node.report)) {
            vec![back()]
        } else {
            Vec::new()
        }
    }
}

impl NodeTold {
    fn describe(&self) -> String {
        let active = match &self.report.active {
            Some(active) => format!("runs {}", active.version),
            None => "runs nothing".to_owned(),
        };
        let behind = match (self.agrees, self.report.is_unsettled) {
            (true, _) => "",
            (false, true) => ", in the middle of a switch",
            (false, false) => ", which is not what is agreed on",
        };
        let seen = instant(self.report.seen);
        let trouble = self.report.trouble.as_ref().map(|trouble| trouble.reason.as_str());
        let why = trouble.or(self.report.waits.as_deref()).map(|why| format!(": {why}")).unwrap_or_default();
        format!("{active}{behind}; seen {seen}{why}")
    }
}
