//! Kubernetes, as far as the nodes see it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sealift_archive::Digest;

use super::super::{Agreement, Board, Lease, NodeName, Phase, Report, Snapshot, Times, Versioned};
use crate::Error;

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Luck {
    Good,
    /// It is done, and nobody hears of it.
    AnswerLost,
    /// It never arrives.
    Lost,
}

pub(super) fn mishap() -> Error {
    std::io::Error::other("lost").into()
}

/// What Kubernetes keeps.
#[derive(Clone, Default)]
pub(super) struct Written {
    pub(super) edition: u64,
    pub(super) snapshot: Snapshot,
    /// When each report was written.
    pub(super) told: BTreeMap<NodeName, Duration>,
}

/// What must hold is looked at here.
#[derive(Default)]
pub(super) struct Api {
    pub(super) now: Written,
    /// Who coordinated in each term.
    pub(super) leaders: BTreeMap<u64, NodeName>,
    /// The releases to which nodes were allowed to switch.
    pub(super) allowed: BTreeSet<Digest>,
}

impl Api {
    fn edition(&mut self) -> String {
        self.now.edition += 1;
        self.now.edition.to_string()
    }

    pub(super) fn agree(&mut self, agreed: Agreement) -> String {
        if agreed.phase != Phase::Staging {
            self.allowed.extend(agreed.served().chain([&agreed.release]).map(|release| release.statement));
        }
        let version = self.edition();
        self.now.snapshot.agreement = Some(Versioned { version: version.clone(), value: agreed });
        version
    }
}

/// The API as one node sees it at one moment, perhaps long ago.
pub(super) struct Seen<'a> {
    pub(super) api: &'a RefCell<Api>,
    pub(super) node: NodeName,
    pub(super) looked: Written,
    pub(super) at: Duration,
    pub(super) now: Duration,
    pub(super) luck: Luck,
    pub(super) is_cut: bool,
}

impl Seen<'_> {
    fn is_same<T>(current: Option<&Versioned<T>>, seen: Option<&str>) -> bool {
        current.map(|current| current.version.as_str()) == seen
    }

    fn write(&self, is_same: bool, write: impl FnOnce(&mut Api) -> String) -> Result<Option<String>, Error> {
        if self.is_cut || self.luck == Luck::Lost {
            return Err(mishap());
        }
        let version = is_same.then(|| write(&mut self.api.borrow_mut()));
        if self.luck == Luck::AnswerLost { Err(mishap()) } else { Ok(version) }
    }

    /// What the coordinator may write.
    fn expect_allowed(&self, before: Option<&Agreement>, after: &Agreement) {
        let mut api = self.api.borrow_mut();
        let leader = api.leaders.entry(after.term).or_insert_with(|| self.node.clone());
        assert_eq!(*leader, self.node, "two coordinators in term {}", after.term);
        let Some(before) = before else { return };
        let is_turned = after.run > before.run;
        for (name, report) in &self.looked.snapshot.reports {
            let is_live = self.at.saturating_sub(self.looked.told[name]) < Times::default().live;
            assert!(
                !is_turned
                    || !is_live
                    || before.is_unbegun()
                    || before.leaves_aside(&report.value)
                    || !before.is_past_return(&report.value),
                "{name} would have to go back behind its point of no return: {before:?}"
            );
        }
        if before.phase != Phase::Staging || after.phase != Phase::Activating {
            return;
        }
        assert_eq!(before.run, after.run);
        for (name, report) in &self.looked.snapshot.reports {
            let is_live = self.at.saturating_sub(self.looked.told[name]) < Times::default().live;
            // What hinders whoever writes this may be newer than what it has told.
            let is_hindered = report.value.is_hindered_in(after.run) || *name == self.node;
            let is_left = after.is_return && is_hindered;
            assert!(
                !is_live || is_left || after.leaves_aside(&report.value) || report.value.has(&after.release),
                "{name} lives and has not {:?}",
                after.release
            );
        }
    }
}

impl Board for Seen<'_> {
    fn read(&self) -> Result<Snapshot, Error> {
        if self.is_cut { Err(mishap()) } else { Ok(self.looked.snapshot.clone()) }
    }

    fn write_lease(&self, seen: Option<&str>, lease: &Lease) -> Result<Option<String>, Error> {
        let is_same = Self::is_same(self.api.borrow().now.snapshot.lease.as_ref(), seen);
        self.write(is_same, |api| {
            let version = api.edition();
            api.now.snapshot.lease = Some(Versioned { version: version.clone(), value: lease.clone() });
            version
        })
    }

    fn write_agreement(&self, seen: Option<&str>, agreed: &Agreement) -> Result<Option<String>, Error> {
        let is_same = Self::is_same(self.api.borrow().now.snapshot.agreement.as_ref(), seen);
        if is_same && !self.is_cut && self.luck != Luck::Lost {
            let before = self.looked.snapshot.agreement.as_ref();
            self.expect_allowed(before.map(|before| &before.value), agreed);
        }
        self.write(is_same, |api| api.agree(agreed.clone()))
    }

    fn write_report(
        &self,
        name: &NodeName,
        seen: Option<&str>,
        report: &Report,
    ) -> Result<Option<String>, Error> {
        assert_eq!(*name, self.node, "each writes its own");
        let is_same = self.api.borrow().now.snapshot.report_version(name) == seen;
        self.write(is_same, |api| {
            api.now.snapshot.unreadable.remove(&name.object());
            let version = api.edition();
            api.now.told.insert(name.clone(), self.now);
            let written = Versioned { version: version.clone(), value: report.clone() };
            api.now.snapshot.reports.insert(name.clone(), written);
            version
        })
    }
}
