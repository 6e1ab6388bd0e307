//! What the nodes have written down, in words.

use sealift_archive::release::CurrentRelease;
use serde::Serialize;

use super::super::output::{Lines, instant};
use crate::cluster::{Agreement, NodeName, Phase, Report, Snapshot, Versioned};

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
                let state = match (agreed.is_stopped, agreed.phase) {
                    (true, Phase::GivingUp) => "was given up".to_owned(),
                    (true, phase) => format!("has stopped while {phase}"),
                    (false, phase) => format!("is {phase}"),
                };
                Lines::title(format_args!("{version} (sequence {sequence}) {state}, run {}", agreed.run))
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use time::OffsetDateTime;

    use super::*;
    use crate::cluster::Trouble;
    use crate::cluster::fixture::release;

    fn told(agreement: &Agreement, active: u64, trouble: Option<&str>) -> String {
        let trouble = trouble.map(|reason| Trouble { run: agreement.run, reason: reason.to_owned() });
        let report = Report {
            here: BTreeSet::new(),
            active: Some(release(active)),
            is_switching: false,
            is_unsettled: trouble.is_some(),
            beyond: Some(release(active).sequence),
            trouble,
            waits: None,
            address: None,
            ca_crt: String::new(),
            boot_id: String::new(),
            seen: OffsetDateTime::UNIX_EPOCH,
        };
        let agrees = report.runs(&agreement.release);
        let nodes = vec![NodeTold { name: "node-a".parse().unwrap(), agrees, report }];
        Told { agreement: Some(agreement.clone()), coordinator: None, nodes, unreadable: None }.describe()
    }

    #[test]
    fn what_does_not_end_by_itself_says_what_to_type() {
        let run = Agreement { phase: Phase::Activating, ..Agreement::first(release(2), Some(release(1))) };
        let stopped = told(&run.stopped("node node-a: hook `k3s` failed"), 1, Some("hook `k3s` failed"));
        insta::assert_snapshot!(stopped, @"
        1.2 (sequence 2) has stopped while activating, run 1
          before      1.1
          because     node node-a: hook `k3s` failed
          node-a      runs 1.1, in the middle of a switch; seen 1970-01-01 00:00:00 UTC: hook `k3s` failed
        next: sealiftctl activate 1.2   # once that is mended
        next: sealiftctl rollback   # says what it means for data
        ");
        let back = run.given_up("node node-b: hook `k3s` failed");
        insta::assert_snapshot!(told(&back, 2, Some("nobody has asked for it")), @"
        1.1 (sequence 1) is staging, run 2
          before      1.2
          because     node node-b: hook `k3s` failed
          node-a      runs 1.2, in the middle of a switch; seen 1970-01-01 00:00:00 UTC: nobody has asked for it
        next: sealiftctl rollback   # says what it means for data
        ");
        let first =
            Agreement { is_stopped: true, ..Agreement::first(release(2), None).given_up("it was given up") };
        assert!(!told(&first, 2, None).contains("rollback"), "there is nothing to go back to");
        assert!(!told(&run, 1, None).contains("next:"), "it goes on by itself");
    }
}
