//! The section `activation`.

use serde::Deserialize;

/// What belongs to letting a release run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Activation {}
