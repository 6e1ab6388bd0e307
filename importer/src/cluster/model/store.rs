//! What a node has, as far as the others hear of it.

use std::cell::RefCell;
use std::collections::BTreeSet;

use sealift_archive::Sequence;
use sealift_store::{NodeSeen, PeerAuthorities};
use time::OffsetDateTime;

use super::super::{Agreement, Home, Report};
use super::api::mishap;
use super::release;
use crate::Error;

/// A node's store.
#[derive(Clone, Default)]
pub(super) struct Store {
    pub(super) here: BTreeSet<u64>,
    pub(super) active: Option<u64>,
    /// A switch to this release has failed, and lies there in the middle; perhaps behind its point of no return.
    pub(super) begun: Option<(u64, bool)>,
    pub(super) heard: RefCell<Option<Agreement>>,
    /// The disk is full.
    pub(super) is_full: bool,
    /// The steps on the host have a point of no return.
    pub(super) has_point: bool,
    pub(super) boot: u64,
}

impl Store {
    pub(super) fn of(here: &[u64], active: Option<u64>) -> Self {
        Self { here: here.iter().copied().collect(), active, ..Self::default() }
    }

    /// The latest release behind whose point of no return it is.
    pub(super) fn beyond(&self) -> Option<u64> {
        let begun = self.begun.filter(|(_, is_past)| *is_past).map(|(to, _)| to);
        self.active.filter(|_| self.has_point).max(begun)
    }
}

impl Home for Store {
    fn look(&self) -> Result<Report, Error> {
        let beyond = self.beyond().map(|beyond| Sequence::try_from(beyond).unwrap());
        Ok(Report {
            here: self.here.iter().map(|sequence| release(*sequence).statement).collect(),
            active: self.active.map(release),
            is_switching: false,
            is_unsettled: self.begun.is_some(),
            beyond,
            trouble: None,
            waits: None,
            address: Some("https://here:5443".to_owned()),
            ca_crt: String::new(),
            boot_id: self.boot.to_string(),
            seen: OffsetDateTime::UNIX_EPOCH,
        })
    }

    fn hear(
        &self,
        agreement: Option<&Agreement>,
        _: Vec<NodeSeen>,
        _: &PeerAuthorities,
    ) -> Result<(), Error> {
        if self.is_full {
            return Err(mishap());
        }
        *self.heard.borrow_mut() = agreement.cloned();
        Ok(())
    }
}
