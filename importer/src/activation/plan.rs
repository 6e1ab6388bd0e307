//! What an activation or rollback would do, and how far one that is under way has come; nothing is changed by looking.

use sealift_archive::Sequence;
use sealift_store::{Activation, Store, Subject};
use serde::Serialize;

use super::engine::{expect_back, warnings};
use super::programs::Installer;
use super::{Error, Phase, phase};
use crate::config::activation::Activation as Config;
use sealift_store::journal::Journal;

/// What would be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The release that would be active.
    pub to: Subject,
    /// The release that is active now.
    pub from: Option<Subject>,
    /// The phases, in their order; none if there is nothing to do.
    pub phases: Vec<Phase>,
    /// What it means for data, if it leads back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Plan {
    /// What activating a release would do.
    ///
    /// # Errors
    /// The rule that forbids it; [`Error::UnderWay`].
    pub fn activation(store: &Store, config: &Config, sequence: Sequence) -> Result<Self, crate::Error> {
        expect_none(store, Some(sequence))?;
        Self::of(store, config, store.plan_activation(sequence)?)
    }

    /// What a rollback would do, to the release that was active before or to this one.
    ///
    /// # Errors
    /// The store's `NoWayBack`; [`Error::UnderWay`].
    pub fn rollback(store: &Store, config: &Config, to: Option<Sequence>) -> Result<Self, crate::Error> {
        expect_none(store, to)?;
        let plan = match to {
            None => store.plan_rollback()?,
            Some(sequence) => expect_back(store.plan_activation(sequence)?)?,
        };
        Self::of(store, config, plan)
    }

    fn of(store: &Store, config: &Config, plan: Activation) -> Result<Self, crate::Error> {
        let is_back = plan.is_back();
        let Activation { to, from, steps } = plan;
        let phases = if steps.is_empty() {
            Vec::new()
        } else if from.as_ref() == Some(&to) {
            vec![Phase::Conclude]
        } else if is_back {
            phase::back(config)
        } else {
            phase::forward(config, Installer::new(store, &config.programs)?.differing(to.sequence)?)
        };
        let warnings = if is_back { warnings(config, |_| true) } else { Vec::new() };
        Ok(Self { to, from, phases, warnings })
    }
}

/// What is under way has its plan in its journal; another one can be made when that has ended.
pub(crate) fn expect_none(store: &Store, wanted: Option<Sequence>) -> Result<(), crate::Error> {
    match Journal::read(store)? {
        Some(journal) => {
            let wanted = wanted.unwrap_or(journal.begin.to.sequence);
            Err(Error::UnderWay { under_way: Box::new(journal.begin.to.name()), wanted }.into())
        }
        None => Ok(()),
    }
}
