//! How far an activation has come that has begun and not ended.

use serde::Serialize;

use super::journal::Journal;
use crate::{Error, Store, Subject};

/// An activation that has begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnderWay {
    /// The release that it goes to; none: to before the first activation.
    pub to: Option<Subject>,
    /// The release that it leaves.
    pub from: Option<Subject>,
    /// The phase that has begun last.
    pub phase: String,
    /// Why it has stopped, if it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Why it goes back on what was begun, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turned: Option<String>,
    /// Whether it leads to a release that was not active before.
    pub is_forward: bool,
}

impl UnderWay {
    /// What is under way in a store, if anything is.
    ///
    /// # Errors
    /// [`Error::BadJournal`], or I/O.
    pub fn of(store: &Store) -> Result<Option<Self>, Error> {
        Ok(Journal::read(store)?.map(|journal| {
            let (to, from) = journal.ends();
            Self {
                to: to.cloned(),
                from: from.cloned(),
                phase: journal.leg.phase().to_string(),
                is_forward: journal.is_forward(),
                turned: journal
                    .leg
                    .turn
                    .as_ref()
                    .map(|turn| format!("phase {}: {}", turn.place, turn.reason)),
                stopped: journal.stop.map(|stop| stop.reason),
            }
        }))
    }
}
